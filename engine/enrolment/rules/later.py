"""What is asked again after joining, and how long an answer may take. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from engine.enrolment.rules.levels import KycTiersRule, MoneyOutcome, check_level
from engine.enrolment.rules.parameters import Age, Code
from engine.enrolment.rules.persons import ExternalStatusRule, RegisterWord, external_status
from engine.kernel.calendars import BusinessCalendar
from engine.kernel.months import whole_months
from engine.kernel.rules import AppliesBy, Dates, Rule
from engine.kernel.series import Figures
from engine.tenancy.rules.books import InForce, RuleBook


class EligibilityAtContributionRule(Rule, tag="eligibility-at-contribution", frozen=True, kw_only=True):
    """Eligibility that is tested again at each contribution, and what becomes of the money if it fails (E1).

    APY and PM-SYM need it: contributions end at 60. `test` is one of: "age", the entry age and the completed years since joining are
    below `until_age`; "fact", the `attribute` last recorded of the member is not "yes" (income tax paid, another scheme
    joined); "status", it is one of `values`; "unfinished", nothing is outstanding after its day (a proof, the number behind
    a token, the own document of a child that grew up), or the attribute "joining" was recorded as "complete".
    """

    many: ClassVar[bool] = True
    one_for: ClassVar[tuple[str, ...]] = ("test", "attribute")
    may_apply_by: ClassVar[tuple[AppliesBy, ...]] = ("event", "joining")
    test: Literal["age", "fact", "status", "unfinished"]
    until_age: Age | None = None
    attribute: Code | None = None
    values: tuple[Code, ...] = ()
    outcome: MoneyOutcome

    def __post_init__(self) -> None:
        """Check that the test has what it tests, and nothing else."""
        if (self.test == "age") != (self.until_age is not None):
            raise ValueError('test = "age" needs until_age, and that needs it')
        if (self.test in ("fact", "status")) != (self.attribute is not None):
            raise ValueError('test = "fact" and "status" need attribute, and that needs one of them')
        if (self.test == "status") != bool(self.values):
            raise ValueError('test = "status" needs values, and those need it')


class DecisionLimitRule(Rule, tag="decision-limit", frozen=True, kw_only=True):
    """How many days there are to answer an application (E10): SmartLife's fund answers within three days.

    Days after the day of the application, of the calendar or business days of the scheme. If none is given in time the
    application is reported, or taken as granted or refused.
    """

    many: ClassVar[bool] = True
    one_for: ClassVar[tuple[str, ...]] = ("decision",)
    is_carried_out: ClassVar[bool] = False
    decision: Code
    days: Annotated[int, Meta(ge=1, le=366)]
    counted: Literal["calendar-days", "business-days"]
    if_missed: Literal["reported", "granted", "refused"]


LEVEL = "level"
"""The attribute by which a member's level is recorded that rose or fell after joining."""
JOINING, COMPLETE = "joining", "complete"
"""The attribute and value by which it is recorded that nothing of joining is outstanding any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberStanding:
    """What is known of a member at a contribution. `recorded` are the last words of registers, by attribute."""

    joined_on: date
    entry_age: int | None = None
    completes_on: date | None = None
    recorded: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Unmet:
    """A test that failed, what becomes of the money, and the rule that says so."""

    test: str
    outcome: MoneyOutcome
    rules: tuple[str, ...]


def age_at(standing: MemberStanding, on: date) -> int | None:
    """Return the entry age and the completed years since joining; None where no entry age is on record."""
    if standing.entry_age is None:
        return None
    return standing.entry_age + whole_months(standing.joined_on, on) // 12


def first_unmet(
    rules: Sequence[InForce[EligibilityAtContributionRule]], standing: MemberStanding, on: date
) -> Unmet | None:
    """Return the first test that fails, one that refuses before one that keeps in suspense; None where all hold."""
    failed = [one for one in rules if _fails(one.rule, standing, on)]
    if not failed:
        return None
    first = min(failed, key=lambda one: (one.rule.outcome != "refuse", one.rule.id))
    return Unmet(first.rule.test, first.rule.outcome, (first.ref,))


def _fails(rule: EligibilityAtContributionRule, standing: MemberStanding, on: date) -> bool:
    if rule.until_age is not None:
        age = age_at(standing, on)
        return age is not None and age >= rule.until_age
    if rule.attribute is not None:
        said = standing.recorded.get(rule.attribute, "")
        return said == "yes" if rule.test == "fact" else said not in rule.values
    overdue = standing.completes_on is not None and on > standing.completes_on
    return overdue and standing.recorded.get(JOINING) != COMPLETE


@dataclass(frozen=True, slots=True)
class ContributionTests:
    """What a product asks again at each contribution: eligibility, statuses as registers give them, limits of levels."""

    eligibility: tuple[InForce[EligibilityAtContributionRule], ...]
    statuses: tuple[InForce[ExternalStatusRule], ...]
    levels: InForce[KycTiersRule] | None

    @property
    def counts_money(self) -> bool:
        """Return whether what was paid in the year and the balance matter."""
        return self.levels is not None and any(
            one.most_in_year is not None or one.most_balance is not None for one in self.levels.rule.levels
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownAgain:
    """What the books hold of a member for these tests; `words` are the last of each attribute, `level` that of joining."""

    entry_age: int | None
    completes_on: date | None
    level: str
    words: Mapping[str, RegisterWord]


@dataclass(frozen=True, slots=True)
class PaidSoFar:
    """What was paid in the scheme year, and the balance, smallest units, before a payment."""

    in_year: int = 0
    balance: int = 0


def asks_again(book: RuleBook) -> bool:
    """Return whether any version of a book ever tests contributions again."""
    return any(isinstance(one.rule, EligibilityAtContributionRule | KycTiersRule) for one in book.versions())


def contribution_tests(book: RuleBook, dates: Dates) -> ContributionTests | None:
    """Return what is asked again at a contribution; None where nothing is."""
    eligibility = book.all_in_force(EligibilityAtContributionRule, dates)
    levels = book.in_force(KycTiersRule, dates)
    if not eligibility and levels is None:
        return None
    return ContributionTests(eligibility, book.all_in_force(ExternalStatusRule, dates), levels)


def ask_again(
    tests: ContributionTests,
    known: KnownAgain,
    joined_on: date,
    *,
    paid: int,
    before: PaidSoFar,
    figures: Figures,
    on: date,
) -> Unmet | None:
    """Return what a contribution fails on, eligibility before the limits of a level; None where it is taken.

    Args:
        tests: what the product asks.
        known: what is known of the member.
        joined_on: when they joined.
        paid: the contribution, smallest units.
        before: what was paid and held before it.
        figures: what the limits are worth.
        on: the contribution's business date.

    """
    standing = MemberStanding(
        joined_on=joined_on,
        entry_age=known.entry_age,
        completes_on=known.completes_on,
        recorded=_recorded(tests, known.words, on),
    )
    unmet = first_unmet(tests.eligibility, standing, on)
    if unmet is not None or tests.levels is None:
        return unmet
    verdict = check_level(
        tests.levels,
        standing.recorded.get(LEVEL) or known.level,
        paid=paid,
        in_year=before.in_year,
        balance=before.balance,
        figures=figures,
        on=on,
    )
    return None if verdict.outcome == "taken" else Unmet("level", verdict.outcome, verdict.rules)


def _recorded(tests: ContributionTests, words: Mapping[str, RegisterWord], on: date) -> dict[str, str]:
    rules = {one.rule.attribute: one for one in tests.statuses}
    return {
        attribute: external_status(rules[attribute], (word,), on).value
        if attribute in rules
        else word.value * (word.expires_on is None or on < word.expires_on)
        for attribute, word in words.items()
    }


def answer_due(found: InForce[DecisionLimitRule], applied_on: date, calendar: BusinessCalendar) -> date:
    """Return the last day on which an answer is in time."""
    if found.rule.counted == "business-days":
        return calendar.after(applied_on, found.rule.days)
    return applied_on + timedelta(days=found.rule.days)
