"""The job queue.

Step: expand.
"""

from collections.abc import Sequence

from alembic import op

revision: str = "0008_jobs"
down_revision: str | None = "0007_reconciliation"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""
    op.execute("set local lock_timeout = '5s'")
