"""Asking authorities about members, and what follows from their answers.

A question is an exchange that the worker works: it holds the member and the kind of document, and what is personal is read
from the vault when it is asked. What the authority states is sealed under the member's own key before it is stored
anywhere, compared with what the person said, and decided by the pack's thresholds; doubts wait for people.
"""

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID, uuid4

import msgspec
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncSession

from engine.access.rules import checked_by_other
from engine.enrolment import queries
from engine.enrolment.errors import (
    CannotVerify,
    DocumentMissing,
    LevelNotReached,
    NothingToDecide,
    NumberChangeOpen,
    SignInUsed,
    UnknownMember,
    UnknownVerification,
)
from engine.enrolment.queries import identifiers, verifications
from engine.enrolment.queries.verifications import Answered, VerificationRow
from engine.enrolment.rules import (
    CheckTerms,
    Judged,
    VerificationState,
    check_terms,
    judge,
    judge_number,
    level_of,
    terms_of,
)
from engine.enrolment.service.joining import find_member
from engine.identity import service as identity
from engine.identity.ports import (
    AssertedPerson,
    BatchVerifier,
    IdentityAgency,
    IdentityAnswer,
    IdentityState,
    NotProven,
    OfflineProof,
    SignIn,
    SignInStarted,
    VerifiedPerson,
)
from engine.identity.rules import MemberRef, Person
from engine.kernel.clock import business_date
from engine.kernel.ids import claim_digest
from engine.kernel.outcomes import Answer as Said
from engine.kernel.outcomes import Reason, RequestState
from engine.kernel.rules import Dates
from engine.ledger import service as ledger
from engine.ledger.rules import Entry, EventKind
from engine.runtime.database import Database
from engine.runtime.exchanges.engine import Exchanges, Operation, Settled
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant

AGENCY = "identity-agency"
"""The name of a scheme's identity agency: as a counterparty, as the source of what it states, as a channel of levels."""

SIGN_IN = "sign-in"
"""The same of an authority at whose page people identify themselves; and what stands for the document they showed."""

VERIFICATIONS, SIGN_INS = "verifications", "sign-ins"
NUMBER_CHANGES = "number_changes"
"""Where the number of a change is sealed."""

SIGN_IN_MINUTES = 15
"""How long a person may be away at the authority's page."""

JOINERS_AT_ONCE = 500
"""Members whom an agency is asked about by one transaction, where the pack has everybody who joins checked."""

VERIFIED = "verifications"
"""The table in which what authorities state is sealed."""

_ACTOR = "system:verifications"
FINAL: Mapping[IdentityState, VerificationState] = {
    IdentityState.MISMATCH: VerificationState.MISMATCH,
    IdentityState.UNKNOWN_NUMBER: VerificationState.UNKNOWN_NUMBER,
    IdentityState.BLOCKED: VerificationState.BLOCKED,
    IdentityState.REFUSED: VerificationState.REFUSED,
}
"""What authorities say that ends a question without their stating anything."""

_PASSING = frozenset({Reason.PROVIDER_DOWN, Reason.LIMIT, Reason.AUTH})
"""Why an authority did not look at a question, that are no answer to it: it is asked again."""


class Verification(Struct, frozen=True, kw_only=True):
    """A check of a member's identity as others see it: nothing personal."""

    reference: UUID
    member: str
    document: str
    source: str
    state: VerificationState
    why: str = ""
    score_bp: int | None = None
    attributes: tuple[str, ...] = ()
    as_of: date | None = None


class Doubt(Struct, frozen=True, kw_only=True):
    """What a person must look at: whom the member says to be, and whom the authority says the holder is."""

    reference: UUID
    member: str
    document: str
    source: str
    why: str
    score_bp: int | None
    name: str
    born_on: date
    stated_names: tuple[str, ...]
    stated_born_on: date | None
    since: datetime


class _Question(Struct, frozen=True, kw_only=True):
    """What an exchange keeps: no more of the person than a code that the authority sent them."""

    reference: UUID
    member_id: int
    document: str
    one_time_code: str = ""


class _Return(Struct, frozen=True, kw_only=True):
    """The same of somebody who came back from an authority's page: which sign-in it was, and what they came back with."""

    reference: UUID
    member_id: int
    digest: UUID
    returned: dict[str, str]


