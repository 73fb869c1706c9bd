"""Members are told of every event once, whatever the provider does and wherever a process dies."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from msgspec.structs import replace as replaced

from engine.app import LAWS, adapter
from engine.audit import service as audit
from engine.contributions.rules import Payment, lane_of
from engine.contributions.service import receive
from engine.enrolment.service import Enrolled
from engine.identity import service as identity
from engine.kernel.transport import Callback, WireRequest, WireResponse
from engine.ledger import service as ledger
from engine.notices import queries, service
from engine.notices.queries import MessageRow
from engine.outside import Joined, Outside, register
from engine.runtime.counterparty_file import CounterpartyFile
from engine.runtime.database import Database, driver
from engine.runtime.exchanges import callbacks
from engine.runtime.exchanges.transport import HttpTransport
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant
from integrations.messaging.africas_talking.joining import JoinsMessaging as JoinsAfricasTalking
from integrations.messaging.africas_talking.simulator import AfricasTalkingSimulator
from integrations.messaging.simulating import Fault
from integrations.messaging.whatsapp.joining import JoinsMessaging as JoinsWhatsApp
from integrations.messaging.whatsapp.simulator import WhatsAppSimulator
from tests.factories.schemes import serve
from tests.factories.wallets import KINDS, PACE, enrol, impatient, write_counterparties

NOON = datetime(2026, 3, 4, 10, tzinfo=UTC)
RWANDA = KINDS["mtn-momo"]
JOINS: Mapping[str, Any] = {"africas-talking": JoinsAfricasTalking(), "whatsapp": JoinsWhatsApp()}


class Callers:
    """A provider's way to our addresses: each report is taken as the route takes it."""

    def __init__(self) -> None:
        self.joined: Joined | None = None
        self.tenant_id = 0

    async def send(self, request: WireRequest) -> WireResponse:
        assert self.joined is not None
        target = urlsplit(request.url)
        counterparty, secret = target.path.split("/")[-2:]
        headers = {name.lower(): value for name, value in request.headers.items()}
        callback = Callback(method=request.method, headers=headers, body=request.body, query=target.query)
        await callbacks.take(self.joined.exchanges, self.tenant_id, counterparty, secret, callback)
        return WireResponse(status=200)


@dataclass
class Desk:
    """A scheme with members, who carries its messages, and a worker's turns."""

    db: Database
    keys: FileKeyStore
    tenant: Tenant
    members: list[Enrolled]
    simulator: Any
    joined: Joined
    outside: Outside

    @property
    def messenger(self) -> service.Messenger:
        assert self.joined.messenger is not None
        return self.joined.messenger

    async def pay(self, amount: str = "500", *, member: int = 0) -> None:
        payment = Payment(
            member=self.members[member].number,
            amount=amount,
            currency="RWF",
            channel="mtn-momo",
            reference=f"R{secrets.token_hex(8)}",
            sent_by="partner:1",
        )
        await receive(self.db, self.keys, self.tenant, [payment], lane=lane_of(payment.member))
        await self.sequence()

    async def sequence(self) -> None:
        await audit.append(self.db, self.keys, self.tenant.tenant_id, self.tenant.pack.log_origin)

    async def queue(self, now: datetime = NOON) -> int:
        return await service.queue_messages(self.db, self.tenant, self.messenger, now=now)

    async def turn(self, joined: Joined | None = None) -> None:
        joined = joined or self.joined
        await self.queue()
        await callbacks.read_all(joined.exchanges, self.tenant.tenant_id)
        await joined.exchanges.work(self.tenant.tenant_id)

    async def rest(self, turns: int = 8) -> None:
        for _ in range(turns):
            await self.turn()
            await self.simulator.reporting.send()
            await asyncio.sleep(0.04)

    async def messages(self, member: int = 0) -> list[MessageRow]:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            return await service.messages_of(session, self.keys, self.members[member].number)

    async def select(self, sql: str) -> list[tuple[Any, ...]]:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            return list(await (await (await driver(session)).execute(sql.encode())).fetchall())

    async def offences(self) -> list[Any]:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            return list(await ledger.check(session, LAWS))


