"""Daraja's simulator, driven by a client that others wrote against Daraja itself, which also reads its callbacks."""

import base64
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

from engine.kernel.outcomes import RequestState
from engine.runtime.exchanges.transport import HttpTransport
from integrations.mobile_money.mpesa_daraja import results
from integrations.mobile_money.mpesa_daraja.simulator import DarajaSimulator
from integrations.mobile_money.mpesa_daraja.wire import security_credential
from integrations.mobile_money.simulation import serving
from tests.contracts.mobile_money.conftest import Inbox, Run
from tests.contracts.mobile_money.operators import DARAJA, DARAJA_KEY, DARAJA_SECRET, daraja_simulator


@pytest_asyncio.fixture(loop_scope="session")
async def simulator(transport: HttpTransport) -> AsyncIterator[tuple[DarajaSimulator, str]]:
    simulator = daraja_simulator(transport)
    async with serving(simulator) as url:
        yield simulator, url


@pytest.mark.artefact("daraja-v3")
async def test_daraja_v3_prompts_pays_out_and_is_refused(
    simulator: tuple[DarajaSimulator, str], inbox: Inbox, run_client: Run, tmp_path: Path
) -> None:
    daraja, url = simulator
    certificate = tmp_path / "certificate.pem"
    certificate.write_bytes(daraja.certificate)

    said = await run_client(
        "drive_daraja_v3",
        url,
        DARAJA_KEY,
        DARAJA_SECRET,
        *DARAJA.values(),
        str(certificate),
        f"{inbox.url}/cb",
    )
    await daraja.settle()

    assert said["codes"] == ["0", "1032"]
    assert said["checkout"].startswith("ws_CO_")
    assert said["conversation"].startswith("AG_")
    assert said["balance"] == said["registered"] == "0"
    assert said["ended_token"] == ["MpesaError", "404.001.03"]
    assert said["wrong_secret"] == ["AuthenticationError", "400"]
    assert said["wrong_passkey"] == said["wrong_initiator"] == ["MpesaError", "500.001.1001"]
    assert said["no_url"] == ["MpesaError", "400.002.02"]
    assert {(one.kind, one.amount) for one in daraja.movements} >= {("stkpush", "150"), ("b2c", "20")}

    read = await run_client(
        "read_daraja_v3", *(callback.body.decode() for callback in inbox.to("/cb") if b"stkCallback" in callback.body)
    )
    ours = [hint.claimed for callback in inbox.to("/cb") if (hint := results.read_stk_callback(callback))]
    assert [one["paid"] for one in read["read"]] == [one.state is RequestState.SUCCEEDED for one in ours]
    assert sorted(one["paid"] for one in read["read"]) == [False, True, True]
    assert [one["mpesa_receipt"] or "" for one in read["read"]] == [one.provider_ref for one in ours]
    assert [one["checkout_request_id"] for one in read["read"]] == [one.handle for one in ours]


def test_a_credential_is_what_safaricom_can_read(transport: HttpTransport) -> None:
    simulator = daraja_simulator(transport)
    credential = security_credential("an-invented-password", simulator.certificate)

    assert simulator._private.decrypt(base64.b64decode(credential), PKCS1v15()) == b"an-invented-password"
    assert credential != security_credential("an-invented-password", simulator.certificate)


def test_the_body_of_a_reply_is_json() -> None:
    assert msgspec.json.decode(results.reply(None)) == {"ResultCode": "0", "ResultDesc": "Accepted"}
