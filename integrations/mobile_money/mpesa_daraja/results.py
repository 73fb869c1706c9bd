"""What Daraja says, in our own words: acknowledgements, errors, result codes, callbacks. Pure.

Types drift: a result code is a number in one place, text in another and may have letters; one item of a list may come
without its list; a value may be missing.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from engine.kernel.outcomes import Answer, Hint, Reason, RequestState
from engine.kernel.transport import Callback, WireResponse
from integrations.mobile_money.reading import SERVER_ERROR, child, code_of, read_object, text_of

CURRENCY = "KES"
TAKEN = "0"
DUPLICATE = "500.002.1001"
BAD_TOKEN = "404.001.03"  # noqa: S105 - a code
STILL_PROCESSED = {"500.001.1001", "4999"}
NOT_FOUND = {"R000002"}

_REASONS = {
    "1": Reason.INSUFFICIENT_FUNDS,
    **dict.fromkeys(("2", "3", "4", "8", "11"), Reason.LIMIT),
    "17": Reason.DUPLICATE,  # the same amount from the same payer within two minutes
    "21": Reason.INVALID_REQUEST,
    "1001": Reason.BLOCKED,
    "1019": Reason.EXPIRED,
    "1025": Reason.PAYER_UNREACHABLE,
    "1032": Reason.PAYER_REJECTED,
    "1037": Reason.PAYER_UNREACHABLE,
    "2001": Reason.AUTH,
    "2006": Reason.BLOCKED,
    "2028": Reason.INVALID_REQUEST,
    "2040": Reason.NOT_REGISTERED,
    "8006": Reason.BLOCKED,
    "9999": Reason.PAYER_UNREACHABLE,
    "SFC_IC0003": Reason.INVALID_REQUEST,
    "R000001": Reason.DUPLICATE,
}
_STK_OWN = {"2001": Reason.PAYER_REJECTED}  # there the payer's PIN was wrong, in a payout the initiator's password
_TRANSACTION_STATES = {
    "completed": RequestState.SUCCEEDED,
    **dict.fromkeys(("failed", "cancelled", "declined", "expired", "reversed"), RequestState.FAILED),
}
_REFUSALS = {
    Reason.NOT_REGISTERED: "C2B00012",
    Reason.LIMIT: "C2B00013",
    Reason.BLOCKED: "C2B00014",
}


def read_ack(response: WireResponse, handle: str) -> Answer:  # noqa: PLR0911 - one return a meaning
    """Return what the acknowledgement of a call that moves money says; `handle` names the key of its id.

    What was refused before it was looked at may be sent again; a 5xx may come from a gateway whose back end took it.
    """
    said = read_object(response.body)
    if response.status == 200 and text_of(said.get("ResponseCode")) == TAKEN and text_of(said.get(handle)):
        return Answer(state=RequestState.PENDING, handle=text_of(said[handle]), code=TAKEN)
    code, words = text_of(said.get("errorCode")), text_of(said.get("errorMessage")).lower()
    shown = code_of(response, code or text_of(said.get("ResponseCode")))
    if code == DUPLICATE:
        return Answer(state=RequestState.PENDING, reason=Reason.DUPLICATE, code=code)
    if is_bad_token(response) or code.startswith("400.008") or "credentials" in words:
        return Answer(state=RequestState.CREATED, reason=Reason.AUTH, code=shown)
    if code.startswith("500.003") or response.status == 429:
        return Answer(state=RequestState.CREATED, reason=Reason.PROVIDER_DOWN, code=shown)
    if code.startswith(("400.", "404.", "405.")):
        return Answer(state=RequestState.FAILED, reason=Reason.INVALID_REQUEST, code=shown)
    if code.startswith("500.001") or (response.status == 200 and text_of(said.get("ResponseCode"))):
        return Answer(state=RequestState.FAILED, reason=_REASONS.get(shown, Reason.OTHER), code=shown)
    return Answer(state=RequestState.SENT, reason=unclear(response), code=shown)


def is_bad_token(response: WireResponse) -> bool:
    """Return whether the token was refused; Daraja says so by 404 too."""
    return response.status in {401, 403} or text_of(read_object(response.body).get("errorCode")) == BAD_TOKEN


def unclear(response: WireResponse) -> Reason:
    """Return why nothing was learned."""
    if is_bad_token(response):
        return Reason.AUTH
    return Reason.PROVIDER_DOWN if response.status >= SERVER_ERROR or response.status == 429 else Reason.AMBIGUOUS


def read_stk_query(response: WireResponse, handle: str) -> Answer:
    """Return what has become of a prompt. Paid is PENDING here: the query tells neither amount nor receipt."""
    said = read_object(response.body)
    code = text_of(said.get("ResultCode"))
    if response.status == 200 and code:
        return _decided(code, handle, _STK_OWN)
    if text_of(said.get("errorCode")) in STILL_PROCESSED:
        return Answer(state=RequestState.PENDING, handle=handle, code=text_of(said["errorCode"]))
    shown = code_of(response, text_of(said.get("errorCode")))
    return Answer(state=RequestState.SENT, reason=unclear(response), handle=handle, code=shown)


def _decided(code: str, handle: str, own: Mapping[str, Reason]) -> Answer:
    """Return the answer of a result code; one that we do not know decides nothing."""
    reason = own.get(code) or _REASONS.get(code)
    if code == TAKEN or code in STILL_PROCESSED:
        return Answer(state=RequestState.PENDING, handle=handle, code=code)
    if reason is None:
        return Answer(state=RequestState.SENT, reason=Reason.AMBIGUOUS, handle=handle, code=code)
    return Answer(state=RequestState.FAILED, reason=reason, handle=handle, code=code)


def read_pulled(response: WireResponse) -> list[Answer]:
    """Return the payments in of a page of the pull; one without its id or amount proves nothing and has neither."""
    return [
        Answer(
            state=RequestState.SUCCEEDED,
            provider_ref=text_of(row.get("transactionId")),
            amount=text_of(row.get("amount")),
            currency=CURRENCY,
            account=text_of(row.get("billreference")),
            code="pulled",
        )
        for row in _rows(read_object(response.body).get("Response"))
    ]


def is_proof(payment: Answer) -> bool:
    """Return whether a pulled payment says what it must to be believed."""
    return bool(payment.provider_ref and payment.amount)


def _rows(value: object) -> list[dict[str, Any]]:
    """Return the rows of a pull, which come as a list or as a list in a list."""
    items = value if isinstance(value, list) else []
    if len(items) == 1 and isinstance(items[0], list):
        items = items[0]
    return [item for item in items if isinstance(item, dict)]


def read_stk_callback(callback: Callback) -> Hint | None:
    """Return what the callback of a prompt claims; its metadata are absent on failure, and any value may be."""
    said = child(child(_body(callback), "Body"), "stkCallback")
    code, handle = text_of(said.get("ResultCode")), text_of(said.get("CheckoutRequestID"))
    if not code or not handle:
        return None
    items = _pairs(child(said, "CallbackMetadata").get("Item"), "Name")
    claimed = _decided(code, handle, _STK_OWN)
    if code == TAKEN:
        claimed = msgspec.structs.replace(
            claimed,
            state=RequestState.SUCCEEDED,
            provider_ref=items.get("MpesaReceiptNumber", ""),
            amount=items.get("Amount", ""),
            currency=CURRENCY,
        )
    return Hint(claimed=claimed)


def read_payment(callback: Callback, state: RequestState) -> Answer | None:
    """Return the payment of a C2B validation or confirmation, in `state`; the payer's number is masked and left out."""
    said = _body(callback)
    amount, account = text_of(said.get("TransAmount")), text_of(said.get("BillRefNumber"))
    transaction = text_of(said.get("TransID"))
    if not transaction or not amount:
        return None
    return Answer(state=state, provider_ref=transaction, amount=amount, currency=CURRENCY, account=account)


