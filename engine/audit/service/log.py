"""Reading the log: entries rendered from rows, tiles, proofs, and its size at an instant."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy.ext.asyncio import AsyncSession

from engine.audit import queries
from engine.audit.errors import EntryDiffers, EntryTooLarge, NothingLogged, NotLogged, UnknownName
from engine.audit.queries import Batch, RawEvent, StoredCheckpoint
from engine.audit.rules.leaves import NamedAccount, Rendered, TransferRow, render
from engine.audit.rules.merkle import Range, plan_consistency, plan_inclusion, range_root, subtrees
from engine.audit.rules.notes import proof_file
from engine.audit.rules.tiles import HEIGHT, MAX_ENTRY_BYTES, WIDTH, Tile, bundle, is_published, node_in, tile_of
from engine.kernel.errors import NotFound
from engine.ledger.rules import BATCH_MASK

_GAP = 10_000 << 22
"""Batches less than ten seconds apart are read together (an event id counts milliseconds above its lowest 22 bits)."""
_BATCHES_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class Logged:
    """An event in the log: its place, its entry, and the rows that the entry was rendered from."""

    index: int
    entry: bytes
    rendered: Rendered
    business_date: date
    transfers: Sequence[TransferRow]


class LogReader:
    """Renders entries from rows, in the order of the log, in bounded memory; one session's."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session
        self._names: dict[str, dict[int, str]] = {"actors": {}, "packs": {0: ""}, "decisions": {0: "{}"}}
        self.chart: dict[int, NamedAccount] = {}

    async def entries(self, start: int, end: int) -> AsyncIterator[Logged]:
        """Yield the entries of index `start` up to, not including, `end`."""
        at = start
        while at < end:
            batches = await queries.batches(self._session, at, end, limit=_BATCHES_AT_ONCE)
            if not batches:
                raise EntryDiffers(index=at)
            async for logged in self.of(batches):
                if at <= logged.index < end:
                    yield logged
                    at = logged.index + 1

    async def of(self, batches: Sequence[Batch]) -> AsyncIterator[Logged]:
        """Yield the entries of batches that follow one another in the log.

        Raises:
            EntryDiffers: a batch does not have the events it was logged with.
            EntryTooLarge: an entry is longer than a log entry may be.

        """
        for run in _runs(batches):
            index, starts = run[0].first_seq, {batch.batch_id: batch.first_seq for batch in run}
            async for lot, transfers in queries.read_events(self._session, run):
                await self._learn(lot, transfers)
                for event in lot:
                    if event.event_id & BATCH_MASK in starts and index != starts.pop(event.event_id & BATCH_MASK):
                        raise EntryDiffers(index=index)
                    yield self._render(index, event, transfers.pop(event.event_id, []))
                    index += 1
                if transfers:
                    raise EntryDiffers(index=index)
            if starts or index != run[-1].first_seq + run[-1].n:
                raise EntryDiffers(index=index)

    def _render(self, index: int, event: RawEvent, transfers: Sequence[TransferRow]) -> Logged:
        named = event.named(
            self._name(event, "actors", event.actor),
            self._name(event, "packs", event.pack),
            self._name(event, "decisions", event.decision),
        )
        rendered = render(named, transfers, self.chart)
        entry = rendered.entry
        if len(entry) > MAX_ENTRY_BYTES:
            raise EntryTooLarge(event_id=event.event_id, size=len(entry), most=MAX_ENTRY_BYTES)
        return Logged(index, entry, rendered, event.business_date, transfers)

    def _name(self, event: RawEvent, table: str, number: int) -> str:
        found = self._names[table].get(number)
        if found is None:
            raise UnknownName(event_id=event.event_id, number=number, table=table)
        return found

    async def _learn(self, lot: Sequence[RawEvent], transfers: dict[int, list[TransferRow]]) -> None:
        """Look up the names that these events are the first to use."""
        used = {
            "actors": {event.actor for event in lot},
            "packs": {event.pack for event in lot},
            "decisions": {event.decision for event in lot},
        }
        for table, numbers in used.items():
            missing = sorted(numbers - self._names[table].keys())
            if missing:
                self._names[table] |= await queries.names(self._session, table, missing)
        codes = {code for rows in transfers.values() for row in rows for code in (row.debit, row.credit)}
        if not codes <= self.chart.keys():
            self.chart = await queries.chart(self._session)


