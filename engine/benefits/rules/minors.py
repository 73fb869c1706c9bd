"""Money held in trust for a minor: who holds it, and what is released when. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Literal

from msgspec import Meta, Struct

from engine.benefits.errors import MoreThanReleased, NoSuchRule, PurposeNeeded
from engine.benefits.rules.parameters import Bp, Years, share_of
from engine.funds.rules import Given, in_major
from engine.kernel.months import LeapDay, age_on
from engine.kernel.rounding import Rounding
from engine.kernel.rules import Rule
from engine.kernel.series import SeriesCode
from engine.tenancy.rules.books import InForce
from engine.tenancy.rules.manifest import Code
from engine.tenancy.rules.proving import ScenarioContext


class Release(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What has been released from an age on, in basis points of the whole inheritance."""

    at_age: Years
    share_bp: Bp


class MinorTrustRule(Rule, tag="minor-trust", frozen=True, kw_only=True):
    """A death benefit of a minor is held by a trustee and released by age (W14).

    Trust funds for orphans, such as those that Kenyan administrators keep, need it. Before the last release the `purposes`
    (school fees, medical care) may take up to `purposes_bp` of the inheritance in each scheme year; what they took counts
    towards the releases. The last release is of the whole, with whatever it earned: at the fund's return, or by `series`.
    """

    trustee: Code
    releases: Annotated[tuple[Release, ...], Meta(min_length=1)]
    purposes: tuple[Code, ...] = ()
    purposes_bp: Bp = 0
    leap_day: LeapDay
    rounding: Rounding
    earns: Literal["fund", "series", "nothing"]
    series: SeriesCode | None = None

    def __post_init__(self) -> None:
        """Check the order of the releases, and that the last one is of the whole."""
        ages, shares = ([getattr(one, name) for one in self.releases] for name in ("at_age", "share_bp"))
        if ages != sorted(set(ages)) or shares != sorted(shares):
            raise ValueError("releases rise in age and in share")
        if shares[-1] != 10_000:
            raise ValueError("the last release is of the whole: share_bp = 10000")
        if bool(self.purposes) != bool(self.purposes_bp):
            raise ValueError("purposes need purposes_bp, and that needs them")
        if (self.earns == "series") != (self.series is not None):
            raise ValueError('earns = "series" needs series, and that needs it')


@dataclass(frozen=True, slots=True, kw_only=True)
class Inheritance:
    """A minor's money, smallest units: what was inherited, what is there now, what was paid out, and how much this year."""

    born_on: date
    inherited_minor: int
    balance_minor: int
    paid_minor: int = 0
    paid_in_year_minor: int = 0


@dataclass(frozen=True, slots=True)
class Released:
    """What may be paid now, to the heir by age or for a purpose, and the next age at which more is."""

    minor: int
    held_by: str
    next_age: int | None
    rules: tuple[str, ...]


def released(found: InForce[MinorTrustRule], held: Inheritance, on: date, purpose: str = "") -> Released:
    """Return how much may be paid now.

    Raises:
        PurposeNeeded: the purpose is none of the rule's.
    """
    rule = found.rule
    if purpose and purpose not in rule.purposes:
        raise PurposeNeeded(allowed=", ".join(rule.purposes))
    age = age_on(held.born_on, on, rule.leap_day)
    reached = [one for one in rule.releases if one.at_age <= age]
    ahead = [one.at_age for one in rule.releases if one.at_age > age]
    if not ahead:
        return Released(held.balance_minor, "", None, (found.ref,))
    share = share_of(held.inherited_minor, reached[-1].share_bp, rule.rounding) if reached else 0
    free = max(share - held.paid_minor, 0)
    if purpose:
        yearly = share_of(held.inherited_minor, rule.purposes_bp, rule.rounding) - held.paid_in_year_minor
        free = max(free, yearly, 0)
    return Released(min(free, held.balance_minor), rule.trustee, ahead[0], (found.ref,))


def check_release(free: Released, minor: int) -> None:
    """Refuse a payment of more than is released; MoreThanReleased says when more is."""
    if minor > free.minor:
        raise MoreThanReleased(age=free.next_age or 0)


def run_minor_trust(context: ScenarioContext) -> Mapping[str, str]:
    """Decide a pack's example of a minor's money, for one of the example's `born_on`.

    Given `inherited`, the `balance`, what was `paid` and `paid_in_year`, a `purpose`, and an `amount` if one is asked for,
    returns `released`, `held_by` and `next_age`.

    Raises:
        NoSuchRule: minors' money is not held in trust.
        PurposeNeeded, MoreThanReleased: see there.
    """
    given, found, asset = Given.of(context), context.rule(MinorTrustRule), context.asset
    if found is None:
        raise NoSuchRule(rule="minor-trust")
    held = Inheritance(
        born_on=context.dates.born_on or given.day("born_on"),
        inherited_minor=given.minor("inherited"),
        balance_minor=given.minor("balance"),
        paid_minor=given.minor("paid", 0),
        paid_in_year_minor=given.minor("paid_in_year", 0),
    )
    age = age_on(held.born_on, context.on, found.rule.leap_day)
    for row, one in enumerate(found.rule.releases, 1):
        context.compare(found, f"releases[{row}].at_age", age, one.at_age)
    free = released(found, held, context.on, given.text("purpose", ""))
    if given.has("amount"):
        context.compare(found, "purposes_bp" if given.has("purpose") else "share_bp", given.minor("amount"), free.minor)
        check_release(free, given.minor("amount"))
    return {
        "released": in_major(free.minor, asset),
        "held_by": free.held_by,
        "next_age": "" if free.next_age is None else str(free.next_age),
    }
