"""SQL of enrolment: what was answered before, and how many have joined."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from engine.runtime.database import driver


@dataclass(frozen=True, slots=True)
class EarlierEnrolment:
    """An enrolment that holds a claim."""

    member_id: int
    body_digest: int


@dataclass(frozen=True, slots=True)
class MemberCount:
    """How many members a product has in one group."""

    product: str
    group_code: str
    status: str
    count: int


@dataclass(frozen=True, slots=True)
class MemberRow:
    """A member in a list."""

    member_id: int
    enrolled_event: int
    product: str
    group_code: str
    joined_on: date
    status: str


async def earlier_enrolments(session: AsyncSession, claims: Sequence[UUID]) -> dict[UUID, EarlierEnrolment]:
    """Return the enrolments that hold those claims, committed or this transaction's own."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select c.digest, m.member_id, e.body_digest
             from unnest(%b::uuid[]) w(digest)
             join claims c on c.digest = w.digest
             join members m on m.enrolled_event = c.event_id
             join events e on e.member_id = m.member_id and e.event_id = m.enrolled_event""",
        (list(claims),),
    )
    return {row[0]: EarlierEnrolment(row[1], row[2]) for row in await cursor.fetchall()}


async def counts(session: AsyncSession) -> list[MemberCount]:
    """Return how many members there are by product, group and status."""
    rows = await session.execute(
        text("""select product, group_code, status, count(*) as n from members
                 group by product, group_code, status order by product, group_code, status""")
    )
    return [MemberCount(row.product, row.group_code, row.status, row.n) for row in rows]


async def newest(session: AsyncSession, *, before: int, most: int) -> list[MemberRow]:
    """Return members in the order they enrolled, the latest first, from before an event on."""
    rows = await session.execute(
        text("""select member_id, enrolled_event, product, group_code, joined_on, status from members
                 where tenant_id = :t and enrolled_event < :before order by enrolled_event desc limit :most"""),
        {"t": session.info["tenant_id"], "before": before, "most": most},
    )
    return [MemberRow(*row) for row in rows]
