"""Exchanges with the outside: what is asked, every message, the callbacks, the access tokens.

Step: expand.
"""

from collections.abc import Sequence
from pathlib import Path

from alembic import op

from migrations.walls import append_only, grant, wall

revision: str = "0013_exchanges"
down_revision: str | None = "0012_attributes"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""
    op.execute("set local lock_timeout = '5s'")
    op.execute((Path(__file__).parent / "0013_exchanges.sql").read_text(encoding="utf-8"))
    for table in ("exchanges", "exchange_messages", "exchange_addresses", "callbacks", "access_tokens"):
        wall(table)
    append_only("exchange_messages")
    grant(
        "exchanges",
        app="select, insert, update (due_at, leased_until, sent_at, settled_at, provider_digest, calls, lease, is_woken,"
        " state, outcome, reason, code, answer)",
    )
    grant("exchange_messages", app="select, insert")
    grant("exchange_addresses", app="select, insert, update (question, answered_at)")
    grant("callbacks", app="select, insert, update (read_at, exchange_id, verdict)")
    grant("access_tokens", app="select, insert, update (expires_at, document)")
