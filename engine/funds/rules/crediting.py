"""How the interest of many accounts is counted at once: what one unit of money earns from each day on, as whole numbers.

`engine.funds.rules.declaring` says what one account earns; this says the same as weights that a statement over all
accounts multiplies and adds. Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from math import lcm

from msgspec import Struct

from engine.funds.rules.declaring import (
    Candidate,
    DeclaredReturnRule,
    PoolTerms,
    YearAccount,
    candidates_of,
    declared_for,
    exit_candidates,
)
from engine.funds.rules.interest import DAY, WHOLE_BP, InterestTerms, RateStep, earning_until, year_fraction
from engine.kernel.months import months_after
from engine.kernel.series import Figures


class Rates(Struct, frozen=True, kw_only=True):
    """The yearly rates in percent that a year may earn by, as decimal text with the day each is in force from."""

    basis: str
    steps: tuple[tuple[date, str], ...]

    def rate_steps(self) -> tuple[RateStep, ...]:
        """Return the steps as the arithmetic takes them."""
        return tuple(RateStep(day, Decimal(percent)) for day, percent in self.steps)

    def told(self) -> str:
        """Return the basis and its rates in words of the field: "declared 12 %"."""
        return f"{self.basis} {' '.join(percent for _, percent in self.steps)} %"


class YearTerms(Struct, frozen=True, kw_only=True):
    """What a scheme year earns by: every account the best of `rates`, for the posting periods ended, up to and without `ends[-1]`.

    Nothing where there are no rates. `starts` and `ends` are the periods' first days, and the first days after them. It is
    the year of those alone who joined from `joined_from` to `joined_until`, where these are there; `rule` says so.
    """

    rates: tuple[Rates, ...]
    starts: tuple[date, ...]
    ends: tuple[date, ...]
    interest: InterestTerms
    keeps_overpaid: bool
    trues_up_leavers: bool
    rule: str = ""
    joined_from: date | None = None
    joined_until: date | None = None
    pool: PoolTerms | None = None


@dataclass(frozen=True, slots=True)
class LowestIn:
    """A month of which the lowest balance earns: from `window` up to and without `until`, `numerator` ÷ denominator a unit."""

    window: date
    until: date
    numerator: int


@dataclass(frozen=True, slots=True)
class Weights:
    """What a posting period pays for a unit of money, over `denominator`.

    The balance on its first day earns `opening`; what moves n days later `later[n - 1]`. Or, where `months` are there,
    each month's lowest balance earns.
    """

    denominator: int
    opening: int
    later: tuple[int, ...]
    months: tuple[LowestIn, ...] = ()


def year_terms(
    rule: DeclaredReturnRule, year: tuple[date, date], figures: Figures, *, today: date
) -> tuple[YearTerms, date, bool] | None:
    """Return what a scheme year earns by, the day it is credited for, and whether that is final; None while it waits.

    Interest is counted for posting periods that have ended by `today`; with `credited` "year-end" or "declaration" for
    the whole year at once.

    Raises:
        ReturnNotDeclared: no rate is known yet, and the rule gives none in its place.
        SeriesValueMissing: a floor or a provisional rate has no value on the first day of the year.
    """
    since, until = year
    account = YearAccount(opening_minor=0, movements=(), year_from=since, year_until=until)
    declared = declared_for(rule.series, account, figures)
    ends = [
        min(months_after(since, number * rule.interest.posted_every_months), until)
        for number in range(1, 12 // rule.interest.posted_every_months + 1)
    ]
    if rule.credited == "posting-day":
        ends = [end for end in ends if end <= today]
    if not ends or ends[-1] > today or (rule.credited != "posting-day" and ends[-1] != until):
        return None
    if rule.credited == "declaration" and declared is None:
        return None
    candidates = candidates_of(rule, declared, account, figures)
    if not candidates:
        return None
    credited_on = (
        ends[-1] if rule.credited != "declaration" or declared is None else max(declared.published_on, ends[-1])
    )
    return _terms(rule, since, ends, candidates), credited_on, declared is not None


def exit_terms(
    rule: DeclaredReturnRule, year: tuple[date, date], figures: Figures, *, left_on: date
) -> YearTerms | None:
    """Return what a scheme year earns who leaves on a day, until then; None where nothing of the year has passed.

    Raises as `year_terms` does.
    """
    since, until = year[0], min(earning_until(left_on, rule.interest), year[1])
    if until <= since:
        return None
    account = YearAccount(opening_minor=0, movements=(), year_from=since, year_until=year[1], left_on=left_on)
    declared = declared_for(rule.series, account, figures)
    candidates = (
        exit_candidates(rule, account, figures)
        if declared is None or declared.published_on > left_on
        else candidates_of(rule, declared, account, figures)
    )
    every = rule.interest.posted_every_months
    ends = [min(months_after(since, number * every), until) for number in range(1, 12 // every + 1)]
    return _terms(rule, since, sorted(set(ends)), candidates)


def _terms(rule: DeclaredReturnRule, since: date, ends: Sequence[date], candidates: Sequence[Candidate]) -> YearTerms:
    return YearTerms(
        rates=tuple(
            Rates(basis=basis, steps=tuple((step.rate_from, str(step.percent)) for step in steps))
            for basis, steps in candidates
        ),
        starts=(since, *ends[:-1]),
        ends=tuple(ends),
        interest=rule.interest,
        keeps_overpaid=rule.overpaid == "left",
        trues_up_leavers=rule.leavers_trued_up,
        pool=rule.pool,
    )


def weighed(terms: YearTerms) -> list[list[Weights]]:
    """Return for each of the rates that a year may earn by what each posting period pays."""
    return [
        [
            weights(terms.interest, rates.rate_steps(), start, end)
            for start, end in zip(terms.starts, terms.ends, strict=True)
        ]
        for rates in terms.rates
    ]


def weights(terms: InterestTerms, rates: Sequence[RateStep], start: date, end: date) -> Weights:
    """Return what a unit of money earns in a posting period by yearly rates, the first in force on or before `start`."""
    earned = _Earned(terms, tuple(rates))
    if terms.balance == "monthly-minimum":
        months, number = [], 0
        while (first := months_after(start, number)) < end:
            last = min(months_after(start, number + 1), end)
            window = min(first + (terms.minimum_from_day - 1) * DAY, last - DAY)
            months.append((window, last, earned(first, last)))
            number += 1
        denominator = lcm(*(one.denominator for *_, one in months))
        return Weights(
            denominator, 0, (), tuple(LowestIn(window, last, int(one * denominator)) for window, last, one in months)
        )
    whole = earned(start, end)
    days = [start + number * DAY for number in range(1, (end - start).days)]
    if terms.balance == "opening-plus-part-year" and terms.part_year_bp is not None:
        later = [whole * Fraction(terms.part_year_bp, WHOLE_BP)] * len(days)
    else:
        later = [earned(day, end) for day in days]
    denominator = lcm(whole.denominator, *(one.denominator for one in later))
    return Weights(denominator, int(whole * denominator), tuple(int(one * denominator) for one in later))


@dataclass(frozen=True, slots=True)
class _Earned:
    """What one unit earns from one day up to and without another: its rate, step by step."""

    terms: InterestTerms
    rates: tuple[RateStep, ...]

    def __call__(self, start: date, end: date) -> Fraction:
        marks = sorted({start, end, *(one.rate_from for one in self.rates if start < one.rate_from < end)})
        return sum(
            (
                Fraction([one.percent for one in self.rates if one.rate_from <= first][-1])
                / 100
                * year_fraction(first, last, self.terms.day_count)
                for first, last in pairwise(marks)
            ),
            Fraction(0),
        )
