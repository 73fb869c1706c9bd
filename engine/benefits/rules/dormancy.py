"""Members who stop paying: the ladder of statuses, and the way back. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Literal

from msgspec import Meta, Struct

from engine.benefits.errors import CannotReactivate, DuesUnpaid, NoSuchRule
from engine.benefits.rules.consuming import Holding, holdings_given
from engine.benefits.rules.parameters import Months, Origin
from engine.funds.rules import Given, in_major
from engine.kernel.months import months_after
from engine.kernel.rules import Rule
from engine.kernel.series import Figure, Figures
from engine.tenancy.rules.books import InForce
from engine.tenancy.rules.manifest import Code
from engine.tenancy.rules.proving import ScenarioContext


class StatusStep(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A status from some months on, and what is done then; only while the net balance is `net_balance_up_to` or less."""

    status: Code
    after_months: Months
    net_balance_up_to: Figure | None = None
    actions: tuple[Code, ...] = ()


class StatusLadderRule(Rule, tag="status-ladder", frozen=True, kw_only=True):
    """What becomes of a member who stops paying (D1).

    APY needs it: frozen after 6 months, deactivated after 12, closed after 24; and as amended only once the balance
    without the state's co-contribution has been used up by fees. Months count from the last contribution, or from the
    first day on which one was due and not paid; who has paid nothing, from their coming into the product. The net balance
    leaves out `net_of` origins. The last step that is reached in both ways counts. Members are tried once a day; they go
    down alone, and come back by the `reactivation` rule; where there is none, as they pay. Actions are named by the
    event of the step.
    """

    counted_from: Literal["last-contribution", "first-missed-due"]
    first_status: Code
    steps: Annotated[tuple[StatusStep, ...], Meta(min_length=1)]
    net_of: tuple[Origin, ...] = ()

    def __post_init__(self) -> None:
        """Check the order of the steps."""
        months = [one.after_months for one in self.steps]
        if months != sorted(months):
            raise ValueError("the steps rise in months")


@dataclass(frozen=True, slots=True)
class Status:
    """A member's status on a day, since when by its months, what is done, and why no further step was taken."""

    status: str
    since: date | None
    actions: tuple[str, ...]
    reason: Literal["", "balance-left"]
    rules: tuple[str, ...]


def status_on(
    found: InForce[StatusLadderRule],
    *,
    counted_from: date | None,
    holdings: Sequence[Holding],
    on: date,
    figures: Figures,
) -> Status:
    """Return a member's status.

    Args:
        found: the ladder.
        counted_from: the day that months count from; None where nothing is overdue.
        holdings: what the member has, by origin.
        on: the day of the question.
        figures: what the ladder's amounts are worth.

    """
    rule = found.rule
    status = Status(rule.first_status, None, (), "", (found.ref,))
    if counted_from is None:
        return status
    net = net_balance(rule, holdings)
    kept_by_balance = False
    for one in rule.steps:
        since = months_after(counted_from, one.after_months)
        if on < since:
            break
        if one.net_balance_up_to is not None and net > figures.amount(one.net_balance_up_to, on).units:
            kept_by_balance = True
            continue
        status = Status(one.status, since, one.actions, "", (found.ref,))
    reason: Literal["", "balance-left"] = "balance-left" if kept_by_balance else ""
    return Status(status.status, status.since, status.actions, reason, status.rules)


def net_balance(rule: StatusLadderRule, holdings: Sequence[Holding]) -> int:
    """Return what a member has without money of the origins that do not count, smallest units."""
    return sum(one.minor for one in holdings if one.origin not in rule.net_of)


class ReactivationRule(Rule, tag="reactivation", frozen=True, kw_only=True):
    """The way back from a status (D2).

    APY and SEED (250,000 dormant members to be won back) need it. From one of `statuses`, within `within_months` of
    reaching it, whoever pays `dues` (nothing; a first payment of `least_payment`; all arrears; or arrears and late charges)
    and has the `documents` (recorded of them as an attribute "yes"), returns to `status`. Arrears are what an undertaking
    makes due; charges are paid with the instalments they are for. Months count anew from the return.
    """

    statuses: Annotated[tuple[Code, ...], Meta(min_length=1)]
    within_months: Months | None = None
    dues: Literal["none", "first-payment", "arrears", "arrears-and-charges"]
    least_payment: Figure | None = None
    documents: tuple[Code, ...] = ()
    status: Code

    def __post_init__(self) -> None:
        """Check that a first payment has its amount."""
        if (self.dues == "first-payment") != (self.least_payment is not None):
            raise ValueError('dues = "first-payment" needs least_payment, and that needs it')


