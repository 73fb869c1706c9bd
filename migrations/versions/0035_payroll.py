"""Pensions paid over time: schedules, instalments, payrolls.

Step: expand.
"""

from collections.abc import Sequence
from pathlib import Path

from alembic import op

from migrations.walls import grant, wall

revision: str = "0035_payroll"
down_revision: str | None = "0034_fees"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_STOPS = "update (stopped_event, stops_on, is_running, life_until, payee, accounts, overpaid)"
_RUNS = "update (decided_event, state, checker, digest, proposed_event)"
_RANGES = """update (event_id, is_counted, is_posted, pensions, due, taken, pooled, lacking, taxed, payments, paying, owed,
                     suspended, digest)"""


def upgrade() -> None:
    """Apply."""
    op.execute("set local lock_timeout = '5s'")
    op.execute((Path(__file__).parent / "0035_payroll.sql").read_text(encoding="utf-8"))
    for table in (
        "pension_schedules",
        "life_proofs",
        "payroll_runs",
        "payroll_ranges",
        "pension_instalments",
        "payroll_payments",
    ):
        wall(table)
    grant("pension_schedules", app=f"select, insert, {_STOPS}", jobs="select")
    grant("life_proofs", app="select, insert")
    grant("payroll_runs", app=f"select, insert, {_RUNS}")
    grant("payroll_ranges", app=f"select, insert, {_RANGES}")
    # What is due, and what is paid of it, never changes once it is counted: only what became of it is written.
    grant("pension_instalments", app="select, insert, update (event_id, state)")
    grant("payroll_payments", app="select, insert, update (payout_id, state, reason)")
