"""Loans from, and pledges of, a member's savings: ceilings, schedules, repayments, default. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import ClassVar, Literal

from engine.benefits.errors import AboveLoanCeiling, BelowLeastLoan, LoanRunning, LoanTooLong, LoanTooSoon, NoSuchRule
from engine.benefits.rules.consuming import ConsumptionOrder, Holding, holdings_given, reachable
from engine.benefits.rules.parameters import Bp, Count, EveryMonths, Months, Percent, share_of
from engine.funds.rules import Given, in_major
from engine.kernel.months import months_after
from engine.kernel.rounding import Rounding, rounded
from engine.kernel.rules import Rule
from engine.kernel.series import Figure, Figures
from engine.tenancy.rules.books import InForce
from engine.tenancy.rules.proving import ScenarioContext


class LoanRule(Rule, tag="loan", frozen=True, kw_only=True):
    """A loan from a member's own savings, or savings pledged to a lender (R7).

    EjoHeza (a percentage of savings as collateral), Mbao (60 % for a mortgage) and Ghana's third tier (what is vested
    must cover the principal and three months' interest) need it. `base` is the money that counts. The principal is at
    most `ceiling_bp` of it; or together with the interest of `covers_interest_months` at most all of it; the lower of
    the two where both are said. `percent` is the yearly rate of a loan; a lender tells that of a pledge. The schedule has
    equal instalments, equal parts of the principal, or all at the end; interest is on what is still owed ("reducing") or
    on the first principal ("flat"). A repayment pays interest or principal first, and goes back to the pot it came from
    or to the lender; after `default_after_months` without one the debt is set off against the savings, or these are
    frozen, or it is reported.
    """

    many: ClassVar[bool] = True
    form: Literal["loan", "pledge"]
    base: ConsumptionOrder
    ceiling_bp: Bp | None = None
    covers_interest_months: Months | None = None
    least: Figure | None = None
    most: Figure | None = None
    least_months_in_scheme: Months
    one_at_a_time: bool
    percent: Percent | None = None
    schedule: Literal["equal-instalments", "equal-principal", "at-end"]
    interest_on: Literal["reducing", "flat"]
    every_months: EveryMonths
    most_instalments: Count
    repaid_to: Literal["own-pot", "lender"]
    interest_to: Literal["member", "fund", "lender"]
    repays_first: Literal["interest", "principal"]
    default_after_months: Months
    on_default: Literal["set-off", "freeze", "report"]
    rounding: Rounding

    def __post_init__(self) -> None:
        """Check that a ceiling is said and the lender fits the form."""
        if self.ceiling_bp is None and self.covers_interest_months is None:
            raise ValueError("say ceiling_bp, or covers_interest_months, or both")
        if (self.form == "pledge") != (self.repaid_to == "lender"):
            raise ValueError("a pledge is repaid to the lender, a loan to the member's own pot")
        if self.form == "loan" and self.percent is None:
            raise ValueError("a loan from the member's own savings needs percent")
        if self.schedule == "equal-instalments" and self.interest_on == "flat":
            raise ValueError(
                "equal instalments count interest on what is still owed; flat interest has equal principal"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class LoanCase:
    """Who asks: since when a member, what they hold, the lender's rate where savings are pledged, and loans that run.

    Of `holdings` `owed_minor` stands for loans that run, by the same rule, and cannot be lent or pledged once more.
    """

    on: date
    joined_on: date
    holdings: tuple[Holding, ...]
    lender_percent: str | None = None
    running: int = 0
    owed_minor: int = 0


@dataclass(frozen=True, slots=True)
class Instalment:
    """What falls due on a day, smallest units."""

    due_on: date
    principal_minor: int
    interest_minor: int


@dataclass(frozen=True, slots=True)
class Repayment:
    """How a repayment is shared, and whom the parts go to: `left_minor` is above what is owed, and the payer's."""

    interest_minor: int
    principal_minor: int
    left_minor: int
    principal_to: Literal["own-pot", "lender"]
    interest_to: Literal["member", "fund", "lender"]
    rules: tuple[str, ...]


def loan_ceiling(found: InForce[LoanRule], case: LoanCase, figures: Figures) -> int:
    """Return the most that may be lent or pledged, smallest units, rounded down."""
    rule = found.rule
    base = reachable(case.holdings, rule.base)
    limits = []
    if rule.ceiling_bp is not None:
        limits.append(share_of(base, rule.ceiling_bp, "down"))
    if rule.covers_interest_months is not None:
        yearly = Fraction(_percent(rule, case)) / 100
        limits.append(rounded(base / (1 + yearly * rule.covers_interest_months / 12), "down"))
    if rule.most is not None:
        limits.append(figures.amount(rule.most, case.on).units)
    return max(min(limits) - case.owed_minor, 0)


