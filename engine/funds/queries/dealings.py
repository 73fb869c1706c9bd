"""SQL of dealings: allocations into the open one, its closing, orders, and allotment by ranges of members."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from types import MappingProxyType

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from engine.funds.rules import MOST_MEMBERS_IN_RANGE, Conversion, PricedBy, Pricing, ReconciledReceipt
from engine.kernel.prices import Price
from engine.runtime.arrays import BigInts, Ints
from engine.runtime.database import driver


@dataclass(frozen=True, slots=True)
class Cohort:
    """Savers for whom the same rules hold: of one product and group, and where rules go by joining, of one joining day.

    Where rules go by age, of one age (None where theirs is not known), and where members choose, of one choice: shares as
    JSON, "" for none.
    """

    product: str
    group: str
    joined_on: date | None
    age: int | None = None
    chosen: str = ""


@dataclass(frozen=True, slots=True)
class Share:
    """What part of a cohort's cash goes into which fund of which dealing; the first fund takes what rounding leaves."""

    cohort: Cohort
    fund_id: int
    share_bp: int
    is_first: bool
    dealing_id: int
    allocated_on: date


_STAGED = """
create temporary table if not exists staged_receipts (member_id bigint, event_id bigint, collected int) on commit drop
"""

_CASH = """
create temporary table if not exists staged_cash (
  member_id bigint, event_id bigint, amount bigint, collected int, code int, joined_on date, product text, group_code text,
  age int, chosen text)
on commit drop
"""

# Each receipt's transfers are sought by its key, whatever the planner thinks of tables that grew since they were analysed; where
# receipts lie in the log tells which months' tables are asked.
_CASH_OF_STAGED = """
insert into staged_cash (member_id, event_id, amount, collected, code, joined_on, product, group_code, age, chosen)
select r.member_id, r.event_id, sum(t.amount)::bigint, r.collected, t.credit,
       case when c.product = any(%(by_joining)s::text[]) then m.joined_on else date '-infinity' end, c.product, m.group_code,
       coalesce(m.entry_age + completed_years(m.joined_on, y.until), -1),
       case when c.product = any(%(by_choice)s::text[]) then coalesce((
         select h.shares::text from fund_choices h where h.member_id = r.member_id and h.product = c.product), '') else '' end
  from (select min(event_id) as first, max(event_id) as last from staged_receipts) b
 cross join staged_receipts r
 cross join lateral (
   select x.tenant_id, x.amount, x.credit from transfers x
    where x.member_id = r.member_id and x.event_id = r.event_id and x.event_id between b.first and b.last offset 0) t
  join chart c on c.tenant_id = t.tenant_id and c.code = t.credit and c.kind = 'cash'
  join memberships m on m.member_id = r.member_id and m.product = c.product
  left join unnest(%(by_age)s::text[], %(until)s::date[]) y(product, until) on y.product = c.product
 where t.tenant_id = %(tenant)s
 group by r.member_id, r.event_id, r.collected, t.credit, c.product, m.group_code, m.joined_on, m.entry_age, y.until
"""


async def stage_receipts(session: AsyncSession, receipts: Sequence[ReconciledReceipt] = ()) -> None:
    """Lay receipts out as `staged_receipts` (member_id, event_id, collected), of this transaction, in place of any before."""
    connection = await driver(session)
    await connection.execute(_STAGED)
    await connection.execute("truncate staged_receipts")
    if receipts:
        await connection.execute(
            "insert into staged_receipts select * from unnest(%b::bigint[], %b::bigint[], %b::int[])",
            (
                BigInts([one.member_id for one in receipts]),
                BigInts([one.event_id for one in receipts]),
                Ints([one.collected for one in receipts]),
            ),
        )


async def cohorts(
    session: AsyncSession,
    *,
    by_joining: Collection[str],
    by_age: Mapping[str, date] = MappingProxyType({}),
    by_choice: Collection[str] = (),
) -> list[Cohort]:
    """Return the cohorts of whoever the staged receipts' cash belongs to; joining days count in the products `by_joining`.

    Ages count in the products `by_age`: that at joining and the completed years until the day said. Members' own choices
    count in the products `by_choice`.
    """
    connection = await driver(session)
    # What both hold is looked up by key: the planner must know how many there are.
    for statement in (_CASH, "truncate staged_cash", "analyze staged_receipts"):
        await connection.execute(statement)
    given = {
        "tenant": session.info["tenant_id"],
        "by_joining": list(by_joining),
        "by_age": list(by_age),
        "until": list(by_age.values()),
        "by_choice": list(by_choice),
    }
    await connection.execute(_CASH_OF_STAGED, given)
    await connection.execute("analyze staged_cash")
    cursor = await connection.execute(
        """select distinct product, group_code, nullif(joined_on, '-infinity'), nullif(age, -1), chosen from staged_cash
            order by 1, 2, 3, 4, 5"""
    )
    return [Cohort(*row) for row in await cursor.fetchall()]


