"""SQL of sales: units that members put up, orders that sell them, and their sale by ranges of members."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from engine.funds.queries.dealings import Range
from engine.funds.rules import MOST_MEMBERS_IN_RANGE, Conversion, PricedBy
from engine.kernel.prices import Price
from engine.runtime.database import driver


async def claimed_sale(session: AsyncSession, digest: UUID) -> int | None:
    """Return the event of the sale that claimed `digest`, or None."""
    found = await session.scalar(text("select event_id from claims where digest = :d"), {"d": digest})
    return None if found is None else int(found)


async def fund_numbers(session: AsyncSession, funds: Sequence[str]) -> dict[str, int]:
    """Return the number of each fund by its code; funds that were never dealt in are left out."""
    rows = await session.execute(text("select code, fund_id from funds where code = any(:codes)"), {"codes": funds})
    return {row.code: row.fund_id for row in rows}


async def add_sales(
    session: AsyncSession,
    rows: Sequence[tuple[int, int, int]],
    *,
    member_id: int,
    event_id: int,
    dealing_id: int,
    asked_on: date,
) -> None:
    """Put (units, code of the account being sold from, fund_id) of one member and event into an open dealing."""
    connection = await driver(session)
    await connection.execute(
        """insert into sales (member_id, event_id, tenant_id, dealing_id, asked_on, units, code, fund_id)
           select %s, %s, %s, %s, %s, * from unnest(%s::bigint[], %s::int[], %s::int[])""",
        (
            member_id,
            event_id,
            session.info["tenant_id"],
            dealing_id,
            asked_on,
            *(list(column) for column in zip(*rows, strict=True)),
        ),
    )


_PUT_UP = """
with up as (select member_id, units_code, selling_code, fund_id, units, row_number() over (order by member_id, units_code) as line from units_put_up),
moved as (
  insert into transfers (member_id, event_id, amount, tenant_id, debit, credit, line)
  select member_id, %(event)s, units, %(t)s, units_code, selling_code, line from up),
debited as (
  update balances b set debits = b.debits + up.units from up where b.member_id = up.member_id and b.code = up.units_code),
credited as (
  insert into balances as b (member_id, code, tenant_id, debits, credits)
  select member_id, selling_code, %(t)s, 0, units from up order by member_id, selling_code
  on conflict (member_id, code) do update set credits = b.credits + excluded.credits)
