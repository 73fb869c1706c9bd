"""Declared returns: the interest of a scheme year, provisional until declared, never below its floors. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import ClassVar, Literal

from msgspec import Struct

from engine.funds.errors import ReturnNotDeclared
from engine.funds.rules.examples import Given, in_major
from engine.funds.rules.interest import (
    DAY,
    InterestTerms,
    Movement,
    RateStep,
    earning_until,
    interest_postings,
    interest_total,
    rates_of,
)
from engine.kernel.rules import BY_COHORT, AppliesBy, Rule
from engine.kernel.series import Factor, Figures, SeriesCode, SeriesPoint
from engine.tenancy.rules.books import InForce
from engine.tenancy.rules.manifest import Code
from engine.tenancy.rules.proving import ScenarioContext

Basis = Literal["declared", "provisional", "last-declared", "floor", "nothing"]


class PoolTerms(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whose income interest is paid from: what the role `held_by` tells that it earned with the pool, two people agreeing.

    A year that is credited more than was earned draws on the reserve of the years before. What that lacks, too, the role
    `tops_up` gives where the year is `short = "topped-up"`; else the year is refused until more is told.
    """

    held_by: Code
    short: Literal["topped-up", "refused"]
    tops_up: Code | None = None

    def __post_init__(self) -> None:
        """Check that whoever gives what lacks is known."""
        if (self.short == "topped-up") != (self.tops_up is not None):
            raise ValueError('short = "topped-up" needs tops_up, and that needs it')


class DeclaredReturnRule(Rule, tag="declared-return", frozen=True, kw_only=True):
    """The return that a scheme without unit prices declares for each scheme year (R2).

    EjoHeza, Haba Haba and SmartLife need it; Mbao's "at least 7 %" is `least_percent`. `series` holds a rate in percent
    a year for each scheme year, from its first day. `floors` are series (a savings-bank rate, a price index's yearly
    change) of which a year never earns less: interest is counted at each and the highest is credited, as it is at the
    constant `least_percent`. Until a year is declared it earns as `until_declared` says: the `provisional` series' rate,
    that of the last declared year, the highest floor, nothing, or the question is refused. What was credited before is
    trued up when the year is declared; what had been too much is "recovered" or "left" with the member, and members who
    have left are trued up only where `leavers_trued_up`. `credited` is the day that interest is posted for: each posting
    day of the interest's terms, the first day after the year (or after the exit), or the day of the declaration.

    Who leaves before a year is declared is credited it "when-declared", or as they leave, for the days until then: at the
    `interim` rate of the `provisional` series, at that of the last declared year, or nothing. That is final unless
    `leavers_trued_up`. `pool` says what the interest is paid from.
    """

    may_apply_by: ClassVar[tuple[AppliesBy, ...]] = BY_COHORT
    series: SeriesCode
    interest: InterestTerms
    floors: tuple[SeriesCode, ...] = ()
    least_percent: Factor | None = None
    provisional: SeriesCode | None = None
    until_declared: Literal["provisional", "last-declared", "floor", "nothing", "refused"]
    leavers_trued_up: bool
    overpaid: Literal["recovered", "left"]
    credited: Literal["posting-day", "year-end", "declaration"]
    exits: Literal["when-declared", "interim", "last-declared", "nothing"] = "when-declared"
    pool: PoolTerms | None = None

    def __post_init__(self) -> None:
        """Check that what is earned until the declaration can be known."""
        if (self.until_declared == "provisional" or self.exits == "interim") != (self.provisional is not None):
            raise ValueError(
                'until_declared = "provisional" and exits = "interim" need a provisional series, and that needs one of them'
            )
        if self.exits == "nothing" and self.leavers_trued_up:
            raise ValueError(
                'exits = "nothing" and leavers_trued_up say the opposite; "when-declared" credits them later'
            )
        if self.until_declared == "floor" and not self.floors and self.least_percent is None:
            raise ValueError('until_declared = "floor" needs floors or least_percent')


