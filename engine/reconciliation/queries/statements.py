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


@dataclass(frozen=True, slots=True)
class KeptStatement:
    """A statement to be kept: its channel, its file and its place there, and what the bank says of it."""

    account: str
    name: str
    sha256: str
    place: int
    number: int | None
    reference: str
    opening: int | None
    closing: int | None
    first_on: date | None
    last_on: date | None


@dataclass(frozen=True, slots=True)
class NewLine:
    """A line to be added: `amount` is negative where money went out; the digests are claims of its receipt."""

    line_no: int
    row: int
    amount: int
    digest: UUID
    other_digest: UUID | None
    value_date: date
    code: str

    @property
    def facts(self) -> tuple[int, UUID, date]:
        """Return what makes two lines of two versions of a statement the same."""
        return (self.amount, self.digest, self.value_date)


async def hold_account(session: AsyncSession, account: str) -> None:
    """Wait until no other transaction takes in statements of the account."""
    await session.execute(
        text("select pg_advisory_xact_lock(hashtextextended(:key, 7202))"),
        {"key": f"{session.info['tenant_id']}:{account}"},
    )


async def find_statement(session: AsyncSession, sha256: str) -> tuple[tuple[int, ...], datetime] | None:
    """Return the numbers of the statements of those bytes, and when they first came."""
    rows = (
        await session.execute(
            text("select statement_id, imported_at from statements where sha256 = :sha order by place"),
            {"sha": sha256},
        )
    ).all()
    return (tuple(row.statement_id for row in rows), rows[0].imported_at) if rows else None


async def versions_of(session: AsyncSession, kept: KeptStatement) -> list[int]:
    """Return the earlier versions of a statement, the first one first: of the same account, number and last day.

    Where the bank numbers no statements, its reference counts instead; without either nothing is a version of another.
    """
    rows = await session.scalars(
        text("""select statement_id from statements
                 where account = :account and sha256 <> :sha and last_on = :last
                   and case when cast(:number as int) is not null then number = :number
                            else number is null and reference <> '' and reference = :reference end
                 order by statement_id"""),
        {
            "account": kept.account,
            "sha": kept.sha256,
            "last": kept.last_on,
            "number": kept.number,
            "reference": kept.reference,
        },
    )
    return list(rows)


async def add_statement(
    session: AsyncSession,
    kept: KeptStatement,
    *,
    document: bytes,
    imported_at: datetime,
    actor: int,
    lines: int,
    total: int,
    corrects: int | None,
) -> int:
    """Keep a statement; return its number."""
    number = await session.scalar(
        text("""insert into statements (tenant_id, account, name, sha256, place, document, imported_at, actor, lines, total, first_on,
                                        last_on, number, reference, opening, closing, corrects)
                values (:t, :account, :name, :sha, :place, :document, :at, :actor, :lines, :total, :first, :last, :number,
                        :reference, :opening, :closing, :corrects)
                returning statement_id"""),
        {
            "t": session.info["tenant_id"],
            "account": kept.account,
            "name": kept.name,
            "sha": kept.sha256,
            "place": kept.place,
            "document": document,
            "at": imported_at,
            "actor": actor,
            "lines": lines,
            "total": total,
            "first": kept.first_on,
            "last": kept.last_on,
            "number": kept.number,
            "reference": kept.reference,
            "opening": kept.opening,
            "closing": kept.closing,
            "corrects": corrects,
        },
    )
    return int(number)


async def add_lines(session: AsyncSession, statement_id: int, lines: Sequence[NewLine]) -> None:
    """Add lines of a statement; each waits for its receipt."""
    connection = await driver(session)
    await connection.execute(
        """with added as (
             insert into statement_lines (tenant_id, statement_id, line_no, row, amount, reference_digest, other_digest, value_date, code)
             select %s, %s, * from unnest(%s::int[], %s::int[], %s::bigint[], %s::uuid[], %s::uuid[], %s::date[], %s::text[])
             returning tenant_id, statement_id, line_no)
           insert into unmatched_lines (tenant_id, statement_id, line_no) select * from added""",
        (
            session.info["tenant_id"],
            statement_id,
            [line.line_no for line in lines],
            [line.row for line in lines],
            [line.amount for line in lines],
            [line.digest for line in lines],
            [line.other_digest for line in lines],
            [line.value_date for line in lines],
            [line.code for line in lines],
        ),
    )


