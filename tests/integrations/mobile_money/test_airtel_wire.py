"""Airtel's codes and messages, one by one. The people and numbers are invented."""

import json
from uuid import UUID

import pytest

from engine.kernel.amounts import Amount, Asset
from engine.kernel.outcomes import Reason, RequestState
from engine.kernel.transport import Callback, WireResponse
from integrations.mobile_money.airtel_money import wire

S, R = RequestState, Reason
APP = wire.App(
    base_url="https://airtel.test", client_id="c", client_secret="s", country="UG", currency="UGX", pin="4821"
)
REFERENCE = UUID("6f2c2d5e-5a0a-4c56-9a37-0d6f7f3b1c11")


def said(code: str, *, success: bool, http: int = 200, **transaction: str) -> WireResponse:
    body = {"data": {"transaction": transaction}, "status": {"success": success, "response_code": code, "code": "200"}}
    return WireResponse(status=http, body=json.dumps(body).encode())


@pytest.mark.parametrize(
    ("code", "state", "reason"),
    [
        ("DP00800001006", S.PENDING, None), ("DP00800001001", S.PENDING, None), ("DP00800001000", S.SENT, R.AMBIGUOUS),
        ("DP00800001024", S.SENT, R.AMBIGUOUS), ("DP00800001007", S.FAILED, R.INSUFFICIENT_FUNDS), ("DP00800001008", S.FAILED, R.PAYER_REJECTED),
        ("DP00800001026", S.CREATED, R.AUTH), ("DP00800001029", S.FAILED, R.EXPIRED), ("DP00900001014", S.SENT, R.AMBIGUOUS),
        ("DP00900001017", S.PENDING, R.DUPLICATE), ("DP00900001011", S.SENT, R.DUPLICATE), ("DP00900001012", S.FAILED, R.NOT_REGISTERED),
        ("DP00900009999", S.SENT, R.AMBIGUOUS),
    ],
)  # fmt: skip
def test_a_refusal_comes_as_http_200_and_is_told_by_its_code(
    code: str, state: RequestState, reason: Reason | None
) -> None:
    """Timed out and ambiguous mean that it is asked after; a code that nobody knows decides nothing."""
    answer = wire.read_taken(said(code, success=False))

    assert (answer.state, answer.reason, answer.code) == (state, reason, code)


@pytest.mark.parametrize(
    ("response", "state", "reason"),
    [
        pytest.param(WireResponse(status=401, body=b"{}"), S.CREATED, R.AUTH, id="a token that ended"),
        pytest.param(WireResponse(status=429), S.CREATED, R.PROVIDER_DOWN, id="too many calls"),
        pytest.param(
            WireResponse(status=400, body=b'{"status_message":"Invalid"}'), S.FAILED, R.INVALID_REQUEST, id="malformed"
        ),
        pytest.param(WireResponse(status=400, body=b"<html>"), S.SENT, R.AMBIGUOUS, id="a gateway's page"),
        pytest.param(WireResponse(status=503), S.SENT, R.PROVIDER_DOWN, id="unavailable"),
        pytest.param(WireResponse(status=200, body=b'{"data":{"trans'), S.SENT, R.AMBIGUOUS, id="half a body"),
    ],
)
def test_what_is_no_answer_of_airtels(response: WireResponse, state: RequestState, reason: Reason) -> None:
    answer = wire.read_taken(response)

    assert (answer.state, answer.reason) == (state, reason)


@pytest.mark.parametrize(
    ("response", "state", "reason"),
    [
        pytest.param(
            said("DP00800001001", success=True, status="TS", airtel_money_id="MP1"), S.SUCCEEDED, None, id="done"
        ),
        pytest.param(
            said("DP00800001001", success=True, status="TS"), S.PENDING, None, id="done without an id proves nothing"
        ),
        pytest.param(said("DP00800001007", success=False, status="TF"), S.FAILED, R.INSUFFICIENT_FUNDS, id="failed"),
        pytest.param(said("", success=False, status="TF"), S.FAILED, R.OTHER, id="failed without a code"),
        pytest.param(said("DP00800001006", success=True, status="TIP"), S.PENDING, None, id="in progress"),
        pytest.param(said("DP00800001000", success=True, status="TA"), S.SENT, None, id="ambiguous"),
        pytest.param(
            said("DP00800001025", success=False), S.SENT, R.AMBIGUOUS, id="a collection not found may still be one"
        ),
        pytest.param(said("DP00900001015", success=False), S.CREATED, None, id="a payout not found is sent again"),
        pytest.param(
            said("DP00800001007", success=False), S.SENT, R.AMBIGUOUS, id="a code without a status decides nothing"
        ),
        pytest.param(WireResponse(status=500), S.SENT, R.PROVIDER_DOWN, id="down"),
    ],
)
def test_what_an_enquiry_says(response: WireResponse, state: RequestState, reason: Reason | None) -> None:
    answer = wire.read_enquiry(response)

    assert (answer.state, answer.reason) == (state, reason)


@pytest.mark.parametrize(("units", "text"), [(1000_00, "1000"), (1000_50, "1000.5"), (1, "0.01"), (12_30, "12.3")])
def test_an_amount_is_a_number_digit_by_digit(units: int, text: str) -> None:
    body = wire.payment(
        APP, msisdn="+256752604392", amount=Amount(units, Asset.currency("KES")), reference=REFERENCE, account="50-9"
    )

    assert f'"amount":{text},' in body.decode()
    assert json.loads(body)["reference"] == "509"


def test_secrets_are_not_shown() -> None:
    assert "4821" not in repr(APP)


def test_a_callback_without_a_hash_is_read_as_a_hint() -> None:
    body = b'{"transaction":{"id":"' + str(REFERENCE).encode() + b'","status_code":"TF","message":"no"}}'
    hint = wire.read_callback(Callback(method="POST", body=body), "s")

    assert hint is not None
    assert (hint.claimed.state, hint.reference) == (S.FAILED, str(REFERENCE))
