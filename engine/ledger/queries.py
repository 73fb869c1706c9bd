"""The ledger's SQL: posting, the chart, balances at a date and as known, and the laws of the books."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

import msgspec
from psycopg import AsyncConnection
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from engine.ledger.rules import BATCH_MASK, LONGEST_BODY, Account, Entry, Law, Outcome, Posted
from engine.runtime.arrays import BigInts, Dates, Ints, JSONs, SmallInts, UUIDs
from engine.runtime.database import driver

_POST = f"select item, outcome, event_id, code from post_batch({', '.join(['%s'] * 3 + ['%b'] * 15)})"


async def post_batch(
    connection: AsyncConnection[Any], tenant_id: int, entries: Sequence[Entry], *, recorded_at: datetime, careful: bool
) -> list[Posted]:
    """Write `entries` (at most 4,096) in one statement; return each one's fate, in their order."""
    bodies = [msgspec.json.encode(entry.body) for entry in entries]
    # An entry of the log holds 65,535 bytes; what cannot be logged must not be posted.
    assert max(map(len, bodies)) <= LONGEST_BODY, max(map(len, bodies))
    claims = [(i, claim) for i, entry in enumerate(entries) for claim in entry.claims]
    moves = [(i, line, t) for i, entry in enumerate(entries) for line, t in enumerate(entry.transfers, 1)]
    cursor = await connection.execute(
        _POST,
        (
            tenant_id,
            recorded_at,
            careful,
            BigInts([entry.member_id for entry in entries]),
            BigInts([entry.body_digest for entry in entries]),
            Dates([entry.business_date for entry in entries]),
            Ints([entry.actor for entry in entries]),
            Ints([entry.pack for entry in entries]),
            Ints([entry.decision for entry in entries]),
            SmallInts([entry.kind for entry in entries]),
            JSONs(bodies),
            Ints([i for i, _ in claims]),
            UUIDs([claim for _, claim in claims]),
            Ints([i for i, _, _ in moves]),
            Ints([line for _, line, _ in moves]),
            BigInts([t.amount for _, _, t in moves]),
            Ints([t.debit for _, _, t in moves]),
            Ints([t.credit for _, _, t in moves]),
        ),
    )
    rows = await cursor.fetchall()
    base = next(event_id for item, _, event_id, _ in rows if item < 0)
    fates = [Posted(base + i, Outcome.POSTED) for i in range(len(entries))]
    for item, outcome, event_id, code in rows:
        if item >= 0:
            fates[item] = Posted(event_id, Outcome(outcome), code)
    return fates


# A row written by this very transaction may yet be rolled back, so it must not be remembered.
_COMMITTED = "{table}.xmin::text <> coalesce(pg_current_xact_id_if_assigned()::xid::text, '')"


async def chart(session: AsyncSession) -> dict[Account, tuple[int, bool]]:
    """Return every account of the tenant with its code and whether it is committed."""
    rows = await session.execute(
        text(f"""select c.code, c.kind, a.symbol, c.product, c.pot, c.origin, c.fund, c.party,
                        {_COMMITTED.format(table="c")} as committed
                  from chart c join assets a on a.tenant_id = c.tenant_id and a.asset_id = c.code >> 12""")
    )
    return {Account(r.kind, r.symbol, r.product, r.pot, r.origin, r.fund, r.party): (r.code, r.committed) for r in rows}


async def open_account(session: AsyncSession, account: Account) -> int:
    """Return the account's code, opening it if it is new."""
    code = await session.scalar(
        text("select open_account(:t, :asset, :kind, :product, :pot, :origin, :fund, :party, :members)"),
        {
            "t": session.info["tenant_id"],
            "asset": account.asset,
            "kind": account.kind,
            "product": account.product,
            "pot": account.pot,
            "origin": account.origin,
            "fund": account.fund,
            "party": account.party,
            "members": account.is_members,
        },
    )
    return int(code)


