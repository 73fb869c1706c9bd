"""What a change of rules gives every member, previewed: how fast, and that memory does not grow with the members.

Each size runs in a process of its own, whose peak memory is told. The new version raises the least contribution, so that
every member is affected. Beside it, over the same members: `reports.queries.member_facts` without deciding anything, and
a bare scan, one statement that joins the same rows in bulk and is streamed by a cursor of the server, read and dropped.
"""

import asyncio
import multiprocessing
import resource
import shutil
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.schemes import PACK, PACKS, tenant_on
from benchmarks.stage import Stage, fill, stage
from engine.app import KINDS, RUNNERS
from engine.reports import queries
from engine.reports import service as reports
from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore
from engine.runtime.settings import Settings
from engine.tenancy.rules.packs import Pack
from engine.tenancy.service import Tenants, load_pack

ON = date(2023, 4, 4)
BARE = """
select m.member_id, m.product, m.joined_on, m.group_code, e.business_date, t.amount, t.credit, b.credits - b.debits
  from memberships m
  join events e on e.member_id = m.member_id and e.kind in (10, 12, 13) and e.business_date <= %s
  join transfers t on t.member_id = e.member_id and t.event_id = e.event_id
  join balances b on b.member_id = t.member_id and b.code = t.credit
 where m.tenant_id = %s and m.moved_to = ''
"""
PAGE = """
[[rule]]
kind = "contribution-amount"
id = "contribution-amount"
minimum = "{minimum}"
source = "an invented law, for a benchmark"
confidence = "high"
"""


def measure(settings: Settings, scale: float) -> dict[str, Any]:
    """Return members a second, the part of it that is reading, and peak memory for a tenth of the members and for all."""
    most = max(10_000, int(1_000_000 * scale))
    found = {}
    for members in (most // 10, most):
        with stage(settings) as where:
            context = multiprocessing.get_context("spawn")
            with context.Pool(1) as pool:
                found[members] = pool.apply(_preview, (where, members))
    few, all_ = found[most // 10], found[most]
    return {
        "members": most,
        "members_per_second": round(most / all_["seconds"]),
        "reading_share": round(all_["reading"] / all_["seconds"], 3),
        "to_bare_scan": round(all_["bare"] / all_["seconds"], 3),
        "bare_scan_members_per_second": round(most / all_["bare"]),
        "peak_mb": {"a tenth": few["peak_mb"], "all": all_["peak_mb"]},
        "peak_ratio": round(all_["peak_mb"] / few["peak_mb"], 3),
        "wanted_peak_ratio_at_most": 1.2,
        "speed_to_a_tenth": round((most / all_["seconds"]) / (most // 10 / few["seconds"]), 3),
    }


def _preview(where: Stage, members: int) -> dict[str, float]:
    async def run() -> dict[str, float]:
        db = Database(where.app_url, pool_size=2)
        tenant, mine = await tenant_on(where, db)
        fill(mine, members, members=members)
        with psycopg.connect(where.super_url, autocommit=True) as connection:
            connection.execute(
                """insert into memberships (member_id, since_event, tenant_id, joined_on, from_on, product)
                   select member_id, event_id, tenant_id, date '2020-01-01', date '2020-01-01', 'nps-lite' from events
                    where kind = 10 and tenant_id = %s""",
                (mine.tenant_id,),
            )
            connection.execute("vacuum analyze memberships")
        new, totals = _changed(), reports.Preview()
        start = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            keys = FileKeyStore(Path(folder) / "keys.toml")
            async for _ in reports.preview(db, tenant, new, on=ON, totals=totals, keys=keys, actor="staff:1"):
                pass
        seconds = time.perf_counter() - start
        assert (totals.members, totals.affected) == (members, members), totals
        start, after, read = time.perf_counter(), (0, ""), 0
        async with db.unit_of_work(tenant.tenant_id) as session:
            while facts := await queries.member_facts(session, on=ON, after=after, most=5_000):
                after, read = (facts[-1].member_id, facts[-1].product), read + len(facts)
        assert read == members
        reading = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        await db.dispose()
        start, scanned = time.perf_counter(), 0
        with psycopg.connect(where.super_url) as connection, connection.cursor("bare") as cursor:
            cursor.itersize = 5_000
            for _ in cursor.execute(BARE, (ON, mine.tenant_id)):
                scanned += 1
        bare = time.perf_counter() - start
        assert scanned == members
        return {"seconds": seconds, "reading": reading, "bare": bare, "peak_mb": round(peak)}

    return asyncio.run(run())


def _changed() -> Pack:
    """Return the pack with a higher least contribution from the day on."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / PACK
        shutil.copytree(PACKS / PACK, copy, ignore=shutil.ignore_patterns("demo*", "scenarios"))
        (copy / f"nps-lite/rules/{ON}.toml").write_text(PAGE.format(minimum="123.00"), encoding="utf-8")
        assert Tenants.load([copy], KINDS, RUNNERS).packs
        return load_pack(copy, KINDS)