async def open_dealing(session: AsyncSession, product: str, day: date) -> int:
    """Return the product's open dealing, opening one of `day` if there is none; it stays open until the session ends."""
    while True:
        found = await session.scalar(
            text("select dealing_id from dealings where product = :product and state = 'open' for share"),
            {"product": product},
        )
        if found is not None:
            return int(found)
        await session.execute(
            text("""insert into dealings (tenant_id, product, opened_on) values (:t, :product, :day)
                    on conflict (tenant_id, product) where state = 'open' do nothing"""),
            {"t": session.info["tenant_id"], "product": product, "day": day},
        )


async def allocate(
    session: AsyncSession,
    shares: Sequence[Share],
    *,
    waiting: Collection[str],
) -> tuple[int, list[tuple[int, int]]]:
    """Put the cash that `cohorts` found into dealings; return the sum, and which (member_id, event_id) no share was given for.

    Only receipts of the products in `waiting` are returned so: cash of products that deal in no fund waits for nothing.

    Each part is floor(amount × share ÷ 10,000), and the cohort's first fund also takes the rest.
    """
    connection = await driver(session)
    cursor = await connection.execute(
        """with shares as (select product, group_code, coalesce(joined_on, date '-infinity') as joined_on, coalesce(age, -1) as age, chosen, fund_id,
                          share_bp, is_first, dealing_id, allocated_on
                     from unnest(%(products)s::text[], %(groups)s::text[], %(joined)s::date[], %(ages)s::int[], %(chosen)s::text[], %(funds)s::int[], %(bps)s::int[],
                     %(firsts)s::boolean[], %(dealings)s::int[], %(days)s::date[])
                     s(product, group_code, joined_on, age, chosen, fund_id, share_bp, is_first, dealing_id, allocated_on)),
        parts as (
          select cash.member_id, cash.event_id, cash.code, cash.collected, cash.amount, s.fund_id, s.dealing_id, s.allocated_on, s.is_first,
                 div(cash.amount::numeric * s.share_bp, 10000)::bigint as part
            from staged_cash cash join shares s using (product, group_code, joined_on, age, chosen)),
        placed as (
          insert into allocations (member_id, event_id, amount, tenant_id, dealing_id, code, collected, fund_id, allocated_on)
          select member_id, event_id, amount, %(tenant)s, dealing_id, code, collected, fund_id, allocated_on from (
            select parts.member_id, event_id, dealing_id, code, collected, fund_id, allocated_on,
                   part + case when is_first then amount - (sum(part) over (partition by parts.member_id, event_id, code))::bigint
                               else 0 end as amount from parts) whole
           where amount > 0 order by member_id, event_id, code, fund_id
          returning amount)
        select 0::bigint, 0::bigint, coalesce(sum(amount), 0)::bigint from placed
        union all
        select distinct member_id, event_id, 0::bigint from staged_cash cash
         where product = any(%(waiting)s::text[]) and not exists (select from shares s where s.product = cash.product and s.group_code = cash.group_code
                              and s.joined_on = cash.joined_on and s.age = cash.age and s.chosen = cash.chosen)""",
        {
            "tenant": session.info["tenant_id"],
            "waiting": list(waiting),
            "products": [share.cohort.product for share in shares],
            "groups": [share.cohort.group for share in shares],
            "joined": [share.cohort.joined_on for share in shares],
            "ages": [share.cohort.age for share in shares],
            "chosen": [share.cohort.chosen for share in shares],
            "funds": [share.fund_id for share in shares],
            "bps": [share.share_bp for share in shares],
            "firsts": [share.is_first for share in shares],
            "dealings": [share.dealing_id for share in shares],
            "days": [share.allocated_on for share in shares],
        },
    )
    (_, _, total), *left_out = await cursor.fetchall()
    return int(total), [(member, event) for member, event, _ in left_out]


