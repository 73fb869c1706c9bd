"""Close of business: days that are closed and stay so, what they ended with, reopenings, and what is quarantined.

Step: expand.
"""

from collections.abc import Sequence
from pathlib import Path

from alembic import op

from migrations.walls import append_only, grant, wall

revision: str = "0036_closings"
down_revision: str | None = "0035_payroll"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""
    op.execute("set local lock_timeout = '5s'")
    # What a day moved is found by when its batches were recorded. Posting goes on while the index is made, outside of the
    # transaction, so it comes first: one that was left half made is made anew.
    with op.get_context().autocommit_block():
        op.execute("drop index concurrently if exists batches_by_time")
        op.execute(
            "create index concurrently batches_by_time on batches using brin (recorded_at)"
            " with (pages_per_range = 8, autosummarize = on)"
        )
    op.execute("set local lock_timeout = '5s'")
    op.execute((Path(__file__).parent / "0036_closings.sql").read_text(encoding="utf-8"))
    for table in ("closings", "closing_steps", "closing_balances", "reopenings", "quarantine"):
        wall(table)
    for table in ("closing_steps", "closing_balances"):
        append_only(table)
    grant("closings", app="select, insert, update (event_id, reopened_event)", jobs="select")
    grant("closing_steps", app="select, insert")
    grant("closing_balances", app="select, insert")
    grant("reopenings", app="select, insert, update (state, decided_by, decided_at, event_id)")
    grant("quarantine", app="select, insert, update (seen_at, tries, reason, released_at, released_by)")
