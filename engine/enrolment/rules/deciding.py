"""Whether an application meets a product's terms: the whole decision."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from msgspec.structs import replace

from engine.enrolment.errors import IncomeNotWhole, NotOpen
from engine.enrolment.rules.ages import (
    EntryAge,
    check_age,
    check_entry_age,
    check_guardian,
    entry_age,
    growing,
    needs_guardian,
)
from engine.enrolment.rules.applications import (
    Application,
    ConsentGiven,
    DocumentGiven,
    FactDeclared,
    GuardianGiven,
    NomineeGiven,
    UndertakingGiven,
)
from engine.enrolment.rules.documents import check_documents, read_document
from engine.enrolment.rules.joining import (
    EnrolmentTerms,
    check_consents,
    check_group,
    check_language,
    check_open,
    check_shares,
    read_terms,
)
from engine.enrolment.rules.levels import group_proof_due, level_of
from engine.enrolment.rules.persons import check_exclusions, check_income, person_class
from engine.enrolment.rules.undertakings import UndertakingTerms, check_undertaking, undertaking_terms
from engine.identity.rules import (
    CheckedNumber,
    GuardianPerson,
    IdentityDocument,
    NomineePerson,
    Person,
    VaultDocument,
    check_phone,
    clean_name,
)
from engine.kernel.amounts import Amount, Asset, NotWholeUnits
from engine.kernel.errors import EngineError
from engine.kernel.months import age_on
from engine.kernel.rules import Dates
from engine.kernel.series import Figures
from engine.tenancy.rules import Pack
from engine.tenancy.rules.books import OnDates


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstUndertaking:
    """What somebody undertakes to pay as they join: the instalment by the terms of the day."""

    terms: UndertakingTerms
    given: UndertakingGiven
    instalment: Amount


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """An application that meets the terms.

    `age` is the entry age, `declared` the facts that the person said yes or no to. `earlier` are numbers that the person's
    documents had before; `completes_on` is the last day on which the first thing outstanding may be shown (a proof, the
    number behind a token, a grown child's own document).
    """

    terms: EnrolmentTerms
    group_code: str
    person: Person
    numbers: tuple[CheckedNumber, ...]
    nominees: tuple[NomineePerson, ...]
    consents: tuple[ConsentGiven, ...]
    age: int
    declared: tuple[FactDeclared, ...] = ()
    earlier: tuple[CheckedNumber, ...] = ()
    guardian: GuardianPerson | None = None
    person_class: str = ""
    level: str = ""
    is_proven: bool = True
    completes_on: date | None = None
    undertaking: FirstUndertaking | None = None


def terms_of(pack: Pack, product: str, on: date, born_on: date | None = None) -> EnrolmentTerms:
    """Return the rules by which people join a product on a day.

    Args:
        pack: the scheme.
        product: the product's code.
        on: the day of joining.
        born_on: the birth date, by which rules may apply; without one, whoever is born on the day stands for all.

    Raises:
        UnknownProduct: the scheme has no such product.
        NotOpen: it opens later.
    """
    found = pack.product(product)
    if found.opened_on > on:
        raise NotOpen(product=product, day=on.isoformat())
    return read_terms(product, _joining(pack, product, on, born_on or on))


def undertaking_terms_of(pack: Pack, product: str, on: date, joined_on: date) -> UndertakingTerms | None:
    """Return the rules by which a member who joined on `joined_on` undertakes to pay, on a day; None: nothing is undertaken."""
    year_from = pack.product(product).scheme_year(on)[0]
    dates = Dates(on=on, joined_on=joined_on, tranche_on=on, scheme_year_from=year_from)
    return undertaking_terms(product, OnDates(pack.books[product], dates))


def rules_of_joining(pack: Pack, product: str, on: date, born_on: date, *, undertakes: bool) -> tuple[str, ...]:
    """Return which rules decide on an application to join, those of an undertaking if there is one; () where none are in force."""
    try:
        found = terms_of(pack, product, on, born_on).trace()["rules"]
        undertaken = undertaking_terms_of(pack, product, on, on) if undertakes else None
    except EngineError:
        return ()
    assert isinstance(found, list)
    return (*found, *(undertaken.refs if undertaken else ()))


def _joining(pack: Pack, product: str, on: date, born_on: date) -> OnDates:
    year_from = pack.product(product).scheme_year(on)[0]
    return OnDates(pack.books[product], Dates(on=on, joined_on=on, born_on=born_on, scheme_year_from=year_from))


def _undertaken(
    pack: Pack, given: UndertakingGiven | None, product: str, entry_age: int, figures: Figures, on: date
) -> FirstUndertaking | None:
    if given is None:
        return None
    terms, instalment = check_undertaking(
        undertaking_terms_of(pack, product, on, on),
        given,
        pack.tables,
        product=product,
        entry_age=entry_age,
        figures=figures,
        on=on,
    )
    return FirstUndertaking(terms=terms, given=given, instalment=instalment)


def decide(
    pack: Pack, application: Application, terms: EnrolmentTerms, on: date, figures: Figures | None = None
) -> Accepted:
    """Return the application in its one spelling, if it meets the terms.

    Args:
        pack: the scheme: its consent texts, its languages, the country of its telephone numbers.
        application: as it was sent.
        terms: those in force on `on`.
        on: the day of joining, in the scheme's calendar.
        figures: what the rules' amounts are worth; None: as far as the pack holds it.

    Raises:
        EngineError: the first refusal, in the order of the fields' meaning; see `errors`.
    """
    check_open(terms)
    name = clean_name(application.full_name, field="full_name")
    entry, lived = _entry(pack, application, terms, on)
    read = tuple(
        read_document(one, terms.documents, on=on, field=f"documents[{index}]")
        for index, one in enumerate(application.documents)
    )
    numbers = tuple(one.number for one in read)
    check_documents(
        numbers, rules=[one.rule for one in terms.documents], born_on=application.born_on, sex=application.sex
    )
    marks = {one.number.document: one.class_mark for one in read}
    worth = figures or pack.figures()
    judged = _judged(worth, application, terms, on, lived, marks)
    group_code = check_group(application.group, terms.groups.rule if terms.groups else None)
    check_shares([one.share_bp for one in application.nominees], terms.nominees.rule if terms.nominees else None)
    nominees = tuple(_nominee(one, pack, index, on) for index, one in enumerate(application.nominees))
    versions = {place: one.version for place, one in pack.consents.items()}
    check_consents(application.consents, rule=terms.consents.rule if terms.consents else None, versions=versions)
    person = Person(
        full_name=name,
        born_on=entry.born_on,
        sex=application.sex,
        phones=(check_phone(application.phone, pack.phone_country),) if application.phone else (),
        documents=tuple(IdentityDocument(one.document, one.number) for one in numbers),
        language=check_language(application.language, pack.languages),
        address=application.address.strip(),
    )
    given = application.guardian
    proofs = [judged.proof_due_on, *(one.number_due_on for one in read)]
    grown = growing(terms.minors, entry.born_on, on).document_due_on if terms.minors and given else None
    return Accepted(
        terms=terms,
        group_code=group_code,
        person=person,
        numbers=numbers,
        nominees=nominees,
        consents=application.consents,
        age=entry.years,
        declared=application.declared,
        earlier=tuple(one.earlier for one in read if one.earlier is not None),
        guardian=_guardian(given, terms, pack, on) if given else None,
        person_class=judged.person_class,
        level=judged.level,
        is_proven=not any(proofs),
        completes_on=min((day for day in (*proofs, grown) if day is not None), default=None),
        undertaking=_undertaken(pack, application.undertaking, terms.product, entry.years, worth, on),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejoined:
    """A member who may join another product, and what that decided; as in `Accepted`."""

    terms: EnrolmentTerms
    age: int
    person_class: str
    level: str
    completes_on: date | None
    undertaking: FirstUndertaking | None


def rejoin(
    pack: Pack, known: VaultDocument, product: str, on: date, figures: Figures, answers: Application | None = None
) -> Rejoined:
    """Return what joining another product decides of somebody who is a member already.

    Args:
        pack: the scheme.
        known: what is known of the person: names, birth, sex, documents and guardian are theirs.
        product: the product they join.
        on: the day of joining.
        figures: what the rules' amounts are worth.
        answers: what the product asks beside: class, residence, income, declarations, proof of a group, channel; and what
            they undertake to pay in it.

    Raises:
        UnknownProduct, NotOpen, ClosedToJoining: there is none of that code, or not yet, or not any more.
        EngineError: what the rules refuse: age, guardian, class, income, exclusions, level, proof.
    """
    person, guardian = known.person, known.guardian
    terms = terms_of(pack, product, on, person.born_on)
    check_open(terms)
    application = replace(
        answers or Application(product=product, full_name=person.full_name, born_on=person.born_on),
        born_on=person.born_on,
        birth_known="day",
        sex=person.sex,
        guardian=None
        if guardian is None or terms.minors is None
        else GuardianGiven(
            full_name=guardian.full_name,
            relationship=guardian.relationship,
            document=guardian.document.document,
            number=guardian.document.number,
        ),
    )
    entry, lived = _entry(pack, application, terms, on)
    if not needs_guardian(terms.minors.rule if terms.minors else None, lived):
        application = replace(application, guardian=None)
    rules = {one.rule.document: one.rule for one in terms.documents}
    marks = {
        one.document: rules[one.document].class_mark(one.number) if one.document in rules else ""
        for one in person.documents
    }
    judged = _judged(figures, application, terms, on, lived, marks)
    grown = growing(terms.minors, entry.born_on, on).document_due_on if terms.minors and application.guardian else None
    return Rejoined(
        terms=terms,
        age=entry.years,
        person_class=judged.person_class,
        level=judged.level,
        completes_on=min((day for day in (judged.proof_due_on, grown) if day is not None), default=None),
        undertaking=_undertaken(pack, application.undertaking, product, entry.years, figures, on),
    )


@dataclass(frozen=True, slots=True)
class _Judged:
    """What was decided of a person beside their age."""

    person_class: str
    level: str
    proof_due_on: date | None


def _entry(pack: Pack, application: Application, terms: EnrolmentTerms, on: date) -> tuple[EntryAge, int]:
    """Return the entry age and the completed years of whoever may join at it, or through a guardian."""
    entry = entry_age(
        terms.entry_age,
        application.born_on,
        on=on,
        scheme_year_from=pack.product(terms.product).scheme_year(on)[0],
        known=application.birth_known,
    )
    minors = terms.minors.rule if terms.minors else None
    lived = age_on(entry.born_on, on, minors.leap_day if minors else "1-march")
    if not needs_guardian(minors, lived):
        check_entry_age(
            entry.years,
            born_on=entry.born_on,
            rule=terms.age.rule if terms.age else None,
            sex=application.sex,
            years_paid=application.years_paid,
        )
    return entry, lived


def _judged(
    figures: Figures, application: Application, terms: EnrolmentTerms, on: date, lived: int, marks: Mapping[str, str]
) -> _Judged:
    """Return what the rules of persons, levels and groups decide; `marks` are what documents say of a class, by kind."""
    given = application.guardian
    check_guardian(
        terms.minors.rule if terms.minors else None,
        lived,
        relationship=given.relationship if given else "",
        document=given.document if given else "",
        child_documents=marks,
    )
    of_class = person_class(
        terms.classes, application.person_class, documents=marks, resident_since=application.resident_since, on=on
    )
    income = monthly_income(application, figures.asset)
    check_income(terms.income, income.units if income else None, figures, on)
    check_exclusions(terms.exclusions, application.declared, on)
    return _Judged(
        of_class,
        level_of(terms.levels, marks, application.channel),
        group_proof_due(terms.group_proof, application.group_proof, on),
    )


def monthly_income(application: Application, asset: Asset) -> Amount | None:
    """Return the declared income of a month; None where none is declared.

    Raises:
        IncomeNotWhole: it has more decimals than the currency.
    """
    if not application.monthly_income:
        return None
    try:
        return Amount.parse(application.monthly_income, asset)
    except NotWholeUnits:
        raise IncomeNotWhole(field="monthly_income", scale=asset.scale) from None


def _guardian(given: GuardianGiven, terms: EnrolmentTerms, pack: Pack, on: date) -> GuardianPerson:
    read = read_document(
        DocumentGiven(given.document, given.number, given.expires_on), terms.documents, on=on, field="guardian"
    )
    return GuardianPerson(
        full_name=clean_name(given.full_name, field="guardian.full_name"),
        relationship=given.relationship,
        document=IdentityDocument(read.number.document, read.number.number),
        phone=check_phone(given.phone, pack.phone_country, field="guardian.phone") if given.phone else "",
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
