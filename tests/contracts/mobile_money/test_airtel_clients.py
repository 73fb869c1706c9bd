"""Airtel's simulator, driven by a client that others wrote against Airtel itself; and our signing, read by others."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from engine.benefits.ports import PayoutRequest
from engine.contributions.ports import CollectionRequest, HolderState
from engine.kernel.amounts import Amount, Asset
from engine.kernel.outcomes import Answer, Reason, RequestState
from engine.kernel.transport import Callback, WireRequest, WireResponse
from engine.runtime.exchanges.tokens import ProcessTokens
from engine.runtime.exchanges.transport import HttpTransport
from integrations.mobile_money.airtel_money.adapter import Airtel, AirtelAccounts, AirtelCollections, AirtelPayouts
from integrations.mobile_money.airtel_money.simulator import AirtelSimulator
from integrations.mobile_money.simulation import serving
from tests.contracts.mobile_money.conftest import Inbox, Run
from tests.contracts.mobile_money.operators import AIRTEL, airtel_app

S = RequestState
Started = tuple[AirtelSimulator, str]


@pytest_asyncio.fixture(loop_scope="session")
async def simulator(transport: HttpTransport, inbox: Inbox) -> AsyncIterator[Started]:
    simulator = AirtelSimulator(
        transport, client_id=AIRTEL["client_id"], client_secret=AIRTEL["client_secret"], pin=AIRTEL["pin"]
    )
    simulator.callback_url = f"{inbox.url}/cb"
    async with serving(simulator) as url:
        yield simulator, url


@pytest.mark.artefact("airtelmoney-py")
async def test_airtelmoney_py_collects_pays_out_and_is_refused(simulator: Started, run_client: Run) -> None:
    airtel, url = simulator

    said = await run_client("drive_airtelmoney_py", url, AIRTEL["client_id"], AIRTEL["client_secret"], AIRTEL["pin"])

    collected, paid_out = sorted(airtel.movements, key=lambda movement: movement.kind == "disbursement")
    assert said["taken"] == [True, "DP00800001006"]
    assert (said["paid"]["status"], said["paid"]["airtel_money_id"]) == ("TS", collected.transaction)
    assert (said["out"]["status"], said["out"]["airtel_money_id"]) == ("TS", paid_out.transaction)
    assert said["poor"][-1] == "DP00800001007"
    assert said["again"][-1] == "DP00900001017"
    assert said["wrong_pin"][-1] == "DP00900001005"
    assert said["unsigned"][-1] == "DP00800001026"
    assert said["unknown"][-1] == "DP00800001025"
    assert said["user"] == "Sand"
    assert said["balance"] == "800"
    assert said["wrong_secret"] == ["auth"]


class Kept:
    """A transport that keeps what went."""

    def __init__(self, transport: HttpTransport) -> None:
        self._transport, self.sent = transport, list[WireRequest]()

    async def send(self, request: WireRequest) -> WireResponse:
        self.sent.append(request)
        return await self._transport.send(request)


@pytest.mark.artefact("airtelmoney-py")
async def test_others_read_what_we_sign_and_what_the_simulator_signs(
    simulator: Started, transport: HttpTransport, inbox: Inbox, run_client: Run, tmp_path: Path
) -> None:
    mock, url = simulator
    kept = Kept(transport)
    airtel = Airtel(kept, ProcessTokens(), airtel_app(url))
    ugx = Asset.currency("UGX")
    await AirtelCollections(airtel).request(
        CollectionRequest(reference=uuid4(), msisdn="+256752604392", amount=Amount(1000, ugx), account="500000000009")
    )
    await AirtelPayouts(airtel).send(
        PayoutRequest(reference=uuid4(), msisdn="+256752604392", amount=Amount(200, ugx), account="Benefit")
    )
    await mock.settle()
    private = tmp_path / "private.pem"
    private.write_bytes(mock._private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    payment, disbursement = (one for one in kept.sent if one.method == "POST" and "oauth2" not in one.url)
    headers, pin = payment.headers, json.loads(disbursement.body)["pin"]

    said = await run_client(
        "read_airtelmoney_py",
        AIRTEL["client_secret"],
        inbox.to("/cb")[0].body.decode(),
        str(private),
        headers["x-signature"],
        headers["x-key"],
        pin,
    )

    assert said == {
        "is_hash": True,
        "is_hash_of_another": False,
        "body": payment.body.decode(),
        "lengths": [32, 16],
        "pin": AIRTEL["pin"],
    }
    assert json.loads(payment.body)["subscriber"]["msisdn"] == "752604392"
    assert json.loads(payment.body)["transaction"]["amount"] == 1000


async def test_a_body_changed_on_the_way_is_refused(simulator: Started, transport: HttpTransport) -> None:
    mock, url = simulator

    class Changing(Kept):
        async def send(self, request: WireRequest) -> WireResponse:
            changed = request.body.replace(b"1000", b"9000") if "payments" in request.url else request.body
            return await super().send(
                WireRequest(method=request.method, url=request.url, headers=request.headers, body=changed)
            )

    collections = AirtelCollections(Airtel(Changing(transport), ProcessTokens(), airtel_app(url)))
    answer = await collections.request(
        CollectionRequest(
            reference=uuid4(), msisdn="+256752604392", amount=Amount(1000, Asset.currency("UGX")), account="9"
        )
    )

    assert (answer.state, answer.reason, answer.code) == (S.CREATED, Reason.AUTH, "DP00800001026")
    assert mock.movements == []


async def test_a_callback_with_a_wrong_hash_claims_nothing(
    simulator: Started, transport: HttpTransport, inbox: Inbox
) -> None:
    mock, url = simulator
    collections = AirtelCollections(Airtel(transport, ProcessTokens(), airtel_app(url)))
    wanted = CollectionRequest(
        reference=uuid4(), msisdn="+256752604392", amount=Amount(1000, Asset.currency("UGX")), account="9"
    )
    await collections.request(wanted)
    await mock.settle()
    [right] = inbox.to("/cb")
    hint = collections.read_callback(right)

    assert hint is not None
    assert (hint.claimed.state, hint.reference) == (S.SUCCEEDED, str(wanted.reference))
    changed = right.body.replace(b'"TS"', b'"TF"')
    assert collections.read_callback(Callback(method="POST", body=changed)) is None
    assert (await collections.enquire(wanted, Answer(state=S.SENT))).state is S.SUCCEEDED


async def test_a_subscriber_is_named(simulator: Started, transport: HttpTransport) -> None:
    _, url = simulator
    accounts = AirtelAccounts(Airtel(transport, ProcessTokens(), airtel_app(url)))

    active = await accounts.holder("+256752604392")
    assert (active.state, active.name) == (HolderState.ACTIVE, "Sand Box")
    assert "Sand" not in repr(active)
    assert (await accounts.holder("+256752604050")).state is HolderState.INACTIVE
    assert (await accounts.holder("+256752604040")).state is HolderState.UNREGISTERED
