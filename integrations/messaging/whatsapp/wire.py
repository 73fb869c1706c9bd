"""The Cloud API's messages, read and written. Pure: values to bytes and back.

Source: Meta, WhatsApp Business Platform, Cloud API: "Messages", "Webhooks", "Error codes"; Graph API v23.0. A webhook may
bring many entries at once, some again, and not in order; its signature is over the raw bytes, before any parsing.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal
from urllib.parse import parse_qsl, urlsplit

import msgspec
from msgspec import Meta, Struct

from engine.kernel.outcomes import ExchangeState, Reason
from engine.kernel.transport import WireRequest, WireResponse
from engine.notices.ports import (
    DeliveryHint,
    DeliveryState,
    MessageAnswer,
    OutgoingMessage,
    ReportForged,
    ReportUnreadable,
)
from integrations.messaging.answers import judge_status, rejected, unknown, word

SIGNATURE = "x-hub-signature-256"
REPORT_BYTES_MAX = 3_145_728  # the largest webhook the platform sends
REFERENCE_MAX = 512
STATES: Mapping[str, DeliveryState] = {
    "sent": DeliveryState.UNDER_WAY,
    "delivered": DeliveryState.DELIVERED,
    "read": DeliveryState.READ,
    "played": DeliveryState.READ,
    "failed": DeliveryState.FAILED,
}
ERRORS: Mapping[int, Reason] = {
    0: Reason.AUTH,
    3: Reason.AUTH,
    10: Reason.AUTH,
    190: Reason.AUTH,
    200: Reason.AUTH,
    131005: Reason.AUTH,
    4: Reason.LIMIT,
    80007: Reason.LIMIT,
    130429: Reason.LIMIT,
    131048: Reason.LIMIT,
    131049: Reason.LIMIT,
    131056: Reason.LIMIT,
    368: Reason.BLOCKED,
    130497: Reason.BLOCKED,
    131031: Reason.BLOCKED,
    131050: Reason.BLOCKED,  # the reader wants no such messages
    131021: Reason.INVALID_REQUEST,
    131026: Reason.NOT_REGISTERED,
    131030: Reason.NOT_REGISTERED,
    133010: Reason.AUTH,
    131042: Reason.INSUFFICIENT_FUNDS,
    131047: Reason.EXPIRED,  # more than 24 hours since the reader wrote: a template is needed
}
UNCERTAIN_ERRORS = frozenset({1, 2, 131000, 131016, 131057, 133004})
"""Errors of the platform itself, after which nobody can say whether the message went out."""
INVALID_ERRORS = (range(100, 101), range(131008, 131010), range(131051, 131054), range(132000, 132100))

_CHALLENGE = re.compile(r"[A-Za-z0-9_.-]{1,256}")


class _Error(Struct, frozen=True):
    code: int


class _Status(Struct, frozen=True):
    id: Annotated[str, Meta(min_length=1)]
    status: str
    errors: tuple[_Error, ...] = ()
    biz_opaque_callback_data: str = ""


class _Metadata(Struct, frozen=True):
    phone_number_id: str


class _Value(Struct, frozen=True):
    metadata: _Metadata
    statuses: tuple[_Status, ...] = ()


class _Change(Struct, frozen=True):
    field: str
    value: msgspec.Raw


class _Entry(Struct, frozen=True):
    changes: tuple[_Change, ...]


class _Webhook(Struct, frozen=True):
    object: Literal["whatsapp_business_account"]
    entry: tuple[_Entry, ...]


def send_request(
    message: OutgoingMessage, *, base_url: str, version: str, phone_number_id: str, token: str
) -> WireRequest:
    """Return the request that sends `message`: its approved template where it has one, else its text."""
    body: dict[str, object] = {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": message.to.removeprefix("+"),
        "biz_opaque_callback_data": message.reference[:REFERENCE_MAX],
    }
    if message.template is None:
        body |= {"type": "text", "text": {"body": message.text, "preview_url": False}}
    else:
        body |= {"type": "template", "template": _template(message)}
    return WireRequest(
        method="POST",
        url=f"{base_url}/{version}/{phone_number_id}/messages",
        headers={"authorization": f"Bearer {token}", "content-type": "application/json"},
        body=json.dumps(body, ensure_ascii=False).encode(),
    )


def read_answer(response: WireResponse) -> MessageAnswer:
    """Return what the platform said. It names its error in the body, whatever the status."""
    try:
        told = json.loads(response.body)
    except ValueError:
        return judge_status(response) or unknown(Reason.AMBIGUOUS)
    if isinstance(told, dict) and isinstance(told.get("error"), dict):
        return _judge_error(told["error"], response)
    if (judged := judge_status(response)) is not None:
        return judged
    try:
        (sent,) = told["messages"]
        provider_ref, status = sent["id"], sent.get("message_status", "accepted")
    except (ValueError, KeyError, TypeError, AttributeError):
        return unknown(Reason.AMBIGUOUS)
    if not isinstance(provider_ref, str) or not provider_ref:
        return unknown(Reason.AMBIGUOUS)
    return MessageAnswer(state=ExchangeState.ACCEPTED, provider_ref=provider_ref, parts=1, code=word(str(status)))


def read_report(request: WireRequest, *, app_secret: str, phone_number_id: str) -> tuple[DeliveryHint, ...]:
    """Return what the statuses of a webhook say of messages of this number, each once, in their order.

    Raises:
        ReportForged: the signature over the raw body is missing or false.
        ReportUnreadable: the body is signed but has not the form of a webhook.

    """
    if len(request.body) > REPORT_BYTES_MAX:
        raise ReportUnreadable(reason="it is larger than any webhook")
    headers = {name.lower(): value for name, value in request.headers.items()}
    expected = f"sha256={sign(request.body, app_secret)}"
    if not hmac.compare_digest(headers.get(SIGNATURE, "").encode(), expected.encode()):
        raise ReportForged(reason="its signature is missing or false")
    try:
        return tuple(dict.fromkeys(_hints(request.body, phone_number_id)))
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ReportUnreadable(reason="it has not the form of a webhook") from None


def sign(body: bytes, app_secret: str) -> str:
    """Return the hex HMAC-SHA256 of a raw body."""
    return hmac.new(app_secret.encode(), body, hashlib.sha256).hexdigest()


def answer_handshake(request: WireRequest, *, verify_token: str) -> WireResponse | None:
    """Return the challenge, if a GET names the token agreed upon; None for anything else."""
    query = dict(parse_qsl(urlsplit(request.url).query))
    if request.method != "GET" or query.get("hub.mode") != "subscribe":
        return None
    if not hmac.compare_digest(query.get("hub.verify_token", "").encode(), verify_token.encode()):
        return None
    challenge = query.get("hub.challenge", "")
    if not _CHALLENGE.fullmatch(challenge):
        return None
    return WireResponse(status=200, headers={"content-type": "text/plain"}, body=challenge.encode())


def _template(message: OutgoingMessage) -> dict[str, object]:
    template = message.template
    assert template is not None
    found: dict[str, object] = {"name": template.name, "language": {"code": template.language}}
    if template.values:
        parameters = [{"type": "text", "text": value} for value in template.values]
        found["components"] = [{"type": "body", "parameters": parameters}]
    return found


def _judge_error(error: Mapping[str, object], response: WireResponse) -> MessageAnswer:
    code = error.get("code")
    if not isinstance(code, int) or code in UNCERTAIN_ERRORS:
        return unknown(Reason.PROVIDER_DOWN, word(str(response.status), str(code)))
    reason = reason_of(code)
    if response.status >= 500 and reason is Reason.OTHER:
        return unknown(Reason.PROVIDER_DOWN, f"{response.status} {code}")
    return rejected(reason, f"{response.status} {code}")


def reason_of(code: int) -> Reason:
    """Return what an error code means in our words."""
    if any(code in codes for codes in INVALID_ERRORS):
        return Reason.INVALID_REQUEST
    return ERRORS.get(code, Reason.OTHER)


def _hints(body: bytes, number: str) -> Iterator[DeliveryHint]:
    for entry in msgspec.json.decode(body, type=_Webhook).entry:
        for change in entry.changes:
            if change.field == "messages":
                value = msgspec.json.decode(change.value, type=_Value)
                if value.metadata.phone_number_id == number:
                    yield from map(_hint, value.statuses)


def _hint(status: _Status) -> DeliveryHint:
    state = STATES.get(status.status, DeliveryState.UNDER_WAY)
    failed = state is DeliveryState.FAILED
    code = status.errors[0].code if failed and status.errors else None
    return DeliveryHint(
        provider_ref=status.id,
        state=state,
        reason=(Reason.OTHER if code is None else reason_of(code)) if failed else None,
        reference=status.biz_opaque_callback_data,
        code=word(status.status, "" if code is None else str(code)),
    )