def _runs(batches: Sequence[Batch]) -> list[list[Batch]]:
    """Cut batches into runs of ascending ids without long gaps: each is read by one range scan."""
    runs: list[list[Batch]] = []
    for batch in batches:
        if runs and 0 < batch.batch_id - runs[-1][-1].batch_id < _GAP:
            runs[-1].append(batch)
        else:
            runs.append([batch])
    return runs


async def _hashes(session: AsyncSession, ranges: Sequence[Range]) -> list[bytes]:
    wanted = {tile_of(node) for leaves in ranges for node in subtrees(leaves)}
    tiles = await queries.tiles(session, sorted(wanted))
    return [range_root(leaves, lambda node: node_in(tiles[tile_of(node)], node)) for leaves in ranges]


async def root_at(session: AsyncSession, size: int) -> bytes:
    """Return the root over the first `size` entries, from the tiles."""
    return (await _hashes(session, [(0, size)]))[0]


async def prove_inclusion(session: AsyncSession, index: int, size: int) -> list[bytes]:
    """Return the hashes that lead from leaf `index` to the root of the log of `size` entries."""
    return await _hashes(session, plan_inclusion(index, size))


async def prove_consistency(session: AsyncSession, old: int, new: int) -> list[bytes]:
    """Return the hashes that show the log of `new` entries to extend that of `old`."""
    return await _hashes(session, plan_consistency(old, new))


async def index_of(session: AsyncSession, event_id: int) -> int:
    """Return an event's place in the log: the only order of events there is.

    Raises:
        NotLogged: it is not in the log, or not yet.

    """
    batch = await queries.batch_of(session, event_id)
    rank = None if batch is None else await queries.rank_in_batch(session, event_id)
    if batch is None or rank is None:
        raise NotLogged
    return batch.first_seq + rank


async def proof_of(session: AsyncSession, event_id: int) -> str:
    """Return a `.tlog-proof` file (C2SP tlog-proof) that the event's entry is in the newest checkpoint.

    Raises:
        NotLogged: the event is not in the log, or not yet.

    """
    index = await index_of(session, event_id)
    checkpoint = await published(session)
    if index >= checkpoint.size:
        raise NotLogged
    return proof_file(index, await prove_inclusion(session, index, checkpoint.size), checkpoint.note)


async def log_size_at(session: AsyncSession, instant: datetime) -> int:
    """Return how many entries the last checkpoint signed at or before `instant` (aware) has: what was known then."""
    checkpoint = await queries.checkpoint_at(session, instant)
    return 0 if checkpoint is None else checkpoint.size


async def published(session: AsyncSession) -> StoredCheckpoint:
    """Return the newest checkpoint.

    Raises:
        NothingLogged: there is none yet.

    """
    checkpoint = await queries.last_checkpoint(session)
    if checkpoint is None:
        raise NothingLogged
    return checkpoint


async def checkpoint_note(session: AsyncSession) -> str:
    """Return the newest checkpoint as its signed note.

    Raises:
        NotFound: there is none yet.

    """
    checkpoint = await queries.last_checkpoint(session)
    if checkpoint is None:
        raise NotFound
    return checkpoint.note


async def read_tile(session: AsyncSession, tile: Tile) -> bytes:
    """Return the bytes of a tile of hashes.

    Raises:
        NotFound: the newest checkpoint does not cover it.

    """
    assert tile.level is not None, tile
    await _check_published(session, tile)
    found = await queries.tiles(session, [(tile.level, tile.index)])
    return found[tile.level, tile.index][: tile.width * 32]


async def read_bundle(session: AsyncSession, tile: Tile) -> bytes:
    """Return a bundle of entries, rendered from their rows.

    Raises:
        NotFound: the newest checkpoint does not cover it.

    """
    assert tile.level is None, tile
    await _check_published(session, tile)
    start = tile.index * WIDTH
    return bundle([logged.entry async for logged in LogReader(session).entries(start, start + tile.width)])


async def _check_published(session: AsyncSession, tile: Tile) -> None:
    checkpoint = await queries.last_checkpoint(session)
    if checkpoint is None or not is_published(tile, checkpoint.size):
        raise NotFound


async def last_tiles(session: AsyncSession, size: int) -> dict[tuple[int, int], bytes]:
    """Return the partial tile of each level of a log of `size` entries: all that an append must know of it."""
    wanted, level, count = [], 0, size
    while count:
        wanted.append((level, count // WIDTH))
        level, count = level + 1, count >> HEIGHT
    return await queries.tiles(session, wanted)
