"""Premiums of covers: runs that two people stand for, who is insured by them, and files to insurers.

Step: expand.
"""

from collections.abc import Sequence
from pathlib import Path

from alembic import op

from migrations.walls import append_only, grant, wall

revision: str = "0049_premiums"
down_revision: str | None = "0048_dealing"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""
    op.execute("set local lock_timeout = '5s'")
    op.execute((Path(__file__).parent / "0049_premiums.sql").read_text(encoding="utf-8"))
    tables = (
        "premium_runs",
        "premium_ranges",
        "premium_lines",
        "premiums",
        "premium_parts",
        "insured",
        "premium_files",
        "annuity_purchases",
    )
    for table in tables:
        wall(table)
    append_only("premium_lines")
    append_only("premium_parts")
    append_only("premium_files")
    for table in tables:
        changes = table in ("premium_runs", "premium_ranges", "premiums", "insured", "annuity_purchases")
        grant(table, app=f"select, insert{', update' if changes else ''}")
