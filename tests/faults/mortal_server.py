"""A server process that kills itself, without a word, where it is told to: run as a program by `test_process_killed`.

It is the real application under uvicorn. Its own functions are wrapped from outside; the product has no hook for this.
"""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import psycopg
import uvicorn

from engine.app import DatabaseURLs, create_app, open_deployment
from engine.contributions.service import Intake
from engine.ledger import queries
from engine.ledger.rules import Entry, EventKind, Posted
from engine.runtime.settings import load_settings

BASE_URL = "http://akiba.test"
POINTS = ("before-statement", "after-statement", "committing", "after-commit")
_PAYMENTS = {EventKind.CONTRIBUTION_RECEIVED, EventKind.CONTRIBUTION_SUSPENDED}


def die() -> NoReturn:
    """End as by a power cut: no handler runs, no connection is closed in order, no buffer is written."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("still alive")


def arm(point: str) -> None:
    """Let the process die at the first batch of payments, at `point` of its way into the books."""
    post: Callable[..., Awaitable[list[Posted]]] = queries.post_batch
    write: Callable[..., Awaitable[Any]] = Intake._write
    commit = psycopg.AsyncConnection.commit
    written = False

    async def posting(connection: Any, tenant_id: int, entries: Sequence[Entry], **options: Any) -> list[Posted]:
        nonlocal written
        is_payment = any(entry.kind in _PAYMENTS for entry in entries)
        if is_payment and point == "before-statement":
            die()
        fates = await post(connection, tenant_id, entries, **options)
        if is_payment and point == "after-statement":
            die()
        written = written or is_payment
        return fates

    async def committing(connection: psycopg.AsyncConnection[Any]) -> None:
        if written and point == "committing":
            connection.pgconn.send_query(b"commit")
            connection.pgconn.flush()
            die()
        await commit(connection)

    async def receiving(*arguments: Any, **options: Any) -> Any:
        answers = await write(*arguments, **options)
        if point == "after-commit":
            die()
        return answers

    queries.post_batch = posting
    psycopg.AsyncConnection.commit = committing  # type: ignore[assignment, method-assign]
    Intake._write = receiving  # type: ignore[method-assign]


async def serve(app_url: str, packs: Path, folder: Path, listener: socket.socket) -> None:
    settings = load_settings(
        {"data_dir": folder, "packs": (packs,), "base_url": BASE_URL, "database_url": app_url},
        environment={},
        working_dir=folder,
    )
    urls = DatabaseURLs(app_url, None)
    async with open_deployment(settings, urls) as deployment:
        config = uvicorn.Config(create_app(deployment, urls), access_log=False, log_config=None)
        await uvicorn.Server(config).serve(sockets=[listener])


if __name__ == "__main__":
    _, url, packs_folder, data_folder, number, *points = sys.argv
    for one in points:
        assert one in POINTS, one
        arm(one)
    with socket.create_server(("127.0.0.1", int(number))) as door:
        asyncio.run(serve(url, Path(packs_folder), Path(data_folder), door))
