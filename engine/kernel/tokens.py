"""Access tokens: kept until they end, fetched by one caller at a time."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from msgspec import Struct

from engine.kernel.transport import Unreachable


class Token(Struct, frozen=True, kw_only=True):
    """A token as a counterparty gave it out, and for how many seconds."""

    value: str
    seconds: int

    def __repr__(self) -> str:
        return f"Token(seconds={self.seconds})"


class TokenRefused(Unreachable):
    """The counterparty gave out no token, so nothing was asked of it. `code` is its own word for why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Tokens(Protocol):
    """Keeps one token a name for everyone who shares it.

    Some counterparties let only the newest token live, so an implementation never fetches two of one name at once.
    """

    async def get(self, name: str, fetch: Callable[[], Awaitable[Token]]) -> str:
        """Return the token in force, fetched if there is none.

        Raises:
            Unreachable: there is none to be had, so what it was wanted for has not been asked.
        """
        ...

    async def discard(self, name: str, value: str) -> None:
        """Forget the token `value`, which was refused; one that is newer stays."""
        ...
