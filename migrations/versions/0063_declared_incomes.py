"""Incomes that members declare, of which contributions are a share.

Step: expand.
"""

from collections.abc import Sequence
from pathlib import Path

from alembic import op

from migrations.walls import append_only, grant, wall

revision: str = "0063_declared_incomes"
down_revision: str | None = "0061_counterparties"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""
    op.execute("set local lock_timeout = '5s'")
    op.execute((Path(__file__).parent / "0063_declared_incomes.sql").read_text(encoding="utf-8"))
    wall("declared_incomes")
    append_only("declared_incomes")
    grant("declared_incomes", app="select, insert", jobs="select")
