"""The log's SQL: its order, tiles and checkpoints, the rows its entries are rendered from, and its laws."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from psycopg import AsyncConnection
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from engine.audit.rules.leaves import EventRow, NamedAccount, TransferRow
from engine.audit.rules.tiles import Grown
from engine.ledger.rules import BATCH_MASK, Account, Law
from engine.runtime.database import driver

_APPENDER_LOCK = 7004
_FETCH = 5_000
_CHECKPOINT = "select size, root, note, signed_at from audit_checkpoints where tenant_id = :t"


@dataclass(frozen=True, slots=True)
class Batch:
    """A posting transaction's place in the log: its `n` events have the indexes from `first_seq` on."""

    first_seq: int
    batch_id: int
    n: int


@dataclass(frozen=True, slots=True)
class StoredCheckpoint:
    """A checkpoint as it was signed; `signed_at` is the scheme's instant."""

    size: int
    root: bytes
    note: str
    signed_at: datetime


async def tenant_code(session: AsyncSession) -> str:
    """Return the code of the session's tenant."""
    found: str = await session.scalar(
        text("select code from tenants where tenant_id = :t"), {"t": session.info["tenant_id"]}
    )
    return found


async def tenant_of(session: AsyncSession, code: str) -> int | None:
    """Return the number of the tenant with this code."""
    found = await session.scalar(text("select tenant_id from tenants where code = :code"), {"code": code})
    return None if found is None else int(found)


async def lock_log(session: AsyncSession) -> None:
    """Wait until no other transaction appends to the tenant's log."""
    await session.execute(
        text("select pg_advisory_xact_lock(:lock, :t)"), {"lock": _APPENDER_LOCK, "t": session.info["tenant_id"]}
    )


async def is_waiting(session: AsyncSession) -> bool:
    """Return whether any batch waits for its place in the log."""
    return bool(
        await session.scalar(
            text("select exists (select from unsequenced where tenant_id = :t)"), {"t": session.info["tenant_id"]}
        )
    )


async def sequence(session: AsyncSession, first_seq: int, *, limit_batches: int, limit_events: int) -> list[Batch]:
    """Give waiting batches their place from `first_seq` on, in order of their ids; needs the sequencer's role.

    One statement moves them from the queue into the log, so that none is lost or doubled whatever commits meanwhile.
    """
    rows = await session.execute(
        text("""
        with waiting as (
          select batch_id, n, sum(n) over (order by batch_id) - n as before
            from unsequenced where tenant_id = :t order by batch_id limit :batches),
        taken as (
          delete from unsequenced u using waiting w
           where u.tenant_id = :t and u.batch_id = w.batch_id and (w.before < :events or w.before = 0)
          returning u.batch_id, u.n),
        placed as (
          insert into audit_batches (tenant_id, first_seq, batch_id, n)
          select :t, :first + sum(n) over (order by batch_id) - n, batch_id, n from taken
          returning first_seq, batch_id, n)
        select first_seq, batch_id, n from placed order by first_seq"""),
        {"t": session.info["tenant_id"], "first": first_seq, "batches": limit_batches, "events": limit_events},
    )
    return [Batch(*row) for row in rows]


async def log_size(session: AsyncSession) -> int:
    """Return how many events have a place in the log, published or about to be."""
    found = await session.scalar(
        text("select first_seq + n from audit_batches where tenant_id = :t order by first_seq desc limit 1"),
        {"t": session.info["tenant_id"]},
    )
    return int(found or 0)


async def batches(session: AsyncSession, start: int, end: int, *, limit: int) -> list[Batch]:
    """Return the batches with events of index `start` up to, not including, `end`; at most `limit`, in order."""
    rows = await session.execute(
        text("""select first_seq, batch_id, n from audit_batches
                 where tenant_id = :t and first_seq < :end
                   and first_seq >= coalesce((select max(first_seq) from audit_batches
                                               where tenant_id = :t and first_seq <= :start), 0)
                 order by first_seq limit :limit"""),
        {"t": session.info["tenant_id"], "start": start, "end": end, "limit": limit},
    )
    return [Batch(*row) for row in rows]