class _Stated(Struct, frozen=True, kw_only=True):
    """What an authority said, in an exchange's answer; `sealed` is a `VerifiedPerson` under the member's key."""

    state: VerificationState
    code: str = ""
    sealed: str = ""


@dataclass(frozen=True, slots=True)
class Verifiers:
    """The exchanges by which a tenant's authorities are asked."""

    exchanges: Exchanges
    sign_in: SignIn | None = None
    offline: OfflineProof | None = None
    batches: BatchVerifier | None = None

    @property
    def has_agency(self) -> bool:
        """Return whether an identity agency is joined."""
        return AGENCY in self.exchanges.counterparties


# -- asking


async def ask_agency(
    session: AsyncSession,
    keys: FileKeyStore,
    tenant: Tenant,
    verifiers: Verifiers,
    *,
    number: str,
    document: str,
    one_time_code: str = "",
    actor: str,
) -> Verification:
    """Ask the scheme's identity agency about a member, after the session's transaction; one question a document at a time.

    Raises:
        UnknownMember: the tenant has none of that number, or they were erased.
        CannotVerify: the agency is not asked about such documents, or not joined.
        DocumentMissing: the member has shown no such document.
    """
    member = await find_member(session, keys, number)
    today = business_date(await ledger.scheme_now(session), tenant.time_zone)
    terms = _terms(tenant, member, today)
    kinds = [one.rule.document for one in terms.checks]
    if document not in kinds or not verifiers.has_agency:
        raise CannotVerify(field="document", allowed=", ".join(sorted(kinds)) or "none")
    person = await _person(session, keys, member.member_id, actor, "verification-asked")
    if person is None:
        raise UnknownMember
    if all(one.document != document for one in person.documents):
        raise DocumentMissing(field="document", allowed=", ".join(sorted(kinds)))
    await _open(session, verifiers, member.member_id, document, one_time_code, actor)
    return _shown(number, await verifications.open_question(session, member.member_id, document, AGENCY))


async def ask_about_number(
    session: AsyncSession,
    tenant: Tenant,
    verifiers: Verifiers,
    member: MemberRef,
    change_id: UUID,
    document: str,
    today: date,
    *,
    actor: str,
) -> None:
    """Ask the agency about the number of a change, where it is asked about such documents; the answer has the change's reference.

    Raises:
        NumberChangeOpen: a question about the member's document of the kind is not decided yet.
    """
    if not verifiers.has_agency or all(one.rule.document != document for one in _terms(tenant, member, today).checks):
        return
    if not await _open(session, verifiers, member.member_id, document, "", actor, change_id):
        raise NumberChangeOpen


async def ask_about_joiners(db: Database, keys: FileKeyStore, tenant: Tenant, verifiers: Verifiers) -> int:
    """Ask the agency about everybody who joined and was never asked about, where the pack says so; return how many."""
    count = 0
    for product in tenant.pack.manifest.products:
        async with db.unit_of_work(tenant.tenant_id) as session:
            today = business_date(await ledger.scheme_now(session), tenant.time_zone)
        dates = Dates(on=today, joined_on=today, born_on=today, scheme_year_from=product.scheme_year(today)[0])
        terms = check_terms(tenant.pack.books[product.code], product.code, dates)
        kinds = {one.rule.document for one in terms.checks if one.rule.at_joining}
        after = -(2**63)
        while kinds:
            async with db.unit_of_work(tenant.tenant_id) as session:
                ids = await verifications.never_asked(session, product.code, AGENCY, after, JOINERS_AT_ONCE)
                people = await identity.read_people(session, keys, ids, actor=_ACTOR, reason="verification-asked")
                for member_id, one in people.items():
                    for document in sorted(kinds & {shown.document for shown in one.person.documents}):
                        count += await _open(session, verifiers, member_id, document, "", _ACTOR)
            if len(ids) < JOINERS_AT_ONCE:
                break
            after = ids[-1]
    return count


async def start_sign_in(
    session: AsyncSession, keys: FileKeyStore, tenant: Tenant, verifiers: Verifiers, *, number: str, language: str
) -> str:
    """Return the address at which a member identifies themselves; what finishing needs is kept, and used once.

    Raises:
        UnknownMember: the tenant has none of that number, or they were erased.
        CannotVerify: no such authority is joined.
    """
    member = await find_member(session, keys, number)
    if verifiers.sign_in is None:
        raise CannotVerify(field="member", allowed="none")
    started = await verifiers.sign_in.start(locale=language)
    digest = claim_digest(tenant.tenant_id, SIGN_INS, started.state)
    document = msgspec.json.encode(started)
    sealed = await identity.seal_for(session, keys, member.member_id, SIGN_INS, digest, document)
    if sealed is None:
        raise UnknownMember
    await verifications.add_sign_in(session, digest, member.member_id, SIGN_IN_MINUTES, sealed)
    return started.url


