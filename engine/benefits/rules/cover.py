"""Insurance that comes with saving: who is covered when, for how much, and after which wait. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from engine.benefits.errors import NoSuchRule, StillWaiting
from engine.benefits.rules.history import (
    Paid,
    SchemeYear,
    counted,
    month_number,
    month_totals,
    paid_given,
)
from engine.benefits.rules.parameters import Count, Months
from engine.benefits.rules.premiums import (
    UNINSURED,
    AskedPremium,
    Insurance,
    Insured,
    Premium,
    covered_days,
    insurance_by,
    insured_on,
)
from engine.funds.rules import Given, in_major
from engine.kernel.months import months_after, whole_months
from engine.kernel.rules import Rule
from engine.kernel.series import Figure, Figures
from engine.tenancy.rules.books import InForce
from engine.tenancy.rules.manifest import Code
from engine.tenancy.rules.proving import ScenarioContext


class CoverRule(Rule, tag="cover", frozen=True, kw_only=True):
    """Insurance that a member earns by saving, or pays for (M7).

    EjoHeza needs it: RWF 1,000,000 on death and 250,000 for the funeral, paid by the state, for whoever saved the year's
    minimum of their class; class 4 is covered during the year that follows. What triggers it is the total of a scheme
    year (`least_total`, or by the member's class in `least_total_by_class`; a class that is not there earns no cover), or
    `least_payments` in it, each of `least_payment` or more. Cover begins with the payment that reaches it and lasts to the
    end of the scheme year ("rest-of-year"), or for `months`; or it is the whole of the next scheme year. `sums` are by
    peril; `payer` is the role that pays them. `net_of_reversals` says whether money taken back counts.

    A `premium` is what the cover costs. One that members pay insures every member of the product who pays it, without any
    trigger, as long as they do ("while-paid"). One that a role pays is for whoever earned cover for the next year.
    """

    many: ClassVar[bool] = True
    sums: Annotated[Mapping[Code, Figure], Meta(min_length=1)]
    least_total: Figure | None = None
    least_total_by_class: Mapping[Code, Figure] = {}
    least_payments: Count | None = None
    least_payment: Figure | None = None
    covers: Literal["rest-of-year", "months", "next-year", "while-paid"]
    months: Months | None = None
    payer: Code
    premium: Premium | None = None
    net_of_reversals: bool

    def __post_init__(self) -> None:
        """Check that one trigger is said, and the months and the premium where they are needed."""
        triggers = (self.least_total is not None, bool(self.least_total_by_class), self.least_payments is not None)
        if sum(triggers) != (self.covers != "while-paid"):
            raise ValueError("say one of least_total, least_total_by_class and least_payments, and none of while-paid")
        if (self.covers == "while-paid") != (self.premium is not None and bool(self.premium.pots)):
            raise ValueError('covers = "while-paid" needs a premium that members pay, and that needs it')
        if self.premium is not None and self.covers not in ("while-paid", "next-year"):
            raise ValueError('a premium that a role pays needs covers = "next-year"')
        if (self.least_payments is None) and self.least_payment is not None:
            raise ValueError("least_payment needs least_payments")
        if (self.covers == "months") != (self.months is not None):
            raise ValueError('covers = "months" needs months, and that needs it')


@dataclass(frozen=True, slots=True)
class CoverCase:
    """Whose cover on which day: what they paid, the class they are in ("" for none), and what premiums insure them."""

    on: date
    paid: tuple[Paid, ...]
    year_of: SchemeYear
    class_code: str = ""
    insurance: Insurance = UNINSURED


@dataclass(frozen=True, slots=True)
class Cover:
    """Whether a member is covered on a day; if so from when up to and without when, for which sums by peril."""

    reason: Literal["", "class-without-cover", "not-reached", "not-begun", "ended", "not-insured", "lapsed"]
    covered_from: date | None
    covered_until: date | None
    sums_minor: Mapping[str, int]
    payer: str
    rules: tuple[str, ...]

    @property
    def is_covered(self) -> bool:
        """Return whether the member is covered."""
        return not self.reason


def cover_on(found: InForce[CoverRule], case: CoverCase, figures: Figures) -> Cover:
    """Return a member's cover on a day, by the trigger in the scheme years before it; the latest cover counts."""
    rule, last = found.rule, None
    if rule.covers == "while-paid":
        return _while_paid(found, case, figures)
    if rule.least_total_by_class and case.class_code not in rule.least_total_by_class:
        return Cover("class-without-cover", None, None, {}, rule.payer, (found.ref,))
    for triggered_on in _triggers(rule, case, figures):
        start, end = _span(rule, triggered_on, case.year_of)
        if last is None or start <= case.on:
            last = (start, end)
    if last is None:
        return Cover("not-reached", None, None, {}, rule.payer, (found.ref,))
    start, end = last
    reason: Literal["", "not-begun", "ended"] = "not-begun" if case.on < start else "ended" if case.on >= end else ""
    sums = {} if reason else {peril: figures.amount(one, case.on).units for peril, one in rule.sums.items()}
    return Cover(reason, start, end, sums, rule.payer, (found.ref,))


def _while_paid(found: InForce[CoverRule], case: CoverCase, figures: Figures) -> Cover:
    rule = found.rule
    stretch = insured_on(case.insurance, rule.id, case.on)
    if not isinstance(stretch, Insured):
        return Cover(stretch, None, None, {}, rule.payer, (found.ref,))
    since, until = covered_days(stretch, case.insurance.unpaid)
    sums = {peril: figures.amount(one, case.on).units for peril, one in rule.sums.items()}
    return Cover("", since, until, sums, rule.payer, (found.ref,))


def premium_minor(rule: CoverRule, figures: Figures, on: date) -> int:
    """Return what a cover costs for a period that begins on a day, smallest units; 0 where it costs nothing."""
    if rule.premium is None:
        return 0
    amount = None if rule.premium.amount is None else figures.amount(rule.premium.amount, on).units
    sums = sum(figures.amount(one, on).units for one in rule.sums.values())
    return rule.premium.minor_of(amount, sums)


def year_threshold(rule: CoverRule, class_code: str, figures: Figures, on: date) -> int | None:
    """Return the total of a year that triggers cover for a class, smallest units; None where payments are counted."""
    figure = rule.least_total_by_class.get(class_code, rule.least_total)
    return None if figure is None else figures.amount(figure, on).units


def _triggers(rule: CoverRule, case: CoverCase, figures: Figures) -> list[date]:
    """Return the day in each scheme year on which cover was reached, in order."""
    totals: dict[date, int] = {}
    reached: dict[date, date] = {}
    for one in counted(case.paid, net_of_reversals=rule.net_of_reversals):
        if one.on > case.on:
            break
        year = case.year_of(one.on)[0]
        threshold = year_threshold(rule, case.class_code, figures, one.on)
        if threshold is None:
            least = figures.amount(rule.least_payment, one.on).units if rule.least_payment is not None else 0
            totals[year] = totals.get(year, 0) + (one.minor >= least)
            threshold = rule.least_payments or 0
        else:
            totals[year] = totals.get(year, 0) + one.minor
        if totals[year] >= threshold:
            reached.setdefault(year, one.on)
    return sorted(reached.values())


def _span(rule: CoverRule, triggered_on: date, year_of: SchemeYear) -> tuple[date, date]:
    following = year_of(triggered_on)[1]
    if rule.covers == "next-year":
        return following, year_of(following)[1]
    if rule.covers == "months":
        return triggered_on, months_after(triggered_on, rule.months or 0)
    return triggered_on, following


class WaitingPeriodRule(Rule, tag="waiting-period", frozen=True, kw_only=True):
    """How long one must have paid before some benefits are open (M8).

    Hifadhi (three consecutive months before health and maternity benefits) and Haba Haba need it. A month is paid by
    `least_in_month` or more in it. "consecutive-months" counts the longest run of paid months, or where
    `run_reaches_claim` the run that ends in the month before the claim or in its own; "months-paid" counts all of them;
    "months-since-joining" counts completed months, whatever was paid. `benefits` are the rules by which one claims: ways of
    access, options of retirement, exits.
    """

    many: ClassVar[bool] = True
    benefits: Annotated[tuple[Code, ...], Meta(min_length=1)]
    months: Annotated[int, Meta(ge=1, le=600, description="a number of months from 1 to 600")]
    counts: Literal["consecutive-months", "months-paid", "months-since-joining"]
    run_reaches_claim: bool = False
    least_in_month: Figure | None = None
    net_of_reversals: bool

    def __post_init__(self) -> None:
        """Check that the parameters fit what is counted."""
        if self.run_reaches_claim and self.counts != "consecutive-months":
            raise ValueError('run_reaches_claim needs counts = "consecutive-months"')
        if (self.counts == "months-since-joining") != (self.least_in_month is None):
            raise ValueError("least_in_month is needed where paid months are counted, and nowhere else")


def months_waited(
    found: InForce[WaitingPeriodRule], paid: tuple[Paid, ...], *, joined_on: date, on: date, figures: Figures
) -> int:
    """Return how many months count towards a waiting period."""
    rule = found.rule
    if rule.least_in_month is None:
        return max(whole_months(joined_on, on), 0)
    known = [one for one in counted(paid, net_of_reversals=rule.net_of_reversals) if one.on <= on]
    least = figures.amount(rule.least_in_month, on).units
    months = sorted(month for month, total in month_totals(known).items() if total >= least)
    if rule.counts == "months-paid":
        return len(months)
    runs: list[list[int]] = []
    for month in months:
        if runs and month == runs[-1][-1] + 1:
            runs[-1].append(month)
        else:
            runs.append([month])
    if rule.run_reaches_claim:
        runs = [run for run in runs if run[-1] >= month_number(on) - 1]
    return max(map(len, runs), default=0)


def check_waited(found: InForce[WaitingPeriodRule], months: int) -> None:
    """Refuse a benefit whose waiting period is not over; StillWaiting says how many months are missing."""
    if months < found.rule.months:
        raise StillWaiting(months=found.rule.months, missing=found.rule.months - months)


def run_cover(context: ScenarioContext) -> Mapping[str, str]:
    """Decide a pack's example of insurance cover on its date.

    Given the id of the `cover` rule, the member's `class` and `paid = [{ on, amount, reversed }]`, and of a cover that
    members pay for `premiums = [{ from, asked_on, paid_on }]` that they were asked for, returns `covered`, `reason`, `from`, `until`,
    `payer`, `premium` and `sums.<peril>`.

    Raises:
        NoSuchRule: there is no such rule.
    """
    given = Given.of(context)
    found = next((one for one in context.rules(CoverRule) if one.rule.id == given.text("cover")), None)
    if found is None:
        raise NoSuchRule(rule=given.text("cover"))
    premium = found.rule.premium
    asked = [
        AskedPremium(one.day("from"), one.day("asked_on", one.day("from")), one.maybe_day("paid_on"))
        for one in given.rows("premiums")
    ]
    insurance = UNINSURED if premium is None else insurance_by(found.rule.id, premium, asked)
    case = CoverCase(context.on, paid_given(given), context.product.scheme_year, given.text("class", ""), insurance)
    cover = cover_on(found, case, context.figures)
    _compare_totals(context, found, case)
    outcome = {
        "covered": str(cover.is_covered).lower(),
        "reason": cover.reason,
        "payer": cover.payer,
        **{f"sums.{peril}": in_major(minor, context.asset) for peril, minor in cover.sums_minor.items()},
    }
    if found.rule.premium is not None:
        outcome["premium"] = in_major(premium_minor(found.rule, context.figures, context.on), context.asset)
    if cover.covered_from is not None and cover.covered_until is not None:
        name = "covers" if found.rule.months is None else "months"
        if found.rule.covers != "while-paid":
            context.compare(found, name, context.on.toordinal(), cover.covered_until.toordinal())
        outcome |= {"from": cover.covered_from.isoformat(), "until": cover.covered_until.isoformat()}
    return outcome


def _compare_totals(context: ScenarioContext, found: InForce[CoverRule], case: CoverCase) -> None:
    rule = found.rule
    paid = [one for one in counted(case.paid, net_of_reversals=rule.net_of_reversals) if one.on <= context.on]
    years = {case.year_of(one.on)[0] for one in paid}
    threshold = year_threshold(rule, case.class_code, context.figures, context.on)
    name = f"least_total_by_class.{case.class_code}" if rule.least_total_by_class else "least_total"
    for year in years:
        in_year = [one for one in paid if case.year_of(one.on)[0] == year]
        if threshold is not None:
            context.compare(found, name, sum(one.minor for one in in_year), threshold)
        elif rule.least_payments is not None:
            least = context.figures.amount(rule.least_payment, context.on).units if rule.least_payment else 0
            for one in in_year:
                context.compare(found, "least_payment", one.minor, least)
            enough = sum(one.minor >= least for one in in_year)
            context.compare(found, "least_payments", enough, rule.least_payments)


def run_waiting_period(context: ScenarioContext) -> Mapping[str, str]:
    """Decide a pack's example of a waiting period: given the `benefit` and `paid`, returns `months` that count.

    Raises:
        StillWaiting: fewer than the rule asks for.
    """
    given = Given.of(context)
    outcome = {"months": "0"}
    for found in context.rules(WaitingPeriodRule):
        if given.text("benefit") not in found.rule.benefits:
            continue
        months = months_waited(
            found,
            paid_given(given),
            joined_on=context.joined_on or context.on,
            on=context.on,
            figures=context.figures,
        )
        context.compare(found, "months", months, found.rule.months)
        if found.rule.least_in_month is not None:
            least = context.figures.amount(found.rule.least_in_month, context.on).units
            for total in month_totals(
                counted(paid_given(given), net_of_reversals=found.rule.net_of_reversals)
            ).values():
                context.compare(found, "least_in_month", total, least)
        check_waited(found, months)
        outcome["months"] = str(months)
    return outcome
