"""SQL of matching: lines that wait, the receipts and orders they may be, and receipts that wait for a fund."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from engine.funds import service as funds
from engine.funds.rules import ReconciledReceipt
from engine.ledger.rules import EventKind
from engine.runtime.arrays import BigInts, Ints, UUIDs
from engine.runtime.database import driver


async def hold_matching(session: AsyncSession) -> None:
    """Wait until no other transaction matches lines of the tenant; keep others waiting until this one ends.

    All that this transaction joins it looks up by key: a planner fooled by tables that grew since they were last
    analysed would compare every line with every other.
    """
    await funds.hold_allocating(session)
    for plan in ("hashjoin", "mergejoin", "seqscan"):
        await session.execute(text(f"set local enable_{plan} = off"))


@dataclass(frozen=True, slots=True)
class OpenLine:
    """A line without receipt, beside the receipt that claims its reference, if there is one.

    `received` is what that receipt booked into the account of the statement; `collected` is that account's code. Money
    that went out is negative. A withdrawn line is matched already, and a later version of its statement lacks it. One that is of a batch bears a batch's reference.
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
    held_for: str | None = None
    held_until: date | None = None
    proposals: int = 0
    is_of_batch: bool = False


_COLUMNS = """
select l.statement_id, l.line_no, coalesce(l.row, l.line_no), l.code, s.account, l.value_date, l.amount, {withdrawn}, {staged},
       l.reference_digest, l.other_digest
"""

# In the order of the key, so that a page never reads more than itself.
_TRIED = (
    _COLUMNS.format(withdrawn="false", staged="null, null, 0, false")
    + """
  from unmatched_lines u
  join statement_lines l using (tenant_id, statement_id, line_no)
  join statements s using (tenant_id, statement_id)
 where (u.statement_id, u.line_no) > (%(statement)s, %(line)s) and l.amount > 0
 order by u.statement_id, u.line_no limit %(most)s
"""
)

_OPEN = (
    _COLUMNS.format(
        withdrawn="u.is_withdrawn", staged="h.waits_for, h.until, coalesce(p.proposals, 0), b.digest is not null"
    )
    + """
  from (select tenant_id, statement_id, line_no, false as is_withdrawn from unmatched_lines
         union all
        select w.tenant_id, w.statement_id, w.line_no, true from settled_lines w
          join matches m using (tenant_id, statement_id, line_no) where w.how = 'withdrawn') u
  join statement_lines l using (tenant_id, statement_id, line_no)
  join statements s using (tenant_id, statement_id)
  left join lateral (select b.waits_for, b.until from break_proposals b
        where (b.tenant_id, b.statement_id, b.line_no) = (u.tenant_id, u.statement_id, u.line_no)
          and b.action = 'hold' and b.state = 'confirmed' order by b.proposal_id desc limit 1) h on true
  left join lateral (select count(*)::int as proposals from break_proposals b
        where (b.tenant_id, b.statement_id, b.line_no) = (u.tenant_id, u.statement_id, u.line_no) and b.state = 'proposed') p on true
  left join lateral (select r.digest from batch_receipts r
        where r.tenant_id = u.tenant_id and r.digest in (l.reference_digest, l.other_digest) limit 1) b on true
 where (u.statement_id, u.line_no) > (%(statement)s, %(line)s) and (%(ids)s::bigint[] is null or u.statement_id = any(%(ids)s))
 order by u.statement_id, u.line_no limit %(most)s
"""
)

