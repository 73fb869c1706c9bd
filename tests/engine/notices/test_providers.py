"""Every adapter that carries messages, joined as an operator configures it: what it sends is kept, reported on, sent once."""

import asyncio
import secrets
import tomllib
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import ANY

import httpx
import pytest

import integrations.messaging.http_gateway
from engine.app import adapter
from engine.kernel.transport import WireRequest
from engine.outside import Outside, register
from engine.runtime.counterparty_file import CounterpartiesUnavailable, CounterpartyFile
from engine.runtime.database import Database
from engine.runtime.exchanges.transport import HttpTransport
from engine.runtime.key_file import FileKeyStore
from engine.runtime.sealing import unseal
from integrations.messaging.http_gateway.joining import JoinsMessaging as JoinsGateway
from integrations.messaging.http_gateway.simulator import JsonGatewaySimulator, KannelSimulator
from integrations.messaging.simulating import Fault
from integrations.messaging.smpp.joining import JoinsMessaging as JoinsSmpp
from integrations.messaging.smpp.simulator import SmppSimulator
from integrations.messaging.smtp.joining import JoinsMessaging as JoinsSmtp
from integrations.messaging.smtp.simulator import SmtpSimulator
from integrations.messaging.whatsapp.joining import JoinsMessaging as JoinsWhatsApp
from tests.api.site import listening
from tests.engine.notices.test_messages import Callers, Desk, transport
from tests.factories.schemes import serve
from tests.factories.wallets import KINDS, PACE, enrol, write_counterparties
from tests.integrations.messaging.certificates import make_tls

__all__ = ["transport"]
JOINS: Mapping[str, Any] = {
    "http-gateway": JoinsGateway(),
    "smpp": JoinsSmpp(),
    "smtp": JoinsSmtp(),
    "whatsapp": JoinsWhatsApp(),
}
PROVIDERS = ("kannel", "json-api", "smpp", "smtp")
DESCRIPTIONS = Path(integrations.messaging.http_gateway.__file__).parent
PASSWORD = "s3cret-w"
RWANDA = KINDS["mtn-momo"]


def installed(port: str, name: str) -> Any:
    return JOINS[name] if port == "Messaging" else adapter(port, name)


async def start(
    provider: str, callers: Callers, address: list[str], folder: Path, stack: AsyncExitStack
) -> tuple[str, Any, dict[str, Any]]:
    """Start a provider; return the adapter's name, its simulator, and the table of the secrets file for it."""
    simulator: Any
    if provider == "kannel":
        simulator = KannelSimulator(callers, username="umoja", password=PASSWORD)
        await stack.enter_async_context(simulator.server)
        described = tomllib.loads((DESCRIPTIONS / "kannel.toml").read_text())
        own = {"username": "umoja", "password": PASSWORD, "report_token": "t0ken"}
        return "http-gateway", simulator, {"gateway": described, "secrets": own, "base_url": simulator.server.url}
    if provider == "json-api":
        simulator = JsonGatewaySimulator(callers, api_key=PASSWORD, report_key="s1gn")
        await stack.enter_async_context(simulator.server)
        described = tomllib.loads((DESCRIPTIONS / "json_api.toml").read_text())
        own = {"api_key": PASSWORD, "report_key": "s1gn"}
        return "http-gateway", simulator, {"gateway": described, "secrets": own, "base_url": simulator.server.url}
    if provider == "smpp":
        simulator = await stack.enter_async_context(SmppSimulator(system_id="umoja", password=PASSWORD))
        simulator.reporting = SimpleNamespace(send=simulator.report)
        table = {"host": "127.0.0.1", "port": simulator.port, "system_id": "umoja", "password": PASSWORD, "tls": False}
        return "smpp", simulator, table

    async def piped(notice: WireRequest) -> None:
        await callers.send(WireRequest(method="POST", url=address[0], body=notice.body))

    tls = make_tls(folder)
    simulator = await stack.enter_async_context(
        SmtpSimulator(tls=tls.server, name="umoja", password=PASSWORD, receive=piped)
    )
    simulator.reporting = SimpleNamespace(send=simulator.report)
    return "smtp", simulator, {
        "host": "127.0.0.1", "port": simulator.port, "username": "umoja", "password": PASSWORD,
        "sender": "no-reply@umoja.example", "readers": "{digits}@sms.example", "ca_file": str(folder / "server.pem"),
    }  # fmt: skip


