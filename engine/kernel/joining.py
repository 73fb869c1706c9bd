"""How an adapter is joined to a counterparty: what it is entered with, and what it is given to speak by.

A package offers a port by an entry point of the group `akiba.<Port>`, whose object answers `Joins`.
"""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Annotated, Any, Protocol, TypeVar

from msgspec import Meta, Struct

from engine.kernel.clock import Clock
from engine.kernel.tokens import Tokens
from engine.kernel.transport import Callback, Transport

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


async def nothing_received(callback: Callback) -> None:
    """Refuse what comes in: this counterparty sends nothing by itself over a connection.

    Raises:
        NotImplementedError: always.
    """
    raise NotImplementedError(callback.method)


@dataclass(frozen=True, slots=True)
class Means:
    """What an adapter speaks by.

    An adapter with a connection of its own, which no HTTP request goes over, hands it to `recorded` as a transport and
    speaks by what that returns, so that its exchanges are kept and marked as all are; gives what comes in by itself to
    `received`, which returns once it is kept; and lets `leaving` close the connection when the process ends.
    """

    transport: Transport
    tokens: Tokens
    clock: Clock
    recorded: Callable[[Transport], Transport] = lambda transport: transport
    received: Callable[[Callback], Awaitable[None]] = nothing_received
    leaving: AsyncExitStack = field(default_factory=AsyncExitStack)


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
