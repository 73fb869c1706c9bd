"""What was told to members, and what it came to."""

from datetime import date
from enum import StrEnum

from sqlalchemy.ext.asyncio import AsyncSession

from engine.identity import service as identity
from engine.identity.errors import UnknownMember
from engine.notices import queries
from engine.notices.queries import CostRow, MessageRow
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant


class MessageState(StrEnum):
    """How a message stands: as it was sent, or as reports say."""

    QUEUED = "queued"
    UNKNOWN = "unknown"
    SENT = "sent"
    REFUSED = "refused"
    DELIVERED = "delivered"
    READ = "read"
    FAILED = "failed"


async def messages_of(session: AsyncSession, keys: FileKeyStore, number: str, *, most: int = 200) -> list[MessageRow]:
    """Return a member's messages, the newest first; no text and no telephone number.

    Raises:
        UnknownMember: there is no member of that number.
    """
    found = (await identity.members_by_number(session, keys, [number])).get(number)
    if found is None:
        raise UnknownMember
    return await queries.messages_of(session, found.member_id, most=most)


async def list_messages(
    session: AsyncSession, keys: FileKeyStore, *, number: str = "", state: MessageState | None = None, most: int = 100
) -> list[MessageRow]:
    """Return messages, the newest first: a member's, or everybody's where no number is given.

    Raises:
        UnknownMember: there is no member of that number.
    """
    if not number:
        return await queries.list_messages(session, state=state or "", most=most)
    theirs = await messages_of(session, keys, number, most=most)
    return [one for one in theirs if state in (None, one.state)]


async def waiting(session: AsyncSession) -> int:
    """Return how many messages wait to be sent, or for an answer about them."""
    return await queries.waiting(session)


async def costs(session: AsyncSession, tenant: Tenant, start: date, end: date) -> list[CostRow]:
    """Return what the messages queued from `start` to `end` came to, both days in the scheme's time zone included."""
    return await queries.costs(session, start, end, tenant.time_zone)


async def total_of(session: AsyncSession, member_id: int) -> int:
    """Return what a member holds now, in smallest units of the scheme's money; units at the last accepted price, rounded down."""
    return await queries.total_of(session, member_id)


async def lessons_wanted(session: AsyncSession, member_id: int) -> int:
    """Return how many lessons a member has asked for by telephone."""
    return await queries.lessons_wanted(session, member_id)
