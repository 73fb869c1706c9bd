"""Savings that go to another scheme or come from one: by which rule, and what goes along. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Literal

from msgspec import Meta, Struct

from engine.benefits.errors import NothingToTransfer, OriginNotTaken, PotNotTaken, TransferTooSoon
from engine.benefits.rules.consuming import Holding, holdings_given
from engine.benefits.rules.parameters import Months, Origin
from engine.funds.rules import Given, in_major
from engine.kernel.months import months_after
from engine.kernel.rules import Rule
from engine.kernel.series import Figure, Figures
from engine.tenancy.rules.books import InForce
from engine.tenancy.rules.manifest import Code
from engine.tenancy.rules.proving import ScenarioContext


class TransferOutRule(Rule, tag="transfer-out", frozen=True, kw_only=True):
    """How a member's savings go to another scheme.

    Nigeria needs it (savers choose who administers them, once a year at most) and every scheme of a country where people
    change between formal and informal work. All money of the named `pots` and `origins` goes, no part of it. A member asks
    with `documents`; where the other scheme asks for them, `scheme_documents` are needed, which hold the member's consent.
    `charge` is taken of what goes, for the role `payee`.
    """

    pots: Annotated[tuple[Code, ...], Meta(min_length=1)]
    origins: Annotated[tuple[Origin, ...], Meta(min_length=1)]
    least_months_in_scheme: Months
    months_between: Months
    documents: tuple[Code, ...]
    scheme_documents: tuple[Code, ...]
    charge: Figure | None = None
    payee: Code | None = None

    def __post_init__(self) -> None:
        """Check that a charge is somebody's, and each pot and origin stands once."""
        if (self.charge is None) != (self.payee is None):
            raise ValueError("charge and payee are said together")
        if len(set(self.pots)) < len(self.pots) or len(set(self.origins)) < len(self.origins):
            raise ValueError("each pot and each origin may stand once")


class TransferInRule(Rule, tag="transfer-in", frozen=True, kw_only=True):
    """Which savings of another scheme are taken, and where they go.

    Rwanda's long-term savings scheme needs it: former members of another scheme bring their benefits along. `origins` are
    those that are taken; a pot of the other scheme becomes the one that `pots` says, any other becomes `other_pots`, or is
    not taken without it. Contributions keep their days and amounts, so that taxes and waiting periods count on;
    `both_dates` says whether the member has joined on the earlier of the two days.
    """

    pots: Mapping[Code, Code]
    other_pots: Code | None = None
    origins: Annotated[tuple[Origin, ...], Meta(min_length=1)]
    both_dates: Literal["earlier", "this-products"]

    def __post_init__(self) -> None:
        """Check that something can be taken."""
        if not self.pots and self.other_pots is None:
            raise ValueError("say pots, or other_pots, or both")


def transfer_of(
    found: InForce[TransferOutRule],
    holdings: Sequence[Holding],
    figures: Figures,
    *,
    on: date,
    joined_on: date,
    last_on: date | None,
) -> tuple[tuple[Holding, ...], int]:
    """Return what goes to another scheme by pot and origin, and the charge on it, smallest units.

    Args:
        found: the rule.
        holdings: what the member is free to take.
        figures: what a charge comes to.
        on: the day it is asked for.
        joined_on: since when they are a member.
        last_on: the day on which they last asked for a transfer that was carried out, None for never.

    Raises:
        TransferTooSoon: they have not been here for long enough, or not since the last one.
        NothingToTransfer: there is nothing above the charge.

    """
    rule = found.rule
    since = [months_after(joined_on, rule.least_months_in_scheme)]
    if last_on is not None:
        since.append(months_after(last_on, rule.months_between))
    if on < max(since):
        raise TransferTooSoon(day=max(since).isoformat())
    goes = tuple(one for one in holdings if one.minor > 0 and one.pot in rule.pots and one.origin in rule.origins)
    charge = 0 if rule.charge is None else figures.amount(rule.charge, on).units
    if sum(one.minor for one in goes) <= charge:
        raise NothingToTransfer
    return goes, charge


def less_charge(nets: Mapping[tuple[str, str], int], charge: int) -> dict[tuple[str, str], int]:
    """Return what of a charge each pot and origin bears, in their order, zeros left out; a last smallest unit always goes."""
    left = min(charge, max(sum(nets.values()) - 1, 0))
    borne = {}
    for key, minor in sorted(nets.items()):
        here = min(left, minor)
        if here:
            borne[key] = here
        left -= here
    return borne


# -- what goes along


class Carried(Struct, frozen=True, array_like=True):
    """Money of a pot and origin, smallest units, and how much of it was paid in; the rest is income."""

    pot: str
    origin: str
    amount: int
    contributions: int


