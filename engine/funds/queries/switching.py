"""SQL of switches: what members move into other funds, and buying with what the sale of each leg brought."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from engine.runtime.database import driver

MOST_LEGS = 10_000


@dataclass(frozen=True, slots=True)
class SwitchRow:
    """A member's switch: legs it has, those whose money has bought or is to buy at the next dealing, and what they brought."""

    event_id: int
    product: str
    asked_on: date
    shares: Mapping[str, int]
    legs: int
    funded: int
    minor: int


async def add_switch(
    session: AsyncSession,
    member_id: int,
    event_id: int,
    *,
    product: str,
    shares: Mapping[str, int],
    asked_on: date,
) -> None:
    """Note a switch and its legs, which are the parts of its sale; a second call for the same sale notes nothing."""
    connection = await driver(session)
    given = {"m": member_id, "e": event_id, "t": session.info["tenant_id"], "p": product, "on": asked_on}
    cursor = await connection.execute(
        """insert into switches (member_id, event_id, tenant_id, asked_on, product, shares)
           select %(m)s, %(e)s, %(t)s, %(on)s, %(p)s, jsonb_object_agg(fund, bp) from unnest(%(funds)s::text[], %(bps)s::int[]) x(fund, bp)
           on conflict do nothing returning 1""",
        {**given, "funds": list(shares), "bps": list(shares.values())},
    )
    if await cursor.fetchone() is not None:
        await connection.execute(
            """insert into switch_legs (member_id, event_id, tenant_id, code)
               select member_id, event_id, tenant_id, code from sales where member_id = %(m)s and event_id = %(e)s""",
            given,
        )


async def switches_of(session: AsyncSession, member_id: int, *, most: int) -> list[SwitchRow]:
    """Return a member's newest switches, the newest first; one that was withdrawn before its cut-off is none."""
    rows = await session.execute(
        text("""select w.event_id, w.product, w.asked_on, w.shares, count(*)::int, (count(*) filter (where l.is_done))::int, sum(l.minor)::bigint
                  from switches w join switch_legs l on l.member_id = w.member_id and l.event_id = w.event_id
                  join sales s on s.member_id = l.member_id and s.event_id = l.event_id and s.code = l.code
                 where w.member_id = :m group by 1, 2, 3, 4 order by w.event_id desc limit :most"""),
        {"m": member_id, "most": most},
    )
    return [SwitchRow(*row) for row in rows]


_NOW = """
create temporary table switch_now on commit drop as
select l.member_id, l.event_id, l.code, p.product, p.pot, p.origin, w.shares,
       trunc(s.units * o.digits * power(10::numeric, m.scale - f.unit_scale - o.scale), 0)::bigint as minor,
       coalesce((select t.debit from transfers t join chart c on c.tenant_id = o.tenant_id and c.code = t.debit and c.kind = 'collections'
                  where t.member_id = -o.tenant_id and t.event_id = o.settled_event), 0) as collected
  from (select l.member_id, l.event_id, l.code from switch_legs l
          join sales s on s.member_id = l.member_id and s.event_id = l.event_id and s.code = l.code
          join sale_orders o on o.dealing_id = s.dealing_id and o.fund_id = s.fund_id
         where not l.is_done and o.state = 'priced' and (o.settled_event <> 0 or o.amount_confirmed = 0)
         order by 1, 2, 3 limit %(most)s for update of l skip locked) l
  join switches w on w.member_id = l.member_id and w.event_id = l.event_id
  join sales s on s.member_id = l.member_id and s.event_id = l.event_id and s.code = l.code
  join sale_orders o on o.dealing_id = s.dealing_id and o.fund_id = s.fund_id
  join funds f on f.tenant_id = o.tenant_id and f.fund_id = o.fund_id
  join assets m on m.tenant_id = o.tenant_id and m.asset_id = 1
  join chart p on p.tenant_id = o.tenant_id and p.code = l.code
"""


@dataclass(frozen=True, slots=True)
class Own:
    """A member's place in a product."""

    product: str
    pot: str
    origin: str


async def legs_to_fund(session: AsyncSession) -> tuple[list[Own], list[int], list[str]]:
    """Hold the legs whose money has come, in `switch_now`; return their places, collection accounts and target funds."""
    connection = await driver(session)
    await connection.execute("drop table if exists switch_now")
    await connection.execute(_NOW, {"most": MOST_LEGS})
    cursor = await connection.execute("select distinct product, pot, origin from switch_now order by 1, 2, 3")
    places = [Own(*row) for row in await cursor.fetchall()]
    cursor = await connection.execute("select distinct collected from switch_now where minor > 0 order by 1")
    collected = [int(row[0]) for row in await cursor.fetchall()]
    cursor = await connection.execute("select distinct jsonb_object_keys(shares) from switch_now order by 1")
    return places, collected, [str(row[0]) for row in await cursor.fetchall()]


