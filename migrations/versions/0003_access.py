"""Staff, partners, sessions.

Step: expand.
"""

from collections.abc import Sequence
from pathlib import Path

from alembic import op

from migrations.walls import grant, wall

revision: str = "0003_access"
down_revision: str | None = "0002_audit"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""
    op.execute("set local lock_timeout = '5s'")
    op.execute((Path(__file__).parent / "0003_access.sql").read_text(encoding="utf-8"))
    for table in ("partners", "staff", "staff_links", "staff_sessions"):
        wall(table)
    grant("partners", app="select, insert, update (secret_hash, scopes, status)")
    grant("staff", app="select, insert, update (roles, status)")
    grant("staff_links", app="select, insert, delete, update (used_at)")
    grant("staff_sessions", app="select, insert, delete, update (last_seen_at, ended_at)")