async def open_asset(session: AsyncSession, symbol: str, scale: int, kind: str) -> None:
    """Add an asset ("money" or "units") to the tenant's, once."""
    await session.execute(
        text("""insert into assets (tenant_id, asset_id, symbol, scale, kind)
                select :t, coalesce(max(asset_id), 0) + 1, :symbol, :scale, :kind from assets where tenant_id = :t
                having not exists (select from assets where tenant_id = :t and symbol = :symbol)
                on conflict do nothing"""),
        {"t": session.info["tenant_id"], "symbol": symbol, "scale": scale, "kind": kind},
    )


async def intern(session: AsyncSession, table: str, column: str, value: object, **others: object) -> tuple[int, bool]:
    """Return the number of `value` in an interning table (actors, packs, decisions), adding it if new; and whether it is committed."""
    number = {"actors": "actor_id", "packs": "pack_id", "decisions": "decision_id"}[table]
    names = "".join(f", {name}" for name in others)
    values = "".join(f", :{name}" for name in others)
    parameters = {"t": session.info["tenant_id"], "value": value, **others}
    find = text(
        f"select {number}, {_COMMITTED.format(table=table)} from {table} where tenant_id = :t and {column} = :value"
    )
    found = (await session.execute(find, parameters)).first()
    if found is None:
        await session.execute(
            text(f"select pg_advisory_xact_lock(7003, :t) /* {table} */"), {"t": session.info["tenant_id"]}
        )
        await session.execute(
            text(f"""insert into {table} (tenant_id, {number}, {column}{names})
                     select :t, coalesce(max({number}), 0) + 1, :value{values} from {table} where tenant_id = :t
                     having not exists (select from {table} where tenant_id = :t and {column} = :value)"""),
            parameters,
        )
        found = (await session.execute(find, parameters)).one()
    return int(found[0]), bool(found[1])


async def scheme_now(session: AsyncSession) -> datetime:
    """Return the scheme's instant: where an operator advances the clock, that; else the database's."""
    now: datetime = await session.scalar(
        text("select coalesce(clock_at, clock_timestamp()) from tenants where tenant_id = :t"),
        {"t": session.info["tenant_id"]},
    )
    return now


def lane_statements(tenant_id: int, lane: int) -> tuple[str, str]:
    """Return what takes a lane's lock until the transaction ends, then reads the scheme's instant."""
    return (
        f"select pg_advisory_xact_lock({7100 + int(lane)}, {int(tenant_id)})",
        f"select coalesce(clock_at, clock_timestamp()) from tenants where tenant_id = {int(tenant_id)}",
    )


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event as it stands in the books."""

    member_id: int
    event_id: int
    body_digest: int
    business_date: date
    kind: int
    body: dict[str, object]
    decision: int
    recorded_at: datetime


_STORED = """
select e.member_id, e.event_id, e.body_digest, e.business_date, e.kind, e.body, e.decision, b.recorded_at
  from unnest(%s::bigint[], %s::bigint[]) w(member_id, event_id)
  join events e on {found}
  join batches b on b.tenant_id = e.tenant_id and b.batch_id = e.event_id & %s
"""


async def events_by_key(session: AsyncSession, keys: Sequence[tuple[int, int]]) -> dict[int, StoredEvent]:
    """Return the events that stand under those (member_id, event_id), by event id."""
    return await _stored(session, keys, "e.member_id = w.member_id and e.event_id = w.event_id")


async def events_by_id(session: AsyncSession, event_ids: Sequence[int]) -> dict[int, StoredEvent]:
    """Return the events of those ids, whoever's. Found by the block-range index, so ask for few at a time."""
    return await _stored(session, [(0, event_id) for event_id in event_ids], "e.event_id = w.event_id")


async def _stored(session: AsyncSession, keys: Sequence[tuple[int, int]], found: str) -> dict[int, StoredEvent]:
    connection = await driver(session)
    cursor = await connection.execute(
        _STORED.format(found=found), ([member for member, _ in keys], [event for _, event in keys], BATCH_MASK)
    )
    return {row[1]: StoredEvent(*row) for row in await cursor.fetchall()}


