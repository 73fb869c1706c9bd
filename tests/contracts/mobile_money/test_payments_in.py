"""Payments that payers make of their own accord, and giving money back: what only Daraja does so far."""

import asyncio
import json
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
import pytest_asyncio

from engine.contributions.ports import CollectionRequest, RefundRequest
from engine.kernel.amounts import Amount, Asset
from engine.kernel.outcomes import Answer, Reason, RequestState
from engine.runtime.exchanges.transport import HttpTransport
from integrations.mobile_money.mpesa_daraja.adapter import DarajaCollections, DarajaPaymentsIn, DarajaRefunds
from integrations.mobile_money.mpesa_daraja.simulator import DarajaSimulator
from integrations.mobile_money.simulation import Misbehaviour, serving
from tests.contracts.mobile_money.conftest import Inbox
from tests.contracts.mobile_money.operators import daraja_simulator, join_daraja

S, R = RequestState, Reason
KES = Asset.currency("KES")


@pytest_asyncio.fixture(loop_scope="session")
async def joined(
    transport: HttpTransport, inbox: Inbox
) -> AsyncIterator[tuple[DarajaSimulator, DarajaPaymentsIn, DarajaRefunds, DarajaCollections]]:
    simulator = daraja_simulator(transport, validates=True)
    async with serving(simulator) as url:
        daraja = join_daraja(transport, simulator, url)
        payments = DarajaPaymentsIn(daraja)
        assert await payments.register(validation_url=f"{inbox.url}/validate", confirmation_url=f"{inbox.url}/confirm")
        yield simulator, payments, DarajaRefunds(daraja), DarajaCollections(daraja)


Joined = tuple[DarajaSimulator, DarajaPaymentsIn, DarajaRefunds, DarajaCollections]


async def test_a_payment_in_is_asked_about_told_of_and_confirmed(joined: Joined, inbox: Inbox) -> None:
    simulator, payments, _, _ = joined

    receipt = await simulator.pay_in("250", "254712345678", "500000000009")

    [asked], [told] = inbox.to("/validate"), inbox.to("/confirm")
    validation, hint = payments.read_validation(asked), payments.read_callback(told)
    assert validation is not None
    assert (validation.state, validation.account, validation.amount) == (S.PENDING, "500000000009", "250.00")
    assert hint is not None
    confirmed = await payments.confirm(hint.claimed)
    assert (confirmed.state, confirmed.provider_ref) == (S.SUCCEEDED, receipt)
    assert (confirmed.amount, confirmed.account, confirmed.currency) == ("250", "500000000009", "KES")


async def test_a_payment_turned_down_moves_nothing(
    joined: Joined, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator, payments, _, _ = joined
    monkeypatch.setattr(inbox, "answer", lambda _path: payments.reply(Reason.NOT_REGISTERED))

    assert not await simulator.pay_in("250", "254712345678", "000000000000")
    assert simulator.movements == []
    assert json.loads(payments.reply(Reason.NOT_REGISTERED)) == {"ResultCode": "C2B00012", "ResultDesc": "Rejected"}


async def test_a_forged_confirmation_confirms_nothing(joined: Joined, inbox: Inbox) -> None:
    simulator, payments, _, _ = joined
    simulator.misbehave(Misbehaviour.FORGED)

    await simulator.pay_in("250", "254712345678", "500000000009")

    hint = payments.read_callback(inbox.to("/confirm")[0])
    assert hint is not None
    assert hint.claimed.amount == "9999999.00"
    assert (await payments.confirm(hint.claimed)).state is S.PENDING


async def test_a_payment_is_found_behind_many_others(joined: Joined) -> None:
    simulator, payments, _, _ = joined
    receipts = [await simulator.pay_in("10", "254712345678", str(number)) for number in range(120)]

    confirmed = await payments.confirm(Answer(state=S.SUCCEEDED, provider_ref=receipts[-1]))

    assert (confirmed.state, confirmed.account) == (S.SUCCEEDED, "119")


async def test_a_payment_is_reversed_once(joined: Joined, inbox: Inbox) -> None:
    simulator, _, refunds, _ = joined
    receipt = await simulator.pay_in("250", "254712345678", "500000000009")
    wanted = RefundRequest(reference=uuid4(), provider_ref=receipt, amount=Amount(250_00, KES), note="Paid twice")

    assert (await refunds.refund(wanted, callback_url=f"{inbox.url}/r1")).state is S.PENDING
    await simulator.settle()
    assert (await refunds.refund(wanted, callback_url=f"{inbox.url}/r2")).state is S.PENDING
    await simulator.settle()
    asked = await refunds.enquire(wanted, Answer(state=S.PENDING), callback_url=f"{inbox.url}/q")
    await simulator.settle()

    first, second = (refunds.read_callback(inbox.to(path)[0]) for path in ("/r1", "/r2"))
    assert first is not None
    assert second is not None
    assert first.claimed.state is S.SUCCEEDED
    assert (second.claimed.state, second.claimed.reason) == (S.FAILED, R.DUPLICATE)  # the enquiry has the last word
    late = refunds.read_enquiry_callback(inbox.to("/q")[0])
    assert late is not None
    assert (late.state, late.handle) == (S.SUCCEEDED, asked.handle)
    assert [one.kind for one in simulator.movements] == ["c2b", "reversal"]


async def test_half_a_shilling_is_never_asked_for(joined: Joined) -> None:
    simulator, _, _, collections = joined
    wanted = CollectionRequest(reference=uuid4(), msisdn="+254712345678", amount=Amount(150_50, KES), account="9")

    assert (await collections.request(wanted)).state is S.FAILED
    await asyncio.sleep(0.1)
    assert simulator.movements == []
