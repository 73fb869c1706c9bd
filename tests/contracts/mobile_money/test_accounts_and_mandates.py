"""Who holds a wallet, and standing consents: what holds for every operator that can say."""

from collections.abc import AsyncIterator, Callable
from datetime import date
from uuid import uuid4

import pytest
import pytest_asyncio

from engine.contributions.ports import AccountCheck, Frequency, HolderState, MandateRequest, Mandates
from engine.kernel.amounts import Amount
from engine.kernel.outcomes import Answer, Reason, RequestState
from engine.kernel.transport import Transport, Unanswered, Unreachable, WireRequest, WireResponse
from engine.runtime.exchanges.transport import HttpTransport
from integrations.mobile_money.airtel_money.adapter import AirtelAccounts, AirtelCollections
from integrations.mobile_money.gsma.adapter import GsmaAccounts, GsmaCollections, GsmaMandates
from integrations.mobile_money.mtn_momo.adapter import MtnAccounts, MtnCollections, MtnMandates
from tests.contracts.mobile_money.conftest import Inbox
from tests.contracts.mobile_money.operators import OPERATORS, Operator

S = RequestState
INACTIVE = {"mtn-momo": "+46733123462", "gsma": "+260971234050", "airtel-money": "+256752604050"}
UNREGISTERED = {"mtn-momo": "+46733123461", "gsma": "+260971234040", "airtel-money": "+256752604040"}


def accounts_of(operator: Operator) -> AccountCheck:
    collections = operator.collections
    if isinstance(collections, MtnCollections):
        return MtnAccounts(collections._product)
    if isinstance(collections, GsmaCollections):
        return GsmaAccounts(collections._provider)
    assert isinstance(collections, AirtelCollections)
    return AirtelAccounts(collections._airtel)


def mandates_of(operator: Operator) -> Mandates:
    collections = operator.collections
    if isinstance(collections, MtnCollections):
        return MtnMandates(collections._product)
    assert isinstance(collections, GsmaCollections)
    return GsmaMandates(collections._provider)


class Broken:
    """A transport whose answers can be replaced."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.replace: Callable[[WireRequest], WireResponse] | None = None

    async def send(self, request: WireRequest) -> WireResponse:
        if self.replace and not request.is_secret:
            return self.replace(request)
        return await self._transport.send(request)


@pytest_asyncio.fixture(loop_scope="session", params=INACTIVE)
async def checked(request: pytest.FixtureRequest, transport: HttpTransport) -> AsyncIterator[tuple[Operator, Broken]]:
    broken = Broken(transport)
    async with OPERATORS[request.param](transport, broken) as operator:
        yield operator, broken


async def test_a_wallet_is_active_and_its_holder_named(checked: tuple[Operator, Broken]) -> None:
    operator, _ = checked

    holder = await accounts_of(operator).holder(operator.payer)

    assert (holder.state, holder.name) == (HolderState.ACTIVE, "Sand Box")
    assert "Box" not in repr(holder)


async def test_a_closed_wallet_and_none_at_all_are_told_apart(checked: tuple[Operator, Broken]) -> None:
    operator, _ = checked
    accounts = accounts_of(operator)

    assert (await accounts.holder(INACTIVE[operator.name])).state is HolderState.INACTIVE
    none = await accounts.holder(UNREGISTERED[operator.name])
    assert (none.state, none.name) == (HolderState.UNREGISTERED, "")


@pytest.mark.parametrize(
    "response",
    [
        WireResponse(status=503, body=b"Service Unavailable"),
        WireResponse(status=404, body=b"<html>"),
        WireResponse(status=200, body=b"<html>"),
        WireResponse(status=200, body=b'{"result":"yes","accountStatus":7,"data":[]}'),
        WireResponse(status=200, body=b'{"res'),
    ],
    ids=lambda response: f"{response.status} {response.body[:20]!r}",
)
async def test_what_says_nothing_is_unknown(checked: tuple[Operator, Broken], response: WireResponse) -> None:
    operator, broken = checked
    broken.replace = lambda _request: response

    assert (await accounts_of(operator).holder(operator.payer)).state is HolderState.UNKNOWN


@pytest.mark.parametrize("error", [Unreachable(), Unanswered()])
async def test_silence_passes_through(checked: tuple[Operator, Broken], error: Exception) -> None:
    operator, broken = checked

    def silent(_request: WireRequest) -> WireResponse:
        raise error

    broken.replace = silent
    with pytest.raises(type(error) if operator.name != "airtel-money" else (Unreachable, Unanswered)):
        await accounts_of(operator).holder(operator.payer)


@pytest_asyncio.fixture(loop_scope="session", params=["mtn-momo", "gsma"])
async def consenting(request: pytest.FixtureRequest, transport: HttpTransport) -> AsyncIterator[Operator]:
    async with OPERATORS[request.param](transport, transport) as operator:
        yield operator


def mandate(operator: Operator, msisdn: str = "") -> MandateRequest:
    return MandateRequest(
        reference=uuid4(),
        msisdn=msisdn or operator.payer,
        limit=Amount.parse("50", operator.currency),
        frequency=Frequency.MONTHLY,
        starts_on=date(2027, 1, 1),
        ends_on=date(2028, 1, 1),
        account="500000000009",
    )


async def test_a_consent_is_asked_given_and_ended(consenting: Operator, inbox: Inbox) -> None:
    mandates, wanted = mandates_of(consenting), mandate(consenting)

    taken = await mandates.create(wanted, callback_url=f"{inbox.url}/m")
    again = await mandates.create(wanted)
    await consenting.simulator.settle()
    given = await mandates.enquire(wanted, taken)
    lost = await mandates.enquire(wanted, Answer(state=S.SENT))
    hint = mandates.read_callback(inbox.to("/m")[0])
    ended = await mandates.cancel(wanted, given)

    assert taken.state is again.state is S.PENDING
    assert given.state is lost.state is ended.state is S.SUCCEEDED
    assert given.provider_ref == lost.provider_ref != ""
    assert len(inbox.to("/m")) == 1
    assert hint is not None
    assert (await mandates.enquire(wanted, taken)).state is not S.SUCCEEDED


async def test_a_consent_that_is_refused_fails(consenting: Operator) -> None:
    mandates, wanted = mandates_of(consenting), mandate(consenting, consenting.unwilling)

    taken = await mandates.create(wanted)
    await consenting.simulator.settle()
    refused = await mandates.enquire(wanted, taken)

    assert (refused.state, refused.reason) == (S.FAILED, Reason.PAYER_REJECTED)
