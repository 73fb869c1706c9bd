"""The engine with a counterparty whose every answer the test decides: leases, crashes of use cases, proofs claimed twice."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import psycopg
import pytest
import pytest_asyncio
from sqlalchemy.ext.asyncio import AsyncSession

from engine.kernel.outcomes import Answer, ExchangeState, Hint, Reason, RequestState
from engine.kernel.transport import Callback, Unanswered, Unreachable, WireRequest, WireResponse
from engine.runtime.database import Database, driver
from engine.runtime.exchanges import callbacks, queries, rules
from engine.runtime.exchanges.engine import Counterparty, Exchanges, Operation, Settled
from engine.runtime.exchanges.pacing import Pace
from engine.runtime.exchanges.queries import Row
from engine.runtime.exchanges.recording import RecordedTransport
from engine.runtime.key_file import FileKeyStore

S = RequestState
PENDING = Answer(state=S.PENDING, handle="h")
PACE = Pace(first_wait=0, longest_wait=0, lease=30, per_second=10_000, at_once=100, breaks_after=10_000)
Said = Answer | Exception


class Wire:
    """A transport that counts, and answers as it is told."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.before: Callable[[], Awaitable[None]] | None = None

    async def send(self, request: WireRequest) -> WireResponse:
        self.sent.append(request.url)
        if self.before:
            await self.before()
        return WireResponse(status=200)


@dataclass
class Office:
    """A counterparty, the engine, and a use case that is told of what was settled."""

    db: Database
    keys: FileKeyStore
    tenant_id: int
    asked: list[Said] = field(default_factory=list)
    enquired: list[Said] = field(default_factory=list)
    urls: list[str] = field(default_factory=list)
    settled: list[Settled] = field(default_factory=list)
    settle_error: Exception | None = None
    wire: Wire = field(default_factory=Wire)

    def exchanges(self, pace: Pace = PACE) -> Exchanges:
        transport = RecordedTransport(self.wire, self.db, self.keys)

        async def say(what: str, answers: list[Said], url: str) -> Answer:
            self.urls.append(url)
            await transport.send(WireRequest(method="POST", url=what, body=b"secret words"))
            said = answers.pop(0) if len(answers) > 1 else answers[0]
            if isinstance(said, Exception):
                raise said
            return said

        async def settle(session: AsyncSession, one: Settled) -> None:
            connection = await driver(session)
            await connection.execute(
                "insert into actors (tenant_id, actor_id, name) select %s, coalesce(max(actor_id), 0) + 1, %s from actors",
                (self.tenant_id, f"{one.reference}/{uuid4()}"),
            )
            self.settled.append(one)
            if self.settle_error:
                raise self.settle_error

        operation = Operation(
            ask=lambda question, url: say("ask:" + question.decode(), self.asked, url),
            enquire=lambda question, _last, url: say("enquire:" + question.decode(), self.enquired, url),
            settle=settle,
            read_callback=lambda callback: Hint(claimed=Answer(state=S.SUCCEEDED, handle=callback.body.decode())),
            read_enquiry_callback=lambda callback: Answer(
                state=S.SUCCEEDED, provider_ref="T", handle=callback.body.decode()
            ),
        )
        return Exchanges(
            self.db,
            self.keys,
            {"wallet": Counterparty("wallet", {"pay": operation}, pace)},
            lambda _t, _n, secret: secret,
        )

    async def open(self, exchanges: Exchanges, reference: UUID | None = None) -> UUID:
        reference = reference or uuid4()
        async with self.db.unit_of_work(self.tenant_id) as session:
            await exchanges.open(session, counterparty="wallet", operation="pay", reference=reference, question=b"Q")
        return reference

    async def row(self, reference: UUID) -> Row:
        async with self.db.unit_of_work(self.tenant_id) as session:
            row = await queries.find_exchange(session, reference)
        assert row is not None
        return row

    async def run(self, sql: str) -> list[tuple[object, ...]]:
        async with self.db.unit_of_work(self.tenant_id) as session:
            cursor: psycopg.AsyncCursor[tuple[object, ...]] = await (await driver(session)).execute(sql)
            return await cursor.fetchall() if cursor.description else []

    async def effects(self) -> int:
        [(count,)] = await self.run("select count(*) from actors where name ~ '^[0-9a-f-]{36}/'")
        assert isinstance(count, int)
        return count


@pytest_asyncio.fixture(loop_scope="session")
async def office(db: Database, keys: FileKeyStore, tenant_id: int) -> AsyncIterator[Office]:
    yield Office(db, keys, tenant_id)


