"""Periodic benefits: how much a period, within which limits, on which days. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from engine.benefits.errors import NoSuchRule
from engine.benefits.rules.parameters import EveryMonths
from engine.funds.rules import Given, in_major
from engine.kernel.amounts import Amount
from engine.kernel.months import month_end, months_after
from engine.kernel.rounding import Rounding, rounded
from engine.kernel.rules import Rule
from engine.kernel.series import Figure, Figures, SeriesCode
from engine.kernel.tables import LookupTable
from engine.tenancy.rules.books import InForce
from engine.tenancy.rules.manifest import Code
from engine.tenancy.rules.proving import ScenarioContext


class PensionRule(Rule, tag="pension", frozen=True, kw_only=True):
    """A periodic benefit: what it comes to, its limits, and its calendar (W7).

    APY needs it (a fixed pension by slab, from its table), PM-SYM (INR 3,000 a month), Nigeria (programmed withdrawal),
    NPS-Lite (an annuity for a share of the money), Ghana (monthly or quarterly); other schemes pay every second month.
    `form` says where the amount is from: an `amount`; the `column` of a `table` by the case's keys; the balance divided by
    the table's factor for a year's programmed withdrawal, shared over the year's payments; or what the insurer of an
    annuity quotes for the year. A pension by table is raised in proportion where the balance at its start is above the
    table's `corpus_column` (APY: an excess return gives a higher benefit). `indexed_by` raises it by the index since the
    start. A payment below `least` is topped up by the role `tops_up`, paid as it is, or makes the balance be paid at once;
    what is above `most` stays in the balance, is paid as a lump sum, or goes to the fund. Payments come every `every_months`, at the beginning or the end of their
    period, on the same day of the month as the start, or on the first or the last day of the month.
    """

    many: ClassVar[bool] = True
    form: Literal["fixed", "by-table", "programmed-withdrawal", "annuity"]
    amount: Figure | None = None
    table: SeriesCode | None = None
    column: str | None = None
    corpus_column: str | None = None
    every_months: EveryMonths
    due: Literal["in-advance", "in-arrears"]
    pay_day: Literal["day-of-start", "first-of-month", "last-of-month"]
    indexed_by: SeriesCode | None = None
    index_lag_months: Annotated[int, Meta(ge=0, le=120)] = 0
    least: Figure | None = None
    below_least: Literal["topped-up", "paid-as-it-is", "balance-at-once"] | None = None
    tops_up: Code | None = None
    most: Figure | None = None
    above_most: Literal["stays", "lump-sum", "fund"] | None = None
    rounding: Rounding

    def __post_init__(self) -> None:
        """Check that the form has what it needs, and each limit its consequence."""
        if (self.form == "fixed") != (self.amount is not None):
            raise ValueError('form = "fixed" needs amount, and that needs it')
        needs_table = self.form in ("by-table", "programmed-withdrawal")
        if needs_table != (self.table is not None) or needs_table != (self.column is not None):
            raise ValueError(f'form = "{self.form}" {"needs" if needs_table else "has no"} table and column')
        if self.corpus_column is not None and self.form != "by-table":
            raise ValueError('corpus_column needs form = "by-table"')
        if (self.least is not None) != (self.below_least is not None):
            raise ValueError("least needs below_least, and that needs it")
        if (self.below_least == "topped-up") != (self.tops_up is not None):
            raise ValueError('below_least = "topped-up" needs tops_up, and that needs it')
        if (self.most is not None) != (self.above_most is not None):
            raise ValueError("most needs above_most, and that needs it")


@dataclass(frozen=True, slots=True, kw_only=True)
class PensionCase:
    """A pension on a day: since when it runs, the keys of its table, the balance (of one by table: at its start), and an insurer's yearly quote."""

    on: date
    started_on: date
    keys: Mapping[str, str]
    balance_minor: int = 0
    quoted_minor: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PensionPayment:
    """One payment, smallest units: `due` is before the limits; `paid` includes `top_up`; `above` is what the ceiling cut off, and where it goes."""

    due_minor: int
    paid_minor: int
    top_up_minor: int
    topped_up_by: str
    above_minor: int
    above_goes: str
    reason: Literal["", "topped-up", "below-least", "balance-at-once", "above-most"]
    rules: tuple[str, ...]


