"""Partners told by a real database and over real HTTP: once stored, again and again sent, whoever dies."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import pytest_asyncio

from engine.access import service as access
from engine.access.rules import PARTNER_SCOPES
from engine.audit import service as audit
from engine.contributions import service as contributions
from engine.contributions.rules import Payment, Receipt, lane_of
from engine.enrolment.service import Enrolled
from engine.kernel.clock import SystemClock
from engine.kernel.errors import Invalid
from engine.kernel.transport import WireResponse
from engine.ledger import service as ledger
from engine.runtime.database import Database, driver
from engine.runtime.exchanges.transport import HttpTransport
from engine.runtime.key_file import FileKeyStore
from engine.runtime.public_transport import open_public_transport
from engine.tenancy.service import Tenant
from engine.webhooks import queries, service
from engine.webhooks.api import WebhookController
from engine.webhooks.errors import UnknownWebhook, UrlNotAllowed
from engine.webhooks.ports import WebhookAnswer, WebhookMessage
from engine.webhooks.service import Webhook
from integrations.messaging.simulating import Fault
from integrations.messaging.standard_webhooks.adapter import StandardWebhooks
from integrations.messaging.standard_webhooks.simulator import PartnerSimulator
from tests.factories.routes import routes
from tests.factories.schemes import enrol, serve
from tests.factories.suspense import give


@dataclass
class Told:
    """A scheme, one partner of it, and that partner's endpoint."""

    db: Database
    keys: FileKeyStore
    tenant: Tenant
    partner_id: int
    member: Enrolled
    partner: PartnerSimulator
    webhooks: StandardWebhooks

    @property
    def actor(self) -> str:
        return f"partner:{self.partner_id}"

    async def set(self, url: str = "", *, partner_id: int = 0) -> Webhook:
        who = partner_id or self.partner_id
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            return await service.set_webhook(
                session, self.keys, self.tenant,
                partner_id=who, actor=f"partner:{who}", url=url or self.partner.url, is_local_allowed=True,
            )  # fmt: skip

    async def shown(self) -> Webhook:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            return await service.find_webhook(session, self.keys, self.tenant, partner_id=self.partner_id)

    async def pay(self, member: str = "", *, sent_by: str = "") -> Receipt:
        payment = Payment(
            member=member or self.member.number, amount="100.00", currency="INR", channel="upi",
            reference=f"R-{secrets.token_hex(8)}", sent_by=sent_by or self.actor,
        )  # fmt: skip
        (answer,) = await contributions.receive(
            self.db, self.keys, self.tenant, [payment], lane=lane_of(payment.member)
        )
        assert isinstance(answer, Receipt)
        return answer

    async def sequence(self) -> None:
        await audit.append(self.db, self.keys, self.tenant.tenant_id, self.tenant.pack.log_origin)

    async def tell(self) -> None:
        await self.sequence()
        while await service.tell(self.db, self.keys, self.tenant.tenant_id, self.webhooks):
            pass

    async def send(self) -> int:
        return await service.send_due(self.db, self.keys, self.tenant.tenant_id, self.webhooks)

    async def select(self, sql: str) -> list[tuple[Any, ...]]:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            connection = await driver(session)
            return list(await (await connection.execute(sql.encode())).fetchall())

    async def deliveries(self) -> list[tuple[Any, ...]]:
        return await self.select("select state, code, attempts from webhook_deliveries order by event_id")

    async def later(self) -> None:
        """Let every lease and every wait be over."""
        await self.select(
            "update webhook_deliveries set due_at = clock_timestamp(), leased_until = null where state = 'waiting' returning 1"
        )


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def transport() -> AsyncIterator[HttpTransport]:
    async with open_public_transport(seconds=1, is_local_allowed=True) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def told(db: Database, keys: FileKeyStore, tmp_path: Path, transport: HttpTransport) -> AsyncIterator[Told]:
    tenant = await serve(db, tmp_path)
    async with db.unit_of_work(tenant.tenant_id) as session:
        new = await access.create_partner(session, code="wallet", name="A wallet", scopes=PARTNER_SCOPES)
    (member,) = await enrol(db, keys, tenant, ["sahyog"])
    partner = PartnerSimulator()
    async with partner.server:
        told = Told(db, keys, tenant, new.partner_id, member, partner, StandardWebhooks(transport))
        partner.secret = (await told.set()).secret
        yield told


