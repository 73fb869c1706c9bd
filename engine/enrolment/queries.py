"""SQL of enrolment: what was answered before."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from engine.runtime.database import driver


@dataclass(frozen=True, slots=True)
class EarlierEnrolment:
    """An enrolment that holds a claim."""

    member_id: int
    body_digest: int


async def earlier_enrolments(session: AsyncSession, claims: Sequence[UUID]) -> dict[UUID, EarlierEnrolment]:
    """Return the enrolments that hold those claims, committed or this transaction's own."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select c.digest, m.member_id, e.body_digest
             from unnest(%b::uuid[]) w(digest)
            cross join lateral (select digest, event_id from claims where digest = w.digest limit 1) c
            cross join lateral (
              select member_id, enrolled_event from members where enrolled_event = c.event_id limit 1) m
            cross join lateral (
              select body_digest from events where member_id = m.member_id and event_id = m.enrolled_event limit 1) e""",
        (list(claims),),
    )
    return {row[0]: EarlierEnrolment(row[1], row[2]) for row in await cursor.fetchall()}
