"""What a member did in products they moved out of, as far as the rules of their moves let it count in the one they are in."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy.ext.asyncio import AsyncSession

from engine.benefits.errors import NoPriceYet
from engine.benefits.queries import claiming, moving
from engine.benefits.rules.carried import Came, paid_before
from engine.benefits.rules.claiming import PaidIn
from engine.enrolment import service as enrolment
from engine.kernel.prices import Price, value_of
from engine.tenancy.service import Tenant


@dataclass(frozen=True, slots=True)
class Behind:
    """A move into the product somebody is in, or into one behind it."""

    source: str
    target: str
    came: Came


async def moves_behind(session: AsyncSession, tenant: Tenant, member_id: int, product: str) -> list[Behind]:
    """Return the moves by which a member came into a product, and into those before it: the last first, each product once."""
    left = await enrolment.moves_of(session, member_id)
    found: list[Behind] = []
    seen, open_products = {product}, [product]
    while open_products:
        into = open_products.pop(0)
        for one in reversed(left):
            if one.target != into or one.source in seen:
                continue
            seen.add(one.source)
            open_products.append(one.source)
            money = {} if "cost-basis" in one.keeps else await _came(session, tenant, member_id, one)
            found.append(Behind(one.source, into, Came(on=one.moved_on, keeps=one.keeps, pots=one.pots, money=money)))
    return found


async def paid_into(
    session: AsyncSession, member_id: int, product: str, moves: Sequence[Behind], on: date
) -> tuple[PaidIn, ...]:
    """Return what was paid into a product by a day, and what came into it by moves as their rules count it, by day."""
    own = await claiming.paid_in(session, member_id, [product], on)
    before = [
        one
        for move in moves
        if move.target == product
        for one in paid_before(await paid_into(session, member_id, move.source, moves, on), move.came)
    ]
    return tuple(sorted((*before, *own), key=lambda one: one.on)) if before else own


def counts(moves: Sequence[Behind], product: str, past: str, fact: str) -> bool:
    """Return whether what was done in the product `past` counts in `product` as that fact: every move between them kept it."""
    while past != product:
        move = next(one for one in moves if one.source == past)
        if fact not in move.came.keeps:
            return False
        past = move.target
    return True


def pot_now(moves: Sequence[Behind], product: str, past: str, pot: str) -> str:
    """Return which pot of `product` a pot of the product `past` has become."""
    while past != product:
        move = next(one for one in moves if one.source == past)
        pot, past = move.came.pots.get(pot, pot), move.target
    return pot


async def _came(
    session: AsyncSession, tenant: Tenant, member_id: int, move: enrolment.MoveInto
) -> dict[tuple[str, str], int]:
    """Return the money that a move brought by pot and origin; units at their last price by its day, rounded down."""
    parts = await moving.came_by(session, member_id, move.event_id)
    prices = await claiming.last_prices(session, sorted({fund for _, _, fund, _ in parts if fund}), move.moved_on)
    found: dict[tuple[str, str], int] = {}
    for pot, origin, fund, amount in parts:
        worth = amount
        if fund:
            if fund not in prices:
                raise NoPriceYet(fund=fund)
            price = prices[fund]
            worth = value_of(
                amount,
                amount_scale=tenant.asset.scale,
                price=Price(price.digits, price.scale),
                unit_scale=price.unit_scale,
            )
        found[pot, origin] = found.get((pot, origin), 0) + worth
    return found
