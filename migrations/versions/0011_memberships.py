"""Memberships: a member may be in several products, and move between them.

Each member so far is in one product: that is carried over.

Step: expand.
"""

from collections.abc import Sequence
from pathlib import Path

from alembic import op

from migrations.walls import append_only, grant, wall

revision: str = "0011_memberships"
down_revision: str | None = "0010_rules"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""
    op.execute("set local lock_timeout = '5s'")
    op.execute((Path(__file__).parent / "0011_memberships.sql").read_text(encoding="utf-8"))
    # The owner is walled in too: members are read tenant by tenant.
    op.execute("""
    do $$ declare one int; begin
      for one in select tenant_id from tenants loop
        perform set_config('app.tenant', one::text, true);
        insert into memberships (member_id, since_event, tenant_id, joined_on, from_on, product, group_code)
          select member_id, enrolled_event, tenant_id, joined_on, joined_on, product, group_code from members;
      end loop;
      perform set_config('app.tenant', '', true);
    end $$
    """)
    append_only("recomputations")
    for table in ("memberships", "recomputations"):
        wall(table)
    grant("recomputations", app="select, insert", jobs="select, insert")
    grant("memberships", app="select, insert, update (joined_on, moved_to, since_event)", jobs="select")
