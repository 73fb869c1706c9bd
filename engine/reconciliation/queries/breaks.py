"""SQL of what people do about breaks: proposals and their fate, and receipts that no statement shows."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from engine.runtime.database import driver

# A receipt that was not taken back; what was posted to a wrong member stands while the right one's was not.
_STANDS = """(
  not exists (select from corrections x where x.corrects_member = e.member_id and x.corrects_event = e.event_id)
  or exists (select from suspense s where s.tenant_id = e.tenant_id and s.of_event = e.event_id and s.of_event <> 0 and s.reason = 'wrong-member'
                and not exists (select from reversals v where v.tenant_id = s.tenant_id and v.event_id = s.event_id and v.state = 'reversed')))"""


@dataclass(frozen=True, slots=True)
class WaitingLine:
    """A line that waits: its account, and its amount in smallest units."""

    statement_id: int
    line_no: int
    account: str
    amount: int
    value_date: date


async def waiting_lines(session: AsyncSession, keys: Sequence[tuple[int, int]]) -> dict[tuple[int, int], WaitingLine]:
    """Return those of the lines, as (statement, line), that wait."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select l.statement_id, l.line_no, s.account, l.amount, l.value_date
             from unnest(%s::bigint[], %s::int[]) k(statement_id, line_no)
             join unmatched_lines u using (statement_id, line_no)
             join statement_lines l using (tenant_id, statement_id, line_no) join statements s using (tenant_id, statement_id)""",
        ([one[0] for one in keys], [one[1] for one in keys]),
    )
    return {(row[0], row[1]): WaitingLine(*row) for row in await cursor.fetchall()}


async def is_break(session: AsyncSession, statement_id: int, line_no: int) -> bool:
    """Return whether a line waits, or is a receipt that a later version of its statement has no longer."""
    return bool(
        await session.scalar(
            text("""select exists (select from unmatched_lines where statement_id = :s and line_no = :l)
                        or exists (select from settled_lines w join matches m using (tenant_id, statement_id, line_no)
                                    where w.statement_id = :s and w.line_no = :l and w.how = 'withdrawn')"""),
            {"s": statement_id, "l": line_no},
        )
    )


@dataclass(frozen=True, slots=True)
class ProposalRow:
    """A proposal as it is kept; amounts in smallest units, people by their names as actors."""

    proposal_id: int
    statement_id: int
    line_no: int
    action: str
    cause: str
    party: str
    difference: int
    receipts: tuple[int, ...]
    lines: tuple[tuple[int, int], ...]
    waits_for: str
    until: date | None
    state: str
    proposed_by: str
    proposed_at: datetime
    decided_by: str | None
    decided_at: datetime | None
    resolved_event: int


_PROPOSALS = """
select b.proposal_id, b.statement_id, b.line_no, b.action, b.cause, b.party, b.difference, b.receipts, b.lines, b.waits_for, b.until,
       b.state, m.name as proposed_by, b.proposed_at, c.name as decided_by, b.decided_at, b.resolved_event
  from break_proposals b join actors m on m.tenant_id = b.tenant_id and m.actor_id = b.proposed_by
  left join actors c on c.tenant_id = b.tenant_id and c.actor_id = b.decided_by
