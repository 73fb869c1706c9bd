"""Numbers of identity documents over time: changed by two people, checked where somebody else is known by them, held from a day on.

Who is known by a number (`identity.members_by_index`) stays so when it is replaced: whoever shows it later is somebody else
only once people have found that. Money that came before a change is applied stays where it is.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import replace as dataclass_replace
from datetime import date, datetime
from uuid import UUID, uuid4

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncSession

from engine.access.rules import checked_by_other
from engine.enrolment.errors import (
    NothingToDecide,
    NumberChangeDiffers,
    NumberChangeOpen,
    NumberFromUnusable,
    NumberHeldAlready,
    NumberNotVerified,
    UnknownMember,
    UnknownNumberChange,
)
from engine.enrolment.queries import identifiers as queries
from engine.enrolment.queries import verifications
from engine.enrolment.queries.identifiers import HeldRow, NumberChangeRow
from engine.enrolment.rules import (
    DocumentGiven,
    DocumentRule,
    VerificationState,
    check_documents,
    known_as,
    read_document,
)
from engine.enrolment.rules.identifiers import OPEN_CHANGES, NumberAct, NumberChangeState, check_from
from engine.enrolment.service.deaths import dates_of
from engine.enrolment.service.joining import find_member
from engine.enrolment.service.verifying import NUMBER_CHANGES, Verifiers, ask_about_number, raise_levels
from engine.identity import service as identity
from engine.identity.rules import EarlierDocument, IdentityDocument, MemberRef, VaultDocument
from engine.identity.rules.names import best_score
from engine.kernel.clock import business_date
from engine.ledger import service as ledger
from engine.ledger.rules import Entry, EventKind
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant

SAME, OTHER = "same-person", "other-person"
PEOPLE, JOINING = "people", "joining"
"""Who verified a number, where no authority did: two people who saw the document; whoever took the member in."""

_LOOKED = frozenset({VerificationState.REFUSED, VerificationState.NOT_PROVEN})
"""States of a check in which the agency did not look, so that people may."""


class NumberChange(Struct, frozen=True, kw_only=True):
    """A change of a document's number, without the number: `other` is the number of the member who is known by it already.

    `check` is where the agency's check of the number stands, None where it was not asked.
    """

    change: UUID
    member: str
    document: str
    act: NumberAct
    from_on: date
    state: NumberChangeState
    digest: str
    other: str = ""
    finding: str = ""
    reason: str = ""
    check: VerificationState | None = None


class NumberChangeSeen(Struct, frozen=True, kw_only=True):
    """What a person must look at: the change, the number ("" where one ends), and whom it is about; names in basis points."""

    change: NumberChange
    number: str
    name: str
    born_on: date
    other_name: str
    other_born_on: date | None
    score_bp: int | None
    since: datetime


class NumberHeld(Struct, frozen=True, kw_only=True):
    """That a member held a number of a kind, without the number: up to and without `to_on`, and by whom it was verified."""

    document: str
    from_on: date
    to_on: date | None
    verified_by: str
    as_of: date | None


@dataclass(frozen=True, slots=True)
class _Case:
    """A change in hand: its row, the member as the vault knows them, and the indexes of the numbers, old and new."""

    row: NumberChangeRow
    member: MemberRef
    known: VaultDocument
    text: str
    old: frozenset[UUID]
    new: frozenset[UUID]
    own: frozenset[UUID]
    today: date
    now: datetime


async def propose_number(
    session: AsyncSession,
    keys: FileKeyStore,
    tenant: Tenant,
    verifiers: Verifiers,
    *,
    number: str,
    document: DocumentGiven,
    from_on: date | None,
    reason: str,
    actor: str,
) -> NumberChange:
    """Propose that a member holds another number of a kind of document from a day on, or, where it is empty, none any more.

    Nothing changes until another person approves. Where the agency is asked about such documents it is asked about the new
    number first. Where somebody else is known by it, people find first whether the two are one.

    Args:
        session: one tenant's transaction.
        keys: where the tenant's keys are.
        tenant: the scheme.
        verifiers: the authorities that are joined.
        number: the member's.
        document: the kind and the new number, with its expiry where the scheme asks for it.
        from_on: the first day of the change; None is the scheme's day.
        reason: a short code.
        actor: who proposes.

    Raises:
        UnknownMember: the tenant has none of that number, or they were erased.
        DocumentNotAccepted, DocumentExpired, DocumentMalformed, CheckDigitWrong, DocumentContradicts: the new number is refused.
        NumberHeldAlready, NumberFromUnusable, NumberChangeOpen: see there.
    """
    now = await ledger.scheme_now(session)
    today = business_date(now, tenant.time_zone)
    ref = await find_member(session, keys, number)
    await identity.hold_members(session, [ref.member_id])
    member, known = await _member(session, keys, ref.member_id, actor)
    present = _present(known, document.document)
    text = ""
    if document.number:
        dates = dates_of(tenant, ref.product, today)
        rules = tenant.pack.books[ref.product].all_in_force(DocumentRule, dates)
        text = read_document(document, rules, on=today, field="document").number.number
        read = read_document(document, rules, on=today, field="document").number
        check_documents([read], rules=[one.rule for one in rules], born_on=known.person.born_on, sex=known.person.sex)
    if text == (present.number if present else ""):
        raise NumberHeldAlready(field="document.number")
    act = NumberAct.ENDED if not text else NumberAct.REPLACED if present else NumberAct.ADDED
    change_id, begins = uuid4(), from_on or today
    row = NumberChangeRow(
        change_id, ref.member_id, 0, NumberChangeState.PROPOSED, act, document.document, begins, "", reason, actor, "", "",
        now, await identity.seal_for(session, keys, ref.member_id, NUMBER_CHANGES, change_id, text.encode()),
    )  # fmt: skip
    case = await _case(session, keys, tenant, row, member, known, text, now)
    check_from(begins, today=today, held_since=await _held_since(session, member, case.old) if present else None)
    others = await _others(session, case)
    if others:
        row = dataclass_replace(row, state=NumberChangeState.CONTESTED, other_member=min(others))
    row = dataclass_replace(row, digest=_digest(row, case))
    body = {"document": row.document_kind, "act": act.value, "from": begins.isoformat(), "reason": reason}
    event_id = await _post(session, tenant, case, EventKind.NUMBER_CHANGE_PROPOSED, body, actor)
    if not await queries.add_change(session, row, event_id):
        raise NumberChangeOpen
    if text:
        await ask_about_number(session, tenant, verifiers, member, change_id, document.document, today, actor=actor)
    return await _shown(session, keys, row, actor)


async def find_same_person(
    session: AsyncSession,
    keys: FileKeyStore,
    tenant: Tenant,
    change_id: UUID,
    *,
    is_same_person: bool,
    reason: str,
    actor: str,
) -> NumberChange:
    """Say whether two members who are known by one number are one person; nothing changes until somebody else approves.

    Raises:
        UnknownNumberChange: there is none, or its member was erased.
        NothingToDecide: nobody else is known by the number, or it was decided.
    """
    case = await _waiting(session, keys, tenant, change_id, actor, NumberChangeState.CONTESTED, NumberChangeState.FOUND)
    finding = SAME if is_same_person else OTHER
    found = dataclass_replace(case.row, state=NumberChangeState.FOUND, finding=finding, finder=actor, reason=reason)
    found = dataclass_replace(found, digest=_digest(found, case))
    body = {"change": str(change_id), "finding": finding, "reason": reason}
    await _post(session, tenant, case, EventKind.NUMBER_CHANGE_FOUND, body, actor)
    await queries.store_finding(session, change_id, finding=finding, finder=actor, reason=reason, digest=found.digest)
    return await _shown(session, keys, found, actor)


async def approve_number(
    session: AsyncSession, keys: FileKeyStore, tenant: Tenant, change_id: UUID, *, digest: str, actor: str
) -> NumberChange:
    """Approve a change, or what was found, as another person who has seen exactly that: the number moves with its day.

    Two who are one person stay two members: that is on record, for whoever merges them. Where somebody else has become known
    by the number meanwhile, nothing moves and the change is contested.

    Raises:
        UnknownNumberChange: there is none, or its member was erased.
        NothingToDecide: it is decided, or nobody has found yet whose the number is.
        NumberChangeDiffers: it is not as it was seen.
        SamePerson: who proposed it, or found whose the number is, approves.
        NumberNotVerified: the agency has not confirmed the number.
        NumberFromUnusable: the other member held the number for other days.
    """
    case = await _waiting(session, keys, tenant, change_id, actor, NumberChangeState.PROPOSED, NumberChangeState.FOUND)
    row = case.row
    if digest != row.digest:
        raise NumberChangeDiffers
    checked_by_other(maker=row.maker, checker=actor)
    checked_by_other(maker=row.finder, checker=actor)
    if row.finding == SAME:
        body = {"change": str(change_id), "document": row.document_kind, "other": str(row.other_member)}
        event_id = await _post(session, tenant, case, EventKind.SAME_PERSON_FOUND, body, actor)
        return await _decided(session, keys, case, NumberChangeState.SAME_PERSON, event_id, actor)
    unseen = await _others(session, case) - ({row.other_member} if row.finding else set())
    if unseen:
        contested = dataclass_replace(
            row, state=NumberChangeState.CONTESTED, other_member=min(unseen), finding="", finder=""
        )
        contested = dataclass_replace(contested, digest=_digest(contested, case))
        await queries.store_contested(session, change_id, contested.other_member, contested.digest)
        return await _shown(session, keys, contested, actor)
    verified_by, as_of = await _verified(session, row)
    if row.finding:
        await _take_from(session, keys, tenant, case, actor)
    event_id = await _apply(session, keys, tenant, case, verified_by, as_of, actor)
    shown = await _decided(session, keys, case, NumberChangeState.APPLIED, event_id, actor)
    await raise_levels(session, keys, tenant, [row.member_id], case.today)
    return shown


async def reject_number(
    session: AsyncSession, keys: FileKeyStore, tenant: Tenant, change_id: UUID, *, reason: str, actor: str
) -> NumberChange:
    """Let a change not happen; whoever proposed it may take it back too.

    Raises:
        UnknownNumberChange, NothingToDecide: see there.
    """
    case = await _waiting(session, keys, tenant, change_id, actor, *OPEN_CHANGES)
    body = {"change": str(change_id), "document": case.row.document_kind, "reason": reason}
    event_id = await _post(session, tenant, case, EventKind.NUMBER_CHANGE_REJECTED, body, actor)
    return await _decided(session, keys, case, NumberChangeState.REJECTED, event_id, actor)


async def list_number_changes(
    session: AsyncSession, keys: FileKeyStore, *, most: int, actor: str
) -> list[NumberChangeSeen]:
    """Return the changes that wait for people, the oldest first; the reading of each person is noted."""
    rows = await queries.open_changes(session, most)
    ids = {row.member_id for row in rows} | {row.other_member for row in rows if row.other_member}
    people = await identity.read_people(session, keys, sorted(ids), actor=actor, reason="number-change")
    seen = []
    for row in rows:
        known, other = people.get(row.member_id), people.get(row.other_member)
        if known is None or row.document is None:
            continue
        opened = await identity.open_for(session, keys, row.member_id, NUMBER_CHANGES, row.change_id, row.document)
        assert opened is not None
        seen.append(
            NumberChangeSeen(
                change=await _as_shown(session, row, people),
                number=opened.decode(),
                name=known.person.full_name,
                born_on=known.person.born_on,
                other_name=other.person.full_name if other else "",
                other_born_on=other.person.born_on if other else None,
                score_bp=best_score((known.person.full_name,), (other.person.full_name,)) if other else None,
                since=row.asked_at,
            )
        )
    return seen


async def numbers_held(session: AsyncSession, keys: FileKeyStore, number: str, *, actor: str) -> list[NumberHeld]:
    """Return which numbers a member holds and held, without the numbers: what they hold since they joined stands last.

    Raises:
        UnknownMember: the tenant has none of that number, or they were erased.
    """
    ref = await find_member(session, keys, number)
    member, known = await _member(session, keys, ref.member_id, actor)
    rows = await queries.held_by(session, ref.member_id)
    held = {
        (row.document_kind, row.from_on, row.to_on): NumberHeld(
            document=row.document_kind,
            from_on=row.from_on,
            to_on=row.to_on,
            verified_by=row.verified_by,
            as_of=row.as_of,
        )
        for row in rows
    }
    changed = {row.document_kind for row in rows if row.to_on is None}
    confirmed = (await verifications.confirmed(session, [ref.member_id])).get(ref.member_id, {})
    for one in known.person.documents:
        if one.document not in changed:
            source, as_of = confirmed.get(one.document, (JOINING, None))
            held[one.document, member.joined_on, None] = NumberHeld(
                document=one.document, from_on=member.joined_on, to_on=None, verified_by=source, as_of=as_of
            )
    return list(held.values())


# -- inside


async def _member(
    session: AsyncSession, keys: FileKeyStore, member_id: int, actor: str
) -> tuple[MemberRef, VaultDocument]:
    """Return a member as they stand in the product they were enrolled in, and what the vault keeps of them."""
    people = await identity.read_people(session, keys, [member_id], actor=actor, reason="number-change")
    if member_id not in people:
        raise UnknownMember
    return (await identity.members_by_id(session, [member_id]))[member_id], people[member_id]


async def _waiting(
    session: AsyncSession, keys: FileKeyStore, tenant: Tenant, change_id: UUID, actor: str, *states: NumberChangeState
) -> _Case:
    """Hold a change and the members that it is about, in one order for all, and return it."""
    row = await queries.find_change(session, change_id)
    if row is None:
        raise UnknownNumberChange
    await identity.hold_members(session, [one for one in (row.member_id, row.other_member) if one])
    row = await queries.find_change(session, change_id, lock=True)
    assert row is not None
    if row.state not in states:
        raise NothingToDecide
    try:
        member, known = await _member(session, keys, row.member_id, actor)
    except UnknownMember:
        raise UnknownNumberChange from None
    assert row.document is not None
    opened = await identity.open_for(session, keys, row.member_id, NUMBER_CHANGES, change_id, row.document)
    assert opened is not None
    return await _case(session, keys, tenant, row, member, known, opened.decode(), await ledger.scheme_now(session))


async def _case(
    session: AsyncSession,
    keys: FileKeyStore,
    tenant: Tenant,
    row: NumberChangeRow,
    member: MemberRef,
    known: VaultDocument,
    text: str,
    now: datetime,
) -> _Case:
    today = business_date(now, tenant.time_zone)
    present = _present(known, row.document_kind)
    before = _indexes(session, keys, tenant, row.document_kind, present.number, today) if present else {}
    known_by = await identity.members_by_index(session, before.values())
    mine = {product: index for product, index in before.items() if known_by.get(index) == member.member_id}
    after = _indexes(session, keys, tenant, row.document_kind, text, today) if text else {}
    products = set(mine) or {member.product}
    own = frozenset(index for product, index in after.items() if product in products)
    return _Case(row, member, known, text, frozenset(mine.values()), frozenset(after.values()), own, today, now)


def _indexes(
    session: AsyncSession, keys: FileKeyStore, tenant: Tenant, document: str, text: str, today: date
) -> dict[str, UUID]:
    """Return by which index a number's holder is known in each product that takes such documents."""
    wanted = {}
    for product in tenant.pack.manifest.products:
        for one in tenant.pack.books[product.code].all_in_force(DocumentRule, dates_of(tenant, product.code, today)):
            number = known_as(text, one.rule) if one.rule.document == document else None
            if number is not None:
                wanted[product.code] = (product.code, number)
    found = identity.document_indexes(session, keys, wanted.values())
    return {product: found[one] for product, one in wanted.items()}