async def test_a_partner_is_told_what_became_of_what_it_sent(told: Told) -> None:
    received = await told.pay()
    suspended = await told.pay("500000000009")
    await told.pay(sent_by="staff:1")
    await give(told.db, told.keys, told.tenant, int(suspended.receipt), member=told.member.number)
    async with told.db.unit_of_work(told.tenant.tenant_id) as session:
        proposed = await contributions.propose_reversal(
            session, told.tenant, int(received.receipt), reason="charged-back", actor="staff:1"
        )
    await contributions.confirm_reversal(
        told.db, told.keys, told.tenant, int(received.receipt), digest=proposed.digest, actor="staff:2"
    )
    await told.tell()

    seen = [(one["type"], one["data"]["state"], one["data"]["receipt"]) for one in told.partner.taken.values()]
    assert sorted(seen) == sorted([
        ("contribution.received", "received", received.receipt),
        ("contribution.suspended", "suspended", suspended.receipt),
        ("contribution.resolved", "received", suspended.receipt),
        ("contribution.reversed", "reversed", received.receipt),
    ])  # fmt: skip
    by_type = {one["type"]: one for one in told.partner.taken.values()}
    first = by_type["contribution.received"]
    assert list(first) == ["type", "timestamp", "data"]
    assert first["timestamp"].startswith("2023-04-03T04:00:00")
    ((reference,),) = await told.select(f"select body ->> 'ref' from events where event_id = {received.receipt}")
    assert first["data"] == {
        "receipt": received.receipt, "state": "received", "amount": "100.00", "currency": "INR", "channel": "upi",
        "reference_digest": reference, "business_date": "2023-04-03",
    }  # fmt: skip
    assert by_type["contribution.suspended"]["data"]["reason"] == suspended.reason
    assert by_type["contribution.reversed"]["data"]["reason"] == "charged-back"
    assert "reason" not in by_type["contribution.resolved"]["data"]
    assert told.member.number not in str(told.partner.taken)
    assert {state for state, _, _ in await told.deliveries()} == {"delivered"}


async def test_the_reversal_of_what_was_in_suspense_is_told_by_its_receipt(told: Told) -> None:
    suspended = await told.pay("500000000009")
    resolved = await give(told.db, told.keys, told.tenant, int(suspended.receipt), member=told.member.number)
    async with told.db.unit_of_work(told.tenant.tenant_id) as session:
        proposed = await contributions.propose_reversal(
            session, told.tenant, int(resolved.receipt), reason="charged-back", actor="staff:1"
        )
    await contributions.confirm_reversal(
        told.db, told.keys, told.tenant, int(resolved.receipt), digest=proposed.digest, actor="staff:2"
    )
    await told.tell()

    found = {one["type"]: one["data"]["receipt"] for one in told.partner.taken.values()}
    assert found["contribution.reversed"] == suspended.receipt


async def test_what_was_before_the_endpoint_and_what_others_sent_is_not_told(
    told: Told, keys: FileKeyStore, tmp_path: Path
) -> None:
    async with told.db.unit_of_work(told.tenant.tenant_id) as session:
        other = await access.create_partner(session, code="later", name="Another", scopes=PARTNER_SCOPES)
    await told.pay(sent_by=f"partner:{other.partner_id}")
    await told.sequence()
    second = PartnerSimulator()
    async with second.server:
        second.secret = (await told.set(second.url, partner_id=other.partner_id)).secret
        mine, theirs = await told.pay(), await told.pay(sent_by=f"partner:{other.partner_id}")
        await told.tell()

    assert [one["data"]["receipt"] for one in told.partner.taken.values()] == [mine.receipt]
    assert [one["data"]["receipt"] for one in second.taken.values()] == [theirs.receipt]
    neighbour = await serve(told.db, tmp_path / "next")
    async with told.db.unit_of_work(neighbour.tenant_id) as session:
        connection = await driver(session)
        for table in ("webhook_endpoints", "webhook_deliveries", "webhook_cursors"):
            assert await (await connection.execute(f"select from {table}".encode())).fetchall() == []
        with pytest.raises(UnknownWebhook):
            await service.find_webhook(session, keys, neighbour, partner_id=told.partner_id)


