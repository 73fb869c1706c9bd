"""Africa's Talking's messages, read and written. Pure: values to bytes and back.

Source: developers.africastalking.com, "SMS sending", "delivery reports" and "USSD" (form-encoded in, JSON or plain text
out). The provider numbers an answer per recipient; the HTTP status says nothing of the message.
"""

import json
import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode

from engine.kernel.outcomes import ExchangeState, Reason
from engine.kernel.transport import WireRequest, WireResponse
from engine.notices.ports import (
    DeliveryHint,
    DeliveryState,
    MessageAnswer,
    OutgoingMessage,
    ReportUnreadable,
    UssdEnd,
    UssdRequest,
    UssdScreen,
)
from integrations.messaging.answers import judge_status, rejected, unknown, word

FORM = "application/x-www-form-urlencoded"
MESSAGING_PATH = "/version1/messaging"
FORM_BYTES_MAX = 65_536
ACCEPTED_CODES = frozenset({100, 101, 102})  # processed, sent, queued
REJECTED_CODES: Mapping[int, Reason] = {
    401: Reason.BLOCKED,  # RiskHold
    402: Reason.INVALID_REQUEST,  # InvalidSenderId
    403: Reason.INVALID_REQUEST,  # InvalidPhoneNumber
    404: Reason.NOT_REGISTERED,  # UnsupportedNumberType
    405: Reason.INSUFFICIENT_FUNDS,  # InsufficientBalance
    406: Reason.BLOCKED,  # UserInBlacklist
    407: Reason.PAYER_UNREACHABLE,  # CouldNotRoute
    409: Reason.BLOCKED,  # DoNotDisturbRejection
    502: Reason.OTHER,  # RejectedByGateway
}
"""Codes of one recipient that say nothing was sent; 500 and 501 (internal and gateway error) do not say so."""
DELIVERY_STATES: Mapping[str, DeliveryState] = {
    "Sent": DeliveryState.UNDER_WAY,
    "Submitted": DeliveryState.UNDER_WAY,
    "Buffered": DeliveryState.UNDER_WAY,
    "Success": DeliveryState.DELIVERED,
    "Failed": DeliveryState.FAILED,
    "Rejected": DeliveryState.FAILED,
}
FAILURES: Mapping[str, Reason] = {
    "InsufficientCredit": Reason.INSUFFICIENT_FUNDS,
    "InvalidLinkId": Reason.INVALID_REQUEST,
    "UserIsInactive": Reason.PAYER_UNREACHABLE,
    "AbsentSubscriber": Reason.PAYER_UNREACHABLE,
    "DeliveryFailure": Reason.PAYER_UNREACHABLE,
    "UserInBlackList": Reason.BLOCKED,
    "UserInBlacklist": Reason.BLOCKED,
    "UserAccountSuspended": Reason.BLOCKED,
    "DoNotDisturbRejection": Reason.BLOCKED,
    "NotNetworkSubscriber": Reason.NOT_REGISTERED,
    "UserDoesNotExist": Reason.NOT_REGISTERED,
    "UserNotSubscribedToProduct": Reason.NOT_REGISTERED,
}

_COST = re.compile(r"([A-Z]{3}) ([0-9]+(?:\.[0-9]+)?)")
_PHONE = re.compile(r"\+[0-9]{5,15}")
_SESSION_ENDS: Mapping[str, bool] = {"success": True, "failed": False}


def send_request(message: OutgoingMessage, *, base_url: str, username: str, api_key: str) -> WireRequest:
    """Return the request that sends `message` to its one reader."""
    form = {"username": username, "to": message.to, "message": message.text, "bulkSMSMode": "1"}
    if message.sender:
        form["from"] = message.sender
    return WireRequest(
        method="POST",
        url=f"{base_url}{MESSAGING_PATH}",
        headers={"apiKey": api_key, "accept": "application/json", "content-type": FORM},
        body=urlencode(form).encode(),
    )


def read_answer(response: WireResponse, message: OutgoingMessage) -> MessageAnswer:
    """Return what the provider said of `message`."""
    if (judged := judge_status(response)) is not None:
        return judged
    try:
        data = json.loads(response.body)["SMSMessageData"]
        if not data["Recipients"] and data["Message"] == "InvalidSenderId":
            return rejected(Reason.INVALID_REQUEST, "InvalidSenderId")
        (recipient,) = data["Recipients"]
        code, number, status = int(recipient["statusCode"]), recipient["number"], str(recipient["status"])
    except (ValueError, KeyError, TypeError):
        return unknown(Reason.AMBIGUOUS)
    if number != message.to:
        return unknown(Reason.AMBIGUOUS)
    return _judge_recipient(recipient, code, word(str(code), status), message)


