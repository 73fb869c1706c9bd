"""The job queue: procrastinate's own tables, owned by the owner, used by the application.

Step: expand.
"""

from collections.abc import Sequence

from alembic import op
from procrastinate.schema import SchemaManager

from migrations.walls import app_role

revision: str = "0008_jobs"
down_revision: str | None = "0007_reconciliation"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""
    op.execute("set local lock_timeout = '5s'")
    op.get_bind().connection.driver_connection.execute(SchemaManager.get_schema())  # type: ignore[union-attr]
    app = app_role()
    for table in ("jobs", "events", "periodic_defers", "workers"):
        op.execute(f"grant select, insert, update, delete on procrastinate_{table} to {app}")
    for sequence in ("jobs", "events", "periodic_defers", "workers"):
        op.execute(f"grant usage on sequence procrastinate_{sequence}_id_seq to {app}")
