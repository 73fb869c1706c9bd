"""MTN's messages, word by word. Shapes from MTN's documentation; the people and numbers are invented."""

import json
from uuid import UUID

import pytest

from engine.kernel.amounts import Amount, Asset
from engine.kernel.outcomes import Answer, Reason, RequestState
from engine.kernel.tokens import Token, TokenRefused
from engine.kernel.transport import Callback, WireResponse
from integrations.mobile_money.mtn_momo import wire

REFERENCE = UUID("6f2c2d5e-5a0a-4c56-9a37-0d6f7f3b1c11")
S, R = RequestState, Reason
PLATFORM = wire.Platform(base_url="https://mtn.test", environment="mtnuganda")
KEYS = wire.ProductKeys(subscription_key="sub", api_user="dXNlcg==", api_key="secret")


def answer(status: int, body: object) -> WireResponse:
    return WireResponse(status=status, body=body if isinstance(body, bytes) else json.dumps(body).encode())


@pytest.mark.parametrize(
    ("units", "currency", "text"),
    [
        pytest.param(500, "UGX", "500", id="a currency without decimals"),
        pytest.param(500_00, "EUR", "500", id="decimals that say nothing are left out"),
        pytest.param(500_50, "EUR", "500.5", id="and so is a last zero"),
        pytest.param(1, "EUR", "0.01", id="the smallest unit"),
        pytest.param(100_000_000_00, "GHS", "100000000", id="zeros before the point stay"),
    ],
)
def test_amounts_are_text(units: int, currency: str, text: str) -> None:
    assert wire.decimal_text(Amount(units, Asset.currency(currency))) == text


def test_a_payment_is_as_documented() -> None:
    body = wire.payment_body(
        "payer",
        "+256772000111",
        Amount(500, Asset.currency("UGX")),
        reference=REFERENCE,
        account="42",
        note="June #1 o'clock",
    )

    assert json.loads(body) == {
        "amount": "500",
        "currency": "UGX",
        "externalId": str(REFERENCE),
        "payer": {"partyIdType": "MSISDN", "partyId": "256772000111"},
        "payerMessage": "June 1 o clock",
        "payeeNote": "42",
    }


def test_a_note_is_cut_to_what_mtn_takes() -> None:
    body = wire.payment_body(
        "payee", "+1", Amount(1, Asset.currency("UGX")), reference=REFERENCE, account="4", note="ab " * 99
    )

    assert len(json.loads(body)["payerMessage"]) <= 160


def test_a_token_is_asked_for_without_a_body_and_leaves_no_record() -> None:
    request = wire.token_request(PLATFORM, wire.Product.COLLECTION, KEYS)

    assert (request.method, request.url, request.body) == ("POST", "https://mtn.test/collection/token/", b"")
    assert request.headers["Authorization"] == "Basic ZFhObGNnPT06c2VjcmV0"
    assert request.headers["X-Target-Environment"] == "mtnuganda"
    assert request.is_secret


def test_secrets_are_not_shown() -> None:
    assert "secret" not in repr(KEYS)
    assert "eyJ" not in repr(Token(value="eyJ", seconds=1))


@pytest.mark.parametrize("seconds", [3600, "3600"])
def test_a_token_is_read(seconds: object) -> None:
    said = {"access_token": "eyJ", "token_type": "access_token", "expires_in": seconds}

    assert wire.read_token(answer(200, said)) == Token(value="eyJ", seconds=3600)


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (401, {"error": "invalid_client"}, "invalid_client"),
        (500, b"<html>", "HTTP 500"),
        (200, b"<html>", "HTTP 200"),
        (200, {"access_token": ""}, "HTTP 200"),
    ],
)
def test_no_token_is_a_refusal(status: int, body: object, code: str) -> None:
    with pytest.raises(TokenRefused) as refused:
        wire.read_token(answer(status, body))

    assert refused.value.code == code


