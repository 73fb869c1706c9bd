"""Opening balances: schemes kept elsewhere that are taken over, their members, holdings and history, and the ranges they are posted by.

Step: expand.
"""

from collections.abc import Sequence
from pathlib import Path

from alembic import op

from migrations.walls import append_only, grant, wall

revision: str = "0037_openings"
down_revision: str | None = "0036_closings"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""
    op.execute("set local lock_timeout = '5s'")
    op.execute((Path(__file__).parent / "0037_openings.sql").read_text(encoding="utf-8"))
    for table in (
        "openings", "opening_members", "opening_holdings", "opening_history", "opening_controls", "opening_ranges",
    ):  # fmt: skip
        wall(table)
    for table in ("opening_holdings", "opening_history", "opening_controls"):
        append_only(table)
    grant("openings", app="select, insert, update (state, decided_by, decided_at, approved_event, finished_event)")
    grant("opening_members", app="select, insert, update (document, number_index)")
    for table in ("opening_holdings", "opening_history", "opening_controls"):
        grant(table, app="select, insert")
    grant("opening_ranges", app="select, insert, update (event_id, is_done)")
