"""A worker process that kills itself, without a word, where it is told to: run as a program by `test_exchanges_killed`.

It is the product's own engine, with the adapters of a real protocol; its parts are wrapped from outside.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

import msgspec
import psycopg
from sqlalchemy.ext.asyncio import AsyncSession

from engine.benefits.ports import PayoutRequest, Payouts
from engine.kernel.clock import SystemClock
from engine.kernel.transport import Transport, WireRequest, WireResponse
from engine.runtime.database import Database, driver
from engine.runtime.exchanges import callbacks, queries
from engine.runtime.exchanges.engine import Counterparty, Exchanges, Operation, Settled
from engine.runtime.exchanges.pacing import Pace
from engine.runtime.exchanges.recording import RecordedTransport
from engine.runtime.exchanges.tokens import SharedTokens
from engine.runtime.exchanges.transport import open_transport
from engine.runtime.key_file import FileKeyStore
from integrations.mobile_money.mpesa_daraja.adapter import Daraja, DarajaPayouts
from integrations.mobile_money.mpesa_daraja.wire import App, Shortcode
from integrations.mobile_money.mtn_momo.adapter import MtnPayouts, MtnProduct
from integrations.mobile_money.mtn_momo.wire import Platform, Product, ProductKeys

POINTS = ("leased", "before-the-call", "after-the-call", "before-the-answer-is-stored", "committing", "settling")
LEASE_SECONDS = 1
PACE = Pace(first_wait=0.05, longest_wait=0.2, lease=LEASE_SECONDS, per_second=1000)


def die() -> NoReturn:
    """End as by a power cut."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("still alive")


class Mortal:
    """A transport that dies just before, or just after, the call that pays."""

    def __init__(self, transport: Transport, point: str) -> None:
        self._transport, self._point = transport, point

    async def send(self, request: WireRequest) -> WireResponse:
        pays = request.method == "POST" and ("transfer" in request.url or "paymentrequest" in request.url)
        if pays and self._point == "before-the-call":
            die()
        response = await self._transport.send(request)
        if pays and self._point == "after-the-call":
            die()
        return response


def join(kind: str, configuration: dict[str, str], transport: Transport, tokens: SharedTokens) -> Payouts:
    if kind == "mtn-momo":
        keys = ProductKeys(
            subscription_key=configuration["key"], api_user=configuration["user"], api_key=configuration["secret"]
        )
        platform = Platform(base_url=configuration["url"], environment="sandbox")
        return MtnPayouts(MtnProduct(transport, tokens, platform, Product.DISBURSEMENT, keys))
    app = App(
        base_url=configuration["url"], consumer_key=configuration["user"], consumer_secret=configuration["secret"]
    )
    shortcode = Shortcode(
        number=configuration["shortcode"], initiator=configuration["initiator"], credential=configuration["credential"]
    )
    return DarajaPayouts(Daraja(transport, tokens, app, shortcode, SystemClock()))


def engine(db: Database, keys: FileKeyStore, kind: str, payouts: Payouts, door: str) -> Exchanges:
    async def settle(session: AsyncSession, one: Settled) -> None:
        connection = await driver(session)
        await connection.execute(
            "insert into effects (tenant_id, reference, provider_ref) values (%s, %s, %s)",
            (session.info["tenant_id"], one.reference, one.answer.provider_ref),
        )

    def wanted(question: bytes) -> PayoutRequest:
        return msgspec.json.decode(question, type=PayoutRequest)

    operation = Operation(
        ask=lambda question, url: payouts.send(wanted(question), callback_url=url),
        enquire=lambda question, last, url: payouts.enquire(wanted(question), last, callback_url=url),
        settle=settle,
        read_callback=payouts.read_callback,
        read_enquiry_callback=payouts.read_enquiry_callback,
    )
    return Exchanges(
        db,
        keys,
        {kind: Counterparty(kind, {"payouts": operation}, PACE)},
        lambda _tenant, name, secret: f"{door}/callbacks/{name}/{secret}",
    )


def arm(point: str) -> None:
    """Let the process die around the storing of an answer."""
    lease_due, store, commit = queries.lease_due, queries.store_standing, psycopg.AsyncConnection.commit
    is_stored = False

    async def leasing(session: AsyncSession, counterparty: str, count: int, seconds: float) -> list[queries.Row]:
        rows = await lease_due(session, counterparty, count, seconds)
        if rows and point == "leased":
            await (await driver(session)).commit()
            die()
        return rows

    async def storing(session: AsyncSession, row: queries.Row, **values: Any) -> None:
        if point == "before-the-answer-is-stored":
            die()
        await store(session, row, **values)
        nonlocal is_stored
        is_stored = point == "committing" or (point == "settling" and values["outcome"].is_final)

    async def committing(connection: psycopg.AsyncConnection[Any]) -> None:
        if is_stored:
            connection.pgconn.send_query(b"commit")
            connection.pgconn.flush()
            die()
        await commit(connection)

    queries.lease_due = leasing
    queries.store_standing = storing
    psycopg.AsyncConnection.commit = committing  # type: ignore[assignment, method-assign]


async def main(
    url: str, folder: str, tenant_id: int, kind: str, configuration: dict[str, str], door: str, point: str
) -> None:
    db, keys = Database(url), FileKeyStore(Path(folder) / "keys.toml")
    async with open_transport(seconds=5) as transport:
        recorded = RecordedTransport(Mortal(transport, point), db, keys)
        exchanges = engine(db, keys, kind, join(kind, configuration, recorded, SharedTokens(db, keys, tenant_id)), door)
        while True:
            await callbacks.read_all(exchanges, tenant_id)
            await exchanges.work(tenant_id)
            await asyncio.sleep(0.02)


if __name__ == "__main__":
    _, app_url, keys_folder, tenant, name, described, inbox, where = sys.argv
    if where in POINTS:
        arm(where)
    asyncio.run(
        main(app_url, keys_folder, int(tenant), name, msgspec.json.decode(described, type=dict[str, str]), inbox, where)
    )
