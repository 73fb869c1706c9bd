"""Background work of benefits. Each job can run twice without a second effect."""

from engine.benefits.service import (
    charging,
    claiming,
    estates,
    insuring,
    ladders,
    merging,
    moving,
    recounting,
    repaying,
    settling,
    taking_in,
)
from engine.runtime.database import Database
from engine.runtime.jobs import Jobs
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenants

SETTLE_PAYOUTS = "benefits.settle_payouts"
CARRY_ON_CLAIMS = "benefits.carry_on_claims"
CARRY_ON_FEES = "benefits.carry_on_fees"
CARRY_ON_MOVES = "benefits.carry_on_moves"
FOLLOW_STANDINGS = "benefits.follow_standings"
FOLLOW_MERGED = "benefits.follow_merged"
FOLLOW_DEATHS = "benefits.follow_deaths"
RECOUNT = "benefits.recount"
FOLLOW_LOANS = "benefits.follow_loans"
LAPSE_COVERS = "benefits.lapse_covers"
TAKE_TRANSFERS_IN = "benefits.take_transfers_in"


async def settle_payouts(db: Database, keys: FileKeyStore, tenants: Tenants, *, tenant_id: int) -> None:
    """Look for payouts on statements that came since."""
    await settling.settle_payouts(db, keys, tenants.by_id(tenant_id))


async def carry_on_claims(db: Database, _keys: FileKeyStore, tenants: Tenants, *, tenant_id: int) -> None:
    """Make payable what claims' units brought, once their money has come."""
    await claiming.carry_on_claims(db, tenants.by_id(tenant_id))


async def carry_on_fees(db: Database, _keys: FileKeyStore, tenants: Tenants, *, tenant_id: int) -> None:
    """Take the fees that units were sold for."""
    await charging.carry_on_fees(db, tenants.by_id(tenant_id))


async def carry_on_moves(db: Database, _keys: FileKeyStore, tenants: Tenants, *, tenant_id: int) -> None:
    """Move whoever of approved moves between products is ready by now."""
    await moving.carry_on_moves(db, tenants.by_id(tenant_id))


async def follow_merged(db: Database, _keys: FileKeyStore, tenants: Tenants, *, tenant_id: int) -> None:
    """Let what came to merged records since go to whose they are."""
    await merging.follow_merged(db, tenants.by_id(tenant_id))


async def follow_standings(db: Database, _keys: FileKeyStore, tenants: Tenants, *, tenant_id: int) -> None:
    """Move members who stopped paying along their ladders, once a day, and let whoever has paid come back."""
    await ladders.follow_standings(db, tenants.by_id(tenant_id))


async def follow_deaths(db: Database, keys: FileKeyStore, tenants: Tenants, *, tenant_id: int) -> None:
    """Open claims of deaths that were confirmed, close those of deaths that were taken back."""
    await estates.follow_deaths(db, keys, tenants.by_id(tenant_id))


async def recount(db: Database, _keys: FileKeyStore, tenants: Tenants, *, tenant_id: int) -> None:
    """Look for what the rules and figures in force change of what was posted, and carry on what was approved of it."""
    tenant = tenants.by_id(tenant_id)
    await recounting.find_recount(db, tenant)
    await recounting.carry_on_recounts(db, tenant)


async def follow_loans(db: Database, keys: FileKeyStore, tenants: Tenants, *, tenant_id: int) -> None:
    """Give payments that name a loan to it; then do with overdue loans what their rules say."""
    tenant = tenants.by_id(tenant_id)
    await repaying.take_repayments(db, keys, tenant)
    await repaying.follow_loans(db, tenant)


async def lapse_covers(db: Database, _keys: FileKeyStore, tenants: Tenants, *, tenant_id: int) -> None:
    """End the covers whose premium was not paid in time, once a day."""
    await insuring.lapse_covers(db, tenants.by_id(tenant_id))


async def take_transfers_in(db: Database, keys: FileKeyStore, tenants: Tenants, *, tenant_id: int) -> None:
    """Post savings of other schemes whose payment has come."""
    await taking_in.take_transfers_in(db, keys, tenants.by_id(tenant_id))


JOBS: Jobs = {
    SETTLE_PAYOUTS: settle_payouts,
    CARRY_ON_CLAIMS: carry_on_claims,
    CARRY_ON_FEES: carry_on_fees,
    CARRY_ON_MOVES: carry_on_moves,
    FOLLOW_MERGED: follow_merged,
    FOLLOW_STANDINGS: follow_standings,
    FOLLOW_DEATHS: follow_deaths,
    RECOUNT: recount,
    FOLLOW_LOANS: follow_loans,
    LAPSE_COVERS: lapse_covers,
    TAKE_TRANSFERS_IN: take_transfers_in,
}
