"""PostgreSQL killed under load: every acknowledged contribution is there, none twice, and the books balance."""

import asyncio
import secrets
from pathlib import Path

import pytest
from sqlalchemy import URL

from engine.contributions import queries
from engine.contributions.rules import Payment, Receipt
from engine.contributions.service import Intake
from engine.ledger import queries as ledger_queries
from engine.ledger import service as ledger
from engine.runtime.database import Database
from engine.runtime.embedded_postgres import EmbeddedServer, ephemeral_server
from engine.runtime.key_file import FileKeyStore
from tests.conftest import create_database, migrate
from tests.factories.schemes import enrol, serve

CLIENTS = 24


def superuser(server: EmbeddedServer) -> str:
    return URL.create(
        "postgresql", "postgres", server.credentials.password("postgres"), "127.0.0.1", server.port, "postgres"
    ).render_as_string(hide_password=False)


@pytest.mark.timeout(180)
async def test_nothing_acknowledged_is_lost_and_nothing_is_posted_twice(tmp_path: Path, keys: FileKeyStore) -> None:
    with ephemeral_server() as server:
        app_url, owner_url = create_database(superuser(server), f"k{secrets.token_hex(5)}")
        migrate(owner_url, app_url)
        db = Database(app_url, pool_timeout_seconds=5)
        tenant = await serve(db, tmp_path)
        members = await enrol(db, keys, tenant, ["sahyog"] * 8)
        acknowledged: dict[str, Receipt] = {}
        sent: dict[str, Payment] = {}
        failures = 0
        killed = asyncio.Event()

        async def client(number: int) -> None:
            nonlocal failures
            intake = Intake(db, keys)  # a process of its own each, as far as the database can tell
            for turn in range(120):
                reference = f"c{number}-{turn}"
                payment = sent[reference] = Payment(
                    member=members[number % 8].number,
                    amount="100.00",
                    currency="INR",
                    channel="upi",
                    reference=reference,
                    sent_by="partner:1",
                )
                # The same request again until it is answered, as a partner would.
                while reference not in acknowledged:
                    try:
                        answer = await intake.receive(tenant, payment)
                    except Exception:  # noqa: BLE001 - the outcome is unknown, whatever it was
                        failures += 1
                        await asyncio.sleep(0.05)
                        continue
                    assert isinstance(answer, Receipt)
                    acknowledged[reference] = answer
                if len(acknowledged) > 400:
                    killed.set()

        async def executioner() -> None:
            await killed.wait()
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)

        await asyncio.gather(executioner(), *(client(number) for number in range(CLIENTS)))

        assert failures > 0
        assert len(acknowledged) == CLIENTS * 120
        answers = await Intake(db, keys).receive_many(tenant, [sent[reference] for reference in acknowledged])
        assert answers == list(acknowledged.values())
        async with db.unit_of_work(tenant.tenant_id) as session:
            assert await ledger.check(session, (*ledger_queries.LAWS, *queries.LAWS)) == []
            balances = [await ledger_queries.stored_balances(session, member.member_id) for member in members]
        assert sum(sum(balance.values()) for balance in balances) == CLIENTS * 120 * 100_00
        await db.dispose()
