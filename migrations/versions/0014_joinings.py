"""What an acceptance says is kept beside the membership: entry age, class, level, what is outstanding.

Step: expand.
"""

from collections.abc import Sequence
from pathlib import Path

from alembic import op

from migrations.walls import grant

revision: str = "0014_joinings"
down_revision: str | None = "0013_exchanges"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""
    op.execute("set local lock_timeout = '5s'")
    op.execute((Path(__file__).parent / "0014_joinings.sql").read_text(encoding="utf-8"))
    grant("memberships", app="update (entry_age, completes_on, person_class, level)")