def check_loan(
    found: InForce[LoanRule], principal_minor: int, instalments: int, case: LoanCase, figures: Figures
) -> None:
    """Refuse a loan that the rule does not allow.

    Raises:
        LoanTooSoon, LoanRunning, BelowLeastLoan, AboveLoanCeiling, LoanTooLong: see there.
    """
    rule = found.rule
    since = months_after(case.joined_on, rule.least_months_in_scheme)
    if case.on < since:
        raise LoanTooSoon(day=since.isoformat())
    if rule.one_at_a_time and case.running:
        raise LoanRunning
    if rule.least is not None and principal_minor < figures.amount(rule.least, case.on).units:
        raise BelowLeastLoan(least=str(figures.amount(rule.least, case.on).decimal()))
    ceiling = loan_ceiling(found, case, figures)
    if principal_minor > ceiling:
        raise AboveLoanCeiling(most=in_major(ceiling, figures.asset))
    if instalments > rule.most_instalments:
        raise LoanTooLong(most=rule.most_instalments)


def loan_schedule(
    found: InForce[LoanRule], principal_minor: int, instalments: int, case: LoanCase
) -> tuple[Instalment, ...]:
    """Return what falls due when: principal parts that sum to the principal exactly, the last one taking what is left.

    The first instalment is due `every_months` after the loan. An instalment is rounded as the rule says, and so is each
    one's interest.
    """
    rule = found.rule
    rate = Fraction(_percent(rule, case)) / 100 * rule.every_months / 12
    owed, made = principal_minor, []
    equal = _equal_instalment(principal_minor, rate, instalments)
    for number in range(1, instalments + 1):
        on_what = principal_minor if rule.interest_on == "flat" else owed
        interest = rounded(on_what * rate, rule.rounding)
        if number == instalments:
            part = owed
        elif rule.schedule == "at-end":
            part = 0
        elif rule.schedule == "equal-principal":
            part = min(rounded(Fraction(principal_minor, instalments), rule.rounding), owed)
        else:
            part = min(max(rounded(equal, rule.rounding) - interest, 0), owed)
        made.append(Instalment(months_after(case.on, number * rule.every_months), part, interest))
        owed -= part
    return tuple(made)


def share_repayment(
    found: InForce[LoanRule], paid_minor: int, *, interest_minor: int, principal_minor: int
) -> Repayment:
    """Return how a repayment is shared between the interest and the principal that are owed."""
    first_is_interest = found.rule.repays_first == "interest"
    first, second = (interest_minor, principal_minor) if first_is_interest else (principal_minor, interest_minor)
    to_first = min(paid_minor, first)
    to_second = min(paid_minor - to_first, second)
    interest, principal = (to_first, to_second) if first_is_interest else (to_second, to_first)
    left = paid_minor - to_first - to_second
    return Repayment(interest, principal, left, found.rule.repaid_to, found.rule.interest_to, (found.ref,))


@dataclass(frozen=True, slots=True)
class LoanMovement:
    """What a repayment paid of a loan on a day, smallest units."""

    on: date
    principal_minor: int
    interest_minor: int


@dataclass(frozen=True, slots=True)
class LoanStanding:
    """How a loan stands on a day, smallest units; `unpaid_since` is the due day of the oldest instalment not paid whole.

    `principal_minor` is all that is owed, due or not; `interest_minor` is what has fallen due and was not paid.
    """

    principal_minor: int
    interest_minor: int
    unpaid_since: date | None


def loan_standing(
    found: InForce[LoanRule], schedule: Sequence[Instalment], paid: Sequence[LoanMovement], on: date
) -> LoanStanding:
    """Return what is owed of a loan on a day, that day's instalment and payments counted.

    Interest falls due with its instalment, on the principal that is still owed at the end of the due day before it
    ("reducing") or on the first principal ("flat"), rounded as the rule says; a loan that is paid back early bears no
    interest for the time after. What was paid counts towards the oldest instalments.
    """
    rule = found.rule
    principal = sum(one.principal_minor for one in schedule)
    flat = {one.due_on: one.interest_minor for one in schedule}
    rate = Fraction(rule.percent or 0) / 100 * rule.every_months / 12
    before: date | None = None
    interest, due, unpaid_since = 0, 0, None
    all_paid = sum(one.principal_minor + one.interest_minor for one in paid if one.on <= on)
    repaid = sum(one.principal_minor for one in paid if one.on <= on)
    for one in schedule:
        if one.due_on > on:
            break
        owed = principal - sum(each.principal_minor for each in paid if before is not None and each.on <= before)
        here = flat[one.due_on] if rule.interest_on == "flat" and owed else rounded(owed * rate, rule.rounding)
        interest += here
        due += one.principal_minor + here
        if unpaid_since is None and all_paid < due:
            unpaid_since = one.due_on
        before = one.due_on
    lacking = max(interest - sum(one.interest_minor for one in paid if one.on <= on), 0)
    return LoanStanding(principal - repaid, lacking, unpaid_since if principal - repaid + lacking else None)


