"""The book of record: tenants, chart, events, transfers, claims, balances, the poster, and the roles that may write.

Step: expand.
"""

from collections.abc import Sequence
from pathlib import Path

from alembic import op

from migrations.walls import JOBS, SEQUENCER, app_role, append_only, grant, wall

revision: str = "0001_ledger"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

WALLED = (
    "assets", "chart", "actors", "packs", "decisions", "events", "transfers", "claims", "balances",
    "control_deltas", "control_totals", "batches", "unsequenced", "corrections",
)  # fmt: skip


def upgrade() -> None:
    """Apply."""
    op.execute("set local lock_timeout = '5s'")
    op.execute(f"""
    do $$ begin
      if not exists (select from pg_roles where rolname = '{SEQUENCER}') then create role {SEQUENCER} nologin; end if;
    exception when duplicate_object or unique_violation then null; end $$;
    do $$ begin
      if not exists (select from pg_roles where rolname = '{JOBS}') then create role {JOBS} nologin; end if;
    exception when duplicate_object or unique_violation then null; end $$;
    """)
    app = app_role()
    op.execute(f"""
    do $$ begin
      if not pg_has_role('{app}', '{SEQUENCER}', 'SET') then
        grant {SEQUENCER} to {app} with inherit false, set true; end if;
      if not pg_has_role('{app}', '{JOBS}', 'SET') then
        grant {JOBS} to {app} with inherit false, set true; end if;
    end $$;
    revoke create on schema public from public;
    grant usage on schema public to {app}, {SEQUENCER}, {JOBS};
    """)
    op.execute((Path(__file__).parent / "0001_ledger.sql").read_text(encoding="utf-8"))
    for table in WALLED:
        wall(table)
    for table in ("events", "transfers", "claims", "chart", "assets", "batches", "corrections", "decisions"):
        append_only(table)
    op.execute("select make_partitions(date '2026-10-01', 12)")

    grant("alembic_version", app="select")
    grant("tenants", app="select, insert, update", sequencer="select", jobs="select")
    for table in ("assets", "chart", "actors", "packs", "decisions", "corrections"):
        grant(table, app="select, insert", sequencer="select", jobs="select, insert")
    for table in ("events", "transfers", "claims", "batches"):
        grant(table, app="select, insert", sequencer="select", jobs="select, insert")
    grant("balances", app="select, insert, update", jobs="select, insert, update")
    grant("control_deltas", app="select, insert", jobs="select, insert, delete")
    grant("control_totals", app="select", jobs="select, insert, update")
    grant("unsequenced", app="select, insert", sequencer="select, delete", jobs="insert")
    for role in (app, SEQUENCER, JOBS):
        op.execute(f"grant usage on sequence batch_numbers, tenant_numbers to {role}")