class Dying:
    """A worker that dies at a call: before it has sent, or after."""

    def __init__(self, webhooks: StandardWebhooks, *, has_sent: bool) -> None:
        self._webhooks, self._has_sent = webhooks, has_sent

    async def deliver(self, message: WebhookMessage, secrets: Sequence[str]) -> WebhookAnswer:
        if self._has_sent:
            await self._webhooks.deliver(message, secrets)
        raise asyncio.CancelledError


@pytest.mark.parametrize("has_sent", [False, True])
async def test_whatever_dies_the_same_message_is_sent_again(told: Told, has_sent: bool) -> None:
    receipt = await told.pay()
    await told.sequence()
    with pytest.raises(asyncio.CancelledError):
        await service.tell(told.db, told.keys, told.tenant.tenant_id, Dying(told.webhooks, has_sent=has_sent))
    assert await told.deliveries() == [("waiting", "", 1)]
    assert await told.send() == 0  # whoever died may be alive: its lease lasts

    await told.later()
    await told.tell()

    assert [one["data"]["receipt"] for one in told.partner.taken.values()] == [receipt.receipt]
    assert len(told.partner.attempts) == 1 + has_sent
    assert len(set(told.partner.attempts)) == 1
    assert await told.deliveries() == [("delivered", "204", 2)]


async def test_the_log_is_read_once_whoever_dies_while_reading(told: Told) -> None:
    await told.pay()
    await told.sequence()

    class Killed(Exception):
        pass

    async def die() -> None:
        async with told.db.unit_of_work(told.tenant.tenant_id) as session:
            assert await queries.follow_log(session) > 0
            raise Killed

    with pytest.raises(Killed):
        await die()
    assert await told.deliveries() == []
    # A cursor that has fallen back, as after a restore, doubles nothing.
    (before,) = await told.select("select seq from webhook_cursors")
    assert await service.follow_log(told.db, told.tenant.tenant_id) > 0
    await told.select(f"update webhook_cursors set seq = {before[0]} returning 1")
    assert await service.follow_log(told.db, told.tenant.tenant_id) > 0
    assert await service.follow_log(told.db, told.tenant.tenant_id) == 0

    assert await told.deliveries() == [("waiting", "", 0)]


async def test_workers_side_by_side_tell_everything_and_nothing_twice(told: Told) -> None:
    receipts = [(await told.pay()).receipt for _ in range(25)]

    async def worker() -> None:
        idle = 0
        while idle < 20:
            done = await service.tell(told.db, told.keys, told.tenant.tenant_id, told.webhooks)
            idle = 0 if done else idle + 1
            await asyncio.sleep(0.01)

    async def appender() -> None:
        await told.sequence()

    await asyncio.gather(worker(), appender(), worker(), worker())

    assert sorted(one["data"]["receipt"] for one in told.partner.taken.values()) == sorted(receipts)
    assert len(told.partner.attempts) == 25
    assert await told.deliveries() == [("delivered", "204", 1)] * 25


async def test_what_is_not_taken_is_sent_again_later_and_given_up_after_ten_attempts(told: Told) -> None:
    await told.pay()
    told.partner.answers = [WireResponse(status=503, headers={"retry-after": "90"})]
    told.partner.faults.plan(Fault.DROPPED)
    await told.tell()
    ((waits,),) = await told.select("select extract(epoch from due_at - answered_at) from webhook_deliveries")
    assert await told.deliveries() == [("waiting", "unanswered", 1)]
    assert 5 <= waits <= 6
    await told.later()

    told.partner.answers = [WireResponse(status=503, headers={"retry-after": "900"})]
    assert await told.send() == 1
    ((waits,),) = await told.select("select extract(epoch from due_at - answered_at) from webhook_deliveries")
    assert await told.deliveries() == [("waiting", "503", 2)]
    assert 899 <= waits <= 901

    told.partner.answers = [WireResponse(status=302, headers={"location": told.partner.url})] * 8
    for _ in range(8):
        await told.later()
        assert await told.send() == 1
    await told.later()

    assert await told.send() == 0
    assert await told.deliveries() == [("failed", "302", 10)]
    assert len(set(told.partner.attempts)) == 1
    shown = await told.shown()
    assert (shown.waiting, shown.failed, shown.last_code) == (0, 1, "302")


