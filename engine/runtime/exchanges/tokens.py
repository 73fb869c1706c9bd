"""Access tokens of counterparties, fetched once however many want one."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from engine.kernel.tokens import Token
from engine.kernel.transport import Unanswered, Unreachable

SPARE_SECONDS = 20
"""A token is renewed this long before its end, or at half of its life if that is shorter."""


@dataclass(frozen=True, slots=True)
class KeptToken:
    """A token and when, by a clock that only goes forward, it is no longer used."""

    value: str
    until: float


class ProcessTokens:
    """Tokens for the callers of one process."""

    def __init__(self) -> None:
        self._kept: dict[str, KeptToken] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def get(self, name: str, fetch: Callable[[], Awaitable[Token]]) -> str:
        """Return the token in force; see `engine.kernel.tokens.Tokens`."""
        async with self._locks.setdefault(name, asyncio.Lock()):
            kept = self._kept.get(name)
            if kept is None or kept.until <= time.monotonic():
                token = await fetched(fetch)
                kept = self._kept[name] = KeptToken(token.value, time.monotonic() + useful_seconds(token.seconds))
            return kept.value

    async def discard(self, name: str, value: str) -> None:
        """Forget the token `value`; one that is newer stays."""
        kept = self._kept.get(name)
        if kept is not None and kept.value == value:
            del self._kept[name]


async def fetched(fetch: Callable[[], Awaitable[Token]]) -> Token:
    """Return a token; without one nothing can have been asked, so a lost answer is `Unreachable` here."""
    try:
        return await fetch()
    except Unanswered as error:
        raise Unreachable("no token") from error


def useful_seconds(seconds: int) -> float:
    """Return for how long a token that lives `seconds` is used."""
    return max(seconds - SPARE_SECONDS, seconds / 2)