insert into sales (member_id, event_id, tenant_id, dealing_id, asked_on, units, code, fund_id)
select member_id, %(event)s, %(t)s, %(dealing)s, %(on)s, units, selling_code, fund_id from up
"""


async def put_up_gathered(session: AsyncSession, *, event_id: int, dealing_id: int, asked_on: date) -> None:
    """Put what the transaction's table `units_put_up` holds into an open dealing: units of many members by one event.

    Its rows are (member_id, units_code, selling_code, fund_id, units), an account once; the caller holds the balances.
    """
    connection = await driver(session)
    given = {"t": session.info["tenant_id"], "event": event_id, "dealing": dealing_id, "on": asked_on}
    await connection.execute(_PUT_UP, given)


async def hold_dealing_of(session: AsyncSession, member_id: int, event_id: int) -> str | None:
    """Return the state of the dealing a sale waits in, which then stays; None if it is in none."""
    state: str | None = await session.scalar(
        text("""select d.state from dealings d where d.dealing_id = (
                  select min(dealing_id) from sales where member_id = :m and event_id = :e) for share"""),
        {"m": member_id, "e": event_id},
    )
    return state


async def remove_sale(session: AsyncSession, member_id: int, event_id: int) -> list[tuple[int, int]]:
    """Take a sale out of its open dealing; return its (units, code). Needs the jobs role."""
    rows = await session.execute(
        text("delete from sales where member_id = :m and event_id = :e returning units, code"),
        {"m": member_id, "e": event_id},
    )
    return sorted((row.units, row.code) for row in rows)


@dataclass(frozen=True, slots=True)
class SalePart:
    """A part of a sale: units of one account, and how far they have come. The price is there once the order took it."""

    pot: str
    origin: str
    fund: str
    units: int
    unit_scale: int
    is_ordered: bool
    is_sold: bool
    is_settled: bool
    price_on: date | None
    price: Price | None


async def sale_parts(session: AsyncSession, member_id: int, event_id: int) -> list[SalePart]:
    """Return the parts of a sale that was not withdrawn, by account."""
    rows = await session.execute(
        text("""select c.pot, c.origin, f.code, s.units, f.unit_scale, o.dealing_id is not null, r.event_id is not null,
                       coalesce(o.settled_event <> 0 or (o.state = 'priced' and o.amount_confirmed = 0), false), o.price_on, o.digits, o.scale
                  from sales s
                  join chart c on c.tenant_id = s.tenant_id and c.code = s.code
                  join funds f on f.tenant_id = s.tenant_id and f.fund_id = s.fund_id
                  left join sale_orders o on o.tenant_id = s.tenant_id and o.dealing_id = s.dealing_id and o.fund_id = s.fund_id
                  left join sale_ranges r on r.tenant_id = s.tenant_id and r.dealing_id = s.dealing_id and r.fund_id = s.fund_id
                   and s.member_id between r.first_member and r.last_member and r.event_id <> 0
                 where s.member_id = :m and s.event_id = :e order by s.code"""),
        {"m": member_id, "e": event_id},
    )
    return [
        SalePart(*facts, None if digits is None else Price(digits, scale))  # type: ignore[call-arg]
        for *facts, digits, scale in map(tuple, rows)
    ]


async def put_up(session: AsyncSession, dealing_id: int, day: date) -> dict[tuple[int, str], int]:
    """Return the units put up for a dealing up to `day`, by (fund_id, fund)."""
    rows = await session.execute(
        text("""select s.fund_id, f.code, sum(s.units)::bigint as units
                  from sales s join funds f on f.tenant_id = s.tenant_id and f.fund_id = s.fund_id
                 where s.dealing_id = :d and s.asked_on <= :day group by 1, 2 order by 2"""),
        {"d": dealing_id, "day": day},
    )
    return {(row.fund_id, row.code): row.units for row in rows}


async def add_orders(session: AsyncSession, dealing_id: int, rows: Sequence[tuple[int, int, str, int]]) -> None:
    """Add (fund_id, units, reference, event_id) of the orders by which a closed dealing sells."""
    connection = await driver(session)
    await connection.execute(
        """insert into sale_orders (tenant_id, dealing_id, fund_id, units, reference, event_id)
           select %s, %s, * from unnest(%s::int[], %s::bigint[], %s::text[], %s::bigint[])""",
        (session.info["tenant_id"], dealing_id, *(list(column) for column in zip(*rows, strict=True))),
    )


@dataclass(frozen=True, slots=True)
class SaleOrder:
    """The units of one fund that a closed dealing sells. Price and amounts are None until the order has taken a price."""

    dealing_id: int
    product: str
    cut_off_on: date
    priced_by: PricedBy
    price_lag: int
    fund_id: int
    fund: str
    unit_scale: int
    units: int
    state: str
    reference: str
    settled_event: int
    price_on: date | None
    price: Price | None
    amount_confirmed: int | None
    amount_due: int | None


_ORDERS = """
select o.dealing_id, d.product, d.cut_off_on, d.priced_by, d.price_lag, o.fund_id, f.code, f.unit_scale, o.units, o.state, o.reference, o.settled_event,
       o.price_on, o.digits, o.scale, o.amount_confirmed, o.amount_due
  from sale_orders o
  join dealings d on d.tenant_id = o.tenant_id and d.dealing_id = o.dealing_id
  join funds f on f.tenant_id = o.tenant_id and f.fund_id = o.fund_id
