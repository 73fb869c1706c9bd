"""Recounts: what law that reaches back or a revised figure changes of what was posted to all members.

Step: expand.
"""

from collections.abc import Sequence
from pathlib import Path

from alembic import op

from migrations.walls import grant, wall

revision: str = "0042_recounts"
down_revision: str | None = "0041_zero_results"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""
    op.execute("set local lock_timeout = '5s'")
    op.execute((Path(__file__).parent / "0042_recounts.sql").read_text(encoding="utf-8"))
    wall("recounts")
    grant("recounts", app="select, insert, update")
