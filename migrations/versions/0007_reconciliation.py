"""Statements of collection accounts and matches.

Step: expand.
"""

from collections.abc import Sequence
from pathlib import Path

from alembic import op

from migrations.walls import append_only, grant, wall

revision: str = "0007_reconciliation"
down_revision: str | None = "0006_funds"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

WALLED = ("statements", "statement_lines", "unmatched_lines", "matches", "unallocated")


def upgrade() -> None:
    """Apply."""
    op.execute("set local lock_timeout = '5s'")
    op.execute((Path(__file__).parent / "0007_reconciliation.sql").read_text(encoding="utf-8"))
    for table in WALLED:
        wall(table)
    for table in ("statements", "statement_lines", "matches"):
        append_only(table)
        grant(table, app="select, insert", jobs="select, insert")
    for table in ("unmatched_lines", "unallocated"):
        grant(table, app="select, insert", jobs="select, insert, delete")
