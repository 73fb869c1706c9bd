"""SQL of deaths that registers tell of."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from engine.enrolment.rules import DeathState
from engine.ledger.rules import Law
from engine.runtime.database import driver

_COLUMNS = "notice_id, registry, record, member_id, died_on, state, score_bp, why, proposed_by, received_at, document"


@dataclass(frozen=True, slots=True)
class DeathRow:
    """A death as a register has it. `document` is sealed for (registry, record)."""

    notice_id: int
    registry: str
    record: str
    member_id: int | None
    died_on: date | None
    state: DeathState
    score_bp: int | None
    why: str
    proposed_by: str
    received_at: datetime
    document: bytes


@dataclass(frozen=True, slots=True)
class DeathDecided:
    """What becomes of a notice."""

    notice_id: int
    state: DeathState
    member_id: int | None = None
    event_id: int | None = None
    score_bp: int | None = None
    why: str = ""
    proposed_by: str = ""
    is_final: bool = False


async def add_notices(
    session: AsyncSession, rows: Sequence[tuple[str, str, date | None, str, bytes]]
) -> dict[tuple[str, str], int]:
    """Write (registry, record, died_on, state, document) that are new; return their numbers."""
    connection = await driver(session)
    cursor = await connection.execute(
        """insert into death_notices (tenant_id, registry, record, died_on, state, document)
           select %s, * from unnest(%b::text[], %b::text[], %b::date[], %b::text[], %b::bytea[]) w order by 1, 2
           on conflict (tenant_id, registry, record) do nothing returning registry, record, notice_id""",
        (session.info["tenant_id"], *([row[n] for row in rows] for n in range(5))),
    )
    return {(row[0], row[1]): row[2] for row in await cursor.fetchall()}


async def lock_records(session: AsyncSession, records: Sequence[tuple[str, str]]) -> list[DeathRow]:
    """Return the notices of those (registry, record), locked until the transaction ends."""
    connection = await driver(session)
    cursor = await connection.execute(
        f"""select {_COLUMNS} from death_notices
             where tenant_id = %s and (registry, record) in (select * from unnest(%b::text[], %b::text[]))
             order by notice_id for update""".encode(),
        (session.info["tenant_id"], [one for one, _ in records], [one for _, one in records]),
    )
    return [_row(row) for row in await cursor.fetchall()]


async def lock_notice(session: AsyncSession, notice_id: int) -> DeathRow | None:
    """Return the notice of that number, locked until the transaction ends."""
    connection = await driver(session)
    cursor = await connection.execute(
        f"select {_COLUMNS} from death_notices where tenant_id = %s and notice_id = %s for update".encode(),
        (session.info["tenant_id"], notice_id),
    )
    row = await cursor.fetchone()
    return None if row is None else _row(row)


async def list_notices(session: AsyncSession, states: Sequence[DeathState], most: int) -> list[DeathRow]:
    """Return the notices that stand so, the oldest first."""
    connection = await driver(session)
    cursor = await connection.execute(
        f"""select {_COLUMNS} from death_notices where tenant_id = %s and state = any(%s)
             order by received_at, notice_id limit %s""".encode(),
        (session.info["tenant_id"], [one.value for one in states], most),
    )
    return [_row(row) for row in await cursor.fetchall()]


async def store_decided(session: AsyncSession, decided: Sequence[DeathDecided], now: datetime) -> None:
    """Store what becomes of notices, in one statement."""
    connection = await driver(session)
    await connection.execute(
        """update death_notices d
              set state = w.state, member_id = w.member_id, event_id = w.event_id, score_bp = w.score_bp, why = w.why,
                  proposed_by = w.proposed_by, decided_at = case when w.is_final then %s else d.decided_at end
             from unnest(%b::bigint[], %b::text[], %b::bigint[], %b::bigint[], %b::smallint[], %b::text[], %b::text[], %b::bool[])
                  w(notice_id, state, member_id, event_id, score_bp, why, proposed_by, is_final)
            where d.tenant_id = %s and d.notice_id = w.notice_id""",
        (
            now,
            [one.notice_id for one in decided],
            [one.state.value for one in decided],
            [one.member_id for one in decided],
            [one.event_id for one in decided],
            [one.score_bp for one in decided],
            [one.why for one in decided],
            [one.proposed_by for one in decided],
            [one.is_final for one in decided],
            session.info["tenant_id"],
        ),
    )


async def add_candidates(session: AsyncSession, found: Sequence[tuple[int, int, int]]) -> None:
    """Keep members that notices may be of, as (notice_id, member_id, score_bp)."""
    connection = await driver(session)
    await connection.execute(
        """insert into death_candidates (tenant_id, notice_id, member_id, score_bp)
           select %s, * from unnest(%b::bigint[], %b::bigint[], %b::smallint[]) w on conflict do nothing""",
        (session.info["tenant_id"], *([row[n] for row in found] for n in range(3))),
    )


async def candidates(session: AsyncSession, notice_ids: Sequence[int]) -> dict[int, list[tuple[int, int]]]:
    """Return (member_id, score_bp) of whom each of those notices may be of, the likeliest first."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select notice_id, member_id, score_bp from death_candidates where tenant_id = %s and notice_id = any(%b::bigint[])
            order by notice_id, score_bp desc, member_id""",
        (session.info["tenant_id"], list(notice_ids)),
    )
    found: dict[int, list[tuple[int, int]]] = {}
    for notice_id, member_id, score_bp in await cursor.fetchall():
        found.setdefault(notice_id, []).append((member_id, score_bp))
    return found


async def suspended(session: AsyncSession, member_ids: Sequence[int]) -> set[int]:
    """Return those of the members whose death is confirmed and not reversed."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select distinct d.member_id from unnest(%b::bigint[]) w(member_id)
             join death_notices d on d.member_id = w.member_id
            where d.state in ('confirmed', 'reversal-proposed')""",
        (list(member_ids),),
    )
    return {row[0] for row in await cursor.fetchall()}


async def confirmed(
    session: AsyncSession, member_id: int, *, told_last: str
) -> tuple[DeathState, date | None, str] | None:
    """Return how a member's death stands, its day and who told of it, where it is confirmed and not reversed.

    What nobody doubts comes first, then what others than `told_last` have told.
    """
    connection = await driver(session)
    cursor = await connection.execute(
        """select state, died_on, registry from death_notices where member_id = %s and state in ('confirmed', 'reversal-proposed')
            order by state, registry = %s, died_on, notice_id limit 1""",
        (member_id, told_last),
    )
    row = await cursor.fetchone()
    return None if row is None else (DeathState(row[0]), row[1], row[2])


async def living(session: AsyncSession, product: str, after: int, most: int) -> list[int]:
    """Return active members of a product whose death is not confirmed, by their ids from `after` on."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select m.member_id from members m
            where m.tenant_id = %s and m.product = %s and m.status = 'active' and m.member_id > %s
              and not exists (select from death_notices d where d.member_id = m.member_id
                                 and d.state in ('confirmed', 'reversal-proposed'))
            order by m.member_id limit %s""",
        (session.info["tenant_id"], product, after, most),
    )
    return [row[0] for row in await cursor.fetchall()]


def _row(row: Sequence[Any]) -> DeathRow:
    notice_id, registry, record, member_id, died_on, state, *rest = row
    return DeathRow(notice_id, registry, record, member_id, died_on, DeathState(state), *rest)


LAWS: tuple[Law, ...] = (
    Law(
        "deaths-are-in-the-books",
        "a member's death that counts, or was reversed, is an event of that member, and the last word on their life says so",
        """select format('notice %s', d.notice_id), w.expected, coalesce(e.kind::text, 'no event') || ', ' || coalesce(a.value, 'no word')
             from death_notices d
            cross join lateral (select case d.state when 'confirmed' then '113, deceased' when 'reversal-proposed' then '114, deceased'
                                                    else '115, ' || case when exists (
                                                      select from death_notices o where o.member_id = d.member_id
                                                         and o.state in ('confirmed', 'reversal-proposed')) then 'deceased' else 'alive' end
                                       end as expected) w
             left join events e on e.member_id = d.member_id and e.event_id = d.event_id
             left join lateral (select value from member_attributes m where m.member_id = d.member_id and m.attribute = 'life'
                                 order by m.event_id desc limit 1) a on true
            where d.state in ('confirmed', 'reversal-proposed', 'reversed')
              and (coalesce(e.kind::text, 'no event') || ', ' || coalesce(a.value, 'no word')) is distinct from w.expected""",
    ),
)
