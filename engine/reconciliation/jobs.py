"""Background work of reconciliation. Each job can run twice without a second effect."""

from engine.reconciliation import service
from engine.runtime.database import Database
from engine.runtime.jobs import Jobs
from engine.runtime.secrets import KeyStore
from engine.tenancy.service import Tenants

MATCH_STATEMENTS = "reconciliation.match_statements"


async def match_statements(db: Database, _keys: KeyStore, tenants: Tenants, *, tenant_id: int) -> None:
    """Try open lines again: receipts may have come since, suspense may have been resolved."""
    await service.match_statements(db, tenants.by_id(tenant_id))


JOBS: Jobs = {MATCH_STATEMENTS: match_statements}
