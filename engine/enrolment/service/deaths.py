"""Deaths that civil registers tell of: received once a record, matched to members, confirmed, and taken back by two.

A confirmed death suspends what is paid to the member (`suspended`) and is what a death claim begins with.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime

import msgspec
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncSession

from engine.access.rules import checked_by_other
from engine.enrolment.errors import NothingToDecide, UnknownDeath, UnknownMember
from engine.enrolment.queries import deaths
from engine.enrolment.queries.deaths import DeathDecided, DeathRow
from engine.enrolment.rules import (
    DeathState,
    DocumentRule,
    Judged,
    VerificationState,
    check_terms,
    judge_death,
    name_verdict,
    person_number,
)
from engine.enrolment.service.joining import find_member
from engine.enrolment.service.statuses import StatusWord, record_statuses
from engine.identity import service as identity
from engine.identity.ports import DeathNotice
from engine.identity.rules import CheckedNumber, VaultDocument
from engine.identity.rules.names import NameVerdict, best_score
from engine.kernel.clock import business_date
from engine.kernel.rules import Dates
from engine.ledger import service as ledger
from engine.ledger.rules import Entry, EventKind
from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore
from engine.runtime.sealing import seal, unseal
from engine.tenancy.service import Tenant

REPORT = "report"
"""The register of deaths that are told to the scheme itself, by whoever claims after them."""
LIFE, DECEASED, ALIVE = "life", "deceased", "alive"
"""The attribute, and its words, by which a member's death is recorded."""

_LOOKED_AT, _PROPOSED = 20, 5
"""Members whose names are compared with those of a notice without a number, and how many of them people are shown, at most."""

_INDEXED_AT_ONCE = 1_000
_TABLE, _ACTOR = "death_notices", "system:deaths"
_WAITING = (DeathState.UNMATCHED, DeathState.DOUBTFUL, DeathState.REVERSAL_PROPOSED)


class DeathCandidate(Struct, frozen=True, kw_only=True):
    """A member whom a notice without a number of ours may be of, by name and birth date; names alike in basis points."""

    member: str
    name: str
    born_on: date
    score_bp: int


class Death(Struct, frozen=True, kw_only=True):
    """A notice that a person must look at, beside the member that it may be of ("" where none was found).

    `candidates` are proposed where no number leads to anybody, the likeliest first; none of them is touched by it.
    """

    notice: int
    registry: str
    state: DeathState
    why: str
    score_bp: int | None
    died_on: date | None
    names: tuple[str, ...]
    born_on: date | None
    member: str
    member_name: str
    member_born_on: date | None
    since: datetime
    candidates: tuple[DeathCandidate, ...] = ()


async def receive_deaths(
    session: AsyncSession, keys: FileKeyStore, tenant: Tenant, notices: Sequence[DeathNotice]
) -> int:
    """Take notices, each (registry, record) once; match them, and confirm those that leave no doubt. Return how many are new.

    A record that its register took back is void; if it was confirmed, taking that back is proposed, and a person decides.
    """
    by_record = {(one.registry, one.record): one for one in sorted(notices, key=lambda one: one.is_void)}
    if not by_record:
        return 0
    rows = [
        (
            one.registry,
            one.record,
            one.died_on,
            (DeathState.VOID if one.is_void else DeathState.UNMATCHED).value,
            _sealed(keys, tenant, one),
        )
        for one in by_record.values()
    ]
    new = await deaths.add_notices(session, rows)
    fresh = {new[place]: one for place, one in by_record.items() if place in new and not one.is_void}
    await _match(session, keys, tenant, fresh)
    voided = [place for place, one in by_record.items() if one.is_void and place not in new]
    if voided:
        await _void(session, tenant, await deaths.lock_records(session, voided))
    return len(new)


async def suspended(session: AsyncSession, member_ids: Sequence[int]) -> set[int]:
    """Return those of the members to whom nothing may be paid: their death is confirmed, and not reversed."""
    return await deaths.suspended(session, member_ids) if member_ids else set()