class CarriedPayment(Struct, frozen=True, array_like=True):
    """What is left of contributions of one day to a pot, smallest units (> 0)."""

    paid_on: date
    pot: str
    origin: str
    amount: int


@dataclass(frozen=True, slots=True)
class Brought:
    """What goes along: smallest units by pot and origin, and the contributions in it by day."""

    parts: tuple[Carried, ...]
    payments: tuple[CarriedPayment, ...]

    @property
    def amount(self) -> int:
        """Return all of it."""
        return sum(one.amount for one in self.parts)


def taken_in(found: InForce[TransferInRule], brought: Brought) -> Brought:
    """Return what comes, in this scheme's pots; parts that fall together are added up.

    Raises:
        OriginNotTaken, PotNotTaken: the rule has no place for a part; all of it stays out.
    """
    rule = found.rule
    for one in brought.parts:
        if one.origin not in rule.origins:
            raise OriginNotTaken(origin=one.origin)
        if one.pot not in rule.pots and rule.other_pots is None:
            raise PotNotTaken(pot=one.pot)
    parts: dict[tuple[str, str], Carried] = {}
    for one in brought.parts:
        key = (_pot(rule, one.pot), one.origin)
        before = parts.get(key, Carried(*key, 0, 0))
        parts[key] = Carried(*key, before.amount + one.amount, before.contributions + one.contributions)
    payments: dict[tuple[date, str, str], int] = {}
    for payment in brought.payments:
        day = (payment.paid_on, _pot(rule, payment.pot), payment.origin)
        payments[day] = payments.get(day, 0) + payment.amount
    return Brought(
        tuple(one for _, one in sorted(parts.items())),
        tuple(CarriedPayment(*day, minor) for day, minor in sorted(payments.items())),
    )


def _pot(rule: TransferInRule, pot: str) -> str:
    found = rule.pots.get(pot, rule.other_pots)
    assert found is not None, pot
    return found


def joined_after(found: InForce[TransferInRule], here: date, there: date) -> date:
    """Return since when somebody counts as a member who comes with savings of another scheme that they joined."""
    return min(here, there) if found.rule.both_dates == "earlier" else here


# -- examples


def run_transfer_out(context: ScenarioContext) -> Mapping[str, str]:
    """Decide a pack's example of savings that go to another scheme, for a member who joined on the example's `joined_on`.

    Given `holdings`, the day of the `last` transfer and whether the other scheme asks (`by_scheme`), returns `amount`, `charge`,
    `payee`, `documents` and `parts.<pot>.<origin>` before the charge.

    Raises:
        NothingToTransfer: there is no rule for it, or nothing to go.
        TransferTooSoon: see there.
    """
    given, asset = Given.of(context), context.asset
    found = context.rule(TransferOutRule)
    if found is None:
        raise NothingToTransfer
    joined_on, last_on = context.joined_on or context.on, given.maybe_day("last")
    since = months_after(joined_on, found.rule.least_months_in_scheme)
    context.compare(found, "least_months_in_scheme", context.on.toordinal(), since.toordinal())
    if last_on is not None:
        next_on = months_after(last_on, found.rule.months_between)
        context.compare(found, "months_between", context.on.toordinal(), next_on.toordinal())
    goes, charge = transfer_of(
        found, holdings_given(given), context.figures, on=context.on, joined_on=joined_on, last_on=last_on
    )
    total = sum(one.minor for one in goes)
    return {
        "amount": in_major(total - charge, asset),
        "charge": in_major(charge, asset),
        "payee": found.rule.payee or "",
        "documents": ", ".join(found.rule.scheme_documents if given.flag("by_scheme") else found.rule.documents),
        **{f"parts.{one.pot}.{one.origin}": in_major(one.minor, asset) for one in goes},
    }


def run_transfer_in(context: ScenarioContext) -> Mapping[str, str]:
    """Decide a pack's example of savings that come from another scheme, for a member who joined on the example's `joined_on`.

    Given their `holdings` there and the day they `joined` it, returns `parts.<pot>.<origin>` here and `joined_on`.

    Raises:
        PotNotTaken: there is no rule for it, or no place for a pot.
        OriginNotTaken: see there.
    """
    given = Given.of(context)
    found = context.rule(TransferInRule)
    if found is None:
        raise PotNotTaken(pot="")
    brought = Brought(tuple(Carried(one.pot, one.origin, one.minor, one.minor) for one in holdings_given(given)), ())
    after = joined_after(found, context.joined_on or context.on, given.day("joined"))
    return {
        "joined_on": after.isoformat(),
        **{
            f"parts.{one.pot}.{one.origin}": in_major(one.amount, context.asset)
            for one in taken_in(found, brought).parts
        },
    }
