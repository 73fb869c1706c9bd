"""Use cases of enrolment: take people in, one or thousands at once; find a member; try a pack's examples."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from engine.enrolment import queries
from engine.enrolment.errors import AlreadyMember, KeyReused, NotOpen, UnknownMember
from engine.enrolment.queries import EarlierEnrolment, MemberCount, MemberRow
from engine.enrolment.rules import (
    AgeRule,
    Application,
    ConsentGiven,
    ConsentsRule,
    DocumentGiven,
    DocumentRule,
    EnrolmentTerms,
    GroupsRule,
    NomineeGiven,
    NomineesRule,
    check_age,
    check_consents,
    check_documents,
    check_group,
    check_language,
    check_shares,
    document_rule,
)
from engine.enrolment.rules.applications import WHOLE_BP
from engine.identity import service as identity
from engine.identity.rules import (
    CheckedNumber,
    IdentityDocument,
    MemberRef,
    NewMember,
    NomineePerson,
    Person,
    VaultDocument,
    clean_name,
)
from engine.kernel.clock import business_date
from engine.kernel.errors import EngineError
from engine.kernel.ids import claim_digest, new_member_id
from engine.ledger import service as ledger
from engine.ledger.rules import MAX_BATCH, Entry, EventKind, Outcome
from engine.runtime.database import Database, retry_transaction
from engine.runtime.key_file import FileKeyStore
from engine.runtime.secrets import keyed_digest
from engine.tenancy.rules import MissingInput, Pack, ScenarioContext
from engine.tenancy.service import Tenant

CHUNK = 1_000
"""People taken in by one transaction."""

LONGEST_KEY = 64


@dataclass(frozen=True, slots=True)
class Enrolment:
    """An application, and the sender's own name for it: the same key and application are answered alike for ever."""

    key: str
    application: Application


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A person taken in, now or when the same key was first sent."""

    member_id: int
    number: str
    product: str
    joined_on: date
    group_code: str


Answer = Enrolled | EngineError
"""What became of one enrolment: each is taken in or refused on its own."""


@dataclass(frozen=True, slots=True)
class _Checked:
    """An application that meets the terms."""

    terms: EnrolmentTerms
    group_code: str
    person: Person
    numbers: tuple[CheckedNumber, ...]
    nominees: tuple[NomineePerson, ...]
    consents: tuple[ConsentGiven, ...]
    age: int


@dataclass(frozen=True, slots=True)
class _Item:
    """An enrolment of a chunk that has not been answered yet."""

    index: int
    claim: UUID
    body_digest: int
    member_id: int
    checked: _Checked


async def enrol(
    db: Database, tenant: Tenant, keys: FileKeyStore, enrolments: Sequence[Enrolment], *, actor: str
) -> list[Answer]:
    """Take people in, each on their own; return what became of each, in their order.

    Thousands are taken in by transactions of CHUNK people each; a transaction makes the same few statements for one
    person as for all. A key that was used before is answered as it was then if the application is the same, else
    refused; a person who is in the product already is refused, also if the other is being taken in at this moment.

    Args:
        db: the application's database.
        tenant: the scheme.
        keys: where the scheme's keys are.
        enrolments: the applications with their keys; keys count for each actor apart.
        actor: who sends them ("partner:3"); nothing personal.
    """
    answers: list[Answer] = []
    for start in range(0, len(enrolments), CHUNK):
        chunk = enrolments[start : start + CHUNK]

        async def run(chunk: Sequence[Enrolment] = chunk) -> list[Answer]:
            async with db.unit_of_work(tenant.tenant_id) as session:
                return await enrol_chunk(session, tenant, keys, chunk, actor=actor)

        answers.extend(await retry_transaction(run))
    return answers


async def enrol_chunk(
    session: AsyncSession, tenant: Tenant, keys: FileKeyStore, enrolments: Sequence[Enrolment], *, actor: str
) -> list[Answer]:
    """Take up to CHUNK people in within the caller's transaction; see `enrol`.

    Raises:
        psycopg.errors.SerializationFailure, DeadlockDetected: the whole transaction must run again.
    """
    assert len(enrolments) <= CHUNK, len(enrolments)
    today = business_date(await ledger.scheme_now(session), tenant.time_zone)
    answers: dict[int, Answer] = {}
    firsts, repeats = _folded(tenant, keys, enrolments, actor)
    for index, repeat in repeats.items():
        if firsts[repeat][1] != _body_digest(tenant, keys, enrolments[index].application):
            answers[index] = KeyReused()
    earlier = await queries.earlier_enrolments(session, [claim for claim, _ in firsts.values()])
    answers.update(await _as_before(session, keys, firsts, earlier, actor))

    unanswered = {index: first for index, first in firsts.items() if index not in answers}
    checked = await asyncio.to_thread(
        lambda: {index: _try(tenant.pack, enrolments[index].application, today) for index in unanswered}
    )
    items = []
    for index, (claim, digest) in unanswered.items():
        one = checked[index]
        if isinstance(one, EngineError):
            answers[index] = one
        else:
            items.append(_Item(index, claim, digest, new_member_id(), one))

    free = await identity.reserve_persons(
        session, keys, [(one.member_id, one.checked.terms.product, one.checked.numbers) for one in items]
    )
    enrolled = await _take_in(session, tenant, keys, [one for one in items if one.member_id in free], today, actor)
    answers.update(enrolled)

    lost = {one.index: firsts[one.index] for one in items if one.index not in enrolled}
    if lost:
        # Whoever won has committed by now, so this look sees what the first one could not.
        earlier = await queries.earlier_enrolments(session, [claim for claim, _ in lost.values()])
        again = await _as_before(session, keys, lost, earlier, actor)
        for one in items:
            if one.index in lost:
                answers[one.index] = again.get(one.index, AlreadyMember(product=one.checked.terms.product))
    for index, repeat in repeats.items():
        answers.setdefault(index, answers[repeat])
    return [answers[index] for index in range(len(enrolments))]


async def find_member(session: AsyncSession, keys: FileKeyStore, number: str) -> MemberRef:
    """Return the member of that number.

    Raises:
        UnknownMember: the tenant has none; another tenant's looks the same.
    """
    found = await identity.members_by_number(session, keys, [number])
    if number not in found:
        raise UnknownMember
    return found[number]


async def count_members(session: AsyncSession) -> list[MemberCount]:
    """Return how many members there are by product, group and status."""
    return await queries.counts(session)


async def list_members(session: AsyncSession, *, before: int | None = None, most: int = 100) -> list[MemberRow]:
    """Return members in the order they enrolled, the latest first; `before` is the last one's event on the page before."""
    return await queries.newest(session, before=2**63 - 1 if before is None else before, most=most)


