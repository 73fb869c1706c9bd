"""Owners of suspended payments, proposed by one person and confirmed by another; what payers are recognised by.

Step: expand.
"""

from collections.abc import Sequence
from pathlib import Path

from alembic import op

from migrations.walls import grant, wall

revision: str = "0051_suspense"
down_revision: str | None = "0050_fewer_checks"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""
    op.execute("set local lock_timeout = '5s'")
    op.execute((Path(__file__).parent / "0051_suspense.sql").read_text(encoding="utf-8"))
    for table in ("suspense_proposals", "payment_marks", "telephones"):
        wall(table)
    grant("suspense_proposals", app="select, insert, update (state, decided_by, decided_at, resolved_event)")
    grant("payment_marks", app="select, insert, delete")
    grant("telephones", app="select, insert, delete")
    grant("vault", app="update (is_dialled)")
    with op.get_context().autocommit_block():
        op.execute("drop index concurrently if exists vault_not_dialled")
        op.execute(
            "create index concurrently vault_not_dialled on vault (tenant_id, member_id)"
            " where not is_dialled and document is not null"
        )
