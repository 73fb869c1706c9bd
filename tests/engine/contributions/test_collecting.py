"""Members asked for money through every operator: whatever it does, what was truly paid is posted, once, and nothing else."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from engine.runtime.database import Database
from engine.runtime.exchanges.transport import HttpTransport
from engine.runtime.key_file import FileKeyStore
from integrations.mobile_money.simulation import Misbehaviour
from tests.factories.wallets import KINDS, Wallets, impatient, open_wallets


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def transport() -> AsyncIterator[HttpTransport]:
    async with impatient() as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session", params=KINDS)
async def wallets(
    request: pytest.FixtureRequest,
    db: Database,
    keys: FileKeyStore,
    database_urls: tuple[str, str],
    tmp_path: Path,
    transport: HttpTransport,
) -> AsyncIterator[Wallets]:
    async with open_wallets(KINDS[request.param], db, keys, database_urls[0], tmp_path, transport) as opened:
        yield opened


@pytest.mark.parametrize("how", [None, *Misbehaviour])
async def test_whatever_the_operator_does_what_was_paid_is_posted_once(
    wallets: Wallets, how: Misbehaviour | None
) -> None:
    if how is not None:
        wallets.simulator.misbehave(how)
    asked = await wallets.collect()
    if how is Misbehaviour.UNAVAILABLE and not wallets.kind.deduplicates:
        await wallets.rest()
        assert (await wallets.status(asked["reference"]))["state"] == "sent"  # never asked twice, never given up
        assert await wallets.payments() == []
        return

    status = await wallets.settled(asked["reference"])
    await wallets.rest()

    [movement] = wallets.simulator.movements
    assert dict(wallets.simulator.counts) == ({how: 1} if how else {})
    assert (asked["state"], status["state"], status["receipt_state"]) == ("created", "succeeded", "received")
    assert await wallets.payments() == [("10", 500 * 10**wallets.tenant.asset.scale)]
    answer = await wallets.ask("GET", f"/v1/members/{wallets.members[0].number}/statement")
    assert answer.status_code == 200
    # The operator's own number is the payment's, for ever: who reports it once more changes nothing.
    again = await wallets.ask(
        "POST", "/v1/contributions", wallets.body("500", reference=movement.transaction), key="reported-as-well"
    )
    assert (again.status_code, again.json()["receipt"]) == (201, status["receipt"])
    assert await wallets.offences() == []


async def test_who_cannot_or_will_not_pay_is_told_apart(wallets: Wallets) -> None:
    poor = await wallets.collect(phone=wallets.kind.poor)
    unwilling = await wallets.collect(phone=wallets.kind.unwilling)

    ends = [await wallets.settled(one["reference"]) for one in (poor, unwilling)]

    assert [(one["state"], one["reason"]) for one in ends] == [
        ("failed", "insufficient-funds"),
        ("failed", "payer-rejected"),
    ]
    assert await wallets.payments() == []
    assert await wallets.offences() == []


async def test_two_workers_and_every_callback_at_once_post_once(wallets: Wallets) -> None:
    other = wallets.another_worker()
    wallets.simulator.misbehave(Misbehaviour.TWICE, 6)
    asked = [await wallets.collect(str(100 + at)) for at in range(6)]

    async def work() -> None:
        for _ in range(15):
            await asyncio.gather(wallets.turn(), wallets.turn(other))
            await asyncio.sleep(0.05)

    await work()
    await wallets.simulator.settle()
    await work()

    scale = 10**wallets.tenant.asset.scale
    assert [(await wallets.status(one["reference"]))["state"] for one in asked] == ["succeeded"] * 6
    assert sorted(await wallets.payments()) == [("10", (100 + at) * scale) for at in range(6)]
    assert len(wallets.simulator.movements) == 6
    assert await wallets.offences() == []


async def test_a_strangers_callback_leaves_nothing(wallets: Wallets) -> None:
    async with httpx.AsyncClient() as client:
        for tenant in (wallets.tenant.code, "xx-nobody"):
            url = f"{wallets.address}/callbacks/{tenant}/{wallets.kind.channel}/guessed"
            answers = [await client.put(url, json={"status": "SUCCESSFUL"}), await client.post(url, content=b"\xff")]
            assert [one.status_code for one in answers] == [200, 200]
        url = f"{wallets.address}/callbacks/{wallets.tenant.code}/{wallets.kind.channel}/guessed"
        too_long = await client.post(url, content=b"x" * (256 * 1024 + 1))

    assert too_long.status_code == 413
    assert await wallets.select("select count(*) from callbacks") == [(0,)]
