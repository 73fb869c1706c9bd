"""Which of a member's money is taken first: by pot, and by origin within a pot. Pure; nothing is lost."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta, Struct

from engine.benefits.rules.parameters import Origin
from engine.funds.rules import Given
from engine.kernel.amounts import Amount, Asset
from engine.tenancy.rules.manifest import Code

_UNITS = Asset("", 0)


class ConsumptionOrder(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which pots and which origins of money something is taken from; those not named are never touched.

    "in-order" empties the first before it touches the second; "pro-rata" takes from all in proportion to what they hold,
    rounded down, with the smallest units left over from the largest remainders, the earlier on a tie.
    """

    pots: Annotated[tuple[Code, ...], Meta(min_length=1)]
    pots_by: Literal["in-order", "pro-rata"]
    origins: Annotated[tuple[Origin, ...], Meta(min_length=1)]
    origins_by: Literal["in-order", "pro-rata"]

    def __post_init__(self) -> None:
        """Check that each stands once."""
        if len(set(self.pots)) < len(self.pots) or len(set(self.origins)) < len(self.origins):
            raise ValueError("each pot and each origin may stand once")


@dataclass(frozen=True, slots=True)
class Holding:
    """Smallest units of money (>= 0), or of what they are worth, in one pot and of one origin."""

    pot: str
    origin: str
    minor: int


@dataclass(frozen=True, slots=True)
class Consumed:
    """What was taken, by pot and origin, without zeros; and what could not be."""

    parts: tuple[Holding, ...]
    short_minor: int

    @property
    def minor(self) -> int:
        """Return all that was taken."""
        return sum(one.minor for one in self.parts)


def reachable(holdings: Sequence[Holding], order: ConsumptionOrder) -> int:
    """Return how much there is in the order's pots and of its origins."""
    return sum(one.minor for one in holdings if one.pot in order.pots and one.origin in order.origins)


def consume(minor: int, holdings: Sequence[Holding], order: ConsumptionOrder) -> Consumed:
    """Take `minor` (>= 0) from holdings in an order, or as much as there is."""
    held = {(one.pot, one.origin): one.minor for one in holdings}
    by_pot = [sum(held.get((pot, origin), 0) for origin in order.origins) for pot in order.pots]
    parts = []
    for pot, from_pot in zip(order.pots, _shared(minor, by_pot, order.pots_by), strict=True):
        by_origin = [held.get((pot, origin), 0) for origin in order.origins]
        for origin, taken in zip(order.origins, _shared(from_pot, by_origin, order.origins_by), strict=True):
            parts.append(Holding(pot, origin, taken))
    taken_parts = tuple(one for one in parts if one.minor)
    return Consumed(taken_parts, minor - sum(one.minor for one in taken_parts))


def remaining(holdings: Sequence[Holding], consumed: Consumed) -> tuple[Holding, ...]:
    """Return the holdings less what was taken of them."""
    gone = {(one.pot, one.origin): one.minor for one in consumed.parts}
    return tuple(Holding(one.pot, one.origin, one.minor - gone.get((one.pot, one.origin), 0)) for one in holdings)


def holdings_given(given: Given) -> tuple[Holding, ...]:
    """Return the holdings of a worked example: `holdings = [{ pot, origin, amount }]`."""
    return tuple(Holding(one.text("pot"), one.text("origin"), one.minor("amount")) for one in given.rows("holdings"))


def _shared(minor: int, held: Sequence[int], by: str) -> list[int]:
    """Return what each of `held` gives towards `minor`; all of them where that is more than there is."""
    wanted = min(minor, sum(held))
    if by == "pro-rata" and wanted:
        return [one.units for one in Amount(wanted, _UNITS).share_out(held)]
    given = []
    for one in held:
        given.append(min(one, wanted))
        wanted -= given[-1]
    return given
