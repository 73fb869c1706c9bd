"""Counterparties: payments that a bank pays together.

Step: expand.
"""

from collections.abc import Sequence
from pathlib import Path

from alembic import op

from migrations.walls import append_only, grant, wall

revision: str = "0061_counterparties"
down_revision: str | None = "0054_members"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""
    op.execute("set local lock_timeout = '5s'")
    op.execute((Path(__file__).parent / "0061_counterparties.sql").read_text(encoding="utf-8"))
    wall("batch_receipts")
    append_only("batch_receipts")
    grant("batch_receipts", app="select, insert", jobs="select")