async def finish_sign_in(
    session: AsyncSession,
    keys: FileKeyStore,
    tenant: Tenant,
    verifiers: Verifiers,
    returned: Mapping[str, str],
    *,
    actor: str,
) -> Verification:
    """Have what a member came back with proven by the authority, after the session's transaction; each sign-in once.

    Raises:
        SignInUsed: it was used before, has expired, or was never begun.
        CannotVerify: no such authority is joined.
    """
    if verifiers.sign_in is None:
        raise CannotVerify(field="returned", allowed="none")
    digest = claim_digest(tenant.tenant_id, SIGN_INS, returned.get("state", ""))
    member_id = await verifications.use_sign_in(session, digest)
    if member_id is None:
        raise SignInUsed
    reference = uuid4()
    if await verifications.open_verification(session, reference, member_id, SIGN_IN, SIGN_IN, actor):
        question = _Return(reference=reference, member_id=member_id, digest=digest, returned=dict(returned))
        await verifiers.exchanges.open(
            session,
            counterparty=SIGN_IN,
            operation=SIGN_INS,
            reference=reference,
            question=msgspec.json.encode(question),
        )
    row = await verifications.open_question(session, member_id, SIGN_IN, SIGN_IN)
    return await find_verification(session, keys, row.reference, actor=actor)


async def find_verification(session: AsyncSession, keys: FileKeyStore, reference: UUID, *, actor: str) -> Verification:
    """Return what has come of a question.

    Raises:
        UnknownVerification: there is none of that reference, or its member was erased.
    """
    row = await verifications.find_verification(session, reference)
    if row is None:
        raise UnknownVerification
    people = await identity.read_people(session, keys, [row.member_id], actor=actor, reason="verification-shown")
    if row.member_id not in people:
        raise UnknownVerification
    return _shown(people[row.member_id].member_number, row)


# -- what exchanges do


def agency_operation(agency: IdentityAgency, tenant: Tenant, db: Database, keys: FileKeyStore) -> Operation:
    """Return how exchanges ask a tenant's identity agency; asking again harms nobody, so an enquiry asks again."""

    async def ask(raw: bytes) -> Said:
        question = msgspec.json.decode(raw, type=_Question)
        async with db.unit_of_work(tenant.tenant_id) as session:
            person = await _person(session, keys, question.member_id, _ACTOR, "verification")
            number = await _number_asked(session, keys, question, person) if person else ""
        if person is None or not number:
            return _said(question.reference, _Stated(state=VerificationState.REFUSED, code="erased"))
        asked = AssertedPerson(
            reference=str(question.reference),
            document=question.document,
            number=number,
            one_time_code=question.one_time_code,
        )
        if not question.one_time_code:
            # Without the holder's consent the agency only compares, letter by letter; with it, it tells and we compare.
            asked = msgspec.structs.replace(asked, full_name=person.full_name, born_on=person.born_on, sex=person.sex)
        try:
            answer = await agency.verify(asked)
        except NotProven as error:
            return _said(question.reference, _Stated(state=VerificationState.NOT_PROVEN, code=error.code))
        if answer.state is IdentityState.UNKNOWN or answer.reason in _PASSING:
            return Said(state=RequestState.CREATED, reason=answer.reason, code=answer.code)
        return _said(question.reference, await _stated(db, keys, tenant, question, answer))

    async def settle(session: AsyncSession, settled: Settled) -> None:
        stated = msgspec.json.decode(settled.answer.document, type=_Stated)
        await _settle(session, keys, tenant, settled.reference, stated)

    return Operation(ask=lambda raw, _url: ask(raw), enquire=lambda raw, _last, _url: ask(raw), settle=settle)


