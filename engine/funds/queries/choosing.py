"""SQL of the funds that members choose for new money, and of the yearly switches by which holdings follow a path of ages."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from engine.funds.rules import MOST_MEMBERS_IN_RANGE
from engine.runtime.database import driver


@dataclass(frozen=True, slots=True)
class FundChoice:
    """The funds that a member wants new money of a product to go to, in basis points; None: those that the rules say."""

    product: str
    shares: Mapping[str, int] | None
    chosen_on: date


async def is_in_product(session: AsyncSession, member_id: int, product: str) -> bool:
    """Return whether a member is in a product now."""
    return bool(
        await session.scalar(
            text("select exists (select from memberships where member_id = :m and product = :p and moved_to = '')"),
            {"m": member_id, "p": product},
        )
    )


async def keep_choice(
    session: AsyncSession, member_id: int, product: str, shares: Mapping[str, int] | None, *, on: date, event_id: int
) -> None:
    """Keep what a member wants from now on."""
    await session.execute(
        text("""insert into fund_choices (member_id, product, tenant_id, chosen_event, chosen_on, shares)
                values (:m, :p, :t, :e, :on, cast(:shares as jsonb))
                on conflict (member_id, product) do update
                  set chosen_event = excluded.chosen_event, chosen_on = excluded.chosen_on, shares = excluded.shares"""),
        {
            "m": member_id, "p": product, "t": session.info["tenant_id"], "e": event_id, "on": on,
            "shares": None if shares is None else msgspec.json.encode(shares).decode(),
        },
    )  # fmt: skip


async def choices_of(session: AsyncSession, member_id: int) -> list[FundChoice]:
    """Return what a member wants, by product."""
    rows = await session.execute(
        text("select product, shares, chosen_on from fund_choices where member_id = :m order by product"),
        {"m": member_id},
    )
    return [FundChoice(*row) for row in rows]


# -- holdings that follow the path


async def has_begun(session: AsyncSession, product: str, year_from: date) -> bool:
    """Return whether a product's holdings were brought onto the path for a scheme year, or are being."""
    return bool(
        await session.scalar(
            text("select exists (select from rebalancings where product = :p and year_from = :y)"),
            {"p": product, "y": year_from},
        )
    )


async def unpriced_funds(session: AsyncSession, product: str) -> list[str]:
    """Return the funds that members of a product hold units of, and that no price was accepted for."""
    rows = await session.scalars(
        text("""select distinct c.fund from chart c join funds f on f.tenant_id = c.tenant_id and f.code = c.fund
                 where c.product = :p and c.kind = 'units'
                   and not exists (select from prices p where p.fund_id = f.fund_id and p.state = 'accepted') order by 1"""),
        {"p": product},
    )
    return list(rows)


async def hold_rebalancing(session: AsyncSession) -> None:
    """Wait until no other transaction begins to bring holdings onto a path; keep others waiting until this one ends."""
    await session.execute(text("select pg_advisory_xact_lock(7301, :t)"), {"t": session.info["tenant_id"]})


async def begin(session: AsyncSession, product: str, year_from: date, *, rule: str, event_id: int) -> int:
    """Lay out the members of a product who hold units in ranges; return how many there are."""
    connection = await driver(session)
    given = {
        "t": session.info["tenant_id"], "p": product, "y": year_from, "rule": rule, "e": event_id, "most": MOST_MEMBERS_IN_RANGE,
    }  # fmt: skip
    await connection.execute(
        "insert into rebalancings (tenant_id, product, year_from, rule, begun_event) values (%(t)s, %(p)s, %(y)s, %(rule)s, %(e)s)",
        given,
    )
    cursor = await connection.execute(
        """insert into rebalancing_ranges (tenant_id, product, year_from, range_no, first_member, last_member, members)
           select %(t)s, %(p)s, %(y)s, range_no, min(member_id), max(member_id), count(*) from (
             select member_id, (row_number() over (order by member_id) - 1) / %(most)s + 1 as range_no from (
               select distinct b.member_id from balances b join chart c on c.tenant_id = b.tenant_id and c.code = b.code
                where c.product = %(p)s and c.kind = 'units' and b.credits > b.debits) held) numbered
            group by range_no returning members""",
        given,
    )
    return sum(int(row[0]) for row in await cursor.fetchall())


async def ranges_left(session: AsyncSession, product: str) -> list[tuple[date, int]]:
    """Return (scheme year, number) of a product's ranges that are not done."""
    rows = await session.execute(
        text("select year_from, range_no from rebalancing_ranges where product = :p and not is_done order by 1, 2"),
        {"p": product},
    )
    return [(row.year_from, row.range_no) for row in rows]


async def hold_range(session: AsyncSession, product: str, year_from: date, range_no: int) -> tuple[int, int] | None:
    """Return the first and last member of a range that is not done, which nobody else can do then; else None."""
    row = (
        await session.execute(
            text("""select first_member, last_member from rebalancing_ranges
                     where product = :p and year_from = :y and range_no = :r and not is_done for update"""),
            {"p": product, "y": year_from, "r": range_no},
        )
    ).one_or_none()
    return None if row is None else (row.first_member, row.last_member)


@dataclass(frozen=True, slots=True)
class Aims:
    """What holdings of a product are to be: (age, fund, basis points), for ages counted until a day; not for `groups`."""

    product: str
    until: date
    shares: Sequence[tuple[int, str, int]]
    groups: Collection[str]
    members_choose: bool


@dataclass(frozen=True, slots=True)
class Placed:
    """A place of a product's units: its codes of units held and of units put up by switches."""

    units: int
    selling: int