def _present(known: VaultDocument, document: str) -> IdentityDocument | None:
    return next((one for one in known.person.documents if one.document == document), None)


async def _others(session: AsyncSession, case: _Case) -> set[int]:
    """Return who else is known by the new number, in whatever product."""
    known_by = await identity.members_by_index(session, case.new)
    return set(known_by.values()) - {case.member.member_id}


async def _held_since(session: AsyncSession, member: MemberRef, indexes: Iterable[UUID]) -> date:
    """Return since when a member holds a number: by its period, else since they joined."""
    periods = await queries.periods(session, list(indexes))
    began = [
        one.from_on
        for many in periods.values()
        for one in many
        if one.member_id == member.member_id and one.to_on is None
    ]
    return max(began, default=member.joined_on)


async def _verified(session: AsyncSession, row: NumberChangeRow) -> tuple[str, date | None]:
    """Return who verified the new number, as of when: the agency where it was asked, else the people who approve."""
    check = await verifications.find_verification(session, row.change_id)
    if check is None or check.state in _LOOKED:
        return PEOPLE, None
    if check.state is not VerificationState.VERIFIED:
        raise NumberNotVerified(state=check.state.value)
    return check.source, check.as_of


async def _take_from(session: AsyncSession, keys: FileKeyStore, tenant: Tenant, case: _Case, actor: str) -> None:
    """End what another member holds of the number on the day it moves; they keep its history, and are not known by it."""
    row = case.row
    known_by = await identity.members_by_index(session, case.new)
    theirs = sorted(index for index, member_id in known_by.items() if member_id == row.other_member)
    if not theirs:
        return
    other = (await identity.members_by_id(session, [row.other_member]))[row.other_member]
    periods = await queries.periods(session, theirs)
    last = [one for many in periods.values() for one in many if one.member_id == row.other_member]
    still = [one for one in last if one.to_on is None]
    ended = max((one.to_on for one in last if one.to_on is not None), default=None)
    if still or not last:
        check_from(
            row.from_on, today=case.today, held_since=max((one.from_on for one in still), default=other.joined_on)
        )
        people = await identity.read_people(session, keys, [row.other_member], actor=actor, reason="number-change")
        if row.other_member in people:
            await identity.change_person(
                session, keys, row.other_member, lambda known: _without(known, row.document_kind, row.from_on)
            )
        entry = Entry(
            member_id=row.other_member,
            kind=EventKind.NUMBER_ENDED,
            business_date=case.today,
            actor=await ledger.actor_id(session, actor),
            pack=tenant.pack_id,
            body={"document": row.document_kind, "change": str(row.change_id), "to": row.from_on.isoformat()},
        )
        (fate,) = await ledger.post(session, [entry])
        await _end(session, other, row.document_kind, theirs, row.from_on, fate.event_id)
    elif ended is not None and row.from_on < ended:
        raise NumberFromUnusable(field="from_on", after=ended.isoformat(), until=case.today.isoformat())
    await identity.give_up_indexes(session, theirs)


