"""Interest on a balance that moves: day counts, first and last days, what counts as the balance, when it is posted.

Exact throughout: nothing is rounded before the interest of a posting period is posted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Annotated, Literal

from msgspec import Meta, Struct

from engine.kernel.months import months_after, whole_months
from engine.kernel.rounding import Rounding, rounded
from engine.kernel.series import Figures, SeriesCode

WHOLE_BP = 10_000
DAY = timedelta(days=1)
DayCount = Literal["actual/365", "actual/360", "actual/actual", "30/360", "months/12"]
"""What part of a year's rate a span earns: its days over 365, over 360, over those of its year, months of 30 days over
360, or completed months over 12."""


class InterestTerms(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How interest is counted from a yearly rate in percent.

    `first_day_counts`: money earns on the day it came in. `last_day_counts`: it earns on the day it went out.
    `balance`: each day's; the lowest of each month from its day `minimum_from_day` on; or the year's opening balance in
    full and what moved since by the rest of the year, or by a fixed share of it (`part_year_bp`, in basis points).
    Posted interest earns itself from then on where it is "compound", and never where it is "simple". `posted_every_months`
    counts from the first day of the span.
    """

    day_count: DayCount
    first_day_counts: bool
    last_day_counts: bool
    balance: Literal["daily", "monthly-minimum", "opening-plus-part-year"]
    minimum_from_day: Annotated[int, Meta(ge=1, le=28)] = 1
    part_year_bp: Annotated[int, Meta(ge=0, le=WHOLE_BP)] | None = None
    interest: Literal["simple", "compound"]
    posted_every_months: Literal[1, 3, 6, 12]
    rounding: Rounding

    def __post_init__(self) -> None:
        """Refuse what contradicts itself."""
        if self.day_count == "months/12" and self.balance == "daily":
            raise ValueError("months/12 cannot count the days of a daily balance")
        if self.minimum_from_day != 1 and self.balance != "monthly-minimum":
            raise ValueError('minimum_from_day needs balance = "monthly-minimum"')
        if self.part_year_bp is not None and self.balance != "opening-plus-part-year":
            raise ValueError('part_year_bp needs balance = "opening-plus-part-year"')


