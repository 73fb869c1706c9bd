"""What of state or employer money is a leaver's for good, and what they forfeit with its income. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from engine.benefits.errors import NoExit
from engine.benefits.rules.consuming import Holding
from engine.contributions.rules import VestingRule, vested_on_leaving
from engine.kernel.amounts import Amount, Asset
from engine.tenancy.rules.books import InForce

_UNITS = Asset("", 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaving:
    """Somebody who leaves on a `ground`: completed months since joining, completed years of age where they are known.

    `contributed` is what was paid in by origin, less what was taken, smallest units. Who `holds_units` is paid what these bring.
    """

    ground: str
    months: int
    age: int | None
    contributed: dict[str, int]
    holds_units: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AsVested:
    """What is paid and what is forfeited by pot and origin, to whom, and the rules that say so."""

    parts: tuple[Holding, ...]
    forfeited: tuple[Holding, ...]
    forfeited_to: str
    rules: tuple[str, ...]


def as_vested(
    rules: Sequence[InForce[VestingRule]],
    parts: Sequence[Holding],
    forfeited: Sequence[Holding],
    forfeited_to: str,
    case: Leaving,
) -> AsVested:
    """Return what a leaver is paid of `parts`, smallest units, once what has not vested is taken out of them; nothing is lost.

    The unvested of an origin is shared among its pots with largest remainders. Income goes along in proportion, or stays with the member.

    Raises:
        NoExit: two roles would get what is forfeited, or only part of units that are sold for it.
    """
    found = AsVested(parts=tuple(parts), forfeited=tuple(forfeited), forfeited_to=forfeited_to, rules=())
    for rule in rules:
        if case.ground not in rule.rule.grounds:
            continue
        of = [one for one in found.parts if one.origin == rule.rule.origin]
        held = sum(one.minor for one in of)
        base = held if rule.rule.income_goes_along else min(held, max(case.contributed.get(rule.rule.origin, 0), 0))
        kept = vested_on_leaving(rule.rule, Amount(base, _UNITS), case.months, ground=case.ground, age=case.age)
        lost = base - kept.units
        found = replace(found, rules=(*found.rules, rule.ref))
        if not lost:
            continue
        if found.forfeited_to not in ("", rule.rule.forfeited_to) or (case.holds_units and lost < held):
            raise NoExit(ground=case.ground)
        shares = [one.units for one in Amount(lost, _UNITS).share_out([one.minor for one in of])]
        taken = {(one.pot, one.origin): share for one, share in zip(of, shares, strict=True)}
        left = (replace(one, minor=one.minor - taken.get((one.pot, one.origin), 0)) for one in found.parts)
        found = replace(
            found,
            parts=tuple(one for one in left if one.minor),
            forfeited=(*found.forfeited, *(Holding(*place, minor) for place, minor in taken.items() if minor)),
            forfeited_to=rule.rule.forfeited_to,
        )
    return found