async def transfers_of(session: AsyncSession, keys: Sequence[tuple[int, int]]) -> dict[int, list[tuple[int, int, int]]]:
    """Return (amount, debit, credit) of each (member_id, event_id), by event id, in line order."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select t.event_id, t.amount, t.debit, t.credit
             from unnest(%s::bigint[], %s::bigint[]) w(member_id, event_id)
             join transfers t on t.member_id = w.member_id and t.event_id = w.event_id order by t.event_id, t.line""",
        ([member for member, _ in keys], [event for _, event in keys]),
    )
    found: dict[int, list[tuple[int, int, int]]] = {}
    for event_id, amount, debit, credit in await cursor.fetchall():
        found.setdefault(event_id, []).append((amount, debit, credit))
    return found


async def claimed(session: AsyncSession, digest: UUID) -> int | None:
    """Return the event that claimed `digest`, or None."""
    value = await session.scalar(text("select event_id from claims where digest = :d"), {"d": digest})
    return None if value is None else int(value)


_MEMBER_BALANCES = """
with moved as (
  select t.debit, t.credit, t.amount from transfers t
    join events e on e.event_id = t.event_id and e.member_id in (t.member_id, :house)
   where t.member_id = :member
     and (cast(:as_of as date) is null or e.business_date <= :as_of)
     and (cast(:size as bigint) is null or exists (
           select from audit_batches b where b.tenant_id = t.tenant_id and b.batch_id = (t.event_id & :mask) and b.first_seq < :size)))
select code, sum(side)::bigint as balance
  from (select credit as code, amount as side from moved union all select debit, -amount from moved) s
 where code & 2048 <> 0 group by code having sum(side) <> 0
"""


async def member_balances(
    session: AsyncSession, member_id: int, *, as_of: date | None = None, log_size: int | None = None
) -> dict[int, int]:
    """Return a member's credit balances by code, folded from transfers.

    `as_of` counts entries of business dates up to it; `log_size` those that stood in the log of that size.
    """
    rows = await session.execute(
        text(_MEMBER_BALANCES),
        {
            "member": member_id,
            "house": -session.info["tenant_id"],
            "as_of": as_of,
            "size": log_size,
            "mask": BATCH_MASK,
        },
    )
    return {row.code: row.balance for row in rows}


async def stored_balances(session: AsyncSession, member_id: int) -> dict[int, int]:
    """Return a member's credit balances by code as stored: all entries, now."""
    rows = await session.execute(
        text("select code, credits - debits as balance from balances where member_id = :m and credits <> debits"),
        {"m": member_id},
    )
    return {row.code: row.balance for row in rows}


async def hold_balances(session: AsyncSession, member_id: int, codes: Sequence[int]) -> dict[int, int]:
    """Return a member's credit balances by code; nobody else can move them until the session ends."""
    rows = await session.execute(
        text("""select code, credits - debits as balance from balances
                 where member_id = :m and code = any(:codes) order by code for no key update"""),
        {"m": member_id, "codes": list(codes)},
    )
    return {row.code: row.balance for row in rows}


async def add_correction(session: AsyncSession, *, by: tuple[int, int], of: tuple[int, int]) -> None:
    """Note that one event, as (member_id, event_id), corrects another."""
    await session.execute(
        text("""insert into corrections (member_id, event_id, corrects_member, corrects_event, tenant_id)
                values (:m, :e, :of_m, :of_e, :t)"""),
        {"m": by[0], "e": by[1], "of_m": of[0], "of_e": of[1], "t": session.info["tenant_id"]},
    )


async def is_corrected(session: AsyncSession, member_id: int, event_id: int) -> bool:
    """Return whether an event was corrected by another."""
    return bool(
        await session.scalar(
            text("select exists (select from corrections where corrects_member = :m and corrects_event = :e)"),
            {"m": member_id, "e": event_id},
        )
    )


