"""SQL of what a fund does with all of its units: splits and income, laid out and booked by ranges of members."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from engine.funds.rules import MOST_MEMBERS_IN_RANGE, ActionTerms, Ratio
from engine.runtime.database import driver

SPLIT, IN_UNITS, IN_CASH = "split", "income-in-units", "income-in-cash"


@dataclass(frozen=True, slots=True)
class FundAction:
    """A split or distribution, and how far it has come. `had` and `got` are what its accounts had and got so far; smallest units."""

    number: int
    kind: str
    fund_id: int
    fund: str
    unit_scale: int
    product: str
    on: date
    ratio: Ratio
    stated: int
    residue: int
    reference: str
    state: str
    digest: str
    terms: ActionTerms
    members: int
    settled_event: int
    maker: str
    checker: str
    had: int
    got: int


@dataclass(frozen=True, slots=True)
class Split:
    """A split of a fund's units: from `on` on there are `ratio` of each; its state is "proposed", "approved" or "done"."""

    on: date
    ratio: Ratio
    state: str


_ACTIONS = """
select a.action_no, a.kind, a.fund_id, f.code, f.unit_scale, a.product, a.on_date, a.multiplier, a.divisor, a.stated, a.residue, a.reference,
       a.state, a.digest, a.terms, a.members, a.settled_event, m.name as maker, coalesce(k.name, '') as checker, l.had, l.got
  from fund_actions a join funds f on f.tenant_id = a.tenant_id and f.fund_id = a.fund_id
  join actors m on m.tenant_id = a.tenant_id and m.actor_id = a.maker
  left join actors k on k.tenant_id = a.tenant_id and k.actor_id = a.checker
 cross join lateral (select coalesce(sum(base), 0)::bigint as had, coalesce(sum(got), 0)::bigint as got
                       from fund_action_lines l where l.action_no = a.action_no) l
"""


def _action(row: Sequence[object]) -> FundAction:
    (
        number,
        kind,
        fund_id,
        fund,
        scale,
        product,
        on,
        multiplier,
        divisor,
        stated,
        residue,
        reference,
        state,
        digest,
        terms,
        *rest,
    ) = row
    return FundAction(
        number, kind, fund_id, fund, scale, product, on, Ratio(multiplier, divisor), stated, residue, reference, state, digest,  # type: ignore[arg-type]
        msgspec.convert(terms, ActionTerms), *rest,  # type: ignore[arg-type]
    )  # fmt: skip


async def find_action(session: AsyncSession, number: int, *, hold: bool = False) -> FundAction | None:
    """Return an action; held, nobody else can decide on it or finish it until the session ends."""
    if hold:
        await session.execute(text("select from fund_actions where action_no = :n for update"), {"n": number})
    row = (await session.execute(text(f"{_ACTIONS} where a.action_no = :n"), {"n": number})).one_or_none()
    return None if row is None else _action(row)


async def list_actions(session: AsyncSession, *, most: int) -> list[FundAction]:
    """Return the newest actions, the newest first."""
    rows = await session.execute(text(f"{_ACTIONS} order by a.action_no desc limit :most"), {"most": most})
    return [_action(row) for row in rows]


async def open_action(session: AsyncSession, fund_id: int) -> int | None:
    """Return the number of the fund's action that is not finished, if there is one."""
    found: int | None = await session.scalar(
        text("select action_no from fund_actions where fund_id = :f and state in ('proposed', 'approved')"),
        {"f": fund_id},
    )
    return found


async def splits(session: AsyncSession, fund_ids: Sequence[int]) -> dict[int, list[Split]]:
    """Return by fund the splits that were not rejected, the earliest first."""
    rows = await session.execute(
        text("""select fund_id, on_date, multiplier, divisor, state from fund_actions
                 where kind = 'split' and state <> 'rejected' and fund_id = any(:funds) order by fund_id, on_date, action_no"""),
        {"funds": list(fund_ids)},
    )
    found: dict[int, list[Split]] = {}
    for row in rows:
        found.setdefault(row.fund_id, []).append(Split(row.on_date, Ratio(row.multiplier, row.divisor), row.state))
    return found


