"""Payouts: instructed, approved, sent, settled; the files that ask banks for them.

Step: expand.
"""

from collections.abc import Sequence
from pathlib import Path

from alembic import op

from migrations.walls import append_only, grant, wall

revision: str = "0021_payouts"
down_revision: str | None = "0020_claims"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# What is paid to whom never changes once it is made: no role may write any other column.
_CHANGES = """update (approved_event, settled_event, home_event, reference_digest, provider_digest, name_bp, file_id, state,
                      name_state, is_name_seen, is_check_begun, account, reason, checker)"""


def upgrade() -> None:
    """Apply."""
    op.execute("set local lock_timeout = '5s'")
    op.execute((Path(__file__).parent / "0021_payouts.sql").read_text(encoding="utf-8"))
    for table in ("payouts", "payout_files", "payout_reports", "suspense_refunds"):
        wall(table)
    append_only("payout_files")
    append_only("payout_reports")
    grant("payouts", app=f"select, insert, {_CHANGES}", jobs=f"select, {_CHANGES}")
    grant("payout_files", app="select, insert", jobs="select")
    grant("suspense_refunds", app="select, insert, update (home_event)", jobs="select, update (home_event)")
    grant("payout_reports", app="select, insert", jobs="select")
