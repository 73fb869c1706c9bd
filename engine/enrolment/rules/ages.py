"""At which age one joins: which age counts, who may join at it, and children with a guardian. Pure."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Annotated, Literal

from msgspec import Meta, Struct

from engine.enrolment.errors import (
    BirthDateImplausible,
    GuardianMissing,
    GuardianNotAccepted,
    GuardianNotNeeded,
    TooOld,
    TooYoung,
)
from engine.enrolment.rules.parameters import OLDEST, Age, Code, Days, listed
from engine.kernel.months import LeapDay, UnknownBirthday, age_nearest, age_on, anniversary, birthday_of_year
from engine.kernel.rules import Rule
from engine.tenancy.rules.books import InForce

BirthKnown = Literal["day", "year"]
AgeSex = Literal["any", "female", "male"]


class AgeLimits(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The ages of a sex, and of those born from a day on; the last row that fits counts."""

    sex: AgeSex = "any"
    born_from: date | None = None
    minimum: Age
    maximum: Age | None = None


class AgeRule(Rule, tag="eligibility-age", frozen=True, kw_only=True):
    """The ages, in completed years on the day of joining, between which a person may join; both included (E1).

    Every scheme needs it: APY and PM-SYM 18 to 40, Haba Haba from 18 on, Hifadhi 15 to 70. Where there is a rule
    `entry-age`, the ages are of that count. `ages` are those of a sex or birth cohort, in place of `minimum` and `maximum`.
    Above the maximum may join who has paid for `over_maximum_years` completed years already.
    """

    minimum: Age
    maximum: Age | None = None
    ages: tuple[AgeLimits, ...] = ()
    over_maximum_years: Annotated[int, Meta(ge=1, le=OLDEST)] | None = None

    def __post_init__(self) -> None:
        """Check that someone is left who may join."""
        bounds = [(self.minimum, self.maximum), *((one.minimum, one.maximum) for one in self.ages)]
        for minimum, maximum in bounds:
            if maximum is not None and maximum < minimum:
                raise ValueError(f"maximum {maximum} is below minimum {minimum}")
        if self.over_maximum_years is not None and all(maximum is None for _, maximum in bounds):
            raise ValueError("over_maximum_years needs a maximum")

    def limits(self, born_on: date, sex: str) -> tuple[str, Age, Age | None]:
        """Return the ages of a person: where in the rule they stand ("ages[1]."), the lowest and the highest."""
        for row in range(len(self.ages), 0, -1):
            one = self.ages[row - 1]
            if one.sex in ("any", sex) and (one.born_from is None or one.born_from <= born_on):
                return f"ages[{row}].", one.minimum, one.maximum
        return "", self.minimum, self.maximum


class EntryAgeRule(Rule, tag="entry-age", frozen=True, kw_only=True):
    """Which age is the entry age, by which a chart is read and eligibility is judged (T6): APY and PM-SYM need it.

    In completed years on the day of joining, at the nearest birthday (half way: the older), at the next birthday, or in
    completed years on the first day of the scheme year of joining. `leap_day` is the birthday of 29 February in a common
    year; `year_only` stands for the birthday of whoever knows the year alone.
    """

    counts: Literal["last-birthday", "nearest-birthday", "next-birthday", "scheme-year-start"]
    leap_day: LeapDay
    year_only: UnknownBirthday


class MinorRule(Rule, tag="minor-account", frozen=True, kw_only=True):
    """A child's account that a guardian opens, and what becomes of it when the child grows up (E2).

    EjoHeza needs it: children under 16, on the child's temporary number, linked to the guardian's. Whoever is younger than
    `below_age` and at least `least_age` joins through a guardian in one of `relationships`, who shows one of
    `guardian_documents`; the child shows one of `child_documents` (none given: any the product takes). At `adult_age` the
    account is to become the member's own: they show a document of an adult, due within `own_document_days`. Until they do
    it goes on under the guardian; a rule `eligibility-at-contribution` may say what becomes of money that comes later.
    """

    least_age: Age = 0
    below_age: Age
    adult_age: Age
    relationships: Annotated[tuple[Code, ...], Meta(min_length=1)]
    guardian_documents: Annotated[tuple[Code, ...], Meta(min_length=1)]
    child_documents: tuple[Code, ...] = ()
    leap_day: LeapDay
    own_document_days: Days

    def __post_init__(self) -> None:
        """Check the order of the ages."""
        if not self.least_age < self.below_age <= self.adult_age:
            raise ValueError("least_age is below below_age, and that is at most adult_age")


@dataclass(frozen=True, slots=True)
class EntryAge:
    """The age that counts, the birthday it was counted from, and the rules that say so."""

    years: int
    born_on: date
    rules: tuple[str, ...]


