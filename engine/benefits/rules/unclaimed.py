"""Money that nobody claims: when it is presumed so, told of, handed over, and how it comes back. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Annotated, Literal

from msgspec import Meta

from engine.benefits.errors import NoSuchRule, ReclaimTooLate
from engine.benefits.rules.parameters import Days, MonthDay, Years
from engine.funds.rules import Given
from engine.kernel.months import LeapDay, anniversary
from engine.kernel.rules import Rule
from engine.kernel.series import Figure, Figures
from engine.tenancy.rules.books import InForce
from engine.tenancy.rules.manifest import Code
from engine.tenancy.rules.proving import ScenarioContext


class UnclaimedRule(Rule, tag="unclaimed", frozen=True, kw_only=True):
    """When money that nobody asks for goes to the state, and how it comes back (D3).

    Kenya's Unclaimed Financial Assets Authority needs it. After `dormant_years` without activity, or since a benefit fell
    due, money is presumed unclaimed; the owner is told `notice_days` or more before it is handed to the role `handed_to` on
    the next `handed_over` day of a year. Sums below `least` are not handed over. It can be reclaimed for ever, or within
    `reclaim_years` of that day.
    """

    counted_from: Literal["last-activity", "benefit-due"]
    dormant_years: Annotated[int, Meta(ge=1, le=100, description="a number of years from 1 to 100")]
    notice_days: Days
    handed_over: MonthDay
    handed_to: Code
    least: Figure | None = None
    reclaim_years: Years | None = None
    leap_day: LeapDay


@dataclass(frozen=True, slots=True)
class Unclaimed:
    """Where money stands: when it is presumed unclaimed, by when the owner must be told, and when it is handed over, and to whom."""

    state: Literal["claimed-or-active", "presumed", "notice-overdue", "to-be-handed-over", "too-small"]
    presumed_on: date
    notice_by: date
    handed_over_on: date
    handed_to: str
    rules: tuple[str, ...]


def unclaimed_on(
    found: InForce[UnclaimedRule],
    *,
    counted_from: date,
    balance_minor: int,
    noticed_on: date | None,
    on: date,
    figures: Figures,
) -> Unclaimed:
    """Return where a member's money stands on a day.

    Args:
        found: the rule.
        counted_from: the last activity, or the day the benefit fell due.
        balance_minor: what is held, smallest units.
        noticed_on: when the owner was told, None if not yet.
        on: the day of the question.
        figures: what the rule's amounts are worth.

    A notice that is late, or missing, moves the handing over on to the first such day that leaves it its time.

    """
    rule = found.rule
    presumed_on = anniversary(counted_from, rule.dormant_years, rule.leap_day)
    told = noticed_on or max(presumed_on, on)
    handed_over_on = _next_day(rule.handed_over, max(presumed_on, told + timedelta(days=rule.notice_days)))
    notice_by = _next_day(rule.handed_over, presumed_on) - timedelta(days=rule.notice_days)

    def stands(
        state: Literal["claimed-or-active", "presumed", "notice-overdue", "to-be-handed-over", "too-small"],
    ) -> Unclaimed:
        return Unclaimed(state, presumed_on, notice_by, handed_over_on, rule.handed_to, (found.ref,))

    if on < presumed_on:
        return stands("claimed-or-active")
    if rule.least is not None and balance_minor < figures.amount(rule.least, on).units:
        return stands("too-small")
    if noticed_on is None:
        return stands("notice-overdue" if on > notice_by else "presumed")
    return stands("to-be-handed-over" if on >= handed_over_on else "presumed")


@dataclass(frozen=True, slots=True)
class HandOver:
    """What is handed over by a day: what is counted from `counted_by` at the latest, whose owner was told by `told_by`."""

    on: date
    counted_by: date
    told_by: date


def presumed_by(rule: UnclaimedRule, on: date) -> date:
    """Return the last day from which money may be counted that is presumed unclaimed on a day."""
    day = anniversary(on, -rule.dormant_years, "28-february") + timedelta(days=1)
    while anniversary(day, rule.dormant_years, rule.leap_day) > on:
        day -= timedelta(days=1)
    return day


def hand_over_by(rule: UnclaimedRule, on: date) -> HandOver:
    """Return what the last day of handing over, up to a day, takes: just what `unclaimed_on` says is to be handed over."""
    month, day = (int(part) for part in rule.handed_over.split("-"))
    this_year = date(on.year, month, day)
    last = this_year if this_year <= on else date(on.year - 1, month, day)
    return HandOver(last, presumed_by(rule, last), last - timedelta(days=rule.notice_days))


def check_reclaim(rule: UnclaimedRule, handed_over_on: date, on: date) -> None:
    """Refuse to reclaim money after its time; ReclaimTooLate says when that was."""
    if rule.reclaim_years is not None:
        last = anniversary(handed_over_on, rule.reclaim_years, rule.leap_day)
        if on > last:
            raise ReclaimTooLate(day=last.isoformat())


def _next_day(month_day: str, since: date) -> date:
    """Return the first such day of a year on or after a day."""
    month, day = (int(part) for part in month_day.split("-"))
    this_year = date(since.year, month, day)
    return this_year if this_year >= since else date(since.year + 1, month, day)


def run_unclaimed(context: ScenarioContext) -> Mapping[str, str]:
    """Decide a pack's example of unclaimed money: given `counted_from`, the `balance` and `noticed_on`, or `reclaimed` of a day.

    Returns `state`, `presumed_on`, `notice_by`, `handed_over_on` and `handed_to`.

    Raises:
        NoSuchRule: no rule hands money over.
        ReclaimTooLate: see there.
    """
    given, found = Given.of(context), context.rule(UnclaimedRule)
    if found is None:
        raise NoSuchRule(rule="unclaimed")
    rule = found.rule
    if given.has("handed_over_on"):
        handed = given.day("handed_over_on")
        if rule.reclaim_years is not None:
            last = anniversary(handed, rule.reclaim_years, rule.leap_day)
            context.compare(found, "reclaim_years", context.on.toordinal(), last.toordinal())
        check_reclaim(rule, handed, context.on)
        return {"state": "reclaimed"}
    balance = given.minor("balance")
    where = unclaimed_on(
        found,
        counted_from=given.day("counted_from"),
        balance_minor=balance,
        noticed_on=given.maybe_day("noticed_on"),
        on=context.on,
        figures=context.figures,
    )
    context.compare(found, "dormant_years", context.on.toordinal(), where.presumed_on.toordinal())
    if rule.least is not None and where.state != "claimed-or-active":
        context.compare(found, "least", balance, context.figures.amount(rule.least, context.on).units)
    return {
        "state": where.state,
        "presumed_on": where.presumed_on.isoformat(),
        "notice_by": where.notice_by.isoformat(),
        "handed_over_on": where.handed_over_on.isoformat(),
        "handed_to": where.handed_to,
    }