class KnownDeath(Struct, frozen=True, kw_only=True):
    """A member's death that is confirmed: the day, where it is known, and whether somebody has proposed to take it back.

    `is_reported` says that no register has told of it: it was reported to the scheme.
    """

    died_on: date | None
    is_doubted: bool
    is_reported: bool


async def known_death(session: AsyncSession, member_id: int) -> KnownDeath | None:
    """Return a member's confirmed death; None while they live, as far as the scheme knows."""
    found = await deaths.confirmed(session, member_id, told_last=REPORT)
    if found is None:
        return None
    state, died_on, registry = found
    return KnownDeath(died_on=died_on, is_doubted=state is not DeathState.CONFIRMED, is_reported=registry == REPORT)


async def report_death(
    session: AsyncSession,
    keys: FileKeyStore,
    tenant: Tenant,
    member_id: int,
    *,
    died_on: date,
    record: str,
    actor: str,
    registry: str = REPORT,
) -> None:
    """Take a death that is reported to the scheme with documents: nothing more is paid to the member until it is taken back.

    Args:
        session: the tenant's.
        keys: seal the notice.
        tenant: whose member it is.
        member_id: who has died.
        died_on: as the documents say.
        record: what tells this report from others, once for ever.
        actor: who saw the documents.
        registry: who told of it.
    """
    notice = DeathNotice(registry=registry, record=record, identifiers={}, died_on=died_on)
    row = (registry, record, died_on, DeathState.UNMATCHED.value, _sealed(keys, tenant, notice))
    new = await deaths.add_notices(session, [row])
    notice_id = new.get((registry, record))
    if notice_id is not None:
        judged = Judged(VerificationState.VERIFIED, None, "reported")
        await _confirm(session, tenant, {notice_id: (registry, died_on, member_id, judged)}, actor=actor)


async def list_deaths(
    session: AsyncSession, keys: FileKeyStore, tenant: Tenant, *, most: int, actor: str
) -> list[Death]:
    """Return the notices that people must look at, the oldest first; the reading of each member is noted."""
    rows = await deaths.list_notices(session, _WAITING, most)
    unmatched = [row.notice_id for row in rows if row.state is DeathState.UNMATCHED]
    proposed = await deaths.candidates(session, unmatched) if unmatched else {}
    ids = {row.member_id for row in rows if row.member_id is not None}
    ids |= {member_id for many in proposed.values() for member_id, _ in many}
    people = await identity.read_people(session, keys, sorted(ids), actor=actor, reason="death-notice")
    return [_shown(row, _opened(keys, tenant, row), people, proposed.get(row.notice_id, ())) for row in rows]


async def decide_death(
    session: AsyncSession,
    keys: FileKeyStore,
    tenant: Tenant,
    notice_id: int,
    *,
    is_member: bool,
    reason: str,
    actor: str,
    number: str = "",
) -> DeathState:
    """Decide whether a death is of a member: of the one that it was matched to, or of the one whose `number` is given.

    Raises:
        UnknownDeath: there is no such notice.
        NothingToDecide: it is decided.
        UnknownMember: there is no member of that number, or none was given where none was found.
    """
    row = await _waiting(session, notice_id, DeathState.UNMATCHED, DeathState.DOUBTFUL)
    if not is_member:
        now = await ledger.scheme_now(session)
        decided = DeathDecided(notice_id, DeathState.NOT_OURS, score_bp=row.score_bp, why=reason, is_final=True)
        await deaths.store_decided(session, [decided], now)
        return decided.state
    member_id = (await find_member(session, keys, number)).member_id if number else row.member_id
    if member_id is None:
        raise UnknownMember
    judged = Judged(VerificationState.VERIFIED, row.score_bp, reason)
    await _confirm(session, tenant, {notice_id: (row.registry, row.died_on, member_id, judged)}, actor=actor)
    return DeathState.CONFIRMED


async def propose_reversal(
    session: AsyncSession, tenant: Tenant, notice_id: int, *, reason: str, actor: str
) -> DeathState:
    """Propose that a confirmed death is wrong; nothing changes until another person approves.

    Raises:
        UnknownDeath, NothingToDecide: see there.
    """
    row = await _waiting(session, notice_id, DeathState.CONFIRMED)
    await _propose(session, tenant, [row], reason=reason, actor=actor)
    return DeathState.REVERSAL_PROPOSED


