"""A worker that kills itself, without a word, where it is told to: run as a program by `test_collector_killed` and `test_payer_killed`.

It does the worker's own work with counterparties, over the real protocols; its parts are wrapped from outside.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import psycopg

from engine import outside as composition
from engine.app import DatabaseURLs, adapter, open_deployment
from engine.contributions import queries as contributions
from engine.kernel.transport import WireRequest, WireResponse
from engine.ledger import queries as ledger
from engine.ledger.rules import Entry, EventKind, Posted
from engine.runtime.counterparty_file import CounterpartyFile
from engine.runtime.exchanges import queries
from engine.runtime.exchanges.transport import HttpTransport
from engine.runtime.settings import load_settings

POINTS = (
    "before-the-call",
    "after-the-call",
    "before-the-answer-is-stored",
    "settling",
    "posting",
    "posted-and-not-noted",
)
_ASKS = ("/v1_0/requesttopay", "/stkpush/v1/processrequest", "/v1_0/transfer", "/b2c/v3/paymentrequest")
_PAYMENTS = {EventKind.CONTRIBUTION_RECEIVED, EventKind.CONTRIBUTION_SUSPENDED}


def die() -> NoReturn:
    """End as by a power cut."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("still alive")


def arm(point: str) -> None:
    """Let the process die at `point` of a collection's or payout's way."""
    send, store, mark, post = (
        HttpTransport.send,
        queries.store_standing,
        contributions.mark_posted,
        ledger.post_batch,
    )
    commit = psycopg.AsyncConnection.commit
    is_written = False

    async def sending(self: HttpTransport, request: WireRequest) -> WireResponse:
        asks = request.method == "POST" and request.url.endswith(_ASKS)
        if asks and point == "before-the-call":
            die()
        response = await send(self, request)
        if asks and point == "after-the-call":
            die()
        return response

    async def storing(session: Any, row: queries.Row, **values: Any) -> None:
        nonlocal is_written
        if point == "before-the-answer-is-stored":
            die()
        await store(session, row, **values)
        is_written = point == "settling" and values["outcome"].is_final

    async def posting(connection: Any, tenant_id: int, entries: Sequence[Entry], **options: Any) -> list[Posted]:
        nonlocal is_written
        fates = await post(connection, tenant_id, entries, **options)
        is_written |= point == "posting" and any(entry.kind in _PAYMENTS for entry in entries)
        return fates

    async def marking(session: Any, rows: Any) -> None:
        if point == "posted-and-not-noted":
            die()
        await mark(session, rows)

    async def committing(connection: psycopg.AsyncConnection[Any]) -> None:
        if is_written:
            connection.pgconn.send_query(b"commit")
            connection.pgconn.flush()
            die()
        await commit(connection)

    HttpTransport.send = sending  # type: ignore[method-assign]
    queries.store_standing = storing
    contributions.mark_posted = marking
    ledger.post_batch = posting
    psycopg.AsyncConnection.commit = committing  # type: ignore[assignment, method-assign]


async def main(url: str, folder: Path, keys_file: Path, base_url: str, tenant_id: int) -> None:
    settings = load_settings(
        {"data_dir": folder, "packs": (folder / "packs",), "keys_file": keys_file, "base_url": base_url,
         "database_url": url},
        environment={},
        working_dir=folder,
    )  # fmt: skip
    async with open_deployment(settings, DatabaseURLs(url, None)) as deployment:
        file = CounterpartyFile(settings.counterparties_file)
        async with composition.calling(deployment.db, deployment.keys, file, base_url, adapter) as outside:
            work = composition.OutsideWork(deployment.db, deployment.keys, outside)
            work.follow(deployment.tenants.by_id(tenant_id))
            await asyncio.Event().wait()


if __name__ == "__main__":
    _, app_url, data_folder, keys, address, tenant, where = sys.argv
    if where in POINTS:
        arm(where)
    asyncio.run(main(app_url, Path(data_folder), Path(keys), address, int(tenant)))
