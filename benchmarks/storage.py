"""Bytes stored for a contribution received, and for one priced, by funds and pots.

Counted: events, transfers, claims, control deltas, batches, the log's batches, tiles and checkpoints, with their
indexes, and for a priced one its allocations and allotments. Members' balances are told apart: they grow with members.
"""

import asyncio
import random
import uuid
from datetime import date, timedelta
from typing import Any

import psycopg

from benchmarks.allotment import DAY
from benchmarks.schemes import keys_in_a_folder, tenant_on
from benchmarks.stage import Stage, member, stage
from engine.audit import service as audit
from engine.funds import service as funds
from engine.ledger import service as ledger
from engine.ledger.rules import Account, Entry, EventKind, Transfer
from engine.runtime.database import Database
from engine.runtime.settings import Settings

PEOPLE = 10_000
BATCH = 1_000
RECEIVED = (
    "events",
    "transfers",
    "claims",
    "control_deltas",
    "batches",
    "audit_batches",
    "audit_tiles",
    "audit_checkpoints",
)
PRICED = (*RECEIVED, "allocations", "allotments", "orders", "dealings")


def measure(settings: Settings, scale: float) -> dict[str, Any]:
    """Return bytes a contribution, received and priced, for several numbers of funds and pots."""
    count = max(20_000, int(200_000 * scale))
    found: dict[str, Any] = {"contributions": count, "wanted_at_most": 560}
    for funds_, pots in ((1, 1), (1, 2), (3, 1), (3, 2)):
        with stage(settings) as where:
            found[f"{funds_}_funds_{pots}_pots"] = asyncio.run(_measure(where, count, funds_, pots))
    found["bytes_per_contribution_received"] = found["1_funds_1_pots"]["received"]
    return found


async def _measure(where: Stage, count: int, fund_count: int, pots: int) -> dict[str, float]:
    keys, db = keys_in_a_folder(), Database(where.app_url)
    tenant, where = await tenant_on(where, db)
    try:
        async with db.unit_of_work(tenant.tenant_id) as session:
            cash = [
                Account("cash", "INR", product="nps-lite", pot=f"pot-{number}", origin="own") for number in range(pots)
            ]
            codes = [
                code
                for _, code in sorted((await ledger.account_codes(session, cash)).items(), key=lambda one: one[0].pot)
            ]
        before = _sizes(where, RECEIVED)
        for _ in range(count // BATCH):
            async with db.unit_of_work(tenant.tenant_id) as session:
                await ledger.post(session, [_entry(where, codes) for _ in range(BATCH)])
        await audit.append(db, keys, tenant.tenant_id, "bench/log")
        received = _sizes(where, RECEIVED) - before
        balances = _sizes(where, ("balances",))
        _allocate(where, codes, fund_count)
        _, orders = await funds.price_orders(db, tenant, DAY + timedelta(days=1), "operator:bench")
        assert len([order for order in orders if not order.waiting]) == fund_count, orders
        await audit.append(db, keys, tenant.tenant_id, "bench/log")
        priced = _sizes(where, PRICED) - before
    finally:
        await db.dispose()
    return {
        "received": round(received / count, 1),
        "received_and_priced": round(priced / count, 1),
        "balances_per_member": round(balances / PEOPLE, 1),
    }


def _entry(where: Stage, codes: list[int]) -> Entry:
    amounts = [50_000 // len(codes)] * len(codes)
    return Entry(
        member_id=member(random.randrange(PEOPLE)),
        kind=EventKind.CONTRIBUTION_RECEIVED,
        business_date=date(2023, 4, 3),
        actor=1,
        pack=1,
        body={"amount": "50000", "channel": "upi", "ref": uuid.uuid4().hex[:22]},
        body_digest=random.getrandbits(62),
        claims=(uuid.uuid4(),),
        transfers=tuple(Transfer(amount, where.collections, code) for amount, code in zip(amounts, codes, strict=True)),
    )


def _allocate(where: Stage, codes: list[int], fund_count: int) -> None:
    """Allocate every receipt to `fund_count` funds in equal parts, close the dealing and give it prices."""
    with psycopg.connect(where.super_url, autocommit=True) as connection:
        values = {
            "t": where.tenant_id,
            "day": DAY,
            "next": DAY + timedelta(days=1),
            "funds": fund_count,
            "codes": codes,
        }
        for statement in (
            "insert into funds select %(t)s, f, 4, 'SM00' || f || '009' from generate_series(1, %(funds)s) f",
            """insert into assets select %(t)s, 10 + f, 4, 'SM00' || f || '009', 'units' from generate_series(1, %(funds)s) f""",
            """insert into price_files (tenant_id, day, state, received_at, name, sha256, raw)
               values (%(t)s, %(next)s, 'imported', now(), 'x', repeat('0', 64), '')""",
            """insert into prices (file_id, digits, event_id, tenant_id, fund_id, price_on, maker, scale, state)
               select p.file_id, 326034, 1, %(t)s, f, %(next)s, 1, 4, 'accepted' from price_files p, generate_series(1, %(funds)s) f""",
            "insert into dealings (tenant_id, dealing_id, opened_on, state, product) values (%(t)s, 1, %(day)s, 'open', 'nps-lite')",
            """insert into allocations
               select t.member_id, t.event_id, t.amount / %(funds)s, %(t)s, 1, t.credit, t.debit, f, %(day)s
                 from transfers t, generate_series(1, %(funds)s) f where t.credit = any (%(codes)s)""",
            "update dealings set state = 'closed', cut_off_on = %(day)s",
            """insert into orders (amount, event_id, tenant_id, dealing_id, fund_id, reference)
               select sum(amount), 1, %(t)s, 1, fund_id, 'bench-' || fund_id from allocations group by fund_id""",
        ):
            connection.execute(statement, values)
        connection.execute("vacuum analyze")


def _sizes(where: Stage, tables: tuple[str, ...]) -> int:
    """Return the bytes of the tables with their partitions and indexes."""
    with psycopg.connect(where.super_url, autocommit=True) as connection:
        connection.execute("vacuum")
        row = connection.execute(
            """select sum(pg_total_relation_size(c.oid))::bigint from pg_class c
                where c.relkind = 'r' and (c.relname = any (%(tables)s) or exists (
                  select from pg_inherits i join pg_class p on p.oid = i.inhparent
                   where i.inhrelid = c.oid and p.relname = any (%(tables)s)))""",
            {"tables": list(tables)},
        ).fetchone()
        assert row is not None
        return int(row[0])