async def _apply(
    session: AsyncSession,
    keys: FileKeyStore,
    tenant: Tenant,
    case: _Case,
    verified_by: str,
    as_of: date | None,
    actor: str,
) -> int:
    """Let the member hold the number from its day on, and the one that it replaces no more; return the event."""
    row = case.row
    body = {
        "document": row.document_kind, "change": str(row.change_id), "act": row.act.value, "from": row.from_on.isoformat(),
        **({"verified_by": verified_by} if case.text else {}), **({"as_of": as_of.isoformat()} if as_of else {}),
    }  # fmt: skip
    kind = EventKind.NUMBER_CHANGED if case.text else EventKind.NUMBER_ENDED
    event_id = await _post(session, tenant, case, kind, body, actor)
    gone, come = sorted(case.old - case.own), sorted(case.own - case.old)
    if gone:
        await _end(session, case.member, row.document_kind, gone, row.from_on, event_id)
    if not case.text:
        await identity.give_up_indexes(session, gone)
    for index in come:
        if not await identity.take_index(session, row.member_id, index):
            raise NumberChangeDiffers  # somebody joined by it this moment
    if come:
        held = [
            HeldRow(row.member_id, index, row.document_kind, row.from_on, None, verified_by, as_of) for index in come
        ]
        await queries.begin(session, held, event_id)
    await identity.change_person(
        session,
        keys,
        row.member_id,
        lambda known: _with(_without(known, row.document_kind, row.from_on), row, case.text),
    )
    return event_id


