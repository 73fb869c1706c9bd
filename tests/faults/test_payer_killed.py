"""A worker killed anywhere between an approval and the operator's decision: sent once, paid once, or home once."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore
from tests.engine.benefits.test_sending import approved, made, owed, state, units
from tests.factories.wallets import KINDS, Wallets, impatient, open_wallets
from tests.faults.test_collector_killed import SECONDS, worker

POINTS = ("before-the-call", "after-the-call", "before-the-answer-is-stored", "settling")


@pytest_asyncio.fixture(loop_scope="session", params=["mtn-momo", "mpesa-daraja"])
async def wallets(
    request: pytest.FixtureRequest, db: Database, keys: FileKeyStore, database_urls: tuple[str, str], tmp_path: Path
) -> AsyncIterator[Wallets]:
    async with (
        impatient() as transport,
        open_wallets(KINDS[request.param], db, keys, database_urls[0], tmp_path, transport) as opened,
    ):
        yield opened


@pytest.mark.timeout(180)
@pytest.mark.parametrize("is_refused", [False, True])
@pytest.mark.parametrize("point", POINTS)
async def test_a_killed_worker_pays_nothing_twice_and_loses_nothing(
    wallets: Wallets, database_urls: tuple[str, str], point: str, is_refused: bool
) -> None:
    payout = await made(wallets, number=wallets.kind.unwilling if is_refused else "")
    # The name is accepted unseen: its check is a call of its own, and not the one that dies here.
    await wallets.select("update payouts set is_check_begun = true returning 1")
    await approved(wallets, payout)
    whole = units(wallets, 500)

    with worker(wallets, database_urls[0], point) as mortal:
        assert await asyncio.to_thread(mortal.wait, SECONDS) == -signal.SIGKILL
    if point != "settling":  # where the commit went out, it may have been heard
        assert await owed(wallets) == (0, whole)
    with worker(wallets, database_urls[0], "never") as next_one:
        deadline, found = time.monotonic() + SECONDS, payout
        while time.monotonic() < deadline and found.state not in {"succeeded", "failed"}:
            assert next_one.poll() is None, (wallets.folder / "never.log").read_text()
            found = await state(wallets, payout)
            await asyncio.sleep(0.1)
    await wallets.simulator.settle()

    assert found.state == ("failed" if is_refused else "succeeded")
    assert len(wallets.simulator.movements) == (0 if is_refused else 1)
    assert await owed(wallets) == ((whole, 0) if is_refused else (0, whole))
    assert await wallets.offences() == []
