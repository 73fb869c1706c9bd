"""Who may join, and what an application must hold. Pure: no clock, no database."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct

from engine.enrolment.errors import (
    BirthDateImplausible,
    ConsentMissing,
    ConsentOutdated,
    DocumentContradicts,
    DocumentMissing,
    DocumentNotAccepted,
    DocumentRepeated,
    GroupMissing,
    NomineesMissing,
    SharesDoNotAddUp,
    TooManyNominees,
    TooOld,
    TooYoung,
    UnknownConsent,
    UnknownGroup,
    UnknownLanguage,
)
from engine.enrolment.rules.applications import MOST_NOMINEES, WHOLE_BP, ConsentGiven
from engine.identity.rules import CheckedNumber, Sex, Validator
from engine.kernel.rules import Rule
from engine.tenancy.rules.books import InForce

OLDEST = 120
_PARTS = frozenset({"person", "birth_year", "sex"})

Age = Annotated[int, Meta(ge=0, le=OLDEST)]
Code = Annotated[
    str, Meta(pattern=r"^[a-z][a-z0-9-]{0,39}$", description="a short name of lower-case letters, digits and -")
]
Name = Annotated[str, Meta(min_length=1, max_length=120, description="text of 1 to 120 characters")]


# -- rules of a pack


class AgeRule(Rule, tag="eligibility-age", frozen=True, kw_only=True):
    """The ages, in completed years on the day of joining, between which a person may join; both included."""

    minimum: Age
    maximum: Age | None = None

    def __post_init__(self) -> None:
        """Check that someone is left who may join."""
        if self.maximum is not None and self.maximum < self.minimum:
            raise ValueError(f"maximum {self.maximum} is below minimum {self.minimum}")


class DocumentRule(Rule, tag="identity-document", frozen=True, kw_only=True):
    """A kind of identity document that is accepted, and how its number is checked.

    `pattern` must match the whole number in its one spelling (capitals, no blanks or hyphens). Its groups `birth_year`
    and `sex` name what the number says of its holder, `sexes` what the marks of the latter mean; `person` names the
    part that stays when the document is issued anew, by which nobody can join twice.
    """

    many: ClassVar[bool] = True
    document: Code
    validator: Validator
    pattern: str | None = None
    sexes: Mapping[str, Literal["female", "male"]] = {}

    def __post_init__(self) -> None:
        """Check that the pattern is one, and names no part that means nothing."""
        if self.pattern is None:
            if self.validator == "pattern":
                raise ValueError('validator "pattern" needs a pattern')
            return
        try:
            parts = set(re.compile(self.pattern, re.ASCII).groupindex)
        except re.error as error:
            raise ValueError(f"pattern is no regular expression: {error}") from None
        if parts - _PARTS:
            raise ValueError(f"pattern names {', '.join(sorted(parts - _PARTS))}; allowed: {', '.join(sorted(_PARTS))}")
        if ("sex" in parts) != bool(self.sexes):
            raise ValueError("a pattern with the group sex needs sexes, and sexes need it")


class Group(Struct, frozen=True, forbid_unknown_fields=True):
    """A group (aggregator, employer, cooperative) through which people join."""

    code: Code
    name: Name


class GroupsRule(Rule, tag="groups", frozen=True, kw_only=True):
    """The groups of a product, and whether it is joined through one only."""

    required: bool
    groups: tuple[Group, ...] = ()

    def __post_init__(self) -> None:
        """Check that every group is there once, and that there is one where one is required."""
        codes = [group.code for group in self.groups]
        if len(set(codes)) < len(codes):
            raise ValueError("groups holds a code twice")
        if self.required and not codes:
            raise ValueError("groups is empty, and a group is required")


class NomineesRule(Rule, tag="nominees", frozen=True, kw_only=True):
    """How many people may be named to receive the death benefit, and whether one must be."""

    required: bool
    maximum: Annotated[int, Meta(ge=0, le=MOST_NOMINEES)]


class ConsentsRule(Rule, tag="consents", frozen=True, kw_only=True):
    """What a person must agree to in order to join: ids of the pack's consent texts."""

    purposes: Annotated[tuple[Code, ...], Meta(min_length=1)]


RULE_KINDS: tuple[type[Rule], ...] = (AgeRule, DocumentRule, GroupsRule, NomineesRule, ConsentsRule)


@dataclass(frozen=True, slots=True)
class EnrolmentTerms:
    """The rules by which people join a product on one day."""

    product: str
    age: InForce[AgeRule] | None
    documents: tuple[InForce[DocumentRule], ...]
    groups: InForce[GroupsRule] | None
    nominees: InForce[NomineesRule] | None
    consents: InForce[ConsentsRule] | None

    def trace(self) -> dict[str, object]:
        """Return which versions of which rules decide: what events keep as their decision."""
        found = (self.age, *self.documents, self.groups, self.nominees, self.consents)
        return {"product": self.product, "rules": [one.ref for one in found if one is not None]}


# -- decisions


def age_on(born_on: date, day: date) -> int:
    """Return the completed years of life on `day`; who was born on 29 February completes them on 1 March."""
    return day.year - born_on.year - ((day.month, day.day) < (born_on.month, born_on.day))


