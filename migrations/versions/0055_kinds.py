"""Promises to members that were kept or lapsed.

Step: expand.
"""

from collections.abc import Sequence
from pathlib import Path

from alembic import op

from migrations.walls import append_only, grant, wall

revision: str = "0055_kinds"
down_revision: str | None = "0054_members"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""
    op.execute("set local lock_timeout = '5s'")
    op.execute((Path(__file__).parent / "0055_kinds.sql").read_text(encoding="utf-8"))
    wall("promises_settled")
    grant("promises_settled", app="select, insert", jobs="select")
    append_only("promises_settled")
