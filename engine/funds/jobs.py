"""Background work of the funds. Each job can run twice without a second effect."""

from engine.funds import service
from engine.kernel.clock import business_date
from engine.ledger import service as ledger
from engine.runtime.database import Database
from engine.runtime.jobs import Jobs
from engine.runtime.secrets import KeyStore
from engine.tenancy.service import Tenants

PRICE_ORDERS = "funds.price_orders"
JUDGE_CONFIRMATIONS = "funds.judge_confirmations"
CARRY_ON_CORRECTIONS = "funds.carry_on_corrections"
CARRY_ON_ACTIONS = "funds.carry_on_actions"
REBALANCE = "funds.rebalance"
_ACTOR = "system:dealing"


async def price_orders(db: Database, _keys: KeyStore, tenants: Tenants, *, tenant_id: int) -> None:
    """Allot the orders that were waiting for prices which have come by the scheme's today."""
    tenant = tenants.by_id(tenant_id)
    async with db.unit_of_work(tenant_id) as session:
        today = business_date(await ledger.scheme_now(session), tenant.pack.time_zone)
    await service.price_orders(db, tenant, today, _ACTOR)


async def judge_confirmations(db: Database, _keys: KeyStore, tenants: Tenants, *, tenant_id: int) -> None:
    """Hold confirmations that came before their orders' prices against those orders."""
    await service.judge_confirmations(db, tenants.by_id(tenant_id))


async def carry_on_corrections(db: Database, _keys: KeyStore, tenants: Tenants, *, tenant_id: int) -> None:
    """Book what is left of corrected prices that two people stand for."""
    await service.carry_on_corrections(db, tenants.by_id(tenant_id))


async def carry_on_actions(db: Database, _keys: KeyStore, tenants: Tenants, *, tenant_id: int) -> None:
    """Book what is left of splits and distributions that two people stand for."""
    await service.carry_on_actions(db, tenants.by_id(tenant_id))


async def rebalance(db: Database, _keys: KeyStore, tenants: Tenants, *, tenant_id: int) -> None:
    """Bring what is invested onto the path of ages, once a scheme year."""
    await service.rebalance(db, tenants.by_id(tenant_id))


JOBS: Jobs = {
    PRICE_ORDERS: price_orders,
    JUDGE_CONFIRMATIONS: judge_confirmations,
    CARRY_ON_CORRECTIONS: carry_on_corrections,
    CARRY_ON_ACTIONS: carry_on_actions,
    REBALANCE: rebalance,
}
