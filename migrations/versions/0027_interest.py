"""Declared interest: runs, their ranges of members, and what each account was credited.

Step: expand.
"""

from collections.abc import Sequence
from pathlib import Path

from alembic import op

from migrations.walls import append_only, grant, wall

revision: str = "0027_interest"
down_revision: str | None = "0024_breaks"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""
    op.execute("set local lock_timeout = '5s'")
    op.execute((Path(__file__).parent / "0027_interest.sql").read_text(encoding="utf-8"))
    for table in ("interest_runs", "interest_ranges", "interest_credits"):
        wall(table)
    append_only("interest_credits")
    grant("interest_runs", app="select, insert, update")
    grant("interest_ranges", app="select, insert, update")
    grant("interest_credits", app="select, insert")
