"""State money: claims, their lines, what was received for them and shared.

Step: expand.
"""

from collections.abc import Sequence
from pathlib import Path

from alembic import op

from migrations.walls import append_only, grant, wall

revision: str = "0029_match"
down_revision: str | None = "0028_webhooks"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""
    op.execute("set local lock_timeout = '5s'")
    op.execute((Path(__file__).parent / "0029_match.sql").read_text(encoding="utf-8"))
    for table in ("match_claims", "match_claim_lines", "match_shares", "match_receipts"):
        wall(table)
    append_only("match_claim_lines")
    append_only("match_shares")
    grant("match_claims", app="select, insert, update", jobs="select")
    grant("match_claim_lines", app="select, insert", jobs="select")
    grant("match_shares", app="select, insert", jobs="select")
    grant("match_receipts", app="select, insert, update (shared_event)", jobs="select")