async def batch_of(session: AsyncSession, event_id: int) -> Batch | None:
    """Return the place of the event's batch in the log."""
    row = (
        await session.execute(
            text("select first_seq, batch_id, n from audit_batches where tenant_id = :t and batch_id = :b"),
            {"t": session.info["tenant_id"], "b": event_id & BATCH_MASK},
        )
    ).first()
    return None if row is None else Batch(*row)


async def rank_in_batch(session: AsyncSession, event_id: int) -> int | None:
    """Return how many events of its batch come before this one; None if there is no such event."""
    row = (
        await session.execute(
            text("""select count(*) filter (where event_id < :e), bool_or(event_id = :e) from events
                     where event_id between :b and :e"""),
            {"e": event_id, "b": event_id & BATCH_MASK},
        )
    ).one()
    return int(row[0]) if row[1] else None


async def last_checkpoint(session: AsyncSession) -> StoredCheckpoint | None:
    """Return the newest checkpoint."""
    return await _checkpoint(session, "order by size desc limit 1", {})


async def checkpoint_of(session: AsyncSession, size: int) -> StoredCheckpoint | None:
    """Return the checkpoint of exactly `size` entries."""
    return await _checkpoint(session, "and size = :size", {"size": size})


async def checkpoint_at(session: AsyncSession, instant: datetime) -> StoredCheckpoint | None:
    """Return the last checkpoint signed at or before the instant."""
    return await _checkpoint(session, "and signed_at <= :at order by size desc limit 1", {"at": instant})


async def _checkpoint(session: AsyncSession, which: str, parameters: Mapping[str, object]) -> StoredCheckpoint | None:
    row = (
        await session.execute(text(f"{_CHECKPOINT} {which}"), {"t": session.info["tenant_id"], **parameters})
    ).first()
    return None if row is None else StoredCheckpoint(row.size, bytes(row.root), row.note, row.signed_at)


async def write_checkpoint(session: AsyncSession, checkpoint: StoredCheckpoint) -> None:
    """Keep a signed checkpoint; the database refuses one that is not larger than the last."""
    await session.execute(
        text("""insert into audit_checkpoints (tenant_id, size, signed_at, root, note)
                values (:t, :size, :at, :root, :note)"""),
        {
            "t": session.info["tenant_id"],
            "size": checkpoint.size,
            "at": checkpoint.signed_at,
            "root": checkpoint.root,
            "note": checkpoint.note,
        },
    )


