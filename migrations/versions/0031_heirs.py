"""Claims after a death: who inherits, what each was given, and payouts of it.

Step: expand.
"""

from collections.abc import Sequence
from pathlib import Path

from alembic import op

from migrations.walls import grant, wall

revision: str = "0031_heirs"
down_revision: str | None = "0030_undertakings"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""
    op.execute("set local lock_timeout = '5s'")
    op.execute((Path(__file__).parent / "0031_heirs.sql").read_text(encoding="utf-8"))
    for table in ("heirs", "inheritances"):
        wall(table)
        grant(table, app="select, insert, update", jobs="select")
