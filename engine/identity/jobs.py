"""Background work of identity. Each job can run twice without a second effect."""

from engine.identity import service
from engine.runtime.database import Database
from engine.runtime.jobs import Jobs
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenants

INDEX_TELEPHONES = "identity.index_telephones"


async def index_telephones(db: Database, keys: FileKeyStore, _tenants: Tenants, *, tenant_id: int) -> None:
    """Let members whose documents are new or changed be found by their telephones."""
    more = True
    while more:
        async with db.unit_of_work(tenant_id) as session:
            more = await service.index_telephones(session, keys) > 0


JOBS: Jobs = {INDEX_TELEPHONES: index_telephones}
