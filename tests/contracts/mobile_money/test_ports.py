"""What holds for every operator's collections and payouts, whatever the operator does.

Each test runs with every adapter, over HTTP, against its simulator: both ports are asked the same questions.
"""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import msgspec
import pytest
import pytest_asyncio

from engine.benefits.ports import PayoutRequest
from engine.contributions.ports import CollectionRequest
from engine.kernel.amounts import Amount, Asset
from engine.kernel.outcomes import Answer, Hint, Reason, RequestState
from engine.kernel.transport import Callback, Transport, Unanswered, Unreachable
from engine.runtime.exchanges.transport import HttpTransport
from integrations.mobile_money.simulation import Misbehaviour, Movement
from tests.contracts.mobile_money.conftest import Inbox
from tests.contracts.mobile_money.operators import OPERATORS, Operator

S = RequestState
LOST = [Misbehaviour.TIMEOUT_AFTER_SUCCESS, Misbehaviour.HTML_ERROR, Misbehaviour.HALF_A_BODY]


@pytest_asyncio.fixture(loop_scope="session", params=OPERATORS)
async def operator(request: pytest.FixtureRequest, transport: HttpTransport) -> AsyncIterator[Operator]:
    async with OPERATORS[request.param](transport, transport) as opened:
        yield opened


class Port:
    """Collections or payouts of one operator, asked alike."""

    def __init__(self, kind: str, operator: Operator, inbox: Inbox) -> None:
        self.kind, self.operator, self.inbox = kind, operator, inbox
        self.asked = 0

    def wanted(self, reference: UUID | None = None, *, msisdn: str = "", amount: str = "500") -> CollectionRequest:
        return CollectionRequest(
            reference=reference or uuid4(),
            msisdn=msisdn or self.operator.payer,
            amount=Amount.parse(amount, self.operator.currency),
            account="500000000009",
            note="June contribution, O'Brien #4",
        )

    def _payout(self, wanted: CollectionRequest) -> PayoutRequest:
        return PayoutRequest(**{name: getattr(wanted, name) for name in wanted.__struct_fields__})

    def path(self, wanted: CollectionRequest) -> str:
        return f"/{self.kind}/{wanted.reference}"

    async def ask(self, wanted: CollectionRequest) -> Answer:
        url = self.inbox.url + self.path(wanted)
        if self.operator.register:
            self.operator.register(url)
        if self.kind == "collections":
            return await self.operator.collections.request(wanted, callback_url=url)
        return await self.operator.payouts.send(self._payout(wanted), callback_url=url)

    async def tried(self, wanted: CollectionRequest) -> Answer:
        """Ask, and say as the engine does what it means that no answer came."""
        try:
            return await self.ask(wanted)
        except Unanswered:
            return Answer(state=S.SENT, reason=Reason.AMBIGUOUS)

    async def enquire(self, wanted: CollectionRequest, last: Answer) -> Answer:
        """Enquire; where the operator answers later, wait for the callback that answers the question."""
        self.asked += 1
        path = f"{self.path(wanted)}/enquiry-{self.asked}"
        url = self.inbox.url + path
        if self.kind == "collections":
            return await self.operator.collections.enquire(wanted, last, callback_url=url)
        answer = await self.operator.payouts.enquire(self._payout(wanted), last, callback_url=url)
        if answer.state is not S.SENT or not answer.handle or answer.handle == last.handle:
            return answer
        for _ in range(100):
            for callback in self.inbox.to(path):
                late = self.operator.payouts.read_enquiry_callback(callback)
                if late is not None and late.handle == answer.handle:
                    return late
            await asyncio.sleep(0.02)
        return answer

    async def settled(self, wanted: CollectionRequest, last: Answer) -> Answer:
        """Enquire until the operator has decided."""
        for _ in range(100):
            last = await self.enquire(wanted, last)
            if last.state.is_final:
                return last
            await asyncio.sleep(0.02)
        pytest.fail(f"never settled: {last}")

    def read(self, callback: Callback) -> Hint | None:
        port = self.operator.collections if self.kind == "collections" else self.operator.payouts
        return port.read_callback(callback)

    def moved(self) -> list[Movement]:
        return self.operator.simulator.movements


@pytest.fixture(params=["collections", "payouts"])
def port(request: pytest.FixtureRequest, operator: Operator, inbox: Inbox) -> Port:
    return Port(request.param, operator, inbox)


async def test_what_is_asked_for_is_taken_and_then_done(port: Port) -> None:
    wanted = port.wanted()

    answer = await port.ask(wanted)
    assert answer.state is S.PENDING
    done = await port.settled(wanted, answer)

    [movement] = port.moved()
    assert (done.state, done.provider_ref) == (S.SUCCEEDED, movement.transaction)
    check_amount(port, wanted, done)
    assert done.currency in ("", wanted.amount.asset.symbol)
    assert movement.msisdn.lstrip("+").endswith(wanted.msisdn[-9:])


def check_amount(port: Port, wanted: CollectionRequest, done: Answer) -> None:
    if port.operator.states_amounts:
        assert Amount.parse(done.amount, wanted.amount.asset) == wanted.amount
    else:
        assert done.amount == ""


async def test_one_who_has_too_little_pays_nothing(port: Port) -> None:
    wanted = port.wanted(msisdn=port.operator.poor)

    answer = await port.ask(wanted)
    done = answer if answer.state.is_final else await port.settled(wanted, answer)

    assert (done.state, done.reason) == (S.FAILED, Reason.INSUFFICIENT_FUNDS)
    assert port.moved() == []