async def tiles(session: AsyncSession, wanted: Sequence[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
    """Return the bytes of the tiles of (level, index) that there are."""
    if not wanted:
        return {}
    rows = await session.execute(
        text("""select t.level, t.tile_index, t.hashes
                  from unnest(cast(:levels as smallint[]), cast(:indexes as bigint[])) w(level, tile_index)
                  join audit_tiles t on t.tenant_id = :t and t.level = w.level and t.tile_index = w.tile_index"""),
        {
            "t": session.info["tenant_id"],
            "levels": [level for level, _ in wanted],
            "indexes": [index for _, index in wanted],
        },
    )
    return {(row.level, row.tile_index): bytes(row.hashes) for row in rows}


async def write_tiles(session: AsyncSession, grown: Sequence[Grown]) -> None:
    """Write tiles whole; one that stands already may only have grown, as the database checks."""
    await session.execute(
        text("""insert into audit_tiles as a (tenant_id, level, tile_index, hashes)
                select :t, * from unnest(cast(:levels as smallint[]), cast(:indexes as bigint[]), cast(:hashes as bytea[]))
                on conflict (tenant_id, level, tile_index) do update set hashes = excluded.hashes
                 where a.hashes <> excluded.hashes"""),
        {
            "t": session.info["tenant_id"],
            "levels": [tile.level for tile in grown],
            "indexes": [tile.index for tile in grown],
            "hashes": [tile.hashes for tile in grown],
        },
    )


async def chart(session: AsyncSession) -> dict[int, NamedAccount]:
    """Return the tenant's accounts by code, named as in leaves."""
    rows = await session.execute(
        text("""select c.code, c.kind, a.symbol, a.scale, c.product, c.pot, c.origin, c.fund, c.party
                  from chart c join assets a on a.tenant_id = c.tenant_id and a.asset_id = c.code >> 12""")
    )
    return {
        r.code: NamedAccount.of(r.code, Account(r.kind, r.symbol, r.product, r.pot, r.origin, r.fund, r.party), r.scale)
        for r in rows
    }


async def names(session: AsyncSession, table: str, wanted: Sequence[int]) -> dict[int, str]:
    """Return what numbers of actors, packs or decisions stand for; a decision's trace as JSON text."""
    number, value = {
        "actors": ("actor_id", "name"),
        "packs": ("pack_id", "sha256"),
        "decisions": ("decision_id", "trace::text"),
    }[table]
    rows = await session.execute(
        text(f"select {number}, {value} from {table} where tenant_id = :t and {number} = any(:wanted)"),
        {"t": session.info["tenant_id"], "wanted": list(wanted)},
    )
    return {int(row[0]): row[1] for row in rows}


@dataclass(frozen=True, slots=True)
class RawEvent:
    """An event as it stands in its row, with numbers where leaves have names."""

    event_id: int
    member_id: int
    kind: int
    business_date: date
    recorded_at: datetime
    actor: int
    pack: int
    decision: int
    body: str

    def named(self, actor: str, pack: str, decision: str) -> EventRow:
        """Return the event with its names."""
        return EventRow(
            self.event_id,
            self.member_id,
            self.kind,
            self.business_date,
            self.recorded_at,
            actor,
            pack,
            decision,
            self.body,
        )


_EVENTS = """
select e.event_id, e.member_id, e.kind, e.business_date, b.recorded_at, e.actor, e.pack, e.decision, e.body::text
  from events e join batches b on b.tenant_id = %(tenant)s and b.batch_id = e.event_id & %(mask)s
 where e.event_id between %(low)s and %(high)s and b.batch_id = any(%(batches)s)
 order by e.event_id
"""
_TRANSFERS = """
select event_id, member_id, line, amount, debit, credit from transfers
 where event_id between %(low)s and %(high)s and event_id & %(mask)s = any(%(batches)s)
 order by event_id, member_id, line
"""


async def read_events(
    session: AsyncSession, run: Sequence[Batch]
) -> AsyncIterator[tuple[list[RawEvent], dict[int, list[TransferRow]]]]:
    """Yield the events of batches, in order of their ids, some thousands at a time, each lot with its transfers.

    The batches lie close together and their ids ascend, so that two range scans find all they hold.
    """
    connection = await driver(session)
    parameters = {
        "tenant": session.info["tenant_id"],
        "low": run[0].batch_id,
        "high": run[-1].batch_id | ~BATCH_MASK,
        "mask": BATCH_MASK,
        "batches": [batch.batch_id for batch in run],
    }
    async with (
        _stream(connection, "log_events", _EVENTS, parameters) as events,
        _stream(connection, "log_transfers", _TRANSFERS, parameters) as moved,
    ):
        ahead: list[Any] = []
        while lot := [RawEvent(*row) for row in await events.fetchmany(_FETCH)]:
            last = lot[-1].event_id
            transfers: dict[int, list[TransferRow]] = {}
            while True:
                kept = len(ahead)
                for place, row in enumerate(ahead):
                    if row[0] > last:
                        kept = place
                        break
                    transfers.setdefault(row[0], []).append(TransferRow(*row[1:]))
                ahead = ahead[kept:]
                if ahead:
                    break
                ahead = await moved.fetchmany(_FETCH)
                if not ahead:
                    break
            yield lot, transfers


@asynccontextmanager
async def _stream(
    connection: AsyncConnection[Any], name: str, statement: str, parameters: Mapping[str, object]
) -> AsyncIterator[Any]:
    async with connection.cursor(name=name, binary=True) as cursor:
        await cursor.execute(statement, parameters)
        yield cursor


async def stream_balances(session: AsyncSession, parameters: Mapping[str, object]) -> AsyncIterator[Sequence[Any]]:
    """Yield every account as `BALANCES` says."""
    connection = await driver(session)
    # All transfers are joined to all events: never row by row, whatever the statistics of young tables make it think.
    await connection.execute("set local enable_nestloop = off")
    async for row in stream_rows(session, BALANCES, parameters):
        yield row
    await connection.execute("set local enable_nestloop = on")


async def stream_rows(
    session: AsyncSession, statement: str, parameters: Mapping[str, object]
) -> AsyncIterator[Sequence[Any]]:
    """Yield the rows of a statement without holding them all."""
    connection = await driver(session)
    async with _stream(connection, "export_rows", statement, parameters) as cursor:
        while rows := await cursor.fetchmany(_FETCH):
            for row in rows:
                yield row


BALANCES = """
with logged as materialized (select batch_id from audit_batches where tenant_id = %(tenant_id)s and first_seq < %(size)s),
moved as (
  select t.member_id, t.amount, t.debit, t.credit, e.business_date >= %(since)s as in_period
    from transfers t join events e on e.event_id = t.event_id
   where t.event_id & ~4095 in (select batch_id from logged) and e.business_date < %(until)s),
sides as (
  select member_id, debit as code, in_period, amount as debited, 0::bigint as credited from moved
  union all select member_id, credit, in_period, 0::bigint, amount from moved)
select case when code & 2048 = 0 then 0 else member_id end as holder, code,
       coalesce(sum(debited - credited) filter (where not in_period), 0)::bigint,
       coalesce(sum(debited) filter (where in_period), 0)::bigint,
       coalesce(sum(credited) filter (where in_period), 0)::bigint
  from sides group by code & 2048, 1, 2 order by code & 2048, 1, 2
"""
"""Every account with movements before `until` as (holder or 0, code, opening, debited, credited), control accounts first."""


async def pin(session: AsyncSession) -> None:
    """Let all that the session reads from now on be of one instant. Nothing may have been written in it yet."""
    connection = await driver(session)
    # The session has read its tenant already, after which PostgreSQL refuses to change the isolation of a transaction.
    await connection.execute(
        f"rollback; begin isolation level repeatable read read only; "
        f"select set_config('app.tenant', '{int(session.info['tenant_id'])}', true), "
        "set_config('cursor_tuple_fraction', '1', true)"
    )


LAWS = (
    Law(
        "log-is-signed",
        "Every place given is covered by the last checkpoint.",
        """select 'log', size::text, signed::text from (
             select (select coalesce(sum(n), 0) from audit_batches) as size,
                    (select coalesce(max(size), 0) from audit_checkpoints) as signed) x where size <> signed""",
    ),
    Law(
        "tiles-are-whole",
        "Each level of tiles holds one hash for every 256 of the level below.",
        """select 'level ' || level, expected::text, found::text from (
             select l.level, (select coalesce(sum(n), 0)::bigint from audit_batches) >> (8 * l.level) as expected,
                    coalesce((select sum(octet_length(hashes)) / 32 from audit_tiles a where a.level = l.level), 0) as found
               from generate_series(0, 6) l(level)) x where expected <> found""",
    ),
)
"""What `akiba check` tests of the log beside the ledger's laws of its order; `verify_package` tests its hashes."""