# The sum stops an index from being used for the ids, which would search it once for each.
_RECEIPTS = """
select member_id, event_id, kind from events
 where event_id between %s and %s and kind in (10, 11, 153) and event_id + 0 = any(%b)
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

ReceiptFound = tuple[int, bool, int | None, int | None, bool, bool]
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
    cursor = await connection.execute(
        "select digest, event_id from claims where digest = any(%b)", (UUIDs(wanted_digests),)
    )
    claimed: dict[UUID, int] = dict(await cursor.fetchall())
    receipts: dict[int, tuple[int, int]] = {}
    for events in _by_stretch(claimed.values()):
        cursor = await connection.execute(_RECEIPTS, (events[0], events[-1], BigInts(events)))
        receipts.update({event: (member, kind) for member, event, kind in await cursor.fetchall()})

    def event_of(digests: Sequence[UUID | None]) -> int:
        return next((claimed[one] for one in digests if one in claimed and claimed[one] in receipts), 0)

    wanted = {(event, line[4]) for line in lines if (event := event_of(line[-2:]))}
    keys = sorted((receipts[event][0], event, account) for event, account in wanted)
    cursor = await connection.execute(_FACTS, tuple([key[i] for key in keys] for i in range(3)))
    facts = {(row[0], row[1]): row[2:] for row in await cursor.fetchall()}
    found = []
    for number, line_no, row, code, account, value_date, amount, is_withdrawn, *staged, first, second in lines:
        digests = (first, second)
        held_for, held_until, proposals, is_of_batch = staged
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
                is_suspended=kind in (EventKind.CONTRIBUTION_SUSPENDED, EventKind.MATCH_RECEIVED),
                is_reversed=is_reversed,
                is_matched=is_matched,
                is_withdrawn=is_withdrawn,
                collected=collected,
                received=received,
                held_for=held_for,
                held_until=held_until,
                proposals=proposals,
                is_of_batch=is_of_batch,
            )
        )
    return found


async def receipts_in(session: AsyncSession, account: str, event_ids: Sequence[int]) -> dict[int, ReceiptFound]:
    """Return (member, is suspended, account's code, what it booked there, is reversed, is matched) of receipts, by event."""
    connection = await driver(session)
    found: dict[int, ReceiptFound] = {}
    for events in _by_stretch(event_ids):
        cursor = await connection.execute(_RECEIPTS, (events[0], events[-1], BigInts(events)))
        kinds = {event: (member, kind) for member, event, kind in await cursor.fetchall()}
        keys = ([member for member, _ in kinds.values()], list(kinds), [account] * len(kinds))
        cursor = await connection.execute(_FACTS, keys)
        for event, _, code, received, is_reversed, is_matched in await cursor.fetchall():
            member, kind = kinds[event]
            is_suspended = kind in (EventKind.CONTRIBUTION_SUSPENDED, EventKind.MATCH_RECEIVED)
            found[event] = (member, is_suspended, code, received, is_reversed, is_matched)
    return found


def _stretches(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join sorted ranges of event ids wherever less than an hour lies between two: each is one range of the block-range index."""
    found: list[tuple[int, int]] = []
    for first, last in ranges:
        if found and first - found[-1][1] <= _HOUR:
            found[-1] = (found[-1][0], last)
        else:
            found.append((first, last))
    return found


def _by_stretch(event_ids: Iterable[int]) -> Iterator[list[int]]:
    """Yield the event ids of each stretch, sorted."""
    events = sorted(set(event_ids))
    for first, last in _stretches([(event, event) for event in events]):
        yield events[bisect_left(events, first) : bisect_right(events, last)]


async def count_open_lines(session: AsyncSession, statement_ids: Sequence[int]) -> int:
    """Return how many lines of the statements have no receipt."""
    value = await session.scalar(
        text("select count(*) from unmatched_lines where statement_id = any(:ids)"), {"ids": list(statement_ids)}
    )
    return int(value)


_TABLES = """
create temporary table if not exists tried_lines (
  statement_id bigint, amount bigint, first_event bigint, second_event bigint, line_no int) on commit drop;
create temporary table if not exists claimed_ids (event_id bigint) on commit drop;
create temporary table if not exists claimed_receipts (event_id bigint, member_id bigint, kind int) on commit drop;
create temporary table if not exists booked_receipts (event_id bigint, member_id bigint, amount bigint, debit int) on commit drop;
create temporary table if not exists lines_beside (
  member_id bigint, event_id bigint, statement_id bigint, amount bigint, line_no int, collected int, is_suspended boolean) on commit drop;
create temporary table if not exists picked_lines (
  member_id bigint, event_id bigint, statement_id bigint, amount bigint, line_no int, collected int,
  is_suspended boolean, is_reversed boolean) on commit drop;
truncate tried_lines, claimed_ids, claimed_receipts, booked_receipts, lines_beside, picked_lines
"""

_TRY = """
insert into tried_lines (statement_id, amount, first_event, second_event, line_no)
select q.statement_id, q.amount, k1.event_id, k2.event_id, q.line_no
  from (select u.statement_id, u.line_no, l.amount, l.reference_digest, l.other_digest
          from unmatched_lines u
          join statement_lines l using (tenant_id, statement_id, line_no)
         where (u.statement_id, u.line_no) > (%(statement)s, %(line)s) and l.amount > 0
         order by u.statement_id, u.line_no limit %(most)s) q
  left join claims k1 on k1.digest = q.reference_digest
  left join claims k2 on k2.digest = q.other_digest
"""

_HOURS = "select min(event_id), max(event_id) from claimed_ids group by event_id / %s order by 1"

_CLAIMED = """
insert into claimed_receipts (event_id, member_id, kind)
select event_id, member_id, kind from events
 where event_id between %(first)s and %(last)s and kind in (10, 11, 153)
   and event_id + 0 in (select event_id from claimed_ids where event_id between %(first)s and %(last)s)
"""

# What the receipts booked, from one scan of each stretch: seeking each by its key would ask every month's table.
_BOOKED = """
insert into booked_receipts (event_id, member_id, amount, debit)
select event_id, member_id, sum(amount)::bigint, debit from transfers
 where event_id between %(first)s and %(last)s
   and event_id + 0 in (select event_id from claimed_receipts where event_id between %(first)s and %(last)s)
 group by 1, 2, 4
"""

# A line beside the receipt that bears its first reference, or else its other one, if that booked exactly the line's amount.
_BESIDE = """
insert into lines_beside (member_id, event_id, statement_id, amount, line_no, collected, is_suspended)
select b.member_id, b.event_id, t.statement_id, t.amount, t.line_no, a.code, coalesce(one.kind, other.kind) in (11, 153)
  from tried_lines t
  left join claimed_receipts one on one.event_id = t.first_event
  left join claimed_receipts other on other.event_id = t.second_event and one.event_id is null
  join statements s using (statement_id)
  join chart a on a.kind = 'collections' and a.party = s.account
  join booked_receipts b on b.event_id = coalesce(one.event_id, other.event_id) and b.member_id = coalesce(one.member_id, other.member_id)
   and b.debit = a.code and b.amount = t.amount
"""

# A receipt is shown by the first line of them. The limits keep each look-up one by key, in the order of the keys: what is
# matched already is never read whole.
_PICK = """
insert into picked_lines (member_id, event_id, statement_id, amount, line_no, collected, is_suspended, is_reversed)
select distinct on (l.member_id, l.event_id) l.member_id, l.event_id, l.statement_id, l.amount, l.line_no, l.collected, l.is_suspended,
       reversed.yes is not null
  from (select * from lines_beside order by member_id, event_id, statement_id, line_no offset 0) l
  left join lateral (select true as yes from matches m where m.member_id = l.member_id and m.event_id = l.event_id limit 1) matched on true
  left join lateral (select true as yes from corrections x
                      where x.corrects_member = l.member_id and x.corrects_event = l.event_id limit 1) reversed on true
 where matched.yes is null
 order by l.member_id, l.event_id, l.statement_id, l.line_no
"""


async def pick_lines(
    session: AsyncSession, *, after: tuple[int, int], most: int
) -> tuple[int, int, tuple[int, int] | None]:
    """Lay out, as the transaction's own `picked_lines`, what of the lines after (statement_id, line_no) is one receipt's.

    Returns how many lines were tried and picked, and the last one tried if there may be more.
    """
    connection = await driver(session)
    for statement in _TABLES.split(";"):
        await connection.execute(statement)
    tried = (await connection.execute(_TRY, {"statement": after[0], "line": after[1], "most": most})).rowcount
    await connection.execute(
        """insert into claimed_ids select first_event from tried_lines where first_event is not null
           union all select second_event from tried_lines where second_event is not null"""
    )
    hours = await (await connection.execute(_HOURS, (_HOUR,))).fetchall()
    # What is joined here is bounded by the lines tried, and by the stretches of the log that their receipts lie in.
    for table in ("tried_lines", "claimed_ids"):
        await connection.execute(f"analyze {table}")
    await connection.execute("set local enable_hashjoin = on")
    stretches = [{"first": first, "last": last} for first, last in _stretches(hours)]
    for stretch in stretches:
        await connection.execute(_CLAIMED, stretch)
    await connection.execute("analyze claimed_receipts")
    for stretch in stretches:
        await connection.execute(_BOOKED, stretch)
    await connection.execute("analyze booked_receipts")
    await connection.execute(_BESIDE)
    await connection.execute("set local enable_hashjoin = off")
    await connection.execute("analyze lines_beside")
    picked = (await connection.execute(_PICK)).rowcount
    last_tried: tuple[int, int] | None = None
    if tried == most:
        cursor = await connection.execute(
            "select statement_id, line_no from tried_lines order by statement_id desc, line_no desc limit 1"
        )
        last_tried = await cursor.fetchone()
    return tried, picked, last_tried


async def lay_out_picked(session: AsyncSession, picked: Mapping[tuple[int, int], OpenLine]) -> None:
    """Lay out lines, each beside the receipt (member_id, event_id) that it shows, as the transaction's own `picked_lines`."""
    connection = await driver(session)
    for statement in _TABLES.split(";"):
        await connection.execute(statement)
    await connection.execute(
        "insert into picked_lines select * from unnest(%b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::int[], %b::int[], %s::boolean[], %s::boolean[])",
        (
            BigInts([member for member, _ in picked]),
            BigInts([event for _, event in picked]),
            BigInts([line.statement_id for line in picked.values()]),
            BigInts([line.amount for line in picked.values()]),
            Ints([line.line_no for line in picked.values()]),
            Ints([line.collected for line in picked.values()]),
            [line.is_suspended for line in picked.values()],
            [line.is_reversed for line in picked.values()],
        ),
    )


@dataclass(frozen=True, slots=True)
class PickedOf:
    """What was picked of a statement: how many lines, and their sum in smallest units."""

    statement_id: int
    account: str
    sha256: str
    lines: int
    amount: int


async def stage_picked(session: AsyncSession) -> list[PickedOf]:
    """Stage the members' picked receipts for allocation, which `staged_receipts` was made for; return what was picked."""
    connection = await driver(session)
    await connection.execute(
        """insert into staged_receipts (member_id, event_id, collected)
           select member_id, event_id, collected from picked_lines where not is_suspended and not is_reversed"""
    )
    cursor = await connection.execute(
        """select p.statement_id, s.account, s.sha256, count(*), sum(p.amount)::bigint
             from (select distinct on (statement_id, line_no) statement_id, amount from picked_lines
                    order by statement_id, line_no) p
             join statements s using (statement_id)
            group by 1, 2, 3 order by 1"""
    )
    return [PickedOf(*row) for row in await cursor.fetchall()]


async def match_picked(
    session: AsyncSession, events: Mapping[int, int], without_choice: Sequence[tuple[int, int]]
) -> None:
    """Match what was picked by the event of each statement; the lines wait no more. Needs the jobs role.

    Receipts in suspense, and members' `without_choice` of a fund, wait with their cash for the next allocation.
    """
    connection = await driver(session)
    tenant = session.info["tenant_id"]
    await connection.execute(
        """insert into matches (tenant_id, member_id, event_id, statement_id, line_no, matched_event)
           select %s, p.member_id, p.event_id, p.statement_id, p.line_no, e.event_id
             from picked_lines p join unnest(%s::bigint[], %s::bigint[]) e(statement_id, event_id) using (statement_id)""",
        (tenant, list(events), list(events.values())),
    )
    await connection.execute(
        """delete from unmatched_lines u using picked_lines p
            where u.tenant_id = %s and u.statement_id = p.statement_id and u.line_no = p.line_no""",
        (tenant,),
    )
    await connection.execute(
        """insert into unallocated (tenant_id, member_id, event_id, collected, reason)
           select %s, member_id, event_id, collected, 'suspended' from picked_lines where is_suspended and not is_reversed
            union all
           select %s, p.member_id, p.event_id, p.collected, 'no-fund-choice'
             from picked_lines p join unnest(%b::bigint[], %b::bigint[]) w(member_id, event_id) using (member_id, event_id)""",
        (
            tenant,
            tenant,
            BigInts([member for member, _ in without_choice]),
            BigInts([event for _, event in without_choice]),
        ),
    )


@dataclass(frozen=True, slots=True)
class OtherLine:
    """A line that waits and is no receipt: money out (`amount` < 0), or in; the digests are claims of what it may be of."""

    statement_id: int
    line_no: int
    account: str
    amount: int
    digests: tuple[UUID, ...]
    value_date: date


async def open_money_out(session: AsyncSession, *, most: int) -> list[OtherLine]:
    """Return lines of money that went out and wait, the first statement's first."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select l.statement_id, l.line_no, s.account, l.amount, l.reference_digest, l.other_digest, l.value_date
             from unmatched_lines u
             join statement_lines l using (tenant_id, statement_id, line_no) join statements s using (tenant_id, statement_id)
            where l.amount < 0 order by l.statement_id, l.line_no limit %s""",
        (most,),
    )
    return [
        OtherLine(statement, line, account, amount, (first,) if second is None else (first, second), day)
        for statement, line, account, amount, first, second, day in await cursor.fetchall()
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


async def unshown_reversals(session: AsyncSession, digests: Sequence[UUID]) -> list[tuple[UUID, OrderPart]]:
    """Return payments that were taken back and that no line shows yet, by the claims of their receipts among `digests`."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select k.digest, v.reversed_event, c.party, v.amount from claims k
            cross join lateral (select k.event_id union all select s.event_id from suspense s
                                  where s.tenant_id = k.tenant_id and s.of_event = k.event_id and s.of_event <> 0) r
             join reversals v on v.tenant_id = k.tenant_id and v.event_id = r.event_id and v.state = 'reversed' and v.given_to = 0
             join transfers t on t.member_id = v.member_id and t.event_id = v.reversed_event
             join chart c on c.tenant_id = v.tenant_id and c.code = t.credit and c.kind = 'collections'
            where k.digest = any(%s)
              and not exists (select from settled_lines w where w.tenant_id = v.tenant_id and w.event_id = v.reversed_event)
            group by 1, 2, 3, 4""",
        (list(digests),),
    )
    return [
        (digest, OrderPart(event, account, amount, "")) for digest, event, account, amount in await cursor.fetchall()
    ]


async def open_money_in(session: AsyncSession, digests: Sequence[UUID]) -> list[OtherLine]:
    """Return lines of money that came in, wait, and bear one of the references, the first statement's first."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select l.statement_id, l.line_no, s.account, l.amount, l.reference_digest, l.other_digest, l.value_date
             from unmatched_lines u
             join statement_lines l using (tenant_id, statement_id, line_no) join statements s using (tenant_id, statement_id)
            where l.amount > 0 and (l.reference_digest = any(%(digests)s) or l.other_digest = any(%(digests)s))
            order by l.statement_id, l.line_no""",
        {"digests": list(digests)},
    )
    return [
        OtherLine(statement, line, account, amount, (first,) if second is None else (first, second), day)
        for statement, line, account, amount, first, second, day in await cursor.fetchall()
    ]


