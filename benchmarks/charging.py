"""Charging a fee to a million members, against a bare INSERT … SELECT of the same rows.

Ours: `benefits.service.propose_fees` and `approve_fees`: a month's part of a percentage of what each member has, with tax on
it, counted from the transfers, digested, and taken by ranges of 10,000 members, each a transaction with its event, transfers,
lines, charges, balances, control deltas and audit queue, under row-level security. The denominator writes the transfers,
lines and charges alone into empty tables with the same columns, keys and indexes, in one statement each, analysed before.
"""

import asyncio
import resource
import time
from dataclasses import replace
from datetime import date
from typing import Any

import psycopg

from benchmarks.schemes import tenant_on
from benchmarks.stage import Stage, stage
from engine.app import KINDS
from engine.benefits import service as benefits
from engine.runtime.database import Database
from engine.runtime.settings import Settings
from engine.tenancy.rules.books import decode_book
from engine.tenancy.service import Tenant

PRODUCT = "nps-lite"
DAYS = (date(2024, 1, 31), date(2024, 2, 29), date(2024, 3, 31), date(2024, 4, 30))
FEE = b"""
[[rule]]
kind = "fee"
id = "monthly"
charged = "month"
payee = "operator"
percent = "1.2"
percent_of = "assets"
vat = "18"
part_period = "days"
taken_from = "cash"
order = { pots = ["retirement"], pots_by = "in-order", origins = ["own"], origins_by = "in-order" }
rank = 1
when_short = "take-what-is-there"
rounding = "half-up"
source = "invented"
confidence = "high"
"""
_MEMBER = "((g::numeric * 11400714819323198485 %% 2305843009213693952)::bigint | (1::bigint << 61))"


def measure(settings: Settings, scale: float) -> dict[str, Any]:
    """Return the ratio, the rates behind it, and how much memory Python needed for few and for many members."""
    many = int(1_000_000 * scale)
    few = min(20_000, many // 2)
    with stage(settings) as where:
        return asyncio.run(_measure(where, few, many))


async def _measure(where: Stage, few: int, many: int) -> dict[str, Any]:
    db = Database(where.app_url)
    tenant, where = await tenant_on(where, db)
    book, problems = decode_book(PRODUCT, {f"{PRODUCT}/rules/2010-04-01.toml": FEE}, KINDS)
    assert not problems, problems
    tenant = replace(tenant, pack=replace(tenant.pack, books={PRODUCT: book}))
    rounds, memory = [], []
    try:
        await asyncio.to_thread(_prepare, where, 0, few)
        await _charge(db, tenant, DAYS[0], few)
        memory.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        await asyncio.to_thread(_prepare, where, few, many)
        for day in DAYS[1:]:
            ours = await _charge(db, tenant, day, many)
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
        "wanted_ratio": 0.25,
        "python_kib_at_few": memory[0],
        "python_kib_at_most": memory[1],
        "denominator": "insert into bare_transfers, bare_fee_lines, bare_fee_charges select … (same rows, keys, indexes)",
    }


async def _charge(db: Database, tenant: Tenant, day: date, members: int) -> float:
    """Propose and approve the fees of a day; return the seconds that both took."""
    start = time.perf_counter()
    run = await benefits.propose_fees(db, tenant, PRODUCT, day, actor="staff:1")
    done = await benefits.approve_fees(db, tenant, run.run_no, run.digest, actor="staff:2")
    elapsed = time.perf_counter() - start
    assert (done.state, done.members) == ("done", members), done
    return elapsed


def _prepare(where: Stage, first: int, last: int) -> None:
    """Add members, each with one payment of 500.00."""
    values = {
        "t": where.tenant_id, "first": first + 1, "last": last, "cash": where.cash, "collected": where.collections,
        "product": PRODUCT,
    }  # fmt: skip
    numbers = "generate_series(%(first)s::bigint, %(last)s::bigint) g"
    event = "((g / 4000 + 1) * 4096 + g %% 4000)"
    with psycopg.connect(where.super_url, autocommit=True) as connection:
        for statement in (
            f"""insert into memberships (member_id, since_event, tenant_id, joined_on, from_on, product)
                select {_MEMBER}, 0, %(t)s, '2023-01-01', '2023-01-01', %(product)s from {numbers}""",
            f"insert into balances select {_MEMBER}, 0, 50000, %(t)s, %(cash)s from {numbers}",
            f"insert into events select {_MEMBER}, {event}, 0, %(t)s, '2023-01-02', 1, 1, 0, 10, '{{}}' from {numbers}",
            f"insert into transfers select {_MEMBER}, {event}, 50000, %(t)s, %(collected)s, %(cash)s, 1 from {numbers}",
        ):
            connection.execute(statement, values)
        for table in ("memberships", "balances", "events", "transfers"):
            connection.execute(f"vacuum analyze {table}")
        connection.execute("checkpoint")


def _bare(where: Stage, members: int) -> float:
    """Return the seconds that the rows of the newest run take by themselves."""
    tables = ("transfers", "fee_lines", "fee_charges")
    newest = "(select max(run_no) from fee_runs)"
    with psycopg.connect(where.super_url, autocommit=True) as connection:
        for table in tables:
            connection.execute(f"drop table if exists bare_{table}, made_{table}")
            connection.execute(f"create table bare_{table} (like {table} including all)")
            rows = f"select * from {table} where run_no = {newest}"
            if table == "transfers":
                rows = (
                    f"select t.* from transfers t join fee_ranges g on g.event_id = t.event_id and g.run_no = {newest}"
                )
            connection.execute(f"create table made_{table} as {rows}")
            connection.execute(f"vacuum analyze made_{table}")
        counted = connection.execute(
            "select (select count(*) from made_transfers), (select count(*) from made_fee_charges)"
        )
        assert counted.fetchone() == (2 * members, members)
        connection.execute("checkpoint")
        start = time.perf_counter()
        for table in tables:
            connection.execute(f"insert into bare_{table} select * from made_{table}")
        return time.perf_counter() - start
