"""Counterparties: payments that a bank pays together; how far managers say orders are, and orders asked back.

Step: expand.
"""

from collections.abc import Sequence
from pathlib import Path

from alembic import op

from migrations.walls import append_only, grant, wall

revision: str = "0061_counterparties"
down_revision: str | None = "0058_pool_income"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""
    op.execute("set local lock_timeout = '5s'")
    op.execute((Path(__file__).parent / "0061_counterparties.sql").read_text(encoding="utf-8"))
    for table in ("batch_receipts", "order_statuses", "order_cancellations"):
        wall(table)
    append_only("batch_receipts")
    append_only("order_statuses")
    grant("order_statuses", app="select, insert")
    grant("order_cancellations", app="select, insert, update (state, checker, decided_at, decided_event, ended_event)")
    grant("batch_receipts", app="select, insert", jobs="select")