@asynccontextmanager
async def open_desk(
    provider: str, db: Database, keys: FileKeyStore, folder: Path, transport: HttpTransport, *, payer: str = ""
) -> AsyncIterator[Desk]:
    named = {'Messaging = "africas-talking"': f'Messaging = "{provider}"'}
    tenant = await serve(db, folder / "packs", "rw-ejoheza", changes=named)
    callers = Callers()
    simulator: Any
    own: dict[str, Any]
    if provider == "whatsapp":
        own = {"phone_number_id": "1066", "token": "t0", "app_secret": "s0"}
        simulator = WhatsAppSimulator(callers, **own, reports_to="x")
        own |= {"verify_token": "v0"}
    else:
        own = {"username": "scheme", "api_key": "k0"}
        simulator = AfricasTalkingSimulator(callers, **own, reports_to="x")
    async with simulator.server:
        table = {**own, "base_url": simulator.server.url, "pace": PACE}
        write_counterparties(folder, {tenant.code: {"messages": table}})

        def installed(port: str, name: str) -> Any:
            return JOINS[name] if port == "Messaging" else adapter(port, name)

        file = CounterpartyFile(folder / "counterparties.toml")
        outside = Outside(db, keys, file, "http://127.0.0.1:1", installed, transport)
        joined = outside.of(tenant)
        callers.joined, callers.tenant_id = joined, tenant.tenant_id
        registered = await register(joined, db, tenant, "messages")
        simulator.reporting._url = registered.address
        desk = Desk(db, keys, tenant, [], simulator, joined, outside)
        assert await desk.queue() == 0  # from now on
        desk.members = await enrol(db, keys, tenant, replace(RWANDA, payer=payer or RWANDA.payer), 2)
        await desk.sequence()
        yield desk


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def transport() -> AsyncIterator[HttpTransport]:
    async with impatient() as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def desk(db: Database, keys: FileKeyStore, tmp_path: Path, transport: HttpTransport) -> AsyncIterator[Desk]:
    async with open_desk("africas-talking", db, keys, tmp_path, transport) as opened:
        yield opened


async def test_a_receipt_says_what_came_and_what_there_is_and_its_cost_is_kept(desk: Desk) -> None:
    await desk.pay("500")
    await desk.pay("700")

    await desk.rest()

    shown = await desk.messages()
    assert [(one.occasion, one.state, one.parts, one.cost, one.currency) for one in shown] == [
        ("contribution-received", "delivered", 1, Decimal("0.8"), "KES"),
        ("contribution-received", "delivered", 1, Decimal("0.8"), "KES"),
        ("welcome", "delivered", 1, Decimal("0.8"), "KES"),
    ]
    texts = [one.text for one in desk.simulator.sent]
    assert len(texts) == 4  # two members were welcomed
    for row, amount in zip(shown, ("700", "500"), strict=False):
        [text] = [one for one in texts if one.endswith(f"Receipt {row.event_id}")]
        assert f"EjoHeza: RWF {amount} received. Your savings are now RWF 1,200." in text
    [welcome] = [one for one in texts if desk.members[0].number in one]
    assert welcome.startswith("Welcome to EjoHeza, Example.")
    today = date(2000, 1, 1), date(2100, 1, 1)
    async with desk.db.unit_of_work(desk.tenant.tenant_id) as session:
        found = await service.costs(session, desk.tenant, *today)
    assert [(one.occasion, one.messages, one.parts, one.cost) for one in found] == [
        ("contribution-received", 2, 2, Decimal("1.6")),
        ("welcome", 2, 2, Decimal("1.6")),
    ]
    assert await desk.offences() == []


@pytest.mark.parametrize("how", list(Fault))
async def test_whatever_the_provider_does_no_message_goes_twice(desk: Desk, how: Fault) -> None:
    desk.simulator.faults.seconds_late = 1.5
    desk.simulator.faults.plan(how)
    await desk.pay()

    await desk.rest()

    texts = [one.text for one in desk.simulator.sent]
    assert desk.simulator.faults.happened[how] == 1
    assert len(texts) == len(set(texts)) == (2 if how is Fault.UNAVAILABLE else 3)
    states = [one.state for member in (0, 1) for one in await desk.messages(member)]
    in_doubt = how in {Fault.LATE, Fault.DROPPED, Fault.HTML_PAGE, Fault.HALF_A_BODY, Fault.UNAVAILABLE}
    if in_doubt:
        assert sorted(states) == ["delivered", "delivered", "unknown"]
    else:
        assert set(states) <= {"delivered", "sent"}
        assert states.count("delivered") >= 2
    assert await desk.offences() == []


async def test_two_workers_at_once_send_each_message_once(desk: Desk) -> None:
    for member in (0, 1, 0, 1):
        await desk.pay(str(500 + member), member=member)
    other = Outside(
        *(getattr(desk.outside, f"_{name}") for name in ("db", "keys", "file", "base_url", "installed", "transport"))
    ).of(desk.tenant)
    assert other.exchanges is not desk.joined.exchanges

    queued = await asyncio.gather(*(desk.queue() for _ in range(4)))
    for _ in range(6):
        await asyncio.gather(desk.turn(), desk.turn(other))

    assert sum(queued) == 6
    assert len(desk.simulator.sent) == len({one.text for one in desk.simulator.sent}) == 6
    assert await desk.offences() == []


async def test_who_dies_while_queueing_has_queued_nothing_and_moved_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.pay()

    async def dies(*_: object) -> None:
        raise ConnectionError

    with monkeypatch.context() as patched:
        patched.setattr(queries, "move_cursor", dies)
        with pytest.raises(ConnectionError):
            await desk.queue()
    assert await desk.select("select count(*) from messages") == [(0,)]
    assert await desk.select("select count(*) from exchanges") == [(0,)]

    assert await desk.queue() == 3
    assert await desk.queue() == 0


