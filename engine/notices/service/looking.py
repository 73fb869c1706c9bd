"""What was told to members, and what it came to."""

from datetime import date

from sqlalchemy.ext.asyncio import AsyncSession

from engine.identity import service as identity
from engine.identity.errors import UnknownMember
from engine.notices import queries
from engine.notices.queries import CostRow, MessageRow
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant


async def messages_of(session: AsyncSession, keys: FileKeyStore, number: str, *, most: int = 200) -> list[MessageRow]:
    """Return a member's messages, the newest first; no text and no telephone number.

    Raises:
        UnknownMember: there is no member of that number.
    """
    found = (await identity.members_by_number(session, keys, [number])).get(number)
    if found is None:
        raise UnknownMember
    return await queries.messages_of(session, found.member_id, most=most)


async def costs(session: AsyncSession, tenant: Tenant, start: date, end: date) -> list[CostRow]:
    """Return what the messages queued from `start` to `end` came to, both days in the scheme's time zone included."""
    return await queries.costs(session, start, end, tenant.time_zone)


async def total_of(session: AsyncSession, member_id: int) -> int:
    """Return what a member holds now, in smallest units of the scheme's money; units at the last accepted price, rounded down."""
    return await queries.total_of(session, member_id)


async def lessons_wanted(session: AsyncSession, member_id: int) -> int:
    """Return how many lessons a member has asked for by telephone."""
    return await queries.lessons_wanted(session, member_id)