"""


def _order(row: Sequence[object]) -> SaleOrder:
    *facts, digits, scale, confirmed, due = row
    price = None if digits is None else Price(digits, scale)  # type: ignore[arg-type]
    return SaleOrder(*facts, price, confirmed, due)  # type: ignore[arg-type,call-arg]


async def placed_orders(session: AsyncSession) -> list[SaleOrder]:
    """Return the orders that have not been sold to the end, in the order of their cut-offs."""
    rows = await session.execute(
        text(f"{_ORDERS} where o.state = 'placed' order by d.cut_off_on, d.product, f.code, o.dealing_id")
    )
    return [_order(row) for row in rows]


async def orders_of(session: AsyncSession, dealings: Sequence[int]) -> list[SaleOrder]:
    """Return the orders by which closed dealings sell, by dealing and fund."""
    rows = await session.execute(
        text(f"{_ORDERS} where o.dealing_id = any(:dealings) order by o.dealing_id, f.code"),
        {"dealings": list(dealings)},
    )
    return [_order(row) for row in rows]


async def hold_order(session: AsyncSession, order: SaleOrder) -> SaleOrder:
    """Return the order as it is now; nobody else can price or finish it until the session ends."""
    row = (
        await session.execute(
            text(f"{_ORDERS} where o.dealing_id = :d and o.fund_id = :f for update of o"),
            {"d": order.dealing_id, "f": order.fund_id},
        )
    ).one()
    return _order(row)


async def amount_due(session: AsyncSession, order: SaleOrder, conversion: Conversion) -> int:
    """Return the sum of what the order's sales are worth, each rounded down."""
    value = await session.scalar(
        text("""select coalesce(sum(floor_units(units, :m, :v)), 0)::bigint from sales
                 where dealing_id = :d and fund_id = :f"""),
        {"m": conversion.multiplier, "v": conversion.divisor, "d": order.dealing_id, "f": order.fund_id},
    )
    return int(value)


async def plan_ranges(session: AsyncSession, order: SaleOrder, conversion: Conversion) -> tuple[int, int]:
    """Lay an order out in ranges of at most 10,000 members; return the amounts and the units of all of them."""
    row = (
        await session.execute(
            text("""with numbered as (
                      select member_id, units, floor_units(units, :m, :v) as amount, dense_rank() over (order by member_id) - 1 as n
                        from sales where dealing_id = :d and fund_id = :f),
                    planned as (
                      insert into sale_ranges (tenant_id, dealing_id, fund_id, range_no, first_member, last_member, members, amount, units)
                      select :t, :d, :f, n / :most + 1, min(member_id), max(member_id), count(distinct member_id), sum(amount), sum(units)
                        from numbered group by n / :most
                      returning amount, units)
                    select coalesce(sum(amount), 0)::bigint, coalesce(sum(units), 0)::bigint from planned"""),
            {
                "t": session.info["tenant_id"],
                "m": conversion.multiplier,
                "v": conversion.divisor,
                "d": order.dealing_id,
                "f": order.fund_id,
                "most": MOST_MEMBERS_IN_RANGE,
            },
        )
    ).one()
    return int(row[0]), int(row[1])


async def take_price(
    session: AsyncSession, order: SaleOrder, *, price_on: date, price: Price, confirmed: int, due: int
) -> None:
    """Fix the price an order is sold at, the money its manager confirms and what its members are due."""
    await session.execute(
        text("""update sale_orders set price_on = :on, digits = :digits, scale = :scale, amount_confirmed = :confirmed,
                       amount_due = :due where dealing_id = :d and fund_id = :f"""),
        {
            "on": price_on,
            "digits": price.digits,
            "scale": price.scale,
            "confirmed": confirmed,
            "due": due,
            "d": order.dealing_id,
            "f": order.fund_id,
        },
    )


async def selling_codes(session: AsyncSession, order: SaleOrder) -> list[int]:
    """Return the members' codes of units being sold that an order was made of."""
    rows = await session.scalars(
        text("select distinct code from sales where dealing_id = :d and fund_id = :f order by code"),
        {"d": order.dealing_id, "f": order.fund_id},
    )
    return list(rows)


async def ranges(session: AsyncSession, order: SaleOrder) -> list[Range]:
    """Return an order's ranges by number."""
    rows = await session.execute(
        text("""select range_no, members, amount, units, event_id <> 0 from sale_ranges
                 where dealing_id = :d and fund_id = :f order by range_no"""),
        {"d": order.dealing_id, "f": order.fund_id},
    )
    return [Range(*row) for row in rows]