@dataclass(frozen=True, slots=True, kw_only=True)
class YearAccount:
    """A member's money in one scheme year, smallest units: before it, what moved in it, and what it was credited so far."""

    opening_minor: int
    movements: tuple[Movement, ...]
    year_from: date
    year_until: date
    left_on: date | None = None
    credited_minor: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class YearCredit:
    """What a year earns.

    `interest_minor` is the whole year's, `adjustment_minor` what is still to be credited (or recovered, if negative),
    `percent` the rate that decided, None where nothing did or the rate changed in the year.
    """

    interest_minor: int
    adjustment_minor: int
    basis: Basis
    percent: Decimal | None
    is_final: bool
    credited_on: tuple[tuple[date, int], ...]
    rules: tuple[str, ...]


Candidate = tuple[Basis, tuple[RateStep, ...]]
"""A basis that a year may earn by, and its rates. The year earns by the one that pays an account most."""


def credit_year(found: InForce[DeclaredReturnRule], account: YearAccount, figures: Figures) -> YearCredit:
    """Return the interest of a scheme year at the rate known, or at what stands in until one is.

    Raises:
        ReturnNotDeclared: no rate is known yet, and the rule gives none in its place.
        SeriesValueMissing: a floor or a provisional rate has no value on the first day of the year.
    """
    rule = found.rule
    declared = declared_for(rule.series, account, figures)
    left_before = _left_before(rule, declared, account)
    is_settled = left_before and not (rule.leavers_trued_up and declared is not None)
    if is_settled:
        candidates = exit_candidates(rule, account, figures)
    else:
        candidates = candidates_of(rule, declared, account, figures)
    until = account.year_until if account.left_on is None else earning_until(account.left_on, rule.interest)
    best: Candidate | None = None
    postings = interest_postings((), (), rule.interest, since=account.year_from, until=account.year_from)
    for basis, rates in candidates:
        earned = interest_postings(
            account.movements,
            rates,
            rule.interest,
            since=account.year_from,
            until=min(until, account.year_until),
            opening_minor=account.opening_minor,
        )
        if best is None or interest_total(earned) > interest_total(postings):
            best, postings = (basis, rates), earned
    total = interest_total(postings)
    return YearCredit(
        interest_minor=total,
        adjustment_minor=0 if is_settled and account.credited_minor else _adjustment(rule, total, account),
        basis=best[0] if best else "nothing",
        percent=best[1][0].percent if best and len({step.percent for step in best[1]}) == 1 else None,
        is_final=not rule.leavers_trued_up if is_settled else declared is not None,
        credited_on=((postings[-1].on, total),)
        if is_settled and postings
        else _credited(rule, [(one.on, one.minor) for one in postings], total, declared),
        rules=(found.ref,),
    )


def declared_for(series: str, account: YearAccount, figures: Figures) -> SeriesPoint | None:
    """Return the rate declared for the year of an account, or None where it is not known yet."""
    if series not in figures.series:
        return None
    point = figures.series[series].point(account.year_until - DAY, known_on=figures.known_on)
    return point if point is not None and point.effective_from >= account.year_from else None


def candidates_of(
    rule: DeclaredReturnRule, declared: SeriesPoint | None, account: YearAccount, figures: Figures
) -> list[Candidate]:
    """Return what a year may earn by: the rate declared or what stands in, and the floors. Raises as `credit_year` does."""
    return [*_first_choice(rule, declared, account, figures), *_floors(rule, account, figures)]


def exit_candidates(rule: DeclaredReturnRule, account: YearAccount, figures: Figures) -> list[Candidate]:
    """Return what the money of who leaves before the declaration may earn by; raises as `credit_year` does."""
    start = account.year_from
    if rule.exits == "nothing":
        return []
    if rule.exits == "interim" and rule.provisional is not None:
        rates = rates_of(figures, rule.provisional, start, account.year_until)
        return [("provisional", rates), *_floors(rule, account, figures)]
    return [("last-declared", (RateStep(start, figures.value(rule.series, start)),)), *_floors(rule, account, figures)]