def pension_payment(
    found: InForce[PensionRule], case: PensionCase, figures: Figures, tables: Mapping[str, LookupTable]
) -> PensionPayment:
    """Return one payment of a pension, rounded once as the rule says, before its limits.

    Raises:
        TableValueMissing, SeriesValueMissing: the table or the index says nothing for this case.
    """
    rule = found.rule
    due = rounded(exact_payment(rule, case, figures, tables), rule.rounding)
    least = None if rule.least is None else figures.amount(rule.least, case.on).units
    most = None if rule.most is None else figures.amount(rule.most, case.on).units
    if least is not None and due < least:
        return _below_least(found, case, due, least)
    above = 0 if most is None else max(due - most, 0)
    return PensionPayment(
        due_minor=due,
        paid_minor=due - above,
        top_up_minor=0,
        topped_up_by="",
        above_minor=above,
        above_goes=(rule.above_most or "") if above else "",
        reason="above-most" if above else "",
        rules=(found.ref,),
    )


def exact_payment(
    rule: PensionRule, case: PensionCase, figures: Figures, tables: Mapping[str, LookupTable]
) -> Fraction:
    """Return one payment of a pension before it is rounded and before its limits; raises as `pension_payment`."""
    return _exact(rule, case, figures, tables) * _index(rule, case, figures)


def payment_days(rule: PensionRule, started_on: date, count: int) -> tuple[date, ...]:
    """Return the first `count` days of payment of a benefit that started on a day."""
    first = 0 if rule.due == "in-advance" else rule.every_months
    days = (months_after(started_on, first + number * rule.every_months) for number in range(count))
    if rule.pay_day == "first-of-month":
        return tuple(day.replace(day=1) for day in days)
    return tuple(month_end(day) if rule.pay_day == "last-of-month" else day for day in days)


def _below_least(found: InForce[PensionRule], case: PensionCase, due: int, least: int) -> PensionPayment:
    rule = found.rule
    is_topped = rule.below_least == "topped-up"
    at_once = rule.below_least == "balance-at-once"
    return PensionPayment(
        due_minor=due,
        paid_minor=least if is_topped else case.balance_minor if at_once else due,
        top_up_minor=least - due if is_topped else 0,
        topped_up_by=(rule.tops_up or "") if is_topped else "",
        above_minor=0,
        above_goes="",
        reason="topped-up" if is_topped else "balance-at-once" if at_once else "below-least",
        rules=(found.ref,),
    )


def _exact(rule: PensionRule, case: PensionCase, figures: Figures, tables: Mapping[str, LookupTable]) -> Fraction:
    if rule.amount is not None:
        return Fraction(figures.amount(rule.amount, case.on).units)
    if rule.table is None or rule.column is None:
        return Fraction(case.quoted_minor * rule.every_months, 12)
    text = tables[rule.table].text(rule.column, **case.keys)
    if rule.form == "by-table":
        pension = Fraction(Amount.parse(text, figures.asset).units)
        if rule.corpus_column is None:
            return pension
        corpus = Amount.parse(tables[rule.table].text(rule.corpus_column, **case.keys), figures.asset).units
        return pension * max(Fraction(case.balance_minor, corpus), Fraction(1))
    return case.balance_minor / Fraction(text) * rule.every_months / 12


def _index(rule: PensionRule, case: PensionCase, figures: Figures) -> Fraction:
    if rule.indexed_by is None:
        return Fraction(1)
    now, then = (
        Fraction(figures.value(rule.indexed_by, day, lag_months=rule.index_lag_months))
        for day in (case.on, case.started_on)
    )
    return now / then


def run_pension(context: ScenarioContext) -> Mapping[str, str]:
    """Decide a pack's example of one payment of a `pension`, which began on the example's `benefit_from`.

    Given the table's `keys`, the `balance`, a `quoted` yearly annuity and how many `days` to list, returns `paid`, `top_up`,
    `topped_up_by`, `above`, `above_goes`, `reason` and `days.<number>`.

    Raises:
        NoSuchRule: there is no such pension; else as `pension_payment`.
    """
    given, figures, asset = Given.of(context), context.figures, context.asset
    found = next((one for one in context.rules(PensionRule) if one.rule.id == given.text("pension")), None)
    if found is None:
        raise NoSuchRule(rule=given.text("pension"))
    started_on = context.dates.benefit_from or context.on
    case = PensionCase(
        on=context.on,
        started_on=started_on,
        keys=given.table("keys"),
        balance_minor=given.minor("balance", 0),
        quoted_minor=given.minor("quoted", 0),
    )
    one = pension_payment(found, case, figures, context.pack.tables)
    for name in ("least", "most"):
        figure = getattr(found.rule, name)
        if figure is not None:
            context.compare(found, name, one.due_minor, figures.amount(figure, context.on).units)
    days = payment_days(found.rule, started_on, given.whole("days", 0))
    return {
        "paid": in_major(one.paid_minor, asset),
        "top_up": in_major(one.top_up_minor, asset),
        "topped_up_by": one.topped_up_by,
        "above": in_major(one.above_minor, asset),
        "above_goes": one.above_goes,
        "reason": one.reason,
        **{f"days.{number}": day.isoformat() for number, day in enumerate(days, 1)},
    }
