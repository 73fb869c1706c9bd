"""Use cases of enrolment: take people in, one or thousands at once, from the API or a file; find a member."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from engine.enrolment import queries
from engine.enrolment.errors import AlreadyMember, KeyReused, UnknownMember
from engine.enrolment.queries import EarlierEnrolment, Membership
from engine.enrolment.rules import (
    Accepted,
    Application,
    RowProblem,
    decide,
    read_members_csv,
    rules_of_joining,
    terms_of,
)
from engine.enrolment.service.memberships import in_their_products
from engine.enrolment.service.undertakings import undertake_at_joining
from engine.identity import service as identity
from engine.identity.rules import MemberRef, NewMember, VaultDocument
from engine.kernel.clock import business_date
from engine.kernel.errors import EngineError
from engine.kernel.ids import claim_digest, new_member_id
from engine.kernel.months import age_on
from engine.kernel.series import Figures
from engine.ledger import service as ledger
from engine.ledger.rules import MAX_BATCH, Entry, EventKind, Outcome
from engine.runtime.database import Database, retry_transaction
from engine.runtime.key_file import FileKeyStore
from engine.runtime.secrets import keyed_digest
from engine.tenancy import service as tenancy
from engine.tenancy.rules import Pack
from engine.tenancy.rules.decided import Determination
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


@dataclass(slots=True)
class ImportReport:
    """What became of a file of people to enrol. `numbers` are the member numbers by row of the file."""

    file: str
    sha256: str
    rows: int = 0
    numbers: dict[int, str] = field(default_factory=dict)
    refused: list[RowProblem] = field(default_factory=list)

    @property
    def enrolled(self) -> int:
        """Return how many rows have a member now, those of an earlier import of the file among them."""
        return len(self.numbers)


@dataclass(frozen=True, slots=True)
class Item:
    """An enrolment of a chunk that has not been answered yet; `earlier_numbers` are by what the member was known elsewhere."""

    index: int
    claim: UUID
    body_digest: int
    member_id: int
    checked: Accepted
    joined_on: date
    earlier_numbers: tuple[str, ...] = ()


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
    figures = await tenancy.figures_for(session, tenant)
    checked = await asyncio.to_thread(
        lambda: {index: decided(tenant.pack, enrolments[index].application, today, figures) for index in unanswered}
    )
    items = []
    for index, (claim, digest) in unanswered.items():
        found = checked[index]
        if isinstance(found, EngineError):
            answers[index] = found
        else:
            items.append(Item(index, claim, digest, new_member_id(), found, today))
    await _keep_refusals(
        session,
        tenant,
        [(enrolments[index].application, one) for index, one in checked.items() if isinstance(one, EngineError)],
        today,
    )

    free = await identity.reserve_persons(
        session,
        keys,
        [(one.member_id, one.checked.terms.product, (*one.checked.numbers, *one.checked.earlier)) for one in items],
    )
    enrolled = await take_in(session, tenant, keys, [one for one in items if one.member_id in free], today, actor)
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


async def import_members(
    db: Database,
    keys: FileKeyStore,
    tenant: Tenant,
    raw: bytes,
    *,
    name: str,
    actor: str,
    progress: Callable[[int], None] = lambda _: None,
) -> ImportReport:
    """Enrol the people of a CSV file, exactly as the API would; rows that cannot be taken are listed, not lost.

    A file that was cut off half way is simply imported again: who is enrolled stays enrolled once.

    Args:
        db: the application's database.
        keys: where the scheme's keys are.
        tenant: the scheme.
        raw: the file's bytes; `rules.read_members_csv` says what they hold.
        name: the file's name, for messages.
        actor: on whose behalf; nothing personal.
        progress: told how many more rows were answered.

    Raises:
        UnreadableFile: nobody of it was enrolled.
    """
    read = read_members_csv(raw, name)
    report = ImportReport(name, read.sha256, rows=len(read.rows) + len(read.problems), refused=list(read.problems))
    for start in range(0, len(read.rows), CHUNK):
        chunk = read.rows[start : start + CHUNK]
        answers = await enrol(db, tenant, keys, [Enrolment(row.key, row.application) for row in chunk], actor=actor)
        for row, answer in zip(chunk, answers, strict=True):
            if isinstance(answer, EngineError):
                report.refused.append(RowProblem(name, row.row, str(answer.details.get("field", "row")), str(answer)))
            else:
                report.numbers[row.row] = answer.number
        progress(len(chunk))
    report.refused.sort(key=lambda problem: problem.row)
    return report


async def find_member(session: AsyncSession, keys: FileKeyStore, number: str) -> MemberRef:
    """Return the member of that number, as they stand in the first product they joined.

    Raises:
        UnknownMember: the tenant has none; another tenant's looks the same.
    """
    return await find_in_product(session, keys, number, "")


async def find_in_product(session: AsyncSession, keys: FileKeyStore, number: str, product: str) -> MemberRef:
    """Return the member of that number, as they stand in a product; "" is the first they joined.

    Raises:
        UnknownMember: the tenant has none in the product; another tenant's looks the same.
    """
    found = await in_their_products(session, await identity.members_by_number(session, keys, [number]), product=product)
    if number not in found:
        raise UnknownMember
    return found[number]


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


async def take_in(
    session: AsyncSession, tenant: Tenant, keys: FileKeyStore, items: Sequence[Item], today: date, actor: str
) -> dict[int, Enrolled]:
    """Post the enrolment of people who are free, and write them; those whose key was claimed meanwhile are left out.

    Returns who was taken in, by the index of their item.
    """
    if not items:
        return {}
    actor_id = await ledger.actor_id(session, actor)
    decisions = {
        product: await ledger.decision_id(session, terms.trace())
        for product, terms in sorted({one.checked.terms.product: one.checked.terms for one in items}.items())
    }

    def entry(one: Item, kind: EventKind, body: Mapping[str, object], claims: Sequence[UUID] = ()) -> Entry:
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
        session, [entry(one, EventKind.MEMBER_ENROLLED, _enrolled_body(one, today), (one.claim,)) for one in items]
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
                joined_on=one.joined_on,
                group_code=one.checked.group_code,
                document=VaultDocument(
                    member_number=numbers[one.member_id],
                    person=one.checked.person,
                    nominees=one.checked.nominees,
                    guardian=one.checked.guardian,
                    earlier_numbers=one.earlier_numbers,
                ),
            )
            for one in taken
        ],
    )
    await queries.add_memberships(
        session,
        [
            (
                Membership(
                    one.member_id,
                    one.checked.terms.product,
                    one.joined_on,
                    one.joined_on,
                    one.checked.group_code,
                    one.checked.age,
                    one.checked.completes_on,
                    one.checked.person_class,
                    one.checked.level,
                ),
                events[one.member_id],
            )
            for one in taken
        ],
    )
    more = [entry(one, EventKind.CONSENT_GIVEN, _consent_body(one)) for one in taken if one.checked.consents]
    more += [entry(one, EventKind.NOMINEES_NAMED, _nominees_body(one)) for one in taken if one.checked.nominees]
    for batch in _batches(more):
        await ledger.post(session, batch)
    undertaken = {one.member_id: one.checked.undertaking for one in taken if one.checked.undertaking}
    await undertake_at_joining(session, tenant, undertaken, today=today, actor=actor)
    return {
        one.index: Enrolled(
            one.member_id, numbers[one.member_id], one.checked.terms.product, one.joined_on, one.checked.group_code
        )
        for one in taken
    }


async def _keep_refusals(
    session: AsyncSession, tenant: Tenant, refused: Sequence[tuple[Application, EngineError]], today: date
) -> None:
    """Put refused applications on record, so that each can be explained: the age and the product, never the person."""
    known = [(application, refusal) for application, refusal in refused if application.product in tenant.pack.books]
    found = [
        Determination(
            kind="enrolment",
            product=application.product,
            decided_on=today,
            rules=rules_of_joining(
                tenant.pack,
                application.product,
                today,
                application.born_on,
                undertakes=application.undertaking is not None,
            ),
            code=refusal.code,
            inputs={"age": age_on(application.born_on, today)},
            outcome=refusal.details,
        )
        for application, refusal in known
    ]
    numbers = await tenancy.record(session, tenant, found)
    for (_, refusal), number, told in zip(known, numbers, found, strict=True):
        tenancy.tell_refusal(refusal, tenant, number, told)


def _batches(entries: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
    for start in range(0, len(entries), MAX_BATCH):
        yield entries[start : start + MAX_BATCH]


def _enrolled_body(one: Item, today: date) -> dict[str, object]:
    body: dict[str, object] = {
        "product": one.checked.terms.product,
        "documents": [number.document for number in one.checked.numbers],
    }
    if one.joined_on != today:
        body["joined_on"] = one.joined_on.isoformat()
    if one.checked.group_code:
        body["group"] = one.checked.group_code
    if one.checked.level:
        body["level"] = one.checked.level
    if one.checked.declared:
        body["declared"] = {said.fact: said.holds for said in one.checked.declared}
    return body if one.checked.is_proven else {**body, "proven": False}


def _consent_body(one: Item) -> dict[str, object]:
    return {
        "consents": [
            {"consent": given.consent, "version": given.version, "language": given.language, "channel": given.channel}
            for given in one.checked.consents
        ]
    }


def _nominees_body(one: Item) -> dict[str, object]:
    return {"count": len(one.checked.nominees), "shares_bp": [nominee.share_bp for nominee in one.checked.nominees]}


def decided(pack: Pack, application: Application, today: date, figures: Figures) -> Accepted | EngineError:
    """Return the application as it is accepted by the terms of a day, or why it is refused."""
    try:
        terms = terms_of(pack, application.product, today, application.born_on)
        return decide(pack, application, terms, today, figures)
    except EngineError as error:
        return error
