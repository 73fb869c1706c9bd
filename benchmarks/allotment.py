"""Allotting a fund's order to a million members, against a bare INSERT … SELECT of the same rows.

Ours: `funds.service.price_orders`: ranges of 10,000 members, each a transaction with its event, cash and unit transfers,
balances, control deltas and audit queue, under row-level security. The denominator writes the transfers and the new unit
balances alone into empty tables with the same columns, keys and indexes, in one statement each, analysed before.
"""

import asyncio
import resource
import time
from datetime import date, timedelta
from typing import Any

import psycopg

from benchmarks.schemes import tenant_on
from benchmarks.stage import Stage, stage
from engine.funds import service as funds
from engine.runtime.database import Database
from engine.runtime.settings import Settings
from engine.tenancy.service import Tenant

DAY = date(2026, 10, 1)
_MEMBER = "((g::numeric * 11400714819323198485 % 2305843009213693952)::bigint | (1::bigint << 61))"


def measure(settings: Settings, scale: float) -> dict[str, Any]:
    """Return the ratio, the rates behind it, and how much memory Python needed for few and for many members."""
    many = int(1_000_000 * scale)
    with stage(settings) as where:
        return asyncio.run(_measure(where, many))


async def _measure(where: Stage, many: int) -> dict[str, Any]:
    db = Database(where.app_url)
    tenant, where = await tenant_on(where, db)
    rounds, memory = [], []
    try:
        await _allot(db, tenant, where, 20_000, 0)
        memory.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        for number in range(3):
            ours = await _allot(db, tenant, where, many, number + 1)
            rounds.append((ours, await asyncio.to_thread(_bare, where, many)))
        memory.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    finally:
        await db.dispose()
    rounds.sort(key=lambda pair: pair[1] / pair[0])
    ours, bare = rounds[1]
    return {
        "members": many,
        "members_per_second": round(many / ours),
        "bare_members_per_second": round(many / bare),
        "ratio_to_bare_insert": round(bare / ours, 3),
        "wanted_ratio": 0.333,
        "python_kib_at_20_000": memory[0],
        "python_kib_at_most": memory[1],
        "denominator": "insert into bare_transfers select …; insert into bare_balances select … (same rows, keys, indexes)",
    }


async def _allot(db: Database, tenant: Tenant, where: Stage, members: int, number: int) -> float:
    """Prepare a dealing of its own in which each member has one receipt allocated; return the seconds its allotment took."""
    day = DAY + timedelta(days=2 * number)
    await asyncio.to_thread(_prepare, where, members, number, day)
    start = time.perf_counter()
    _, orders = await funds.price_orders(db, tenant, day + timedelta(days=1), "operator:bench")
    elapsed = time.perf_counter() - start
    assert [order.members for order in orders if not order.waiting] == [members], orders
    return elapsed


def _prepare(where: Stage, members: int, number: int, day: date) -> None:
    with psycopg.connect(where.super_url, autocommit=True) as connection:
        values = {
            "t": where.tenant_id, "n": members, "day": day, "next": day + timedelta(days=1), "cash": where.cash,
            "collected": where.collections, "fund": 1, "dealing": number + 1000, "offset": number * 10_000_000,
            "amount": 50_000 * members, "sha": f"{number:064x}",
        }  # fmt: skip
        for statement in (
            "insert into funds values (%(t)s, %(fund)s, 4, 'SM001009') on conflict do nothing",
            """insert into assets select %(t)s, 2, 4, 'SM001009', 'units'
                where not exists (select from assets where tenant_id = %(t)s and symbol = 'SM001009')""",
            """insert into price_files (tenant_id, day, state, received_at, name, sha256, raw)
               values (%(t)s, %(next)s, 'imported', now(), 'x', %(sha)s, '')""",
            """insert into prices (file_id, digits, event_id, tenant_id, fund_id, price_on, maker, scale, state)
               select max(file_id), 326034, 1, %(t)s, %(fund)s, %(next)s, 1, 4, 'accepted' from price_files""",
            """insert into dealings (tenant_id, dealing_id, opened_on, state, product)
               values (%(t)s, %(dealing)s, %(day)s, 'open', 'nps-lite')""",
            f"""insert into balances select {_MEMBER}, 0, 50000, %(t)s, %(cash)s
                  from generate_series(%(offset)s::bigint + 1, %(offset)s::bigint + %(n)s) g""",
            f"""insert into allocations
                select {_MEMBER}, g, 50000, %(t)s, %(dealing)s, %(cash)s, %(collected)s, %(fund)s, %(day)s
                  from generate_series(%(offset)s::bigint + 1, %(offset)s::bigint + %(n)s) g""",
            "update dealings set state = 'closed', cut_off_on = %(day)s where dealing_id = %(dealing)s",
            """insert into orders (amount, event_id, tenant_id, dealing_id, fund_id, reference)
               values (%(amount)s, 1, %(t)s, %(dealing)s, %(fund)s, 'bench-' || %(dealing)s)""",
        ):
            connection.execute(statement.replace("% 2305", "%% 2305"), values)
        for table in ("balances", "allocations", "transfers", "events"):
            connection.execute(f"vacuum analyze {table}")
        connection.execute("checkpoint")


def _bare(where: Stage, members: int) -> float:
    """Return the seconds that the rows of the newest allotment take by themselves."""
    with psycopg.connect(where.super_url, autocommit=True) as connection:
        connection.execute("drop table if exists bare_transfers, bare_balances, made_transfers, made_balances")
        connection.execute("create table bare_transfers (like transfers including all)")
        connection.execute("create table bare_balances (like balances including all) with (fillfactor = 60)")
        connection.execute(
            """create table made_transfers as select t.* from transfers t
                where t.event_id > (select max(event_id) - (120::bigint << 22) * 1000 from events)
                  and (t.member_id, t.debit) in (select member_id, code from allocations
                                                  where dealing_id = (select max(dealing_id) from dealings))"""
        )
        connection.execute(
            """insert into made_transfers select t.* from transfers t
                where t.debit not in (select debit from made_transfers) and exists (
                  select from made_transfers m where m.member_id = t.member_id and m.event_id = t.event_id)"""
        )
        connection.execute(
            """create table made_balances as select b.* from balances b
                where exists (select from made_transfers m where m.member_id = b.member_id and m.credit = b.code)"""
        )
        counted = connection.execute(
            "select (select count(*) from made_transfers), (select count(*) from made_balances)"
        )
        assert counted.fetchone() == (2 * members, members)
        connection.execute("vacuum analyze made_transfers")
        connection.execute("vacuum analyze made_balances")
        connection.execute("checkpoint")
        start = time.perf_counter()
        connection.execute("insert into bare_transfers select * from made_transfers")
        connection.execute("insert into bare_balances select * from made_balances")
        return time.perf_counter() - start