async def approve_reversal(session: AsyncSession, tenant: Tenant, notice_id: int, *, actor: str) -> DeathState:
    """Take a confirmed death back, as a second person: the member lives, and may be paid, unless another record says otherwise.

    Raises:
        UnknownDeath, NothingToDecide: see there.
        SamePerson: who proposed it approves.
    """
    row = await _waiting(session, notice_id, DeathState.REVERSAL_PROPOSED)
    checked_by_other(maker=row.proposed_by, checker=actor)
    assert row.member_id is not None
    events = await _post(session, tenant, EventKind.DEATH_REVERSED, {notice_id: (row.member_id, {})}, actor=actor)
    now = await ledger.scheme_now(session)
    reversed_ = DeathDecided(
        notice_id,
        DeathState.REVERSED,
        row.member_id,
        events[notice_id],
        row.score_bp,
        row.why,
        row.proposed_by,
        is_final=True,
    )
    await deaths.store_decided(session, [reversed_], now)
    if not await suspended(session, [row.member_id]):
        await _say(session, tenant, ALIVE, [(notice_id, row.registry, row.died_on, row.member_id)], actor=actor)
    return DeathState.REVERSED


# -- inside


async def _match(session: AsyncSession, keys: FileKeyStore, tenant: Tenant, fresh: Mapping[int, DeathNotice]) -> None:
    """Match notices to members by every number in them, and confirm those that leave no doubt."""
    today = business_date(await ledger.scheme_now(session), tenant.time_zone)
    wanted = {notice_id: numbers_of(tenant, notice.identifiers, today) for notice_id, notice in fresh.items()}
    found = await identity.members_by_person(session, keys, [one for many in wanted.values() for one in many])
    matched = {notice_id: {found[one] for one in many if one in found} for notice_id, many in wanted.items()}
    ids = sorted({member_id for many in matched.values() for member_id in many})
    people = await identity.read_people(session, keys, ids, actor=_ACTOR, reason="death-notice")
    members = await identity.members_by_id(session, ids)
    sure: dict[int, tuple[str, date | None, int, Judged]] = {}
    doubtful = []
    for notice_id, candidates in matched.items():
        notice, known = fresh[notice_id], sorted(candidates & people.keys())
        if not known:
            continue
        member_id = known[0]
        person = people[member_id].person
        names = check_terms(
            tenant.pack.books[members[member_id].product],
            members[member_id].product,
            dates_of(tenant, members[member_id].product, today),
            "claim",
        ).names
        judged = judge_death(
            (person.full_name,), person.born_on, notice.names, notice.born_on, names.rule if names else None,
            died_on=notice.died_on, today=today,
        )  # fmt: skip
        if len(known) > 1:
            judged = Judged(VerificationState.DOUBTFUL, judged.score_bp, "several-members")
        if judged.state is VerificationState.VERIFIED:
            sure[notice_id] = (notice.registry, notice.died_on, member_id, judged)
        else:
            doubtful.append(
                DeathDecided(notice_id, DeathState.DOUBTFUL, member_id, score_bp=judged.score_bp, why=judged.why)
            )
    if doubtful:
        await deaths.store_decided(session, doubtful, await ledger.scheme_now(session))
    if sure:
        await _confirm(session, tenant, sure, actor=_ACTOR)
    await _propose_members(
        session, keys, tenant, {one: fresh[one] for one, found in matched.items() if not found}, today
    )


