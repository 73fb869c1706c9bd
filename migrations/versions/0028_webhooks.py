"""Webhooks: partners' endpoints, what each is told, and how far the log was read for it.

Step: expand.
"""

from collections.abc import Sequence
from pathlib import Path

from alembic import op

from migrations.walls import grant, wall

revision: str = "0028_webhooks"
down_revision: str | None = "0027_interest"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""
    op.execute("set local lock_timeout = '5s'")
    op.execute((Path(__file__).parent / "0028_webhooks.sql").read_text(encoding="utf-8"))
    for table in ("webhook_endpoints", "webhook_cursors", "webhook_deliveries"):
        wall(table)
    grant("webhook_endpoints", app="select, insert, update")
    grant("webhook_cursors", app="select, insert, update (seq)")
    grant(
        "webhook_deliveries",
        app="select, insert, update (due_at, leased_until, answered_at, lease, attempts, state, code)",
    )