def check_age(born_on: date, *, on: date, rule: AgeRule | None, field: str = "born_on") -> int:
    """Return the person's age if they may join at it.

    Args:
        born_on: the birth date.
        on: the day of joining.
        rule: the ages, both ends included; None takes anyone.
        field: the name of the field in refusals.

    Raises:
        BirthDateImplausible: after `on`, or more than OLDEST years before.
        TooYoung, TooOld: the age is outside the rule's.
    """
    age = age_on(born_on, on)
    if born_on > on or age > OLDEST:
        raise BirthDateImplausible(field=field)
    if rule is not None and age < rule.minimum:
        raise TooYoung(minimum=rule.minimum)
    if rule is not None and rule.maximum is not None and age > rule.maximum:
        raise TooOld(maximum=rule.maximum)
    return age


def document_rule(document: str, rules: Sequence[DocumentRule], *, field: str) -> DocumentRule:
    """Return the rule for a kind of document.

    Raises:
        DocumentNotAccepted: there is none.
    """
    for rule in rules:
        if rule.document == document:
            return rule
    raise DocumentNotAccepted(field=field, allowed=_listed(rule.document for rule in rules))


def check_documents(
    numbers: Sequence[CheckedNumber], *, rules: Sequence[DocumentRule], born_on: date, sex: Sex
) -> None:
    """Refuse documents that are missing, given twice, or at odds with what else was given.

    Args:
        numbers: the documents whose numbers passed their own check.
        rules: the kinds that are accepted; where there are some, one document is needed.
        born_on: the birth date of the application.
        sex: the sex of the application; "other" and "unstated" contradict nothing.

    Raises:
        DocumentMissing, DocumentRepeated, DocumentContradicts: see there.
    """
    if rules and not numbers:
        raise DocumentMissing(field="documents", allowed=_listed(rule.document for rule in rules))
    sexes = {rule.document: rule.sexes for rule in rules}
    seen: set[str] = set()
    for index, number in enumerate(numbers):
        if number.document in seen:
            raise DocumentRepeated(field=f"documents[{index}]", document=number.document)
        seen.add(number.document)
        says = sexes.get(number.document, {}).get(number.sex_mark)
        if (number.birth_year is not None and number.birth_year != born_on.year) or (
            says is not None and sex in ("female", "male") and says != sex
        ):
            raise DocumentContradicts(field=f"documents[{index}]", document=number.document)


def check_group(group: str, rule: GroupsRule | None) -> str:
    """Return the code of the group the person joins through; "" for none.

    Raises:
        GroupMissing: the product is joined through a group.
        UnknownGroup: it has no such group.
    """
    groups = rule.groups if rule else ()
    allowed = _listed(one.code for one in groups)
    if not group:
        if rule is not None and rule.required:
            raise GroupMissing(field="group", allowed=allowed)
        return ""
    if all(group != one.code for one in groups):
        raise UnknownGroup(field="group", allowed=allowed)
    return group


def check_shares(shares_bp: Sequence[int], rule: NomineesRule | None) -> None:
    """Refuse nominees that are missing, too many, or whose shares are not exactly one whole.

    Args:
        shares_bp: each nominee's share in basis points, > 0.
        rule: how many there may be; None takes any.

    Raises:
        NomineesMissing, TooManyNominees, SharesDoNotAddUp: see there.
    """
    if not shares_bp:
        if rule is not None and rule.required:
            raise NomineesMissing(field="nominees")
        return
    if rule is not None and len(shares_bp) > rule.maximum:
        raise TooManyNominees(field="nominees", maximum=rule.maximum)
    if sum(shares_bp) != WHOLE_BP or min(shares_bp) <= 0:
        raise SharesDoNotAddUp(field="nominees", total=sum(shares_bp))


def check_consents(
    given: Sequence[ConsentGiven], *, rule: ConsentsRule | None, versions: Mapping[tuple[str, str], str]
) -> None:
    """Refuse an application without every consent that joining needs, each to the words in use.

    Args:
        given: what the person agreed to.
        rule: what they must agree to; None asks for nothing.
        versions: the version of the text in use, by consent and language.

    Raises:
        UnknownConsent, UnknownLanguage, ConsentOutdated, ConsentMissing: see there.
    """
    purposes = rule.purposes if rule else ()
    for index, one in enumerate(given):
        field = f"consents[{index}]"
        if one.consent not in purposes:
            raise UnknownConsent(field=field, allowed=_listed(purposes))
        texts = {language: version for (consent, language), version in versions.items() if consent == one.consent}
        if one.language not in texts:
            raise UnknownLanguage(field=field, allowed=_listed(texts))
        if one.version != texts[one.language]:
            allowed = _listed(f"{language} {version}" for language, version in texts.items())
            raise ConsentOutdated(field=field, consent=one.consent, allowed=allowed)
    missing = [purpose for purpose in purposes if all(one.consent != purpose for one in given)]
    if missing:
        raise ConsentMissing(field="consents", missing=", ".join(missing))


def check_language(language: str, languages: Sequence[str]) -> str:
    """Return the language to speak to the person: the one they chose, or the scheme's first.

    Raises:
        UnknownLanguage: the scheme does not speak it.
    """
    if not language:
        return languages[0]
    if language not in languages:
        raise UnknownLanguage(field="language", allowed=", ".join(languages))
    return language


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
