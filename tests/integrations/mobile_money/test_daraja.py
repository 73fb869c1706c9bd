"""Daraja's messages and codes, word by word. Shapes from the developer portal; the people and numbers are invented."""

import base64
import json
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.kernel.amounts import Amount, Asset
from engine.kernel.outcomes import Answer, Reason, RequestState
from engine.kernel.transport import Callback, WireResponse
from integrations.mobile_money.mpesa_daraja import results, wire

S, R = RequestState, Reason
KES = Asset.currency("KES")
SHORTCODE = wire.Shortcode(number="174379", passkey="pass", initiator="me", credential="c")
AT = datetime(2026, 11, 22, 4, 15, tzinfo=UTC)
REFERENCE = UUID("6f2c2d5e-5a0a-4c56-9a37-0d6f7f3b1c11")


def answer(status: int, body: object) -> WireResponse:
    return WireResponse(status=status, body=body if isinstance(body, bytes) else json.dumps(body).encode())


def post(body: object) -> Callback:
    return Callback(method="POST", body=json.dumps(body).encode())


# -- requests


def test_a_prompt_is_signed_and_spelt_as_documented() -> None:
    push = wire.stk_push(
        SHORTCODE,
        AT,
        msisdn="+254712345678",
        amount=Amount(150_00, KES),
        reference=REFERENCE,
        account="500000000009",
        url="u",
    )

    assert push["Timestamp"] == "20261122071500"  # Nairobi
    assert base64.b64decode(str(push["Password"])) == b"174379pass20261122071500"
    assert (push["Amount"], push["PartyA"], push["PhoneNumber"], push["PartyB"]) == (
        150,
        "254712345678",
        "254712345678",
        "174379",
    )
    assert len(str(push["AccountReference"])) <= 12
    assert len(str(push["TransactionDesc"])) <= 13


def test_a_payout_has_the_portals_own_spelling() -> None:
    body = wire.b2c(SHORTCODE, msisdn="+254712345678", amount=Amount(20_00, KES), reference=REFERENCE, note="", url="u")

    assert body["OriginatorConversationID"] == str(REFERENCE)
    assert {"Occassion", "QueueTimeOutURL", "ResultURL"} <= body.keys()
    assert len(str(body["Remarks"])) >= 2
    assert (
        wire.reversal(SHORTCODE, transaction="T", amount=Amount(1_00, KES), note="x", url="u")["RecieverIdentifierType"]
        == "11"
    )


@given(st.uuids(version=4), st.uuids(version=4))
def test_short_references_tell_requests_apart(one: UUID, other: UUID) -> None:
    short = wire.short_reference(one)

    assert len(short) == 12
    assert short.isalnum()
    assert (short == wire.short_reference(other)) is (one.int >> 68 == other.int >> 68)


def test_a_pull_asks_for_no_more_than_two_days_in_nairobi_time() -> None:
    query = wire.pull_query(SHORTCODE, AT, 0)

    assert (query["StartDate"], query["EndDate"]) == ("2026-11-20 07:16:00", "2026-11-22 07:15:00")


# -- answers


@pytest.mark.parametrize(
    ("status", "body", "state", "reason"),
    [
        pytest.param(200, {"ResponseCode": "0", "CheckoutRequestID": "ws"}, S.PENDING, None, id="taken"),
        pytest.param(200, {"ResponseCode": 0, "CheckoutRequestID": "ws"}, S.PENDING, None, id="taken, with a number"),
        pytest.param(200, b'{"ResponseCode": "0", "Chec', S.SENT, R.AMBIGUOUS, id="half a body"),
        pytest.param(404, {"errorCode": "404.001.03"}, S.CREATED, R.AUTH, id="a token that ended comes as 404"),
        pytest.param(400, {"errorCode": "400.008.01"}, S.CREATED, R.AUTH, id="not let in"),
        pytest.param(500, {"errorCode": "500.001.1001", "errorMessage": "Wrong credentials"}, S.CREATED, R.AUTH, id="a wrong passkey"),
        pytest.param(500, {"errorCode": "500.001.1001", "errorMessage": "Unable to lock subscriber"}, S.FAILED, R.OTHER, id="a locked subscriber"),
        pytest.param(500, {"errorCode": "500.002.1001"}, S.PENDING, R.DUPLICATE, id="sent before"),
        pytest.param(500, {"errorCode": "500.003.02"}, S.CREATED, R.PROVIDER_DOWN, id="spike arrest"),
        pytest.param(500, {"errorCode": "500.003.03"}, S.CREATED, R.PROVIDER_DOWN, id="quota"),
        pytest.param(400, {"errorCode": "400.002.02"}, S.FAILED, R.INVALID_REQUEST, id="a wrong field"),
        pytest.param(503, b"Service Unavailable", S.SENT, R.PROVIDER_DOWN, id="unavailable"),
        pytest.param(502, b"<html>", S.SENT, R.PROVIDER_DOWN, id="a gateway's page"),
    ],
)  # fmt: skip
def test_what_an_acknowledgement_says(status: int, body: object, state: RequestState, reason: Reason | None) -> None:
    said = results.read_ack(answer(status, body), "CheckoutRequestID")

    assert (said.state, said.reason) == (state, reason)


