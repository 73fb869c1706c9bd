"""What a payment brings beyond what its scheme takes lies in suspense as a part of its receipt, until it goes back.

Step: expand.
"""

from collections.abc import Sequence

from alembic import op

revision: str = "0039_excess"
down_revision: str | None = "0038_matching"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""
    op.execute("set local lock_timeout = '5s'")
    # The receipt that what lies here is a part of; 0 where it came alone.
    op.execute("alter table suspense add column if not exists of_member bigint not null default 0")
    op.execute("alter table suspense add column if not exists of_event bigint not null default 0")
    with op.get_context().autocommit_block():
        op.execute("drop index concurrently if exists parts_of_receipts")
        op.execute("create index concurrently parts_of_receipts on suspense (tenant_id, of_event) where of_event <> 0")
