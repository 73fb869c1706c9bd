"""Decisions that are no events, points of reference series, pack versions that wait for a second person.

Step: expand.
"""

from collections.abc import Sequence
from pathlib import Path

from alembic import op

from migrations.walls import append_only, grant, wall

revision: str = "0010_rules"
down_revision: str | None = "0008_jobs"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""
    op.execute("set local lock_timeout = '5s'")
    op.execute((Path(__file__).parent / "0010_rules.sql").read_text(encoding="utf-8"))
    append_only("determinations")
    for table in ("determinations", "series_points", "pack_proposals"):
        wall(table)
    grant("determinations", app="select, insert", jobs="select, insert")
    for table in ("series_points", "pack_proposals"):
        grant(table, app="select, insert, update (state, decided_by, decided_at)", jobs="select")
