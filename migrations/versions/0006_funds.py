"""Funds, prices, dealings, allotment.

Step: expand.
"""

from collections.abc import Sequence
from pathlib import Path

from alembic import op

from migrations.walls import JOBS, app_role, append_only, grant, wall

revision: str = "0006_funds"
down_revision: str | None = "0005_contributions"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

WALLED = ("funds", "price_files", "prices", "dealings", "orders", "allocations", "allotments")


def upgrade() -> None:
    """Apply."""
    op.execute("set local lock_timeout = '5s'")
    op.execute((Path(__file__).parent / "0006_funds.sql").read_text(encoding="utf-8"))
    for table in WALLED:
        wall(table)
    append_only("funds")
    op.execute("""
    create trigger never_changed before update on allocations for each row execute function refuse_change();
    create trigger never_truncated before truncate on allocations for each statement execute function refuse_change();
    create trigger into_open_dealings after insert on allocations referencing new table as changed
      for each statement execute function require_open_dealing();
    create trigger out_of_open_dealings after delete on allocations referencing old table as changed
      for each statement execute function require_open_dealing();
    """)
    for table in ("funds", "allocations"):
        grant(table, app="select, insert", jobs="select, insert")
    for table in ("price_files", "prices", "orders", "allotments"):
        grant(table, app="select, insert, update", jobs="select, insert")
    grant("dealings", app="select, insert, update", jobs="select, insert, update")
    grant("allocations", jobs="delete")
    for role in (app_role(), JOBS):
        op.execute(f"grant usage on sequence dealing_numbers to {role}")