def sign_in_operation(sign_in: SignIn, tenant: Tenant, db: Database, keys: FileKeyStore) -> Operation:
    """Return how exchanges prove what members came back with; a code that an authority took before proves nothing more."""

    async def ask(raw: bytes) -> Said:
        question = msgspec.json.decode(raw, type=_Return)
        async with db.unit_of_work(tenant.tenant_id) as session:
            sealed = await verifications.sign_in_document(session, question.member_id, question.digest)
            opened = await identity.open_for(session, keys, question.member_id, SIGN_INS, question.digest, sealed)
        if opened is None:
            return _said(question.reference, _Stated(state=VerificationState.REFUSED, code="erased"))
        started = msgspec.json.decode(opened, type=SignInStarted)
        try:
            answer = await sign_in.finish(started, question.returned)
        except NotProven as error:
            return _said(question.reference, _Stated(state=VerificationState.NOT_PROVEN, code=error.code))
        if answer.state is IdentityState.UNKNOWN or answer.reason in _PASSING:
            return Said(state=RequestState.CREATED, reason=answer.reason, code=answer.code)
        return _said(question.reference, await _stated(db, keys, tenant, question, answer))

    async def settle(session: AsyncSession, settled: Settled) -> None:
        stated = msgspec.json.decode(settled.answer.document, type=_Stated)
        await _settle(session, keys, tenant, settled.reference, stated)

    return Operation(ask=lambda raw, _url: ask(raw), enquire=lambda raw, _last, _url: ask(raw), settle=settle)


async def _stated(
    db: Database, keys: FileKeyStore, tenant: Tenant, question: _Question | _Return, answer: IdentityAnswer
) -> _Stated:
    if answer.state in FINAL:
        return _Stated(state=FINAL[answer.state], code=answer.code)
    assert answer.person is not None, answer.state
    async with db.unit_of_work(tenant.tenant_id) as session:
        document = msgspec.json.encode(answer.person)
        sealed = await identity.seal_for(session, keys, question.member_id, VERIFIED, question.reference, document)
    if sealed is None:
        return _Stated(state=VerificationState.REFUSED, code="erased")
    return _Stated(state=VerificationState.VERIFIED, code=answer.code, sealed=base64.b64encode(sealed).decode())


def _said(reference: UUID, stated: _Stated) -> Said:
    document = msgspec.json.encode(stated).decode()
    if stated.state is VerificationState.VERIFIED:
        # An authority names no transaction of its own that would be one request's for ever: ours stands for it.
        return Said(state=RequestState.SUCCEEDED, provider_ref=str(reference), code=stated.code, document=document)
    return Said(state=RequestState.FAILED, reason=Reason.OTHER, code=stated.code, document=document)


# -- deciding


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was decided of a question, by which terms; `sealed` is what the authority stated, under the member's key."""

    row: VerificationRow
    judged: Judged
    code: str = ""
    terms: CheckTerms | None = None
    person: VerifiedPerson | None = None
    sealed: bytes | None = None
    reason: str = ""


async def _settle(session: AsyncSession, keys: FileKeyStore, tenant: Tenant, reference: UUID, stated: _Stated) -> None:
    """Decide by what an authority said, once."""
    row = await verifications.find_verification(session, reference, lock=True)
    assert row is not None, reference
    if row.state is not VerificationState.ASKED:
        return
    ours = await _person(session, keys, row.member_id, _ACTOR, "verification")
    outcome = Outcome(row, Judged(stated.state, None), stated.code)
    if stated.sealed and ours is not None:
        sealed = base64.b64decode(stated.sealed)
        opened = await identity.open_for(session, keys, row.member_id, VERIFIED, reference, sealed)
        assert opened is not None
        person = msgspec.json.decode(opened, type=VerifiedPerson)
        number = await _number_asked(session, keys, row, ours)
        members = await identity.members_by_id(session, [row.member_id])
        today = business_date(await ledger.scheme_now(session), tenant.time_zone)
        outcome = judged_outcome(tenant, row, members[row.member_id], ours, number, person, sealed, stated.code, today)
    elif stated.sealed:
        outcome = Outcome(row, Judged(VerificationState.REFUSED, None, "erased"), stated.code)
    await record_outcomes(session, keys, tenant, [outcome], actor=_ACTOR)


def judged_outcome(
    tenant: Tenant,
    row: VerificationRow,
    member: MemberRef,
    ours: Person,
    number: str,
    stated: VerifiedPerson,
    sealed: bytes,
    code: str,
    today: date,
) -> Outcome:
    """Return what follows from what an authority states of a member, by the terms of their product on a day."""
    terms = _terms(tenant, member, today, ours.born_on)
    names = terms.names.rule if terms.names else None
    judged = judge((ours.full_name,), ours.born_on, stated.names, stated.born_on, names)
    judged = judge_number(judged, number, stated.number_ending)
    return Outcome(row, judged, code, terms, stated, sealed)