async def _end(
    session: AsyncSession, member: MemberRef, document: str, indexes: Sequence[UUID], to_on: date, event_id: int
) -> None:
    """End numbers that a member holds; those held since they joined get their row now."""
    ended = await queries.end(session, member.member_id, indexes, to_on)
    since_joining = [
        HeldRow(member.member_id, index, document, member.joined_on, to_on, JOINING, None)
        for index in indexes
        if index not in ended
    ]
    if since_joining:
        await queries.begin(session, since_joining, event_id)


def _without(known: VaultDocument, document: str, to_on: date) -> VaultDocument:
    """Return what the vault keeps once a member's document of a kind is one of earlier days."""
    present = _present(known, document)
    if present is None:
        return known
    earlier = [one for one in known.earlier_documents if one.document == document]
    since = max((one.to_on for one in earlier), default=None)
    ended = EarlierDocument(document=document, number=present.number, to_on=to_on, from_on=since)
    person = replace(known.person, documents=tuple(one for one in known.person.documents if one != present))
    return replace(known, person=person, earlier_documents=(*known.earlier_documents, ended))


def _with(known: VaultDocument, row: NumberChangeRow, text: str) -> VaultDocument:
    if not text:
        return known
    documents = (*known.person.documents, IdentityDocument(row.document_kind, text))
    return replace(known, person=replace(known.person, documents=documents))


