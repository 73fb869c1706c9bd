"""Savings that go to other schemes, and savings that come from them.

Step: expand.
"""

from collections.abc import Sequence
from pathlib import Path

from alembic import op

from migrations.walls import append_only, grant, wall

revision: str = "0047_transfers"
down_revision: str | None = "0045_loans"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""
    op.execute("set local lock_timeout = '5s'")
    op.execute((Path(__file__).parent / "0047_transfers.sql").read_text(encoding="utf-8"))
    for table in ("transfers_out", "transfers_in", "transfer_history"):
        wall(table)
    grant("transfers_out", app="select, insert, update (state, ended_event, receipt, acknowledgement)", jobs="select")
    grant("transfers_in", app="select, insert, update (state, checker, posted_event, receipt)")
    append_only("transfer_history")
    grant("transfer_history", app="select, insert")
