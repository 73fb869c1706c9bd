"""Payments given out of suspense by two people, as tests of other things need it."""

from engine.contributions import service as contributions
from engine.contributions.rules import Receipt
from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant


async def give(
    db: Database,
    keys: FileKeyStore,
    tenant: Tenant,
    receipt: int,
    *,
    member: str,
    maker: str = "staff:1",
    checker: str = "staff:2",
) -> Receipt:
    """Give a suspended payment to a member: proposed by one person and confirmed by another; return its receipt."""
    async with db.unit_of_work(tenant.tenant_id) as session:
        proposed = await contributions.propose_owner(session, keys, tenant, receipt, member=member, actor=maker)
    return await contributions.confirm_owner(db, keys, tenant, proposed.proposal, digest=proposed.digest, actor=checker)
