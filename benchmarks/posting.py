"""Posting in batches of 1,000 on two connections, against COPY of the same rows into the same tables.

Both sides run as two processes with one connection each, on tables that already hold a million contributions. Ours
posts through `ledger.service.post`: claims, events, transfers, balances, control deltas and the audit queue, under
row-level security. COPY brings every row that ours inserts, already rendered, past row-level security; only the
balances, which ours updates, have no row to copy.
"""

import asyncio
import multiprocessing
import os
import random
import statistics
import time
import uuid
from collections.abc import Sequence
from datetime import date
from multiprocessing.synchronize import Barrier
from typing import Any

import psycopg

from benchmarks.stage import MEMBERS, Stage, fill, member, stage
from engine.ledger import service as ledger
from engine.ledger.rules import Entry, EventKind, Transfer
from engine.runtime.database import Database
from engine.runtime.settings import Settings

BATCH = 1000
CONNECTIONS = 2
DAY = date(2023, 4, 3)


def measure(settings: Settings, scale: float) -> dict[str, Any]:
    """Return the ratio, the rates behind it, and how speed holds as tables grow."""
    held, batches = int(1_000_000 * scale), max(4, int(40 * scale))
    with stage(settings) as where:
        rate(where, _post, batches)
        fresh = [rate(where, _post, batches) for _ in range(3)]
    with stage(settings) as where:
        fill(where, held)
        # Unmeasured: after a checkpoint the first touch of each page writes it whole, on either side.
        rate(where, _post, batches)
        rounds = [(rate(where, _post, batches), rate(where, _copy, batches)) for _ in range(3)]
        fill(where, held)
        rate(where, _post, batches)
        grown = [rate(where, _post, batches) for _ in range(3)]
    ours, copied = (statistics.median(values) for values in zip(*rounds, strict=True))
    return {
        "posting_per_second": round(ours),
        "copy_per_second": round(copied),
        "ratio_to_copy": round(statistics.median(a / b for a, b in rounds), 3),
        "wanted_ratio": 0.45,
        "fresh_per_second": round(statistics.median(fresh)),
        "grown_per_second": round(statistics.median(grown)),
        "grown_to_fresh": round(statistics.median(grown) / statistics.median(fresh), 3),
        "wanted_grown_to_fresh": 0.8,
        "contributions_held": held,
        "denominator": "two psycopg connections, each: COPY events, transfers, claims, control_deltas, batches, unsequenced "
        "FROM STDIN; 1000 contributions a commit",
    }


def rate(where: Stage, work: Any, batches: int) -> float:
    """Return contributions a second of `work` in `CONNECTIONS` processes at once."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(CONNECTIONS)
    with context.Pool(CONNECTIONS, initializer=_meet, initargs=(barrier,)) as pool:
        spans: Sequence[tuple[float, float]] = pool.starmap(work, [(where, batches)] * CONNECTIONS, chunksize=1)
    elapsed = max(end for _, end in spans) - min(start for start, _ in spans)
    return CONNECTIONS * batches * BATCH / elapsed


_barrier: Barrier


def _meet(barrier: Barrier) -> None:
    global _barrier  # noqa: PLW0603 - how a pool's initialiser hands a barrier to its work
    _barrier = barrier


def entries(where: Stage, people: random.Random) -> list[Entry]:
    """Return a batch of contributions of members drawn from `people`."""
    return [
        Entry(
            member_id=member(people.randrange(MEMBERS)),
            kind=EventKind.CONTRIBUTION_RECEIVED,
            business_date=DAY,
            actor=1,
            pack=1,
            decision=1,
            body={"amount": "50000", "channel": "upi", "ref": uuid.uuid4().hex[:22]},
            body_digest=people.getrandbits(62),
            claims=(uuid.uuid4(),),
            transfers=(Transfer(50000, where.collections, where.cash),),
        )
        for _ in range(BATCH)
    ]


def _post(where: Stage, batches: int) -> tuple[float, float]:
    work = [entries(where, random.Random()) for _ in range(batches)]

    async def run() -> tuple[float, float]:
        db = Database(where.app_url, pool_size=1)
        async with db.unit_of_work(where.tenant_id):
            pass
        _barrier.wait()
        start = time.time()
        for entries in work:
            async with db.unit_of_work(where.tenant_id) as session:
                await ledger.post(session, entries)
        end = time.time()
        await db.dispose()
        return start, end

    return asyncio.run(run())


def _copy(where: Stage, batches: int) -> tuple[float, float]:
    with psycopg.connect(where.super_url) as connection:
        rendered = []
        for _ in range(batches):
            row = connection.execute("select next_batch_id()").fetchone()
            assert row is not None
            rendered.append(_rendered(where, entries(where, random.Random()), row[0] + (os.getpid() % 2 << 11)))
            time.sleep(0.002)
        connection.commit()
        _barrier.wait()
        start = time.time()
        for tables in rendered:
            for table, rows in tables.items():
                with connection.cursor().copy(f"copy {table} from stdin") as copy:
                    copy.write(rows)
            connection.commit()
        return start, time.time()


def _rendered(where: Stage, entries: Sequence[Entry], base: int) -> dict[str, bytes]:
    t = where.tenant_id
    events, transfers, claims = [], [], []
    for ordinal, entry in enumerate(entries):
        event_id, body = base + ordinal, entry.body
        events.append(
            f"{entry.member_id}\t{event_id}\t{entry.body_digest}\t{t}\t{DAY}\t1\t1\t1\t10\t"
            f'{{"amount": "{body["amount"]}", "channel": "{body["channel"]}", "ref": "{body["ref"]}"}}'
        )
        transfers.append(f"{entry.member_id}\t{event_id}\t50000\t{t}\t{where.collections}\t{where.cash}\t1")
        claims.append(f"{entry.claims[0]}\t{event_id}\t{t}")
    claims.sort()
    return {
        name: ("\n".join(rows) + "\n").encode()
        for name, rows in (
            ("events", events),
            ("transfers", transfers),
            ("claims", claims),
            ("control_deltas", [f"{base}\t{50000 * len(entries)}\t0\t{t}\t{where.collections}"]),
            ("batches", [f"{t}\t{len(entries)}\t{base}\t2023-04-03 00:00:00+00"]),
            ("unsequenced", [f"{t}\t{len(entries)}\t{base}"]),
        )
    }