def reply(refusal: Reason | None) -> bytes:
    """Return the body that answers a validation or a confirmation."""
    if refusal is None:
        return msgspec.json.encode({"ResultCode": TAKEN, "ResultDesc": "Accepted"})
    return msgspec.json.encode({"ResultCode": _REFUSALS.get(refusal, "C2B00016"), "ResultDesc": "Rejected"})


def read_result(callback: Callback) -> Hint | None:
    """Return what the result of a payout or a reversal claims."""
    said = child(_body(callback), "Result")
    code, handle = text_of(said.get("ResultCode")), text_of(said.get("ConversationID"))
    if not code or not handle:
        return None
    claimed = _decided(code, handle, {})
    values = _pairs(child(said, "ResultParameters").get("ResultParameter"), "Key")
    if code == TAKEN:
        receipt = values.get("TransactionReceipt", "") or text_of(said.get("TransactionID"))
        amount = values.get("TransactionAmount", "") or values.get("Amount", "")
        claimed = msgspec.structs.replace(
            claimed, state=RequestState.SUCCEEDED, provider_ref=receipt, amount=amount, currency=CURRENCY
        )
    return Hint(claimed=claimed)


def read_status_result(callback: Callback) -> Answer | None:
    """Return the answer to a status query: what has become of the payout asked after, its handle the query's.

    A query that failed says nothing of the payout, unless it says that there is none.
    """
    said = _read_status(callback)
    if said is None:
        return None
    handle, code, values = said
    if code in NOT_FOUND:
        return Answer(state=RequestState.CREATED, handle=handle, code=code)
    word, receipt = values.get("TransactionStatus", ""), values.get("ReceiptNo", "")
    state = _TRANSACTION_STATES.get(word.lower(), RequestState.PENDING)
    if code == TAKEN and state is RequestState.FAILED:
        failure = values.get("ReasonCode") or word
        return Answer(state=state, reason=_REASONS.get(failure, Reason.OTHER), handle=handle, code=failure)
    if code != TAKEN or state is not RequestState.SUCCEEDED or not receipt:
        return Answer(state=RequestState.PENDING, handle=handle, code=code)
    amount = values.get("Amount", "")
    return Answer(state=state, handle=handle, provider_ref=receipt, amount=amount, currency=CURRENCY, code=code)


