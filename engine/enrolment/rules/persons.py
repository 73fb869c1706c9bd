"""Who may join by what they are: residence, income, what excludes, what registers outside say. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from engine.enrolment.errors import (
    ClassMissing,
    ClassNotShown,
    DeclarationMissing,
    Excluded,
    IncomeMissing,
    IncomeTooHigh,
    NotLongEnoughResident,
    UnknownClass,
)
from engine.enrolment.rules.applications import FactDeclared
from engine.enrolment.rules.parameters import Code, Days, Months, Name, listed
from engine.kernel.amounts import Amount
from engine.kernel.months import months_after
from engine.kernel.rules import Rule
from engine.kernel.series import Figure, Figures
from engine.tenancy.rules.books import InForce


class PersonClassRule(Rule, tag="person-class", frozen=True, kw_only=True):
    """A class of people that may join: citizen, resident foreigner, refugee, expatriate (E3).

    EjoHeza (citizens, refugees and resident foreigners, told by the number's first digit) and Haba Haba (refugees since
    2024) need it. A class is declared, or shown by one of `documents`; where their patterns have a group `class`, its mark
    is one of `marks`. Of some classes one must have been resident for `resident_months`.
    """

    many: ClassVar[bool] = True
    one_for: ClassVar[tuple[str, ...]] = ("person_class",)
    person_class: Code
    shown_by: Literal["declaration", "document"]
    documents: tuple[Code, ...] = ()
    marks: tuple[Annotated[str, Meta(min_length=1, max_length=10)], ...] = ()
    resident_months: Months = 0

    def __post_init__(self) -> None:
        """Check that documents show what is shown by documents."""
        if (self.shown_by == "document") != bool(self.documents):
            raise ValueError('shown_by = "document" needs documents, and those need it')
        if self.marks and not self.documents:
            raise ValueError("marks are of documents")


class IncomeCeilingRule(Rule, tag="income-ceiling", frozen=True, kw_only=True):
    """The highest income of whoever joins, a month or a year, included (E4): PM-SYM takes workers up to 15,000 rupees a month.

    The income is declared a month; of a ceiling a year a twelfth counts.
    """

    most: Figure
    every: Literal["month", "year"]


class ExclusionRule(Rule, tag="exclusion", frozen=True, kw_only=True):
    """A fact that keeps people out: paying income tax, being a member of another scheme (E4).

    APY (income-tax payers since October 2022), PM-SYM (members of NPS, ESIC or EPFO, income-tax payers) and Hifadhi
    (pensioners) need it. Where it is `asked`, every applicant says yes or no; a fact that ended keeps out for
    `after_months` more.
    """

    many: ClassVar[bool] = True
    one_for: ClassVar[tuple[str, ...]] = ("fact",)
    fact: Code
    asked: bool
    after_months: Months = 0


class ExternalStatusRule(Rule, tag="external-status", frozen=True, kw_only=True):
    """A status that a register outside gives a person, as of a day (E5): EjoHeza's Ubudehe class, then the social registry.

    The word with the latest as-of day counts that is known by the day asked for; of one day, the last one recorded. It counts
    for `lasts_months` (0: until another comes), and may be appealed within `appeal_days`. After it expired `expired` says
    whether the last value goes on or none holds. A value that `values` does not list is none.
    """

    many: ClassVar[bool] = True
    one_for: ClassVar[tuple[str, ...]] = ("attribute",)
    attribute: Code
    register: Name
    values: Annotated[tuple[Code, ...], Meta(min_length=1)]
    lasts_months: Months = 0
    expired: Literal["goes-on", "none"]
    appeal_days: Days = 0


def person_class(
    rules: Sequence[InForce[PersonClassRule]],
    declared: str,
    *,
    documents: Mapping[str, str],
    resident_since: date | None,
    on: date,
) -> str:
    """Return the class by which a person joins; "" where the product asks for none.

    Args:
        rules: the classes that may join.
        declared: what the person says; "" leaves it to their documents.
        documents: for each document shown, the mark of a class in its number ("" for none).
        resident_since: since when the person lives in the country.
        on: the day of joining.

    Raises:
        ClassMissing: nothing was said, and the documents do not tell.
        UnknownClass: the product takes no such class.
        ClassNotShown: no document shows it.
        NotLongEnoughResident: see there.
    """
    if not rules:
        return ""
    allowed = listed(one.rule.person_class for one in rules)
    shown = [one.rule for one in rules if one.rule.shown_by == "document" and _shows(one.rule, documents)]
    if not declared and len(shown) != 1:
        raise ClassMissing(field="person_class", allowed=allowed)
    wanted = declared or shown[0].person_class
    rule = next((one.rule for one in rules if one.rule.person_class == wanted), None)
    if rule is None:
        raise UnknownClass(field="person_class", allowed=allowed)
    if rule.shown_by == "document" and not _shows(rule, documents):
        raise ClassNotShown(field="documents", allowed=listed(rule.documents))
    if rule.resident_months and (resident_since is None or resident_on(rule, resident_since) > on):
        raise NotLongEnoughResident(field="resident_since", months=rule.resident_months)
    return wanted


def resident_on(rule: PersonClassRule, resident_since: date) -> date:
    """Return the first day on which somebody has been resident for long enough."""
    return months_after(resident_since, rule.resident_months)


def _shows(rule: PersonClassRule, documents: Mapping[str, str]) -> bool:
    return any(one in documents and (not rule.marks or documents[one] in rule.marks) for one in rule.documents)


def check_income(
    found: InForce[IncomeCeilingRule] | None, monthly_units: int | None, figures: Figures, on: date
) -> None:
    """Refuse an income above the ceiling.

    Args:
        found: the ceiling; None takes any income.
        monthly_units: the declared income a month in smallest units; None where none was declared.
        figures: what the ceiling is worth.
        on: the day of joining.

    Raises:
        IncomeMissing, IncomeTooHigh: see there.
    """
    if found is None:
        return
    if monthly_units is None:
        raise IncomeMissing(field="monthly_income")
    most = monthly_ceiling(found.rule, figures, on)
    if monthly_units > most.units:
        raise IncomeTooHigh(field="monthly_income", most=f"{most.decimal():.{most.asset.scale}f}")


def monthly_ceiling(rule: IncomeCeilingRule, figures: Figures, on: date) -> Amount:
    """Return the highest income of a month; of a ceiling a year, a twelfth, rounded down to smallest units.

    Raises:
        SeriesValueMissing: the ceiling is a multiple of a series without a value then.
    """
    most = figures.amount(rule.most, on)
    return Amount(most.units // 12, most.asset) if rule.every == "year" else most


def check_exclusions(rules: Sequence[InForce[ExclusionRule]], declared: Sequence[FactDeclared], on: date) -> None:
    """Refuse whoever declares a fact that keeps people out, or does not say what is asked.

    Raises:
        DeclarationMissing, Excluded: see there.
    """
    said = {one.fact: one for one in declared}
    missing = [one.rule.fact for one in rules if one.rule.asked and one.rule.fact not in said]
    if missing:
        raise DeclarationMissing(field="declared", missing=listed(missing))
    for one in rules:
        fact = said.get(one.rule.fact)
        if fact is not None and excludes(one.rule, fact, on):
            raise Excluded(field="declared", fact=one.rule.fact)


def excludes(rule: ExclusionRule, fact: FactDeclared, on: date) -> bool:
    """Return whether a declared fact keeps a person out on a day: while it holds, and for some months after it ended."""
    if not fact.holds:
        return False
    return fact.until is None or on < free_on(rule, fact.until)


def free_on(rule: ExclusionRule, until: date) -> date:
    """Return the first day on which a fact that held up to and with `until` keeps nobody out."""
    return months_after(until + timedelta(days=1), rule.after_months)


@dataclass(frozen=True, slots=True)
class RegisterWord:
    """What a register said of a person: a value as of a day, and when it was recorded; its own expiry, if it gave one."""

    value: str
    as_of: date
    recorded_on: date
    expires_on: date | None = None


@dataclass(frozen=True, slots=True)
class ExternalStatus:
    """The status that counts ("" for none), since when, up to and without when, until when it may be appealed."""

    value: str
    as_of: date | None
    until: date | None
    appeal_until: date | None
    rules: tuple[str, ...]


def external_status(found: InForce[ExternalStatusRule], words: Sequence[RegisterWord], on: date) -> ExternalStatus:
    """Return what a register's words say of a person on a day, as far as they were recorded by then."""
    rule = found.rule
    known = [one for one in words if one.as_of <= on and one.recorded_on <= on]
    last = max(known, key=lambda one: (one.as_of, one.recorded_on), default=None)
    if last is None or last.value not in rule.values:
        return ExternalStatus("", None, None, None, (found.ref,))
    until = last.expires_on
    if rule.lasts_months:
        own = months_after(last.as_of, rule.lasts_months)
        until = own if until is None else min(own, until)
    appeal = last.recorded_on + timedelta(days=rule.appeal_days) if rule.appeal_days else None
    holds = until is None or on < until or rule.expired == "goes-on"
    return ExternalStatus(last.value if holds else "", last.as_of, until, appeal, (found.ref,))