async def matched_lines(session: AsyncSession, statement_ids: Sequence[int]) -> list[tuple[int, UUID, date]]:
    """Return (amount, digest, value date) of the statements' lines that are receipts."""
    rows = await session.execute(
        text("""select l.amount, l.reference_digest, l.value_date from matches m
                  join statement_lines l using (tenant_id, statement_id, line_no) where m.statement_id = any(:ids)"""),
        {"ids": list(statement_ids)},
    )
    return [(row[0], row[1], row[2]) for row in rows]


async def withdraw_lines(
    session: AsyncSession, statement_ids: Sequence[int], by: int, facts: Sequence[tuple[int, UUID, date]]
) -> int:
    """Settle the statements' open lines as withdrawn by a later version, which has the lines `facts`; return how many.

    Lines that are receipts already and that the later version has no longer are marked as well: they stay receipts, and
    become breaks for people to look at. Needs the jobs role.
    """
    connection = await driver(session)
    cursor = await connection.execute(
        """with gone as (
             delete from unmatched_lines where statement_id = any(%(ids)s) returning tenant_id, statement_id, line_no),
           still as (
             select amount, digest, day, count(*) as times
               from unnest(%(amounts)s::bigint[], %(digests)s::uuid[], %(days)s::date[]) f(amount, digest, day) group by 1, 2, 3),
           had as (
             select l.tenant_id, l.statement_id, l.line_no, l.amount, l.reference_digest, l.value_date,
                    row_number() over (partition by l.amount, l.reference_digest, l.value_date order by l.statement_id, l.line_no) as nth
               from matches m join statement_lines l using (tenant_id, statement_id, line_no)
              where m.statement_id = any(%(ids)s)
                and not exists (select from settled_lines s where (s.tenant_id, s.statement_id, s.line_no) = (l.tenant_id, l.statement_id, l.line_no))),
           lost as (
             select h.tenant_id, h.statement_id, h.line_no from had h
               left join still s on s.amount = h.amount and s.digest = h.reference_digest and s.day = h.value_date
              where h.nth > coalesce(s.times, 0)),
           settled as (
             insert into settled_lines (tenant_id, statement_id, line_no, how, by_statement)
             select tenant_id, statement_id, line_no, 'withdrawn', %(by)s from (select * from gone union all select * from lost) w
             returning 1)
           select count(*) from settled""",
        {
            "ids": list(statement_ids),
            "by": by,
            "amounts": [one[0] for one in facts],
            "digests": [one[1] for one in facts],
            "days": [one[2] for one in facts],
        },
    )
    row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