async def find_fund(session: AsyncSession, fund: str) -> tuple[int, int] | None:
    """Return (fund_id, unit_scale) of a fund that was dealt in."""
    row = (
        await session.execute(text("select fund_id, unit_scale from funds where code = :fund"), {"fund": fund})
    ).one_or_none()
    return None if row is None else (row.fund_id, row.unit_scale)


async def is_priced_from(session: AsyncSession, fund_id: int, day: date) -> bool:
    """Return whether a price of the fund was accepted for the day or a later one."""
    return bool(
        await session.scalar(
            text("select exists (select from prices where fund_id = :f and price_on >= :day and state = 'accepted')"),
            {"f": fund_id, "day": day},
        )
    )


async def is_held_before(session: AsyncSession, fund_id: int, day: date) -> bool:
    """Return whether a price of the fund of before the day waits for a second person, by itself or by a correction."""
    return bool(
        await session.scalar(
            text("""select exists (select from prices where fund_id = :f and price_on < :day and state = 'held')
                        or exists (select from price_corrections where fund_id = :f and price_on < :day and state in ('proposed', 'approved'))"""),
            {"f": fund_id, "day": day},
        )
    )


async def is_taken(session: AsyncSession, reference: str) -> bool:
    """Return whether a manager's payment is expected by the reference already, or has come by it."""
    return bool(
        await session.scalar(
            text("""select exists (select from sale_orders where reference = :r)
                        or exists (select from fund_actions where reference = :r and state <> 'rejected')"""),
            {"r": reference},
        )
    )


async def orders_in_progress(session: AsyncSession, fund_id: int) -> list[tuple[int, date | None]]:
    """Return (dealing, day of the price that it took, if it did) of the fund's orders that are not finished."""
    rows = await session.execute(
        text("""select dealing_id, price_on from orders where fund_id = :f and state <> 'priced'
                union all select dealing_id, price_on from sale_orders where fund_id = :f and state <> 'priced' order by 1"""),
        {"f": fund_id},
    )
    return [(row.dealing_id, row.price_on) for row in rows]


@dataclass(frozen=True, slots=True)
class NewAction:
    """An action as it is proposed."""

    kind: str
    fund_id: int
    product: str
    on: date
    ratio: Ratio
    stated: int
    reference: str
    terms: ActionTerms
    maker: int


async def add_action(session: AsyncSession, new: NewAction) -> int:
    """Add a proposal; return its number. The caller holds the tenant's prices."""
    found = await session.scalar(
        text("""insert into fund_actions (tenant_id, action_no, kind, fund_id, product, on_date, multiplier, divisor, stated, reference, terms, maker)
                select :t, coalesce(max(action_no), 0) + 1, :kind, :f, :product, :on, :m, :d, :stated, :reference, cast(:terms as jsonb), :maker
                  from fund_actions returning action_no"""),
        {
            "t": session.info["tenant_id"], "kind": new.kind, "f": new.fund_id, "product": new.product, "on": new.on,
            "m": new.ratio.multiplier, "d": new.ratio.divisor, "stated": new.stated, "reference": new.reference,
            "terms": msgspec.json.encode(new.terms).decode(), "maker": new.maker,
        },
    )  # fmt: skip
    return int(found or 0)


async def propose(session: AsyncSession, number: int, *, members: int, digest: str, event_id: int) -> None:
    """Note what a proposal comes to."""
    await session.execute(
        text("update fund_actions set members = :m, digest = :d, proposed_event = :e where action_no = :n"),
        {"m": members, "d": digest, "e": event_id, "n": number},
    )


async def decide(session: AsyncSession, number: int, *, state: str, checker: int, event_id: int) -> None:
    """Note what a second person decided."""
    await session.execute(
        text("update fund_actions set state = :s, checker = :c, decided_event = :e where action_no = :n"),
        {"s": state, "c": checker, "e": event_id, "n": number},
    )


async def finish(session: AsyncSession, number: int, *, residue: int, event_id: int) -> None:
    """Note that all of an action is booked."""
    await session.execute(
        text("update fund_actions set state = 'done', residue = :r, finished_event = :e where action_no = :n"),
        {"r": residue, "e": event_id, "n": number},
    )


async def actions_to_book(session: AsyncSession) -> list[int]:
    """Return the numbers of the approved actions that can be booked: those paid in cash once the manager's money is there."""
    rows = await session.scalars(
        text(
            """select action_no from fund_actions where state = 'approved' and (kind <> 'income-in-cash' or settled_event <> 0) order by 1"""
        )
    )
    return list(rows)


