"""What is wrong between statements and books, put right by two people; lines and receipts that match by the many.

Step: expand.
"""

from collections.abc import Sequence
from pathlib import Path

from alembic import op

from migrations.walls import grant, wall

revision: str = "0024_breaks"
down_revision: str | None = "0023_messages"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""
    op.execute("set local lock_timeout = '5s'")
    op.execute((Path(__file__).parent / "0024_breaks.sql").read_text(encoding="utf-8"))
    wall("break_proposals")
    grant("break_proposals", app="select, insert, update", jobs="select, insert, update")
