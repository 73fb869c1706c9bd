"""Fees: runs that two people stand for, their ranges of members, what is due by them, and what was charged.

Step: expand.
"""

from collections.abc import Sequence
from pathlib import Path

from alembic import op

from migrations.walls import append_only, grant, wall

revision: str = "0034_fees"
down_revision: str | None = "0033_ussd"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""
    op.execute("set local lock_timeout = '5s'")
    op.execute((Path(__file__).parent / "0034_fees.sql").read_text(encoding="utf-8"))
    for table in ("fee_runs", "fee_ranges", "fee_lines", "fee_charges"):
        wall(table)
    append_only("fee_lines")
    append_only("fee_charges")
    grant("fee_runs", app="select, insert, update")
    grant("fee_ranges", app="select, insert, update")
    grant("fee_lines", app="select, insert")
    grant("fee_charges", app="select, insert")
