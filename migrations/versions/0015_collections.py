"""Collections: what members were asked to pay, and what was truly paid.

Step: expand.
"""

from collections.abc import Sequence
from pathlib import Path

from alembic import op

from migrations.walls import grant, wall

revision: str = "0015_collections"
down_revision: str | None = "0014_joinings"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""
    op.execute("set local lock_timeout = '5s'")
    op.execute((Path(__file__).parent / "0015_collections.sql").read_text(encoding="utf-8"))
    wall("collections")
    wall("collected")
    grant("collections", app="select, insert")
    grant("collected", app="select, insert, update (event_id, amount, posted_at, state, reason)")