async def follows_nothing(session: AsyncSession, statement_ids: Sequence[int]) -> bool:
    """Return whether earlier statements of the account were taken in, and none of them ends where one of these begins."""
    return bool(
        await session.scalar(
            text("""select exists (
                      select from statements s
                       where s.statement_id = any(:ids) and s.opening is not null
                         and exists (select from statements e where e.account = s.account and e.closing is not null
                                       and e.statement_id <> s.statement_id and e.last_on <= s.first_on
                                       and e.statement_id is distinct from s.corrects)
                         and not exists (select from statements e where e.account = s.account and e.closing = s.opening
                                           and e.statement_id <> s.statement_id and e.last_on <= s.first_on))"""),
            {"ids": list(statement_ids)},
        )
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

    `received` is what that receipt booked into the account of the statement; `collected` is that account's code. Money
    that went out is negative. A withdrawn line is matched already, and a later version of its statement lacks it.
    """

    statement_id: int
    line_no: int
    row: int
    code: str
    account: str
    value_date: date
    amount: int
    member_id: int | None
    event_id: int | None
    is_suspended: bool
    is_reversed: bool
    is_matched: bool
    is_withdrawn: bool
    collected: int | None
    received: int | None


_COLUMNS = """
select l.statement_id, l.line_no, coalesce(l.row, l.line_no), l.code, s.account, l.value_date, l.amount, {withdrawn},
       l.reference_digest, l.other_digest
"""

# In the order of the key, so that a page never reads more than itself.
_TRIED = (
    _COLUMNS.format(withdrawn="false")
    + """
  from unmatched_lines u
  join statement_lines l using (tenant_id, statement_id, line_no)
  join statements s using (tenant_id, statement_id)
 where (u.statement_id, u.line_no) > (%(statement)s, %(line)s) and l.amount > 0
 order by u.statement_id, u.line_no limit %(most)s
"""
)

_OPEN = (
    _COLUMNS.format(withdrawn="u.is_withdrawn")
    + """
  from (select tenant_id, statement_id, line_no, false as is_withdrawn from unmatched_lines
         union all
        select w.tenant_id, w.statement_id, w.line_no, true from settled_lines w
          join matches m using (tenant_id, statement_id, line_no) where w.how = 'withdrawn') u
  join statement_lines l using (tenant_id, statement_id, line_no)
  join statements s using (tenant_id, statement_id)
 where (u.statement_id, u.line_no) > (%(statement)s, %(line)s) and (%(ids)s::bigint[] is null or u.statement_id = any(%(ids)s))
 order by u.statement_id, u.line_no limit %(most)s
"""
)

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
    session: AsyncSession,
    *,
    after: tuple[int, int] = (0, 0),
    most: int,
    statement_ids: Sequence[int] | None = None,
    is_tried: bool = False,
) -> list[OpenLine]:
    """Return lines after (statement_id, line_no), in that order: all that people look at, or what may be a receipt.

    The former are lines without receipt, and receipts that a later version of their statement has no longer; the latter,
    with `is_tried`, money that came in and waits.
    """
    connection = await driver(session)
    cursor = await connection.execute(
        _TRIED if is_tried else _OPEN,
        {
            "statement": after[0],
            "line": after[1],
            "ids": None if statement_ids is None else list(statement_ids),
            "most": most,
        },
    )
    lines = await cursor.fetchall()
    wanted_digests = [digest for line in lines for digest in line[-2:] if digest is not None]
    cursor = await connection.execute("select digest, event_id from claims where digest = any(%s)", (wanted_digests,))
    claimed: dict[UUID, int] = dict(await cursor.fetchall())
    receipts: dict[int, tuple[int, int]] = {}
    for stretch in _stretches(sorted(set(claimed.values()))):
        cursor = await connection.execute(_RECEIPTS, (stretch[0], stretch[-1], stretch))
        receipts.update({event: (member, kind) for member, event, kind in await cursor.fetchall()})

    def event_of(digests: Sequence[UUID | None]) -> int:
        return next((claimed[one] for one in digests if one in claimed and claimed[one] in receipts), 0)

    wanted = {(event, line[4]) for line in lines if (event := event_of(line[-2:]))}
    keys = sorted((receipts[event][0], event, account) for event, account in wanted)
    cursor = await connection.execute(_FACTS, tuple([key[i] for key in keys] for i in range(3)))
    facts = {(row[0], row[1]): row[2:] for row in await cursor.fetchall()}
    found = []
    for number, line_no, row, code, account, value_date, amount, is_withdrawn, *digests in lines:
        event = event_of(digests)
        member, kind = receipts.get(event, (None, 0))
        collected, received, is_reversed, is_matched = facts.get((event, account), (None, None, False, False))
        found.append(
            OpenLine(
                statement_id=number,
                line_no=line_no,
                row=row,
                code=code,
                account=account,
                value_date=value_date,
                amount=amount,
                member_id=member,
                event_id=None if member is None else event,
                is_suspended=kind == EventKind.CONTRIBUTION_SUSPENDED,
                is_reversed=is_reversed,
                is_matched=is_matched,
                is_withdrawn=is_withdrawn,
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


async def count_open_lines(session: AsyncSession, statement_ids: Sequence[int]) -> int:
    """Return how many lines of the statements have no receipt."""
    value = await session.scalar(
        text("select count(*) from unmatched_lines where statement_id = any(:ids)"), {"ids": list(statement_ids)}
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


@dataclass(frozen=True, slots=True)
class MoneyOut:
    """A line of money that went out (`amount` < 0) and waits; the digests are claims of what it may pay."""

    statement_id: int
    line_no: int
    account: str
    amount: int
    digests: tuple[UUID, ...]


async def open_money_out(session: AsyncSession, *, most: int) -> list[MoneyOut]:
    """Return lines of money that went out and wait, the first statement's first."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select l.statement_id, l.line_no, s.account, l.amount, l.reference_digest, l.other_digest from unmatched_lines u
             join statement_lines l using (tenant_id, statement_id, line_no) join statements s using (tenant_id, statement_id)
            where l.amount < 0 order by l.statement_id, l.line_no limit %s""",
        (most,),
    )
    return [
        MoneyOut(statement, line, account, amount, (first,) if second is None else (first, second))
        for statement, line, account, amount, first, second in await cursor.fetchall()
    ]


@dataclass(frozen=True, slots=True)
class OrderPart:
    """What an order takes out of one collection account, by which reference, in smallest units."""

    event_id: int
    account: str
    amount: int
    reference: str


async def unpaid_orders(session: AsyncSession, *, among: Sequence[str]) -> list[OrderPart]:
    """Return what orders take from the accounts `among` that no line has paid yet, the oldest first."""
    connection = await driver(session)
    cursor = await connection.execute(
        """with waiting as materialized (
             select o.tenant_id, o.event_id, o.reference, a.account from orders o cross join unnest(%s::text[]) a(account)
              where not exists (select from settled_lines w join statements s using (tenant_id, statement_id)
                                 where w.event_id = o.event_id and s.account = a.account))
           select o.event_id, o.account, sum(t.amount)::bigint, o.reference from waiting o
             join transfers t on t.member_id = -o.tenant_id and t.event_id = o.event_id
             join chart c on c.tenant_id = o.tenant_id and c.code = t.credit and c.kind = 'collections' and c.party = o.account
            group by 1, 2, 4 order by 1, 2""",
        (list(among),),
    )
    return [OrderPart(*row) for row in await cursor.fetchall()]


async def settle_orders(session: AsyncSession, rows: Sequence[tuple[int, int, int]]) -> None:
    """Settle (statement_id, line_no) as payment of the order of an event; the lines wait no more. Needs the jobs role."""
    connection = await driver(session)
    await connection.execute(
        """with settled as (
             insert into settled_lines (tenant_id, statement_id, line_no, how, event_id)
             select %s, k.statement_id, k.line_no, 'order', k.event_id
               from unnest(%s::bigint[], %s::int[], %s::bigint[]) k(statement_id, line_no, event_id)
             returning tenant_id, statement_id, line_no)
           delete from unmatched_lines u using settled w
            where u.tenant_id = w.tenant_id and u.statement_id = w.statement_id and u.line_no = w.line_no""",
        (session.info["tenant_id"], *([row[i] for row in rows] for i in range(3))),
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
        "every line of a statement waits for its receipt, is matched, or was settled: one of them; what was matched may be withdrawn",
        """
        select format('statement %s, line %s', l.statement_id, l.line_no), 'matched, settled or waiting',
               case when m.line_no is null and w.line_no is null then 'none' else 'more than one' end
          from statement_lines l
          left join matches m on m.tenant_id = l.tenant_id and m.statement_id = l.statement_id and m.line_no = l.line_no
          left join unmatched_lines u on u.tenant_id = l.tenant_id and u.statement_id = l.statement_id and u.line_no = l.line_no
          left join settled_lines w on w.tenant_id = l.tenant_id and w.statement_id = l.statement_id and w.line_no = l.line_no
         where (m.line_no is null and w.line_no is null) = (u.line_no is null) or (m.line_no is not null and w.how <> 'withdrawn')
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
        "orders-are-paid-once",
        "every line that pays an order is money out of its amount in that account, and pays a part of an order that no other line does",
        """
        select format('statement %s, line %s', w.statement_id, w.line_no), format('%s of order %s, once', coalesce(p.amount, 0), w.event_id),
               format('%s of %s lines', -l.amount, count(*) over (partition by w.event_id, s.account))
          from settled_lines w
          join statement_lines l on l.tenant_id = w.tenant_id and l.statement_id = w.statement_id and l.line_no = w.line_no
          join statements s on s.tenant_id = w.tenant_id and s.statement_id = w.statement_id
          left join (select o.event_id, c.party, sum(t.amount) as amount from orders o
                       join transfers t on t.member_id = -o.tenant_id and t.event_id = o.event_id
                       join chart c on c.tenant_id = o.tenant_id and c.code = t.credit and c.kind = 'collections' group by 1, 2) p
            on p.event_id = w.event_id and p.party = s.account
         where w.how = 'order' and (-l.amount is distinct from p.amount
            or exists (select from settled_lines x join statements y on y.tenant_id = x.tenant_id and y.statement_id = x.statement_id
                        where x.how = 'order' and x.event_id = w.event_id and y.account = s.account
                          and (x.statement_id, x.line_no) <> (w.statement_id, w.line_no)))
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