async def collection_accounts(session: AsyncSession) -> list[str]:
    """Return the collection accounts that statements came of."""
    return list(await session.scalars(text("select distinct account from statements order by 1")))


async def settle_lines(session: AsyncSession, rows: Sequence[tuple[int, int, int]], *, how: str) -> None:
    """Settle (statement_id, line_no) as what shows the money of an event.

    `how` is "order", "proceeds", "payout", "reversal" (a payment that was taken back), "part" (one of several lines of a receipt) or
    "cause" (booked for a cause of the pack). The lines wait no more. Needs the jobs role.
    """
    connection = await driver(session)
    await connection.execute(
        """with settled as (
             insert into settled_lines (tenant_id, statement_id, line_no, how, event_id)
             select %s, k.statement_id, k.line_no, %s, k.event_id
               from unnest(%s::bigint[], %s::int[], %s::bigint[]) k(statement_id, line_no, event_id)
             returning tenant_id, statement_id, line_no)
           delete from unmatched_lines u using settled w
            where u.tenant_id = w.tenant_id and u.statement_id = w.statement_id and u.line_no = w.line_no""",
        (session.info["tenant_id"], how, *([row[i] for row in rows] for i in range(3))),
    )


@dataclass(frozen=True, slots=True)
class Ready:
    """A waiting receipt that may be allocated now, with the receipt it was matched as: of the house while in suspense.

    `earned` is what credited what it earned there, to be invested with it.
    """

    member_id: int
    event_id: int
    receipt: ReconciledReceipt
    earned: ReconciledReceipt | None