def terms_of(tenant: Tenant, product: str, on: date) -> EnrolmentTerms:
    """Return the rules by which people join a product on a day.

    Raises:
        UnknownProduct: the scheme has no such product.
        NotOpen: it opens later.
    """
    return _terms(tenant.pack, product, on)


def run_scenario(context: ScenarioContext) -> Mapping[str, str]:
    """Decide a pack's example of kind `enrolment`: may this person join on this day?

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
    checked = _check(context.pack, application, terms, context.on)
    outcome = {"age": str(checked.age), "joined_on": context.on.isoformat()}
    return {**outcome, "group": checked.group_code} if checked.group_code else outcome


# -- inside


def _folded(
    tenant: Tenant, keys: FileKeyStore, enrolments: Sequence[Enrolment], actor: str
) -> tuple[dict[int, tuple[UUID, int]], dict[int, int]]:
    """Return (claim, body digest) of the first enrolment of each key, and of which one each later one is a repeat."""
    firsts: dict[int, tuple[UUID, int]] = {}
    by_claim: dict[UUID, int] = {}
    repeats: dict[int, int] = {}
    for index, one in enumerate(enrolments):
        claim = claim_digest(tenant.tenant_id, f"enrol:{actor}", one.key)
        if claim in by_claim:
            repeats[index] = by_claim[claim]
        else:
            by_claim[claim] = index
            firsts[index] = (claim, _body_digest(tenant, keys, one.application))
    return firsts, repeats


def _body_digest(tenant: Tenant, keys: FileKeyStore, application: Application) -> int:
    """Return 64 bits that stand for an application. Keyed: events outlive people, and guesses must not be checkable."""
    key = keys.tenant(tenant.tenant_id).digest_key
    digest = keyed_digest(key, "enrolment", msgspec.json.encode(application, order="deterministic"))
    return int.from_bytes(digest[:8], "big", signed=True)


async def _as_before(
    session: AsyncSession,
    keys: FileKeyStore,
    asked: Mapping[int, tuple[UUID, int]],
    earlier: Mapping[UUID, EarlierEnrolment],
    actor: str,
) -> dict[int, Answer]:
    """Return the answers to enrolments whose key was used before: the first answer, or that the key was reused."""
    answers: dict[int, Answer] = {}
    same: dict[int, int] = {}
    for index, (claim, digest) in asked.items():
        found = earlier.get(claim)
        if found is not None and found.body_digest == digest:
            same[index] = found.member_id
        elif found is not None:
            answers[index] = KeyReused()
    members = await identity.members_by_id(session, list(same.values()))
    people = await identity.read_people(session, keys, list(same.values()), actor=actor, reason="enrolment-repeated")
    for index, member_id in same.items():
        person, member = people.get(member_id), members[member_id]
        answers[index] = (
            Enrolled(member_id, person.member_number, member.product, member.joined_on, member.group_code)
            if person is not None
            else UnknownMember()
        )
    return answers


async def _take_in(
    session: AsyncSession, tenant: Tenant, keys: FileKeyStore, items: Sequence[_Item], today: date, actor: str
) -> dict[int, Enrolled]:
    """Post the enrolment of people who are free, and write them; those whose key was claimed meanwhile are left out."""
    if not items:
        return {}
    actor_id = await ledger.actor_id(session, actor)
    decisions = {
        product: await ledger.decision_id(session, terms.trace())
        for product, terms in sorted({one.checked.terms.product: one.checked.terms for one in items}.items())
    }

    def entry(one: _Item, kind: EventKind, body: Mapping[str, object], claims: Sequence[UUID] = ()) -> Entry:
        return Entry(
            member_id=one.member_id,
            kind=kind,
            business_date=today,
            actor=actor_id,
            pack=tenant.pack_id,
            decision=decisions[one.checked.terms.product],
            body=body,
            body_digest=one.body_digest if claims else 0,
            claims=claims,
        )

    posted = await ledger.post(
        session, [entry(one, EventKind.MEMBER_ENROLLED, _enrolled_body(one), (one.claim,)) for one in items]
    )
    events = {
        one.member_id: fate.event_id for one, fate in zip(items, posted, strict=True) if fate.outcome is Outcome.POSTED
    }
    await identity.release(session, [one.member_id for one in items if one.member_id not in events])
    taken = [one for one in items if one.member_id in events]
    shape = tenant.pack.member_number
    numbers = await identity.reserve_numbers(
        session, keys, [one.member_id for one in taken], digits=shape.digits, prefix=shape.prefix
    )
    await identity.admit(
        session,
        keys,
        [
            NewMember(
                member_id=one.member_id,
                enrolled_event=events[one.member_id],
                product=one.checked.terms.product,
                joined_on=today,
                group_code=one.checked.group_code,
                document=VaultDocument(
                    member_number=numbers[one.member_id], person=one.checked.person, nominees=one.checked.nominees
                ),
            )
            for one in taken
        ],
    )
    more = [entry(one, EventKind.CONSENT_GIVEN, _consent_body(one)) for one in taken if one.checked.consents]
    more += [entry(one, EventKind.NOMINEES_NAMED, _nominees_body(one)) for one in taken if one.checked.nominees]
    for batch in _batches(more):
        await ledger.post(session, batch)
    return {
        one.index: Enrolled(
            one.member_id, numbers[one.member_id], one.checked.terms.product, today, one.checked.group_code
        )
        for one in taken
    }


def _batches(entries: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
    for start in range(0, len(entries), MAX_BATCH):
        yield entries[start : start + MAX_BATCH]


def _enrolled_body(one: _Item) -> dict[str, object]:
    body: dict[str, object] = {
        "product": one.checked.terms.product,
        "documents": [number.document for number in one.checked.numbers],
    }
    return {**body, "group": one.checked.group_code} if one.checked.group_code else body


def _consent_body(one: _Item) -> dict[str, object]:
    return {
        "consents": [
            {"consent": given.consent, "version": given.version, "language": given.language, "channel": given.channel}
            for given in one.checked.consents
        ]
    }


def _nominees_body(one: _Item) -> dict[str, object]:
    return {"count": len(one.checked.nominees), "shares_bp": [nominee.share_bp for nominee in one.checked.nominees]}


def _terms(pack: Pack, product: str, on: date) -> EnrolmentTerms:
    if pack.product(product).opened_on > on:
        raise NotOpen(product=product, day=on.isoformat())
    book = pack.books[product]
    return EnrolmentTerms(
        product=product,
        age=book.in_force(AgeRule, on=on, joined_on=on),
        documents=book.all_in_force(DocumentRule, on=on, joined_on=on),
        groups=book.in_force(GroupsRule, on=on, joined_on=on),
        nominees=book.in_force(NomineesRule, on=on, joined_on=on),
        consents=book.in_force(ConsentsRule, on=on, joined_on=on),
    )


def _try(pack: Pack, application: Application, on: date) -> _Checked | EngineError:
    try:
        return _check(pack, application, _terms(pack, application.product, on), on)
    except EngineError as error:
        return error


def _check(pack: Pack, application: Application, terms: EnrolmentTerms, on: date) -> _Checked:
    """Return the application in its one spelling, if it meets the terms on that day; else raise its first refusal."""
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
        phones=(identity.check_phone(application.phone, pack.phone_country),) if application.phone else (),
        documents=tuple(IdentityDocument(one.document, one.number) for one in numbers),
        language=check_language(application.language, pack.languages),
        address=application.address.strip(),
    )
    return _Checked(terms, group_code, person, numbers, nominees, application.consents, age)


def _number(given: DocumentGiven, rules: Sequence[DocumentRule], index: int) -> CheckedNumber:
    rule = document_rule(given.document, rules, field=f"documents[{index}].document")
    return identity.check_document(
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
    assert 0 < given.share_bp <= WHOLE_BP, given.share_bp
    return NomineePerson(
        full_name=clean_name(given.full_name, field=f"{field}.full_name"),
        relationship=clean_name(given.relationship, field=f"{field}.relationship"),
        share_bp=given.share_bp,
        born_on=given.born_on,
        phone=identity.check_phone(given.phone, pack.phone_country, field=f"{field}.phone") if given.phone else "",
    )
