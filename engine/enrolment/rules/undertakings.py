"""What a member undertakes to pay: a slab and a frequency of a published chart, when it falls due, how it may change. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from typing import Annotated, Literal

from msgspec import Meta

from engine.enrolment.errors import (
    ChangedTooOften,
    NoUndertaking,
    UndertakingFixed,
    UnknownFrequency,
    UnknownSlab,
)
from engine.enrolment.rules.applications import UndertakingGiven
from engine.enrolment.rules.charts import (
    MONTHS_OF,
    ChartRule,
    Frequency,
    InstalmentFormulaRule,
    charted_instalment,
    formula_instalment,
)
from engine.enrolment.rules.joining import Book
from engine.kernel.amounts import Amount
from engine.kernel.months import month_end, months_after
from engine.kernel.rules import Rule
from engine.kernel.series import Figures
from engine.kernel.tables import LookupTable
from engine.tenancy.rules.books import InForce

# -- rules of a pack


class ScheduleRule(Rule, tag="contribution-schedule", frozen=True, kw_only=True):
    """How often a member may undertake to pay, and when each instalment is due (C2).

    `due_on`: the day of the month, or "joining-day" for the day of joining; in a month too short, its last day.
    `seasons` are the months in which seasonal instalments fall due. An instalment may be paid in parts (Hifadhi: in
    bits) while `parts_until` says; `payable_from` says from when it may be paid: its due day, or the first day of that
    month. APY: monthly, quarterly or half-yearly by auto-debit.
    """

    frequencies: Annotated[tuple[Frequency, ...], Meta(min_length=1)]
    due_on: Annotated[int, Meta(ge=1, le=31)] | Literal["joining-day", "month-end"]
    seasons: tuple[Annotated[int, Meta(ge=1, le=12)], ...] = ()
    parts_until: Literal["no-parts", "due-day", "next-due-day"]
    payable_from: Literal["due-day", "month-start"] = "due-day"

    def __post_init__(self) -> None:
        """Check that seasonal instalments have months."""
        if ("seasonal" in self.frequencies) != bool(self.seasons):
            raise ValueError("seasonal instalments need seasons, and seasons need them")


class UndertakingRule(Rule, tag="undertaking", frozen=True, kw_only=True):
    """How what a member undertook to pay may change, and until which age it falls due (C1, C2).

    `slab_changes_a_year` and `frequency_changes_a_year` are for a scheme year; 0 lets nothing change. A change counts from
    the first period that has not begun. Instalments fall due for `until_age` less the entry age, in years from joining;
    None: for as long as one is a member. APY: the slab up or down once a year, instalments until 60.
    """

    slab_changes_a_year: Annotated[int, Meta(ge=0, le=12)] = 0
    frequency_changes_a_year: Annotated[int, Meta(ge=0, le=12)] = 0
    until_age: Annotated[int, Meta(ge=1, le=120)] | None = None


# -- what is undertaken


@dataclass(frozen=True, slots=True)
class Undertaken:
    """What a member undertook on `given_on`, by which instalments fall due from `from_on`; `slab` "" where there are none."""

    slab: str
    frequency: Frequency
    from_on: date
    given_on: date


@dataclass(frozen=True, slots=True, kw_only=True)
class UndertakingTerms:
    """The rules by which members of a product undertake to pay, for one member on one day."""

    product: str
    chart: InForce[ChartRule]
    schedule: InForce[ScheduleRule]
    formula: InForce[InstalmentFormulaRule] | None
    changing: InForce[UndertakingRule] | None

    @property
    def refs(self) -> tuple[str, ...]:
        """Return the versions of the rules."""
        return tuple(one.ref for one in (self.chart, self.schedule, self.formula, self.changing) if one)

    @property
    def frequencies(self) -> tuple[Frequency, ...]:
        """Return how often one may undertake to pay: as the schedule says, where the chart or the formula has it."""
        worked_out = self.formula.rule.frequencies if self.formula else ()
        return tuple(
            one for one in self.schedule.rule.frequencies if one in self.chart.rule.columns or one in worked_out
        )

    def ends_on(self, joined_on: date, entry_age: int) -> date | None:
        """Return the first day on which no instalment falls due any more; None: there is none."""
        until = self.changing.rule.until_age if self.changing else None
        return None if until is None else months_after(joined_on, 12 * max(until - entry_age, 0))

    def instalment(
        self,
        tables: Mapping[str, LookupTable],
        slab: str,
        frequency: Frequency,
        *,
        entry_age: int,
        figures: Figures,
        on: date,
    ) -> Amount:
        """Return the instalment of a slab and a frequency at an entry age: the chart's, else the formula's of the monthly one.

        Raises:
            TableValueMissing: the chart has nothing for these.
            SeriesValueMissing: the formula's step is a multiple of a series without a value on the day `on`.
        """

        def charted(every: Frequency) -> Amount:
            table = tables[self.chart.rule.table]
            return charted_instalment(
                self.chart.rule, table, entry_age=entry_age, slab=slab, frequency=every, asset=figures.asset
            )

        if frequency in self.chart.rule.columns or self.formula is None:
            return charted(frequency)
        step = figures.amount(self.formula.rule.step, on)
        return formula_instalment(self.formula.rule, charted("monthly"), frequency, step)


def undertaking_terms(product: str, book: Book) -> UndertakingTerms | None:
    """Return the rules of a book by which members undertake to pay; None where a product has no chart or no schedule."""
    chart, schedule = book.rule(ChartRule), book.rule(ScheduleRule)
    if chart is None or schedule is None:
        return None
    return UndertakingTerms(
        product=product,
        chart=chart,
        schedule=schedule,
        formula=book.rule(InstalmentFormulaRule) if set(schedule.rule.frequencies) - set(chart.rule.columns) else None,
        changing=book.rule(UndertakingRule),
    )


def check_undertaking(
    terms: UndertakingTerms | None,
    given: UndertakingGiven,
    tables: Mapping[str, LookupTable],
    *,
    product: str,
    entry_age: int | None,
    figures: Figures,
    on: date,
) -> tuple[UndertakingTerms, Amount]:
    """Return the terms of what a member undertakes, and the instalment.

    Raises:
        NoUndertaking: the product has no instalments, or the entry age is not known.
        UnknownSlab, UnknownFrequency: the product has none of these; the refusal lists what it has.
        TableValueMissing: the chart has nothing for the entry age.
    """
    if terms is None or entry_age is None:
        raise NoUndertaking(product=product)
    slabs = terms.chart.rule.slabs
    if given.slab not in (slabs or ("",)):
        raise UnknownSlab(field="undertaking.slab", allowed=", ".join(slabs) or "none")
    if given.frequency not in terms.frequencies:
        raise UnknownFrequency(field="undertaking.frequency", allowed=", ".join(terms.frequencies))
    instalment = terms.instalment(tables, given.slab, given.frequency, entry_age=entry_age, figures=figures, on=on)
    return terms, instalment


def check_change(
    terms: UndertakingTerms, held: Undertaken, given: UndertakingGiven, *, slab_changes: int, frequency_changes: int
) -> None:
    """Refuse a change that the rules do not let a member make; what stays as it is may always stay.

    Args:
        terms: the rules in force.
        held: what the member undertook last.
        given: what they want to undertake.
        slab_changes: how often they changed the slab in this scheme year.
        frequency_changes: likewise the frequency.

    Raises:
        UndertakingFixed: the product lets it never change.
        ChangedTooOften: it was changed as often as it may in this scheme year.
    """
    rule = terms.changing.rule if terms.changing else None
    for field, differs, made, most in (
        ("slab", held.slab != given.slab, slab_changes, rule.slab_changes_a_year if rule else 0),
        (
            "frequency",
            held.frequency != given.frequency,
            frequency_changes,
            rule.frequency_changes_a_year if rule else 0,
        ),
    ):
        if not differs:
            continue
        if most == 0:
            raise UndertakingFixed(field=f"undertaking.{field}")
        if made >= most:
            raise ChangedTooOften(field=f"undertaking.{field}", times=most)


def changes_of(given: Sequence[Undertaken], since: date) -> tuple[int, int]:
    """Return how often the slab and the frequency were changed from the day `since` on; `given` in the order it was given."""
    pairs = [(was, now) for was, now in pairwise(given) if now.given_on >= since]
    return sum(was.slab != now.slab for was, now in pairs), sum(was.frequency != now.frequency for was, now in pairs)


def spans(given: Sequence[Undertaken]) -> list[tuple[Undertaken, date | None]]:
    """Return what is in force from when until when (None: until now), of what was `given`, in that order.

    Of two that count from one day, the later given counts.
    """
    by_start = {one.from_on: one for one in given}
    starts = sorted(by_start)
    return [(by_start[day], until) for day, until in zip(starts, [*starts[1:], None], strict=True)]


def in_force_on(given: Sequence[Undertaken], on: date) -> Undertaken | None:
    """Return what is in force on a day; None before the first."""
    return next((one for one, until in spans(given) if one.from_on <= on and (until is None or on < until)), None)


def next_period(held: Undertaken, on: date) -> date:
    """Return the first day of the first period of what is in force that has not begun on the day `on`."""
    if on < held.from_on:
        return held.from_on
    if held.frequency in _DAYS:
        step = _DAYS[held.frequency]
        return held.from_on + timedelta(days=((on - held.from_on).days // step + 1) * step)
    first, every = held.from_on.replace(day=1), MONTHS_OF.get(held.frequency, 1)
    return months_after(first, (_months_between(first, on) // every + 1) * every)


# -- when it falls due

_DAYS: Mapping[str, int] = {"daily": 1, "weekly": 7}


@dataclass(frozen=True, slots=True)
class DueDays:
    """The due days of instalments by number, from 0: of a frequency, for who joined on a day, counted from `begins`.

    The first is due in the period that begins with `begins`, on its due day or, where that has passed, on the day itself.
    """

    rule: ScheduleRule
    frequency: Frequency
    joined_on: date
    begins: date

    def at(self, number: int) -> date:
        """Return the due day of an instalment."""
        if self.frequency in _DAYS:
            return self.begins + timedelta(days=number * _DAYS[self.frequency])
        first = self.begins.replace(day=1)
        if self.frequency == "seasonal":
            seasons = sorted(self.rule.seasons)
            years, place = divmod(self._seasons_before(first) + number, len(seasons))
            start = date(first.year + years, seasons[place], 1)
        else:
            start = months_after(first, number * MONTHS_OF[self.frequency])
        return max(_due_day(self.rule, start, self.joined_on), self.begins)

    def count(self, until: date) -> int:
        """Return how many are due up to and with a day."""
        if until < self.begins:
            return 0
        if self.frequency in _DAYS:
            return (until - self.begins).days // _DAYS[self.frequency] + 1
        first = self.begins.replace(day=1)
        if self.frequency == "seasonal":
            years = until.year - first.year
            begun = years * len(self.rule.seasons) + sum(one <= until.month for one in self.rule.seasons)
            begun -= self._seasons_before(first)
        else:
            begun = _months_between(first, until) // MONTHS_OF[self.frequency] + 1
        return begun if not begun or self.at(begun - 1) <= until else begun - 1

    def _seasons_before(self, first: date) -> int:
        return sum(one < first.month for one in self.rule.seasons)


def due_dates(rule: ScheduleRule, frequency: Frequency, joined_on: date, until: date) -> list[date]:
    """Return the due days of a member's instalments from joining up to and with `until`; see `DueDays`."""
    days = DueDays(rule, frequency, joined_on, joined_on)
    return [days.at(number) for number in range(days.count(until))]


def _due_day(rule: ScheduleRule, month: date, joined_on: date) -> date:
    last = month_end(month)
    if rule.due_on == "month-end":
        return last
    day = joined_on.day if rule.due_on == "joining-day" else rule.due_on
    return month.replace(day=min(day, last.day))


def _months_between(first: date, until: date) -> int:
    return (until.year - first.year) * 12 + until.month - first.month
