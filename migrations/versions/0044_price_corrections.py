"""Which day's price a dealing takes.

Step: expand.
"""

from collections.abc import Sequence
from pathlib import Path

from alembic import op

revision: str = "0044_price_corrections"
down_revision: str | None = "0038_matching"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""
    op.execute("set local lock_timeout = '5s'")
    op.execute((Path(__file__).parent / "0044_price_corrections.sql").read_text(encoding="utf-8"))
