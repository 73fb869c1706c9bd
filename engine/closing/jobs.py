"""Background work of closing. Each job can run twice without a second effect."""

from engine.closing import service
from engine.runtime.database import Database
from engine.runtime.jobs import Jobs
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenants

CLOSE_BUSINESS = "closing.close_business"
_ACTOR = "system:closing"


async def close_business(db: Database, keys: FileKeyStore, tenants: Tenants, *, tenant_id: int) -> None:
    """Close the days that are over, of a scheme whose first day was closed by hand."""
    async with db.unit_of_work(tenant_id) as session:
        is_begun = await service.is_begun(session)
    if is_begun:
        await service.close_business(db, keys, tenants.by_id(tenant_id), actor=_ACTOR)


JOBS: Jobs = {CLOSE_BUSINESS: close_business}
