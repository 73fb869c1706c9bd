"""Whether an application meets a product's terms: the whole decision, and how a pack's examples ask for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import msgspec

from engine.enrolment.errors import NotOpen
from engine.enrolment.rules.applications import Application, ConsentGiven, DocumentGiven, NomineeGiven
from engine.enrolment.rules.joining import (
    AgeRule,
    ConsentsRule,
    DocumentRule,
    EnrolmentTerms,
    GroupsRule,
    NomineesRule,
    check_age,
    check_consents,
    check_documents,
    check_group,
    check_language,
    check_shares,
    document_rule,
)
from engine.identity.rules import (
    CheckedNumber,
    IdentityDocument,
    NomineePerson,
    Person,
    check_document,
    check_phone,
    clean_name,
)
from engine.kernel.rules import Dates
from engine.tenancy.rules import MissingInput, Pack, ScenarioContext


@dataclass(frozen=True, slots=True)
class Accepted:
    """An application that meets the terms."""

    terms: EnrolmentTerms
    group_code: str
    person: Person
    numbers: tuple[CheckedNumber, ...]
    nominees: tuple[NomineePerson, ...]
    consents: tuple[ConsentGiven, ...]
    age: int


def terms_of(pack: Pack, product: str, on: date) -> EnrolmentTerms:
    """Return the rules by which people join a product on a day.

    Raises:
        UnknownProduct: the scheme has no such product.
        NotOpen: it opens later.
    """
    if pack.product(product).opened_on > on:
        raise NotOpen(product=product, day=on.isoformat())
    book, dates = pack.books[product], Dates(on=on, joined_on=on)
    return EnrolmentTerms(
        product=product,
        age=book.in_force(AgeRule, dates),
        documents=book.all_in_force(DocumentRule, dates),
        groups=book.in_force(GroupsRule, dates),
        nominees=book.in_force(NomineesRule, dates),
        consents=book.in_force(ConsentsRule, dates),
    )


def decide(pack: Pack, application: Application, terms: EnrolmentTerms, on: date) -> Accepted:
    """Return the application in its one spelling, if it meets the terms.

    Args:
        pack: the scheme: its consent texts, its languages, the country of its telephone numbers.
        application: as it was sent.
        terms: those in force on `on`.
        on: the day of joining, in the scheme's calendar.

    Raises:
        EngineError: the first refusal, in the order of the fields' meaning; see `errors`.
    """
    name = clean_name(application.full_name, field="full_name")
    age = check_age(application.born_on, on=on, rule=terms.age.rule if terms.age else None)
    rules = [one.rule for one in terms.documents]
    numbers = tuple(_number(one, rules, index) for index, one in enumerate(application.documents))
    check_documents(numbers, rules=rules, born_on=application.born_on, sex=application.sex)
    group_code = check_group(application.group, terms.groups.rule if terms.groups else None)
    check_shares([one.share_bp for one in application.nominees], terms.nominees.rule if terms.nominees else None)
    nominees = tuple(_nominee(one, pack, index, on) for index, one in enumerate(application.nominees))
    versions = {place: one.version for place, one in pack.consents.items()}
    check_consents(application.consents, rule=terms.consents.rule if terms.consents else None, versions=versions)
    person = Person(
        full_name=name,
        born_on=application.born_on,
        sex=application.sex,
        phones=(check_phone(application.phone, pack.phone_country),) if application.phone else (),
        documents=tuple(IdentityDocument(one.document, one.number) for one in numbers),
        language=check_language(application.language, pack.languages),
        address=application.address.strip(),
    )
    return Accepted(terms, group_code, person, numbers, nominees, application.consents, age)


def _number(given: DocumentGiven, rules: Sequence[DocumentRule], index: int) -> CheckedNumber:
    rule = document_rule(given.document, rules, field=f"documents[{index}].document")
    return check_document(
        given.number,
        document=rule.document,
        validator=rule.validator,
        pattern=rule.pattern,
        field=f"documents[{index}].number",
    )


def _nominee(given: NomineeGiven, pack: Pack, index: int, on: date) -> NomineePerson:
    field = f"nominees[{index}]"
    if given.born_on is not None:
        check_age(given.born_on, on=on, rule=None, field=f"{field}.born_on")
    return NomineePerson(
        full_name=clean_name(given.full_name, field=f"{field}.full_name"),
        relationship=clean_name(given.relationship, field=f"{field}.relationship"),
        share_bp=given.share_bp,
        born_on=given.born_on,
        phone=check_phone(given.phone, pack.phone_country, field=f"{field}.phone") if given.phone else "",
    )


def run_scenario(context: ScenarioContext) -> Mapping[str, str]:
    """Decide a pack's example of kind `enrolment`: whether this person may join on this day.

    `given` holds what an application holds (`born_on`, `sex`, `phone`, `group`, `language`, `documents`, `nominees`),
    and `consents` as a list of ids, each taken as given to the words in use. Names need not be given.

    Returns:
        age (completed years), joined_on, and group where there is one.

    Raises:
        EngineError: the refusal.
        MissingInput: `born_on` is missing, or something given is no part of an application.
    """
    given = dict(context.given)
    if "born_on" not in given:
        raise MissingInput("born_on")
    agreed = given.pop("consents", [])
    language = context.pack.languages[0]
    texts = [context.pack.consent(str(one), language) for one in (agreed if isinstance(agreed, list) else [])]
    nominees = given.pop("nominees", [])
    table = {
        "product": context.product.code,
        "full_name": "Example",
        **given,
        "nominees": [
            {"full_name": "Example", "relationship": "relative", **one}
            for one in (nominees if isinstance(nominees, list) else [])
        ],
        "consents": [
            {"consent": one.id, "language": one.language, "version": one.version, "channel": "example"}
            for one in texts
            if one is not None
        ],
    }
    try:
        application = msgspec.convert(table, Application)
    except msgspec.ValidationError as error:
        raise MissingInput(str(error)) from None
    terms = EnrolmentTerms(
        product=context.product.code,
        age=context.rule(AgeRule),
        documents=context.rules(DocumentRule),
        groups=context.rule(GroupsRule),
        nominees=context.rule(NomineesRule),
        consents=context.rule(ConsentsRule),
    )
    checked = decide(context.pack, application, terms, context.on)
    outcome = {"age": str(checked.age), "joined_on": context.on.isoformat()}
    return {**outcome, "group": checked.group_code} if checked.group_code else outcome
