"""Members are told once a scheme year that the statement of the year that ended is there for them."""

from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from engine.kernel.clock import business_date
from engine.kernel.ids import claim_digest, house_member
from engine.ledger import service as ledger
from engine.ledger.rules import Entry, EventKind, Outcome
from engine.tenancy.service import Tenant

YEARLY = "statement-ready"
"""The occasion of statements, asked for by telephone or made once a year."""


async def tell_of_statements(session: AsyncSession, tenant: Tenant, product: str, *, actor: str) -> bool:
    """Have everybody who was in a product at the end of its last scheme year told of that year's statement; return whether they are now.

    One event of the house, once a product and year; it is no sign of life of any member. The messages follow as those of
    all events do. Before the product's first year has ended nobody is told.

    Args:
        session: one tenant's transaction.
        tenant: the scheme.
        product: whose members are told.
        actor: who says that the statements are ready.

    Raises:
        UnknownProduct: the scheme has no such product.
    """
    today = business_date(await ledger.scheme_now(session), tenant.time_zone)
    found = tenant.product(product)
    last_day = found.scheme_year(today)[0] - timedelta(days=1)
    if last_day < found.opened_on:
        return False
    entry = Entry(
        member_id=house_member(tenant.tenant_id),
        kind=EventKind.MESSAGE_WANTED,
        business_date=today,
        actor=await ledger.actor_id(session, actor),
        pack=tenant.pack_id,
        body={"occasion": YEARLY, "product": product, "day": last_day.isoformat()},
        claims=(claim_digest(tenant.tenant_id, "statements-told", f"{product}:{last_day}"),),
    )
    (fate,) = await ledger.post(session, [entry])
    return fate.outcome is Outcome.POSTED
