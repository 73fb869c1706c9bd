"""What a claim of all that an account holds is raised to by a guarantee, and what of it goes to the guarantor. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.benefits.errors import GuaranteeNotOffered
from engine.benefits.rules.consuming import Holding
from engine.funds.rules import GuaranteeCase, GuaranteeRule, Movement, guaranteed_minor
from engine.kernel.series import Figures
from engine.kernel.tables import LookupTable
from engine.tenancy.rules.books import InForce


@dataclass(frozen=True, slots=True)
class Topped:
    """What is paid of each pot and origin, what goes to the guarantor, and what it adds; smallest units."""

    paid: tuple[Holding, ...]
    excess: tuple[Holding, ...]
    top_up_minor: int


def guarantee_for(rules: Sequence[InForce[GuaranteeRule]], occasions: Sequence[str]) -> InForce[GuaranteeRule] | None:
    """Return the guarantee of the first of some words for an occasion that has one."""
    for occasion in occasions:
        for found in rules:
            if occasion in found.rule.occasions:
                return found
    return None


def least_of(
    found: InForce[GuaranteeRule], case: GuaranteeCase, figures: Figures, tables: Mapping[str, LookupTable]
) -> int:
    """Return the least that is paid, smallest units.

    Raises:
        GuaranteeNotOffered: what the table is kept by is not known of this member.
        SeriesValueMissing, TableValueMissing: see `guaranteed_minor`.
    """
    known = case.keys or {}
    if found.rule.table is not None:
        needed = tables[found.rule.table].keys
        if not set(needed) <= known.keys():
            raise GuaranteeNotOffered(guarantee=found.rule.id)
        case = GuaranteeCase(on=case.on, contributions=case.contributions, keys={name: known[name] for name in needed})
    return max(guaranteed_minor(found.rule, case, figures, tables), 0)


def topped(parts: Sequence[Holding], least_minor: int, *, to_guarantor: bool) -> Topped:
    """Raise parts to the least, or give the guarantor what is above it, out of the last parts first; nothing is lost."""
    held = sum(one.minor for one in parts)
    above = max(held - least_minor, 0) if to_guarantor else 0
    paid, excess = [], []
    for one in reversed(parts):
        here = min(above, one.minor)
        above -= here
        if here:
            excess.append(Holding(one.pot, one.origin, here))
        if one.minor > here:
            paid.append(Holding(one.pot, one.origin, one.minor - here))
    return Topped(tuple(reversed(paid)), tuple(reversed(excess)), max(least_minor - held, 0))


def movements_of(paid: Sequence[Movement], taken: Sequence[Movement]) -> tuple[Movement, ...]:
    """Return what went in and came out, in the order of the days."""
    return tuple(sorted((*paid, *taken), key=lambda one: one.on))
