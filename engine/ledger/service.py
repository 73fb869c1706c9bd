"""Use cases of the ledger: post a batch, name accounts, tell the scheme's time, check the laws.

Every function works in the caller's session: one tenant, one transaction.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from engine.ledger import queries
from engine.ledger.queries import StoredEvent
from engine.ledger.rules import MAX_BATCH, Account, Entry, Law, Offence, Posted
from engine.runtime.database import Database, driver

_codes: dict[tuple[str, int], dict[Account, int]] = {}
_numbers: dict[tuple[str, int, str, object], int] = {}


def _database_of(session: AsyncSession) -> str:
    return str(session.get_bind().engine.url)


async def post(
    session: AsyncSession, entries: Sequence[Entry], *, careful: bool = False, recorded_at: datetime | None = None
) -> list[Posted]:
    """Write each entry whole or not at all, once for each of its claims; one entry never fails its neighbours.

    Returns:
        The fate of each entry, in their order.

    Raises:
        psycopg.errors.SerializationFailure, DeadlockDetected: the whole transaction must run again
        (`runtime.database.retry_transaction`), with `careful=True` if the error's detail says "careful".
    """
    if not entries:
        return []
    assert len(entries) <= MAX_BATCH, len(entries)
    connection = await driver(session)
    return await queries.post_batch(
        connection,
        session.info["tenant_id"],
        entries,
        recorded_at=recorded_at or await scheme_now(session),
        careful=careful,
    )


async def write_gathered_event(session: AsyncSession, event_id: int, entry: Entry) -> None:
    """Write the event of transfers that a statement over many members wrote; `event_id` came from `next_batch_id`."""
    await queries.write_gathered_event(session, event_id, entry)


@asynccontextmanager
async def in_lane(db: Database, tenant_id: int, lane: int) -> AsyncIterator[tuple[AsyncSession, datetime]]:
    """Open a unit of work once no other transaction writes in the tenant's posting lane; with the scheme's instant then."""
    async with db.unit_of_work(tenant_id, first=queries.lane_statements(tenant_id, lane)) as session:
        yield session, datetime.fromisoformat(session.info["first"]).astimezone(UTC)


@asynccontextmanager
async def in_every_lane(db: Database, tenant_id: int, lanes: int) -> AsyncIterator[AsyncSession]:
    """Open a unit of work once no other transaction writes in any of the tenant's posting lanes."""
    statements = [lock for lane in range(lanes) for lock in queries.lane_statements(tenant_id, lane)]
    async with db.unit_of_work(tenant_id, first=statements) as session:
        yield session


async def stored_events(session: AsyncSession, keys: Sequence[tuple[int, int]]) -> dict[int, StoredEvent]:
    """Return the events that stand under (member_id, event_id), by event id; where the member differs, by id alone."""
    found = await queries.events_by_key(session, keys)
    missing = [event_id for _, event_id in keys if event_id not in found]
    if missing:
        found |= await queries.events_by_id(session, missing)
    return found


async def transfers_of(session: AsyncSession, keys: Sequence[tuple[int, int]]) -> dict[int, list[tuple[int, int, int]]]:
    """Return (amount, debit code, credit code) of each (member_id, event_id), by event id, in line order."""
    return await queries.transfers_of(session, keys)


async def credit_balance(session: AsyncSession, code: int) -> int:
    """Return the credit balance of a control account, now; smallest units."""
    return await queries.credit_balance(session, code)


async def accounts_by_code(session: AsyncSession) -> dict[int, Account]:
    """Return the tenant's chart by code."""
    return {code: account for account, (code, _) in (await queries.chart(session)).items()}


async def account_codes(session: AsyncSession, accounts: Iterable[Account]) -> dict[Account, int]:
    """Return the code of each account, opening those that are new. Known codes cost no query: a code never changes."""
    wanted = set(accounts)
    key = (_database_of(session), session.info["tenant_id"])
    known = _codes.get(key, {})
    if wanted <= known.keys():
        return {account: known[account] for account in wanted}
    chart = await queries.chart(session)
    _codes[key] = {account: code for account, (code, committed) in chart.items() if committed}
    found = {account: chart[account][0] for account in wanted if account in chart}
    for account in sorted(wanted - found.keys(), key=lambda a: (a.kind, a.asset, a.name)):
        found[account] = await queries.open_account(session, account)
    return found


async def hold_balances(session: AsyncSession, member_id: int, codes: Sequence[int]) -> dict[int, int]:
    """Return a member's credit balances by code; nobody else can move them until the session ends."""
    return await queries.hold_balances(session, member_id, codes)


async def correct(session: AsyncSession, *, by: tuple[int, int], of: tuple[int, int]) -> None:
    """Note that one event, as (member_id, event_id), takes back another."""
    await queries.add_correction(session, by=by, of=of)


async def is_corrected(session: AsyncSession, member_id: int, event_id: int) -> bool:
    """Return whether an event was taken back."""
    return await queries.is_corrected(session, member_id, event_id)


async def open_asset(session: AsyncSession, symbol: str, scale: int, *, kind: str) -> None:
    """Let the tenant count `symbol` in units of 10^-scale; `kind` is "money" or "units"."""
    await queries.open_asset(session, symbol, scale, kind)


async def actor_id(session: AsyncSession, name: str) -> int:
    """Return the number under which the actor stands in events. Names hold nothing personal: "partner:7", "staff:3"."""
    return await _interned(session, "actors", "name", name)


async def pack_id(session: AsyncSession, sha256: str, body: Mapping[str, object]) -> int:
    """Return the number under which the pack version stands in events."""
    return await _interned(session, "packs", "sha256", sha256, recorded_at=await scheme_now(session), body=_json(body))


async def decision_id(session: AsyncSession, trace: Mapping[str, object]) -> int:
    """Return the number of a decision: which rules, in which version, decided. Equal traces share one number."""
    encoded = _json(trace)
    digest = UUID(bytes=hashlib.sha256(encoded.encode()).digest()[:16])
    return await _interned(session, "decisions", "digest", digest, trace=encoded)


async def _interned(session: AsyncSession, table: str, column: str, value: object, **others: object) -> int:
    key = (_database_of(session), session.info["tenant_id"], table, value)
    if key in _numbers:
        return _numbers[key]
    number, committed = await queries.intern(session, table, column, value, **others)
    if committed:
        _numbers[key] = number
    return number


def _json(value: Mapping[str, object]) -> str:
    return msgspec.json.encode(value, order="sorted").decode()


async def scheme_now(session: AsyncSession) -> datetime:
    """Return the scheme's instant, aware, in UTC: the operator's clock where there is one, else the database's."""
    return (await queries.scheme_now(session)).astimezone(UTC)


async def roll_up(session: AsyncSession) -> int:
    """Fold the control deltas into the totals; needs the jobs role. Returns how many deltas were folded."""
    moved = await session.scalar(text("select roll_up_controls(:t)"), {"t": session.info["tenant_id"]})
    return int(moved)


async def check(session: AsyncSession, laws: Sequence[Law], *, most: int = 100) -> list[Offence]:
    """Return what breaks the laws, at most `most` for each."""
    found: list[Offence] = []
    connection = await driver(session)
    # A law reads whole tables; where they were never analysed the planner would walk them row by row.
    await connection.execute("set local enable_nestloop = off")
    for law in laws:
        cursor = await connection.execute(f"select * from ({law.sql}) broken limit {int(most)}")
        found.extend(Offence(law.name, *(str(value) for value in row)) for row in await cursor.fetchall())
        await asyncio.sleep(0)
    return found
