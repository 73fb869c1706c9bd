"""Moves between products, and the ladder of members who stop paying.

Step: expand.
"""

from collections.abc import Sequence
from pathlib import Path

from alembic import op

from migrations.walls import append_only, grant, wall

revision: str = "0040_moves"
down_revision: str | None = "0039_excess"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""
    op.execute("set local lock_timeout = '5s'")
    op.execute((Path(__file__).parent / "0040_moves.sql").read_text(encoding="utf-8"))
    for table in ("move_runs", "product_moves", "member_standings", "daily_rounds"):
        wall(table)
    append_only("product_moves")
    grant("move_runs", app="select, insert, update")
    grant("product_moves", app="select, insert")
    grant("member_standings", app="select, insert, update")
    grant("daily_rounds", app="select, insert, update")