async def release(session: AsyncSession, receipts: Sequence[tuple[int, int]]) -> int:
    """Take receipts' cash out of open dealings again; needs the jobs role. Returns the sum released."""
    connection = await driver(session)
    cursor = await connection.execute(
        """with gone as (
             delete from allocations a using unnest(%s::bigint[], %s::bigint[]) r(member_id, event_id)
              where a.member_id = r.member_id and a.event_id = r.event_id returning a.amount)
           select coalesce(sum(amount), 0)::bigint from gone""",
        ([member for member, _ in receipts], [event for _, event in receipts]),
    )
    (total,) = (await cursor.fetchall())[0]
    return int(total)


async def hold_allocating(session: AsyncSession) -> None:
    """Wait until no other transaction decides which receipts go into dealings; keep others waiting until this one ends."""
    await session.execute(text("select pg_advisory_xact_lock(7201, :t)"), {"t": session.info["tenant_id"]})


async def hold_dealing_of(session: AsyncSession, member_id: int, event_id: int) -> None:
    """Let the dealing that a receipt's cash is in stay as it is until the session ends."""
    await session.execute(
        text("""select from dealings d where d.dealing_id = (
                  select min(dealing_id) from allocations where member_id = :m and event_id = :e) for share"""),
        {"m": member_id, "e": event_id},
    )


async def allocation_state(session: AsyncSession, member_id: int, event_id: int) -> tuple[int, int, int] | None:
    """Return how many allocations a receipt has, how many of them are ordered and how many priced; None if it has none."""
    row = (
        await session.execute(
            text("""select count(*), count(o.dealing_id), count(*) filter (where o.state = 'priced')
                      from allocations a left join orders o
                        on o.tenant_id = a.tenant_id and o.dealing_id = a.dealing_id and o.fund_id = a.fund_id
                     where a.member_id = :m and a.event_id = :e"""),
            {"m": member_id, "e": event_id},
        )
    ).one()
    return (row[0], row[1], row[2]) if row[0] else None


@dataclass(frozen=True, slots=True)
class OpenDealing:
    """A dealing that gathers cash."""

    dealing_id: int
    product: str
    opened_on: date


async def hold_open_dealings(session: AsyncSession) -> list[OpenDealing]:
    """Return the open dealings; nobody can put cash in until the session ends."""
    rows = await session.execute(
        text("select dealing_id, product, opened_on from dealings where state = 'open' order by dealing_id for update")
    )
    return [OpenDealing(*row) for row in rows]


async def is_cut_off(session: AsyncSession, product: str, day: date) -> bool:
    """Return whether a dealing of the product was closed at the cut-off of that day."""
    return bool(
        await session.scalar(
            text("select exists (select from dealings where product = :product and cut_off_on = :day)"),
            {"product": product, "day": day},
        )
    )


async def gathered(session: AsyncSession, dealing_id: int, day: date) -> dict[tuple[int, str], dict[int, int]]:
    """Return what a dealing holds of cash reconciled up to `day`: sums by collection account, by (fund_id, fund)."""
    rows = await session.execute(
        text("""select a.fund_id, f.code, a.collected, sum(a.amount)::bigint as amount
                  from allocations a join funds f on f.tenant_id = a.tenant_id and f.fund_id = a.fund_id
                 where a.dealing_id = :d and a.allocated_on <= :day group by 1, 2, 3 order by 2, 3"""),
        {"d": dealing_id, "day": day},
    )
    found: dict[tuple[int, str], dict[int, int]] = {}
    for row in rows:
        found.setdefault((row.fund_id, row.code), {})[row.collected] = row.amount
    return found


