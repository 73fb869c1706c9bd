"""Money posted to the wrong member, and two records of one person.

Step: expand.
"""

from collections.abc import Sequence
from pathlib import Path

from alembic import op

from migrations.walls import grant, wall

revision: str = "0046_members"
down_revision: str | None = "0045_loans"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""
    op.execute("set local lock_timeout = '5s'")
    op.execute((Path(__file__).parent / "0046_members.sql").read_text(encoding="utf-8"))
    for table in ("record_merges", "merged_records", "record_splits"):
        wall(table)
    grant("record_merges", app="select, insert, update (state, checker, decided_event)", jobs="select")
    grant("merged_records", app="select, insert, update (into_id, into_event)", jobs="select")
    grant("record_splits", app="select, insert, update (state, checker, decided_event)", jobs="select")
    grant("person_indexes", app="update (member_id, came_with)")
    grant("members", app="update (joined_on)")