async def decide_doubt(
    session: AsyncSession,
    keys: FileKeyStore,
    tenant: Tenant,
    reference: UUID,
    *,
    is_same_person: bool,
    reason: str,
    actor: str,
) -> Verification:
    """Decide, as a second person, whether whom the authority stated is the member; who asked does not decide.

    Raises:
        UnknownVerification: there is none of that reference, or its member was erased.
        NothingToDecide: it is decided, or not answered yet.
        SamePerson: who asked decides.
    """
    row = await verifications.find_verification(session, reference, lock=True)
    if row is None:
        raise UnknownVerification
    if row.state is not VerificationState.DOUBTFUL:
        raise NothingToDecide
    checked_by_other(maker=row.asked_by, checker=actor)
    state = VerificationState.VERIFIED if is_same_person else VerificationState.MISMATCH
    judged = Judged(state, row.score_bp, row.why)
    outcome = Outcome(row, judged, row.code, sealed=row.document, reason=reason)
    await record_outcomes(session, keys, tenant, [outcome], actor=actor)
    return await find_verification(session, keys, reference, actor=actor)


async def list_doubts(session: AsyncSession, keys: FileKeyStore, *, most: int, actor: str) -> list[Doubt]:
    """Return what people must look at, the oldest first; the reading of each person is noted."""
    rows = await verifications.doubtful(session, most)
    people = await identity.read_people(
        session, keys, [row.member_id for row in rows], actor=actor, reason="identity-doubt"
    )
    doubts = []
    for row in rows:
        found = people.get(row.member_id)
        if found is None or row.document is None:
            continue
        opened = await identity.open_for(session, keys, row.member_id, VERIFIED, row.reference, row.document)
        assert opened is not None
        stated = msgspec.json.decode(opened, type=VerifiedPerson)
        doubts.append(
            Doubt(
                reference=row.reference,
                member=found.member_number,
                document=row.document_kind,
                source=row.source,
                why=row.why,
                score_bp=row.score_bp,
                name=found.person.full_name,
                born_on=found.person.born_on,
                stated_names=stated.names,
                stated_born_on=stated.born_on,
                since=row.asked_at,
            )
        )
    return doubts


async def record_outcomes(
    session: AsyncSession, keys: FileKeyStore, tenant: Tenant, outcomes: Sequence[Outcome], *, actor: str
) -> None:
    """Post what was decided, store it, and let the members' levels follow; a few statements, however many."""
    now = await ledger.scheme_now(session)
    today = business_date(now, tenant.time_zone)
    actor_id = await ledger.actor_id(session, actor)
    decisions = {one.terms: 0 for one in outcomes}
    for terms in decisions:
        decisions[terms] = await ledger.decision_id(session, terms.trace()) if terms else 0
    facts = [
        (
            _kinds(one.person) if one.person else one.row.kinds,
            business_date(one.person.as_of, tenant.time_zone) if one.person else one.row.as_of,
        )
        for one in outcomes
    ]
    entries = [
        Entry(
            member_id=one.row.member_id,
            kind=_EVENTS.get(one.judged.state, EventKind.IDENTITY_NOT_VERIFIED),
            business_date=today,
            actor=actor_id,
            pack=tenant.pack_id,
            decision=decisions[one.terms],
            body=_body(one, kinds, as_of),
        )
        for one, (kinds, as_of) in zip(outcomes, facts, strict=True)
    ]
    fates = await ledger.post(session, entries)
    answered = [
        Answered(
            one.row,
            one.judged.state,
            fate.event_id,
            one.judged.state is not VerificationState.DOUBTFUL,
            one.judged.score_bp,
            one.judged.why,
            one.code[:80],
            kinds,
            as_of,
            one.sealed,
        )
        for one, fate, (kinds, as_of) in zip(outcomes, fates, facts, strict=True)
    ]
    await verifications.store_answers(session, answered, now)
    verified = [one.row.member_id for one in outcomes if one.judged.state is VerificationState.VERIFIED]
    await raise_levels(session, keys, tenant, verified, today)


_EVENTS = {
    VerificationState.VERIFIED: EventKind.IDENTITY_VERIFIED,
    VerificationState.DOUBTFUL: EventKind.IDENTITY_DOUBTED,
}