def default_action(
    found: InForce[LoanRule], unpaid_since: date, on: date
) -> Literal["", "set-off", "freeze", "report"]:
    """Return what happens to a loan of which an instalment has been unpaid since a day; "" before its time."""
    return found.rule.on_default if on >= months_after(unpaid_since, found.rule.default_after_months) else ""


def _percent(rule: LoanRule, case: LoanCase) -> str:
    percent = rule.percent or case.lender_percent
    if percent is None:
        raise ValueError(f"the lender's rate is needed for {rule.id}")
    return percent


def _equal_instalment(principal: int, rate: Fraction, count: int) -> Fraction:
    return principal * rate / (1 - (1 + rate) ** -count) if rate else Fraction(principal, count)


def run_loan(context: ScenarioContext) -> Mapping[str, str]:
    """Decide a pack's example of a loan or pledge, for a member who joined on the example's `joined_on`.

    Given the id of the `loan` rule, `principal`, `instalments`, `holdings`, `lender_percent`, loans `running`; and a
    repayment `paid` with the `interest_owed` and `principal_owed`, or `unpaid_since`, returns `ceiling`,
    `instalments.<number>.principal` and `.interest`, `repaid.interest`, `.principal`, `.left`, `.principal_to` and
    `.interest_to`, and `default`.

    Raises:
        NoSuchRule: there is no such rule.
        LoanTooSoon, LoanRunning, BelowLeastLoan, AboveLoanCeiling, LoanTooLong: see there.
    """
    given, figures, asset = Given.of(context), context.figures, context.asset
    found = next((one for one in context.rules(LoanRule) if one.rule.id == given.text("loan")), None)
    if found is None:
        raise NoSuchRule(rule=given.text("loan"))
    case = LoanCase(
        on=context.on,
        joined_on=context.joined_on or context.on,
        holdings=holdings_given(given),
        lender_percent=given.text("lender_percent", "") or None,
        running=given.whole("running", 0),
    )
    if given.has("paid"):
        return _repaid(given, found)
    if given.has("unpaid_since"):
        ends = months_after(given.day("unpaid_since"), found.rule.default_after_months)
        context.compare(found, "default_after_months", context.on.toordinal(), ends.toordinal())
        return {"default": default_action(found, given.day("unpaid_since"), context.on)}
    principal, instalments = given.minor("principal"), given.whole("instalments")
    _compare_limits(context, found, case, principal, instalments)
    ceiling = loan_ceiling(found, case, figures)
    check_loan(found, principal, instalments, case, figures)
    schedule = loan_schedule(found, principal, instalments, case)
    outcome = {"ceiling": in_major(ceiling, asset)}
    for number, one in enumerate(schedule, 1):
        outcome |= {
            f"instalments.{number}.due_on": one.due_on.isoformat(),
            f"instalments.{number}.principal": in_major(one.principal_minor, asset),
            f"instalments.{number}.interest": in_major(one.interest_minor, asset),
        }
    return outcome


def _repaid(given: Given, found: InForce[LoanRule]) -> dict[str, str]:
    owed = {name: given.minor(f"{name}_owed") for name in ("interest", "principal")}
    paid = share_repayment(
        found, given.minor("paid"), interest_minor=owed["interest"], principal_minor=owed["principal"]
    )
    parts = {"interest": paid.interest_minor, "principal": paid.principal_minor, "left": paid.left_minor}
    shared = {f"repaid.{name}": in_major(minor, given.asset) for name, minor in parts.items()}
    return {**shared, "repaid.principal_to": paid.principal_to, "repaid.interest_to": paid.interest_to}


def _compare_limits(
    context: ScenarioContext, found: InForce[LoanRule], case: LoanCase, principal: int, instalments: int
) -> None:
    figures = context.figures
    since = months_after(case.joined_on, found.rule.least_months_in_scheme)
    context.compare(found, "least_months_in_scheme", context.on.toordinal(), since.toordinal())
    ceiling = loan_ceiling(found, case, figures)
    context.compare(
        found, "ceiling_bp" if found.rule.ceiling_bp is not None else "covers_interest_months", principal, ceiling
    )
    context.compare(found, "most_instalments", instalments, found.rule.most_instalments)
    if found.rule.least is not None:
        context.compare(found, "least", principal, figures.amount(found.rule.least, context.on).units)