async def ready_receipts(session: AsyncSession, *, after: tuple[int, int], most: int) -> list[Ready]:
    """Return waiting receipts after (member_id, event_id) that are a member's now, and were not reversed.

    What was posted to a wrong member before waits until its first receipt is matched.
    """
    connection = await driver(session)
    cursor = await connection.execute(
        """select u.member_id, u.event_id, coalesce(r.member_id, u.member_id), coalesce(r.resolved_event, u.event_id), u.collected,
                  coalesce(r.earned_event, 0)
             from unallocated u
             left join suspense_resolutions r on r.tenant_id = u.tenant_id and r.event_id = u.event_id and u.reason = 'suspended'
             left join suspense s on s.tenant_id = u.tenant_id and s.event_id = u.event_id and s.of_event <> 0 and u.reason = 'suspended'
            where (u.member_id, u.event_id) > (%s, %s) and (u.reason <> 'suspended' or r.event_id is not null)
              and (s.event_id is null or exists (select from matches m where m.member_id = s.of_member and m.event_id = s.of_event))
              and not exists (select from corrections x where x.corrects_member = coalesce(r.member_id, u.member_id)
                                 and x.corrects_event = coalesce(r.resolved_event, u.event_id))
            order by u.member_id, u.event_id limit %s""",
        (*after, most),
    )
    return [
        Ready(
            member,
            event,
            ReconciledReceipt(owner, receipt, collected),
            ReconciledReceipt(owner, earned, collected) if earned else None,
        )
        for member, event, owner, receipt, collected, earned in await cursor.fetchall()
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
                       coalesce(s.amount, (select coalesce(sum(t.amount), 0)::bigint from transfers t
                         where t.member_id = u.member_id and t.event_id = u.event_id and t.debit = u.collected)) as amount,
                       case when r.event_id is null then u.reason else 'no-fund-choice' end as reason
                  from unallocated u join chart c on c.tenant_id = u.tenant_id and c.code = u.collected
                  left join suspense_resolutions r on r.tenant_id = u.tenant_id and r.event_id = u.event_id
                  left join suspense s on s.tenant_id = u.tenant_id and s.event_id = u.event_id and s.of_event <> 0
                 where (s.event_id is null or exists (select from matches m where m.member_id = s.of_member and m.event_id = s.of_event))
                   and not exists (select from corrections x where x.corrects_member = coalesce(r.member_id, u.member_id)
                                      and x.corrects_event = coalesce(r.resolved_event, u.event_id))
                   and not exists (select from suspense_refunds f where f.event_id = u.event_id and f.home_event = 0)
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
    is_refunded: bool
    resolved_member: int | None
    resolved_event: int | None


async def receipt_facts(session: AsyncSession, member_id: int, event_id: int) -> ReceiptFacts | None:
    """Return what is known of a receipt; a resolved one may be named by either of its events."""
    row: Any = (
        await session.execute(
            text("""select e.kind,
                           exists (select from matches m where (m.member_id = e.member_id and m.event_id = e.event_id)
                                                          or (m.member_id = -e.tenant_id and m.event_id = r.event_id)
                                                          or (m.member_id = s.of_member and m.event_id = s.of_event)) as is_matched,
                           exists (select from corrections x
                                    where (x.corrects_member = e.member_id and x.corrects_event = e.event_id)
                                       or (x.corrects_member = r.member_id and x.corrects_event = r.resolved_event)) as is_reversed,
                           exists (select from suspense_refunds f where f.event_id = e.event_id and f.home_event = 0) as is_refunded,
                           r.member_id as resolved_member, r.resolved_event
                      from events e
                      left join suspense_resolutions r on r.tenant_id = e.tenant_id and (r.event_id = e.event_id or r.resolved_event = e.event_id)
                      left join suspense s on s.tenant_id = e.tenant_id and s.event_id = coalesce(r.event_id, e.event_id) and s.of_event <> 0
                     where e.member_id = :m and e.event_id = :e and e.kind in (10, 11, 12, 265)"""),
            {"m": member_id, "e": event_id},
        )
    ).first()
    return None if row is None else ReceiptFacts(*row)