async def test_an_endpoint_that_is_gone_is_told_nothing_until_it_is_named_again(told: Told) -> None:
    await told.pay()
    told.partner.answers = [WireResponse(status=410)]
    await told.tell()
    await told.pay()
    await told.tell()
    assert (await told.shown()).state == "disabled"
    assert await told.deliveries() == [("dropped", "410", 1)]

    assert (await told.set()).secret == ""
    last = await told.pay()
    await told.tell()

    assert [one["data"]["receipt"] for one in told.partner.taken.values()] == [last.receipt]
    assert (await told.shown()).state == "active"


async def test_one_endpoint_in_trouble_keeps_no_other_waiting(told: Told) -> None:
    async with told.db.unit_of_work(told.tenant.tenant_id) as session:
        other = await access.create_partner(session, code="closed", name="Closed", scopes=PARTNER_SCOPES)
    closed = PartnerSimulator()
    async with closed.server:
        url = closed.url
    await told.set(url, partner_id=other.partner_id)
    for _ in range(15):
        await told.pay(sent_by=f"partner:{other.partner_id}")
    mine = await told.pay()
    await told.sequence()
    await service.tell(told.db, told.keys, told.tenant.tenant_id, told.webhooks)

    assert [one["data"]["receipt"] for one in told.partner.taken.values()] == [mine.receipt]
    assert {code for _, code, _ in await told.deliveries()} == {"204", "unreachable", ""}


async def test_a_changed_secret_and_the_one_before_are_both_good_for_a_day(told: Told) -> None:
    old = told.partner.secret
    async with told.db.unit_of_work(told.tenant.tenant_id) as session:
        new = (
            await service.change_secret(session, told.keys, told.tenant, partner_id=told.partner_id, actor=told.actor)
        ).secret
    assert (await told.shown()).secret == ""
    for secret in (old, new):
        told.partner.secret = secret
        await told.pay()
        await told.tell()
    assert (len(told.partner.taken), told.partner.refused) == (2, [])

    endpoint = service._Endpoint("https://a", new, old, SystemClock().now())
    assert endpoint.secrets(SystemClock().now()) == [new]
    ((document,),) = await told.select("select document from webhook_endpoints")
    for sealed in (old, new, told.partner.url):
        assert sealed.encode() not in bytes(document)


async def test_a_removed_endpoint_is_told_nothing_and_begins_anew_with_another_secret(told: Told) -> None:
    old = told.partner.secret
    await told.pay()
    await told.sequence()
    await service.follow_log(told.db, told.tenant.tenant_id)
    async with told.db.unit_of_work(told.tenant.tenant_id) as session:
        await service.remove_webhook(session, told.tenant, partner_id=told.partner_id, actor=told.actor)
    await told.pay()
    await told.tell()
    with pytest.raises(UnknownWebhook):
        await told.shown()
    assert told.partner.attempts == []

    again = await told.set()
    assert again.secret.startswith("whsec_")
    assert again.secret != old
    await told.tell()
    assert await told.deliveries() == [("dropped", "", 0)]


async def test_a_suspended_partner_is_told_nothing_meanwhile(told: Told) -> None:
    await told.pay()
    await told.select("update partners set status = 'suspended' returning 1")
    await told.tell()
    assert told.partner.attempts == []
    await told.select("update partners set status = 'active' returning 1")
    await told.tell()
    assert len(told.partner.taken) == 1


async def test_addresses_inside_are_refused_when_named_and_when_a_name_leads_there(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UrlNotAllowed):
        await told.set("https://10.0.0.1/hooks")
    looked_up: list[str] = []

    async def addresses(host: str, _port: int) -> list[str]:
        looked_up.append(host)
        return ["8.8.8.8", "127.0.0.1"]

    monkeypatch.setattr("engine.runtime.public_transport._addresses", addresses)
    await told.set("https://partner.example/hooks")
    await told.pay()
    await told.tell()

    assert looked_up == ["partner.example"]
    assert await told.deliveries() == [("waiting", "unreachable", 1)]
    async with open_public_transport(seconds=1, is_local_allowed=False) as closed:
        await told.set()
        await told.later()
        monkeypatch.undo()
        await service.send_due(told.db, told.keys, told.tenant.tenant_id, StandardWebhooks(closed))
    assert await told.deliveries() == [("waiting", "unreachable", 2)]
    assert told.partner.attempts == []