@asynccontextmanager
async def open_desk(
    provider: str, db: Database, keys: FileKeyStore, folder: Path, transport: HttpTransport
) -> AsyncIterator[Desk]:
    async with AsyncExitStack() as stack:
        callers, address = Callers(), [""]
        name, simulator, table = await start(provider, callers, address, folder, stack)
        named = {'Messaging = "africas-talking"': f'Messaging = "{name}"'}
        tenant = await serve(db, folder / "packs", "rw-ejoheza", changes=named)

        def joined_by(table: dict[str, Any]) -> tuple[Outside, Any]:
            write_counterparties(folder, {tenant.code: {"messages": {**table, "pace": PACE}}})
            file = CounterpartyFile(folder / "counterparties.toml")
            outside = Outside(db, keys, file, "http://127.0.0.1:1", installed, transport, stack)
            return outside, outside.of(tenant)

        _, first = joined_by(table)
        callers.tenant_id = tenant.tenant_id
        address[0] = (await register(first, db, tenant, "messages")).address
        outside, joined = joined_by(table | ({"report_url": address[0]} if name == "http-gateway" else {}))
        callers.joined = joined
        desk = Desk(db, keys, tenant, [], simulator, joined, outside)
        assert await desk.queue() == 0
        desk.members = await enrol(db, keys, tenant, RWANDA, 1)
        await desk.sequence()
        yield desk


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_message_goes_out_and_its_delivery_is_reported(
    provider: str, db: Database, keys: FileKeyStore, tmp_path: Path, transport: HttpTransport
) -> None:
    async with open_desk(provider, db, keys, tmp_path, transport) as desk:
        await desk.pay("500")
        await desk.rest()

        assert [one.state for one in await desk.messages()] == ["delivered", "delivered"]
        texts = [one.text for one in desk.simulator.sent]
        assert len(texts) == 2
        assert len([text for text in texts if "RWF 500 received" in text]) == 1
        assert {one.to.removeprefix("+").partition("@")[0] for one in desk.simulator.sent} == {"250788123456"}
        # What went and what came is kept, sealed, and marked as sent before it went.
        assert await desk.select("select count(*) from exchanges where sent_at is null") == [(0,)]
        kinds = {kind for (kind,) in await desk.select("select kind from exchange_messages")}
        assert kinds == {"sent", "received"}
        [(exchange, call, number, document)] = await desk.select(
            "select exchange_id, call_no, message_no, document from exchange_messages where kind = 'sent' order by 1, 2, 3 limit 1"
        )
        raw = unseal(keys, desk.tenant.tenant_id, "exchange_messages", f"{exchange}/{call}/{number}", bytes(document))
        assert raw.startswith(b'{"method":')
        assert await desk.offences() == []


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_what_was_sent_by_who_died_before_the_answer_was_stored_is_not_sent_again(
    provider: str,
    db: Database,
    keys: FileKeyStore,
    tmp_path: Path,
    transport: HttpTransport,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with open_desk(provider, db, keys, tmp_path, transport) as desk:
        await desk.queue()

        async def dies(*_: object) -> None:
            raise ConnectionError

        with monkeypatch.context() as patched:
            patched.setattr(desk.joined.exchanges, "_store_said", dies)
            await desk.joined.exchanges.work(desk.tenant.tenant_id)
        assert len(desk.simulator.sent) == 1
        await desk.select(
            "with w as (update exchanges set leased_until = clock_timestamp(), due_at = clock_timestamp() returning 1) select count(*) from w"
        )

        await desk.rest()

        assert len(desk.simulator.sent) == 1
        # Gateways that repeat our reference in their reports end the doubt.
        knows_reference = {"kannel": "delivered", "json-api": ANY}
        assert [one.state for one in await desk.messages()] == [knows_reference.get(provider, "unknown")]
        assert await desk.offences() == []


@pytest.mark.parametrize("provider", ["smpp", "kannel"])
async def test_reports_that_come_twice_and_reordered_change_nothing(
    provider: str, db: Database, keys: FileKeyStore, tmp_path: Path, transport: HttpTransport
) -> None:
    async with open_desk(provider, db, keys, tmp_path, transport) as desk:
        for fault in (Fault.REPORT_TWICE, Fault.REPORTS_REORDERED):
            desk.simulator.faults.plan(fault)
        await desk.pay("500")
        await desk.rest()

        assert [one.state for one in await desk.messages()] == ["delivered", "delivered"]


async def test_a_gateway_that_is_not_described_whole_is_not_joined(tmp_path: Path) -> None:
    described = tomllib.loads((DESCRIPTIONS / "kannel.toml").read_text())
    table = {"gateway": described, "secrets": {"username": "u"}, "base_url": "http://127.0.0.1:1"}
    write_counterparties(tmp_path, {"xx": {"messages": table}})

    with pytest.raises(CounterpartiesUnavailable, match="the secret report_token is missing"):
        CounterpartyFile(tmp_path / "counterparties.toml").credentials("xx", "messages", JoinsGateway.credentials)


async def test_whatsapp_tests_our_address_and_only_who_knows_the_word_is_greeted(
    db: Database, keys: FileKeyStore, database_urls: tuple[str, str], tmp_path: Path, transport: HttpTransport
) -> None:
    named = {'Messaging = "africas-talking"': 'Messaging = "whatsapp"'}
    tenant = await serve(db, tmp_path / "packs", "rw-ejoheza", changes=named)
    word = secrets.token_hex(16)
    table = {"phone_number_id": "106", "token": "t0", "app_secret": "s0", "verify_token": word}
    write_counterparties(tmp_path, {tenant.code: {"messages": table}})
    with listening(database_urls[0], keys, [tenant], tmp_path) as address:
        file = CounterpartyFile(tmp_path / "counterparties.toml")
        joined = Outside(db, keys, file, address, adapter, transport).of(tenant)
        ours = (await register(joined, db, tenant, "messages")).address

        async def asked(**changed: str) -> httpx.Response:
            query = {"hub.mode": "subscribe", "hub.verify_token": word, "hub.challenge": "1158201444"}
            async with httpx.AsyncClient() as client:
                return await client.get(
                    ours, params=query | {name.replace("_", ".", 1): v for name, v in changed.items()}
                )

        known, stranger, unsubscribed, odd = await asyncio.gather(
            asked(), asked(hub_verify_token="guessed"), asked(hub_mode="x"), asked(hub_challenge="<script>")
        )

    assert (known.status_code, known.text) == (200, "1158201444")
    assert known.headers["content-type"].startswith("text/plain")
    assert [one.text for one in (stranger, unsubscribed, odd)] == ["", "", ""]