@dataclass(frozen=True, slots=True)
class SaleCodes:
    """The accounts an order is sold over; `selling` and `payable` are the members', side by side."""

    due: int
    issued: int
    selling: Sequence[int]
    payable: Sequence[int]


async def sell_range(
    session: AsyncSession,
    order: SaleOrder,
    number: int,
    *,
    conversion: Conversion,
    codes: SaleCodes,
    business_date: date,
    actor: int,
    pack: int,
    decision: int,
    body: Mapping[str, object],
) -> int:
    """Sell one range in one statement; return its event, or 0 if it was done before."""
    connection = await driver(session)
    cursor = await connection.execute(
        "select sell_range(%s, %s, %s, %s, %s, %s, %s, %s, %s::jsonb, %s, %s, %s, %s, %s::int[], %s::int[])",
        (
            session.info["tenant_id"],
            order.dealing_id,
            order.fund_id,
            number,
            business_date,
            actor,
            pack,
            decision,
            msgspec.json.encode(body).decode(),
            conversion.multiplier,
            conversion.divisor,
            codes.due,
            codes.issued,
            list(codes.selling),
            list(codes.payable),
        ),
    )
    (event_id,) = (await cursor.fetchall())[0]
    return int(event_id)


async def finish_order(session: AsyncSession, order: SaleOrder, *, event_id: int, residue: int) -> None:
    """Mark an order priced."""
    await session.execute(
        text("""update sale_orders set state = 'priced', priced_event = :event, residue_amount = :residue
                 where dealing_id = :d and fund_id = :f"""),
        {"d": order.dealing_id, "f": order.fund_id, "event": event_id, "residue": residue},
    )


@dataclass(frozen=True, slots=True)
class UnsettledSale:
    """A priced order whose money has not come: `amount` smallest units by that reference, for (product, fund).

    Income of a fund that has not come is one too, of dealing 0, with the number of its distribution.
    """

    dealing_id: int
    fund_id: int
    product: str
    fund: str
    amount: int
    reference: str
    action: int = 0


async def unsettled_orders(session: AsyncSession) -> list[UnsettledSale]:
    """Return the priced orders whose money has not come, the oldest first; those worth nothing wait for none. Then income."""
    rows = await session.execute(
        text("""select o.dealing_id, o.fund_id, d.product, f.code, o.amount_confirmed, o.reference from sale_orders o
                  join dealings d on d.tenant_id = o.tenant_id and d.dealing_id = o.dealing_id
                  join funds f on f.tenant_id = o.tenant_id and f.fund_id = o.fund_id
                 where o.state = 'priced' and o.settled_event = 0 and o.amount_confirmed > 0 order by o.dealing_id, o.fund_id""")
    )
    income = await session.execute(
        text("""select 0, a.fund_id, a.product, f.code, a.stated, a.reference, a.action_no from fund_actions a
                  join funds f on f.tenant_id = a.tenant_id and f.fund_id = a.fund_id
                 where a.kind = 'income-in-cash' and a.state = 'approved' and a.settled_event = 0 order by a.action_no""")
    )
    return [UnsettledSale(*row) for row in (*rows, *income)]


async def settle_income(session: AsyncSession, rows: Sequence[tuple[int, int]]) -> None:
    """Note (action, event_id) of distributions whose money came by those events."""
    connection = await driver(session)
    await connection.execute(
        """update fund_actions a set settled_event = k.event_id from unnest(%s::int[], %s::bigint[]) k(action_no, event_id)
            where a.action_no = k.action_no and a.settled_event = 0""",
        tuple([row[i] for row in rows] for i in range(2)),
    )


async def settle_orders(session: AsyncSession, rows: Sequence[tuple[int, int, int]]) -> None:
    """Note (dealing_id, fund_id, event_id) of orders whose money came by those events."""
    connection = await driver(session)
    await connection.execute(
        """update sale_orders o set settled_event = k.event_id
             from unnest(%s::int[], %s::int[], %s::bigint[]) k(dealing_id, fund_id, event_id)
            where o.dealing_id = k.dealing_id and o.fund_id = k.fund_id and o.settled_event = 0""",
        tuple([row[i] for row in rows] for i in range(3)),
    )
