"""Messages: how far the log was read for them, each message once, and what became of it.

Step: expand.
"""

from collections.abc import Sequence
from pathlib import Path

from alembic import op

from migrations.walls import append_only, grant, wall

revision: str = "0023_messages"
down_revision: str | None = "0022_people"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""
    op.execute("set local lock_timeout = '5s'")
    op.execute((Path(__file__).parent / "0023_messages.sql").read_text(encoding="utf-8"))
    for table in ("message_cursors", "messages", "message_reports"):
        wall(table)
    append_only("message_reports")
    grant("message_cursors", app="select, insert, update (next_seq)")
    grant("messages", app="select, insert, update (state, parts, provider_ref, cost, currency, reason, settled_at)")
    grant("message_reports", app="select, insert")
