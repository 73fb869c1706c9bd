"""SQL of reconciliation: statements, their lines, matches, and the laws they keep."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from engine.funds.rules import ReconciledReceipt
from engine.ledger.rules import EventKind, Law
from engine.runtime.database import driver


async def find_statement(session: AsyncSession, sha256: str) -> tuple[int, datetime] | None:
    """Return the number of the statement of those bytes and when it first came."""
    row = (
        await session.execute(
            text("select statement_id, imported_at from statements where sha256 = :sha"), {"sha": sha256}
        )
    ).first()
    return None if row is None else (row.statement_id, row.imported_at)


async def add_statement(
    session: AsyncSession,
    *,
    account: str,
    name: str,
    sha256: str,
    document: bytes,
    imported_at: datetime,
    actor: int,
    lines: int,
    total: int,
    first_on: date | None,
    last_on: date | None,
) -> int | None:
    """Keep a statement; return its number, or None if another transaction has just kept the same bytes."""
    number = await session.scalar(
        text("""insert into statements (tenant_id, account, name, sha256, document, imported_at, actor, lines, total, first_on, last_on)
                values (:t, :account, :name, :sha, :document, :at, :actor, :lines, :total, :first, :last)
                on conflict (tenant_id, sha256) do nothing returning statement_id"""),
        {
            "t": session.info["tenant_id"],
            "account": account,
            "name": name,
            "sha": sha256,
            "document": document,
            "at": imported_at,
            "actor": actor,
            "lines": lines,
            "total": total,
            "first": first_on,
            "last": last_on,
        },
    )
    return None if number is None else int(number)


async def add_lines(session: AsyncSession, statement_id: int, rows: Sequence[tuple[int, int, UUID, date]]) -> None:
    """Add (line_no, amount, reference_digest, value_date) of a statement; each waits for its receipt."""
    connection = await driver(session)
    await connection.execute(
        """with added as (
             insert into statement_lines (tenant_id, statement_id, line_no, amount, reference_digest, value_date)
             select %s, %s, * from unnest(%s::int[], %s::bigint[], %s::uuid[], %s::date[]) returning tenant_id, statement_id, line_no)
           insert into unmatched_lines (tenant_id, statement_id, line_no) select * from added""",
        (session.info["tenant_id"], statement_id, *(list(column) for column in zip(*rows, strict=True))),
    )


async def hold_matching(session: AsyncSession) -> None:
    """Wait until no other transaction matches lines of the tenant; keep others waiting until this one ends.

    All that this transaction joins it looks up by key: a planner fooled by tables that grew since they were last
    analysed would compare every line with every other.
    """
    await session.execute(text("select pg_advisory_xact_lock(7201, :t)"), {"t": session.info["tenant_id"]})
    for plan in ("hashjoin", "mergejoin", "seqscan"):
        await session.execute(text(f"set local enable_{plan} = off"))


@dataclass(frozen=True, slots=True)
class OpenLine:
    """A line without receipt, beside the receipt that claims its reference, if there is one.

    `received` is what that receipt booked into the account of the statement; `collected` is that account's code.
    """

    statement_id: int
    line_no: int
    account: str
    value_date: date
    amount: int
    member_id: int | None
    event_id: int | None
    is_suspended: bool
    is_reversed: bool
    is_matched: bool
    collected: int | None
    received: int | None


_LINES = """
select l.statement_id, l.line_no, s.account, l.value_date, l.amount, l.reference_digest
  from unmatched_lines u
  join statement_lines l using (tenant_id, statement_id, line_no)
  join statements s using (tenant_id, statement_id)
 where (u.statement_id, u.line_no) > (%s, %s) and (%s::bigint is null or u.statement_id = %s)
 order by u.statement_id, u.line_no limit %s
"""

# The sum stops an index from being used for the ids, which would search it once for each.
_RECEIPTS = """
select member_id, event_id, kind from events
 where event_id between %s and %s and kind in (10, 11) and event_id + 0 = any(%s)
"""

_FACTS = """
select k.event_id, k.account, a.code,
       (select coalesce(sum(t.amount), 0)::bigint from transfers t
         where t.member_id = k.member_id and t.event_id = k.event_id and t.debit = a.code),
       exists (select from corrections x where x.corrects_member = k.member_id and x.corrects_event = k.event_id),
       exists (select from matches m where m.member_id = k.member_id and m.event_id = k.event_id)
  from unnest(%s::bigint[], %s::bigint[], %s::text[]) k(member_id, event_id, account)
  left join chart a on a.kind = 'collections' and a.party = k.account
