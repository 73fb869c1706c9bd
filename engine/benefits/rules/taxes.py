"""Tax withheld when money leaves: which part of it is taxed, at which rate, by how long it was saved. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct

from engine.benefits.errors import MoreThanSaved
from engine.benefits.rules.parameters import Percent, Years, percent_of
from engine.funds.rules import Given, in_major
from engine.kernel.amounts import Amount, Asset
from engine.kernel.months import LeapDay, anniversary
from engine.kernel.rounding import Rounding, rounded
from engine.kernel.rules import Rule
from engine.kernel.series import Figure, Figures
from engine.tenancy.rules.books import InForce
from engine.tenancy.rules.manifest import Code
from engine.tenancy.rules.proving import ScenarioContext

_UNITS = Asset("", 0)


class TaxBand(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The rate in percent from some completed years on."""

    from_years: Years
    percent: Percent


class ExitTaxRule(Rule, tag="exit-tax", frozen=True, kw_only=True):
    """Tax withheld from a withdrawal or benefit (W15).

    Ghana's third tier needs it (15 % of money that was saved before tax and is taken within ten years) and Nigeria's
    voluntary contributions (tax on the income alone). A withdrawal is attributed to tranches (contributions with what each
    earned): to all in proportion ("proportional"), the oldest first ("first-in"), or contributions before income
    ("contributions-first") or after it ("income-first"). Within a tranche it takes contribution and income in proportion,
    unless the method says which comes first. `taxed` is the part that counts; only tranches that were saved before tax count
    where `pre_tax_only`. `bands` give the rate by completed years since joining, since the first contribution, or since the
    tranche was paid; the first band begins at 0. Nothing is taxed up to `exempt`, an amount of each withdrawal.
    """

    many: ClassVar[bool] = True
    on_grounds: Annotated[tuple[Code, ...], Meta(min_length=1)]
    method: Literal["proportional", "first-in", "contributions-first", "income-first"]
    taxed: Literal["all", "contributions", "income"]
    pre_tax_only: bool
    years_of: Literal["joining", "first-contribution", "tranche"]
    bands: Annotated[tuple[TaxBand, ...], Meta(min_length=1)]
    exempt: Figure | None = None
    leap_day: LeapDay
    rounding: Rounding
    paid_to: Code

    def __post_init__(self) -> None:
        """Check the order of the bands."""
        starts = [one.from_years for one in self.bands]
        if starts[0] != 0 or starts != sorted(set(starts)):
            raise ValueError("bands rise in years, and the first begins at 0")


@dataclass(frozen=True, slots=True)
class Tranche:
    """What is left of a contribution, and of what it earned (>= 0), smallest units; whether it was saved before tax."""

    paid_on: date
    contribution_minor: int
    income_minor: int
    is_pre_tax: bool = False


@dataclass(frozen=True, slots=True)
class TakenFrom:
    """What a withdrawal takes of one tranche, and the taxed part of it with its rate."""

    tranche: Tranche
    contribution_minor: int
    income_minor: int
    taxed_minor: int
    percent: str


@dataclass(frozen=True, slots=True)
class Withholding:
    """The tax of a withdrawal, rounded once; `net` + `tax` = the withdrawal."""

    tax_minor: int
    net_minor: int
    taxed_minor: int
    parts: tuple[TakenFrom, ...]
    paid_to: str
    rules: tuple[str, ...]


def withhold(
    found: InForce[ExitTaxRule],
    minor: int,
    tranches: Sequence[Tranche],
    figures: Figures,
    *,
    on: date,
    joined_on: date,
) -> Withholding:
    """Return the tax on a withdrawal of smallest units.

    Raises:
        MoreThanSaved: the tranches do not hold so much.
    """
    rule = found.rule
    taken = attribute(rule.method, minor, sorted(tranches, key=lambda one: one.paid_on))
    first_on = min((one.paid_on for one in tranches), default=on)
    parts = [_taxed(rule, one, contribution, income, on, joined_on, first_on) for one, contribution, income in taken]
    total = sum(one.taxed_minor for one in parts)
    exempt = 0 if rule.exempt is None else min(figures.amount(rule.exempt, on).units, total)
    exact = sum((percent_of(one.taxed_minor, one.percent) for one in parts), Fraction(0))
    tax = rounded(exact * Fraction(total - exempt, total), rule.rounding) if total else 0
    return Withholding(tax, minor - tax, total - exempt, tuple(parts), rule.paid_to, (found.ref,))


