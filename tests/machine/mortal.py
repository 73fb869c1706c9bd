"""A process that works on a scheme and kills itself, without a word, before a statement or in a commit: run as a program by `test_crashes`."""

import asyncio
import os
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any, NoReturn

import psycopg

from engine.app import KINDS
from engine.benefits import service as benefits
from engine.ledger import service as ledger
from engine.runtime.database import Database
from engine.tenancy.service import Tenant, load_pack
from tests.machine.test_crashes import COUNTRY
from tests.machine.world import CHECKER, World


def die() -> NoReturn:
    """End as by a power cut."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("still alive")


def arm(number: int) -> None:
    """Let the process die before the statement of a number; where that is a commit, once it is on its way to the server."""
    execute, commit = psycopg.AsyncCursor.execute, psycopg.AsyncConnection.commit
    sent = 0

    async def executing(cursor: psycopg.AsyncCursor[Any], *given: Any, **options: Any) -> Any:
        nonlocal sent
        sent += 1
        if sent == number:
            die()
        return await execute(cursor, *given, **options)

    async def committing(connection: psycopg.AsyncConnection[Any]) -> None:
        nonlocal sent
        sent += 1
        if sent == number:
            connection.pgconn.send_query(b"commit")
            connection.pgconn.flush()
            die()
        await commit(connection)

    psycopg.AsyncCursor.execute = executing  # type: ignore[assignment, method-assign]
    psycopg.AsyncConnection.commit = committing  # type: ignore[assignment, method-assign]


async def main(app_url: str, folder: Path, tenant_id: int, code: str, pack_id: int, number: int, work: str) -> None:
    """Do some work until the statement of a number; `work` names it, and what it is of."""
    pack = load_pack(folder / code, KINDS)
    db = Database(app_url)
    world = World.on(db, folder, Tenant(tenant_id, code, pack, pack_id), COUNTRY, Counter())
    what, *of = work.split(":")
    arm(number)
    if what == "deal":
        async with world.unit() as session:
            world.now = await ledger.scheme_now(session)
        await world.deal()
    elif what == "workers":
        await world.carry_on()
    elif what == "claim":
        await world.approve_claim(int(of[0]), of[1], CHECKER)
    elif what == "fees":
        await world.attempt("approve fees", benefits.approve_fees(db, world.tenant, int(of[0]), of[1], actor=CHECKER))
    else:
        raise ValueError(work)


if __name__ == "__main__":
    url, home, tenant, name, version, statement, doing = sys.argv[1:]
    asyncio.run(main(url, Path(home), int(tenant), name, int(version), int(statement), doing))
