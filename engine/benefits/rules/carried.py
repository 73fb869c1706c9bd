"""What a member paid in before they moved from another product, as the product they moved into counts it. Pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

from engine.benefits.rules.claiming import PaidIn


@dataclass(frozen=True, slots=True, kw_only=True)
class Came:
    """A move: its day, which facts it kept, which pot each old one became, and the money that came by pot and origin, smallest units."""

    on: date
    keeps: Collection[str]
    pots: Mapping[str, str]
    money: Mapping[tuple[str, str], int] = field(default_factory=dict)


def paid_before(paid: Sequence[PaidIn], came: Came) -> tuple[PaidIn, ...]:
    """Return what was paid in the product left as the new one counts it.

    Each payment keeps its day where the first contribution moved along, else it counts from the day of the move. It keeps its
    amount where the cost basis did; else the money that came counts as paid in on that day, and of the payments the day of
    the first is left.
    """
    renamed = [replace(one, pot=came.pots.get(one.pot, one.pot)) for one in paid]
    keeps_days = "first-contribution" in came.keeps
    if "cost-basis" in came.keeps:
        return tuple(renamed if keeps_days else [replace(one, on=came.on) for one in renamed])
    arrived = tuple(PaidIn(came.on, pot, origin, minor) for (pot, origin), minor in sorted(came.money.items()) if minor)
    if not keeps_days or not renamed:
        return arrived
    first = min(renamed, key=lambda one: one.on)
    return (replace(first, minor=0, is_reversed=False), *arrived)