def done(transaction: str = "T1") -> Answer:
    return Answer(state=S.SUCCEEDED, provider_ref=transaction)


async def test_a_use_case_that_fails_asks_nothing(office: Office) -> None:
    exchanges = office.exchanges()
    with suppress(RuntimeError):
        async with office.db.unit_of_work(office.tenant_id) as session:
            await exchanges.open(session, counterparty="wallet", operation="pay", reference=uuid4(), question=b"Q")
            raise RuntimeError

    assert await exchanges.work(office.tenant_id) == 0
    assert office.wire.sent == []


async def test_a_reference_is_opened_once(office: Office) -> None:
    exchanges, reference = office.exchanges(), uuid4()
    await office.open(exchanges, reference)

    async with office.db.unit_of_work(office.tenant_id) as session:
        opened = await exchanges.open(
            session, counterparty="wallet", operation="pay", reference=reference, question=b"Z"
        )

    assert not opened


async def test_who_cannot_be_reached_is_asked_again(office: Office) -> None:
    exchanges = office.exchanges()
    office.asked = [Unreachable(), Unreachable(), done()]
    reference = await office.open(exchanges)

    for _ in range(3):
        await exchanges.work(office.tenant_id)

    assert office.wire.sent == ["ask:Q"] * 3
    assert (await office.row(reference)).outcome is S.SUCCEEDED
    assert await office.effects() == 1


@pytest.mark.parametrize("lost", [Unanswered(), ValueError("a bug"), Answer(state=S.SENT)])
async def test_a_lost_answer_is_asked_after_and_never_asked_again(office: Office, lost: Said) -> None:
    exchanges = office.exchanges()
    office.asked, office.enquired = (
        [lost],
        [Unanswered(), Unreachable(), Answer(state=S.SENT), Answer(state=S.PENDING), done()],
    )
    reference = await office.open(exchanges)

    await exchanges.work(office.tenant_id)
    unknown = await office.row(reference)
    for _ in range(5):
        await exchanges.work(office.tenant_id)

    assert (unknown.state, unknown.outcome) == (ExchangeState.UNKNOWN, S.SENT)
    assert office.wire.sent == ["ask:Q"] + ["enquire:Q"] * 5
    assert (await office.row(reference)).outcome is S.SUCCEEDED


async def test_what_never_arrived_is_sent_again_under_the_same_reference(office: Office) -> None:
    exchanges = office.exchanges()
    office.asked, office.enquired = [Unanswered(), PENDING], [Answer(state=S.CREATED), done()]
    reference = await office.open(exchanges)

    for _ in range(4):
        await exchanges.work(office.tenant_id)

    assert office.wire.sent == ["ask:Q", "enquire:Q", "ask:Q", "enquire:Q"]
    assert (await office.row(reference)).outcome is S.SUCCEEDED


async def test_two_workers_share_the_work_and_ask_each_once(office: Office) -> None:
    one, other = office.exchanges(), office.exchanges()
    office.asked = [PENDING]
    for _ in range(40):
        await office.open(one)
    paced = [
        office.exchanges(Pace(first_wait=60, longest_wait=60, lease=30, per_second=1000, at_once=7))
        for _ in (one, other)
    ]

    for _ in range(6):
        await asyncio.gather(*(worker.work(office.tenant_id) for worker in paced))

    assert office.wire.sent == ["ask:Q"] * 40


async def test_who_slept_through_the_lease_can_neither_send_nor_store(office: Office) -> None:
    """As a process that was stopped for ten minutes between taking the work and sending."""
    sleeper, other = office.exchanges(), office.exchanges()
    office.asked = [done("T-sleeper"), done("T-other")]
    reference = await office.open(sleeper)
    async with office.db.unit_of_work(office.tenant_id) as session:
        [leased] = await queries.lease_due(session, "wallet", 1, 0)

    office.asked = [done("T-other")]
    await other.work(office.tenant_id)
    await sleeper._call(office.tenant_id, leased)

    assert office.wire.sent == ["ask:Q"]
    assert [one.answer.provider_ref for one in office.settled] == ["T-other"]
    assert (await office.row(reference)).lease == 2


