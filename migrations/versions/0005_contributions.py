"""Suspense and imports of contributions.

Step: expand.
"""

from collections.abc import Sequence

from alembic import op

from migrations.walls import append_only, grant, wall

revision: str = "0005_contributions"
down_revision: str | None = "0004_identity"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""
    op.execute("set local lock_timeout = '5s'")
    # Whether an item is resolved is derived: a claim of scope "resolve" keyed by its event says so.
    op.execute("""
    create table suspense (
      event_id bigint not null, amount bigint not null, tenant_id int not null, received_on date not null,
      reason text not null, channel text not null, document bytea not null,
      primary key (tenant_id, event_id))
    """)
    op.execute("""
    create table suspense_resolutions (
      event_id bigint not null, resolved_event bigint not null, member_id bigint not null, tenant_id int not null,
      primary key (tenant_id, event_id))
    """)
    op.execute("""
    create table contribution_files (
      file_id bigint generated always as identity, tenant_id int not null, imported_at timestamptz not null,
      sha256 text not null, name text not null, actor text not null, document bytea not null,
      primary key (tenant_id, file_id), unique (tenant_id, sha256))
    """)
    append_only("suspense_resolutions")
    for table in ("suspense", "suspense_resolutions", "contribution_files"):
        wall(table)
        grant(table, app="select, insert", jobs="select")
