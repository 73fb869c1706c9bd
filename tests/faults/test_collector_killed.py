"""A worker killed anywhere between a request for a payment and its posting: asked once, paid once, posted once.

Real processes, real protocols over HTTP, a real database; the next worker finds what the dead one left.
"""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore
from tests.factories.wallets import KINDS, Wallets, impatient, open_wallets
from tests.faults.mortal_collector import POINTS

SCRIPT = Path(__file__).with_name("mortal_collector.py")
ROOT = Path(__file__).parents[2]
SECONDS = 45


@pytest_asyncio.fixture(loop_scope="session", params=["mtn-momo", "mpesa-daraja"])
async def wallets(
    request: pytest.FixtureRequest, db: Database, keys: FileKeyStore, database_urls: tuple[str, str], tmp_path: Path
) -> AsyncIterator[Wallets]:
    async with (
        impatient() as transport,
        open_wallets(KINDS[request.param], db, keys, database_urls[0], tmp_path, transport) as opened,
    ):
        yield opened


@contextmanager
def worker(wallets: Wallets, app_url: str, point: str) -> Iterator["subprocess.Popen[bytes]"]:
    command: list[str | Path] = [sys.executable, SCRIPT, app_url, wallets.folder, wallets.keys.path, wallets.address]
    with (wallets.folder / f"{point}.log").open("wb") as log:
        running = subprocess.Popen(
            [*command, str(wallets.tenant.tenant_id), point],
            cwd=ROOT,
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
    try:
        yield running
    finally:
        running.kill()
        running.wait(30)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("point", POINTS)
async def test_a_killed_worker_leaves_nothing_doubled_and_nothing_lost(
    wallets: Wallets, database_urls: tuple[str, str], point: str
) -> None:
    asked = await wallets.collect("500")
    never_known = point == "before-the-call" and not wallets.kind.deduplicates

    with worker(wallets, database_urls[0], point) as mortal:
        assert await asyncio.to_thread(mortal.wait, SECONDS) == -signal.SIGKILL
    if POINTS.index(point) < POINTS.index("posting"):
        assert await wallets.payments() == []
    with worker(wallets, database_urls[0], "never") as next_one:
        deadline, status = time.monotonic() + SECONDS, asked
        while time.monotonic() < deadline:
            assert next_one.poll() is None, (wallets.folder / "never.log").read_text()
            status = await wallets.status(asked["reference"])
            calls = await wallets.select("select calls from exchanges")
            if "receipt" in status or (never_known and calls > [(3,)]):
                break
            await asyncio.sleep(0.1)
    await wallets.simulator.settle()

    if never_known:  # the operator has no name for it: perhaps it was asked, so it is never asked again
        assert (status["state"], wallets.simulator.movements, await wallets.payments()) == ("sent", [], [])
    else:
        assert (status["state"], status["receipt_state"]) == ("succeeded", "received")
        assert len(wallets.simulator.movements) == 1
        assert await wallets.payments() == [("10", 500 * 10**wallets.tenant.asset.scale)]
    assert await wallets.offences() == []