async def test_who_slept_after_sending_stores_nothing(office: Office) -> None:
    sleeper, other = office.exchanges(), office.exchanges()
    office.asked, office.enquired = [Answer(state=S.FAILED, reason=Reason.OTHER)], [done()]
    await office.open(sleeper)

    async def taken_over() -> None:
        office.wire.before = None
        await office.run("update exchanges set leased_until = now() - interval '1 second'")
        await other.work(office.tenant_id)

    office.wire.before = taken_over
    await sleeper.work(office.tenant_id)

    assert office.wire.sent == ["ask:Q", "enquire:Q"]
    assert [one.answer.state for one in office.settled] == [S.SUCCEEDED]


async def test_what_cannot_be_settled_is_not_stored_and_tried_again(office: Office) -> None:
    exchanges = office.exchanges()
    office.asked, office.enquired, office.settle_error = [done()], [done()], RuntimeError("the books refuse")
    reference = await office.open(exchanges)

    await exchanges.work(office.tenant_id)
    row = await office.row(reference)
    assert (row.outcome, row.is_sent, await office.effects()) == (S.CREATED, True, 0)
    assert await exchanges.work(office.tenant_id) == 0  # leased until the lease ends

    office.settle_error = None
    await office.run("update exchanges set leased_until = now() - interval '1 second'")
    await exchanges.work(office.tenant_id)

    assert office.wire.sent == ["ask:Q", "enquire:Q"]
    assert ((await office.row(reference)).outcome, await office.effects()) == (S.SUCCEEDED, 1)


async def test_one_transaction_proves_one_request_for_ever(office: Office) -> None:
    exchanges = office.exchanges()
    office.asked = [done("T1")]
    first = await office.open(exchanges)
    await exchanges.work(office.tenant_id)
    second = await office.open(exchanges)
    await exchanges.work(office.tenant_id)
    await exchanges.work(office.tenant_id)

    assert (await office.row(first)).outcome is S.SUCCEEDED
    row = await office.row(second)
    assert (row.state, row.outcome) == (ExchangeState.UNKNOWN, S.SENT)
    assert await office.run(f"select reason, code, due_at from exchanges where reference = '{second}'") == [
        (Reason.DUPLICATE, rules.TWICE_CLAIMED, None)
    ]
    assert await office.effects() == 1
    assert office.wire.sent == ["ask:Q"] * 2  # left to people


async def test_another_unique_key_of_the_use_case_is_its_own_business(office: Office) -> None:
    exchanges = office.exchanges()
    office.asked = [done()]
    office.settle_error = psycopg.errors.UniqueViolation("of some other table")
    reference = await office.open(exchanges)

    await exchanges.work(office.tenant_id)

    assert (await office.row(reference)).outcome is S.CREATED


async def test_a_counterparty_that_is_down_is_called_no_more(office: Office) -> None:
    exchanges = office.exchanges(Pace(first_wait=0, longest_wait=0, breaks_after=3, breaks_for=60, at_once=1))
    office.asked = [Unreachable()]
    await office.open(exchanges)

    for _ in range(10):
        await exchanges.work(office.tenant_id)

    assert len(office.wire.sent) == 3


async def test_a_tenant_works_its_own_alone(office: Office, database_urls: tuple[str, str]) -> None:
    exchanges = office.exchanges()
    office.asked = [done()]
    await office.open(exchanges)
    with psycopg.connect(database_urls[0]) as connection:
        row = connection.execute(
            "insert into tenants (code) values ('yy-' || gen_random_uuid()) returning tenant_id"
        ).fetchone()
    assert row is not None

    assert await exchanges.work(row[0]) == 0
    assert office.wire.sent == []


# -- callbacks


def callback(body: str) -> Callback:
    return Callback(method="POST", body=body.encode())


async def verdicts(office: Office, exchanges: Exchanges) -> list[object]:
    await callbacks.read_all(exchanges, office.tenant_id)
    return [verdict for (verdict,) in await office.run("select verdict from callbacks order by callback_id")]


async def asked_later(office: Office, exchanges: Exchanges) -> tuple[UUID, str]:
    """Return a request whose enquiry the counterparty calls "Q1" and answers later, and that enquiry's address."""
    office.asked, office.enquired = [PENDING], [Answer(state=S.SENT, handle="Q1")]
    reference = await office.open(exchanges)
    await exchanges.work(office.tenant_id)
    await exchanges.work(office.tenant_id)
    return reference, office.urls[-1]


