"""Statements of collection accounts and matches.

Step: expand.
"""

from collections.abc import Sequence

from alembic import op

revision: str = "0007_reconciliation"
down_revision: str | None = "0006_funds"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""
    op.execute("set local lock_timeout = '5s'")
