"""The audit log: its order, tiles and checkpoints, which the sequencer alone writes.

Step: expand.
"""

from collections.abc import Sequence
from pathlib import Path

from alembic import op

from migrations.walls import append_only, grant, wall

revision: str = "0002_audit"
down_revision: str | None = "0001_ledger"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""
    op.execute("set local lock_timeout = '5s'")
    op.execute((Path(__file__).parent / "0002_audit.sql").read_text(encoding="utf-8"))
    for table in ("audit_batches", "audit_tiles", "audit_checkpoints"):
        wall(table)
    for table in ("audit_batches", "audit_checkpoints"):
        append_only(table)
        grant(table, app="select", sequencer="select, insert", jobs="select")
    grant("audit_tiles", app="select", sequencer="select, insert, update", jobs="select")