async def _propose_members(
    session: AsyncSession, keys: FileKeyStore, tenant: Tenant, unmatched: Mapping[int, DeathNotice], today: date
) -> None:
    """Keep for people whom notices may be of that no number leads from, by the index of names; nothing else follows from it."""
    found = []
    for notice_id, notice in unmatched.items():
        if notice.born_on is None:
            continue
        ids = await identity.members_sounding(session, keys, notice.names, notice.born_on, most=_LOOKED_AT)
        people = await identity.read_people(session, keys, ids, actor=_ACTOR, reason="death-notice")
        members = await identity.members_by_id(session, sorted(people))
        likely = []
        for member_id, one in people.items():
            product = members[member_id].product
            names = check_terms(tenant.pack.books[product], product, dates_of(tenant, product, today), "claim").names
            alike = best_score((one.person.full_name,), notice.names)
            if name_verdict(names.rule if names else None, alike) is not NameVerdict.REFUSE:
                likely.append((alike, member_id))
        found += [(notice_id, member_id, alike) for alike, member_id in sorted(likely, reverse=True)[:_PROPOSED]]
    if found:
        await deaths.add_candidates(session, found)


async def index_names(db: Database, keys: FileKeyStore, tenant: Tenant) -> int:
    """Put everybody who joined since into the index of names, by short transactions; return how many."""
    count, last = 0, _INDEXED_AT_ONCE
    while last == _INDEXED_AT_ONCE:
        async with db.unit_of_work(tenant.tenant_id) as session:
            last = await identity.index_names(session, keys, most=_INDEXED_AT_ONCE, actor=_ACTOR)
        count += last
    return count


def numbers_of(tenant: Tenant, identifiers: Mapping[str, str], today: date) -> list[tuple[str, CheckedNumber]]:
    """Return by which documents, in which products, whom a register's numbers name may be known."""
    kinds = {kind.casefold(): number for kind, number in identifiers.items()}
    found = []
    for product in tenant.pack.manifest.products:
        book, dates = tenant.pack.books[product.code], dates_of(tenant, product.code, today)
        documents = {one.rule.document: one.rule for one in book.all_in_force(DocumentRule, dates)}
        for check in check_terms(book, product.code, dates).checks:
            text, rule = kinds.get(check.rule.register_kind.casefold()), documents.get(check.rule.document)
            number = person_number(text, rule) if text and rule else None
            if number is not None:
                found.append((product.code, number))
    return found


async def _confirm(
    session: AsyncSession,
    tenant: Tenant,
    sure: Mapping[int, tuple[str, date | None, int, Judged]],
    *,
    actor: str,
) -> None:
    """Post deaths of (registry, day, member, judgement) by notice, and record them as the members' status."""
    now = await ledger.scheme_now(session)
    bodies = {
        notice_id: (
            member_id,
            {
                "died_on": died_on.isoformat() if died_on else "",
                "why": judged.why,
                **({"score_bp": judged.score_bp} if judged.score_bp is not None else {}),
            },
        )
        for notice_id, (_, died_on, member_id, judged) in sure.items()
    }
    events = await _post(session, tenant, EventKind.DEATH_CONFIRMED, bodies, actor=actor)
    decided = [
        DeathDecided(
            notice_id, DeathState.CONFIRMED, member_id, events[notice_id], judged.score_bp, judged.why, is_final=True
        )
        for notice_id, (_, _, member_id, judged) in sure.items()
    ]
    await deaths.store_decided(session, decided, now)
    said = [(notice_id, registry, died_on, member_id) for notice_id, (registry, died_on, member_id, _) in sure.items()]
    await _say(session, tenant, DECEASED, said, actor=actor)


async def _void(session: AsyncSession, tenant: Tenant, rows: Sequence[DeathRow]) -> None:
    now = await ledger.scheme_now(session)
    early = [row for row in rows if row.state in (DeathState.UNMATCHED, DeathState.DOUBTFUL)]
    if early:
        void = [
            DeathDecided(
                row.notice_id, DeathState.VOID, row.member_id, score_bp=row.score_bp, why=row.why, is_final=True
            )
            for row in early
        ]
        await deaths.store_decided(session, void, now)
    for row in rows:
        if row.state is DeathState.CONFIRMED:
            await _propose(session, tenant, [row], reason="taken-back", actor=f"registry:{row.registry}")


