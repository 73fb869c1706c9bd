"""Each third party's client notices when one field of a simulator is spelt otherwise: it is an oracle, not a decoration."""

from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest
from _pytest.mark.structures import ParameterSet

from engine.runtime.exchanges.transport import HttpTransport
from integrations.mobile_money.airtel_money.simulator import AirtelSimulator
from integrations.mobile_money.mtn_momo.simulator import MtnSimulator
from integrations.mobile_money.simulation import Application, Receive, Scope, Send, Simulator, listening
from tests.contracts.mobile_money.conftest import Inbox, Run
from tests.contracts.mobile_money.operators import AIRTEL, DARAJA, DARAJA_KEY, DARAJA_SECRET, daraja_simulator

USER = "7c1a4c5e-4a3b-4d3e-9a55-0c7c1a4c5e4a"
KEYS = {"collection": "collection-subscription", "disbursement": "disbursement-subscription"}


def misspelt(application: Application, right: bytes, wrong: bytes) -> Application:
    """Return the application with one key of its answers spelt otherwise."""
    assert len(right) == len(wrong)

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        async def changed(message: MutableMapping[str, Any]) -> None:
            if "body" in message:
                message["body"] = message["body"].replace(right, wrong)
            await send(message)

        await application(scope, receive, changed)

    return answer


def mtn(transport: HttpTransport) -> MtnSimulator:
    simulator = MtnSimulator(transport, keys=KEYS)
    simulator.add_user(USER, "secret")
    return simulator


def noticed(client: str, artefact: str, right: bytes, wrong: bytes) -> ParameterSet:
    """One client that notices `wrong` in the place of `right`."""
    return pytest.param(client, right, wrong, marks=pytest.mark.artefact(artefact, breaks=True))


@pytest.mark.parametrize(
    ("client", "right", "wrong"),
    [
        noticed("drive_momo_openapi", "momo-openapi", b'"access_token"', b'"accessToken_"'),
        noticed("drive_momo_openapi", "momo-openapi", b'"status"', b'"Status"'),
        noticed("drive_mtnmomo_py", "mtnmomo-py", b'"access_token"', b'"accessToken_"'),
        noticed("drive_mtnmomo_py", "mtnmomo-py", b'"apiKey"', b'"apikey"'),
        noticed("drive_mtnmomo_py", "mtnmomo-py", b'"partyId"', b'"partyid"'),
        noticed("drive_mtn_momo_client", "mtn-momo-client", b'"access_token"', b'"accessToken_"'),
        noticed("drive_mtn_momo_client", "mtn-momo-client", b'"status"', b'"Status"'),
        noticed("drive_mtn_momo_npm", "mtn-momo (npm)", b'"access_token"', b'"accessToken_"'),
        noticed("drive_mtn_momo_npm", "mtn-momo (npm)", b'"status"', b'"Status"'),
        noticed("drive_daraja_v3", "daraja-v3", b'"access_token"', b'"accessToken_"'),
        noticed("drive_daraja_v3", "daraja-v3", b'"CheckoutRequestID"', b'"checkoutRequestId"'),
        noticed("drive_daraja_v3", "daraja-v3", b'"ResultCode"', b'"resultCode"'),
        noticed("drive_airtelmoney_py", "airtelmoney-py", b'"access_token"', b'"accessToken_"'),
        noticed("drive_airtelmoney_py", "airtelmoney-py", b'"key"', b'"Key"'),
    ],
)
async def test_one_misspelt_key_is_noticed(
    client: str, right: bytes, wrong: bytes, transport: HttpTransport, inbox: Inbox, run_client: Run, tmp_path: Path
) -> None:
    daraja = daraja_simulator(transport)
    airtel = AirtelSimulator(
        transport, client_id=AIRTEL["client_id"], client_secret=AIRTEL["client_secret"], pin=AIRTEL["pin"]
    )
    certificate = tmp_path / "certificate.pem"
    certificate.write_bytes(daraja.certificate)
    sides: dict[str, tuple[Simulator, list[str]]] = {
        "drive_momo_openapi": (mtn(transport), [USER, "secret", *KEYS.values(), f"{inbox.url}/cb"]),
        "drive_mtnmomo_py": (mtn(transport), [*KEYS.values(), f"{inbox.url}/cb"]),
        "drive_mtn_momo_client": (mtn(transport), [USER, "secret", *KEYS.values(), f"{inbox.url}/cb"]),
        "drive_mtn_momo_npm": (mtn(transport), [USER, "secret", *KEYS.values(), f"{inbox.url}/cb"]),
        "drive_daraja_v3": (daraja, [DARAJA_KEY, DARAJA_SECRET, *DARAJA.values(), str(certificate), f"{inbox.url}/cb"]),
        "drive_airtelmoney_py": (airtel, [AIRTEL["client_id"], AIRTEL["client_secret"], AIRTEL["pin"]]),
    }
    simulator, arguments = sides[client]

    async with listening(misspelt(simulator, right, wrong)) as url:
        with pytest.raises(AssertionError, match=r"Traceback|never settled"):
            await run_client(client, url, *arguments)
    await simulator.stop()
