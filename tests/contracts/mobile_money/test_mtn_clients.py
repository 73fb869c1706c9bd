"""MTN's simulator, driven by clients that others wrote against MTN itself."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from engine.runtime.exchanges.transport import HttpTransport
from integrations.mobile_money.mtn_momo.simulator import MtnSimulator
from integrations.mobile_money.simulation import serving
from tests.contracts.mobile_money.conftest import Inbox, Run

KEYS = {"collection": "collection-subscription", "disbursement": "disbursement-subscription"}
USER, SECRET = "7c1a4c5e-4a3b-4d3e-9a55-0c7c1a4c5e4a", "an-invented-key"


@pytest_asyncio.fixture(loop_scope="session")
async def simulator(transport: HttpTransport) -> AsyncIterator[tuple[MtnSimulator, str]]:
    simulator = MtnSimulator(transport, keys=KEYS)
    simulator.add_user(USER, SECRET)
    async with serving(simulator) as url:
        yield simulator, url


@pytest.mark.artefact("momo-openapi")
async def test_momo_openapi_collects_pays_out_and_is_refused(
    simulator: tuple[MtnSimulator, str], inbox: Inbox, run_client: Run
) -> None:
    mtn, url = simulator

    said = await run_client("drive_momo_openapi", url, USER, SECRET, *KEYS.values(), f"{inbox.url}/cb")
    await mtn.settle()

    assert said["collected"]["status"] == "SUCCESSFUL"
    assert said["collected"]["financialTransactionId"] in {movement.transaction for movement in mtn.movements}
    assert said["collected"]["amount"] == "500"
    assert said["paid_out"]["status"] == "SUCCESSFUL"
    assert (said["rejected"]["status"], said["rejected"]["reason"]["code"]) == ("FAILED", "APPROVAL_REJECTED")
    assert said["balance"] == {"availableBalance": "480", "currency": "EUR"}
    assert said["again"] == ["MomoAPIError", 409, "RESOURCE_ALREADY_EXIST"]
    assert said["unknown"] == ["MomoAPIError", 404, "RESOURCE_NOT_FOUND"]
    assert said["currency"] == ["MomoAPIError", 500, "INVALID_CURRENCY"]
    assert said["not_v4"] == said["special"] == ["MomoAPIError", 400, None]
    assert said["other_key"] == ["AuthenticationError", 401, None]
    assert said["wrong_secret"] == ["AuthenticationError", 401, "invalid_client"]
    assert [callback.method for callback in inbox.to("/cb")] == ["PUT"]
    assert len(mtn.movements) == 2


@pytest.mark.artefact("mtnmomo-py")
async def test_mtnmomo_py_provisions_collects_pays_out_and_looks_up(
    simulator: tuple[MtnSimulator, str], inbox: Inbox, run_client: Run
) -> None:
    mtn, url = simulator

    said = await run_client("drive_mtnmomo_py", url, *KEYS.values(), f"{inbox.url}/cb")

    assert said["host"] == "127.0.0.1"
    assert said["collected"]["status"] == said["paid_out"]["status"] == "SUCCESSFUL"
    assert {said["collected"]["financial_transaction_id"], said["paid_out"]["financial_transaction_id"]} == {
        movement.transaction for movement in mtn.movements
    }
    assert said["collected"]["payer"] == {"party_id_type": "MSISDN", "party_id": "256772000111"}
    assert said["rejected"]["reason"] == {"code": "APPROVAL_REJECTED", "message": "It could not be done."}
    assert (said["active"], said["inactive"]) == (True, False)
    assert (said["name"]["given_name"], said["name"]["family_name"]) == ("Sand", "Box")
    assert said["consent"] == "SUCCESSFUL"
    assert said["again"] == [409, "RESOURCE_ALREADY_EXIST"]
    assert said["unknown"] == [404, "RESOURCE_NOT_FOUND"]
    assert said["negative"] == [400, None]
    assert said["bad_token"] == [401, None]


@pytest.mark.artefact("mtn-momo-client")
async def test_mtn_momo_client_reads_a_reason_that_is_text(
    transport: HttpTransport, inbox: Inbox, run_client: Run
) -> None:
    mtn = MtnSimulator(transport, keys=KEYS, reason_is_text=True)
    mtn.add_user(USER, SECRET)
    async with serving(mtn) as url:
        said = await run_client("drive_mtn_momo_client", url, USER, SECRET, *KEYS.values(), f"{inbox.url}/cb")

    transactions = {movement.transaction: movement.amount for movement in mtn.movements}
    assert said["paid"] == ["SUCCESSFUL", said["paid"][1], "500", None]
    assert said["out"] == ["SUCCESSFUL", said["out"][1], "20", None]
    assert {said["paid"][1]: "500", said["out"][1]: "20"} == transactions
    assert said["rejected"] == ["FAILED", None, "500", "APPROVAL_REJECTED"]
    assert said["active"] == [True, False]
    assert said["balance"] == "480"
    assert said["again"] == [409, "RESOURCE_ALREADY_EXIST"]
    assert said["unknown"] == [404, "RESOURCE_NOT_FOUND"]


@pytest.mark.artefact("mtn-momo (npm)")
async def test_the_npm_client_reads_a_reason_that_is_text(
    transport: HttpTransport, inbox: Inbox, run_client: Run
) -> None:
    mtn = MtnSimulator(transport, keys=KEYS, reason_is_text=True)
    mtn.add_user(USER, SECRET)
    async with serving(mtn) as url:
        said = await run_client("drive_mtn_momo_npm", url, USER, SECRET, *KEYS.values(), f"{inbox.url}/cb")

    transactions = {movement.transaction: movement.amount for movement in mtn.movements}
    assert said["paid"] == ["SUCCESSFUL", said["paid"][1], "500"]
    assert said["out"] == ["SUCCESSFUL", said["out"][1], "20"]
    assert {said["paid"][1]: "500", said["out"][1]: "20"} == transactions
    assert said["rejected"][0] == "ApprovalRejectedError"
    assert said["active"] == [True, False]
    assert said["unknown"][0] == "ResourceNotFoundError"