@dataclass(frozen=True, slots=True, kw_only=True)
class ReactivationCase:
    """Who comes back: their status and since when, what they pay now and owe, smallest units, and the documents they have."""

    on: date
    status: str
    status_since: date
    paid_minor: int
    arrears_minor: int = 0
    charges_minor: int = 0
    documents: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Reactivated:
    """The status again, what the dues came to, and what was paid above them."""

    status: str
    dues_minor: int
    above_minor: int
    rules: tuple[str, ...]


def reactivate(found: InForce[ReactivationRule], case: ReactivationCase, figures: Figures) -> Reactivated:
    """Return a member's status after the way back.

    Raises:
        CannotReactivate: not from this status, not after so long, or not without the documents.
        DuesUnpaid: less was paid than is due.
    """
    rule = found.rule
    is_late = rule.within_months is not None and case.on > months_after(case.status_since, rule.within_months)
    if case.status not in rule.statuses or is_late or not set(rule.documents) <= case.documents:
        raise CannotReactivate(status=case.status)
    dues = dues_of(rule, case, figures)
    if case.paid_minor < dues:
        raise DuesUnpaid(dues=in_major(dues, figures.asset))
    above = case.paid_minor - (0 if rule.dues == "first-payment" else dues)
    return Reactivated(rule.status, dues, above, (found.ref,))


def dues_of(rule: ReactivationRule, case: ReactivationCase, figures: Figures) -> int:
    """Return what must be paid to come back, smallest units."""
    if rule.least_payment is not None:
        return figures.amount(rule.least_payment, case.on).units
    arrears = 0 if rule.dues == "none" else case.arrears_minor
    return arrears + (case.charges_minor if rule.dues == "arrears-and-charges" else 0)


def run_status(context: ScenarioContext) -> Mapping[str, str]:
    """Decide a pack's example of a member's status: given `counted_from`, `holdings`; returns `status`, `since`, `actions`, `reason`."""
    given, found, figures = Given.of(context), context.rule(StatusLadderRule), context.figures
    if found is None:
        raise NoSuchRule(rule="status-ladder")
    holdings = holdings_given(given)
    since = given.maybe_day("counted_from")
    for row, step in enumerate(found.rule.steps, 1):
        if since is not None:
            starts = months_after(since, step.after_months)
            context.compare(found, f"steps[{row}].after_months", context.on.toordinal(), starts.toordinal())
            if step.net_balance_up_to is not None and context.on >= starts:
                limit = figures.amount(step.net_balance_up_to, context.on).units
                if limit:
                    context.compare(found, f"steps[{row}].net_balance_up_to", net_balance(found.rule, holdings), limit)
    status = status_on(found, counted_from=since, holdings=holdings, on=context.on, figures=figures)
    return {
        "status": status.status,
        "since": "" if status.since is None else status.since.isoformat(),
        "actions": ", ".join(status.actions),
        "reason": status.reason,
    }


def run_reactivation(context: ScenarioContext) -> Mapping[str, str]:
    """Decide a pack's example of coming back: given `status`, `status_since`, `paid`, `arrears`, `charges` and `documents`.

    Returns `status`, `dues` and `above`.

    Raises:
        NoSuchRule: there is no way back.
        CannotReactivate, DuesUnpaid: see there.
    """
    given, found, asset = Given.of(context), context.rule(ReactivationRule), context.asset
    if found is None:
        raise NoSuchRule(rule="reactivation")
    case = ReactivationCase(
        on=context.on,
        status=given.text("status"),
        status_since=given.day("status_since"),
        paid_minor=given.minor("paid"),
        arrears_minor=given.minor("arrears", 0),
        charges_minor=given.minor("charges", 0),
        documents=frozenset(given.texts("documents")),
    )
    if found.rule.within_months is not None:
        last = months_after(case.status_since, found.rule.within_months)
        context.compare(found, "within_months", case.on.toordinal(), last.toordinal())
    context.compare(found, "dues", case.paid_minor, dues_of(found.rule, case, context.figures))
    back = reactivate(found, case, context.figures)
    return {
        "status": back.status,
        "dues": in_major(back.dues_minor, asset),
        "above": in_major(back.above_minor, asset),
    }
