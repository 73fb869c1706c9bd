"""What every provider over HTTP has in common: how an answer that is no acceptance is called. Pure."""

import re
from collections.abc import Mapping

from engine.kernel.outcomes import ExchangeState, Reason
from engine.kernel.transport import WireResponse
from engine.notices.ports import MessageAnswer

REFUSED_STATUSES: Mapping[int, Reason] = {
    400: Reason.INVALID_REQUEST,
    401: Reason.AUTH,
    403: Reason.AUTH,
    404: Reason.INVALID_REQUEST,
    422: Reason.INVALID_REQUEST,
    429: Reason.LIMIT,
}
"""Statuses that say the request was not carried out."""


_PERSONAL = re.compile(r"\S+@\S+|\+?[0-9](?:[ -]?[0-9]){6,}")


def word(*parts: str) -> str:
    """Return a provider's own words as they may be kept: short, on one line, with no number or address of a reader."""
    text = " ".join(" ".join(parts).split())
    return _PERSONAL.sub("#", text)[:80]


def rejected(reason: Reason, code: str) -> MessageAnswer:
    """Return that nothing is sent."""
    return MessageAnswer(state=ExchangeState.REJECTED, reason=reason, code=code)


def unknown(reason: Reason, code: str = "") -> MessageAnswer:
    """Return that nobody can tell."""
    return MessageAnswer(state=ExchangeState.UNKNOWN, reason=reason, code=code)


def judge_status(response: WireResponse) -> MessageAnswer | None:
    """Return what the status alone says, or None if it is a success and the body must say.

    A status of the 5xx is no refusal: a gateway answers 502 or 504 for a provider that has acted.
    """
    if response.status in REFUSED_STATUSES:
        return rejected(REFUSED_STATUSES[response.status], f"HTTP {response.status}")
    if not 200 <= response.status < 300:
        return unknown(Reason.PROVIDER_DOWN, f"HTTP {response.status}")
    return None
