"""Zero matches, fees and interest leave a record: a run's decision, and a short row a member.

Step: expand.
"""

from collections.abc import Sequence
from pathlib import Path

from alembic import op

from migrations.walls import append_only, grant, wall

revision: str = "0041_zero_results"
down_revision: str | None = "0040_moves"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""
    op.execute("set local lock_timeout = '5s'")
    op.execute((Path(__file__).parent / "0041_zero_results.sql").read_text(encoding="utf-8"))
    for table in ("run_decisions", "zero_results"):
        wall(table)
        append_only(table)
        grant(table, app="select, insert")
