"""SQL of closing: days and their steps, what they ended with, reopenings; and the laws of closed days."""

from dataclasses import dataclass
from datetime import date, datetime

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from engine.closing.rules import CodeBalance
from engine.ledger.rules import Law
from engine.runtime.database import driver


@dataclass(frozen=True, slots=True)
class ReopeningRow:
    """A wish to open days again from `from_day` on, and what a second person decided."""

    reopening_no: int
    from_day: date
    state: str
    reason: str
    proposed_by: str
    proposed_at: datetime
    decided_by: str | None


async def last_closed(session: AsyncSession) -> date | None:
    """Return the last day that is closed, its balances written; None if none is."""
    found: date | None = await session.scalar(
        text("select max(day) from closings where reopened_event = 0 and event_id <> 0")
    )
    return found


async def is_closed(session: AsyncSession, day: date) -> bool:
    """Return whether a day is closed."""
    found = await session.scalar(text("select 1 from closings where day = :day and reopened_event = 0"), {"day": day})
    return found is not None


async def first_recorded(session: AsyncSession) -> datetime | None:
    """Return when the books recorded their first batch."""
    found: datetime | None = await session.scalar(text("select min(recorded_at) from batches"))
    return found


async def version_of(session: AsyncSession, day: date) -> int:
    """Return the version under which a day is being closed, or is closed: one more for each reopening."""
    found = await session.scalar(
        text("select count(*)::int + 1 from closings where day = :day and reopened_event <> 0"), {"day": day}
    )
    assert found is not None
    return int(found)


async def steps_done(session: AsyncSession, day: date, version: int) -> dict[str, object]:
    """Return what the steps of a day that are done said, by step."""
    rows = await session.execute(
        text("select step, report from closing_steps where day = :day and version = :v"), {"day": day, "v": version}
    )
    return {row[0]: row[1] for row in rows}


async def add_step(session: AsyncSession, day: date, version: int, step: str, report: object) -> None:
    """Note a step as done; whoever notes it first is believed."""
    await session.execute(
        text("""insert into closing_steps (tenant_id, day, version, step, report)
                values (:t, :day, :v, :step, cast(:report as jsonb)) on conflict do nothing"""),
        {
            "t": session.info["tenant_id"], "day": day, "v": version, "step": step,
            "report": msgspec.json.encode(report).decode(),
        },
    )  # fmt: skip


async def hold_postings(session: AsyncSession) -> None:
    """Wait for every posting that is on its way, and keep others waiting until the session ends: keep it short."""
    await session.execute(text("select pg_advisory_xact_lock(7104, :t)"), {"t": session.info["tenant_id"]})


async def add_closing(session: AsyncSession, day: date, version: int, until: datetime) -> None:
    """Close a day for postings, once."""
    await session.execute(
        text(
            """insert into closings (tenant_id, day, version, until) values (:t, :day, :v, :until) on conflict do nothing"""
        ),
        {"t": session.info["tenant_id"], "day": day, "v": version, "until": until},
    )


async def hold_unbalanced(session: AsyncSession, day: date, version: int) -> bool:
    """Return whether a closed day has no balances yet; nobody else can write them until the session ends."""
    found = await session.scalar(
        text("select event_id from closings where day = :day and version = :v for update"), {"day": day, "v": version}
    )
    return bool(found == 0)


# What the batches recorded in a span moved, by account code. Their events lie between the first and the last batch's.
_MOVED = """
with day as materialized (
  select batch_id from batches where recorded_at >= coalesce(%(since)s::timestamptz, '-infinity') and recorded_at < %(until)s),
span as materialized (select min(batch_id) as first, max(batch_id) + 4095 as last from day),
moved as materialized (
  select t.debit, t.credit, sum(t.amount)::bigint as amount from transfers t
   where t.event_id between (select first from span) and (select last from span)
     and exists (select from day d where d.batch_id = (t.event_id & ~4095::bigint)) group by 1, 2),
sides as (
  select code, sum(debits)::bigint as debits, sum(credits)::bigint as credits from (
    select debit as code, amount as debits, 0::bigint as credits from moved
    union all select credit, 0, amount from moved) s group by code)
"""


