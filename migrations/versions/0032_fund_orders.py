"""Orders to fund managers: the files they leave in, and what managers say they did.

Step: expand.
"""

from collections.abc import Sequence
from pathlib import Path

from alembic import op

from migrations.walls import grant, wall

revision: str = "0032_fund_orders"
down_revision: str | None = "0031_heirs"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""
    op.execute("set local lock_timeout = '5s'")
    op.execute((Path(__file__).parent / "0032_fund_orders.sql").read_text(encoding="utf-8"))
    for table in ("order_files", "order_sendings", "confirmation_files", "confirmations"):
        wall(table)
    grant("order_files", app="select, insert, update (state, decided_event)", jobs="select")
    grant("order_sendings", app="select, insert, update (is_released, confirmed_event)", jobs="select")
    grant("confirmation_files", app="select, insert, update (name, state, refusal, event_id)", jobs="select")
    grant("confirmations", app="select, insert, update (state, reason, event_id)", jobs="select")
