"""Files that leave and files that come: each once, kept before anything is done with it, whatever stops where."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Protocol
from uuid import uuid4

import msgspec
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncSession

from engine.kernel.clock import business_date
from engine.kernel.file_drops import FileDrop, NameTaken, take_in
from engine.kernel.files import NamedFile, Sequence
from engine.kernel.ids import house_member
from engine.kernel.outcomes import Answer, Reason, RequestState
from engine.ledger import service as ledger
from engine.ledger.rules import Entry, EventKind
from engine.places import queries
from engine.places.queries import IncomingFile, MissingFile, OutgoingFile
from engine.runtime import quarantine
from engine.runtime.database import Database, retry_transaction
from engine.runtime.exchanges.engine import Exchanges, Operation, Settled
from engine.runtime.logging import get_logger
from engine.runtime.sealing import seal, unseal
from engine.runtime.secrets import KeyStore
from engine.tenancy.service import Tenant

FILES = "files"
"""The operation of exchanges that leave files."""

ATTEMPTS_MAX = 5
"""Under how many names a file is tried to be left; then people look at who takes its names."""

REASON_MAX = 500
"""How many characters of why a file was refused are kept."""

READING = "places.read_files"
"""The work that reads a file that is kept, by its number; what it fails on is put aside for `OWNER`."""

FETCHING = "places.fetch_files"
"""The work that fetches a file, by place and name; one that is not as it was agreed is put aside for `OWNER`, and stays there."""

OWNER = "operator"

_ACTOR = "system:files"
_TABLE = "incoming_files"
_log = get_logger(__name__)

__all__ = [
    "FILES",
    "Delivers",
    "IncomingFile",
    "Leaving",
    "MissingFile",
    "OutgoingFile",
    "Place",
    "Taken",
    "answered",
    "file_operation",
    "list_incoming",
    "list_missing",
    "list_outgoing",
    "stage",
    "take_files",
]


class Delivers(Protocol):
    """Leaves files in a place, once each."""

    async def deliver(self, file: NamedFile) -> bool:
        """Leave a file; return False if it was left before; raises as a staged drop's `hand_over`."""
        ...


@dataclass(frozen=True, slots=True)
class Place:
    """Where files change hands with a counterparty, by its name in the secrets file; what was made before `since` left otherwise."""

    name: str
    drop: FileDrop
    since: date


