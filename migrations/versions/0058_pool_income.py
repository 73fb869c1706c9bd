"""What pools of declared interest earned, and interest of those who leave before it is declared.

Step: expand.
"""

from collections.abc import Sequence
from pathlib import Path

from alembic import op

from migrations.walls import append_only, grant, wall

revision: str = "0058_pool_income"
down_revision: str | None = "0057_mergers"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""
    op.execute("set local lock_timeout = '5s'")
    op.execute((Path(__file__).parent / "0058_pool_income.sql").read_text(encoding="utf-8"))
    for table in ("pool_incomes", "interest_exits"):
        wall(table)
    append_only("interest_exits")
    grant("pool_incomes", app="select, insert, update (state, checker, proposed_event, decided_event)")
    grant("interest_exits", app="select, insert")
    grant("pension_schedules", app="update (kept)")