def attribute(method: str, minor: int, tranches: Sequence[Tranche]) -> list[tuple[Tranche, int, int]]:
    """Return (tranche, contribution, income) that a withdrawal takes; they add up to it.

    Raises:
        MoreThanSaved: the tranches, oldest first, do not hold so much.
    """
    whole = [one.contribution_minor + one.income_minor for one in tranches]
    if minor > sum(whole):
        raise MoreThanSaved
    contributions, incomes = [one.contribution_minor for one in tranches], [one.income_minor for one in tranches]
    if method in ("contributions-first", "income-first"):
        first, second = (contributions, incomes) if method == "contributions-first" else (incomes, contributions)
        of_first = _in_order(min(minor, sum(first)), first)
        of_second = _in_order(minor - sum(of_first), second)
        taken = (of_first, of_second) if method == "contributions-first" else (of_second, of_first)
        return list(zip(tranches, *taken, strict=True))
    shares = _in_order(minor, whole) if method == "first-in" else _in_proportion(minor, whole)
    found = []
    for tranche, share in zip(tranches, shares, strict=True):
        contribution, income = _in_proportion(share, [tranche.contribution_minor, tranche.income_minor])
        found.append((tranche, contribution, income))
    return found


def rate_for(rule: ExitTaxRule, since: date, on: date) -> str:
    """Return the rate in percent by completed years since a day."""
    return [one.percent for one in rule.bands if anniversary(since, one.from_years, rule.leap_day) <= on][-1]


def _taxed(
    rule: ExitTaxRule,
    tranche: Tranche,
    contribution: int,
    income: int,
    on: date,
    joined_on: date,
    first_on: date,
) -> TakenFrom:
    since = {"joining": joined_on, "first-contribution": first_on, "tranche": tranche.paid_on}[rule.years_of]
    part = {"all": contribution + income, "contributions": contribution, "income": income}[rule.taxed]
    counts = tranche.is_pre_tax or not rule.pre_tax_only
    return TakenFrom(tranche, contribution, income, part if counts else 0, rate_for(rule, since, on))


def _in_order(minor: int, held: Sequence[int]) -> list[int]:
    given = []
    for one in held:
        given.append(min(one, minor))
        minor -= given[-1]
    return given


def _in_proportion(minor: int, held: Sequence[int]) -> list[int]:
    return [one.units for one in Amount(minor, _UNITS).share_out(held)] if minor else [0] * len(held)


def run_exit_tax(context: ScenarioContext) -> Mapping[str, str]:
    """Decide a pack's example of tax on a withdrawal, for a member who joined on the example's `joined_on`.

    Given the `ground`, the `amount` and `tranches = [{ paid_on, contribution, income, pre_tax }]`, returns `tax`, `net`,
    `taxed`, `paid_to`, and `rules`: how many taxes apply. Without a rule for the ground nothing is taxed.

    Raises:
        MoreThanSaved: see there.
    """
    given, figures, asset = Given.of(context), context.figures, context.asset
    amount, joined_on = given.minor("amount"), context.joined_on or context.on
    tranches = [
        Tranche(one.day("paid_on"), one.minor("contribution"), one.minor("income", 0), one.flag("pre_tax"))
        for one in given.rows("tranches")
    ]
    tax, taxed, paid_to = 0, 0, ""
    for found in context.rules(ExitTaxRule):
        if given.text("ground") not in found.rule.on_grounds:
            continue
        for row, band in enumerate(found.rule.bands[1:], 2):
            for since in _counted_since(found.rule, tranches, joined_on):
                starts = anniversary(since, band.from_years, found.rule.leap_day)
                context.compare(found, f"bands[{row}].from_years", context.on.toordinal(), starts.toordinal())
        one = withhold(found, amount, tranches, figures, on=context.on, joined_on=joined_on)
        tax, taxed, paid_to = tax + one.tax_minor, taxed + one.taxed_minor, one.paid_to
    return {
        "tax": in_major(tax, asset),
        "net": in_major(amount - tax, asset),
        "taxed": in_major(taxed, asset),
        "paid_to": paid_to,
    }


def _counted_since(rule: ExitTaxRule, tranches: Sequence[Tranche], joined_on: date) -> list[date]:
    if rule.years_of == "joining":
        return [joined_on]
    days = [one.paid_on for one in tranches]
    return days if rule.years_of == "tranche" else [min(days)]