@dataclass(frozen=True, slots=True)
class Leaving:
    """A file that is to leave: what it is of, in the words of its kind, and its name and bytes."""

    kind: str
    about: str
    file: NamedFile


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a file that came: what it was, and why it was refused, "" where it was taken in.

    `sequence` is what its sender calls it, where its files have numbers.
    """

    kind: str
    reason: str = ""
    sequence: Sequence | None = None


class _Question(Struct, frozen=True):
    """What an exchange of a file keeps: its name, what its success is known by, and its bytes."""

    name: str
    mark: str
    raw: bytes


# -- out


async def stage(session: AsyncSession, exchanges: Exchanges, place: Place, leaving: Leaving) -> bool:
    """Keep a file, whole, with the exchange that is to leave it; False if it is to leave already, or has, or never can.

    Its name is its own; if that was taken there by other bytes, it gets the attempt's number too.
    """
    await queries.hold_files(session)
    tried, is_leaving = await queries.attempts(session, leaving.kind, leaving.about)
    if is_leaving or tried >= ATTEMPTS_MAX:
        return False
    name = leaving.file.name
    if tried:
        stem, dot, suffix = name.rpartition(".")
        name = f"{stem}-{tried + 1}{dot}{suffix}"
    reference = uuid4()
    await queries.add_outgoing(
        session,
        reference,
        place=place.name,
        kind=leaving.kind,
        about=leaving.about,
        attempt=tried + 1,
        name=name,
        sha256=leaving.file.sha256,
        size=len(leaving.file.raw),
    )
    question = _Question(name, f"{leaving.kind}:{leaving.about}", leaving.file.raw)
    return await exchanges.open(
        session,
        counterparty=place.name,
        operation=FILES,
        reference=reference,
        question=msgspec.json.encode(question),
    )


def file_operation(delivery: Delivers, tenant: Tenant) -> Operation:
    """Return how exchanges leave files. Whether a file was left is known after every crash; an enquiry finishes it."""

    async def leave(raw: bytes) -> Answer:
        question = msgspec.json.decode(raw, type=_Question)
        try:
            await delivery.deliver(NamedFile(question.name, question.raw))
        except NameTaken:
            return Answer(state=RequestState.FAILED, reason=Reason.DUPLICATE, code="name-taken")
        return Answer(state=RequestState.SUCCEEDED, provider_ref=question.mark)

    async def settle(session: AsyncSession, settled: Settled) -> None:
        file = await queries.hold_outgoing(session, settled.reference)
        is_left = settled.answer.state is RequestState.SUCCEEDED
        facts = {"file": file.name, "place": file.place, "kind": file.kind, "about": file.about, "sha256": file.sha256}
        event_id = await _record(session, tenant, EventKind.FILE_LEFT if is_left else EventKind.FILE_NOT_LEFT, facts)
        state = "accepted" if is_left else "rejected"
        await queries.decide_outgoing(session, settled.reference, state=state, event_id=event_id)

    return Operation(ask=lambda raw, _url: leave(raw), enquire=lambda raw, _last, _url: leave(raw), settle=settle)


async def answered(session: AsyncSession, place: str, name: str) -> OutgoingFile | None:
    """Return the file of ours that a file with this name answers: `X-answers.csv` does `X.csv`; None where there is none."""
    stem, mark, suffix = name.rpartition("-answers.")
    return await queries.find_outgoing(session, place, f"{stem}.{suffix}") if mark else None


async def list_outgoing(session: AsyncSession, *, most: int = 100) -> list[OutgoingFile]:
    """Return files of ours, the newest first."""
    return await queries.list_outgoing(session, most=most)


# -- in


async def take_files(
    db: Database,
    keys: KeyStore,
    tenant: Tenant,
    name: str,
    drop: FileDrop,
    read: Callable[[NamedFile], Awaitable[Taken]],
) -> int:
    """Take in every file that waits in a place, and every one that was kept and not read yet; return how many were read.

    A file is kept, sealed, before it is put away, and read after: a crash brings it again, and `read`, called once more with
    the same bytes, changes nothing twice. One that `read` stumbles over stays kept and is put aside, with the reason, for a
    person to release; so is one that cannot be fetched as it should be. Neither keeps the others waiting or is tried again.

    Args:
        db: where files are kept.
        keys: seal them.
        tenant: for whom they are.
        name: the place's.
        drop: where they wait.
        read: gives a file to the use case that it is for.

    Raises:
        Unreachable, Untrusted, Unanswered: the place cannot be looked at; what was kept before is read all the same.
    """

    async def is_known(sha256: str) -> bool:
        async with db.unit_of_work(tenant.tenant_id) as session:
            return await queries.is_known(session, name, sha256)

    async def keep(file: NamedFile) -> None:
        sealed = seal(keys, tenant.tenant_id, _TABLE, f"{name}/{file.sha256}", file.raw)
        async with db.unit_of_work(tenant.tenant_id) as session:
            await queries.add_incoming(
                session, place=name, name=file.name, sha256=file.sha256, size=len(file.raw), document=sealed
            )

    async with db.unit_of_work(tenant.tenant_id) as session:
        put_aside = await quarantine.aside(session, FETCHING)
    start = f"{name}/"
    leave = {one.removeprefix(start) for one in put_aside if one.startswith(start)}
    try:
        refused = (await take_in(drop, is_known=is_known, keep=keep, leave=leave)).refused
    finally:
        done = await _read_kept(db, keys, tenant, name, read)
    house = house_member(tenant.tenant_id)
    for one in refused:
        _log.error("put into quarantine", tenant=tenant.code, adapter=name, task=FETCHING, kind=one.reason)
        async with db.unit_of_work(tenant.tenant_id) as session:
            await quarantine.put_aside(
                session, house, task=FETCHING, subject=start + one.file, reason=one.reason, owner=OWNER
            )
    return done


async def _read_kept(
    db: Database, keys: KeyStore, tenant: Tenant, place: str, read: Callable[[NamedFile], Awaitable[Taken]]
) -> int:
    async def run(file_id: int) -> bool:
        async with db.unit_of_work(tenant.tenant_id) as session:
            found = await queries.find_kept(session, file_id)
        if found is None:
            return False
        name, sha256, sealed = found
        file = NamedFile(name, unseal(keys, tenant.tenant_id, _TABLE, f"{place}/{sha256}", sealed))
        return await _decide(db, tenant, file_id, place, file, await read(file))

    async with db.unit_of_work(tenant.tenant_id) as session:
        waiting = [(house_member(tenant.tenant_id), file_id) for file_id in await queries.kept(session, place)]
    return await quarantine.each(db, tenant.tenant_id, waiting, run, task=READING, owner=OWNER)


async def _decide(db: Database, tenant: Tenant, file_id: int, place: str, file: NamedFile, taken: Taken) -> bool:
    async def once() -> bool:
        async with db.unit_of_work(tenant.tenant_id) as session:
            if not await queries.hold_kept(session, file_id):
                return False
            facts = {
                "place": place,
                "kind": taken.kind,
                "sha256": file.sha256,
            }  # its name is the sender's, whatever it says
            kind = EventKind.FILE_NOT_TAKEN if taken.reason else EventKind.FILE_TAKEN
            event_id = await _record(session, tenant, kind, facts)
            await queries.decide_incoming(
                session,
                file_id,
                kind=taken.kind,
                reason=taken.reason[:REASON_MAX],
                event_id=event_id,
                sender=taken.sequence.sender if taken.sequence else "",
                number=taken.sequence.number if taken.sequence else None,
            )
            return True

    return await retry_transaction(once)


async def list_incoming(session: AsyncSession, *, most: int = 100) -> list[IncomingFile]:
    """Return files that came, the newest first."""
    return await queries.list_incoming(session, READING, most=most)


async def list_missing(session: AsyncSession, *, most: int = 100) -> list[MissingFile]:
    """Return files that did not come though later ones of their sender did."""
    return await queries.missing_files(session, most=most)


async def _record(session: AsyncSession, tenant: Tenant, kind: EventKind, facts: Mapping[str, object]) -> int:
    entry = Entry(
        member_id=house_member(tenant.tenant_id),
        kind=kind,
        business_date=business_date(await ledger.scheme_now(session), tenant.time_zone),
        actor=await ledger.actor_id(session, _ACTOR),
        pack=tenant.pack_id,
        body=facts,
    )
    (posted,) = await ledger.post(session, [entry])
    return posted.event_id
