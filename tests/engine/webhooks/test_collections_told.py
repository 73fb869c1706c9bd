"""A partner that asked a member for money is told what became of it: by the API, the worker's own tasks, and an operator."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from engine.app import adapter
from engine.audit import service as audit
from engine.outside import OutsideWork, calling
from engine.runtime.counterparty_file import CounterpartyFile
from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore
from engine.runtime.public_transport import open_public_transport
from integrations.messaging.standard_webhooks.adapter import StandardWebhooks
from integrations.messaging.standard_webhooks.simulator import PartnerSimulator
from tests.factories.wallets import KINDS, Wallets, impatient, open_wallets


@pytest_asyncio.fixture(loop_scope="session")
async def mtn(
    db: Database, keys: FileKeyStore, database_urls: tuple[str, str], tmp_path: Path
) -> AsyncIterator[Wallets]:
    async with (
        impatient() as transport,
        open_wallets(KINDS["mtn-momo"], db, keys, database_urls[0], tmp_path, transport) as opened,
    ):
        yield opened


async def test_the_worker_tells_what_became_of_what_a_partner_asked_for(mtn: Wallets) -> None:
    partner = PartnerSimulator()
    file = CounterpartyFile(mtn.folder / "counterparties.toml")
    async with (
        partner.server,
        open_public_transport(seconds=2, is_local_allowed=True) as public,
        calling(mtn.db, mtn.keys, file, mtn.address, adapter) as outside,
    ):
        assert (await mtn.ask("GET", "/v1/webhooks")).status_code == 404
        refused = await mtn.ask("PUT", "/v1/webhooks", {"url": "https://169.254.169.254/"})
        assert (refused.status_code, refused.json()["code"]) == (422, "webhooks.url-not-allowed")
        url = partner.url
        named = await mtn.ask("PUT", "/v1/webhooks", {"url": url})
        assert named.status_code == 200, named.text
        partner.secret = named.json()["secret"]
        work = OutsideWork(mtn.db, mtn.keys, outside, teller=StandardWebhooks(public))
        work.follow(mtn.tenant)
        paid = await mtn.collect("500")
        refused_by_payer = await mtn.collect("300", phone=mtn.kind.unwilling)
        async with asyncio.timeout(30):
            while len(partner.taken) < 2 or "last_code" not in (await mtn.ask("GET", "/v1/webhooks")).json():
                await audit.append(mtn.db, mtn.keys, mtn.tenant.tenant_id, mtn.tenant.pack.log_origin)
                await asyncio.sleep(0.1)
        await work.stop()

    told = {one["data"]["collection"]: one for one in partner.taken.values()}
    status = await mtn.status(paid["reference"])
    good, bad = told[paid["reference"]], told[refused_by_payer["reference"]]
    assert (good["type"], good["data"]["receipt"], good["data"]["amount"]) == (
        "contribution.received", status["receipt"], status["paid"],
    )  # fmt: skip
    assert (bad["type"], bad["data"]["state"], bad["data"]["reason"], bad["data"]["amount"]) == (
        "collection.failed", "failed", "payer-rejected", "300",
    )  # fmt: skip
    assert "receipt" not in bad["data"]
    shown = (await mtn.ask("GET", "/v1/webhooks")).json()
    assert (shown["url"], shown["state"], shown["waiting"], shown["last_code"]) == (url, "active", 0, "204")
    assert "secret" not in shown
    changed = (await mtn.ask("POST", "/v1/webhooks/secret")).json()
    assert changed["secret"] not in ("", partner.secret)
    removed = await mtn.ask("DELETE", "/v1/webhooks")
    assert (removed.status_code, removed.json()) == (200, {"url": "", "state": "removed", "waiting": 0, "failed": 0})
    assert (await mtn.ask("DELETE", "/v1/webhooks")).status_code == 404
    kinds = await mtn.select("select kind from events where kind between 140 and 144 order by kind")
    assert kinds == [(140,), (141,), (142,), (143,)]
    assert await mtn.offences() == []
