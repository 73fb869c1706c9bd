"""Payments are taken back where their money is now, a claim of state money without a line stays on record, and an old function goes.

Step: contract.
"""

from collections.abc import Sequence

from alembic import op

from migrations.walls import grant

revision: str = "0056_moves_closed"
down_revision: str | None = "0055_kinds"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""
    op.execute("set local lock_timeout = '5s'")
    op.execute("drop function move_members(int, timestamptz, date, int, int, int, bigint[], int[], int[], text, text)")
    grant("product_moves", jobs="select")
    op.execute(
        """alter table match_claims drop constraint match_claims_state_check,
             add constraint match_claims_state_check check (state in ('prepared', 'sent', 'rejected', 'settled', 'empty'))"""
    )
