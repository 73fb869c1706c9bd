"""Closed days are opened again only by two people, from a day on, and the books say so."""

import hashlib
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy.ext.asyncio import AsyncSession

from engine.access.rules import checked_by_other
from engine.closing import queries
from engine.closing.errors import DayNotClosed, ReopeningDecided, UnknownReopening
from engine.closing.queries import ReopeningRow
from engine.kernel.clock import business_date
from engine.kernel.ids import house_member
from engine.ledger import service as ledger
from engine.ledger.rules import Entry, EventKind
from engine.runtime.database import Database, retry_transaction
from engine.tenancy.service import Tenant


@dataclass(frozen=True, slots=True)
class Reopening:
    """A wish to open every closed day from `from_day` on again; `digest` is of exactly that."""

    number: int
    from_day: date
    reason: str
    state: str
    proposed_by: str
    proposed_at: datetime
    decided_by: str
    digest: str


async def list_reopenings(session: AsyncSession) -> list[Reopening]:
    """Return what was asked for, the newest first; at most 100."""
    return [_told(row) for row in await queries.list_reopenings(session)]


async def propose_reopening(
    session: AsyncSession, tenant: Tenant, from_day: date, reason: str, *, actor: str
) -> Reopening:
    """Ask that every closed day from `from_day` on be opened again; nothing is open before a second person agrees.

    Raises:
        DayNotClosed: the day is not closed, or another wish waits.
    """
    if not await queries.is_closed(session, from_day):
        raise DayNotClosed(day=from_day.isoformat())
    now = await ledger.scheme_now(session)
    number = await queries.add_reopening(session, from_day, reason, await ledger.actor_id(session, actor), now)
    if number is None:
        raise DayNotClosed(day=from_day.isoformat())
    row = await queries.hold_reopening(session, number)
    assert row is not None, number
    await _note(session, tenant, EventKind.REOPENING_PROPOSED, row, actor)
    return _told(row)


async def approve_reopening(db: Database, tenant: Tenant, number: int, *, digest: str, actor: str) -> Reopening:
    """Open the days again, as a second person. The next close of business closes them anew, as a version of its own.

    Raises:
        UnknownReopening, ReopeningDecided, SamePerson: see there; a digest of something else is none that waits.
    """

    async def once() -> Reopening:
        async with db.unit_of_work(tenant.tenant_id) as session:
            row = await _decidable(session, number, digest, actor)
            await queries.hold_postings(session)
            event = await _note(session, tenant, EventKind.DAYS_REOPENED, row, actor)
            await queries.reopen_from(session, row.from_day, event)
            return await _decide(session, row, "approved", actor, event)

    return await retry_transaction(once)


async def reject_reopening(db: Database, tenant: Tenant, number: int, *, digest: str, actor: str) -> Reopening:
    """Leave the days closed, as a second person.

    Raises:
        UnknownReopening, ReopeningDecided, SamePerson: as `approve_reopening`.
    """
    async with db.unit_of_work(tenant.tenant_id) as session:
        row = await _decidable(session, number, digest, actor)
        event = await _note(session, tenant, EventKind.REOPENING_REJECTED, row, actor)
        return await _decide(session, row, "rejected", actor, event)


async def _decidable(session: AsyncSession, number: int, digest: str, actor: str) -> ReopeningRow:
    row = await queries.hold_reopening(session, number)
    if row is None or _told(row).digest != digest:
        raise UnknownReopening
    if row.state != "proposed":
        raise ReopeningDecided
    checked_by_other(maker=row.proposed_by, checker=actor)
    return row


async def _decide(session: AsyncSession, row: ReopeningRow, state: str, actor: str, event: int) -> Reopening:
    await queries.decide_reopening(
        session,
        row.reopening_no,
        state=state,
        actor=await ledger.actor_id(session, actor),
        at=await ledger.scheme_now(session),
        event_id=event,
    )
    decided = await queries.hold_reopening(session, row.reopening_no)
    assert decided is not None, row
    return _told(decided)


async def _note(session: AsyncSession, tenant: Tenant, kind: EventKind, row: ReopeningRow, actor: str) -> int:
    (posted,) = await ledger.post(
        session,
        [
            Entry(
                member_id=house_member(tenant.tenant_id),
                kind=kind,
                business_date=business_date(await ledger.scheme_now(session), tenant.time_zone),
                actor=await ledger.actor_id(session, actor),
                pack=tenant.pack_id,
                body={"reopening": row.reopening_no, "from": row.from_day.isoformat(), "reason": row.reason},
            )
        ],
    )
    return posted.event_id


def _told(row: ReopeningRow) -> Reopening:
    said = f"{row.reopening_no}\x1f{row.from_day.isoformat()}\x1f{row.reason}"
    return Reopening(
        number=row.reopening_no,
        from_day=row.from_day,
        reason=row.reason,
        state=row.state,
        proposed_by=row.proposed_by,
        proposed_at=row.proposed_at,
        decided_by=row.decided_by or "",
        digest=hashlib.sha256(said.encode()).hexdigest(),
    )