async def test_one_who_says_no_pays_nothing(port: Port) -> None:
    if port.kind == "payouts":
        pytest.skip("nobody refuses money")
    wanted = port.wanted(msisdn=port.operator.unwilling)

    done = await port.settled(wanted, await port.ask(wanted))

    assert (done.state, done.reason) == (S.FAILED, Reason.PAYER_REJECTED)
    assert port.moved() == []


@pytest.mark.parametrize("how", LOST)
async def test_a_lost_answer_is_no_failure_and_the_enquiry_finds_what_was_done(port: Port, how: Misbehaviour) -> None:
    wanted = port.wanted()
    port.operator.simulator.misbehave(how)

    answer = await port.tried(wanted)
    assert answer.state in {S.SENT, S.PENDING}
    done = await port.settled(wanted, answer)

    assert (done.state, done.provider_ref) == (S.SUCCEEDED, port.moved()[0].transaction)


@pytest.mark.parametrize("how", LOST)
async def test_the_same_reference_again_moves_money_once(port: Port, how: Misbehaviour) -> None:
    if port.kind == "collections" and not port.operator.deduplicates_collections:
        pytest.skip("this operator knows no reference of ours: the engine never sends twice there")
    wanted = port.wanted()
    port.operator.simulator.misbehave(how)

    await port.tried(wanted)
    again = await port.tried(wanted)
    assert again.state in {S.SENT, S.PENDING, S.SUCCEEDED}
    done = await port.settled(wanted, again)
    await port.operator.simulator.settle()

    assert done.state is S.SUCCEEDED
    assert len(port.moved()) == 1


async def test_unavailable_is_no_failure_and_moves_nothing(port: Port) -> None:
    port.operator.simulator.misbehave(Misbehaviour.UNAVAILABLE)

    answer = await port.tried(port.wanted())

    assert answer.state in {S.CREATED, S.SENT}
    assert answer.reason in {Reason.PROVIDER_DOWN, Reason.AMBIGUOUS}
    assert port.moved() == []


async def test_an_enquiry_after_what_was_never_asked_is_no_failure(port: Port) -> None:
    answer = await port.enquire(port.wanted(), Answer(state=S.SENT))

    assert answer.state in {S.CREATED, S.SENT, S.PENDING}
    if port.kind == "collections" and not port.operator.deduplicates_collections:
        assert answer.state is not S.CREATED


async def test_a_token_that_is_refused_asks_for_nothing_and_the_next_call_has_another(port: Port) -> None:
    await port.settled(first := port.wanted(), await port.ask(first))
    port.operator.forget_tokens()
    wanted = port.wanted()

    answer = await port.ask(wanted)
    assert (answer.state, answer.reason) == (S.CREATED, Reason.AUTH)
    assert (await port.settled(wanted, await port.ask(wanted))).state is S.SUCCEEDED


async def test_a_callback_says_what_the_enquiry_says(port: Port) -> None:
    wanted = port.wanted()

    done = await port.settled(wanted, await port.ask(wanted))
    await port.operator.simulator.settle()

    hints = [hint for callback in port.inbox.to(port.path(wanted)) if (hint := port.read(callback))]
    assert [hint.claimed.state for hint in hints] == [S.SUCCEEDED]
    assert hints[0].claimed.provider_ref in ("", done.provider_ref)


NO_CALLBACKS = [
    b"", b"[]", b"{}", b"null", b"{" * 5000, b"\xff\xfe", b'{"status":7}', b"<html></html>",
    b'{"Body":[],"Result":"x","transaction":[1]}', b'{"Body":{"stkCallback":{"CallbackMetadata":{"Item":{"Name":[]}}}}}',
    b'{"Result":{"ResultParameters":{"ResultParameter":[1,null]}}}', b'{"transactionStatus":{},"transactionReference":[]}',
]  # fmt: skip


async def test_a_callback_that_is_none_says_nothing(port: Port) -> None:
    for body in NO_CALLBACKS:
        for method in ("POST", "PUT", "GET"):
            assert port.read(Callback(method=method, body=body)) is None, body


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("kind", ["collections", "payouts"])
async def test_who_cannot_be_reached_was_asked_nothing(
    name: str, kind: str, transport: Transport, inbox: Inbox
) -> None:
    async with OPERATORS[name](transport, transport) as operator:
        port = Port(kind, operator, inbox)
        wanted = port.wanted()
    with pytest.raises(Unreachable):  # the server is gone
        await port.ask(wanted)


@pytest.mark.parametrize("amount", ["1", "0.5", "1000000", "12.30"])
async def test_an_amount_comes_back_as_it_went(port: Port, amount: str) -> None:
    if Amount.parse(amount, Asset("x", 2)).units % 100 and port.operator.name in {"mpesa-daraja", "airtel-money"}:
        pytest.skip("whole shillings alone")
    wanted = port.wanted(amount=amount)

    done = await port.settled(wanted, await port.ask(wanted))

    check_amount(port, wanted, done)
    assert Amount.parse(port.moved()[0].amount, wanted.amount.asset) == wanted.amount


def test_requests_survive_being_stored() -> None:
    wanted = CollectionRequest(
        reference=uuid4(), msisdn="+256772000111", amount=Amount(500, Asset.currency("UGX")), account="9"
    )

    assert msgspec.json.decode(msgspec.json.encode(wanted), type=CollectionRequest) == wanted