def entry_age(
    found: InForce[EntryAgeRule] | None, born_on: date, *, on: date, scheme_year_from: date, known: BirthKnown = "day"
) -> EntryAge:
    """Return the age at which a person joins.

    Args:
        found: the product's rule; without one, completed years on the day, and half the year for an unknown birthday.
        born_on: the birth date; of `known` "year" its year alone counts.
        on: the day of joining.
        scheme_year_from: the first day of the scheme year of joining.
        known: whether the day of birth is known.

    Raises:
        BirthDateImplausible: after `on`, or more than OLDEST years before.
    """
    rule = found.rule if found else None
    if known == "year":
        born_on = min(birthday_of_year(born_on.year, rule.year_only if rule else "1-july"), max(on, born_on))
    leap_day = rule.leap_day if rule else "1-march"
    age = age_on(born_on, on, leap_day)
    if born_on > on or age > OLDEST:
        raise BirthDateImplausible(field="born_on")
    if rule is None:
        return EntryAge(age, born_on, ())
    assert found is not None
    if rule.counts == "nearest-birthday":
        age = age_nearest(born_on, on, leap_day)
    elif rule.counts == "next-birthday":
        age += anniversary(born_on, age, leap_day) < on
    elif rule.counts == "scheme-year-start":
        age = max(age_on(born_on, scheme_year_from, leap_day), 0)
    return EntryAge(age, born_on, (found.ref,))


def check_age(born_on: date, *, on: date, rule: AgeRule | None, field: str = "born_on") -> int:
    """Return the person's age in completed years if they may join at it; else as `check_entry_age`.

    Raises:
        BirthDateImplausible: after `on`, or more than OLDEST years before.
        TooYoung, TooOld: the age is outside the rule's.
    """
    age = age_on(born_on, on)
    if born_on > on or age > OLDEST:
        raise BirthDateImplausible(field=field)
    check_entry_age(age, born_on=born_on, rule=rule)
    return age


def check_entry_age(
    age: int, *, born_on: date, rule: AgeRule | None, sex: str = "unstated", years_paid: int = 0
) -> None:
    """Refuse an entry age outside a rule's.

    Args:
        age: the entry age.
        born_on: the birth date, by which a cohort has ages of its own.
        rule: the ages, both ends included; None takes anyone.
        sex: "female" and "male" may have ages of their own.
        years_paid: completed years for which the person has paid already.

    Raises:
        TooYoung, TooOld: the age is outside the rule's.
    """
    if rule is None:
        return
    _, minimum, maximum = rule.limits(born_on, sex)
    if age < minimum:
        raise TooYoung(minimum=minimum)
    over = rule.over_maximum_years
    if maximum is not None and age > maximum and (over is None or years_paid < over):
        raise TooOld(maximum=maximum)


# -- children


@dataclass(frozen=True, slots=True)
class Growing:
    """Where a child's account stands: when its holder is an adult, by when they show a document of their own."""

    stage: Literal["child", "document-due", "overdue", "adult"]
    adult_on: date
    document_due_on: date
    rules: tuple[str, ...]


def needs_guardian(rule: MinorRule | None, age: int) -> bool:
    """Return whether somebody of that age joins through a guardian."""
    return rule is not None and age < rule.below_age


def check_guardian(
    rule: MinorRule | None, age: int, *, relationship: str, document: str, child_documents: Collection[str]
) -> None:
    """Refuse a child without the guardian and the papers that the rule asks for, and a guardian for anybody else.

    Args:
        rule: the product's; None where it has no accounts of children.
        age: the child's completed years.
        relationship: what the guardian is to the child; "" without a guardian.
        document: the kind of document that the guardian shows.
        child_documents: the kinds of documents that the child shows.

    Raises:
        TooYoung: younger than any child whose account can be opened.
        GuardianMissing, GuardianNotAccepted, GuardianNotNeeded: see there.
    """
    if rule is None or age >= rule.below_age:
        if relationship:
            raise GuardianNotNeeded(field="guardian")
        return
    if age < rule.least_age:
        raise TooYoung(minimum=rule.least_age)
    if not relationship:
        raise GuardianMissing(field="guardian", age=rule.below_age, allowed=listed(rule.relationships))
    if relationship not in rule.relationships:
        raise GuardianNotAccepted(field="guardian.relationship", allowed=listed(rule.relationships))
    if document not in rule.guardian_documents:
        raise GuardianNotAccepted(field="guardian.document", allowed=listed(rule.guardian_documents))
    if rule.child_documents and not set(rule.child_documents) & set(child_documents):
        raise GuardianNotAccepted(field="documents", allowed=listed(rule.child_documents))


def growing(found: InForce[MinorRule], born_on: date, on: date, *, shown_on: date | None = None) -> Growing:
    """Return where a child's account stands on a day.

    Args:
        found: the rule.
        born_on: the child's birth date.
        on: the day.
        shown_on: when the member showed a document of an adult, if they did.

    """
    rule = found.rule
    adult_on = anniversary(born_on, rule.adult_age, rule.leap_day)
    due_on = adult_on + timedelta(days=rule.own_document_days)
    stage: Literal["child", "document-due", "overdue", "adult"]
    if on < adult_on:
        stage = "child"
    elif shown_on is not None and shown_on <= on:
        stage = "adult"
    else:
        stage = "document-due" if on <= due_on else "overdue"
    return Growing(stage, adult_on, due_on, (found.ref,))
