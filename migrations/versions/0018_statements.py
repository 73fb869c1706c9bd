"""Statements of any format: balances, money that went out, corrected versions; what fund managers say they hold.

Step: expand.
"""

from collections.abc import Sequence
from pathlib import Path

from alembic import op

from migrations.walls import append_only, grant, wall

revision: str = "0018_statements"
down_revision: str | None = "0015_collections"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""
    op.execute("set local lock_timeout = '5s'")
    op.execute((Path(__file__).parent / "0018_statements.sql").read_text(encoding="utf-8"))
    for table in ("settled_lines", "holdings_files", "holdings_told"):
        wall(table)
        append_only(table)
        grant(table, app="select, insert", jobs="select, insert")
