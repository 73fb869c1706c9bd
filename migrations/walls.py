"""What every table of a tenant gets: row-level security, forced, failing closed; grants; refusal of change.

A session without `app.tenant` sees no row and can write none: a setting that was reset comes back as an empty string,
which NULLIF turns into NULL, and nothing equals NULL.
"""

import re

from alembic import context, op
from sqlalchemy.engine import make_url

SEQUENCER = "akiba_sequencer"
JOBS = "akiba_jobs"
_TENANT = "(select nullif(current_setting('app.tenant', true), '')::int)"


def app_role() -> str:
    """Return the name of the application's login role, checked to be a plain identifier."""
    config = context.config
    name = config.attributes.get("app_role")
    if name is None:
        import os

        name = make_url(os.environ["DATABASE_URL"]).username
    if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", name or ""):
        raise ValueError(f"the application role in DATABASE_URL has no plain name: {name!r}")
    return str(name)


def wall(table: str) -> None:
    """Let rows of `table` be seen and written by their own tenant alone, whoever asks."""
    op.execute(f"alter table {table} enable row level security")
    op.execute(f"alter table {table} force row level security")
    op.execute(f"create policy tenant on {table} using (tenant_id = {_TENANT}) with check (tenant_id = {_TENANT})")


def grant(table: str, *, app: str = "", sequencer: str = "", jobs: str = "") -> None:
    """Grant each role its privileges ("select, insert") on `table`; an empty string grants none."""
    for role, privileges in ((app_role(), app), (SEQUENCER, sequencer), (JOBS, jobs)):
        if privileges:
            op.execute(f"grant {privileges} on {table} to {role}")


def append_only(table: str) -> None:
    """Refuse UPDATE, DELETE and TRUNCATE of `table` to everyone, its owner too."""
    op.execute(
        f"create trigger append_only before update or delete on {table} for each row execute function refuse_change()"
    )
    op.execute(
        f"create trigger never_truncated before truncate on {table} for each statement execute function refuse_change()"
    )
