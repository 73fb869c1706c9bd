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
    create trigger released_while_open before delete on allocations for each row execute function refuse_dealt_release();
    """)
    grant("funds", app="select, insert", jobs="select, insert")
    grant("price_files", app="select, insert, update")
    grant("prices", app="select, insert, update")
    grant("dealings", app="select, insert, update", jobs="select, insert, update")
    grant("orders", app="select, insert, update", jobs="select")
    grant("allocations", app="select, insert", jobs="select, insert, delete")
    grant("allotments", app="select, insert, update", jobs="select")
    for role in (app_role(), JOBS):
        op.execute(f"grant usage on sequence dealing_numbers to {role}")
