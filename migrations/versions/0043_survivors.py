"""Pensions out of a pool, survivors' pensions, and instalments that wait for a figure.

Step: expand.
"""

from collections.abc import Sequence
from pathlib import Path

from alembic import op

from migrations.walls import grant

revision: str = "0043_survivors"
down_revision: str | None = "0042_recounts"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""
    op.execute("set local lock_timeout = '5s'")
    op.execute((Path(__file__).parent / "0043_survivors.sql").read_text(encoding="utf-8"))
    grant("pension_schedules", app="update (brought)")
    grant("payroll_ranges", app="update (recovered, waits)")
