"""A server process killed between taking a payment and answering: the same request again gets the first outcome, posted once.

And two processes at once that are sent the same payments in opposite orders.
"""

import asyncio
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from sqlalchemy import text

from engine.access import service as access
from engine.access.rules import PARTNER_SCOPES
from engine.access.service import Partner, Tokens
from engine.app import LAWS
from engine.enrolment.service import Enrolled
from engine.ledger import queries as ledger_queries
from engine.ledger import service as ledger
from engine.ledger.rules import EventKind
from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant
from tests.factories.schemes import enrol, serve
from tests.faults.mortal_server import BASE_URL, POINTS

SCRIPT = Path(__file__).with_name("mortal_server.py")
ROOT = Path(__file__).parents[2]
NOBODY = "500000000009"
Key = str
Payment = dict[str, str]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@dataclass
class Scheme:
    """A scheme, and what a server process needs to serve it."""

    db: Database
    app_url: str
    folder: Path
    packs: Path
    tenant: Tenant
    members: Sequence[Enrolled]
    token: str

    def payment(self, member: str, amount: str = "100.00") -> tuple[Key, Payment]:
        """Return a payment and its key."""
        body = {"member": member, "amount": amount, "currency": "INR", "channel": "upi"}
        return secrets.token_hex(8), body | {"reference": f"R-{secrets.token_hex(8)}"}

    @contextmanager
    def process(self, *points: str) -> Iterator["Process"]:
        """Run a server process; it dies at `points` if there are any."""
        port = free_port()
        command: list[str | Path] = [sys.executable, SCRIPT, self.app_url, self.packs, self.folder, str(port), *points]
        log = self.folder / f"log-{secrets.token_hex(4)}"
        with log.open("wb") as stream:
            running = subprocess.Popen(
                command, stdout=stream, stderr=stream, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}
            )
        try:
            process = Process(running, f"http://127.0.0.1:{port}", {"Authorization": f"Bearer {self.token}"}, log)
            process.wait_until_ready()
            yield process
        finally:
            running.kill()
            running.wait(30)

    async def posted(self) -> list[tuple[int, int]]:
        """Return (event, kind) of every payment in the books."""
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            kinds = [int(EventKind.CONTRIBUTION_RECEIVED), int(EventKind.CONTRIBUTION_SUSPENDED)]
            rows = await session.execute(
                text("select event_id, kind from events where kind = any (:kinds) order by event_id"), {"kinds": kinds}
            )
            return [(int(event), int(kind)) for event, kind in rows]

    async def balance(self, member: Enrolled) -> int:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            return sum((await ledger_queries.stored_balances(session, member.member_id)).values())

    async def offences(self) -> list[Any]:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            return list(await ledger.check(session, LAWS))


@dataclass
class Process:
    """A server process, and a partner who calls it."""

    running: "subprocess.Popen[bytes]"
    address: str
    headers: dict[str, str]
    log: Path

    def wait_until_ready(self) -> None:
        for _ in range(600):
            assert self.running.poll() is None, self.log.read_text()
            try:
                if httpx.get(f"{self.address}/readyz", timeout=5).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            try:
                self.running.wait(0.05)
            except subprocess.TimeoutExpired:
                continue
        pytest.fail(f"the server did not begin to serve: {self.log.read_text()}")

    async def send(self, payments: Sequence[tuple[Key, Payment]]) -> list[httpx.Response | Exception]:
        """Send all payments at once, each as a request of its own; what breaks is an answer too."""
        async with httpx.AsyncClient(base_url=self.address, headers=self.headers, timeout=60) as client:

            async def one(key: Key, payment: Payment) -> httpx.Response:
                return await client.post("/v1/contributions", json=payment, headers={"Idempotency-Key": key})

            found = await asyncio.gather(*(one(*payment) for payment in payments), return_exceptions=True)
        return [answer if isinstance(answer, httpx.Response) else _failure(answer) for answer in found]

    async def send_batch(self, payments: Sequence[tuple[Key, Payment]]) -> dict[Key, Any]:
        """Send all payments in one request; return each one's status and receipt by its key."""
        items = [payment | {"key": key} for key, payment in payments]
        async with httpx.AsyncClient(base_url=self.address, headers=self.headers, timeout=60) as client:
            answer = await client.post("/v1/contributions/batch", json={"items": items})
        assert answer.status_code == 200, answer.text
        return {
            key: (item["status"], item.get("receipt", item.get("problem")))
            for (key, _), item in zip(payments, answer.json()["items"], strict=True)
        }


def _failure(error: BaseException) -> Exception:
    if not isinstance(error, Exception):
        raise error
    return error


@pytest_asyncio.fixture
async def scheme(db: Database, database_urls: tuple[str, str], tmp_path: Path) -> AsyncIterator[Scheme]:
    packs, folder = tmp_path / "packs", tmp_path / "data"
    packs.mkdir()
    folder.mkdir()
    keys = FileKeyStore(folder / "keys.toml")
    tenant = await serve(db, packs)
    async with db.unit_of_work(tenant.tenant_id) as session:
        new = await access.create_partner(session, code="wallet", name="A wallet", scopes=PARTNER_SCOPES)
    partner = Partner(tenant.tenant_id, new.partner_id, new.client_id, PARTNER_SCOPES)
    token = Tokens(keys.token_signing_key, issuer=BASE_URL).issue(partner, PARTNER_SCOPES).token
    members = await enrol(db, keys, tenant, ["sahyog"] * 4)
    yield Scheme(db, database_urls[0], folder, packs, tenant, members, token)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("point", POINTS)
