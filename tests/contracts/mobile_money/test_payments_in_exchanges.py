"""Payments to a pay-bill number under the engine: a confirmation moves nothing until the operator has confirmed it itself."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID, uuid4

import msgspec
import psycopg
import pytest
import pytest_asyncio

from engine.kernel.ids import claim_digest
from engine.kernel.outcomes import Answer, Hint, RequestState
from engine.kernel.transport import Callback
from engine.runtime.database import Database, driver
from engine.runtime.exchanges import callbacks
from engine.runtime.exchanges.engine import Counterparty, Exchanges, Operation, Settled
from engine.runtime.exchanges.pacing import Pace
from engine.runtime.exchanges.recording import RecordedTransport
from engine.runtime.exchanges.transport import HttpTransport
from engine.runtime.key_file import FileKeyStore
from integrations.mobile_money.mpesa_daraja.adapter import DarajaPaymentsIn
from integrations.mobile_money.mpesa_daraja.simulator import DarajaSimulator
from integrations.mobile_money.simulation import Misbehaviour, serving
from tests.contracts.mobile_money.conftest import open_inbox
from tests.contracts.mobile_money.operators import daraja_simulator, join_daraja
from tests.contracts.mobile_money.test_exchanges import Door

PACE = Pace(first_wait=0.02, longest_wait=0.1, lease=5, per_second=1000, breaks_after=1000)


@dataclass
class PayBill:
    """A pay-bill number, the engine behind it, and the payments that were settled."""

    simulator: DarajaSimulator
    exchanges: Exchanges
    door: Door
    db: Database
    tenant_id: int
    settled: list[Settled]

    async def turns(self, count: int = 15) -> None:
        await self.simulator.settle()
        for _ in range(count):
            await callbacks.read_all(self.exchanges, self.tenant_id)
            await self.exchanges.work(self.tenant_id)
            await asyncio.sleep(0.02)

    async def verdicts(self) -> list[str]:
        async with self.db.unit_of_work(self.tenant_id) as session:
            cursor: psycopg.AsyncCursor[tuple[str]] = await (await driver(session)).execute(
                "select verdict from callbacks order by callback_id"
            )
            return [verdict for (verdict,) in await cursor.fetchall()]


@pytest_asyncio.fixture(loop_scope="session")
async def paybill(transport: HttpTransport, db: Database, keys: FileKeyStore, tenant_id: int) -> AsyncIterator[PayBill]:
    simulator, settled = daraja_simulator(transport), list[Settled]()
    async with open_inbox(Door()) as door, serving(simulator) as url:
        assert isinstance(door, Door)
        payments = DarajaPaymentsIn(join_daraja(RecordedTransport(transport, db, keys), simulator, url))

        async def settle(_session: object, one: Settled) -> None:
            settled.append(one)

        def claims(hint: Hint) -> tuple[UUID, bytes]:
            reference = claim_digest(tenant_id, "payment-in", hint.claimed.provider_ref)
            return reference, msgspec.json.encode(hint.claimed)

        operation = Operation(
            ask=lambda question, _url: payments.confirm(msgspec.json.decode(question, type=Answer)),
            enquire=lambda question, _last, _url: payments.confirm(msgspec.json.decode(question, type=Answer)),
            settle=settle,
            read_callback=payments.read_callback,
            claims=claims,
        )
        exchanges = Exchanges(
            db,
            keys,
            {"mpesa": Counterparty("mpesa", {"payments-in": operation}, PACE)},
            lambda _t, name, secret: f"{door.url}/callbacks/{name}/{secret}",
        )
        door.exchanges, door.tenant_id = exchanges, tenant_id
        async with db.unit_of_work(tenant_id) as session:
            confirm = await exchanges.standing_address(session, counterparty="mpesa", operation="payments-in")
        assert await payments.register(validation_url=confirm, confirmation_url=confirm)
        yield PayBill(simulator, exchanges, door, db, tenant_id, settled)


@pytest.mark.parametrize("how", [None, Misbehaviour.TWICE, Misbehaviour.LATE, Misbehaviour.WRONG_AMOUNT])
async def test_a_payment_is_settled_once_as_the_operator_has_it(paybill: PayBill, how: Misbehaviour | None) -> None:
    if how:
        paybill.simulator.misbehave(how)
    receipt = await paybill.simulator.pay_in("250", "254712345678", "500000000009")

    await paybill.turns()

    [settled] = paybill.settled
    assert (settled.answer.state, settled.answer.provider_ref) == (RequestState.SUCCEEDED, receipt)
    assert (settled.answer.amount, settled.answer.account, settled.answer.currency) == ("250", "500000000009", "KES")
    assert await paybill.verdicts() == ["opened"]


async def test_a_forged_confirmation_settles_nothing(paybill: PayBill) -> None:
    paybill.simulator.misbehave(Misbehaviour.FORGED)
    await paybill.simulator.pay_in("250", "254712345678", "500000000009")

    await paybill.turns()

    assert paybill.settled == []
    assert await paybill.verdicts() == ["opened"]


async def test_a_confirmation_that_names_a_payment_again_settles_nothing_more(paybill: PayBill) -> None:
    """A replay with another member's account, so that it isn't even the same bytes."""
    await paybill.simulator.pay_in("250", "254712345678", "500000000009")
    await paybill.turns()
    path, callback = paybill.door.callbacks[0]
    replayed = callback.body.replace(b"500000000009", b"500000000017")
    await paybill.door.take(path, Callback(method="POST", body=replayed))
    await paybill.turns()

    assert [one.answer.account for one in paybill.settled] == ["500000000009"]
    assert await paybill.verdicts() == ["opened", "late"]


async def test_many_payments_reordered_dropped_and_garbled(paybill: PayBill) -> None:
    """A dropped or garbled confirmation is what the statement is for; all others are settled, each once."""
    for how in (
        Misbehaviour.REORDERED,
        Misbehaviour.DROPPED,
        Misbehaviour.TWICE,
        Misbehaviour.GARBLED,
        Misbehaviour.LATE,
    ):
        paybill.simulator.misbehave(how, 2)
    receipts = [
        await paybill.simulator.pay_in(str(100 + at), "254712345678", str(uuid4().int)[:12]) for at in range(20)
    ]

    await paybill.turns(60)

    settled = [one.answer.provider_ref for one in paybill.settled]
    assert len(set(settled)) == len(settled) == 16
    assert set(settled) < set(receipts)