def _judge_recipient(recipient: Mapping[str, object], code: int, told: str, message: OutgoingMessage) -> MessageAnswer:
    if code in REJECTED_CODES:
        return rejected(REJECTED_CODES[code], told)
    if code not in ACCEPTED_CODES:
        return unknown(Reason.AMBIGUOUS, told)
    reference = recipient.get("messageId")
    cost, currency = read_cost(recipient.get("cost"))
    parts = recipient.get("messageParts")
    return MessageAnswer(
        state=ExchangeState.ACCEPTED,
        provider_ref=reference if isinstance(reference, str) and reference != "None" else "",
        cost=cost,
        currency=currency,
        parts=parts if isinstance(parts, int) and parts > 0 else len(message.pieces),
        code=told,
    )


def read_cost(text: object) -> tuple[str, str]:
    """Return "KES 0.8000" as ("0.8000", "KES"); two empty texts for anything else."""
    match = _COST.fullmatch(text) if isinstance(text, str) else None
    return (match[2], match[1]) if match else ("", "")


def read_report(request: WireRequest) -> tuple[DeliveryHint, ...]:
    """Return the one hint of a delivery report; ReportUnreadable if it has no id or status."""
    form = read_form(request)
    if not form.get("id") or not form.get("status"):
        raise ReportUnreadable(reason="a delivery report has an id and a status")
    status, failure = form["status"], form.get("failureReason", "")
    state = DELIVERY_STATES.get(status, DeliveryState.UNDER_WAY)
    reason = FAILURES.get(failure, Reason.OTHER) if state is DeliveryState.FAILED else None
    return (DeliveryHint(provider_ref=form["id"], state=state, reason=reason, code=word(status, failure)),)


def read_step(request: WireRequest) -> UssdRequest:
    """Return a step of a session. `text` is all that was typed, joined by `*`: an asterisk typed cannot be told apart."""
    form = read_form(request)
    missing = {"sessionId", "serviceCode", "phoneNumber", "text"} - form.keys()
    if missing or not form["sessionId"]:
        raise ReportUnreadable(reason=f"a USSD request lacks {', '.join(sorted(missing)) or 'its sessionId'}")
    if not _PHONE.fullmatch(form["phoneNumber"]):
        raise ReportUnreadable(reason="the phoneNumber of a USSD request is no number with +")
    return UssdRequest(
        session=form["sessionId"],
        phone=form["phoneNumber"],
        service_code=form["serviceCode"],
        inputs=tuple(form["text"].split("*")) if form["text"] else (),
        network=form.get("networkCode", ""),
    )


def write_screen(screen: UssdScreen) -> WireResponse:
    """Return a screen in the gateway's form: CON goes on, END ends; anything but status 200 would end the session."""
    body = f"{'END' if screen.ends else 'CON'} {screen.text}"
    return WireResponse(status=200, headers={"content-type": "text/plain; charset=utf-8"}, body=body.encode())


def read_end(request: WireRequest) -> UssdEnd:
    """Return what is told of a session that is over; ReportUnreadable if it names none."""
    form = read_form(request)
    if not form.get("sessionId") or not form.get("status"):
        raise ReportUnreadable(reason="the notice of an ended session has a sessionId and a status")
    cost, currency = read_cost(form.get("cost"))
    return UssdEnd(
        session=form["sessionId"],
        succeeded=_SESSION_ENDS.get(form["status"].lower()),
        cost=cost,
        currency=currency,
        hops=_whole(form.get("hopsCount", "")),
        milliseconds=_whole(form.get("durationInMillis", "")),
        code=word(form["status"], form.get("errorMessage", "")),
    )


def read_form(request: WireRequest) -> dict[str, str]:
    """Return the fields of a form; ReportUnreadable if it is none, too large, or names a field twice."""
    content_type = next((value for name, value in request.headers.items() if name.lower() == "content-type"), "")
    if not content_type.startswith(FORM) or len(request.body) > FORM_BYTES_MAX:
        raise ReportUnreadable(reason="it is no form, or too large a one")
    try:
        pairs = parse_qsl(
            request.body.decode(), keep_blank_values=True, strict_parsing=True, max_num_fields=40, errors="strict"
        )
    except ValueError:
        raise ReportUnreadable(reason="it is no well-formed form in UTF-8") from None
    form = dict(pairs)
    if len(form) != len(pairs):
        raise ReportUnreadable(reason="a field stands twice in it")
    return form


def _whole(text: str) -> int:
    return int(text) if re.fullmatch(r"[0-9]{1,12}", text) else 0
