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
from engine.enrolment.queries.verifications import VerificationRow
from engine.enrolment.rules import CheckTerms, Judged, VerificationState, check_terms, judge, level_of, terms_of
from engine.enrolment.service.joining import find_member
from engine.identity import service as identity
from engine.identity.ports import (
    AssertedPerson,
    IdentityAgency,
    IdentityAnswer,
    IdentityState,
    NotProven,
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

_TABLE, _ACTOR = "verifications", "system:verifications"
_FINAL = {
    IdentityState.MISMATCH: VerificationState.MISMATCH,
    IdentityState.UNKNOWN_NUMBER: VerificationState.UNKNOWN_NUMBER,
    IdentityState.BLOCKED: VerificationState.BLOCKED,
    IdentityState.REFUSED: VerificationState.REFUSED,
}
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
    if answer.state in _FINAL:
        return _Stated(state=_FINAL[answer.state], code=answer.code)
    assert answer.person is not None, answer.state
    async with db.unit_of_work(tenant.tenant_id) as session:
        document = msgspec.json.encode(answer.person)
        sealed = await identity.seal_for(session, keys, question.member_id, _TABLE, question.reference, document)
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


async def _settle(session: AsyncSession, keys: FileKeyStore, tenant: Tenant, reference: UUID, stated: _Stated) -> None:
    """Decide by what an authority said, once."""
    row = await verifications.find_verification(session, reference, lock=True)
    assert row is not None, reference
    if row.state is not VerificationState.ASKED:
        return
    judged, person, sealed, terms = Judged(stated.state, None), None, None, None
    members = await identity.members_by_id(session, [row.member_id])
    ours = await _person(session, keys, row.member_id, _ACTOR, "verification")
    if stated.sealed and ours is not None:
        sealed = base64.b64decode(stated.sealed)
        opened = await identity.open_for(session, keys, row.member_id, _TABLE, reference, sealed)
        assert opened is not None
        person = msgspec.json.decode(opened, type=VerifiedPerson)
        today = business_date(await ledger.scheme_now(session), tenant.time_zone)
        terms = _terms(tenant, members[row.member_id], today, ours.born_on)
        names = terms.names.rule if terms.names else None
        judged = judge((ours.full_name,), ours.born_on, person.names, person.born_on, names)
    elif stated.sealed:
        judged = Judged(VerificationState.REFUSED, None, "erased")
    await _record(session, keys, tenant, row, judged, terms=terms, person=person, sealed=sealed, code=stated.code)


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
    await _record(
        session, keys, tenant, row, Judged(state, row.score_bp, row.why), sealed=row.document, code=row.code, actor=actor,
        reason=reason,
    )  # fmt: skip
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
        opened = await identity.open_for(session, keys, row.member_id, _TABLE, row.reference, row.document)
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


async def _record(
    session: AsyncSession,
    keys: FileKeyStore,
    tenant: Tenant,
    row: VerificationRow,
    judged: Judged,
    *,
    sealed: bytes | None,
    code: str,
    terms: CheckTerms | None = None,
    person: VerifiedPerson | None = None,
    actor: str = _ACTOR,
    reason: str = "",
) -> None:
    """Post what was decided, store it, and let the member's levels follow."""
    now = await ledger.scheme_now(session)
    today = business_date(now, tenant.time_zone)
    kinds = _kinds(person) if person else row.kinds
    as_of = business_date(person.as_of, tenant.time_zone) if person else row.as_of
    body: dict[str, object] = {
        "document": row.document_kind,
        "source": row.source,
        "state": judged.state.value,
        "attributes": list(kinds),
        "why": judged.why,
        "reason": reason,
        "as_of": as_of.isoformat() if as_of else "",
    }
    if judged.score_bp is not None:
        body["score_bp"] = judged.score_bp
    entry = Entry(
        member_id=row.member_id,
        kind=_EVENTS.get(judged.state, EventKind.IDENTITY_NOT_VERIFIED),
        business_date=today,
        actor=await ledger.actor_id(session, actor),
        pack=tenant.pack_id,
        decision=await ledger.decision_id(session, terms.trace()) if terms else 0,
        body={key: value for key, value in body.items() if value != ""},
    )
    (fate,) = await ledger.post(session, [entry])
    await verifications.store_answer(
        session,
        row,
        state=judged.state,
        event_id=fate.event_id,
        decided_at=None if judged.state is VerificationState.DOUBTFUL else now,
        score_bp=judged.score_bp,
        why=judged.why,
        code=code[:80],
        kinds=kinds,
        as_of=as_of,
        document=sealed,
    )
    if judged.state is VerificationState.VERIFIED:
        await raise_levels(session, keys, tenant, row.member_id, today)


_EVENTS = {
    VerificationState.VERIFIED: EventKind.IDENTITY_VERIFIED,
    VerificationState.DOUBTFUL: EventKind.IDENTITY_DOUBTED,
}


async def raise_levels(session: AsyncSession, keys: FileKeyStore, tenant: Tenant, member_id: int, today: date) -> None:
    """Give a member the levels that documents which the agency confirmed reach, where those are higher than theirs."""
    confirmed = await verifications.verified_kinds(session, member_id)
    person = await _person(session, keys, member_id, _ACTOR, "verification")
    higher = []
    for membership in (await queries.memberships(session, [member_id])).get(member_id, ()):
        found = terms_of(tenant.pack, membership.product, today, person.born_on if person else None).levels
        if found is None:
            continue
        names = [one.level for one in found.rule.levels]
        try:
            reached = level_of(found, confirmed, AGENCY)
        except LevelNotReached:
            continue
        if membership.level not in names or names.index(reached) > names.index(membership.level):
            higher.append((membership.product, reached))
    if higher:
        await verifications.raise_levels(session, member_id, higher)


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


async def _number_asked(session: AsyncSession, keys: FileKeyStore, question: _Question, person: Person) -> str:
    """Return the number that a question is about: that of the change of its reference, else the one that the member holds."""
    change = await identifiers.find_change(session, question.reference)
    if change is not None and change.document is not None:
        opened = await identity.open_for(
            session, keys, question.member_id, NUMBER_CHANGES, change.change_id, change.document
        )
        return opened.decode() if opened is not None else ""
    return next((one.number for one in person.documents if one.document == question.document), "")


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
