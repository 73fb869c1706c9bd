"""What partners are told: messages, what became of each, when one is sent again, and which addresses may be told. Pure."""

import re
from datetime import timedelta
from enum import StrEnum
from urllib.parse import urlsplit

from msgspec import Struct

from engine.kernel.addresses import is_address_open, is_loopback

BODY_BYTES_MAX = 20_000
"""A message's body, in bytes. Source: Standard Webhooks 1.0, "Payload size"."""

RETRY_AFTER: tuple[timedelta, ...] = tuple(
    timedelta(seconds=seconds) for seconds in (0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
)
"""How long after the attempt before it each attempt follows. Source: Standard Webhooks 1.0, "Deliverability"."""

JITTER = 0.2
"""By how large a part of itself a wait may be longer."""


class WebhookState(StrEnum):
    """What a partner's endpoint said: TAKEN ends a message, GONE the endpoint; FAILED was not taken."""

    TAKEN = "taken"
    FAILED = "failed"
    GONE = "gone"


class WebhookMessage(Struct, frozen=True, kw_only=True):
    """One message to one endpoint. `message_id` is the same over all attempts; `sent_at`, in Unix seconds, is each one's."""

    message_id: str
    url: str
    body: bytes
    sent_at: int


class WebhookAnswer(Struct, frozen=True, kw_only=True):
    """What became of one attempt. `code` is the status; `wait_seconds` how long the endpoint asks to be left alone."""

    state: WebhookState
    code: str
    wait_seconds: int = 0


def next_wait(attempts: int, luck: float, asked_seconds: int = 0) -> timedelta | None:
    """Return how long after the last of `attempts` the next one follows; None where there is none.

    Args:
        attempts: how many there were.
        luck: from 0 up to 1: where in the jitter this wait lies.
        asked_seconds: what the endpoint asked for; waits are longer for it, up to a day, never shorter.
    """
    if attempts >= len(RETRY_AFTER):
        return None
    wait = RETRY_AFTER[attempts] * (1 + JITTER * luck)
    return max(wait, timedelta(seconds=min(asked_seconds, 86_400)))


def url_problem(url: str, *, is_local_allowed: bool = False) -> str:
    """Return why partners cannot be told at `url`, in a few words, or "" where they can.

    It must be https, and a host that is written as an address one of the internet's; what a name leads to is looked at
    whenever a message is sent. `is_local_allowed`: this machine may be told too, by plain http if need be.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return "not-a-url"
    if len(url) > 500 or not re.fullmatch(r"[\x21-\x7e]+", url) or not host or "\\" in url:
        return "not-a-url"
    if parts.username is not None or parts.password is not None or parts.fragment:
        return "credentials-or-fragment"
    is_local = is_local_allowed and is_loopback(host)
    if parts.scheme != "https" and not (parts.scheme == "http" and is_local):
        return "not-https"
    return "" if is_local or _may_be_open(host) else "private-address"


def _may_be_open(host: str) -> bool:
    try:
        return is_address_open(host)
    except ValueError:
        # Resolvers take "127.1" and "0x7f000001" for addresses; no name of a host on the internet ends in a number.
        is_number = re.fullmatch(r"(0x[0-9a-f]*|\d+)", host.rstrip(".").rpartition(".")[2])
        return not is_number and host != "localhost"