async def write_balances(
    session: AsyncSession, day: date, version: int, since: datetime | None, until: datetime
) -> None:
    """Write what a closed day began with, moved and ended with; it begins with what the day before ended with."""
    connection = await driver(session)
    await connection.execute(
        f"""{_MOVED},
        before as (
          select b.code, b.opening + b.credits - b.debits as opening from closing_balances b
            join closings c on c.day = b.day and c.version = b.version and c.reopened_event = 0
           where b.day = %(before)s)
        insert into closing_balances (tenant_id, day, version, code, opening, debits, credits)
        select %(t)s, %(day)s, %(v)s, code, coalesce(b.opening, 0), coalesce(s.debits, 0), coalesce(s.credits, 0)
          from sides s full join before b using (code)""",
        {
            "t": session.info["tenant_id"], "day": day, "v": version, "since": since, "until": until,
            "before": date.fromordinal(day.toordinal() - 1),
        },
    )  # fmt: skip


async def set_closed_event(session: AsyncSession, day: date, version: int, event_id: int) -> None:
    """Note the event that says a day is closed."""
    await session.execute(
        text("update closings set event_id = :e where day = :day and version = :v"),
        {"e": event_id, "day": day, "v": version},
    )


async def balances_of(session: AsyncSession, day: date, version: int) -> list[CodeBalance]:
    """Return what a closed day began with, moved and ended with, by account code."""
    rows = await session.execute(
        text("""select c.kind, a.symbol, a.scale, b.opening, b.debits, b.credits from closing_balances b
                  join chart c on c.tenant_id = b.tenant_id and c.code = b.code
                  join assets a on a.tenant_id = b.tenant_id and a.asset_id = b.code >> 12
                 where b.day = :day and b.version = :v order by b.code"""),
        {"day": day, "v": version},
    )
    return [CodeBalance(*row) for row in rows]


async def until_of(session: AsyncSession, day: date) -> datetime | None:
    """Return when a closed day ended; None if it is not closed."""
    found: datetime | None = await session.scalar(
        text("select until from closings where day = :day and reopened_event = 0"), {"day": day}
    )
    return found


# -- reopening

_REOPENING = """select r.reopening_no, r.from_day, r.state, r.reason, p.name, r.proposed_at, d.name from reopenings r
  join actors p on p.tenant_id = r.tenant_id and p.actor_id = r.proposed_by
  left join actors d on d.tenant_id = r.tenant_id and d.actor_id = r.decided_by"""


async def list_reopenings(session: AsyncSession) -> list[ReopeningRow]:
    """Return the reopenings, the newest first; at most 100."""
    rows = await session.execute(text(f"{_REOPENING} order by r.reopening_no desc limit 100"))
    return [ReopeningRow(*row) for row in rows]


async def hold_reopening(session: AsyncSession, number: int) -> ReopeningRow | None:
    """Return a reopening, which nobody else can decide on until the session ends."""
    row = (
        await session.execute(text(f"{_REOPENING} where r.reopening_no = :n for update of r"), {"n": number})
    ).one_or_none()
    return None if row is None else ReopeningRow(*row)


async def add_reopening(session: AsyncSession, from_day: date, reason: str, actor: int, at: datetime) -> int | None:
    """Add a reopening; return its number, None if another waits."""
    found: int | None = await session.scalar(
        text("""insert into reopenings (tenant_id, reopening_no, from_day, reason, proposed_by, proposed_at)
                select :t, coalesce(max(reopening_no), 0) + 1, :day, :reason, :actor, :at from reopenings
                on conflict do nothing returning reopening_no"""),
        {"t": session.info["tenant_id"], "day": from_day, "reason": reason, "actor": actor, "at": at},
    )
    return found


async def decide_reopening(
    session: AsyncSession, number: int, *, state: str, actor: int, at: datetime, event_id: int
) -> None:
    """Note what a second person decided."""
    await session.execute(
        text("""update reopenings set state = :state, decided_by = :actor, decided_at = :at, event_id = :e
                 where reopening_no = :n"""),
        {"n": number, "state": state, "actor": actor, "at": at, "e": event_id},
    )


async def reopen_from(session: AsyncSession, day: date, event_id: int) -> int:
    """Open every closed day from `day` on again; return how many."""
    found = await session.execute(
        text("update closings set reopened_event = :e where day >= :day and reopened_event = 0 returning 1"),
        {"day": day, "e": event_id},
    )
    return len(found.all())


