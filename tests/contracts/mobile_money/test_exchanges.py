"""Every operator under the engine that records, retries and resumes: whatever the operator does, the end is the right one."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from decimal import Decimal
from uuid import UUID, uuid4

import msgspec
import psycopg
import pytest
import pytest_asyncio

from engine.benefits.ports import PayoutRequest
from engine.contributions.ports import CollectionRequest
from engine.kernel.amounts import Amount
from engine.kernel.outcomes import Answer, ExchangeState, Reason, RequestState
from engine.kernel.transport import Callback
from engine.runtime.database import Database, driver
from engine.runtime.exchanges import callbacks, queries
from engine.runtime.exchanges.engine import Counterparty, Exchanges, Operation, Settled
from engine.runtime.exchanges.pacing import Pace
from engine.runtime.exchanges.recording import HIDDEN, RecordedTransport, message_id
from engine.runtime.exchanges.transport import HttpTransport
from engine.runtime.key_file import FileKeyStore
from engine.runtime.sealing import unseal
from integrations.mobile_money.simulation import Misbehaviour, Movement
from tests.contracts.mobile_money.conftest import Inbox, open_inbox
from tests.contracts.mobile_money.operators import OPERATORS, Operator

S = RequestState
EAGER = Pace(first_wait=0.02, longest_wait=0.1, lease=5, per_second=1000, breaks_after=1000)
PATIENT = Pace(first_wait=60, longest_wait=60, lease=5, per_second=1000, breaks_after=1000)


@dataclass
class World:
    """One operator, one tenant, the engine between them, and what was settled."""

    operator: Operator
    exchanges: Exchanges
    db: Database
    tenant_id: int
    settled: list[Settled] = field(default_factory=list)

    async def open(self, kind: str, *, msisdn: str = "", amount: str = "500") -> UUID:
        reference = uuid4()
        kinds = {"collections": CollectionRequest, "payouts": PayoutRequest}
        wanted = kinds[kind](
            reference=reference,
            msisdn=msisdn or self.operator.payer,
            amount=Amount.parse(amount, self.operator.currency),
            account="500000000009",
            note="June",
        )
        async with self.db.unit_of_work(self.tenant_id) as session:
            question = msgspec.json.encode(wanted)
            assert await self.exchanges.open(
                session, counterparty=self.operator.name, operation=kind, reference=reference, question=question
            )
        return reference

    async def turn(self) -> None:
        await callbacks.read_all(self.exchanges, self.tenant_id)
        await self.exchanges.work(self.tenant_id)

    async def run(self, *references: UUID, seconds: float = 10) -> dict[UUID, Answer]:
        """Work until all are settled."""
        async with asyncio.timeout(seconds):
            while not set(references) <= {one.reference for one in self.settled}:
                await self.turn()
                await asyncio.sleep(0.01)
        return {one.reference: one.answer for one in self.settled}

    async def rest(self) -> None:
        """Let all that is under way arrive, and work once more."""
        await self.operator.simulator.settle()
        await self.turn()

    async def row(self, reference: UUID) -> queries.Row:
        async with self.db.unit_of_work(self.tenant_id) as session:
            row = await queries.find_exchange(session, reference)
        assert row is not None
        return row

    async def select(self, sql: str) -> list[tuple[object, ...]]:
        async with self.db.unit_of_work(self.tenant_id) as session:
            connection: psycopg.AsyncConnection[tuple[object, ...]] = await driver(session)
            return await (await connection.execute(sql)).fetchall()

    async def messages(self, reference: UUID) -> list[tuple[str, bytes]]:
        row = await self.row(reference)
        async with self.db.unit_of_work(self.tenant_id) as session:
            found = await queries.select_messages(session, row.exchange_id)
        return [
            (
                kind,
                unseal(
                    self.exchanges.keys,
                    self.tenant_id,
                    "exchange_messages",
                    message_id(row.exchange_id, call, no),
                    document,
                ),
            )
            for call, no, kind, _, document in found
        ]


class Door(Inbox):
    """The address that callbacks come to: they are kept, and nothing else."""

    exchanges: Exchanges
    tenant_id: int

    async def take(self, path: str, callback: Callback) -> None:
        _, counterparty, secret = path.strip("/").split("/")
        await callbacks.take(self.exchanges, self.tenant_id, counterparty, secret, callback)
        await super().take(path, callback)


@pytest_asyncio.fixture(loop_scope="session", params=OPERATORS)
async def world(
    request: pytest.FixtureRequest, transport: HttpTransport, db: Database, keys: FileKeyStore, tenant_id: int
) -> AsyncIterator[World]:
    async with (
        open_inbox(Door()) as door,
        OPERATORS[request.param](transport, RecordedTransport(transport, db, keys)) as operator,
    ):
        assert isinstance(door, Door)
        yield await joined(operator, door, db, keys, tenant_id, EAGER)


async def joined(operator: Operator, door: Door, db: Database, keys: FileKeyStore, tenant_id: int, pace: Pace) -> World:
    settled: list[Settled] = []

    async def settle(_session: object, one: Settled) -> None:
        settled.append(one)

    collections, payouts = operator.collections, operator.payouts

    def collection(question: bytes) -> CollectionRequest:
        return msgspec.json.decode(question, type=CollectionRequest)

    def payout(question: bytes) -> PayoutRequest:
        return msgspec.json.decode(question, type=PayoutRequest)

    operations = {
        "collections": Operation(
            ask=lambda question, url: collections.request(collection(question), callback_url=url),
            enquire=lambda question, last, url: collections.enquire(collection(question), last, callback_url=url),
            settle=settle,
            read_callback=collections.read_callback,
        ),
        "payouts": Operation(
            ask=lambda question, url: payouts.send(payout(question), callback_url=url),
            enquire=lambda question, last, url: payouts.enquire(payout(question), last, callback_url=url),
            settle=settle,
            read_callback=payouts.read_callback,
            read_enquiry_callback=payouts.read_enquiry_callback,
        ),
    }
    counterparty = Counterparty(operator.name, operations, pace)
    exchanges = Exchanges(
        db, keys, {operator.name: counterparty}, lambda _tenant, name, secret: f"{door.url}/callbacks/{name}/{secret}"
    )
    door.exchanges, door.tenant_id = exchanges, tenant_id
    if operator.register:
        async with db.unit_of_work(tenant_id) as session:
            operator.register(
                await exchanges.standing_address(session, counterparty=operator.name, operation="collections")
            )
    return World(operator, exchanges, db, tenant_id, settled)


KINDS = pytest.mark.parametrize("kind", ["collections", "payouts"])


@KINDS
@pytest.mark.parametrize("how", [None, *Misbehaviour])
async def test_whatever_the_operator_does_the_money_moves_once_and_is_settled_once(
    world: World, kind: str, how: Misbehaviour | None
) -> None:
    if how is not None:
        world.operator.simulator.misbehave(how)

    reference = await world.open(kind)
    if how is Misbehaviour.UNAVAILABLE and kind == "collections" and not world.operator.deduplicates_collections:
        await left_unknown(world, reference)
        return
    answer = (await world.run(reference))[reference]
    await world.rest()

    assert dict(world.operator.simulator.counts) == ({how: 1} if how else {})
    [movement] = world.operator.simulator.movements
    assert (answer.state, answer.provider_ref) == (S.SUCCEEDED, movement.transaction)
    check_amount(world, answer, movement, 500)
    assert [one.reference for one in world.settled] == [reference]
    row = await world.row(reference)
    assert (row.state, row.outcome) == (ExchangeState.ACCEPTED, S.SUCCEEDED)
    assert await world.select("select count(*) from callbacks where verdict = 'not-asked'") == [(0,)]


def check_amount(world: World, answer: Answer, movement: Movement, asked: int) -> None:
    """Hold that what moved is what was asked for, and that the operator, where it states an amount, stated that."""
    assert Decimal(movement.amount) == asked
    stated = Amount.parse(answer.amount, world.operator.currency).decimal() if answer.amount else None
    assert stated == (asked if world.operator.states_amounts else None)


async def left_unknown(world: World, reference: UUID) -> None:
    """Hold that what may have been asked, where the operator cannot be told it is the same, is not asked again."""
    for _ in range(20):
        await world.turn()
        await asyncio.sleep(0.02)
    row = await world.row(reference)
    assert (row.state, row.outcome) == (ExchangeState.UNKNOWN, S.SENT)
    assert world.operator.simulator.movements == []
    assert world.settled == []


@KINDS
@pytest.mark.parametrize(
    "how", [None, Misbehaviour.FORGED, Misbehaviour.WRONG_AMOUNT, Misbehaviour.TWICE, Misbehaviour.LATE]
)
async def test_what_fails_is_settled_as_failed_whatever_a_callback_claims(
    world: World, kind: str, how: Misbehaviour | None
) -> None:
    if how is not None:
        world.operator.simulator.misbehave(how)

    reference = await world.open(kind, msisdn=world.operator.poor)
    answer = (await world.run(reference))[reference]
    await world.rest()

    assert (answer.state, answer.reason) == (S.FAILED, Reason.INSUFFICIENT_FUNDS)
    assert world.operator.simulator.movements == []
    assert len(world.settled) == 1


@KINDS
async def test_a_crowd_with_every_misbehaviour_ends_right(world: World, kind: str) -> None:
    for how in (one for one in Misbehaviour if one is not Misbehaviour.UNAVAILABLE or kind == "payouts"):
        world.operator.simulator.misbehave(how, 2)
    payers = [world.operator.payer] * 30 + [world.operator.poor] * 5
    references = [await world.open(kind, msisdn=msisdn, amount=str(100 + at)) for at, msisdn in enumerate(payers)]

    answers = await world.run(*references, seconds=40)
    await world.rest()

    paid = [answers[reference] for reference in references[:30]]
    assert [answer.state for answer in paid] == [S.SUCCEEDED] * 30
    movements = {one.transaction: one for one in world.operator.simulator.movements}
    assert sorted(answer.provider_ref for answer in paid) == sorted(movements)
    for at, answer in enumerate(paid):
        check_amount(world, answer, movements[answer.provider_ref], 100 + at)
    assert {answers[reference].state for reference in references[30:]} == {S.FAILED}
    assert len(world.settled) == len(references)


@KINDS
async def test_a_callback_wakes_the_enquiry(
    transport: HttpTransport, db: Database, keys: FileKeyStore, tenant_id: int, kind: str
) -> None:
    """With an enquiry due in a minute, the callback alone brings it forward."""
    for opening in OPERATORS.values():
        async with open_inbox(Door()) as door, opening(transport, transport) as operator:
            assert isinstance(door, Door)
            world = await joined(operator, door, db, keys, tenant_id, PATIENT)
            reference = await world.open(kind)

            answers = await world.run(reference, seconds=5)

            assert answers[reference].state is S.SUCCEEDED
            assert ("woke",) in await world.select("select verdict from callbacks order by callback_id desc limit 3")


@KINDS
async def test_a_forged_callback_wakes_and_decides_nothing(
    transport: HttpTransport, db: Database, keys: FileKeyStore, tenant_id: int, kind: str
) -> None:
    """Without an enquiry nothing is settled, and a callback to no address of ours is not even kept."""
    for opening in OPERATORS.values():
        async with open_inbox(Door()) as door, opening(transport, transport) as operator:
            assert isinstance(door, Door)
            world = await joined(operator, door, db, keys, tenant_id, PATIENT)
            operator.simulator.misbehave(Misbehaviour.FORGED)
            reference = await world.open(kind, msisdn=operator.poor)
            await world.exchanges.work(tenant_id)
            await operator.simulator.settle()
            [(_, forged)] = door.callbacks
            before = await world.select("select count(*) from callbacks")

            await callbacks.take(world.exchanges, tenant_id, operator.name, "a-guess", forged)
            await callbacks.read_all(world.exchanges, tenant_id)

            assert world.settled == []
            assert await world.select("select count(*) from callbacks") == before
            row = await world.row(reference)
            assert not row.outcome.is_final


async def test_the_same_callback_is_kept_once_however_often_it_comes(world: World) -> None:
    world.operator.simulator.misbehave(Misbehaviour.TWICE)
    reference = await world.open("collections")
    await world.run(reference)
    await world.rest()

    assert await world.select(
        "select count(*) from callbacks where address in (select digest from exchange_addresses where purpose in ('request', 'standing'))"
    ) == [(1,)]


async def test_every_message_is_kept_and_no_credential(world: World) -> None:
    world.operator.simulator.misbehave(Misbehaviour.TIMEOUT_AFTER_SUCCESS)
    reference = await world.open("payouts")
    await world.run(reference)

    messages = await world.messages(reference)

    kinds = [kind for kind, _ in messages]
    lost = kinds.index("unanswered")
    assert kinds[lost - 1] == "sent"
    assert "received" in kinds[lost:]
    paying = json.loads(messages[lost - 1][1])
    assert paying["method"] == "POST"
    assert paying["headers"]["Authorization"] == HIDDEN
    for _, document in messages:
        assert not re.search(
            rb"Bearer|an-invented-secret|collection-subscription|disbursement-subscription|access_token", document
        )


async def test_nothing_personal_lies_open_in_the_tables(world: World) -> None:
    reference = await world.open("collections")
    await world.run(reference)
    await world.rest()

    number = world.operator.payer.lstrip("+")
    for table in ("exchanges", "exchange_messages", "exchange_addresses", "callbacks", "access_tokens"):
        for row in await world.select(f"select t::text from {table} t"):
            shown = str(row[0])
            assert number not in shown
            assert number[-9:] not in shown
            assert number.encode().hex() not in shown