async def residues(session: AsyncSession, fund: str, *, until: date | None = None) -> dict[str, int]:
    """Return the residue in units of a fund by owner, now or at the end of a business day; smallest units."""
    rows = await session.execute(
        text("""select c.party, sum(case when t.credit = c.code then t.amount else -t.amount end)::bigint as units
                  from chart c join funds f on f.tenant_id = c.tenant_id and f.code = c.fund
                  join assets s on s.tenant_id = c.tenant_id and s.asset_id = c.code / 4096 and s.kind = 'units'
                  join transfers t on c.code in (t.debit, t.credit)
                  join events e on e.event_id = t.event_id and e.member_id = -t.tenant_id
                 where c.kind = 'residue' and c.fund = :fund and (cast(:until as date) is null or e.business_date <= :until) group by 1 order by 1"""),
        {"fund": fund, "until": until},
    )
    return {row.party: row.units for row in rows if row.units}


# -- income: laid out when it is proposed

_INCOME = """
with own as (select * from unnest(%(codes)s::int[], %(targets)s::int[]) o(code, target)),
had as (
  select t.member_id, own.target, sum(case when t.credit = own.code then t.amount else -t.amount end)::bigint as base
    from own join transfers t on own.code in (t.debit, t.credit)
    join events e on e.event_id = t.event_id and e.member_id in (t.member_id, %(house)s)
   where t.member_id > 0 and e.business_date <= %(on)s group by 1, 2),
laid as (
  insert into fund_action_lines (member_id, base, got, tenant_id, action_no, code)
  select member_id, base, floor_units(base, %(m)s, %(d)s), %(t)s, %(n)s, target from had where base > 0 and floor_units(base, %(m)s, %(d)s) > 0
  returning got)
select (select coalesce(sum(base), 0)::bigint from had), (select coalesce(sum(got), 0)::bigint from laid)
"""
_INCOME_RANGES = """
with numbered as (
  select member_id, format('%%s:%%s:%%s:%%s', member_id, code, base, got) as line, code,
         (dense_rank() over (order by member_id) - 1) / %(most)s + 1 as range_no
    from fund_action_lines where action_no = %(n)s)
insert into fund_action_ranges (tenant_id, action_no, range_no, first_member, last_member, members, digest)
select %(t)s, %(n)s, range_no, min(member_id), max(member_id), count(distinct member_id),
       encode(sha256(string_agg(line, ',' order by member_id, code)::bytea), 'hex')
  from numbered group by range_no returning range_no, members, digest
"""


@dataclass(frozen=True, slots=True)
class LaidOut:
    """What an action comes to: the units that accounts had, what they get, how many members, and a digest of every line."""

    had: int
    got: int
    members: int
    digest: str


async def lay_out_income(
    session: AsyncSession, number: int, on: date, ratio: Ratio, codes: Sequence[tuple[int, int]]
) -> LaidOut:
    """Lay down what each account gets on its units at the end of a day; `codes` are of units, each with the one that is paid."""
    connection = await driver(session)
    tenant = session.info["tenant_id"]
    given = {
        "t": tenant, "house": -tenant, "n": number, "on": on, "m": ratio.multiplier, "d": ratio.divisor, "most": MOST_MEMBERS_IN_RANGE,
        "codes": [code for code, _ in codes], "targets": [target for _, target in codes],
    }  # fmt: skip
    cursor = await connection.execute(_INCOME, given)
    row = await cursor.fetchone()
    assert row is not None
    cursor = await connection.execute(_INCOME_RANGES, given)
    ranges = sorted(await cursor.fetchall())
    whole = hashlib.sha256("".join(digest for _, _, digest in ranges).encode()).hexdigest()
    return LaidOut(int(row[0]), int(row[1]), sum(members for _, members, _ in ranges), whole)


# -- splits: laid out in ranges when they are approved, counted as they are booked