"""


def _row(found: Any) -> ProposalRow:
    row = ProposalRow(*found)
    return replace(row, receipts=tuple(row.receipts), lines=tuple((one[0], one[1]) for one in row.lines))


async def add_proposal(session: AsyncSession, row: ProposalRow, *, by: int) -> int:
    """Keep a proposal; return its number."""
    number = await session.scalar(
        text("""insert into break_proposals (tenant_id, statement_id, line_no, action, cause, party, difference, receipts, lines,
                                             waits_for, until, proposed_at, proposed_by)
                values (:t, :s, :l, :action, :cause, :party, :difference, :receipts, :lines, :waits, :until, :at, :by)
                returning proposal_id"""),
        {
            "t": session.info["tenant_id"],
            "s": row.statement_id,
            "l": row.line_no,
            "action": row.action,
            "cause": row.cause,
            "party": row.party,
            "difference": row.difference,
            "receipts": list(row.receipts),
            "lines": [list(one) for one in row.lines],
            "waits": row.waits_for,
            "until": row.until,
            "at": row.proposed_at,
            "by": by,
        },
    )
    assert number is not None
    return int(number)


async def hold_proposal(session: AsyncSession, proposal_id: int) -> ProposalRow | None:
    """Return a proposal; nobody else can decide it until the session ends."""
    found = (
        await session.execute(text(f"{_PROPOSALS} where b.proposal_id = :id for update of b"), {"id": proposal_id})
    ).first()
    return None if found is None else _row(found)


async def list_proposals(session: AsyncSession, statement_id: int, line_no: int) -> list[ProposalRow]:
    """Return what was proposed for a line, the first first."""
    rows = await session.execute(
        text(f"{_PROPOSALS} where b.statement_id = :s and b.line_no = :l order by b.proposal_id"),
        {"s": statement_id, "l": line_no},
    )
    return [_row(row) for row in rows]


async def decide(
    session: AsyncSession, proposal_id: int, *, state: str, by: int, at: datetime, resolved_event: int = 0
) -> None:
    """Note what a second person decided, and by which event it was carried out."""
    await session.execute(
        text("""update break_proposals set state = :state, decided_by = :by, decided_at = :at, resolved_event = :event
                 where proposal_id = :id"""),
        {"state": state, "by": by, "at": at, "event": resolved_event, "id": proposal_id},
    )


async def unshown_receipts(session: AsyncSession, *, before: date, most: int) -> list[tuple[int, str, int, date]]:
    """Return (event, account, amount, day) of receipts that no line shows and that stand, the oldest first."""
    rows = await session.execute(
        text(f"""select e.event_id, c.party, sum(t.amount)::bigint, e.business_date
                  from events e join transfers t using (tenant_id, member_id, event_id)
                  join chart c on c.tenant_id = t.tenant_id and c.code = t.debit and c.kind = 'collections'
                 where e.kind in (10, 11, 153) and e.business_date < :before
                   and not exists (select from matches m where m.member_id = e.member_id and m.event_id = e.event_id)
                   and {_STANDS}
                 group by 1, 2, 4 order by 1 limit :most"""),
        {"before": before, "most": most},
    )
    return [(row[0], row[1], row[2], row[3]) for row in rows]


@dataclass(frozen=True, slots=True)
class DayTotal:
    """A line beside the day whose receipts it may be: all of the day that no line shows, and their sum in smallest units."""

    statement_id: int
    line_no: int
    amount: int
    total: int
    receipts: tuple[int, ...]


async def day_totals(session: AsyncSession, account: str, *, days: int, within: int) -> list[DayTotal]:
    """Return lines of money in that bear no receipt's reference and come near the sum of one day, where neither has another.

    A line is of a day at most `days` before it, and the two differ by at most `within`. Only what is alone on both sides
    is returned: of two lines for one day nobody could tell which it is. Needs the jobs role only to act on it.
    """
    connection = await driver(session)
    cursor = await connection.execute(
        f"""with waiting as materialized (
             select l.statement_id, l.line_no, l.amount, l.value_date from unmatched_lines u
               join statement_lines l using (tenant_id, statement_id, line_no) join statements s using (tenant_id, statement_id)
              where s.account = %(account)s and l.amount > 0
                and not exists (select from claims k where k.digest in (l.reference_digest, l.other_digest))),
           unshown as materialized (
             select e.member_id, e.event_id, e.business_date as day, sum(t.amount)::bigint as amount
               from events e join transfers t using (tenant_id, member_id, event_id)
               join chart c on c.tenant_id = t.tenant_id and c.code = t.debit and c.kind = 'collections' and c.party = %(account)s
              where e.kind in (10, 11, 153) and exists (select from waiting)
                and not exists (select from matches m where m.member_id = e.member_id and m.event_id = e.event_id)
                and {_STANDS}
              group by 1, 2, 3),
           totals as materialized (
             select day, sum(amount)::bigint as total from unshown group by 1),
           pairs as (
             select w.statement_id, w.line_no, w.amount, t.total, t.day,
                    count(*) over (partition by w.statement_id, w.line_no) as of_line, count(*) over (partition by t.day) as of_day
               from waiting w cross join generate_series(0, %(days)s) n join totals t on t.day = w.value_date - n
              where abs(w.amount - t.total) <= %(within)s)
           select p.statement_id, p.line_no, p.amount, p.total, array_agg(u.event_id order by u.event_id)
             from pairs p join unshown u on u.day = p.day where p.of_line = 1 and p.of_day = 1
            group by 1, 2, 3, 4 order by 1, 2""",
        {"account": account, "days": days, "within": within},
    )
    return [
        DayTotal(statement, line, amount, total, tuple(receipts))
        for statement, line, amount, total, receipts in await cursor.fetchall()
    ]


@dataclass(frozen=True, slots=True)
class BatchTotal:
    """Lines that bear a batch's reference beside its receipts that no line shows; their sums in smallest units."""

    lines: tuple[tuple[int, int], ...]
    receipts: tuple[int, ...]
    amount: int
    total: int


