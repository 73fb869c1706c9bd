"""Standard Webhooks 1.0 on the wire: symmetric signatures (`v1`), and what an endpoint's answer means. Pure.

Source: https://github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence

from engine.kernel.transport import WireRequest, WireResponse
from engine.webhooks.ports import WebhookAnswer, WebhookMessage, WebhookState

SECRET_PREFIX = "whsec_"  # noqa: S105 - what secrets begin with, no secret
KEY_BYTES = range(24, 65)
TOLERANCE_SECONDS = 300
"""How far a message's time may lie from the reader's."""


class SignatureFalse(Exception):
    """A message does not prove that it comes from whoever holds the secret, or it is not of now."""


def key_of(secret: str) -> bytes:
    """Return the bytes that a secret (`whsec_` and base64) stands for.

    Raises:
        ValueError: it has another form, or not 24 to 64 bytes.
    """
    if not secret.startswith(SECRET_PREFIX):
        raise ValueError(f"a secret begins with {SECRET_PREFIX}")
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError("a secret is base64") from error
    if len(key) not in KEY_BYTES:
        raise ValueError("a secret has 24 to 64 bytes")
    return key


def sign(secret: str, *, message_id: str, timestamp: int, body: bytes) -> str:
    """Return the signature of `body` as `message_id` at `timestamp` (Unix seconds), as the header carries it.

    Raises:
        ValueError: the secret is none.
    """
    signed = b".".join((message_id.encode(), str(timestamp).encode(), body))
    return "v1," + base64.b64encode(hmac.digest(key_of(secret), signed, hashlib.sha256)).decode()


def write_request(message: WebhookMessage, secrets: Sequence[str]) -> WireRequest:
    """Return the request that carries a message, signed by each of `secrets`.

    Raises:
        ValueError: there is no secret, one is none, or the id has a full stop: the signed text could be read two ways.
    """
    if not secrets or "." in message.message_id:
        raise ValueError("a message needs a secret, and an id without a full stop")
    signatures = (
        sign(secret, message_id=message.message_id, timestamp=message.sent_at, body=message.body) for secret in secrets
    )
    return WireRequest(
        method="POST",
        url=message.url,
        headers={
            "content-type": "application/json",
            "webhook-id": message.message_id,
            "webhook-timestamp": str(message.sent_at),
            "webhook-signature": " ".join(signatures),
        },
        body=message.body,
    )


def verify(headers: Mapping[str, str], body: bytes, secret: str, *, now: int) -> str:
    """Return the id of a message that was signed by `secret`; header names are in lower case, `now` is in Unix seconds.

    Raises:
        SignatureFalse: a header is missing or unreadable, no signature is true, or the time is too far from `now`.
    """
    message_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not message_id or not timestamp.isascii() or not timestamp.isdigit():
        raise SignatureFalse("a header is missing or unreadable")
    if abs(int(timestamp) - now) > TOLERANCE_SECONDS:
        raise SignatureFalse("the message is not of now")
    expected = sign(secret, message_id=message_id, timestamp=int(timestamp), body=body).encode()
    sent = headers.get("webhook-signature", "").encode().split(b" ")
    if not any(hmac.compare_digest(one, expected) for one in sent):
        raise SignatureFalse("no signature is true")
    return message_id


def read_answer(response: WireResponse) -> WebhookAnswer:
    """Return what an answer means: any 2xx takes the message, 410 ends the endpoint, all else has not taken it."""
    code = str(response.status)
    if 200 <= response.status < 300:
        return WebhookAnswer(state=WebhookState.TAKEN, code=code)
    if response.status == 410:
        return WebhookAnswer(state=WebhookState.GONE, code=code)
    wait = response.headers.get("retry-after", "")
    seconds = int(wait) if wait.isascii() and wait.isdigit() and len(wait) <= 8 else 0
    return WebhookAnswer(state=WebhookState.FAILED, code=code, wait_seconds=seconds)