def test_a_reference_of_another_version_never_leaves() -> None:
    with pytest.raises(AssertionError):
        wire.creating_headers(UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8"), "")


@pytest.mark.parametrize(
    ("status", "body", "state", "reason"),
    [
        pytest.param(202, b"", S.PENDING, None, id="taken"),
        pytest.param(400, {"message": "bad"}, S.FAILED, R.INVALID_REQUEST, id="refused as malformed"),
        pytest.param(500, {"code": "PAYER_NOT_FOUND"}, S.FAILED, R.NOT_REGISTERED, id="a business refusal by 500"),
        pytest.param(500, {"code": "NOT_ENOUGH_FUNDS"}, S.FAILED, R.INSUFFICIENT_FUNDS, id="another"),
        pytest.param(500, {"code": "INTERNAL_PROCESSING_ERROR"}, S.SENT, R.AMBIGUOUS, id="a 500 that says nothing"),
        pytest.param(503, b"Service Unavailable", S.SENT, R.PROVIDER_DOWN, id="unavailable may have been taken"),
        pytest.param(502, b"<html>", S.SENT, R.PROVIDER_DOWN, id="a gateway's page"),
        pytest.param(401, {"message": "Unauthorized"}, S.CREATED, R.AUTH, id="a token that ended"),
        pytest.param(403, b"<html>403</html>", S.CREATED, R.AUTH, id="not on the list of addresses"),
        pytest.param(429, b"", S.CREATED, R.PROVIDER_DOWN, id="too many calls"),
        pytest.param(302, b"", S.SENT, R.AMBIGUOUS, id="anything else"),
    ],
)
def test_what_a_creating_call_says(status: int, body: object, state: RequestState, reason: Reason | None) -> None:
    said = wire.read_created(answer(status, body))

    assert said is not None
    assert (said.state, said.reason) == (state, reason)


def test_a_reference_used_before_must_be_asked_after() -> None:
    assert wire.read_created(answer(409, {"code": "RESOURCE_ALREADY_EXIST"})) is None


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        pytest.param(
            200,
            {"status": "SUCCESSFUL", "financialTransactionId": "363440463", "amount": "500", "currency": "UGX"},
            Answer(state=S.SUCCEEDED, provider_ref="363440463", amount="500", currency="UGX", code="SUCCESSFUL"),
            id="done",
        ),
        pytest.param(
            200,
            {"status": "SUCCESSFUL", "financialTransactionId": 363440463, "amount": 500, "currency": "UGX"},
            Answer(state=S.SUCCEEDED, provider_ref="363440463", amount="500", currency="UGX", code="SUCCESSFUL"),
            id="done, with numbers for texts",
        ),
        pytest.param(200, {"status": "SUCCESSFUL"}, Answer(state=S.PENDING, code="SUCCESSFUL"), id="done without an id proves nothing"),
        pytest.param(200, {"status": "PENDING"}, Answer(state=S.PENDING, code="PENDING"), id="waiting"),
        pytest.param(
            200,
            {"status": "FAILED", "reason": "PAYER_LIMIT_REACHED"},
            Answer(state=S.FAILED, reason=R.LIMIT, code="PAYER_LIMIT_REACHED"),
            id="a reason as text",
        ),
        pytest.param(
            200,
            {"status": "FAILED", "reason": {"code": "PAYER_LIMIT_REACHED", "message": "m"}},
            Answer(state=S.FAILED, reason=R.LIMIT, code="PAYER_LIMIT_REACHED"),
            id="a reason as an object",
        ),
        pytest.param(200, {"status": "FAILED", "reason": "BRAND_NEW"}, Answer(state=S.FAILED, reason=R.OTHER, code="BRAND_NEW"), id="an unknown reason"),
        pytest.param(200, {"status": "FAILED"}, Answer(state=S.FAILED, reason=R.OTHER, code="FAILED"), id="no reason"),
        pytest.param(200, {"status": "BRAND_NEW"}, Answer(state=S.SENT, reason=R.AMBIGUOUS, code="HTTP 200"), id="an unknown state"),
        pytest.param(200, b'{"status": "SUCC', Answer(state=S.SENT, reason=R.AMBIGUOUS, code="HTTP 200"), id="half a body"),
        pytest.param(404, {"code": "RESOURCE_NOT_FOUND"}, Answer(state=S.CREATED, code="RESOURCE_NOT_FOUND"), id="never seen"),
        pytest.param(404, b"<html>", Answer(state=S.SENT, reason=R.AMBIGUOUS, code="HTTP 404"), id="a gateway's 404 proves nothing"),
        pytest.param(401, {}, Answer(state=S.SENT, reason=R.AUTH, code="HTTP 401"), id="not let in"),
        pytest.param(500, b"", Answer(state=S.SENT, reason=R.PROVIDER_DOWN, code="HTTP 500"), id="down"),
    ],
)  # fmt: skip
def test_what_a_status_says(status: int, body: object, expected: Answer) -> None:
    assert wire.read_status(answer(status, body)) == expected


@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_a_callback_is_taken_by_put_and_by_post(method: str) -> None:
    body = b'{"status":"SUCCESSFUL","financialTransactionId":"1","amount":"500","currency":"UGX"}'
    hint = wire.read_callback(Callback(method=method, body=body))

    assert hint is not None
    assert (hint.claimed.state, hint.claimed.provider_ref) == (S.SUCCEEDED, "1")