async def close_dealing(
    session: AsyncSession, dealing: OpenDealing, day: date, *, event_id: int, pricing: Pricing, cut_off_at: datetime
) -> None:
    """Close a dealing at the cut-off of `day`, to be priced as said; what came later moves to the next. Needs the jobs role."""
    parameters = {"t": session.info["tenant_id"], "d": dealing.dealing_id, "day": day}
    await session.execute(
        text("""update dealings set state = 'closing', cut_off_on = :day, closed_event = :event, priced_by = :by,
                       price_lag = :lag, cut_off_at = :at where dealing_id = :d"""),
        {**parameters, "event": event_id, "by": pricing.by, "lag": pricing.lag, "at": cut_off_at},
    )
    later = await session.scalar(
        text("""select min(came_on) from (
                  select allocated_on as came_on from allocations where dealing_id = :d and allocated_on > :day
                  union all select asked_on from sales where dealing_id = :d and asked_on > :day) later"""),
        parameters,
    )
    if later is not None:
        following = await open_dealing(session, dealing.product, later)
        await session.execute(
            text("""with moved as (delete from allocations where dealing_id = :d and allocated_on > :day returning *)
                    insert into allocations (member_id, event_id, amount, tenant_id, dealing_id, code, collected, fund_id, allocated_on)
                    select member_id, event_id, amount, tenant_id, :following, code, collected, fund_id, allocated_on from moved"""),
            {**parameters, "following": following},
        )
        await session.execute(
            text("""with moved as (delete from sales where dealing_id = :d and asked_on > :day returning *)
                    insert into sales (member_id, event_id, units, tenant_id, dealing_id, code, fund_id, asked_on)
                    select member_id, event_id, units, tenant_id, :following, code, fund_id, asked_on from moved"""),
            {**parameters, "following": following},
        )
    await session.execute(text("update dealings set state = 'closed' where dealing_id = :d"), parameters)


async def add_orders(session: AsyncSession, dealing_id: int, rows: Sequence[tuple[int, int, str, int]]) -> None:
    """Add (fund_id, amount, reference, event_id) of the orders a closed dealing places."""
    connection = await driver(session)
    await connection.execute(
        """insert into orders (tenant_id, dealing_id, fund_id, amount, reference, event_id)
           select %s, %s, * from unnest(%s::int[], %s::bigint[], %s::text[], %s::bigint[])""",
        (session.info["tenant_id"], dealing_id, *(list(column) for column in zip(*rows, strict=True))),
    )


@dataclass(frozen=True, slots=True)
class Order:
    """One fund's part of a closed dealing. The price and the units are None until the order has taken a price."""

    dealing_id: int
    product: str
    cut_off_on: date
    priced_by: PricedBy
    price_lag: int
    fund_id: int
    fund: str
    unit_scale: int
    amount: int
    state: str
    reference: str
    price_on: date | None
    price: Price | None
    units_confirmed: int | None
    units_due: int | None


_ORDERS = """
select o.dealing_id, d.product, d.cut_off_on, d.priced_by, d.price_lag, o.fund_id, f.code, f.unit_scale, o.amount, o.state, o.reference, o.price_on,
       o.digits, o.scale, o.units_confirmed, o.units_due
  from orders o
  join dealings d on d.tenant_id = o.tenant_id and d.dealing_id = o.dealing_id
  join funds f on f.tenant_id = o.tenant_id and f.fund_id = o.fund_id
"""


def _order(row: Sequence[object]) -> Order:
    *facts, digits, scale, confirmed, due = row
    price = None if digits is None else Price(digits, scale)  # type: ignore[arg-type]
    return Order(*facts, price, confirmed, due)  # type: ignore[arg-type,call-arg]


async def placed_orders(session: AsyncSession) -> list[Order]:
    """Return the orders that have not been allotted to the end, in the order of their cut-offs."""
    rows = await session.execute(
        text(f"{_ORDERS} where o.state = 'placed' order by d.cut_off_on, d.product, f.code, o.dealing_id")
    )
    return [_order(row) for row in rows]


async def hold_order(session: AsyncSession, order: Order) -> Order:
    """Return the order as it is now; nobody else can price or finish it until the session ends."""
    row = (
        await session.execute(
            text(f"{_ORDERS} where o.dealing_id = :d and o.fund_id = :f for update of o"),
            {"d": order.dealing_id, "f": order.fund_id},
        )
    ).one()
    return _order(row)


async def taken_from(session: AsyncSession, order: Order) -> dict[str, int]:
    """Return what of an order's amount left each collection account, by channel."""
    rows = await session.execute(
        text("""select c.party, sum(t.amount)::bigint as amount from orders o
                  join transfers t on t.member_id = -o.tenant_id and t.event_id = o.event_id
                  join chart c on c.tenant_id = o.tenant_id and c.code = t.credit and c.kind = 'collections'
                 where o.dealing_id = :d and o.fund_id = :f group by c.party order by c.party"""),
        {"d": order.dealing_id, "f": order.fund_id},
    )
    return {row.party: row.amount for row in rows}