async def test_the_same_request_again_gets_the_first_outcome(scheme: Scheme, point: str) -> None:
    """Whether the first attempt reached the books, its caller cannot know, and need not."""
    payments = [scheme.payment(member.number) for member in scheme.members]
    payments += [scheme.payment(member.number) for member in scheme.members]
    payments.append(scheme.payment(NOBODY))

    with scheme.process(point) as doomed:
        broken = await doomed.send(payments)
        assert doomed.running.wait(30) == -signal.SIGKILL, doomed.log.read_text()
    assert any(isinstance(answer, httpx.TransportError) for answer in broken)
    survived = await settled(scheme)
    if point in {"before-statement", "after-statement"}:
        assert survived == []
    elif point == "after-commit":
        assert survived

    with scheme.process() as restarted:
        first = await restarted.send(payments)
        second = await restarted.send(list(reversed(payments)))

    answers = [answer for answer in first if isinstance(answer, httpx.Response)]
    assert [answer.status_code for answer in answers] == [201] * 8 + [202]
    assert [answer.content for answer in answers] == [
        answer.content for answer in reversed(second) if isinstance(answer, httpx.Response)
    ]
    receipts = {int(answer.json()["receipt"]) for answer in answers}
    assert {event for event, _ in await scheme.posted()} == receipts
    assert len(receipts) == len(payments)
    assert {event for event, _ in survived} <= receipts
    for answered_before in (answer for answer in broken if isinstance(answer, httpx.Response)):
        assert answered_before.content in {answer.content for answer in answers}
    assert [await scheme.balance(member) for member in scheme.members] == [200_00] * 4
    assert await scheme.offences() == []


async def settled(scheme: Scheme) -> list[tuple[int, int]]:
    """Return what is in the books once the dead process's connections are gone: until then its locks stand."""
    for _ in range(200):
        async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
            held = await session.scalar(
                text("""select count(*) from pg_locks
                         where locktype = 'advisory' and objid = :tenant and classid between 7100 and 7199"""),
                {"tenant": scheme.tenant.tenant_id},
            )
        if not held:
            break
        await asyncio.sleep(0.05)
    return await scheme.posted()


@pytest.mark.timeout(180)
@pytest.mark.parametrize("point", ["after-statement", "after-commit"])
async def test_a_batch_is_answered_alike_after_its_process_died(scheme: Scheme, point: str) -> None:
    """Some of its payments may have reached the books, lane by lane; each one is there once in the end."""
    payments = [scheme.payment(scheme.members[n % 4].number) for n in range(40)]
    payments += [scheme.payment(NOBODY), payments[0]]
    refused = scheme.payment(scheme.members[0].number, "-1")

    with scheme.process(point) as doomed:
        with pytest.raises(httpx.TransportError):
            await doomed.send_batch([*payments, refused])
        assert doomed.running.wait(30) == -signal.SIGKILL, doomed.log.read_text()
    await settled(scheme)

    with scheme.process() as restarted:
        first = await restarted.send_batch([*payments, refused])
        again = await restarted.send_batch([refused, *reversed(payments)])

    assert first == again
    assert sorted({status for status, _ in first.values()}) == [201, 202, 422]
    assert len(await scheme.posted()) == 41
    assert [await scheme.balance(member) for member in scheme.members] == [1_000_00] * 4
    assert await scheme.offences() == []


@pytest.mark.timeout(180)
async def test_two_processes_sent_the_same_in_opposite_orders_answer_alike(scheme: Scheme) -> None:
    payments = [scheme.payment(scheme.members[n % 4].number) for n in range(120)]
    payments += [scheme.payment(NOBODY) for _ in range(8)]
    opposite = list(reversed(payments))

    with scheme.process() as one, scheme.process() as other:
        ours, theirs = await asyncio.gather(one.send_batch(payments), other.send_batch(opposite))
        singly, backwards = await asyncio.gather(one.send(payments), other.send(opposite))

    assert ours == theirs
    assert {status for status, _ in ours.values()} == {201, 202}
    posted = {event for event, _ in await scheme.posted()}
    assert posted == {int(receipt["receipt"]) for _, receipt in ours.values()}
    assert len(posted) == len(payments)
    for sent, answers in ((payments, singly), (opposite, backwards)):
        for (key, _), answer in zip(sent, answers, strict=True):
            assert isinstance(answer, httpx.Response), answer
            assert (answer.status_code, answer.json()) == ours[key]
    assert [await scheme.balance(member) for member in scheme.members] == [3_000_00] * 4
    assert await scheme.offences() == []


@pytest.mark.timeout(180)
async def test_two_processes_race_for_each_payment(scheme: Scheme) -> None:
    """One by one, at the same moment, to both: whoever comes first, both answer with its receipt."""
    payments = [scheme.payment(scheme.members[n % 4].number) for n in range(60)]

    with scheme.process() as one, scheme.process() as other:
        ours, theirs = await asyncio.gather(one.send(payments), other.send(list(reversed(payments))))

    for answer, twin in zip(ours, reversed(theirs), strict=True):
        assert isinstance(answer, httpx.Response), answer
        assert isinstance(twin, httpx.Response), twin
        assert (answer.status_code, answer.content) == (twin.status_code, twin.content)
    assert len(await scheme.posted()) == len(payments)
    assert await scheme.offences() == []
