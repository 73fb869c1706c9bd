"""Background work of benefits. Each job can run twice without a second effect."""

from engine.benefits.service import settling
from engine.runtime.database import Database
from engine.runtime.jobs import Jobs
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenants

SETTLE_PAYOUTS = "benefits.settle_payouts"


async def settle_payouts(db: Database, keys: FileKeyStore, tenants: Tenants, *, tenant_id: int) -> None:
    """Look for payouts on statements that came since."""
    await settling.settle_payouts(db, keys, tenants.by_id(tenant_id))


JOBS: Jobs = {SETTLE_PAYOUTS: settle_payouts}
