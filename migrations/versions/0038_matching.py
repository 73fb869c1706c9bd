"""Matching works in tables of its transaction, which the jobs role may make. Only the database's owner can let it.

Step: expand.
"""

from collections.abc import Sequence

from alembic import op

revision: str = "0038_matching"
down_revision: str | None = "0037_openings"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""
    op.execute("set local lock_timeout = '5s'")
    op.execute(
        """do $$ begin
             execute format('grant temporary on database %I to akiba_jobs', current_database());
           exception when insufficient_privilege then null; end $$"""
    )
