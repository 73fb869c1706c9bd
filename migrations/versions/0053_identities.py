"""Numbers of identity documents over time, signed files that members hand over, files to agencies without an API, an index of names for notices of deaths.

Step: expand.
"""

from collections.abc import Sequence
from pathlib import Path

from alembic import op

from migrations.walls import grant, wall

revision: str = "0053_identities"
down_revision: str | None = "0052_file_places"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_CHANGES = "decided_at, other_member, decided_event, state, finding, reason, finder, checker, digest, document"


def upgrade() -> None:
    """Apply."""
    op.execute("set local lock_timeout = '5s'")
    op.execute((Path(__file__).parent / "0053_identities.sql").read_text(encoding="utf-8"))
    wall("held_numbers")
    wall("number_changes")
    for table in ("name_tokens", "named_members", "death_candidates"):
        wall(table)
        grant(table, app="select, insert, delete")
    wall("offline_documents")
    wall("verification_batches")
    grant("offline_documents", app="select, insert, update (document)")
    grant("verification_batches", app="select, insert")
    grant("held_numbers", app="select, insert, update (to_on, member_id), delete")
    grant("number_changes", app=f"select, insert, update ({_CHANGES})")
    grant("exchanges", app="update (question)")
    for table in ("exchange_messages", "callbacks", "collections", "collected", "suspense", "payouts", "death_notices"):
        grant(table, app="update (document)")
    grant("pension_schedules", app="update (payee)")