async def _propose(session: AsyncSession, tenant: Tenant, rows: Sequence[DeathRow], *, reason: str, actor: str) -> None:
    bodies = {row.notice_id: (row.member_id, {"why": reason}) for row in rows if row.member_id is not None}
    events = await _post(session, tenant, EventKind.DEATH_REVERSAL_PROPOSED, bodies, actor=actor)
    proposed = [
        DeathDecided(
            row.notice_id,
            DeathState.REVERSAL_PROPOSED,
            row.member_id,
            events[row.notice_id],
            row.score_bp,
            reason,
            actor,
        )
        for row in rows
    ]
    await deaths.store_decided(session, proposed, await ledger.scheme_now(session))


async def _post(
    session: AsyncSession,
    tenant: Tenant,
    kind: EventKind,
    bodies: Mapping[int, tuple[int, Mapping[str, object]]],
    *,
    actor: str,
) -> dict[int, int]:
    """Post an event of (member, body) for each notice; return the events."""
    today = business_date(await ledger.scheme_now(session), tenant.time_zone)
    actor_id = await ledger.actor_id(session, actor)
    entries = [
        Entry(
            member_id=member_id,
            kind=kind,
            business_date=today,
            actor=actor_id,
            pack=tenant.pack_id,
            body={"notice": str(notice_id), **{key: value for key, value in body.items() if value != ""}},
        )
        for notice_id, (member_id, body) in bodies.items()
    ]
    fates = await ledger.post(session, entries)
    return {notice_id: fate.event_id for notice_id, fate in zip(bodies, fates, strict=True)}


async def _say(
    session: AsyncSession,
    tenant: Tenant,
    word: str,
    of: Sequence[tuple[int, str, date | None, int]],
    *,
    actor: str,
) -> None:
    """Record whether members live, as of the day of death; the notice is part of the source, so each is a word of its own."""
    today = business_date(await ledger.scheme_now(session), tenant.time_zone)
    words = [
        StatusWord(member_id, LIFE, word, f"{registry}/{notice_id}", died_on or today)
        for notice_id, registry, died_on, member_id in of
    ]
    await record_statuses(session, tenant, words, actor=actor)


async def _waiting(session: AsyncSession, notice_id: int, *states: DeathState) -> DeathRow:
    row = await deaths.lock_notice(session, notice_id)
    if row is None:
        raise UnknownDeath
    if row.state not in states:
        raise NothingToDecide
    return row


def dates_of(tenant: Tenant, product: str, today: date) -> Dates:
    """Return the dates by which a product's rules about registers are picked: those of the day."""
    year = tenant.pack.product(product).scheme_year(today)[0]
    return Dates(on=today, joined_on=today, born_on=today, scheme_year_from=year)


def _place(registry: str, record: str) -> str:
    return f"{registry}/{record}"


def _sealed(keys: FileKeyStore, tenant: Tenant, notice: DeathNotice) -> bytes:
    place = _place(notice.registry, notice.record)
    return seal(keys, tenant.tenant_id, _TABLE, place, msgspec.json.encode(notice))


def _opened(keys: FileKeyStore, tenant: Tenant, row: DeathRow) -> DeathNotice:
    if not row.document:  # the member was erased
        return DeathNotice(registry=row.registry, record=row.record, identifiers={}, died_on=row.died_on)
    raw = unseal(keys, tenant.tenant_id, _TABLE, _place(row.registry, row.record), row.document)
    return msgspec.json.decode(raw, type=DeathNotice)


def _shown(
    row: DeathRow, notice: DeathNotice, people: Mapping[int, VaultDocument], proposed: Sequence[tuple[int, int]]
) -> Death:
    found = people.get(row.member_id) if row.member_id is not None else None
    return Death(
        notice=row.notice_id,
        registry=row.registry,
        state=row.state,
        why=row.why,
        score_bp=row.score_bp,
        died_on=row.died_on,
        names=notice.names,
        born_on=notice.born_on,
        member=found.member_number if found else "",
        member_name=found.person.full_name if found else "",
        member_born_on=found.person.born_on if found else None,
        since=row.received_at,
        candidates=tuple(
            DeathCandidate(
                member=people[member_id].member_number,
                name=people[member_id].person.full_name,
                born_on=people[member_id].person.born_on,
                score_bp=score_bp,
            )
            for member_id, score_bp in proposed
            if member_id in people
        ),
    )
