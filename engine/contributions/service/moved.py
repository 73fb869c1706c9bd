"""Where the money of a payment is now: in the product it came to, or in those its member moved to since."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy.ext.asyncio import AsyncSession

from engine.contributions import queries
from engine.contributions.queries import CameAs
from engine.contributions.queries import moved as moves
from engine.contributions.queries.moved import BoughtAnew, MovedBy
from engine.funds import service as funds
from engine.funds.service import AllocationState


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A payment as it stands: the product it is in now, and by that product's pots what it put there and the units it bought, by fund.

    `pots` are smallest units of money, as they were paid in; `earned` the part of them that it earned in suspense; `by_fund` what
    went into each fund. `is_anew` where a move invested it again, with the member's other money; `is_moving` while a move out of
    the product sells its units.
    """

    product: str
    stage: AllocationState | None
    pots: Mapping[str, int]
    earned: Mapping[str, int]
    units: Mapping[str, Mapping[str, int]]
    by_fund: Mapping[str, int]
    is_anew: bool = False
    is_moving: bool = False


async def place_of(session: AsyncSession, came: CameAs, keys: Sequence[tuple[int, int]]) -> Place:
    """Return where a member's payment is; nothing of it can be dealt until the session ends.

    Args:
        session: the caller's.
        came: the payment, held by a member.
        keys: the events that credited it, as (member_id, event_id): its own first, then what it earned in suspense.
    """
    stage = await funds.hold_allocation(session, *keys[0])
    found = [await queries.standing_receipt(session, *key, came.product) for key in keys]
    allocated = [await queries.allocated_by_fund(session, *key) for key in keys]
    place = Place(
        product=came.product,
        stage=stage,
        pots=summed([one.pots for one in found]),
        earned=summed([one.pots for one in found[1:]]),
        units={
            pot: summed([one.units.get(pot, {}) for one in found])
            for pot in sorted({pot for one in found for pot in one.units})
        },
        by_fund=summed(allocated),
    )
    money = place.pots
    for move in await moves.moved_since(session, came.bearer, came.holder_event):
        if move.source == place.product:
            place, money = await _follow(session, move, came.origin, place, money)
    is_moving = await moves.is_moving(session, came.bearer, place.product)
    return replace(place, is_moving=is_moving)


def summed(many: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """Return the sums of amounts by their names."""
    return {name: sum(one.get(name, 0) for one in many) for name in sorted({name for one in many for name in one})}


def _renamed(pots: Mapping[str, str], amounts: Mapping[str, int]) -> dict[str, int]:
    return summed([{pots.get(pot, pot): minor} for pot, minor in amounts.items()])


async def _follow(
    session: AsyncSession, move: MovedBy, origin: str, place: Place, money: Mapping[str, int]
) -> tuple[Place, Mapping[str, int]]:
    """Return where the payment is after a move, and the cash it was as it moved, by pot."""
    pots, earned = _renamed(move.pots, place.pots), _renamed(move.pots, place.earned)
    bought = await moves.bought_anew(session, move, origin)
    if place.units and bought:
        money = await moves.sold_for_move(session, move, origin, place.units)
    money = _renamed(move.pots, money)
    if not bought:
        units: dict[str, dict[str, int]] = {}
        for pot, per_fund in place.units.items():
            new = move.pots.get(pot, pot)
            units[new] = summed([units.get(new, {}), per_fund])
        return replace(place, product=move.target, pots=pots, earned=earned, units=units), money
    share = [_share_of(one, money, bought) for one in bought]
    states = {one.state for one in bought}
    return Place(
        product=move.target,
        stage=AllocationState.PRICED if states == {"priced"} else AllocationState.ORDERED,
        pots=pots,
        earned=earned,
        units={
            pot: {one.fund: one.units for one in share if one.pot == pot and one.units}
            for pot in sorted({one.pot for one in share if one.units})
        },
        by_fund=summed([{one.fund: one.amount} for one in share if one.amount]),
        is_anew=True,
    ), money


def _share_of(one: BoughtAnew, money: Mapping[str, int], bought: Sequence[BoughtAnew]) -> BoughtAnew:
    """Return the part of what a pot bought that a payment's money has in it, rounded down."""
    whole = sum(other.amount for other in bought if other.pot == one.pot)
    part = min(money.get(one.pot, 0), whole)
    return BoughtAnew(one.pot, one.fund, one.amount * part // whole, one.units * part // whole, one.state)
