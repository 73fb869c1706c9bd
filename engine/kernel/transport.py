"""How adapters speak to the outside: bytes out, bytes in. An adapter is given a `Transport` and imports no HTTP client."""

from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct


class WireRequest(Struct, frozen=True, kw_only=True):
    """One request, exactly as it goes out. Header names are compared without case.

    `is_secret` says that it, or its answer, carries a credential beyond its headers: no record of either is kept. `acts`
    says of a GET that it does something, as those of some gateways do: once sent, it is not sent again blindly.
    An answer of more than `answer_bytes_max` is not taken.
    """

    method: str
    url: str
    headers: Mapping[str, str] = {}
    body: bytes = b""
    is_secret: bool = False
    acts: bool = False
    answer_bytes_max: int = 8 * 1024 * 1024


class WireResponse(Struct, frozen=True, kw_only=True):
    """One answer, exactly as it came in; header names are in lower case."""

    status: int
    headers: Mapping[str, str] = {}
    body: bytes = b""


class Callback(Struct, frozen=True, kw_only=True):
    """A request that the outside made to us, exactly as it came in; header names are in lower case.

    `query` is what stood behind the ? of the address. What comes by a connection that we hold has its protocol's word as method.
    """

    method: str
    headers: Mapping[str, str] = {}
    body: bytes = b""
    query: str = ""


class Unreachable(Exception):
    """Not one byte was sent: the other side cannot have acted. The same request may be sent again."""


class Unanswered(Exception):
    """The request went out, at least in part, and no whole answer came: what the other side did is unknown."""


class TooLong(Unanswered):
    """The answer is longer than any that is taken."""


class Transport(Protocol):
    """Sends requests to one counterparty. Implementations verify certificates, set time-outs and never retry."""

    async def send(self, request: WireRequest) -> WireResponse:
        """Return the answer, whatever its status.

        Raises:
            Unreachable: nothing was sent.
            Unanswered: the outcome is unknown; TooLong where an answer came that is too long.
        """
        ...
