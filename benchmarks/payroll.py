"""The payroll of a month for a million pensioners, against a bare INSERT … SELECT of the same rows.

Ours: `benefits.service.propose_payroll`, `approve_payroll` and `post_payroll`: what falls due to each by their rule, what the
own pot gives, what is payable of it and why it is carried over, digested, approved as one, and posted by ranges of 10,000
members, each a transaction with its event, transfers, balances, control deltas and audit queue, under row-level security. The
denominator writes the transfers, instalments and payments alone into empty tables with the same columns, keys and
indexes, in one statement each, analysed before.
"""

import asyncio
import resource
import time
from datetime import date
from typing import Any

import psycopg

from benchmarks.schemes import tenant_on
from benchmarks.stage import Stage, stage
from engine.benefits import service as benefits
from engine.benefits.queries import payroll, schedules
from engine.benefits.rules import ConsumptionOrder, PensionRule, ScheduleTerms
from engine.ledger import service as ledger
from engine.ledger.rules import Account
from engine.runtime.database import Database
from engine.runtime.settings import Settings
from engine.tenancy import service as tenancy
from engine.tenancy.service import Tenant

PRODUCT = "nps-lite"
MONTHS = (date(2024, 1, 1), date(2024, 2, 1), date(2024, 3, 1), date(2024, 4, 1))
TERMS = ScheduleTerms(
    form="pension",
    order=ConsumptionOrder(pots=("retirement",), pots_by="in-order", origins=("own",), origins_by="in-order"),
    pension=PensionRule(
        id="pension", source="invented", confidence="high", form="fixed", amount="1000.00", every_months=1,
        due="in-advance", pay_day="day-of-start", rounding="down",
    ),
)  # fmt: skip
_MEMBER = "((g::numeric * 11400714819323198485 %% 2305843009213693952)::bigint | (1::bigint << 61))"


def measure(settings: Settings, scale: float) -> dict[str, Any]:
    """Return the ratio, the rates behind it, and how much memory Python needed for few and for many pensioners."""
    many = int(1_000_000 * scale)
    with stage(settings) as where:
        return asyncio.run(_measure(where, many))


async def _measure(where: Stage, many: int) -> dict[str, Any]:
    db = Database(where.app_url)
    tenant, where = await tenant_on(where, db)
    few, rounds, memory = many // 50, [], []
    try:
        codes = await _codes(db, tenant)
        await asyncio.to_thread(_prepare, where, codes, 0, few)
        await _pay(db, tenant, MONTHS[0], few)
        memory.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        await asyncio.to_thread(_prepare, where, codes, few, many)
        for month in MONTHS[1:]:
            # The first of these pays the new pensioners' January too.
            due = 2 * many - few if month == MONTHS[1] else many
            ours = await _pay(db, tenant, month, due)
            if due == many:
                rounds.append((ours, await asyncio.to_thread(_bare, where, many)))
        memory.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    finally:
        await db.dispose()
    ours, bare = min(rounds, key=lambda pair: pair[1] / pair[0])
    return {
        "pensioners": many,
        "pensioners_per_second": round(many / ours),
        "bare_pensioners_per_second": round(many / bare),
        "ratio_to_bare_insert": round(bare / ours, 3),
        "python_kib_at_few": memory[0],
        "python_kib_at_most": memory[1],
        "denominator": "insert into bare_transfers, bare_pension_instalments, bare_payroll_payments select … (same rows, keys, indexes)",
    }


async def _codes(db: Database, tenant: Tenant) -> dict[str, int]:
    """Return the codes of a pension's accounts, and of the decision that all have in common."""
    accounts = {kind: Account(kind, tenant.asset.symbol, PRODUCT, "retirement", "own") for kind in ("cash", "payable")}
    async with db.unit_of_work(tenant.tenant_id) as session:
        found = await ledger.account_codes(session, set(accounts.values()))
        trace = {**tenancy.trace(PRODUCT, ["pension@2010-04-01"]), "terms": schedules.stored(TERMS)}
        return {kind: found[one] for kind, one in accounts.items()} | {
            "decision": await ledger.decision_id(session, trace)
        }


async def _pay(db: Database, tenant: Tenant, month: date, due: int) -> float:
    """Count, approve and post a month; return the seconds that all took."""
    start = time.perf_counter()
    counted = await benefits.propose_payroll(db, tenant, PRODUCT, month, actor="staff:1")
    number, digest = counted.row.run_no, counted.row.digest
    await benefits.approve_payroll(db, tenant, number, digest=digest, actor="staff:2")
    posted = await benefits.post_payroll(db, tenant, number)
    elapsed = time.perf_counter() - start
    assert (posted, counted.totals.pensions) == (due, due), counted
    async with db.unit_of_work(tenant.tenant_id) as session:
        assert await payroll.finish_run(session, number)
    return elapsed


def _prepare(where: Stage, codes: dict[str, int], first: int, last: int) -> None:
    """Add pensioners, each with 100,000.00 in the pot and 1,000.00 a month from 15 January."""
    values = {"t": where.tenant_id, "first": first + 1, "last": last, "product": PRODUCT, **codes}
    numbers = "generate_series(%(first)s::bigint, %(last)s::bigint) g"
    event = "((g / 4000 + 1) * 4096 + g %% 4000)"
    with psycopg.connect(where.super_url, autocommit=True) as connection:
        for statement in (
            f"insert into balances select {_MEMBER}, 0, 10000000, %(t)s, %(cash)s from {numbers}",
            f"""insert into pension_schedules (member_id, claim_id, amount, scheduled_event, tenant_id, decision, lead_months, every_months,
                  instalments, origins, started_on, is_indexed, product, form, rounding, pay_day, pots_by, origins_by, cash, payable, overpaid)
                select {_MEMBER}, {event}, 0, {event}, %(t)s, %(decision)s, 0, 1, 0, 1, '2024-01-15', false, %(product)s, 'pension', 'down',
                       'day-of-start', 'in-order', 'in-order', array[%(cash)s::int], array[%(payable)s::int], '{{0}}' from {numbers}""",
        ):
            connection.execute(statement, values)
        for table in ("balances", "pension_schedules"):
            connection.execute(f"vacuum analyze {table}")
        connection.execute("checkpoint")


def _bare(where: Stage, members: int) -> float:
    """Return the seconds that the rows of the newest payroll take by themselves."""
    newest = "(select max(run_no) from payroll_runs)"
    rows = {
        "transfers": f"select t.* from transfers t join payroll_ranges g on g.event_id = t.event_id and g.run_no = {newest}",
        "pension_instalments": f"select * from pension_instalments where run_no = {newest}",
        "payroll_payments": f"select * from payroll_payments where run_no = {newest}",
    }
    with psycopg.connect(where.super_url, autocommit=True) as connection:
        for table, chosen in rows.items():
            connection.execute(f"drop table if exists bare_{table}, made_{table}")
            connection.execute(f"create table bare_{table} (like {table} including all)")
            connection.execute(f"create table made_{table} as {chosen}")
            connection.execute(f"vacuum analyze made_{table}")
        counted = connection.execute(
            "select (select count(*) from made_transfers), (select count(*) from made_pension_instalments)"
        )
        assert counted.fetchone() == (members, members)
        connection.execute("checkpoint")
        start = time.perf_counter()
        for table in rows:
            connection.execute(f"insert into bare_{table} select * from made_{table}")
        return time.perf_counter() - start
