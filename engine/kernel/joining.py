"""How an adapter is joined to a counterparty: what it is entered with, and what it is given to speak by.

A package offers a port by an entry point of the group `akiba.<Port>`, whose object answers `Joins`.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Protocol, TypeVar

from msgspec import Meta, Struct

from engine.kernel.clock import Clock
from engine.kernel.tokens import Tokens
from engine.kernel.transport import Transport

Port_co = TypeVar("Port_co", covariant=True)

BaseUrl = Annotated[
    str,
    Meta(
        pattern=r"^(https://[^/?#@\s]+|http://(127\.0\.0\.1|localhost)(:\d+)?)(/[^?#\s]*[^/?#\s])?$",
        description="an https address without a slash at its end; http on this machine alone",
    ),
]
Given = Annotated[str, Meta(min_length=1, max_length=4096)]
"""A value that must be there."""


@dataclass(frozen=True, slots=True)
class Means:
    """What an adapter speaks by."""

    transport: Transport
    tokens: Tokens
    clock: Clock


class Joins(Protocol[Port_co]):
    """Makes one port's adapter out of what a counterparty is entered with.

    `credentials` is the shape of the counterparty's table in the secrets file; unknown keys are refused there.
    """

    @property
    def credentials(self) -> type[Struct]:
        """Return the shape."""
        ...

    def join(self, credentials: Any, means: Means) -> Port_co:
        """Return the adapter; `credentials` is of the shape."""
        ...
