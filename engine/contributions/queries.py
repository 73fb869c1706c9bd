"""SQL of the contributions: suspense, files that came, and the laws they keep."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from engine.ledger.rules import Law
from engine.runtime.database import driver


@dataclass(frozen=True, slots=True)
class SuspenseRow:
    """A payment in suspense, with its sealed document."""

    event_id: int
    amount: int
    received_on: date
    reason: str
    channel: str
    document: bytes
    resolved: bool


async def add_suspense(session: AsyncSession, rows: Sequence[tuple[int, int, date, str, str, bytes]]) -> None:
    """Keep what came: (event_id, amount, received_on, reason, channel, sealed document) of each suspended payment."""
    connection = await driver(session)
    await connection.execute(
        """insert into suspense (tenant_id, event_id, amount, received_on, reason, channel, document)
           select %s, * from unnest(%s::bigint[], %s::bigint[], %s::date[], %s::text[], %s::text[], %s::bytea[])""",
        (session.info["tenant_id"], *(list(column) for column in zip(*rows, strict=True))),
    )


_SUSPENSE = """
select s.event_id, s.amount, s.received_on, s.reason, s.channel, s.document, r.event_id is not null as resolved
  from suspense s left join suspense_resolutions r on r.tenant_id = s.tenant_id and r.event_id = s.event_id
"""


async def list_suspense(session: AsyncSession, *, after: int = 0, most: int = 100) -> list[SuspenseRow]:
    """Return unresolved payments after event `after`, oldest first."""
    rows = await session.execute(
        text(f"{_SUSPENSE} where r.event_id is null and s.event_id > :after order by s.event_id limit :most"),
        {"after": after, "most": most},
    )
    return [SuspenseRow(*row) for row in rows]


async def find_suspense(session: AsyncSession, event_id: int) -> SuspenseRow | None:
    """Return one suspended payment, resolved or not."""
    row = (await session.execute(text(f"{_SUSPENSE} where s.event_id = :e"), {"e": event_id})).first()
    return None if row is None else SuspenseRow(*row)


async def add_resolution(session: AsyncSession, event_id: int, *, resolved_event: int, member_id: int) -> None:
    """Say which member a suspended payment was given to, by which event."""
    await session.execute(
        text(
            "insert into suspense_resolutions (tenant_id, event_id, resolved_event, member_id) values (:t, :e, :r, :m)"
        ),
        {"t": session.info["tenant_id"], "e": event_id, "r": resolved_event, "m": member_id},
    )


async def add_file(
    session: AsyncSession, *, name: str, sha256: str, actor: str, imported_at: datetime, document: bytes
) -> datetime | None:
    """Keep a file as it came; return when the same bytes first came, None if now."""
    added = await session.scalar(
        text("""insert into contribution_files (tenant_id, imported_at, sha256, name, actor, document)
                values (:t, :at, :sha, :name, :actor, :document)
                on conflict (tenant_id, sha256) do nothing returning imported_at"""),
        {
            "t": session.info["tenant_id"],
            "at": imported_at,
            "sha": sha256,
            "name": name,
            "actor": actor,
            "document": document,
        },
    )
    if added is not None:
        return None
    first: datetime = await session.scalar(
        text("select imported_at from contribution_files where sha256 = :sha"), {"sha": sha256}
    )
    return first


LAWS: tuple[Law, ...] = (
    Law(
        "suspense-is-kept",
        "every suspended payment's document is kept, and the suspense accounts hold what is not resolved",
        """
        with held as (
          select s.channel, sum(s.amount)::bigint as amount from suspense s
           where not exists (select from suspense_resolutions r where r.event_id = s.event_id) group by s.channel),
        booked as (
          select c.party as channel, sum(case when t.credit = c.code then t.amount else -t.amount end)::bigint as amount
            from chart c join transfers t on t.credit = c.code or t.debit = c.code
           where c.kind = 'suspense' group by c.party)
        select format('suspense of %s', channel), coalesce(h.amount, 0)::text, coalesce(b.amount, 0)::text
          from held h full join booked b using (channel) where coalesce(h.amount, 0) <> coalesce(b.amount, 0)
        """,
    ),
    Law(
        "contributions-add-up",
        "the transfers of a contribution add up to what its event says was paid",
        """
        select format('event %s', e.event_id), e.body ->> 'amount', coalesce(sum(t.amount), 0)::text
          from events e left join transfers t on t.member_id = e.member_id and t.event_id = e.event_id
         where e.kind in (10, 11)
         group by e.event_id, e.body having coalesce(sum(t.amount), 0)::text <> (e.body ->> 'amount')
        """,
    ),
)