"""

_HOUR = 3_600_000 << 22  # of event ids, which begin with milliseconds


async def open_lines(
    session: AsyncSession, *, after: tuple[int, int] = (0, 0), most: int, statement_id: int | None = None
) -> list[OpenLine]:
    """Return lines without receipt after (statement_id, line_no), in that order."""
    connection = await driver(session)
    cursor = await connection.execute(_LINES, (*after, statement_id, statement_id, most))
    lines = await cursor.fetchall()
    cursor = await connection.execute(
        "select digest, event_id from claims where digest = any(%s)", ([line[-1] for line in lines],)
    )
    claimed: dict[UUID, int] = dict(await cursor.fetchall())
    receipts: dict[int, tuple[int, int]] = {}
    for stretch in _stretches(sorted(claimed.values())):
        cursor = await connection.execute(_RECEIPTS, (stretch[0], stretch[-1], stretch))
        receipts.update({event: (member, kind) for member, event, kind in await cursor.fetchall()})
    wanted = {(claimed[line[-1]], line[2]) for line in lines if claimed.get(line[-1]) in receipts}
    keys = sorted((receipts[event][0], event, account) for event, account in wanted)
    cursor = await connection.execute(_FACTS, tuple([key[i] for key in keys] for i in range(3)))
    facts = {(row[0], row[1]): row[2:] for row in await cursor.fetchall()}
    found = []
    for number, line_no, account, value_date, amount, digest in lines:
        event = claimed.get(digest, 0)
        member, kind = receipts.get(event, (None, 0))
        collected, received, is_reversed, is_matched = facts.get((event, account), (None, None, False, False))
        found.append(
            OpenLine(
                statement_id=number,
                line_no=line_no,
                account=account,
                value_date=value_date,
                amount=amount,
                member_id=member,
                event_id=None if member is None else event,
                is_suspended=kind == EventKind.CONTRIBUTION_SUSPENDED,
                is_reversed=is_reversed,
                is_matched=is_matched,
                collected=collected,
                received=received,
            )
        )
    return found


def _stretches(event_ids: Sequence[int]) -> list[list[int]]:
    """Cut sorted event ids wherever an hour lies between two: each stretch is one range of the block-range index."""
    found: list[list[int]] = []
    for event_id in event_ids:
        if found and event_id - found[-1][-1] <= _HOUR:
            found[-1].append(event_id)
        else:
            found.append([event_id])
    return found


async def count_open_lines(session: AsyncSession, statement_id: int) -> int:
    """Return how many lines of a statement have no receipt."""
    value = await session.scalar(
        text("select count(*) from unmatched_lines where statement_id = :s"), {"s": statement_id}
    )
    return int(value)


async def add_matches(session: AsyncSession, rows: Sequence[tuple[int, int, int, int, int]]) -> None:
    """Match (member_id, event_id, statement_id, line_no, matched_event); the lines wait no more. Needs the jobs role."""
    connection = await driver(session)
    await connection.execute(
        """with matched as (
             insert into matches (tenant_id, member_id, event_id, statement_id, line_no, matched_event)
             select %s, * from unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::int[], %s::bigint[])
             returning tenant_id, statement_id, line_no)
           delete from unmatched_lines u using matched m
            where u.tenant_id = m.tenant_id and u.statement_id = m.statement_id and u.line_no = m.line_no""",
        (session.info["tenant_id"], *(list(column) for column in zip(*rows, strict=True))),
    )


async def statement_hashes(session: AsyncSession, statement_ids: Sequence[int]) -> dict[int, str]:
    """Return the SHA-256 of statements by number."""
    rows = await session.execute(
        text("select statement_id, sha256 from statements where statement_id = any(:ids)"), {"ids": list(statement_ids)}
    )
    return {row.statement_id: row.sha256 for row in rows}


async def add_unallocated(session: AsyncSession, rows: Sequence[tuple[int, int, int, str]]) -> None:
    """Remember (member_id, event_id, collected, reason) of reconciled receipts whose cash waits for a fund."""
    connection = await driver(session)
    await connection.execute(
        """insert into unallocated (tenant_id, member_id, event_id, collected, reason)
           select %s, * from unnest(%s::bigint[], %s::bigint[], %s::int[], %s::text[])""",
        (session.info["tenant_id"], *(list(column) for column in zip(*rows, strict=True))),
    )


@dataclass(frozen=True, slots=True)
class Ready:
    """A waiting receipt that may be allocated now, with the receipt it was matched as: of the house while in suspense."""

    member_id: int
    event_id: int
    receipt: ReconciledReceipt


async def ready_receipts(session: AsyncSession, *, after: tuple[int, int], most: int) -> list[Ready]:
    """Return waiting receipts after (member_id, event_id) that are a member's now, and were not reversed."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select u.member_id, u.event_id, coalesce(r.member_id, u.member_id), coalesce(r.resolved_event, u.event_id), u.collected
             from unallocated u
             left join suspense_resolutions r on r.tenant_id = u.tenant_id and r.event_id = u.event_id and u.reason = 'suspended'
            where (u.member_id, u.event_id) > (%s, %s) and (u.reason <> 'suspended' or r.event_id is not null)
              and not exists (select from corrections x where x.corrects_member = coalesce(r.member_id, u.member_id)
                                 and x.corrects_event = coalesce(r.resolved_event, u.event_id))
            order by u.member_id, u.event_id limit %s""",
        (*after, most),
    )
    return [
        Ready(member, event, ReconciledReceipt(owner, receipt, collected))
        for member, event, owner, receipt, collected in await cursor.fetchall()
    ]


async def remove_unallocated(session: AsyncSession, keys: Sequence[tuple[int, int]]) -> None:
    """Forget waiting receipts, as (member_id, event_id), that were allocated. Needs the jobs role."""
    connection = await driver(session)
    await connection.execute(
        """delete from unallocated u using unnest(%s::bigint[], %s::bigint[]) k(member_id, event_id)
            where u.member_id = k.member_id and u.event_id = k.event_id""",
        ([member for member, _ in keys], [event for _, event in keys]),
    )


@dataclass(frozen=True, slots=True)
class WaitingReceipt:
    """A reconciled receipt whose cash is in no dealing: "suspended", or "no-fund-choice"."""

    event_id: int
    account: str
    amount: int
    reason: str


async def list_unallocated(session: AsyncSession, *, most: int) -> list[WaitingReceipt]:
    """Return reconciled receipts whose cash waits, the oldest first."""
    rows = await session.execute(
        text("""select u.event_id, c.party as account,
                       (select coalesce(sum(t.amount), 0)::bigint from transfers t
                         where t.member_id = u.member_id and t.event_id = u.event_id and t.debit = u.collected) as amount,
                       case when r.event_id is null then u.reason else 'no-fund-choice' end as reason
                  from unallocated u join chart c on c.tenant_id = u.tenant_id and c.code = u.collected
                  left join suspense_resolutions r on r.tenant_id = u.tenant_id and r.event_id = u.event_id
                 order by u.event_id limit :most"""),
        {"most": most},
    )
    return [WaitingReceipt(*row) for row in rows]


@dataclass(frozen=True, slots=True)
class ReceiptFacts:
    """What is known of a receipt: its kind, whether it was matched, resolved (by which event of whom) or reversed."""

    kind: int
    is_matched: bool
    is_reversed: bool
    resolved_member: int | None
    resolved_event: int | None


async def receipt_facts(session: AsyncSession, member_id: int, event_id: int) -> ReceiptFacts | None:
    """Return what is known of a receipt; a resolved one may be named by either of its events."""
    row: Any = (
        await session.execute(
            text("""select e.kind,
                           exists (select from matches m where (m.member_id = e.member_id and m.event_id = e.event_id)
                                                          or (m.member_id = -e.tenant_id and m.event_id = r.event_id)) as is_matched,
                           exists (select from corrections x where x.corrects_member = e.member_id and x.corrects_event = e.event_id) as is_reversed,
                           r.member_id as resolved_member, r.resolved_event
                      from events e
                      left join suspense_resolutions r on r.tenant_id = e.tenant_id and (r.event_id = e.event_id or r.resolved_event = e.event_id)
                     where e.member_id = :m and e.event_id = :e and e.kind in (10, 11, 12)"""),
            {"m": member_id, "e": event_id},
        )
    ).first()
    return None if row is None else ReceiptFacts(*row)


LAWS: tuple[Law, ...] = (
    Law(
        "lines-match-once",
        "every line of a statement either waits for its receipt or is matched, never both",
        """
        select format('statement %s, line %s', l.statement_id, l.line_no), 'matched or waiting',
               case when m.line_no is null then 'neither' else 'both' end
          from statement_lines l
          left join matches m on m.tenant_id = l.tenant_id and m.statement_id = l.statement_id and m.line_no = l.line_no
          left join unmatched_lines u on u.tenant_id = l.tenant_id and u.statement_id = l.statement_id and u.line_no = l.line_no
         where (m.line_no is null) = (u.line_no is null)
        """,
    ),
    Law(
        "matches-agree",
        "every match joins one line to one receipt of the same amount in the same account",
        """
        select format('receipt %s', m.event_id), format('%s in %s', l.amount, s.account),
               coalesce((select string_agg(format('%s in %s', x.amount, x.party), ' and ') from (
                  select sum(t.amount) as amount, c.party from transfers t
                    join chart c on c.tenant_id = t.tenant_id and c.code = t.debit and c.kind = 'collections'
                   where t.member_id = m.member_id and t.event_id = m.event_id group by c.party) x), 'nothing')
          from matches m
          join statement_lines l on l.tenant_id = m.tenant_id and l.statement_id = m.statement_id and l.line_no = m.line_no
          join statements s on s.tenant_id = m.tenant_id and s.statement_id = m.statement_id
         where not exists (
           select from transfers t join chart c on c.tenant_id = t.tenant_id and c.code = t.debit
            where t.member_id = m.member_id and t.event_id = m.event_id and c.kind = 'collections'
           having sum(t.amount) = l.amount and count(distinct c.party) = 1 and min(c.party) = s.account)
            or not exists (select from events e where e.member_id = m.member_id and e.event_id = m.event_id and e.kind in (10, 11))
        """,
    ),
    Law(
        "statements-are-whole",
        "a statement has the lines and the total that it had when it came",
        """
        select format('statement %s', s.statement_id), format('%s lines, %s', s.lines, s.total),
               format('%s lines, %s', count(l.line_no), coalesce(sum(l.amount), 0))
          from statements s left join statement_lines l on l.tenant_id = s.tenant_id and l.statement_id = s.statement_id
         group by s.statement_id, s.lines, s.total having count(l.line_no) <> s.lines or coalesce(sum(l.amount), 0) <> s.total
        """,
    ),
    Law(
        "only-reconciled-cash-is-dealt",
        "every allocation is of a matched receipt, or of the resolution of a matched one",
        """
        select format('allocation of event %s, member %s', a.event_id, to_hex(a.member_id)), 'a match', 'none'
          from allocations a
         where not exists (select from matches m where m.member_id = a.member_id and m.event_id = a.event_id)
           and not exists (select from suspense_resolutions r join matches m on m.member_id = -r.tenant_id and m.event_id = r.event_id
                            where r.member_id = a.member_id and r.resolved_event = a.event_id)
        """,
    ),
    Law(
        "collections-hold-what-is-not-ordered",
        "a collection account holds what was received and not reversed, less what closed dealings took",
        """
        with received as (
          select c.code, sum(case when t.debit = c.code then t.amount else -t.amount end) as amount
            from chart c join transfers t on t.debit = c.code or t.credit = c.code
            join events e on e.member_id = t.member_id and e.event_id = t.event_id and e.kind in (10, 11, 13)
           where c.kind = 'collections' group by c.code),
        dealt as (
          select a.collected as code, sum(a.amount) as amount from allocations a
            join dealings d on d.tenant_id = a.tenant_id and d.dealing_id = a.dealing_id and d.state <> 'open' group by 1),
        booked as (
          select code, sum(debits - credits) as amount from (
            select code, debits, credits from control_totals union all select code, debits, credits from control_deltas) s group by code)
        select format('collection account %s', c.party), (coalesce(r.amount, 0) - coalesce(d.amount, 0))::text, coalesce(b.amount, 0)::text
          from chart c left join received r using (code) left join dealt d using (code) left join booked b using (code)
         where c.kind = 'collections' and coalesce(r.amount, 0) - coalesce(d.amount, 0) <> coalesce(b.amount, 0)
        """,
    ),
)
