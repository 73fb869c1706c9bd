"""The appender: gives batches their place in the log after commit, hashes their entries, signs a checkpoint."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from engine.audit import queries
from engine.audit.errors import EntryDiffers, EntryTooLarge, LogForked, UnknownName
from engine.audit.queries import StoredCheckpoint
from engine.audit.rules.merkle import leaf_hash
from engine.audit.rules.notes import BadNote, Checkpoint, open_checkpoint, sign_note, verifier_key
from engine.audit.rules.tiles import BadTile, grow, root_from
from engine.audit.service.log import LogReader, last_tiles, root_at
from engine.ledger import service as ledger
from engine.runtime.database import Database, Role
from engine.runtime.key_file import FileKeyStore

_LIMIT_EVENTS = 50_000
_LONGEST_WAIT_SECONDS = 60.0
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Appended:
    """What an append did: the log's size now, and how many batches and events it added."""

    size: int
    batches: int = 0
    events: int = 0


async def append(
    db: Database,
    keys: FileKeyStore,
    tenant_id: int,
    origin: str,
    *,
    limit_batches: int = 1_000,
    published: Path | None = None,
) -> Appended:
    """Move all that waits into the tenant's log and sign a checkpoint over it.

    Each transaction takes at most `limit_batches` batches and some 50,000 events. Appenders of one tenant wait for
    one another. What is signed always extends the last checkpoint: its root is first made again from the tiles.

    Args:
        db: the database.
        keys: holds the tenant's log signing key.
        tenant_id: whose log.
        origin: the log's name, `<tenant's host or code>/audit`; it never changes.
        limit_batches: how many batches a transaction takes at most.
        published: a file, outside of the database, that keeps the last checkpoint signed. A database restored from an
            older backup is found by it.

    Raises:
        LogForked: what would be signed does not continue what was signed. Nothing is signed.
        EntryTooLarge, UnknownName, EntryDiffers: an event cannot be an entry of the log. Nothing is signed.

    """
    batches = events = 0
    while True:
        try:
            done, note = await _append_once(db, keys, tenant_id, origin, limit_batches, published)
        except (LogForked, EntryTooLarge, EntryDiffers, UnknownName) as error:
            _log.error("The audit log stands still", tenant_id=tenant_id, code=error.code)
            raise
        if published is not None and note is not None:
            _keep(published, note)
        batches, events = batches + done.batches, events + done.events
        if done.batches == 0:
            return Appended(done.size, batches, events)


async def _append_once(
    db: Database, keys: FileKeyStore, tenant_id: int, origin: str, limit_batches: int, published: Path | None
) -> tuple[Appended, str | None]:
    private = keys.tenant(tenant_id).log_signing_key
    started = monotonic()
    async with db.unit_of_work(tenant_id, role=Role.SEQUENCER) as session:
        await queries.lock_log(session)
        last = await queries.last_checkpoint(session)
        size = await queries.log_size(session)
        tiles = await last_tiles(session, size)
        try:
            _check_last(origin, size, last, root_from(size, lambda *tile: tiles.get(tile, b"")))
            if last is not None:
                open_checkpoint(last.note, verifier_key(origin, private))
        except (BadNote, BadTile) as error:
            raise LogForked(origin=origin, size=size, reason=str(error)) from error
        if published is not None:
            await _check_published(session, published, origin, size)
        batches = await queries.sequence(session, size, limit_batches=limit_batches, limit_events=_LIMIT_EVENTS)
        if not batches:
            return Appended(size), None if last is None else last.note
        leaves = [leaf_hash(logged.entry) async for logged in LogReader(session).of(batches)]
        grown = grow(size, leaves, lambda *tile: tiles.get(tile, b""))
        await queries.write_tiles(session, grown)
        tiles |= {(tile.level, tile.index): tile.hashes for tile in grown}
        new_size = size + len(leaves)
        checkpoint = Checkpoint(origin, new_size, root_from(new_size, lambda *tile: tiles.get(tile, b"")))
        note = sign_note(checkpoint.text, origin, private)
        await queries.write_checkpoint(
            session, StoredCheckpoint(new_size, checkpoint.root, note, await ledger.scheme_now(session))
        )
    _log.info(
        "Checkpoint signed",
        tenant_id=tenant_id,
        log_size=new_size,
        count=len(leaves),
        duration_ms=round((monotonic() - started) * 1000),
    )
    return Appended(new_size, len(batches), len(leaves)), note