async def test_a_late_answer_counts_once_and_by_its_name_alone(office: Office) -> None:
    exchanges = office.exchanges()
    reference, secret = await asked_later(office, exchanges)

    for body in ("guessed", "Q1", "Q1", "Q2"):
        await callbacks.take(exchanges, office.tenant_id, "wallet", secret, callback(body))

    assert await verdicts(office, exchanges) == ["not-asked", "answered", "not-asked"]
    assert ((await office.row(reference)).outcome, await office.effects()) == (S.SUCCEEDED, 1)


async def test_an_answer_that_is_faster_than_our_notes_is_read_after_them(office: Office) -> None:
    exchanges = office.exchanges()
    office.asked, office.enquired = [PENDING], [Answer(state=S.SENT, handle="Q1")]
    reference = await office.open(exchanges)
    await exchanges.work(office.tenant_id)

    async def answers_at_once() -> None:
        await callbacks.take(exchanges, office.tenant_id, "wallet", office.urls[-1], callback("Q1"))
        assert await callbacks.read_all(exchanges, office.tenant_id) == 0

    office.wire.before = answers_at_once
    await exchanges.work(office.tenant_id)

    assert await verdicts(office, exchanges) == ["answered"]
    assert (await office.row(reference)).outcome is S.SUCCEEDED


async def test_a_callback_to_a_request_never_settles_it(office: Office) -> None:
    exchanges = office.exchanges(Pace(first_wait=60, longest_wait=60))
    office.asked, office.enquired = [PENDING], [done()]
    reference = await office.open(exchanges)
    await exchanges.work(office.tenant_id)
    assert await exchanges.work(office.tenant_id) == 0  # not due for a minute

    await callbacks.take(exchanges, office.tenant_id, "wallet", office.urls[0], callback("anything"))
    assert await verdicts(office, exchanges) == ["woke"]
    assert ((await office.row(reference)).outcome, await office.effects()) == (S.PENDING, 0)
    assert await exchanges.work(office.tenant_id) == 1
    assert (await office.row(reference)).outcome is S.SUCCEEDED

    await callbacks.take(exchanges, office.tenant_id, "wallet", office.urls[0], callback("later"))
    assert await verdicts(office, exchanges) == ["woke", "late"]
    assert await office.effects() == 1


async def test_a_callback_in_the_middle_of_a_call_is_not_forgotten(office: Office) -> None:
    exchanges = office.exchanges(Pace(first_wait=60, longest_wait=60))
    office.asked, office.enquired = [PENDING], [done()]
    await office.open(exchanges)

    async def calls_back() -> None:
        office.wire.before = None
        await callbacks.take(exchanges, office.tenant_id, "wallet", office.urls[0], callback("early"))
        await callbacks.read_all(exchanges, office.tenant_id)

    office.wire.before = calls_back
    await exchanges.work(office.tenant_id)

    assert await exchanges.work(office.tenant_id) == 1


async def test_one_more_callback_is_one_insert_and_no_more(office: Office) -> None:
    exchanges = office.exchanges()
    office.asked = [PENDING]
    await office.open(exchanges)
    await exchanges.work(office.tenant_id)

    await asyncio.gather(
        *(
            callbacks.take(exchanges, office.tenant_id, "wallet", office.urls[0], callback("the same"))
            for _ in range(50)
        )
    )
    await callbacks.take(exchanges, office.tenant_id, "wallet", "a-guess", callback("the same"))
    await callbacks.take(exchanges, office.tenant_id, "another", office.urls[0], callback("the same"))

    assert await office.run("select count(*) from callbacks") == [(1,)]


async def test_an_address_of_one_tenant_is_nothing_at_another(office: Office, database_urls: tuple[str, str]) -> None:
    exchanges = office.exchanges()
    office.asked = [PENDING]
    await office.open(exchanges)
    await exchanges.work(office.tenant_id)
    with psycopg.connect(database_urls[0]) as connection:
        row = connection.execute(
            "insert into tenants (code) values ('zz-' || gen_random_uuid()) returning tenant_id"
        ).fetchone()
    assert row is not None

    await callbacks.take(exchanges, row[0], "wallet", office.urls[0], callback("x"))

    assert await office.run("select count(*) from callbacks") == [(0,)]


async def test_an_adapter_that_stumbles_over_a_callback_holds_up_no_other(office: Office) -> None:
    exchanges = office.exchanges()
    office.asked = [PENDING]
    await office.open(exchanges)
    await exchanges.work(office.tenant_id)

    for body in (b"\xff", b"fine"):
        await callbacks.take(exchanges, office.tenant_id, "wallet", office.urls[0], Callback(method="POST", body=body))

    assert await verdicts(office, exchanges) == ["unreadable", "woke"]