class Benchmark(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Interest that is paid or guaranteed at a published rate, such as the savings bank's."""

    series: SeriesCode
    interest: InterestTerms


@dataclass(frozen=True, slots=True)
class Movement:
    """Smallest units of money that came in on a day, or went out if negative."""

    on: date
    minor: int


@dataclass(frozen=True, slots=True)
class RateStep:
    """A yearly rate in percent, in force from a day until the next step."""

    rate_from: date
    percent: Decimal


@dataclass(frozen=True, slots=True)
class Posting:
    """Interest in smallest units, posted on the first day after those that earned it."""

    on: date
    minor: int


def rates_of(figures: Figures, series: str, since: date, until: date) -> tuple[RateStep, ...]:
    """Return the steps of a series between two days, the first in force on `since`.

    Raises:
        SeriesValueMissing: it has no value on `since`, as far as was known.
    """
    points = figures.series[series].points if series in figures.series else ()
    known = figures.known_on
    changes = {
        one.effective_from
        for one in points
        if since < one.effective_from < until and (known is None or one.published_on <= known)
    }
    return tuple(RateStep(day, figures.value(series, day)) for day in sorted({since, *changes}))


def earning_until(exit_on: date, terms: InterestTerms) -> date:
    """Return the day up to which, and without which, money that leaves on `exit_on` earns."""
    return exit_on + DAY if terms.last_day_counts else exit_on


def interest_postings(
    movements: Sequence[Movement],
    rates: Sequence[RateStep],
    terms: InterestTerms,
    *,
    since: date,
    until: date,
    opening_minor: int = 0,
) -> tuple[Posting, ...]:
    """Return the interest that a balance earns from `since` up to and without `until`.

    Args:
        movements: in any order; those before `since` are part of the opening.
        rates: by day, the first in force on `since`.
        terms: see there.
        since: the first day that earns.
        until: the first day that earns no more, >= `since`.
        opening_minor: the balance before any movement, smallest units, earlier interest included where it earns.

    Returns:
        A posting a period of `posted_every_months`, each rounded once as `terms.rounding` says; the last one ends at
        `until`, whole period or not. A period that earns nothing is posted as zero.

    """
    steps = sorted((_effective(one, terms), one.minor) for one in movements)
    posted: list[Posting] = []
    start, number = since, 1
    while start < until:
        end = min(months_after(since, number * terms.posted_every_months), until)
        base = opening_minor + (sum(one.minor for one in posted) if terms.interest == "compound" else 0)
        span = _Span(base, steps, tuple(rates), terms, start, end)
        posted.append(Posting(end, rounded(span.interest(), terms.rounding)))
        start, number = end, number + 1
    return tuple(posted)


def interest_total(postings: Sequence[Posting]) -> int:
    """Return all interest of some postings, smallest units."""
    return sum(one.minor for one in postings)


def _effective(movement: Movement, terms: InterestTerms) -> date:
    """Return the first day whose balance holds a movement."""
    later = terms.last_day_counts if movement.minor < 0 else not terms.first_day_counts
    return movement.on + DAY if later else movement.on


@dataclass(frozen=True, slots=True)
class _Span:
    """One posting period: base is the balance before any step, steps are (first day in the balance, smallest units)."""

    base: int
    steps: Sequence[tuple[date, int]]
    rates: tuple[RateStep, ...]
    terms: InterestTerms
    start: date
    end: date

    def interest(self) -> Fraction:
        """Return the exact interest in smallest units."""
        if self.terms.balance == "daily":
            return self._daily()
        if self.terms.balance == "monthly-minimum":
            return self._monthly_minimum()
        return self._opening_and_part_year()

    def _balance(self, day: date) -> int:
        return self.base + sum(minor for effective, minor in self.steps if effective <= day)

    def _changes(self, start: date, end: date) -> list[date]:
        """Return the days between two on which the balance moves."""
        return [effective for effective, _ in self.steps if start < effective < end]

    def _earned(self, start: date, end: date) -> Fraction:
        """Return what one unit earns from `start` up to and without `end`: its rate, step by step."""
        marks = sorted({start, end, *(one.rate_from for one in self.rates if start < one.rate_from < end)})
        return sum(
            (self._rate(first) * year_fraction(first, last, self.terms.day_count) for first, last in pairwise(marks)),
            Fraction(0),
        )

    def _rate(self, day: date) -> Fraction:
        """Return the rate in force on a day as a fraction a year."""
        percent = [one.percent for one in self.rates if one.rate_from <= day][-1]
        return Fraction(percent) / 100

    def _daily(self) -> Fraction:
        marks = sorted({self.start, self.end, *self._changes(self.start, self.end)})
        return sum(
            (self._balance(first) * self._earned(first, last) for first, last in pairwise(marks)),
            Fraction(0),
        )

    def _monthly_minimum(self) -> Fraction:
        total, number = Fraction(0), 0
        while (first := months_after(self.start, number)) < self.end:
            last = min(months_after(self.start, number + 1), self.end)
            window = min(first + (self.terms.minimum_from_day - 1) * DAY, last - DAY)
            lowest = min(self._balance(day) for day in (window, *self._changes(window, last)))
            total += lowest * self._earned(first, last)
            number += 1
        return total

    def _opening_and_part_year(self) -> Fraction:
        total = self._balance(self.start) * self._earned(self.start, self.end)
        for effective, minor in self.steps:
            if self.start < effective < self.end:
                share = self.terms.part_year_bp
                earned = (
                    self._earned(effective, self.end)
                    if share is None
                    else self._earned(self.start, self.end) * Fraction(share, WHOLE_BP)
                )
                total += minor * earned
        return total


def year_fraction(start: date, end: date, day_count: DayCount) -> Fraction:
    """Return what part of a year the days from `start` up to and without `end` are.

    "actual/actual" gives each calendar year's days over its own length (ISDA); "30/360" takes the 31st for the 30th;
    "months/12" leaves out an unfinished month.
    """
    days = (end - start).days
    if day_count == "actual/365":
        return Fraction(days, 365)
    if day_count == "actual/360":
        return Fraction(days, 360)
    if day_count == "months/12":
        return Fraction(whole_months(start, end), 12)
    if day_count == "30/360":
        months = (end.year - start.year) * 12 + end.month - start.month
        return Fraction(months * 30 + min(end.day, 30) - min(start.day, 30), 360)
    total = Fraction(0)
    while start < end:
        following = min(date(start.year + 1, 1, 1), end)
        total += Fraction((following - start).days, (date(start.year + 1, 1, 1) - date(start.year, 1, 1)).days)
        start = following
    return total
