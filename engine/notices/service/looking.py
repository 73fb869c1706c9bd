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