async def control_balances(session: AsyncSession) -> dict[int, int]:
    """Return every control account's debit balance by code: total plus deltas, read in one statement."""
    rows = await session.execute(
        text("""select code, sum(debits - credits)::bigint as balance from (
                  select code, debits, credits from control_totals
                  union all select code, debits, credits from control_deltas) s group by code""")
    )
    return {row.code: row.balance for row in rows}


async def credit_balance(session: AsyncSession, code: int) -> int:
    """Return the credit balance of a control account, now."""
    found = await session.scalar(
        text("""select coalesce(sum(credits - debits), 0)::bigint from (
                  select code, debits, credits from control_totals union all select code, debits, credits from control_deltas) b
                 where b.code = :code"""),
        {"code": code},
    )
    return int(found or 0)


LAWS: tuple[Law, ...] = (
    Law(
        "balances-equal-transfers",
        "every stored balance of a member is the fold of the transfers that touch it",
        """
        with folded as (
          select member_id, code, sum(d)::bigint as debits, sum(c)::bigint as credits from (
            select member_id, debit as code, amount as d, 0 as c from transfers where mod(debit, 4096) >= 2048
            union all select member_id, credit, 0, amount from transfers where mod(credit, 4096) >= 2048) s
          group by member_id, code)
        select format('account %s of member %s', code, to_hex(member_id)),
               format('%s/%s', coalesce(f.debits, 0), coalesce(f.credits, 0)),
               format('%s/%s', coalesce(b.debits, 0), coalesce(b.credits, 0))
          from folded f full join balances b using (member_id, code)
         where (coalesce(f.debits, 0), coalesce(f.credits, 0)) <> (coalesce(b.debits, 0), coalesce(b.credits, 0))
        """,
    ),
    Law(
        "controls-equal-transfers",
        "every control account's total plus deltas is the fold of the transfers that touch it",
        """
        with folded as (
          select code, sum(d)::bigint as debits, sum(c)::bigint as credits from (
            select debit as code, amount as d, 0 as c from transfers where mod(debit, 4096) < 2048
            union all select credit, 0, amount from transfers where mod(credit, 4096) < 2048) s group by code),
        kept as (
          select code, sum(debits)::bigint as debits, sum(credits)::bigint as credits from (
            select code, debits, credits from control_totals union all select code, debits, credits from control_deltas) s
          group by code)
        select format('control account %s', code),
               format('%s/%s', coalesce(f.debits, 0), coalesce(f.credits, 0)),
               format('%s/%s', coalesce(k.debits, 0), coalesce(k.credits, 0))
          from folded f full join kept k using (code)
         where (coalesce(f.debits, 0), coalesce(f.credits, 0)) <> (coalesce(k.debits, 0), coalesce(k.credits, 0))
        """,
    ),
    Law(
        "transfers-are-sound",
        "every transfer moves a positive amount between two different accounts of the chart in one asset",
        """
        select format('transfer %s/%s/%s', to_hex(t.member_id), t.event_id, t.line), 'two open accounts of one asset',
               format('%s from %s to %s', t.amount, t.credit, t.debit)
          from transfers t
          left join chart d on d.code = t.debit left join chart c on c.code = t.credit
         where t.amount <= 0 or t.debit = t.credit or t.debit / 4096 <> t.credit / 4096 or d.code is null or c.code is null
        """,
    ),
    Law(
        "transfers-have-events",
        "every transfer belongs to an event of its member or of the house",
        """
        select format('transfer %s/%s/%s', to_hex(t.member_id), t.event_id, t.line), 'an event', 'none'
          from transfers t left join events e on e.event_id = t.event_id
         where e.event_id is null or e.member_id not in (t.member_id, -t.tenant_id)
        """,
    ),
    Law(
        "members-never-below-zero",
        "no member's account is overdrawn",
        """
        select format('account %s of member %s', code, to_hex(member_id)), '>= 0', (credits - debits)::text
          from balances where credits < debits
        """,
    ),
    Law(
        "batches-count-their-events",
        "every batch has as many events as it says, and every event a batch",
        """
        with counted as (select div(event_id, 4096) as number, count(*)::int as n from events group by 1)
        select format('batch %s', coalesce(c.number * 4096, b.batch_id)), coalesce(b.n, 0)::text, coalesce(c.n, 0)::text
          from counted c full join batches b on div(b.batch_id, 4096) = c.number
         where coalesce(c.n, 0) <> coalesce(b.n, 0)
        """,
    ),
    Law(
        "batches-reach-the-log-once",
        "every batch waits for its place in the log or has it, once",
        """
        with placed as (
          select batch_id, n from unsequenced union all select batch_id, n from audit_batches)
        select format('batch %s', b.batch_id), format('once with %s', b.n), format('%s times with %s', count(p.n), coalesce(max(p.n), 0))
          from batches b left join placed p on p.batch_id = b.batch_id
         group by b.batch_id, b.n having count(p.n) <> 1 or max(p.n) <> b.n
        """,
    ),
    Law(
        "log-order-has-no-gap",
        "places in the log follow each other without gap or overlap",
        """
        select format('place %s', first_seq), coalesce(expected, 0)::text, first_seq::text
          from (select first_seq, lag(first_seq + n) over (order by first_seq) as expected from audit_batches) s
         where first_seq <> coalesce(expected, 0)
        """,
    ),
    Law(
        "claims-point-at-events",
        "every claim names an event of the books",
        """
        select format('claim %s', c.digest), 'an event', c.event_id::text
          from claims c where not exists (select from events e where e.event_id = c.event_id)
        """,
    ),
    Law(
        "contributions-claim-once",
        "every contribution received or suspended holds at least one claim, so that it cannot be posted again",
        """
        select format('event %s', e.event_id), 'a claim', 'none'
          from events e where e.kind in (10, 11)
           and not exists (select from claims c where c.event_id = e.event_id)
        """,
    ),
    Law(
        "assets-balance",
        "in every asset, debits of all accounts equal credits of all accounts",
        """
        select format('asset %s', asset), sum(d)::text, sum(c)::text from (
          select code / 4096 as asset, debits as d, credits as c from balances
          union all select code / 4096, debits, credits from control_totals
          union all select code / 4096, debits, credits from control_deltas) s
         group by asset having sum(d) <> sum(c)
        """,
    ),
)


