"""Files that leave for counterparties and come from them, each once; direct debits; breaks of confirmations that people end.

Step: expand.
"""

from collections.abc import Sequence
from pathlib import Path

from alembic import op

from migrations.walls import append_only, grant, wall

revision: str = "0052_file_places"
down_revision: str | None = "0051_suspense"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_TABLES = (
    "outgoing_files",
    "incoming_files",
    "mandates",
    "debit_files",
    "debits",
    "debit_reports",
    "confirmation_proposals",
)


def upgrade() -> None:
    """Apply."""
    op.execute("set local lock_timeout = '5s'")
    op.execute((Path(__file__).parent / "0052_file_places.sql").read_text(encoding="utf-8"))
    for table in _TABLES:
        wall(table)
    append_only("debit_reports")
    grant("outgoing_files", app="select, insert, update (state, decided_event)")
    grant("incoming_files", app="select, insert, update (state, event_id, kind, reason, sender, number)")
    grant("mandates", app="select, insert, update (ended_event)")
    grant("debit_files", app="select, insert, update (state, checker, event_id, sha256, document)")
    grant("debits", app="select, insert, update (state, reason, receipt, line_digest)")
    grant("debit_reports", app="select, insert")
    grant("confirmation_proposals", app="select, insert, update (state, checker, decided_event)")
