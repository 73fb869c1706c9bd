"""Many members as they stand for claims, for figures over all of them: nothing is held, and nobody reads who they are."""

from collections.abc import Mapping
from datetime import date

from sqlalchemy.ext.asyncio import AsyncSession

from engine.benefits.errors import NoPriceYet
from engine.benefits.queries import claiming as claiming_queries
from engine.benefits.queries import promises as promise_queries
from engine.benefits.queries import standing as queries
from engine.benefits.queries.standing import Key
from engine.benefits.rules import Claimant
from engine.benefits.service.claiming import claimed_before, holdings_of, left_of
from engine.funds.rules import FundsRule
from engine.kernel.rules import Dates
from engine.tenancy.service import Tenant


async def claimants(
    session: AsyncSession, tenant: Tenant, joined: Mapping[Key, date], *, on: date
) -> dict[Key, Claimant | NoPriceYet]:
    """Return members of products as their claims on a day would be decided, without birth date and sex; or why they cannot be.

    Args:
        session: the tenant's.
        tenant: the scheme.
        joined: since when they are in the product, by (member_id, product).
        on: the day of the claims.
    """
    unitised = [code for code, book in tenant.pack.books.items() if book.in_force(FundsRule, Dates(on=on)) is not None]
    stands = await queries.stands(session, list(joined), on=on, unitised=unitised)
    funds = sorted({fund for one in stands.values() for _, _, fund in one.held if fund})
    prices = await claiming_queries.last_prices(session, funds, on) if funds else {}
    settled = await promise_queries.settled(session, list(joined))
    found: dict[Key, Claimant | NoPriceYet] = {}
    for key, stand in stands.items():
        reserved = [one for one in stand.claims if one.state in ("decided", "pledged")]
        left = {place: left_of(*place, balance, reserved) for place, balance in stand.held.items()}
        try:
            found[key] = Claimant(
                on=on,
                joined_on=joined[key],
                holdings=holdings_of(tenant, left, prices),
                paid=tuple(stand.paid),
                settled=settled.get(key, frozenset()),
                **claimed_before(stand.claims),
            )
        except NoPriceYet as refusal:
            found[key] = refusal
    return found
