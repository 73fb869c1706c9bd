"""Which day's price a dealing takes; prices that were wrong, whom that touched, and what was done about it; switches.

Step: expand.
"""

from collections.abc import Sequence
from pathlib import Path

from alembic import op

from migrations.walls import append_only, grant, wall

revision: str = "0044_price_corrections"
down_revision: str | None = "0043_survivors"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""
    op.execute("set local lock_timeout = '5s'")
    op.execute((Path(__file__).parent / "0044_price_corrections.sql").read_text(encoding="utf-8"))
    for table in (
        "price_corrections",
        "correction_ranges",
        "correction_lines",
        "correction_results",
        "switches",
        "switch_legs",
    ):
        wall(table)
    append_only("correction_lines")
    append_only("correction_results")
    grant("price_corrections", app="select, insert, update")
    grant("correction_ranges", app="select, insert, update")
    grant("correction_lines", app="select, insert")
    grant("correction_results", app="select, insert")
    append_only("switches")
    grant("switches", app="select, insert")
    grant("switch_legs", app="select, insert, update")
