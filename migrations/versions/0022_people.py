"""What authorities and registers say of members: verifications, deaths.

Step: expand.
"""

from collections.abc import Sequence
from pathlib import Path

from alembic import op

from migrations.walls import grant, wall

revision: str = "0022_people"
down_revision: str | None = "0021_payouts"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""
    op.execute("set local lock_timeout = '5s'")
    op.execute((Path(__file__).parent / "0022_people.sql").read_text(encoding="utf-8"))
    wall("verifications")
    wall("death_notices")
    wall("sign_ins")
    grant("sign_ins", app="select, insert, update (used_at)")
    grant(
        "death_notices",
        app="select, insert, update (decided_at, member_id, event_id, score_bp, state, why, proposed_by)",
    )
    grant(
        "verifications",
        app="select, insert, update (decided_at, event_id, score_bp, as_of, state, why, code, kinds, document)",
    )