@dataclass(frozen=True, slots=True)
class Offer:
    """The accepted price that an order may take now, and the first that waits for a second person and might come before it.

    `is_known_early`: there is a price of a day that counts, but it came before the cut-off.
    """

    price_on: date | None
    price: Price | None
    held_on: date | None
    is_known_early: bool


# Which prices may count for a dealing of `d`: as `Pricing.counts`.
_COUNTS = """case d.priced_by when 'historic' then p.price_on < d.cut_off_on when 'forward' then p.price_on >= d.cut_off_on
                else p.price_on > d.cut_off_on end"""
# As `Pricing.is_known_too_early`; dealings that were closed before their instants were kept have none.
_EARLY = "coalesce(d.priced_by = 'forward' and f.received_at < d.cut_off_at, false)"
_FROM_CUT_OFF = "case d.priced_by when 'historic' then d.cut_off_on - p.price_on else p.price_on - d.cut_off_on end"


async def offered_price(session: AsyncSession, dealing_id: int, fund_id: int, *, until: date) -> Offer:
    """Return what price of a fund, dated up to `until`, a closed dealing may take; one said to be wrong waits for a second person.

    Once a split is approved, no order takes a price of before it.
    """
    row = (
        await session.execute(
            text(f"""with near as (
                       select distinct on (p.price_on) p.price_on, p.digits, p.scale, {_FROM_CUT_OFF} as far,
                              case when c.correction_no is null then p.state else 'held' end as state, {_EARLY} as is_early
                         from dealings d join prices p on p.fund_id = :f and p.price_on <= :until and {_COUNTS}
                         join price_files f on f.tenant_id = p.tenant_id and f.file_id = p.file_id
                         left join price_corrections c on c.fund_id = p.fund_id and c.price_on = p.price_on and c.state = 'proposed'
                        where d.dealing_id = :d and p.state in ('accepted', 'held') order by p.price_on, p.file_id desc),
                     taken as (
                       select price_on, digits, scale, far
                         from (select *, row_number() over (order by far) - 1 as place from near where state = 'accepted' and not is_early) n
                        where place >= (select price_lag from dealings where dealing_id = :d) and price_on >= (
                              select coalesce(max(on_date), '-infinity') from fund_actions
                               where fund_id = :f and kind = 'split' and state in ('approved', 'done'))
                        order by far limit 1)
                     select t.price_on, t.digits, t.scale,
                            (select n.price_on from near n where n.state = 'held' and not n.is_early and (t.far is null or n.far < t.far)
                              order by n.far limit 1) as held_on,
                            exists (select from near where is_early) as is_known_early
                       from (select 1) one left join taken t on true"""),
            {"d": dealing_id, "f": fund_id, "until": until},
        )
    ).one()
    return Offer(
        row.price_on, None if row.digits is None else Price(row.digits, row.scale), row.held_on, row.is_known_early
    )


async def units_due(session: AsyncSession, order: Order, conversion: Conversion) -> int:
    """Return the sum of the units, each rounded down, that the order's allocations buy."""
    value = await session.scalar(
        text("""select coalesce(sum(floor_units(amount, :m, :v)), 0)::bigint from allocations
                 where dealing_id = :d and fund_id = :f"""),
        {"m": conversion.multiplier, "v": conversion.divisor, "d": order.dealing_id, "f": order.fund_id},
    )
    return int(value)


