"""When a dealing's cut-off was, so that forward pricing takes no price that was known before it.

Step: expand.
"""

from collections.abc import Sequence
from pathlib import Path

from alembic import op

revision: str = "0048_dealing"
down_revision: str | None = "0045_loans"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""
    op.execute("set local lock_timeout = '5s'")
    op.execute((Path(__file__).parent / "0048_dealing.sql").read_text(encoding="utf-8"))