_SPLIT_RANGES = """
with numbered as (
  select member_id, (dense_rank() over (order by member_id) - 1) / %(most)s + 1 as range_no from (
    select distinct b.member_id from balances b join chart c on c.tenant_id = b.tenant_id and c.code = b.code
     where c.fund = %(fund)s and c.kind in ('units', 'selling') and b.credits > b.debits) held),
parts as (select range_no, max(member_id) as last, count(*) as members from numbered group by range_no),
-- Whoever has units by the time that a range is booked belongs to one of them.
whole as (
  select range_no, coalesce(lag(last) over w + 1, 1) as first, case when lead(last) over w is null then 9223372036854775807 else last end as last, members
    from parts window w as (order by range_no))
insert into fund_action_ranges (tenant_id, action_no, range_no, first_member, last_member, members)
select %(t)s, %(n)s, range_no, first, last, members from whole returning members
"""


async def lay_out_split(session: AsyncSession, number: int, fund: str) -> int:
    """Lay out the ranges of members by which a split is booked; return how many have units now."""
    connection = await driver(session)
    cursor = await connection.execute(
        _SPLIT_RANGES,
        {"t": session.info["tenant_id"], "n": number, "fund": fund, "most": MOST_MEMBERS_IN_RANGE},
    )
    members = sum(int(row[0]) for row in await cursor.fetchall())
    await session.execute(
        text("update fund_actions set members = :m where action_no = :n"), {"m": members, "n": number}
    )
    return members


async def ranges_left(session: AsyncSession, number: int) -> list[int]:
    """Return the numbers of an action's ranges that are not booked."""
    rows = await session.scalars(
        text("select range_no from fund_action_ranges where action_no = :n and not is_done order by 1"), {"n": number}
    )
    return list(rows)


async def hold_range(session: AsyncSession, number: int, range_no: int) -> tuple[int, int] | None:
    """Return the first and last member of a range that is not booked, which nobody else can do then; else None."""
    row = (
        await session.execute(
            text("""select first_member, last_member from fund_action_ranges
                     where action_no = :n and range_no = :r and not is_done for update"""),
            {"n": number, "r": range_no},
        )
    ).one_or_none()
    return None if row is None else (row.first_member, row.last_member)


_UNSOLD = """s.fund_id = %(f)s and s.member_id between %(first)s and %(last)s
   and not exists (select from sale_orders o where o.dealing_id = s.dealing_id and o.fund_id = s.fund_id and o.state = 'priced')"""
# Dealings first, as a cut-off takes them; then sales, as a withdrawal does; then balances, in the order of their keys.
_HOLD_SALES = (
    f"select count(*) from (select from dealings d where d.dealing_id in (select s.dealing_id from sales s where {_UNSOLD}) order by d.dealing_id for share) x",
    f"select count(*) from (select from sales s where {_UNSOLD} order by s.member_id, s.event_id, s.code for update) x",
    """select count(*) from (
         select from balances b join chart c on c.tenant_id = b.tenant_id and c.code = b.code
          where c.fund = %(fund)s and c.kind in ('units', 'selling') and b.member_id between %(first)s and %(last)s
          order by b.member_id, b.code for no key update of b) x""",
)
_SPLIT_SALES = f"""
with split as (
  update sales s set units = greatest(floor_units(s.units, %(m)s, %(d)s), 1)
    from (select member_id, event_id, code, units from sales s where {_UNSOLD}) old
   where (s.member_id, s.event_id, s.code) = (old.member_id, old.event_id, old.code)
  returning s.dealing_id, s.units - old.units as change)
update sale_orders o set units = o.units + c.change from (select dealing_id, sum(change)::bigint as change from split group by 1) c
 where o.dealing_id = c.dealing_id and o.fund_id = %(f)s
"""
_SPLIT_LINES = f"""
insert into fund_action_lines (member_id, base, got, tenant_id, action_no, code)
select b.member_id, b.credits - b.debits,
       case c.kind when 'units' then floor_units(b.credits - b.debits, %(m)s, %(d)s)
            else coalesce((select sum(s.units)::bigint from sales s where s.member_id = b.member_id and s.code = b.code and {_UNSOLD}), 0) end,
       %(t)s, %(n)s, b.code
  from balances b join chart c on c.tenant_id = b.tenant_id and c.code = b.code
 where c.fund = %(fund)s and c.kind in ('units', 'selling') and b.member_id between %(first)s and %(last)s and b.credits > b.debits
"""
_HOLD_INCOME = """
select count(*) from (
  select from balances b join fund_action_lines l on l.action_no = %(n)s and l.member_id = b.member_id and b.code = l.code
   where l.member_id between %(first)s and %(last)s order by b.member_id, b.code for no key update of b) x
"""
_MOVES = """select exists (select from fund_action_lines where action_no = %(n)s and member_id between %(first)s and %(last)s
             and got <> case when %(splits)s then base else 0 end)"""