async def plan_ranges(session: AsyncSession, order: Order, conversion: Conversion) -> tuple[int, int]:
    """Lay an order out in ranges of at most 10,000 members; return the amounts and the units of all of them."""
    row = (
        await session.execute(
            text("""with numbered as (
                      select member_id, amount, floor_units(amount, :m, :v) as units, dense_rank() over (order by member_id) - 1 as n
                        from allocations where dealing_id = :d and fund_id = :f),
                    planned as (
                      insert into allotments (tenant_id, dealing_id, fund_id, range_no, first_member, last_member, members, amount, units)
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
    session: AsyncSession, order: Order, *, price_on: date, price: Price, confirmed: int, due: int
) -> None:
    """Fix the price an order is allotted at, the units its manager confirms and those its members are due."""
    await session.execute(
        text("""update orders set price_on = :on, digits = :digits, scale = :scale, units_confirmed = :confirmed, units_due = :due
                 where dealing_id = :d and fund_id = :f"""),
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


async def cash_codes(session: AsyncSession, order: Order) -> list[int]:
    """Return the members' cash codes that an order was made of."""
    rows = await session.scalars(
        text("select distinct code from allocations where dealing_id = :d and fund_id = :f order by code"),
        {"d": order.dealing_id, "f": order.fund_id},
    )
    return list(rows)


@dataclass(frozen=True, slots=True)
class Range:
    """Members of an order in the order of their ids: the unit in which it is allotted and resumed."""

    number: int
    members: int
    amount: int
    units: int
    is_done: bool


async def ranges(session: AsyncSession, order: Order) -> list[Range]:
    """Return an order's ranges by number."""
    rows = await session.execute(
        text("""select range_no, members, amount, units, event_id <> 0 from allotments
                 where dealing_id = :d and fund_id = :f order by range_no"""),
        {"d": order.dealing_id, "f": order.fund_id},
    )
    return [Range(*row) for row in rows]


@dataclass(frozen=True, slots=True)
class AllotmentCodes:
    """The accounts an order is allotted over; `cash` and `units` are the members', side by side."""

    transit: int
    issued: int
    cash: Sequence[int]
    units: Sequence[int]


async def allot_range(
    session: AsyncSession,
    order: Order,
    number: int,
    *,
    conversion: Conversion,
    codes: AllotmentCodes,
    business_date: date,
    actor: int,
    pack: int,
    decision: int,
    body: Mapping[str, object],
) -> int:
    """Allot one range in one statement; return its event, or 0 if it was done before."""
    connection = await driver(session)
    cursor = await connection.execute(
        "select allot_range(%s, %s, %s, %s, %s, %s, %s, %s, %s::jsonb, %s, %s, %s, %s, %s::int[], %s::int[])",
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
            codes.transit,
            codes.issued,
            list(codes.cash),
            list(codes.units),
        ),
    )
    (event_id,) = (await cursor.fetchall())[0]
    return int(event_id)


async def finish_order(session: AsyncSession, order: Order, *, event_id: int, residue: int) -> None:
    """Mark an order priced."""
    await session.execute(
        text("""update orders set state = 'priced', priced_event = :event, residue_units = :residue
                 where dealing_id = :d and fund_id = :f"""),
        {"d": order.dealing_id, "f": order.fund_id, "event": event_id, "residue": residue},
    )


async def finish_dealing(session: AsyncSession, dealing_id: int) -> None:
    """Mark a closed dealing priced if every order of it is, whether it buys or sells."""
    parameters = {"d": dealing_id}
    await session.execute(text("select from dealings where dealing_id = :d for update"), parameters)
    await session.execute(
        text("""update dealings set state = 'priced' where dealing_id = :d and state = 'closed'
                   and not exists (select from orders where dealing_id = :d and state <> 'priced')
                   and not exists (select from sale_orders where dealing_id = :d and state <> 'priced')"""),
        parameters,
    )


@dataclass(frozen=True, slots=True)
class DealingRow:
    """A dealing with one of its orders; an open dealing has none yet. Amounts and units in smallest units."""

    dealing_id: int
    product: str
    state: str
    opened_on: date
    cut_off_on: date | None
    fund: str | None
    unit_scale: int | None
    amount: int | None
    order_state: str | None
    price_on: date | None
    digits: int | None
    scale: int | None
    units_confirmed: int | None
    residue_units: int | None


async def list_dealings(session: AsyncSession, *, before: int | None, most: int) -> list[DealingRow]:
    """Return at most `most` dealings, the newest first, below number `before`, each with its orders by fund."""
    rows = await session.execute(
        text("""select d.dealing_id, d.product, d.state, d.opened_on, d.cut_off_on, f.code, f.unit_scale, o.amount, o.state,
                       o.price_on, o.digits, o.scale, o.units_confirmed, o.residue_units
                  from (select * from dealings where cast(:before as int) is null or dealing_id < :before
                         order by dealing_id desc limit :most) d
                  left join orders o on o.tenant_id = d.tenant_id and o.dealing_id = d.dealing_id
                  left join funds f on f.tenant_id = o.tenant_id and f.fund_id = o.fund_id
                 order by d.dealing_id desc, f.code"""),
        {"before": before, "most": most},
    )
    return [DealingRow(*row) for row in rows]