async def batch_totals(session: AsyncSession, account: str, *, days: int, within: int) -> list[BatchTotal]:
    """Return batches whose lines come near what is not shown of them yet, and are of a day at most `days` after each receipt's.

    Several lines come near only if they agree to the cent: nobody could tell which of them differs. A line that bears a
    receipt's reference, or those of two batches, is left alone.
    """
    connection = await driver(session)
    cursor = await connection.execute(
        f"""with waiting as materialized (
             select l.statement_id, l.line_no, l.amount, l.value_date, min(b.digest::text)::uuid as digest
               from unmatched_lines u
               join statement_lines l using (tenant_id, statement_id, line_no) join statements s using (tenant_id, statement_id)
              cross join lateral unnest(array[l.reference_digest, l.other_digest]) r(digest)
              cross join lateral (select b.digest from batch_receipts b where b.digest = r.digest limit 1) b
              where s.account = %(account)s and l.amount > 0
                and not exists (select from claims k where k.digest in (l.reference_digest, l.other_digest))
              group by 1, 2, 3, 4 having count(distinct b.digest) = 1),
           shown as materialized (
             select digest, array_agg(array[statement_id, line_no] order by statement_id, line_no) as lines, count(*) as n,
                    sum(amount)::bigint as amount, min(value_date) as first, max(value_date) as last
               from waiting group by 1),
           unshown as materialized (
             select b.digest, e.event_id, e.business_date as day, sum(t.amount)::bigint as amount
               from shown h join batch_receipts b on b.digest = h.digest
               join events e on e.tenant_id = b.tenant_id and e.member_id = b.member_id and e.event_id = b.event_id
               join transfers t on t.tenant_id = e.tenant_id and t.member_id = e.member_id and t.event_id = e.event_id
               join chart c on c.tenant_id = t.tenant_id and c.code = t.debit and c.kind = 'collections' and c.party = %(account)s
              where not exists (select from matches m where m.member_id = e.member_id and m.event_id = e.event_id) and {_STANDS}
              group by 1, 2, 3)
           select h.lines, array_agg(u.event_id order by u.event_id), h.amount, sum(u.amount)::bigint
             from shown h join unshown u using (digest)
            group by h.digest, h.lines, h.amount, h.n, h.first, h.last
           having h.last - min(u.day) <= %(days)s and h.first >= max(u.day)
              and (h.amount = sum(u.amount) or (h.n = 1 and abs(h.amount - sum(u.amount)) <= %(within)s))
            order by 1""",
        {"account": account, "days": days, "within": within},
    )
    return [
        BatchTotal(tuple((int(one), int(other)) for one, other in lines), tuple(receipts), amount, total)
        for lines, receipts, amount, total in await cursor.fetchall()
    ]


async def proposed_before(session: AsyncSession, keys: Sequence[tuple[int, int]], *, by: str) -> set[tuple[int, int]]:
    """Return those of the lines, as (statement, line), that somebody has proposed something for, or `by` has ever."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select b.statement_id, b.line_no from unnest(%s::bigint[], %s::int[]) k(statement_id, line_no)
             join break_proposals b using (statement_id, line_no) join actors a on a.tenant_id = b.tenant_id and a.actor_id = b.proposed_by
            where b.state = 'proposed' or a.name = %s""",
        ([one[0] for one in keys], [one[1] for one in keys], by),
    )
    return {(row[0], row[1]) for row in await cursor.fetchall()}


async def receipt_days(session: AsyncSession, keys: Sequence[tuple[int, int]]) -> dict[int, date]:
    """Return the business day of each (member, event), by event."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select e.event_id, e.business_date from unnest(%s::bigint[], %s::bigint[]) k(member_id, event_id)
             join events e using (member_id, event_id)""",
        ([one[0] for one in keys], [one[1] for one in keys]),
    )
    return dict(await cursor.fetchall())