_MOVE = """
with own as (
  select member_id, payable, cash, sum(minor)::bigint as minor from switch_now
    join unnest(%(products)s::text[], %(pots)s::text[], %(origins)s::text[], %(payables)s::int[], %(cashes)s::int[])
         k(product, pot, origin, payable, cash) using (product, pot, origin)
   where collected = %(collected)s and minor > 0 group by 1, 2, 3),
moved as (
  insert into transfers (member_id, event_id, amount, tenant_id, debit, credit, line)
  select member_id, %(event)s, minor, %(t)s, payable, cash, row_number() over (order by member_id, payable, cash) from own),
debited as (
  update balances b set debits = b.debits + own.minor from own where b.member_id = own.member_id and b.code = own.payable),
credited as (
  insert into balances as b (member_id, code, tenant_id, debits, credits)
  select member_id, cash, %(t)s, 0, minor from own order by member_id, cash
  on conflict (member_id, code) do update set credits = b.credits + excluded.credits)
select count(distinct member_id)::int, coalesce(sum(minor), 0)::bigint from own
"""
_HOLD = """
select count(*) from (
  select from balances b where b.member_id in (select member_id from switch_now where minor > 0)
     and b.code = any(%(payables)s::int[] || %(cashes)s::int[]) order by b.member_id, b.code for no key update of b) held
"""
# Each share is rounded down; the first fund of a switch by code also takes what is left.
_ALLOCATE = """
with own as (
  select member_id, event_id, cash, product, shares, sum(minor)::bigint as minor from switch_now
    join unnest(%(products)s::text[], %(pots)s::text[], %(origins)s::text[], %(cashes)s::int[]) k(product, pot, origin, cash) using (product, pot, origin)
   where collected = %(collected)s and minor > 0 group by 1, 2, 3, 4, 5),
parts as (
  select o.member_id, o.event_id, o.cash, o.product, x.fund, o.minor, div(o.minor::numeric * x.bp::int, 10000)::bigint as part,
         x.fund = min(x.fund collate "C") over (partition by o.member_id, o.event_id, o.cash) as is_first
    from own o cross join lateral jsonb_each_text(o.shares) x(fund, bp)),
whole as (
  select member_id, cash, product, fund,
         sum(part + case when is_first then minor - total else 0 end)::bigint as minor
    from (select *, (sum(part) over (partition by member_id, event_id, cash))::bigint as total from parts) p group by 1, 2, 3, 4)
insert into allocations (member_id, event_id, amount, tenant_id, dealing_id, code, collected, fund_id, allocated_on)
select w.member_id, %(event)s, w.minor, %(t)s, d.dealing, w.cash, %(collected)s, f.number, d.day
  from whole w join unnest(%(funds)s::text[], %(numbers)s::int[]) f(fund, number) using (fund)
  join unnest(%(dealt)s::text[], %(dealings)s::int[], %(days)s::date[]) d(product, dealing, day) using (product)
 where w.minor > 0 order by 1, 6, 8
"""


@dataclass(frozen=True, slots=True)
class PlaceCodes:
    """A place's accounts: what its sales of switches brought, and its cash."""

    own: Own
    payable: int
    cash: int


async def next_event(session: AsyncSession) -> int:
    """Return the number of an event that a statement over many members will write."""
    found = await session.scalar(text("select next_batch_id()"))
    assert found is not None
    return int(found)


async def fund_legs(
    session: AsyncSession,
    collected: int,
    event_id: int,
    places: Sequence[PlaceCodes],
    funds: Mapping[str, int],
    dealings: Mapping[str, tuple[int, date]],
) -> tuple[int, int]:
    """Move what the held legs brought into cash and on into the open dealings; return members and money.

    The event's writing is the caller's. Of legs whose money came by the account `collected` alone.
    """
    connection = await driver(session)
    given = {
        "t": session.info["tenant_id"], "event": event_id, "collected": collected,
        "products": [one.own.product for one in places], "pots": [one.own.pot for one in places],
        "origins": [one.own.origin for one in places], "payables": [one.payable for one in places], "cashes": [one.cash for one in places],
        "funds": list(funds), "numbers": list(funds.values()), "dealt": list(dealings),
        "dealings": [number for number, _ in dealings.values()], "days": [day for _, day in dealings.values()],
    }  # fmt: skip
    await connection.execute(_HOLD, given)
    cursor = await connection.execute(_MOVE, given)
    row = await cursor.fetchone()
    assert row is not None
    await connection.execute(_ALLOCATE, given)
    await connection.execute(
        """update switch_legs l set is_done = true, minor = n.minor, funded_event = %(event)s from switch_now n
            where n.collected = %(collected)s and n.minor > 0 and (l.member_id, l.event_id, l.code) = (n.member_id, n.event_id, n.code)""",
        given,
    )
    return int(row[0]), int(row[1])


async def finish_empty(session: AsyncSession) -> None:
    """Note the held legs whose sale brought less than the smallest unit of money."""
    connection = await driver(session)
    await connection.execute(
        """update switch_legs l set is_done = true from switch_now n
            where n.minor = 0 and (l.member_id, l.event_id, l.code) = (n.member_id, n.event_id, n.code)"""
    )