_BOOK = """
with done as materialized (
  select member_id, code, got - case when %(splits)s then base else 0 end as change from fund_action_lines
   where action_no = %(n)s and member_id between %(first)s and %(last)s and got <> case when %(splits)s then base else 0 end),
moved as (
  insert into transfers (member_id, event_id, amount, tenant_id, debit, credit, line)
  select member_id, %(event)s, abs(change), %(t)s, case when change > 0 then %(source)s else code end,
         case when change > 0 then code else %(source)s end, row_number() over (order by member_id, code) from done),
credited as (
  insert into balances as b (member_id, code, tenant_id, debits, credits)
  select member_id, code, %(t)s, 0, change from done where change > 0 order by member_id, code
  on conflict (member_id, code) do update set credits = b.credits + excluded.credits),
debited as (
  update balances b set debits = b.debits - d.change from done d where d.change < 0 and b.member_id = d.member_id and b.code = d.code),
deltas as (
  insert into control_deltas (tenant_id, batch_id, code, debits, credits)
  select %(t)s, %(event)s, %(source)s, coalesce(sum(change) filter (where change > 0), 0)::bigint, -coalesce(sum(change) filter (where change < 0), 0)::bigint
    from done having count(*) > 0)
select count(distinct member_id)::int, coalesce(sum(change), 0)::bigint from done
"""


async def book_range(
    session: AsyncSession, one: FundAction, range_no: int, members: tuple[int, int], source: int
) -> tuple[int, int, int]:
    """Book a range over the control account `source`; return the event, whose writing is the caller's, members and units or money.

    The event is 0 where nothing moves. Of a split the balances and the sales that wait are held and counted first, and the
    orders that sell grow with them. Needs the jobs role.
    """
    connection = await driver(session)
    tenant = session.info["tenant_id"]
    given: dict[str, object] = {
        "t": tenant, "n": one.number, "f": one.fund_id, "fund": one.fund, "m": one.ratio.multiplier, "d": one.ratio.divisor,
        "first": members[0], "last": members[1], "source": source, "splits": one.kind == SPLIT,
    }  # fmt: skip
    if one.kind == SPLIT:
        for statement in (*_HOLD_SALES, _SPLIT_SALES, _SPLIT_LINES):
            await connection.execute(statement, given)
    else:
        await connection.execute(_HOLD_INCOME, given)
    cursor = await connection.execute(f"select next_batch_id() where ({_MOVES})", given)
    row = await cursor.fetchone()
    event, count, change = 0 if row is None else int(row[0]), 0, 0
    if event:
        given["event"] = event
        cursor = await connection.execute(_BOOK, given)
        booked = await cursor.fetchone()
        assert booked is not None
        count, change = booked
    await connection.execute(
        "update fund_action_ranges set is_done = true, event_id = %s where action_no = %s and range_no = %s",
        (event, one.number, range_no),
    )
    return event, count, change


@dataclass(frozen=True, slots=True)
class ActionLine:
    """What an account had and got, in smallest units."""

    member_id: int
    product: str
    pot: str
    origin: str
    account: str
    had: int
    got: int


async def lines_of(
    session: AsyncSession, number: int, *, after: tuple[int, int], most: int
) -> list[tuple[int, ActionLine]]:
    """Return lines of an action by member and account, each with its code, beyond (member_id, code)."""
    rows = await session.execute(
        text("""select l.code, l.member_id, c.product, c.pot, c.origin, c.kind, l.base, l.got
                  from fund_action_lines l join chart c on c.tenant_id = l.tenant_id and c.code = l.code
                 where l.action_no = :n and (l.member_id, l.code) > (:m, :c) order by l.member_id, l.code limit :most"""),
        {"n": number, "m": after[0], "c": after[1], "most": most},
    )
    return [(row[0], ActionLine(*row[1:])) for row in rows]
