"""Sales of members' units: put up, ordered, sold at a price, paid for. Contributions taken back.

Step: expand.
"""

from collections.abc import Sequence
from pathlib import Path

from alembic import op

from migrations.walls import grant, wall

revision: str = "0019_sales"
down_revision: str | None = "0018_statements"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""
    op.execute("set local lock_timeout = '5s'")
    op.execute((Path(__file__).parent / "0019_sales.sql").read_text(encoding="utf-8"))
    for table in ("sales", "sale_orders", "sale_ranges", "reversals"):
        wall(table)
    op.execute("""
    create trigger never_changed before update on sales for each row execute function refuse_change();
    create trigger never_truncated before truncate on sales for each statement execute function refuse_change();
    create trigger into_open_dealings after insert on sales referencing new table as changed
      for each statement execute function require_open_dealing();
    create trigger out_of_open_dealings after delete on sales referencing old table as changed
      for each statement execute function require_open_dealing();
    """)
    grant("sales", app="select, insert", jobs="select, insert, delete")
    grant("sale_orders", app="select, insert, update", jobs="select, insert, update (settled_event)")
    grant("sale_ranges", app="select, insert, update", jobs="select, insert")
    grant("reversals", app="select, insert, update", jobs="select, insert, update")