LAWS: tuple[Law, ...] = (
    Law(
        "closed-days-stay-closed",
        "what a closed day moved is what the books have of it now, by account",
        """
        with spans as materialized (
          select c.day, c.version, c.until, lag(c.until) over (order by c.day) as since from closings c
           where c.reopened_event = 0 and c.event_id <> 0),
        placed as materialized (
          select b.batch_id, s.day, s.version from batches b
            join spans s on b.recorded_at < s.until and (s.since is null or b.recorded_at >= s.since)),
        folded as (
          select day, version, code, sum(debits)::bigint as debits, sum(credits)::bigint as credits from (
            select p.day, p.version, x.code, x.debits, x.credits from placed p
              join transfers t on (t.event_id & ~4095::bigint) = p.batch_id
             cross join lateral (values (t.debit, t.amount, 0::bigint), (t.credit, 0::bigint, t.amount)) x(code, debits, credits)) m
           group by 1, 2, 3),
        kept as (
          select b.day, b.version, b.code, b.debits, b.credits from closing_balances b
            join spans s on s.day = b.day and s.version = b.version where b.debits <> 0 or b.credits <> 0)
        select format('account %s on %s', code, day), format('%s/%s', coalesce(k.debits, 0), coalesce(k.credits, 0)),
               format('%s/%s', coalesce(f.debits, 0), coalesce(f.credits, 0))
          from kept k full join folded f using (day, version, code)
         where (coalesce(k.debits, 0), coalesce(k.credits, 0)) <> (coalesce(f.debits, 0), coalesce(f.credits, 0))
        """,
    ),
    Law(
        "closed-days-follow-each-other",
        "no day between two closed ones is open, and each begins with what the one before ended with",
        """
        select format('day %s', day), 'the day before closed', 'open' from (
          select day, lag(day) over (order by day) as before from closings where reopened_event = 0) d
         where before is not null and before <> day - 1
        union all
        select format('account %s on %s', code, day), coalesce(ended, 0)::text, opening::text from (
          select b.code, b.day, b.opening, p.opening + p.credits - p.debits as ended,
                 exists (select from closings x where x.day = b.day - 1 and x.reopened_event = 0) as follows
            from closing_balances b join closings c on c.day = b.day and c.version = b.version and c.reopened_event = 0
            left join (closing_balances p join closings q on q.day = p.day and q.version = p.version and q.reopened_event = 0)
              on p.code = b.code and p.day = b.day - 1) s
         where opening <> coalesce(ended, 0) and (follows or opening <> 0)
        """,
    ),
    Law(
        "closed-days-lead-to-the-books",
        "what the last closed day ended with and what was recorded since is what the accounts hold now",
        """
        with last as (select day, version, until from closings where reopened_event = 0 and event_id <> 0 order by day desc limit 1),
        ended as (
          select b.code, b.opening + b.credits - b.debits as amount from closing_balances b join last using (day, version)),
        since as (
          select code, sum(amount)::bigint as amount from (
            select x.code, x.amount from batches b join last l on b.recorded_at >= l.until
              join transfers t on (t.event_id & ~4095::bigint) = b.batch_id
             cross join lateral (values (t.debit, -t.amount), (t.credit, t.amount)) x(code, amount)) m group by code),
        held as (
          select code, sum(credits - debits)::bigint as amount from (
            select code, debits, credits from balances union all select code, debits, credits from control_totals
            union all select code, debits, credits from control_deltas) s group by code)
        select format('account %s', code), (coalesce(e.amount, 0) + coalesce(s.amount, 0))::text, coalesce(h.amount, 0)::text
          from ended e full join since s using (code) full join held h using (code)
         where exists (select from last) and coalesce(e.amount, 0) + coalesce(s.amount, 0) <> coalesce(h.amount, 0)
        """,
    ),
    Law(
        "days-are-reopened-by-two",
        "whoever lets days be opened again is not who asked for it",
        """
        select format('reopening %s', reopening_no), 'two people', 'one' from reopenings where decided_by = proposed_by and state = 'approved'
        """,
    ),
)