def read_reversal_status(callback: Callback) -> Answer | None:
    """Return the answer to a status query after a payment that was to be reversed, its handle the query's."""
    said = _read_status(callback)
    if said is None:
        return None
    handle, code, values = said
    word, receipt = values.get("TransactionStatus", ""), values.get("ReceiptNo", "")
    is_reversed = code == TAKEN and word.lower() == "reversed"
    state = RequestState.SUCCEEDED if is_reversed else RequestState.PENDING
    return Answer(state=state, handle=handle, provider_ref=receipt if is_reversed else "", code=word or code)


def _read_status(callback: Callback) -> tuple[str, str, dict[str, str]] | None:
    """Return the handle, result code and values of the answer to a status query."""
    said = child(_body(callback), "Result")
    code, handle = text_of(said.get("ResultCode")), text_of(said.get("ConversationID"))
    if not code or not handle:
        return None
    return handle, code, _pairs(child(said, "ResultParameters").get("ResultParameter"), "Key")


def _body(callback: Callback) -> dict[str, Any]:
    return read_object(callback.body) if callback.method == "POST" else {}


def _pairs(value: object, name: str) -> dict[str, str]:
    """Return the named values of a list of pairs, or of a single pair."""
    items: Sequence[object] = value if isinstance(value, list) else [value]
    return {text_of(item.get(name)): text_of(item.get("Value")) for item in items if isinstance(item, dict)}