@pytest.mark.parametrize(
    ("code", "state", "reason"),
    [
        ("0", S.PENDING, None), ("1", S.FAILED, R.INSUFFICIENT_FUNDS), (1, S.FAILED, R.INSUFFICIENT_FUNDS), ("1032", S.FAILED, R.PAYER_REJECTED),
        ("1037", S.FAILED, R.PAYER_UNREACHABLE), ("1019", S.FAILED, R.EXPIRED), ("2001", S.FAILED, R.PAYER_REJECTED), ("17", S.FAILED, R.DUPLICATE),
        ("SFC_IC0003", S.FAILED, R.INVALID_REQUEST), ("4999", S.PENDING, None), ("31415", S.SENT, R.AMBIGUOUS),
    ],
)  # fmt: skip
def test_what_a_query_of_a_prompt_says(code: object, state: RequestState, reason: Reason | None) -> None:
    """A code that nobody knows decides nothing."""
    said = results.read_stk_query(answer(200, {"ResponseCode": "0", "ResultCode": code}), "ws")

    assert (said.state, said.reason, said.handle) == (state, reason, "ws")


def test_a_prompt_still_open_is_told_by_an_error() -> None:
    said = results.read_stk_query(answer(500, {"errorCode": "500.001.1001", "errorMessage": "being processed"}), "ws")

    assert said.state is S.PENDING


# -- callbacks

PAID = {"Body": {"stkCallback": {"MerchantRequestID": "a1", "CheckoutRequestID": "ws_CO_1", "ResultCode": 0, "ResultDesc": "ok",
 "CallbackMetadata": {"Item": [{"Name": "Amount", "Value": 150.00}, {"Name": "MpesaReceiptNumber", "Value": "SXX1AB2CD3"},
  {"Name": "Balance"}, {"Name": "TransactionDate", "Value": 20261122071500}, {"Name": "PhoneNumber", "Value": 254700000001}]}}}}  # fmt: skip


def test_the_callback_of_a_prompt_is_read() -> None:
    hint = results.read_stk_callback(post(PAID))

    assert hint is not None
    assert hint.claimed == Answer(
        state=S.SUCCEEDED, provider_ref="SXX1AB2CD3", handle="ws_CO_1", amount="150.0", currency="KES", code="0"
    )


def test_a_failed_prompt_has_no_metadata() -> None:
    hint = results.read_stk_callback(post({"Body": {"stkCallback": {"CheckoutRequestID": "ws", "ResultCode": "1032"}}}))

    assert hint is not None
    assert (hint.claimed.state, hint.claimed.reason) == (S.FAILED, R.PAYER_REJECTED)


@pytest.mark.parametrize("as_list", [True, False])
def test_a_parameter_may_come_without_its_list(as_list: bool) -> None:
    one = {"Key": "TransactionReceipt", "Value": "SXX1AB2CD3"}
    hint = results.read_result(
        post(
            {
                "Result": {
                    "ResultCode": "0",
                    "ConversationID": "AG_1",
                    "ResultParameters": {"ResultParameter": [one] if as_list else one},
                }
            }
        )
    )

    assert hint is not None
    assert (hint.claimed.state, hint.claimed.provider_ref) == (S.SUCCEEDED, "SXX1AB2CD3")


def status(code: object, **values: object) -> Callback:
    items = [{"Key": key, "Value": value} for key, value in values.items()]
    return post(
        {"Result": {"ResultCode": code, "ConversationID": "AG_2", "ResultParameters": {"ResultParameter": items}}}
    )


@pytest.mark.parametrize(
    ("callback", "state", "reason"),
    [
        pytest.param(
            status(0, TransactionStatus="Completed", ReceiptNo="S1", Amount=20.0), S.SUCCEEDED, None, id="paid"
        ),
        pytest.param(
            status(0, TransactionStatus="Completed"), S.PENDING, None, id="paid without a receipt proves nothing"
        ),
        pytest.param(status(0, TransactionStatus="Failed", ReasonCode="2040"), S.FAILED, R.NOT_REGISTERED, id="failed"),
        pytest.param(status(0, TransactionStatus="Cancelled"), S.FAILED, R.OTHER, id="cancelled"),
        pytest.param(status(0, TransactionStatus="Pending"), S.PENDING, None, id="waiting"),
        pytest.param(status("R000002"), S.CREATED, None, id="there is none"),
        pytest.param(status(2001), S.PENDING, None, id="a query that failed says nothing of the payout"),
        pytest.param(status("SFC_IC0003"), S.PENDING, None, id="nor does another"),
    ],
)
def test_what_a_status_says_of_a_payout(callback: Callback, state: RequestState, reason: Reason | None) -> None:
    said = results.read_status_result(callback)

    assert said is not None
    assert (said.state, said.reason, said.handle) == (state, reason, "AG_2")


@pytest.mark.parametrize("nested", [True, False])
def test_a_pull_comes_as_a_list_or_as_a_list_in_a_list(nested: bool) -> None:
    rows = [
        {"transactionId": "S1", "amount": "168.00", "billreference": "abc"},
        {"transactionId": "S2", "amount": "1", "billreference": "b"},
    ]
    found = results.read_pulled(answer(200, {"ResponseCode": "1000", "Response": [rows] if nested else rows}))

    assert [(one.provider_ref, one.amount, one.account) for one in found] == [("S1", "168.00", "abc"), ("S2", "1", "b")]
    assert all(results.is_proof(one) for one in found)
