"""Background work of opening balances. Each job can run twice without a second effect."""

from engine.opening import service
from engine.runtime.database import Database
from engine.runtime.jobs import Jobs
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenants

POST_OPENINGS = "opening.post_openings"
_ACTOR = "system:opening"


async def post_openings(db: Database, keys: FileKeyStore, tenants: Tenants, *, tenant_id: int) -> None:
    """Enrol the members of approved openings and post what they held."""
    await service.post_openings(db, keys, tenants.by_id(tenant_id), actor=_ACTOR)


JOBS: Jobs = {POST_OPENINGS: post_openings}
