"""SQL of payments whose member moved to another product since: the moves that took them along, and what these bought anew."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from engine.enrolment.service import MOVES
from engine.ledger.rules import EventKind
from engine.runtime.database import driver


@dataclass(frozen=True, slots=True)
class MovedBy:
    """An event that took a member's money from one product into another; `pots` are what each became."""

    member_id: int
    event_id: int
    source: str
    target: str
    pots: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class BoughtAnew:
    """What the cash of a pot that moved bought of a fund: smallest units of money, and units; `state` as of an order, "" for none yet."""

    pot: str
    fund: str
    amount: int
    units: int
    state: str


async def moved_since(session: AsyncSession, member_id: int, event_id: int) -> list[MovedBy]:
    """Return the moves of a member, and what followed them late, that are younger than an event; the first first."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select e.member_id, e.event_id, e.body ->> 'from', e.body ->> 'to', p.pots from events e
            cross join lateral (select pots from product_moves p where p.member_id = e.member_id and p.source = e.body ->> 'from'
                                   and p.target = e.body ->> 'to' and p.event_id <= e.event_id order by p.event_id desc limit 1) p
            where e.member_id in (select record_id from records_of(%s)) and e.kind = any(%s::smallint[]) and e.event_id > %s order by e.event_id""",
        (member_id, [int(EventKind.PRODUCT_MOVED), int(EventKind.MONEY_FOLLOWED)], event_id),
    )
    return [MovedBy(*row) for row in await cursor.fetchall()]


async def is_moving(session: AsyncSession, member_id: int, product: str) -> bool:
    """Return whether units of a member are being sold, or were, for a move out of a product that is not over."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select exists (select from balances b join chart c on c.tenant_id = b.tenant_id and c.code = b.code and c.product = %s and c.party = %s
                                 and c.kind in ('selling', 'payable') where b.member_id = %s and b.credits > b.debits)""",
        (product, MOVES, member_id),
    )
    return bool((await cursor.fetchall())[0][0])


async def bought_anew(session: AsyncSession, move: MovedBy, origin: str) -> list[BoughtAnew]:
    """Return what the cash that a move brought bought in the product moved into; nothing where it lies there as cash or units."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select c.pot, u.code, sum(a.amount)::bigint,
                  sum(case when o.state = 'priced' then units_since(a.tenant_id, a.fund_id, o.price_on, floor_units(a.amount,
                        (10::numeric ^ greatest(u.unit_scale + o.scale - m.scale, 0))::bigint,
                        (o.digits * 10::numeric ^ greatest(m.scale - u.unit_scale - o.scale, 0))::bigint)) else 0 end)::bigint, coalesce(min(o.state), '')
             from allocations a join chart c on c.tenant_id = a.tenant_id and c.code = a.code and c.origin = %s
             join assets m on m.tenant_id = a.tenant_id and m.asset_id = a.code >> 12
             join funds u on u.tenant_id = a.tenant_id and u.fund_id = a.fund_id
             left join orders o on o.tenant_id = a.tenant_id and o.dealing_id = a.dealing_id and o.fund_id = a.fund_id
            where a.member_id = %s and a.event_id = %s group by 1, 2 order by 1, 2""",
        (origin, move.member_id, move.event_id),
    )
    return [BoughtAnew(*row) for row in await cursor.fetchall()]


async def sold_for_move(
    session: AsyncSession, move: MovedBy, origin: str, units: Mapping[str, Mapping[str, int]]
) -> dict[str, int]:
    """Return by pot of the product left what units, by pot and fund, brought as they were sold for a move; smallest units, each rounded down."""
    flat = [(pot, fund, count) for pot, per_fund in units.items() for fund, count in per_fund.items()]
    connection = await driver(session)
    cursor = await connection.execute(
        """select w.pot, sum(trunc(w.units * o.digits * power(10::numeric, m.scale - f.unit_scale - o.scale), 0))::bigint
             from unnest(%s::text[], %s::text[], %s::bigint[]) w(pot, fund, units)
            cross join lateral (
              select o.digits, o.scale, o.fund_id, s.tenant_id from sales s
                join chart c on c.tenant_id = s.tenant_id and c.code = s.code and c.product = %s and c.party = %s and c.pot = w.pot and c.origin = %s
                             and c.fund = w.fund
                join sale_orders o on o.tenant_id = s.tenant_id and o.dealing_id = s.dealing_id and o.fund_id = s.fund_id and o.state = 'priced'
               where s.member_id = %s and s.event_id < %s order by s.event_id desc limit 1) o
             join funds f on f.tenant_id = o.tenant_id and f.fund_id = o.fund_id
             join assets m on m.tenant_id = o.tenant_id and m.asset_id = 1 group by 1""",
        (
            [pot for pot, _, _ in flat],
            [fund for _, fund, _ in flat],
            [count for _, _, count in flat],
            move.source,
            MOVES,
            origin,
            move.member_id,
            move.event_id,
        ),
    )
    return {row[0]: row[1] for row in await cursor.fetchall()}
