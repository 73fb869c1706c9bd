"""Background work of contributions. Each job can run twice without a second effect."""

from engine.contributions import service
from engine.kernel.clock import business_date
from engine.kernel.ids import claim_digest, house_member
from engine.ledger import service as ledger
from engine.ledger.rules import Entry, EventKind
from engine.runtime.database import Database
from engine.runtime.jobs import Jobs
from engine.runtime.key_file import FileKeyStore
from engine.tenancy import service as tenancy
from engine.tenancy.service import Tenants

RECOMPUTE_CHANGES = "contributions.recompute_changes"
CARRY_ON_REVERSALS = "contributions.carry_on_reversals"
_ACTOR = "system:rules"


async def recompute_changes(db: Database, _keys: FileKeyStore, tenants: Tenants, *, tenant_id: int) -> None:
    """Decide again what the pack version in force has changed in arrears; receipts still on their way come later."""
    tenant = tenants.by_id(tenant_id)
    async with db.unit_of_work(tenant_id) as session:
        reach = await tenancy.reaches_back(session, tenant)
    if reach is None:
        return
    report = await service.recompute(db, tenant, reach, actor=_ACTOR)
    async with db.unit_of_work(tenant_id) as session:
        entry = Entry(
            member_id=house_member(tenant_id),
            kind=EventKind.RULES_RECOMPUTED,
            business_date=business_date(await ledger.scheme_now(session), tenant.time_zone),
            actor=await ledger.actor_id(session, _ACTOR),
            pack=tenant.pack_id,
            body={"since": reach.since.isoformat(), "moved": report.moved, "refused": report.refused},
            claims=(claim_digest(tenant_id, "recomputed", f"{tenant.pack_id}:{report.moved}:{report.refused}"),),
        )
        if report.moved or report.refused:
            await ledger.post(session, [entry])


async def carry_on_reversals(db: Database, keys: FileKeyStore, tenants: Tenants, *, tenant_id: int) -> None:
    """Carry on the taking back of payments that waited for a price."""
    await service.carry_on_reversals(db, keys, tenants.by_id(tenant_id))


JOBS: Jobs = {RECOMPUTE_CHANGES: recompute_changes, CARRY_ON_REVERSALS: carry_on_reversals}