async def write_gathered_event(session: AsyncSession, event_id: int, entry: Entry) -> None:
    """Write the event of transfers that a statement over many members wrote, and its place in the queue.

    `event_id` came from `next_batch_id`; the entry's own claims and transfers are none. The caller wrote the transfers,
    balances and control deltas of it.
    """
    assert not entry.claims, entry
    assert not entry.transfers, entry
    given = {
        "t": session.info["tenant_id"], "e": event_id, "m": entry.member_id, "day": entry.business_date, "actor": entry.actor,
        "pack": entry.pack, "decision": entry.decision, "kind": int(entry.kind), "body": msgspec.json.encode(entry.body).decode(),
    }  # fmt: skip
    await session.execute(
        text("""insert into events (member_id, event_id, body_digest, tenant_id, business_date, actor, pack, decision, kind, body)
                values (:m, :e, 0, :t, :day, :actor, :pack, :decision, :kind, cast(:body as jsonb))"""),
        given,
    )
    await session.execute(
        text("""insert into batches (tenant_id, batch_id, n, recorded_at)
                select :t, :e, 1, coalesce(clock_at, clock_timestamp()) from tenants where tenant_id = :t"""),
        given,
    )
    await session.execute(text("insert into unsequenced (tenant_id, batch_id, n) values (:t, :e, 1)"), given)