def _body(one: Outcome, kinds: Sequence[str], as_of: date | None) -> dict[str, object]:
    body: dict[str, object] = {
        "document": one.row.document_kind,
        "source": one.row.source,
        "state": one.judged.state.value,
        "attributes": list(kinds),
        "why": one.judged.why,
        "reason": one.reason,
        "as_of": as_of.isoformat() if as_of else "",
    }
    if one.judged.score_bp is not None:
        body["score_bp"] = one.judged.score_bp
    return {key: value for key, value in body.items() if value != ""}


async def raise_levels(
    session: AsyncSession, keys: FileKeyStore, tenant: Tenant, member_ids: Sequence[int], today: date
) -> None:
    """Give members the levels that documents which an authority confirmed reach, where those are higher than theirs."""
    if not member_ids:
        return
    confirmed = await verifications.confirmed(session, member_ids)
    people = await identity.read_people(session, keys, member_ids, actor=_ACTOR, reason="verification")
    higher = []
    for member_id, memberships in (await queries.memberships(session, member_ids)).items():
        born_on = people[member_id].person.born_on if member_id in people else None
        for membership in memberships:
            found = terms_of(tenant.pack, membership.product, today, born_on).levels
            if found is None:
                continue
            names = [one.level for one in found.rule.levels]
            try:
                reached = level_of(found, set(confirmed.get(member_id, ())), AGENCY)
            except LevelNotReached:
                continue
            if membership.level not in names or names.index(reached) > names.index(membership.level):
                higher.append((member_id, membership.product, reached))
    if higher:
        await verifications.raise_levels(session, higher)


# -- inside


async def _open(
    session: AsyncSession,
    verifiers: Verifiers,
    member_id: int,
    document: str,
    one_time_code: str,
    actor: str,
    reference: UUID | None = None,
) -> bool:
    reference = reference or uuid4()
    if not await verifications.open_verification(session, reference, member_id, document, AGENCY, actor):
        return False
    question = _Question(reference=reference, member_id=member_id, document=document, one_time_code=one_time_code)
    return await verifiers.exchanges.open(
        session,
        counterparty=AGENCY,
        operation=VERIFICATIONS,
        reference=reference,
        question=msgspec.json.encode(question),
    )


async def _number_asked(
    session: AsyncSession, keys: FileKeyStore, question: _Question | VerificationRow, person: Person
) -> str:
    """Return the number that a question is about: that of the change of its reference, else the one that the member holds."""
    document = question.document if isinstance(question, _Question) else question.document_kind
    change = await identifiers.find_change(session, question.reference)
    if change is not None and change.document is not None:
        opened = await identity.open_for(
            session, keys, question.member_id, NUMBER_CHANGES, change.change_id, change.document
        )
        return opened.decode() if opened is not None else ""
    return next((one.number for one in person.documents if one.document == document), "")


async def _person(session: AsyncSession, keys: FileKeyStore, member_id: int, actor: str, reason: str) -> Person | None:
    people = await identity.read_people(session, keys, [member_id], actor=actor, reason=reason)
    return people[member_id].person if member_id in people else None


def _terms(tenant: Tenant, member: MemberRef, today: date, born_on: date | None = None) -> CheckTerms:
    year = tenant.pack.product(member.product).scheme_year(today)[0]
    dates = Dates(on=today, joined_on=member.joined_on, born_on=born_on or today, scheme_year_from=year)
    return check_terms(tenant.pack.books[member.product], member.product, dates)


_ATTRIBUTES: Sequence[tuple[str, Callable[[VerifiedPerson], object]]] = (
    ("names", lambda one: one.names),
    ("born_on", lambda one: one.born_on),
    ("sex", lambda one: one.sex != "unstated"),
    ("phone", lambda one: one.phone),
    ("email", lambda one: one.email),
    ("address", lambda one: one.address),
)


def _kinds(person: VerifiedPerson) -> tuple[str, ...]:
    """Return which attributes an authority stated."""
    return tuple(name for name, of in _ATTRIBUTES if of(person))


def _shown(number: str, row: VerificationRow) -> Verification:
    return Verification(
        reference=row.reference,
        member=number,
        document=row.document_kind,
        source=row.source,
        state=row.state,
        why=row.why,
        score_bp=row.score_bp,
        attributes=row.kinds,
        as_of=row.as_of,
    )
