"""What members undertook to pay: slab and frequency, from which day on.

Step: expand.
"""

from collections.abc import Sequence
from pathlib import Path

from alembic import op

from migrations.walls import append_only, grant, wall

revision: str = "0030_undertakings"
down_revision: str | None = "0029_match"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""
    op.execute("set local lock_timeout = '5s'")
    op.execute((Path(__file__).parent / "0030_undertakings.sql").read_text(encoding="utf-8"))
    wall("undertakings")
    append_only("undertakings")
    grant("undertakings", app="select, insert", jobs="select")