async def replayed(told: Told, *, days: int = 1, again: bool = False) -> int:
    since = SystemClock().now() - timedelta(days=days)
    async with told.db.unit_of_work(told.tenant.tenant_id) as session:
        done = await service.replay(session, partner_id=told.partner_id, since=since, again=again)
    return done.waiting


async def offences(told: Told) -> list[str]:
    async with told.db.unit_of_work(told.tenant.tenant_id) as session:
        return [one.law for one in await ledger.check(session, queries.LAWS)]


async def test_what_was_missed_is_told_once_more_when_a_partner_asks(told: Told) -> None:
    """Given up, dropped as the endpoint was gone, and what happened while nobody was told: each once, by its own message."""
    first = await told.pay()
    told.partner.answers = [WireResponse(status=410)]
    await told.tell()
    while_away = await told.pay()
    await told.tell()
    with pytest.raises(UnknownWebhook):
        await replayed(told)
    await told.set()
    assert told.partner.taken == {}

    await replayed(told)
    await told.tell()
    receipts = {first.receipt, while_away.receipt}
    assert {one["data"]["receipt"] for one in told.partner.taken.values()} == receipts
    sent = len(told.partner.attempts)
    assert await replayed(told) == 0
    await told.tell()
    assert len(told.partner.attempts) == sent, "what was taken is not sent again unless it is asked for"
    assert await replayed(told, again=True) == 2
    await told.tell()
    assert len(told.partner.attempts) == sent + 2
    assert len(set(told.partner.attempts)) == len(told.partner.taken) == 2
    assert await told.select("select count(*)::int from webhook_deliveries") == [(2,)]
    assert await offences(told) == []
    with pytest.raises(Invalid):
        await replayed(told, days=31)


async def test_a_partner_asks_over_http_to_be_told_once_more(told: Told) -> None:
    receipt = await told.pay()
    told.partner.answers = [WireResponse(status=410)]
    await told.tell()
    since = {"since": (SystemClock().now() - timedelta(days=1)).isoformat()}
    async with routes(
        told.tenant, told.db, WebhookController, partner_id=told.partner_id, keys=told.keys, settings=None
    ) as client:
        gone = await client.post("/v1/webhooks/replay", json=since)
        assert (gone.status_code, gone.json()["code"]) == (404, "webhooks.unknown")
        await told.set()
        done = await client.post("/v1/webhooks/replay", json=since)
        assert done.status_code == 200, done.text
        await told.tell()
        assert [one["data"]["receipt"] for one in told.partner.taken.values()] == [receipt.receipt]
        assert (await client.post("/v1/webhooks/replay", json=since)).json()["waiting"] == 0
        again = await client.post("/v1/webhooks/replay", json=since | {"again": True})
        assert again.json()["waiting"] == 1
        long_ago = {"since": (SystemClock().now() - timedelta(days=31)).isoformat()}
        assert (await client.post("/v1/webhooks/replay", json=long_ago)).status_code == 422
        assert (await client.post("/v1/webhooks/replay", json={"since": "yesterday"})).status_code in (400, 422)
    assert await offences(told) == []


async def test_the_laws_notice_what_was_not_told_and_what_did_not_happen(
    told: Told, superuser_url: str, database_urls: tuple[str, str]
) -> None:
    await told.pay()
    await told.tell()
    assert await offences(told) == []
    database = database_urls[0].rpartition("/")[2]
    with psycopg.connect(superuser_url, dbname=database) as connection:
        connection.execute(
            "update webhook_deliveries set event_id = event_id + 1 where tenant_id = %s", (told.tenant.tenant_id,)
        )
    assert await offences(told) == ["partners-are-told-what-happened", "partners-are-told-all"]
