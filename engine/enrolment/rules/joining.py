"""What an application must hold beside a person: groups, nominees, consents; and all terms of joining. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Protocol

from msgspec import Meta, Struct

from engine.enrolment.errors import (
    ClosedToJoining,
    ConsentMissing,
    ConsentOutdated,
    GroupMissing,
    NomineesMissing,
    SharesDoNotAddUp,
    TooManyNominees,
    UnknownConsent,
    UnknownGroup,
    UnknownLanguage,
)
from engine.enrolment.rules.ages import AgeRule, EntryAgeRule, MinorRule
from engine.enrolment.rules.applications import MOST_NOMINEES, WHOLE_BP, ConsentGiven
from engine.enrolment.rules.documents import DocumentRule
from engine.enrolment.rules.later import DecisionLimitRule, EligibilityAtContributionRule
from engine.enrolment.rules.levels import GroupProofRule, KycTiersRule
from engine.enrolment.rules.parameters import Code, Name, listed
from engine.enrolment.rules.persons import ExclusionRule, ExternalStatusRule, IncomeCeilingRule, PersonClassRule
from engine.enrolment.rules.verifying import IdentityCheckRule, NameMatchRule
from engine.kernel.rules import Rule
from engine.tenancy.rules.books import AnyRule, InForce

# -- rules of a pack


class Group(Struct, frozen=True, forbid_unknown_fields=True):
    """A group (aggregator, employer, cooperative) through which people join."""

    code: Code
    name: Name


class GroupsRule(Rule, tag="groups", frozen=True, kw_only=True):
    """The groups of a product, and whether it is joined through one only (E7): NPS-Lite through aggregators."""

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


class ClosedRule(Rule, tag="closed-to-joining", frozen=True, kw_only=True):
    """A product that nobody joins any more, from the day of the rule on; who is in it stays, and may be moved into it.

    `reason` is told to whoever is refused. Nigeria's Micro Pension Plan, since September 2025 the Personal Pension Plan.
    """

    reason: Annotated[str, Meta(min_length=10, max_length=200, description="a sentence told to whoever is refused")]


RULE_KINDS: tuple[type[Rule], ...] = (
    ClosedRule,
    AgeRule,
    EntryAgeRule,
    MinorRule,
    PersonClassRule,
    IncomeCeilingRule,
    ExclusionRule,
    ExternalStatusRule,
    DocumentRule,
    KycTiersRule,
    GroupsRule,
    GroupProofRule,
    NomineesRule,
    ConsentsRule,
    EligibilityAtContributionRule,
    DecisionLimitRule,
    NameMatchRule,
    IdentityCheckRule,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolmentTerms:
    """The rules by which people join a product on one day."""

    product: str
    closed: InForce[ClosedRule] | None
    age: InForce[AgeRule] | None
    entry_age: InForce[EntryAgeRule] | None
    minors: InForce[MinorRule] | None
    classes: tuple[InForce[PersonClassRule], ...]
    income: InForce[IncomeCeilingRule] | None
    exclusions: tuple[InForce[ExclusionRule], ...]
    documents: tuple[InForce[DocumentRule], ...]
    levels: InForce[KycTiersRule] | None
    groups: InForce[GroupsRule] | None
    group_proof: InForce[GroupProofRule] | None
    nominees: InForce[NomineesRule] | None
    consents: InForce[ConsentsRule] | None

    def trace(self) -> dict[str, object]:
        """Return which versions of which rules decide: what events keep as their decision."""
        found = (getattr(self, field.name) for field in fields(self) if field.name != "product")
        rules = [one for part in found if part for one in (part if isinstance(part, tuple) else (part,))]
        return {"product": self.product, "rules": [one.ref for one in rules]}


class Book(Protocol):
    """What terms are read from: a rule book on some dates."""

    def rule(self, kind: type[AnyRule]) -> InForce[AnyRule] | None:
        """Return the rule of a kind of one."""

    def rules(self, kind: type[AnyRule]) -> tuple[InForce[AnyRule], ...]:
        """Return the rules of a kind of many."""


def read_terms(product: str, book: Book) -> EnrolmentTerms:
    """Return the rules of a book by which people join a product."""
    return EnrolmentTerms(
        product=product,
        closed=book.rule(ClosedRule),
        age=book.rule(AgeRule),
        entry_age=book.rule(EntryAgeRule),
        minors=book.rule(MinorRule),
        classes=book.rules(PersonClassRule),
        income=book.rule(IncomeCeilingRule),
        exclusions=book.rules(ExclusionRule),
        documents=book.rules(DocumentRule),
        levels=book.rule(KycTiersRule),
        groups=book.rule(GroupsRule),
        group_proof=book.rule(GroupProofRule),
        nominees=book.rule(NomineesRule),
        consents=book.rule(ConsentsRule),
    )


# -- decisions


def check_open(terms: EnrolmentTerms) -> None:
    """Refuse whoever wants to join a product that is closed.

    Raises:
        ClosedToJoining: since when, and why.
    """
    if terms.closed is not None:
        closed = terms.closed
        raise ClosedToJoining(
            field="product",
            product=terms.product,
            since=closed.effective_from.isoformat(),
            reason=closed.rule.reason,
        )


def check_group(group: str, rule: GroupsRule | None) -> str:
    """Return the code of the group the person joins through; "" for none.

    Raises:
        GroupMissing: the product is joined through a group.
        UnknownGroup: it has no such group.
    """
    groups = rule.groups if rule else ()
    allowed = listed(one.code for one in groups)
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
            raise UnknownConsent(field=field, allowed=listed(purposes))
        texts = {language: version for (consent, language), version in versions.items() if consent == one.consent}
        if one.language not in texts:
            raise UnknownLanguage(field=field, allowed=listed(texts))
        if one.version != texts[one.language]:
            allowed = listed(f"{language} {version}" for language, version in texts.items())
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
