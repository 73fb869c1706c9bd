"""Matching a statement's lines to as many receipts, one to one, against the bare SQL join of the two tables.

Ours: `reconciliation.service.match_statements`: chunks of 50,000 lines, each a transaction that finds the receipts, writes
the matches, and allocates their money to the open dealing, under row-level security. The denominator joins the lines to
the claims and the receipts' transfers by reference and writes the pairs into an empty table, in one statement, analysed before.
"""

import asyncio
import time
from typing import Any

import psycopg

from benchmarks.schemes import tenant_on
from benchmarks.stage import Stage, fill, stage
from engine.reconciliation import service as reconciliation
from engine.runtime.database import Database
from engine.runtime.settings import Settings


def measure(settings: Settings, scale: float) -> dict[str, Any]:
    """Return the ratio, and the rates behind it."""
    with stage(settings) as where:
        return asyncio.run(_measure(where, int(1_000_000 * scale)))


async def _measure(where: Stage, lines: int) -> dict[str, Any]:
    db = Database(where.app_url)
    try:
        tenant, where = await tenant_on(where, db)
        await asyncio.to_thread(_prepare, where, lines)
        bare = await asyncio.to_thread(_bare, where)
        start = time.perf_counter()
        report = await reconciliation.match_statements(db, tenant)
        ours = time.perf_counter() - start
    finally:
        await db.dispose()
    assert report.matched == lines, report
    return {
        "lines": lines,
        "lines_per_second": round(lines / ours),
        "bare_lines_per_second": round(lines / bare),
        "ratio_to_bare_join": round(bare / ours, 3),
        "wanted_ratio": 0.2,
        "denominator": "insert into bare_matches select … from statement_lines join claims join events join transfers",
    }


def _prepare(where: Stage, lines: int) -> None:
    fill(where, lines)
    values = {"t": where.tenant_id, "sha": "0" * 64}
    with psycopg.connect(where.super_url, autocommit=True) as connection:
        for statement in (
            """insert into statements (tenant_id, account, name, sha256, document, imported_at, actor, lines, total, first_on, last_on)
               select %(t)s, 'upi', 'bench', %(sha)s, '', now(), 1, count(*), 50000 * count(*), date '2023-04-03', date '2023-04-03'
                 from claims where tenant_id = %(t)s""",
            """insert into statement_lines (tenant_id, statement_id, line_no, row, amount, reference_digest, value_date)
               select %(t)s, s.statement_id, n, n, 50000, digest, date '2023-04-03'
                 from (select digest, row_number() over (order by digest)::int as n from claims where tenant_id = %(t)s) c
                cross join (select max(statement_id) as statement_id from statements where tenant_id = %(t)s) s""",
            """insert into unmatched_lines (tenant_id, statement_id, line_no)
               select tenant_id, statement_id, line_no from statement_lines where tenant_id = %(t)s""",
        ):
            connection.execute(statement, values)
        for table in ("statement_lines", "unmatched_lines"):
            connection.execute(f"vacuum analyze {table}")
        connection.execute("checkpoint")


def _bare(where: Stage) -> float:
    """Return the seconds that the join takes by itself."""
    with psycopg.connect(where.super_url, autocommit=True) as connection:
        connection.execute(
            "create table bare_matches (member_id bigint, event_id bigint, statement_id bigint, line_no int)"
        )
        start = time.perf_counter()
        connection.execute(
            """insert into bare_matches
               select e.member_id, e.event_id, l.statement_id, l.line_no from statement_lines l
                 join claims k on k.digest = l.reference_digest join events e on e.event_id = k.event_id
                 join transfers t on t.member_id = e.member_id and t.event_id = e.event_id and t.amount = l.amount and t.debit = %s
                where l.tenant_id = %s""",
            (where.collections, where.tenant_id),
        )
        return time.perf_counter() - start