async def test_what_was_sent_by_who_died_before_the_answer_was_stored_is_not_sent_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.pay()
    await desk.queue()

    async def dies(*_: object) -> None:
        raise ConnectionError

    with monkeypatch.context() as patched:
        patched.setattr(desk.joined.exchanges, "_store_said", dies)
        await desk.joined.exchanges.work(desk.tenant.tenant_id)
    assert len(desk.simulator.sent) == 3
    await desk.select("select 1")
    async with desk.db.unit_of_work(desk.tenant.tenant_id) as session:
        await (await driver(session)).execute(
            "update exchanges set leased_until = clock_timestamp(), due_at = clock_timestamp()"
        )

    await desk.rest()

    assert len(desk.simulator.sent) == 3
    assert {one.state for one in await desk.messages()} == {"unknown"}  # this provider's reports name its own id alone
    assert await desk.offences() == []


async def test_at_night_a_message_waits_for_the_morning(desk: Desk) -> None:
    night = datetime(2099, 3, 4, 21, tzinfo=UTC)  # 23:00 in Kigali; quiet until 07:00
    assert await desk.queue(night) == 2

    await desk.joined.exchanges.work(desk.tenant.tenant_id)

    assert desk.simulator.sent == []
    assert await desk.select("select distinct due_at at time zone 'Africa/Kigali' from exchanges") == [
        (datetime(2099, 3, 5, 7),)  # noqa: DTZ001 - the database's local time
    ]


async def test_what_is_old_is_no_news_and_the_erased_are_not_written_to(desk: Desk) -> None:
    await desk.queue()
    async with desk.db.unit_of_work(desk.tenant.tenant_id) as session:
        found = await identity.members_by_number(session, desk.keys, [one.number for one in desk.members])
        await identity.erase(
            session, found[desk.members[1].number].member_id, actor="staff:1", business_date=date(2026, 3, 4)
        )
    await desk.pay()
    await desk.queue()

    await desk.rest()

    assert sorted(await desk.select("select state, reason from messages")) == [
        ("refused", "not-registered"),
        ("sent", ""),
        ("sent", ""),
    ]
    assert await desk.offences() == []


async def test_nothing_personal_is_kept_in_the_clear(desk: Desk) -> None:
    await desk.pay()
    await desk.rest()

    for table in ("messages", "message_reports", "exchanges", "exchange_messages", "callbacks"):
        rows = await desk.select(f"select w::text from {table} w")
        assert rows, table
        assert not [one for (one,) in rows if "788123456" in one or "Example" in one or desk.members[0].number in one]


async def test_the_tenant_next_door_sees_no_message(desk: Desk, tenant_id: int) -> None:
    await desk.pay()
    await desk.rest()
    async with desk.db.unit_of_work(tenant_id) as session:
        connection = await driver(session)
        for table in ("messages", "message_cursors", "message_reports"):
            assert await (await connection.execute(f"select * from {table}".encode())).fetchall() == []


async def test_signed_reports_settle_what_was_unknown_and_forged_ones_nothing(
    db: Database, keys: FileKeyStore, tmp_path: Path, transport: HttpTransport
) -> None:
    async with open_desk("whatsapp", db, keys, tmp_path, transport) as desk:
        desk.simulator.faults.plan(Fault.HALF_A_BODY, 2)  # both welcomes go out, and neither answer comes
        await desk.turn()
        assert {one.state for one in await desk.messages()} == {"unknown"}
        told = desk.simulator.reporting
        genuine, told._waiting = told._waiting, []
        for one in genuine:  # as signed for another text, and not signed at all
            told._waiting.append(replaced(one, body=one.body.replace(b'"sent"', b'"read"') + b" "))
            told._waiting.append(replaced(one, body=one.body + b"  ", headers={}))
            # The very words of the genuine one, sent before it with a false signature, do not shut it out.
            false = {name: f"sha256={'0' * 64}" if "ignature" in name else value for name, value in one.headers.items()}
            assert false != one.headers
            told._waiting.append(replaced(one, headers=false))
        await desk.rest(3)
        assert await desk.select("select count(*) from message_reports") == [(0,)]
        assert {one[0] for one in await desk.select("select verdict from callbacks")} == {"unreadable"}
        assert {one.state for one in await desk.messages()} == {"unknown"}

        told._waiting = [*genuine, *reversed(genuine)]
        await desk.rest()

        assert [one.state for member in (0, 1) for one in await desk.messages(member)] == ["read", "read"]
        assert len(desk.simulator.sent) == 2
        assert await desk.offences() == []


async def test_a_number_that_cannot_be_reached_fails(
    db: Database, keys: FileKeyStore, tmp_path: Path, transport: HttpTransport
) -> None:
    async with open_desk("africas-talking", db, keys, tmp_path, transport, payer="+250788120999") as desk:
        await desk.rest()
        assert [one.state for one in await desk.messages()] == ["failed"]
    async with open_desk("africas-talking", db, keys, tmp_path / "2", transport, payer="+250788120406") as desk:
        await desk.rest()
        assert [(one.state, one.reason, one.parts) for one in await desk.messages()] == [("refused", "blocked", 0)]