async def _decided(
    session: AsyncSession, keys: FileKeyStore, case: _Case, state: NumberChangeState, event_id: int, actor: str
) -> NumberChange:
    await queries.store_decided(session, case.row.change_id, state, event_id=event_id, checker=actor, now=case.now)
    return await _shown(session, keys, dataclass_replace(case.row, state=state), actor)


async def _post(
    session: AsyncSession, tenant: Tenant, case: _Case, kind: EventKind, body: Mapping[str, object], actor: str
) -> int:
    entry = Entry(
        member_id=case.member.member_id,
        kind=kind,
        business_date=case.today,
        actor=await ledger.actor_id(session, actor),
        pack=tenant.pack_id,
        body=body,
    )
    (fate,) = await ledger.post(session, [entry])
    return fate.event_id


def _digest(row: NumberChangeRow, case: _Case) -> str:
    """Return what stands for all that is approved: whose number of which kind changes from which day, and what was found."""
    approved = (
        str(row.change_id), str(row.member_id), str(row.other_member), row.act.value, row.document_kind,
        row.from_on.isoformat(), row.finding, sorted(map(str, case.new)),
    )  # fmt: skip
    return hashlib.sha256(msgspec.json.encode(approved)).hexdigest()


async def _shown(session: AsyncSession, keys: FileKeyStore, row: NumberChangeRow, actor: str) -> NumberChange:
    ids = [one for one in (row.member_id, row.other_member) if one]
    people = await identity.read_people(session, keys, ids, actor=actor, reason="number-change")
    return await _as_shown(session, row, people)


async def _as_shown(session: AsyncSession, row: NumberChangeRow, people: Mapping[int, VaultDocument]) -> NumberChange:
    check = await verifications.find_verification(session, row.change_id)
    other = people.get(row.other_member)
    return NumberChange(
        change=row.change_id,
        member=people[row.member_id].member_number,
        document=row.document_kind,
        act=row.act,
        from_on=row.from_on,
        state=row.state,
        digest=row.digest,
        other=other.member_number if other else "",
        finding=row.finding,
        reason=row.reason,
        check=check.state if check else None,
    )
