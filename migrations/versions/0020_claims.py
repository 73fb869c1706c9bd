"""Claims of benefits.

Step: expand.
"""

from collections.abc import Sequence
from pathlib import Path

from alembic import op

from migrations.walls import grant, wall

revision: str = "0020_claims"
down_revision: str | None = "0019_sales"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""
    op.execute("set local lock_timeout = '5s'")
    op.execute((Path(__file__).parent / "0020_claims.sql").read_text(encoding="utf-8"))
    wall("benefit_claims")
    grant("benefit_claims", app="select, insert, update", jobs="select, insert, update")