def _left_before(rule: DeclaredReturnRule, declared: SeriesPoint | None, account: YearAccount) -> bool:
    """Return whether somebody left before the year was declared, and the rule has an answer of its own for that."""
    if account.left_on is None or rule.exits == "when-declared":
        return False
    return declared is None or declared.published_on > account.left_on


def _first_choice(
    rule: DeclaredReturnRule, declared: SeriesPoint | None, account: YearAccount, figures: Figures
) -> list[Candidate]:
    start = account.year_from
    if declared is not None:
        return [("declared", (RateStep(start, declared.value),))]
    if rule.until_declared == "refused":
        raise ReturnNotDeclared(day=start.isoformat())
    if rule.until_declared == "provisional" and rule.provisional is not None:
        return [("provisional", rates_of(figures, rule.provisional, start, account.year_until))]
    if rule.until_declared == "last-declared":
        return [("last-declared", (RateStep(start, figures.value(rule.series, start)),))]
    return []


def _floors(rule: DeclaredReturnRule, account: YearAccount, figures: Figures) -> list[Candidate]:
    start = account.year_from
    if rule.until_declared == "nothing" and declared_for(rule.series, account, figures) is None:
        return []
    rates = [rates_of(figures, series, start, account.year_until) for series in rule.floors]
    if rule.least_percent is not None:
        rates.append((RateStep(start, Decimal(rule.least_percent)),))
    return [("floor", one) for one in rates]


def _adjustment(rule: DeclaredReturnRule, total: int, account: YearAccount) -> int:
    owed = total - account.credited_minor
    if account.credited_minor and account.left_on is not None and not rule.leavers_trued_up:
        return 0
    return max(owed, 0) if rule.overpaid == "left" else owed


def _credited(
    rule: DeclaredReturnRule, postings: Sequence[tuple[date, int]], total: int, declared: SeriesPoint | None
) -> tuple[tuple[date, int], ...]:
    """Return (day, smallest units) of each credit; nothing where the declaration is awaited."""
    if not postings or rule.credited == "posting-day":
        return tuple(postings)
    if rule.credited == "year-end":
        return ((postings[-1][0], total),)
    return () if declared is None else ((max(declared.published_on, postings[-1][0]), total),)


def run_declared_return(context: ScenarioContext) -> Mapping[str, str]:
    """Decide a pack's example of a year's interest, in the scheme year of its date, as known on its `known_on`.

    Given `opening`, `movements = [{ on, amount }]` (out: negative), `left_on` and `credited` so far, returns `interest`,
    `adjustment`, `basis`, `percent` where one rate decided, `final`, and `credited.<day>`.

    Raises:
        ReturnNotDeclared: no rate is known, and none stands in; or no rule says how returns are declared.
    """
    given, asset = Given.of(context), context.asset
    found = context.rule(DeclaredReturnRule)
    year_from, year_until = context.product.scheme_year(context.on)
    if found is None:
        raise ReturnNotDeclared(day=year_from.isoformat())
    account = YearAccount(
        opening_minor=given.minor("opening"),
        movements=tuple(Movement(one.day("on"), one.minor("amount")) for one in given.rows("movements")),
        year_from=year_from,
        year_until=year_until,
        left_on=given.maybe_day("left_on"),
        credited_minor=given.minor("credited", 0),
    )
    declared = declared_for(found.rule.series, account, context.figures)
    if declared is not None and found.rule.least_percent is not None:
        context.compare(found, "least_percent", _hundredths(declared.value), _hundredths(found.rule.least_percent))
    credit = credit_year(found, account, context.figures)
    outcome = {
        "interest": in_major(credit.interest_minor, asset),
        "adjustment": in_major(credit.adjustment_minor, asset),
        "basis": credit.basis,
        "final": str(credit.is_final).lower(),
        **{f"credited.{day.isoformat()}": in_major(minor, asset) for day, minor in credit.credited_on},
    }
    return outcome if credit.percent is None else {**outcome, "percent": str(credit.percent)}


def _hundredths(percent: Decimal | str) -> int:
    return int(Decimal(percent).scaleb(2))
