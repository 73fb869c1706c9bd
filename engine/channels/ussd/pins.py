"""PINs of members on telephones: kept as argon2id hashes of what the tenant's key makes of them, locked after three wrong ones.

A PIN has few digits, so the hash alone would be tried out at once by whoever reads the table; without the key it cannot.
"""

import asyncio
from enum import StrEnum
from uuid import UUID

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from sqlalchemy.ext.asyncio import AsyncSession

from engine.channels.ussd import queries
from engine.channels.ussd.rules import WRONG_PINS_MAX
from engine.runtime.key_file import FileKeyStore
from engine.runtime.secrets import keyed_digest

_hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)


class Tried(StrEnum):
    """What became of a PIN that was typed."""

    RIGHT = "right"
    WRONG = "wrong"
    LOCKED_NOW = "locked-now"
    LOCKED = "locked"


async def hashed(keys: FileKeyStore, tenant_id: int, pin: str) -> str:
    """Return what is kept of a PIN."""
    return await asyncio.to_thread(_hasher.hash, _peppered(keys, tenant_id, pin))


async def try_pin(
    session: AsyncSession, keys: FileKeyStore, tenant_id: int, phone: UUID, member_id: int, pin: str
) -> Tried:
    """Check a PIN, and count in the session's transaction how often it was wrong in a row."""
    known = await queries.lock_pin(session, phone, member_id)
    if known is None:
        return Tried.WRONG
    if known.is_locked:
        return Tried.LOCKED
    try:
        await asyncio.to_thread(_hasher.verify, known.hash, _peppered(keys, tenant_id, pin))
    except VerifyMismatchError:
        wrong = known.wrong + 1
        is_locked = wrong >= WRONG_PINS_MAX
        await queries.count_pin(session, phone, member_id, wrong=wrong, is_locked=is_locked)
        return Tried.LOCKED_NOW if is_locked else Tried.WRONG
    if known.wrong:
        await queries.count_pin(session, phone, member_id, wrong=0, is_locked=False)
    return Tried.RIGHT


def _peppered(keys: FileKeyStore, tenant_id: int, pin: str) -> bytes:
    return keyed_digest(keys.tenant(tenant_id).digest_key, "ussd-pin", pin)
