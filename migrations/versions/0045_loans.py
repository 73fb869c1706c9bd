"""Loans from savings and pledges, money that nobody claims, and claims of cover.

Step: expand.
"""

from collections.abc import Sequence
from pathlib import Path

from alembic import op

from migrations.walls import append_only, grant, wall

revision: str = "0045_loans"
down_revision: str | None = "0044_price_corrections"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_CASES = "state, noticed_on, run_no, handed_over_on, reclaim_by, digest, reclaimed_event"
_RUNS = "state, checker, proposed_event, decided_event, done_event, receipt, received_on"
_TABLES = (
    "loans",
    "loan_instalments",
    "loan_repayments",
    "unclaimed_cases",
    "unclaimed_searches",
    "unclaimed_runs",
    "unclaimed_lines",
    "cover_files",
    "cover_claims",
)
_LOANS = """owed, ended_event, said_by, said_owed, said_unpaid_since, digest, state"""


def upgrade() -> None:
    """Apply."""
    op.execute("set local lock_timeout = '5s'")
    op.execute((Path(__file__).parent / "0045_loans.sql").read_text(encoding="utf-8"))
    for table in _TABLES:
        wall(table)
    grant("loans", app=f"select, insert, update ({_LOANS})", jobs="select")
    grant("loan_instalments", app="select, insert", jobs="select")
    grant("loan_repayments", app="select, insert", jobs="select")
    append_only("unclaimed_searches")
    grant("unclaimed_cases", app=f"select, insert, update ({_CASES})")
    grant("unclaimed_searches", app="select, insert")
    grant("unclaimed_runs", app=f"select, insert, update ({_RUNS})")
    grant("unclaimed_lines", app="select, insert, update (state, event_id)")
    append_only("cover_files")
    grant("cover_files", app="select, insert")
    grant("cover_claims", app="select, insert, update (file_no, state, reason)")
