"""Mergers of schemes: terms, rounds, what was handed over of whom, the sealed files, and payments that came late.

Step: expand.
"""

from collections.abc import Sequence
from pathlib import Path

from alembic import op

from migrations.walls import append_only, grant, wall

revision: str = "0057_mergers"
down_revision: str | None = "0056_moves_closed"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""
    op.execute("set local lock_timeout = '5s'")
    op.execute((Path(__file__).parent / "0057_mergers.sql").read_text(encoding="utf-8"))
    kept = ("handed_members", "hand_over_lines", "hand_over_history", "hand_over_files", "forwarded_payments")
    for table in ("mergers", "hand_overs", *kept):
        wall(table)
    for table in kept:
        append_only(table)
        grant(table, app="select, insert")
    grant("mergers", app="select, insert, update (state, checker, decided_event)")
    grant(
        "hand_overs",
        app="select, insert, update (state, members, closed_event, closed_on, digest, taken_in_event, receipt)",
    )
