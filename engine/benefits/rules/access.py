"""What may be withdrawn while one saves: from which pot, when, how often, for what, after which history. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct

from engine.benefits.errors import (
    AccessNotYet,
    AgeNotReached,
    BelowLeastWithdrawal,
    DocumentsNeeded,
    GroundNeeded,
    HistoryTooShort,
    MoreThanAccessible,
    NoMoreWithdrawals,
    NoSuchRule,
    PurposeNeeded,
    WithdrawnTooOften,
)
from engine.benefits.rules.consuming import Consumed, ConsumptionOrder, Holding, consume, holdings_given, reachable
from engine.benefits.rules.history import Paid, SchemeYear, counted, paid_given, year_totals
from engine.benefits.rules.parameters import Bp, Count, Months, Years, share_of
from engine.funds.rules import Given, in_major
from engine.kernel.months import LeapDay, age_on, anniversary, months_after
from engine.kernel.rules import Rule
from engine.kernel.series import Figure, Figures
from engine.tenancy.rules.books import InForce
from engine.tenancy.rules.manifest import Code
from engine.tenancy.rules.proving import ScenarioContext


class Purpose(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What money may be withdrawn for, and every document that must prove it."""

    code: Code
    documents: tuple[Code, ...] = ()


class PaidYears(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`years` scheme years with `least` or more paid in each, in a row or not; the year that runs counts once it is enough."""

    years: Annotated[int, Meta(ge=1, le=60, description="a number of years from 1 to 60")]
    least: Figure
    in_a_row: bool
    net_of_reversals: bool


class OftenEnough(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`times` withdrawals in each scheme year, in any `days` or `months` one after the other, or in a lifetime."""

    times: Count
    within: Literal["days", "months", "scheme-year", "lifetime"]
    count: Count | None = None

    def __post_init__(self) -> None:
        """Check that days and months are counted."""
        if (self.within in ("days", "months")) != (self.count is not None):
            raise ValueError("count is needed for days and months, and nowhere else")


class AccessRule(Rule, tag="access", frozen=True, kw_only=True):
    """A way to withdraw before retirement.

    By pot (W1): the `order` names the pots and origins it takes; `least_months` after `counted_from`; `often` limits how
    often; `most_bp` of `share_of` how much. Nigeria's contingent 40 % opens after three months, once a week; EjoHeza's
    proposal of 2026 gives 30 % of all that was saved. By purpose (W2): one of `purposes` with its documents (EjoHeza,
    Ghana). By history (W3): `paid_years` (Haba Haba: 50 % after five years of KES 4,800 or more), `least_age` and
    `least_years` in the scheme (Uganda: 45 and ten; a variant on another `ground`, such as disability, is a rule of its
    own with its own age). New money only (W4): `only_since_last` limits it to contributions since the last withdrawal
    (Nigeria's voluntary contributions, once in two years).

    `share_of` is the money there is; or that and what was withdrawn before by this rule, which is then taken off again,
    so that a second withdrawal does not begin anew; or the contributions alone, without income.
    """

    many: ClassVar[bool] = True
    order: ConsumptionOrder
    ground: Code | None = None
    counted_from: Literal["joining", "first-contribution"]
    least_months: Months = 0
    least_years: Years = 0
    least_age: Years = 0
    leap_day: LeapDay
    paid_years: PaidYears | None = None
    purposes: tuple[Purpose, ...] = ()
    often: OftenEnough | None = None
    only_since_last: bool
    most_bp: Bp
    share_of: Literal["balance", "balance-and-withdrawn", "contributions"]
    least: Figure | None = None
    most: Figure | None = None
    stays: Figure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessCase:
    """A member who would withdraw: dates, money, history, and what they say it is for.

    `withdrawn` are the days and smallest units of earlier withdrawals by this rule, oldest first.
    """

    on: date
    joined_on: date
    born_on: date | None = None
    holdings: tuple[Holding, ...] = ()
    paid: tuple[Paid, ...] = ()
    withdrawn: tuple[tuple[date, int], ...] = ()
    purpose: str = ""
    documents: frozenset[str] = frozenset()
    ground: str = ""


@dataclass(frozen=True, slots=True)
class Accessible:
    """The most that may be withdrawn now, smallest units; where nothing, why."""

    minor: int
    reason: Literal["", "nothing-saved", "nothing-new", "all-taken"]
    rules: tuple[str, ...]


def accessible(found: InForce[AccessRule], case: AccessCase, figures: Figures, year_of: SchemeYear) -> Accessible:
    """Return the most that may be withdrawn now by a rule, rounded down.

    Raises:
        GroundNeeded, AccessNotYet, AgeNotReached, HistoryTooShort, PurposeNeeded, DocumentsNeeded, WithdrawnTooOften,
        NoMoreWithdrawals:
            a condition is not met.
    """
    rule = found.rule
    _check_when(rule, case)
    _check_history(rule, case, figures, year_of)
    _check_purpose(rule, case)
    _check_often(rule, case, year_of)
    there = reachable(case.holdings, rule.order)
    if there == 0:
        return Accessible(0, "nothing-saved", (found.ref,))
    last_on = case.withdrawn[-1][0] if case.withdrawn else None
    new = sum(one.minor for one in case.paid if not one.is_reversed and (last_on is None or one.on > last_on))
    base, before = there, 0
    if rule.only_since_last:
        base = min(new, there)
    elif rule.share_of == "contributions":
        base, before = sum(one.minor for one in case.paid if not one.is_reversed), _taken(case)
    elif rule.share_of == "balance-and-withdrawn":
        base, before = there + _taken(case), _taken(case)
    most = max(min(share_of(base, rule.most_bp, "down") - before, there), 0)
    if rule.most is not None:
        most = min(most, figures.amount(rule.most, case.on).units)
    if rule.stays is not None:
        most = min(most, max(there - figures.amount(rule.stays, case.on).units, 0))
    if most:
        return Accessible(most, "", (found.ref,))
    return Accessible(0, "nothing-new" if rule.only_since_last and not new else "all-taken", (found.ref,))


def withdraw(
    found: InForce[AccessRule], minor: int, case: AccessCase, figures: Figures, year_of: SchemeYear
) -> Consumed:
    """Return which money a withdrawal takes.

    Raises:
        BelowLeastWithdrawal, MoreThanAccessible: the amount; and as `accessible`.
    """
    most = accessible(found, case, figures, year_of)
    if found.rule.least is not None and minor < figures.amount(found.rule.least, case.on).units:
        raise BelowLeastWithdrawal(least=str(figures.amount(found.rule.least, case.on).decimal()))
    if minor > most.minor:
        raise MoreThanAccessible(most=in_major(most.minor, figures.asset), reason=most.reason or "limit")
    return consume(minor, case.holdings, found.rule.order)


def opens_on(rule: AccessRule, case: AccessCase) -> date:
    """Return the first day that the months and years of the rule have passed, whatever else it asks for."""
    since = case.joined_on
    if rule.counted_from == "first-contribution":
        since = min((one.on for one in case.paid), default=case.on)
    return max(months_after(since, rule.least_months), anniversary(since, rule.least_years, rule.leap_day))


def enough_years(terms: PaidYears, case: AccessCase, figures: Figures, year_of: SchemeYear) -> int:
    """Return how many scheme years count; of years in a row, the longest row."""
    known = [one for one in counted(case.paid, net_of_reversals=terms.net_of_reversals) if one.on <= case.on]
    totals = year_totals(known, year_of)
    good = sorted(year for year, total in totals.items() if total >= figures.amount(terms.least, year).units)
    if not terms.in_a_row:
        return len(good)
    longest = row = 0
    previous: date | None = None
    for year in good:
        row = row + 1 if previous is not None and year_of(previous)[1] == year else 1
        longest, previous = max(longest, row), year
    return longest


def _taken(case: AccessCase) -> int:
    return sum(minor for _, minor in case.withdrawn)


def _check_when(rule: AccessRule, case: AccessCase) -> None:
    if rule.ground is not None and case.ground != rule.ground:
        raise GroundNeeded(ground=rule.ground)
    if case.on < opens_on(rule, case) or (rule.counted_from == "first-contribution" and not case.paid):
        raise AccessNotYet(day=opens_on(rule, case).isoformat())
    if rule.least_age and (case.born_on is None or age_on(case.born_on, case.on, rule.leap_day) < rule.least_age):
        raise AgeNotReached(age=rule.least_age)


def _check_history(rule: AccessRule, case: AccessCase, figures: Figures, year_of: SchemeYear) -> None:
    if rule.paid_years is not None:
        years = enough_years(rule.paid_years, case, figures, year_of)
        if years < rule.paid_years.years:
            raise HistoryTooShort(years=rule.paid_years.years, counted=years)


def _check_purpose(rule: AccessRule, case: AccessCase) -> None:
    if not rule.purposes:
        return
    purpose = next((one for one in rule.purposes if one.code == case.purpose), None)
    if purpose is None:
        raise PurposeNeeded(allowed=", ".join(one.code for one in rule.purposes))
    missing = [one for one in purpose.documents if one not in case.documents]
    if missing:
        raise DocumentsNeeded(missing=", ".join(missing))


def _check_often(rule: AccessRule, case: AccessCase, year_of: SchemeYear) -> None:
    """Refuse a withdrawal too many. Of `times` within a span, the earliest must have left it."""
    often = rule.often
    if often is None or len(case.withdrawn) < often.times:
        return
    earliest = case.withdrawn[-often.times][0]
    if often.within == "lifetime":
        raise NoMoreWithdrawals
    if often.within == "scheme-year":
        again = year_of(earliest)[1]
    elif often.within == "months":
        again = months_after(earliest, often.count or 0)
    else:
        again = date.fromordinal(earliest.toordinal() + (often.count or 0))
    if case.on < again:
        raise WithdrawnTooOften(day=again.isoformat())


def run_access(context: ScenarioContext) -> Mapping[str, str]:
    """Decide a pack's example of a withdrawal by the rule `access`, for a member of the example's `joined_on`, `born_on`.

    Given `holdings`, `paid`, earlier `withdrawn = [{ on, amount }]`, `purpose`, `documents`, `ground`, and an `amount` if
    one is asked for, returns `accessible`, `reason`, and `parts.<pot>.<origin>` of the amount.

    Raises:
        NoSuchRule: there is no such rule; else as `accessible` and `withdraw`.
    """
    given, figures, year_of = Given.of(context), context.figures, context.product.scheme_year
    found = next((one for one in context.rules(AccessRule) if one.rule.id == given.text("access")), None)
    if found is None:
        raise NoSuchRule(rule=given.text("access"))
    case = AccessCase(
        on=context.on,
        joined_on=context.joined_on or context.on,
        born_on=context.dates.born_on,
        holdings=holdings_given(given),
        paid=paid_given(given),
        withdrawn=tuple((one.day("on"), one.minor("amount")) for one in given.rows("withdrawn")),
        purpose=given.text("purpose", ""),
        documents=frozenset(given.texts("documents")),
        ground=given.text("ground", ""),
    )
    _compare_conditions(context, found, case)
    most = accessible(found, case, figures, year_of)
    outcome = {"accessible": in_major(most.minor, context.asset), "reason": most.reason}
    if given.has("amount"):
        amount = given.minor("amount")
        context.compare(found, "most_bp", amount, most.minor)
        if found.rule.least is not None:
            context.compare(found, "least", amount, figures.amount(found.rule.least, context.on).units)
        for part in withdraw(found, amount, case, figures, year_of).parts:
            outcome[f"parts.{part.pot}.{part.origin}"] = in_major(part.minor, context.asset)
    return outcome


def _compare_conditions(context: ScenarioContext, found: InForce[AccessRule], case: AccessCase) -> None:
    rule, year_of = found.rule, context.product.scheme_year
    if rule.least_months or rule.least_years:
        opens = opens_on(rule, case).toordinal()
        context.compare(found, "least_months" if rule.least_months else "least_years", case.on.toordinal(), opens)
    if rule.least_age and case.born_on is not None:
        context.compare(found, "least_age", age_on(case.born_on, case.on, rule.leap_day), rule.least_age)
    if rule.paid_years is not None:
        years = enough_years(rule.paid_years, case, context.figures, year_of)
        context.compare(found, "paid_years.years", years, rule.paid_years.years)
        known = counted(case.paid, net_of_reversals=rule.paid_years.net_of_reversals)
        for year, total in year_totals(known, year_of).items():
            least = context.figures.amount(rule.paid_years.least, year).units
            context.compare(found, "paid_years.least", total, least)