def _check_last(origin: str, size: int, last: StoredCheckpoint | None, root: bytes) -> None:
    """Raise LogForked unless tiles, order and the last checkpoint tell the same of the log so far."""
    if last is None:
        if size:
            raise LogForked(origin=origin, size=size, reason="entries have places that no checkpoint covers")
        return
    signed = Checkpoint.parse(last.note.partition("\n\n")[0] + "\n")
    if (signed.size, signed.root) != (last.size, last.root) or last.size != size:
        raise LogForked(origin=origin, size=size, reason=f"the last checkpoint signed has {signed.size} entries")
    if signed.root != root:
        raise LogForked(origin=origin, size=size, reason="the tiles do not give the root that was signed")


async def _check_published(session: AsyncSession, published: Path, origin: str, size: int) -> None:
    """Raise LogForked unless the log extends the checkpoint that is kept outside of the database."""
    try:
        kept = _kept(published)
    except (BadNote, UnicodeDecodeError) as error:
        raise LogForked(origin=origin, size=size, reason=f"{published} is damaged") from error
    if kept is None:
        return
    if kept.size > size:
        raise LogForked(
            origin=origin,
            size=size,
            reason=f"a checkpoint of {kept.size} entries was published: was a backup restored?",
        )
    if kept.origin != origin or await root_at(session, kept.size) != kept.root:
        raise LogForked(origin=origin, size=size, reason=f"it does not extend the {kept.size} entries published")


def _kept(path: Path) -> Checkpoint | None:
    """Return the checkpoint the file keeps, None where there is no file."""
    if not path.exists():
        return None
    return Checkpoint.parse(path.read_text(encoding="utf-8").partition("\n\n")[0] + "\n")


def _keep(path: Path, note: str) -> None:
    """Replace the file by the note, whole or not at all, before anyone relies on it."""
    if path.exists() and path.read_text(encoding="utf-8") == note:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    with fresh.open("w", encoding="utf-8") as file:
        file.write(note)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


async def sequence_forever(
    db: Database,
    keys: FileKeyStore,
    origins: Callable[[], Awaitable[Mapping[int, str]]],
    *,
    stop: asyncio.Event,
    poll_seconds: float = 0.2,
    idle_seconds: float = 2.0,
    published: Callable[[int], Path] | None = None,
) -> None:
    """Append for every tenant until `stop` is set: soon after something was posted, rarely where nothing is.

    A tenant whose log stands still is tried again ever more rarely, and holds no other up.

    Args:
        db: the database.
        keys: holds the tenants' log signing keys.
        origins: gives the origin of each tenant's log, by tenant id; asked again at every round.
        stop: ends the loop after the append at hand.
        poll_seconds: the wait after an append that found something.
        idle_seconds: the longest wait where nothing comes.
        published: the file outside of the database that keeps a tenant's last checkpoint.

    """
    waits: dict[int, float] = {}
    due: dict[int, float] = {}
    while not stop.is_set():
        for tenant_id, origin in (await origins()).items():
            if monotonic() < due.get(tenant_id, 0.0) or stop.is_set():
                continue
            wait, longest = waits.get(tenant_id, poll_seconds), idle_seconds
            try:
                async with db.unit_of_work(tenant_id) as session:
                    waiting = await queries.is_waiting(session)
                if waiting:
                    file = None if published is None else published(tenant_id)
                    await append(db, keys, tenant_id, origin, published=file)
                    wait = poll_seconds / 2
            except Exception:  # noqa: BLE001 - one tenant's trouble must not stop the others' logs
                _log.exception("Appending to the audit log failed", tenant_id=tenant_id)
                longest = _LONGEST_WAIT_SECONDS
            waits[tenant_id] = min(longest, wait * 2)
            due[tenant_id] = monotonic() + waits[tenant_id]
        pause = max(0.01, min([poll_seconds, *(at - monotonic() for at in due.values())]))
        try:
            await asyncio.wait_for(stop.wait(), timeout=pause)
        except TimeoutError:
            continue
