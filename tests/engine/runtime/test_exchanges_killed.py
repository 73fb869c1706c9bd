"""A worker killed before the call, after it, and before the answer is stored: paid once, settled once, nothing lost.

Real processes, real protocols over HTTP, a real database; the next worker finds what the dead one left.
"""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import msgspec
import psycopg
import pytest
import pytest_asyncio

from engine.benefits.ports import PayoutRequest
from engine.kernel.amounts import Amount, Asset
from engine.kernel.transport import Callback
from engine.runtime.database import Database
from engine.runtime.exchanges import callbacks
from engine.runtime.exchanges.tokens import SharedTokens
from engine.runtime.exchanges.transport import open_transport
from engine.runtime.key_file import FileKeyStore
from integrations.mobile_money.mpesa_daraja.simulator import DarajaSimulator
from integrations.mobile_money.mpesa_daraja.wire import security_credential
from integrations.mobile_money.mtn_momo.simulator import MtnSimulator
from integrations.mobile_money.simulation import Receive, Scope, Send, Simulator, listening, serving
from tests.engine.runtime.mortal_worker import POINTS, engine, join

SCRIPT = Path(__file__).with_name("mortal_worker.py")
ROOT = Path(__file__).parents[3]
SECONDS = 30


@pytest.fixture(scope="module")
def effects_table(database_urls: tuple[str, str]) -> Iterator[None]:
    """What the use case does once a payout is decided: a row each time, so that twice would show."""
    app, owner = database_urls
    with psycopg.connect(owner) as connection:
        connection.execute("create table effects (tenant_id int, reference uuid, provider_ref text)")
        user = psycopg.conninfo.conninfo_to_dict(app)["user"]
        connection.execute(f"grant select, insert on effects to {user}")
    yield
    with psycopg.connect(owner) as connection:
        connection.execute("drop table effects")


@dataclass
class Bank:
    """An operator, the place its callbacks come to, and what a worker needs to pay by it."""

    kind: str
    simulator: Simulator
    configuration: dict[str, str]
    currency: str
    door: str
    db: Database
    keys: FileKeyStore
    app_url: str
    folder: Path
    tenant_id: int

    async def open(self) -> UUID:
        reference = uuid4()
        wanted = PayoutRequest(
            reference=reference,
            msisdn="+254712345678",
            amount=Amount.parse("20", Asset.currency(self.currency)),
            account="9",
            note="Benefit",
        )
        # Opened as a use case does, by a process that pays nothing itself.
        async with open_transport() as transport, self.db.unit_of_work(self.tenant_id) as session:
            payouts = join(self.kind, self.configuration, transport, SharedTokens(self.db, self.keys, self.tenant_id))
            await engine(self.db, self.keys, self.kind, payouts, self.door).open(
                session,
                counterparty=self.kind,
                operation="payouts",
                reference=reference,
                question=msgspec.json.encode(wanted),
            )
        return reference

    @contextmanager
    def worker(self, point: str) -> Iterator["subprocess.Popen[bytes]"]:
        command: list[str | Path] = [sys.executable, SCRIPT, self.app_url, self.folder, str(self.tenant_id), self.kind]
        arguments = [msgspec.json.encode(self.configuration).decode(), self.door, point]
        running = subprocess.Popen([*command, *arguments], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
        try:
            yield running
        finally:
            running.kill()
            running.wait(30)

    def effects(self) -> list[tuple[UUID, str]]:
        with psycopg.connect(self.app_url) as connection:
            rows = connection.execute(
                "select reference, provider_ref from effects where tenant_id = %s", (self.tenant_id,)
            ).fetchall()
        return [(reference, transaction) for reference, transaction in rows]

    def is_due(self) -> bool:
        """Return whether an enquiry would still find something to do."""
        with psycopg.connect(self.app_url) as connection:
            connection.execute("select set_config('app.tenant', %s, false)", (str(self.tenant_id),))
            row = connection.execute("select count(*) from exchanges where due_at is not null").fetchone()
        return row != (0,)


@pytest_asyncio.fixture(loop_scope="session", params=["mtn-momo", "mpesa-daraja"])
async def bank(
    request: pytest.FixtureRequest,
    db: Database,
    database_urls: tuple[str, str],
    tmp_path: Path,
    tenant_id: int,
    effects_table: None,
) -> AsyncIterator[Bank]:
    del effects_table
    keys = FileKeyStore(tmp_path / "keys.toml")
    async with AsyncExitStack() as stack:
        transport = await stack.enter_async_context(open_transport(seconds=5))
        pot: list[Bank] = []

        async def take(scope: Scope, receive: Receive, send: Send) -> None:
            body = (await receive())["body"]
            _, counterparty, secret = str(scope["path"]).strip("/").split("/")
            exchanges = engine(
                db,
                keys,
                counterparty,
                join(counterparty, pot[0].configuration, transport, SharedTokens(db, keys, tenant_id)),
                "",
            )
            await callbacks.take(
                exchanges, tenant_id, counterparty, secret, Callback(method=scope["method"], body=body)
            )
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})

        door = await stack.enter_async_context(listening(take))
        simulator: Simulator
        if request.param == "mtn-momo":
            simulator = mtn = MtnSimulator(transport, keys={"disbursement": "sub"})
            mtn.add_user("user", "secret")
            configuration = {"key": "sub", "user": "user", "secret": "secret"}
        else:
            simulator = daraja = DarajaSimulator(
                transport, key="user", secret="secret", shortcode="600981", passkey="", initiator="me", password="pw"
            )
            credential = security_credential("pw", daraja.certificate)
            configuration = {
                "user": "user",
                "secret": "secret",
                "shortcode": "600981",
                "initiator": "me",
                "credential": credential,
            }
        configuration["url"] = await stack.enter_async_context(serving(simulator))
        currency = "EUR" if request.param == "mtn-momo" else "KES"
        pot.append(
            Bank(
                request.param, simulator, configuration, currency, door, db, keys, database_urls[0], tmp_path, tenant_id
            )
        )
        yield pot[0]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("point", POINTS)
async def test_a_killed_worker_pays_once(bank: Bank, point: str) -> None:
    reference = await bank.open()

    with bank.worker(point) as mortal:
        code = await asyncio.to_thread(mortal.wait, SECONDS)
        assert code == -signal.SIGKILL
    if point != "settling":  # there the decision and its effect may have been committed, both or neither
        assert bank.effects() == []
    with bank.worker("never") as next_one:
        deadline = time.monotonic() + SECONDS
        while (not bank.effects() or bank.is_due()) and time.monotonic() < deadline:
            assert next_one.poll() is None
            await asyncio.sleep(0.05)
    await bank.simulator.settle()

    [movement] = bank.simulator.movements
    assert bank.effects() == [(reference, movement.transaction)]
    assert not bank.is_due()