_HOLD = """
select count(*) from (
  select from balances b where b.code = any(%(units)s::int[] || %(sellings)s::int[]) and b.member_id between %(first)s and %(last)s
   order by b.member_id, b.code for no key update of b) x
"""
_PRICED = """
create temporary table rebalance_prices on commit drop as
select f.code as fund, f.fund_id, f.unit_scale, p.digits, p.scale from funds f
  join lateral (select digits, scale from prices p where p.fund_id = f.fund_id and p.state = 'accepted' order by price_on desc, file_id desc limit 1) p on true
"""
# A fund that has more than its share of all that a member has is over: the same part of each of its accounts is sold, rounded down.
_OVER = """
create temporary table rebalance_now on commit drop as
with who as (
  select m.member_id, m.entry_age + completed_years(m.joined_on, %(until)s::date) as age from memberships m
   where m.product = %(product)s and m.moved_to = '' and m.member_id between %(first)s and %(last)s and m.entry_age is not null
     and m.group_code <> all(%(groups)s::text[])
     and not (%(choose)s and exists (select from fund_choices c where c.member_id = m.member_id and c.product = m.product and c.shares is not null))
     and not exists (select from switches w join switch_legs l on l.member_id = w.member_id and l.event_id = w.event_id
                      where w.member_id = m.member_id and w.product = m.product and not l.is_done)),
held as (
  select w.member_id, w.age, b.code, k.selling, c.fund, q.fund_id, (b.credits - b.debits)::numeric as units,
         trunc((b.credits - b.debits) * q.digits * power(10::numeric, %(scale)s::int - q.unit_scale - q.scale), 0) as minor
    from who w join balances b on b.member_id = w.member_id and b.credits > b.debits
    join unnest(%(units)s::int[], %(sellings)s::int[]) k(code, selling) on k.code = b.code
    join chart c on c.tenant_id = b.tenant_id and c.code = b.code
    join rebalance_prices q on q.fund = c.fund),
whole as (select member_id, age, sum(minor) as minor from held group by 1, 2),
aims as (
  select w.member_id, a.fund, trunc(w.minor * a.bp / 10000, 0) as minor
    from whole w join unnest(%(ages)s::int[], %(funds)s::text[], %(bps)s::int[]) a(age, fund, bp) on a.age = w.age where w.minor > 0),
known as (select distinct member_id from aims),
funds as (
  select member_id, fund, coalesce(h.minor, 0) as held, coalesce(a.minor, 0) as aim
    from (select member_id, fund, sum(minor) as minor from held where member_id in (select member_id from known) group by 1, 2) h
    full join aims a using (member_id, fund)),
wanting as (
  select member_id, fund, aim - held as lacks, sum(aim - held) over (partition by member_id) as all_lack,
         row_number() over (partition by member_id order by fund collate "C") = 1 as is_first from funds where aim > held),
shares as (
  select member_id, jsonb_object_agg(fund, bp) as shares from (
    select member_id, fund, bp + case when is_first then 10000 - sum(bp) over (partition by member_id) else 0 end as bp
      from (select *, trunc(lacks * 10000 / all_lack, 0)::int as bp from wanting) w) w where bp > 0 group by 1)
select h.member_id, h.code as units_code, h.selling as selling_code, h.fund_id, trunc(h.units * (f.held - f.aim) / f.held, 0)::bigint as units, s.shares
  from held h join funds f on f.member_id = h.member_id and f.fund = h.fund and f.held > f.aim
  join shares s on s.member_id = h.member_id
 where trunc(h.units * (f.held - f.aim) / f.held, 0) > 0
"""
_PUT_UP = """
create temporary table units_put_up on commit drop as select member_id, units_code, selling_code, fund_id, units from rebalance_now
"""
_SWITCH = """
with asked as (
  insert into switches (member_id, event_id, tenant_id, asked_on, product, shares)
  select distinct on (member_id) member_id, %(event)s, %(t)s, %(on)s, %(product)s, shares from rebalance_now order by member_id
  returning member_id)
insert into switch_legs (member_id, event_id, tenant_id, code)
select member_id, %(event)s, %(t)s, selling_code from rebalance_now
"""


async def lay_out_switches(
    session: AsyncSession, aims: Aims, members: tuple[int, int], places: Sequence[Placed], *, money_scale: int
) -> int:
    """Lay out in `units_put_up` what is over of the members of a range, whose balances are held; return how many members."""
    connection = await driver(session)
    for table in ("rebalance_now", "rebalance_prices", "units_put_up"):
        await connection.execute(f"drop table if exists {table}")
    given = {
        "first": members[0], "last": members[1], "product": aims.product, "until": aims.until, "groups": list(aims.groups),
        "choose": aims.members_choose, "scale": money_scale,
        "units": [one.units for one in places], "sellings": [one.selling for one in places],
        "ages": [age for age, _, _ in aims.shares], "funds": [fund for _, fund, _ in aims.shares], "bps": [bp for _, _, bp in aims.shares],
    }  # fmt: skip
    for statement in (_HOLD, _PRICED, _OVER, _PUT_UP):
        await connection.execute(statement, given)
    cursor = await connection.execute("select count(distinct member_id)::int from rebalance_now")
    row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


async def add_switches(session: AsyncSession, product: str, *, event_id: int, on: date) -> None:
    """Note the switches whose units `lay_out_switches` found and the caller has put up by an event."""
    connection = await driver(session)
    await connection.execute(_SWITCH, {"t": session.info["tenant_id"], "event": event_id, "on": on, "product": product})


async def finish_range(session: AsyncSession, product: str, year_from: date, range_no: int, event_id: int) -> None:
    """Note that a range is done."""
    await session.execute(
        text("""update rebalancing_ranges set is_done = true, event_id = :e
                 where product = :p and year_from = :y and range_no = :r"""),
        {"e": event_id, "p": product, "y": year_from, "r": range_no},
    )
