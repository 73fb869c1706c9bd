"""The menu on telephones: sessions, PINs, requests.

Step: expand.
"""

from collections.abc import Sequence
from pathlib import Path

from alembic import op

from migrations.walls import grant, wall

revision: str = "0033_ussd"
down_revision: str | None = "0032_fund_orders"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""
    op.execute("set local lock_timeout = '5s'")
    op.execute((Path(__file__).parent / "0033_ussd.sql").read_text(encoding="utf-8"))
    for table in ("ussd_sessions", "ussd_pins", "ussd_requests"):
        wall(table)
    grant("ussd_sessions", app="select, insert, update, delete")
    grant("ussd_pins", app="select, insert, update, delete")
    grant("ussd_requests", app="select, insert, update (closed_at, closed_by, document)")
