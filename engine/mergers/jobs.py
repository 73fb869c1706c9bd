"""Background work of mergers. Each job can run twice without a second effect."""

from engine.mergers import service
from engine.runtime.database import Database
from engine.runtime.jobs import Jobs
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenants

CARRY_ON = "mergers.carry_on"
_ACTOR = "system:mergers"


async def carry_on(db: Database, keys: FileKeyStore, tenants: Tenants, *, tenant_id: int) -> None:
    """Hand over whoever is ready, make the files of rounds that are closed, and pass on payments that came late."""
    tenant = tenants.by_id(tenant_id)
    await service.carry_on(db, keys, tenants, tenant, actor=_ACTOR)
    await service.forward_payments(db, keys, tenant, actor=_ACTOR)


JOBS: Jobs = {CARRY_ON: carry_on}
