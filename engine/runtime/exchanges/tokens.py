"""Access tokens of counterparties, fetched once however many want one."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID

from engine.kernel.ids import claim_digest
from engine.kernel.tokens import Token
from engine.kernel.transport import Unanswered, Unreachable
from engine.runtime.database import Database
from engine.runtime.exchanges import queries
from engine.runtime.sealing import seal, unseal
from engine.runtime.secrets import KeyStore

_TABLE = "access_tokens"

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


class SharedTokens:
    """Tokens for all processes of a tenant, in the database, sealed; fetched by one of them at a time."""

    def __init__(self, db: Database, keys: KeyStore, tenant_id: int) -> None:
        """Keep the tenant's tokens."""
        self._db, self._keys, self._tenant_id = db, keys, tenant_id
        self._locks: dict[str, asyncio.Lock] = {}

    async def get(self, name: str, fetch: Callable[[], Awaitable[Token]]) -> str:
        """Return the token in force; see `engine.kernel.tokens.Tokens`."""
        digest = claim_digest(self._tenant_id, "access-token", name)
        # One caller of this process at a time goes to the database: the others would each hold a connection, waiting.
        async with self._locks.setdefault(name, asyncio.Lock()):
            async with self._db.unit_of_work(self._tenant_id) as session:
                if sealed := await queries.find_token(session, digest):
                    return self._open(digest, sealed)
            async with self._db.unit_of_work(self._tenant_id) as session:
                await queries.lock_token(session, digest)
                if sealed := await queries.find_token(session, digest):
                    return self._open(digest, sealed)
                token = await fetched(fetch)
                document = seal(self._keys, self._tenant_id, _TABLE, digest, token.value.encode())
                await queries.store_token(session, digest, document, useful_seconds(token.seconds))
                return token.value

    async def discard(self, name: str, value: str) -> None:
        """Forget the token `value`; one that is newer stays."""
        digest = claim_digest(self._tenant_id, "access-token", name)
        async with self._db.unit_of_work(self._tenant_id) as session:
            await queries.lock_token(session, digest)
            sealed = await queries.find_token(session, digest)
            if sealed and self._open(digest, sealed) == value:
                await queries.expire_token(session, digest)

    def _open(self, digest: UUID, sealed: bytes) -> str:
        return unseal(self._keys, self._tenant_id, _TABLE, digest, sealed).decode()


async def fetched(fetch: Callable[[], Awaitable[Token]]) -> Token:
    """Return a token; without one nothing can have been asked, so a lost answer is `Unreachable` here."""
    try:
        return await fetch()
    except Unanswered as error:
        raise Unreachable("no token") from error


def useful_seconds(seconds: int) -> float:
    """Return for how long a token that lives `seconds` is used."""
    return max(seconds - SPARE_SECONDS, seconds / 2)
