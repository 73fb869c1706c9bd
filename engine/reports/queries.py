"""SQL of the reports: a member's books as they stood at a date, as known in a log of a size."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from engine.kernel.prices import Price
from engine.ledger.rules import BATCH_MASK, EventKind
from engine.reports.rules import Allocation, Flow, MovedHere, Movement
from engine.runtime.database import driver

# What stood in the log of a size: the batch of the event had its place in it.
_KNOWN = """(cast(:size as bigint) is null or exists (
  select from audit_batches b where b.tenant_id = :t and b.batch_id = ({event} & :mask) and b.first_seq < :size))"""

# A member's own record and those merged into it, as far as the log of that size knows of it.
_RECORDS = f"""(select cast(:member as bigint) union all
  select g.member_id from merged_records g where g.into_id = :member and {_KNOWN.format(event="g.into_event")})"""

# What units are worth at their fund's last price by a day, rounded down.
_WORTH = """div({units}::numeric * p.digits * 10::numeric ^ greatest(m.scale - f.unit_scale - p.scale, 0), 10::numeric ^ greatest(f.unit_scale + p.scale - m.scale, 0))::bigint"""
_LAST_PRICE = """funds f join assets m on m.tenant_id = f.tenant_id and m.asset_id = 1 cross join lateral (
  select digits, scale from prices p where p.tenant_id = f.tenant_id and p.fund_id = f.fund_id and p.state = 'accepted' and p.price_on <= {day}
   order by p.price_on desc, p.file_id desc limit 1) p"""

_MOVEMENTS = f"""
select t.member_id as record, t.event_id, t.line, s.side * t.amount as amount, s.code, e.business_date, e.kind, c.pot, c.origin,
       case when c.kind = 'payable' and c.party <> '' then 'cash' else c.kind end as account,   -- raised for fees, and not due to the member
       coalesce(nullif(c.fund, ''), o.fund, '') as fund, a.scale, e.body ->> 'dealing' as dealing,
       e.body ->> 'price' as price, e.body ->> 'price_on' as price_on, e.body ->> 'resolves' as resolves,
       o.kind as against,
       coalesce((select h.cost from opened_as(t.member_id) a join opening_members m on m.member_id = a.member_id
                    join opening_ranges g on g.tenant_id = m.tenant_id and g.opening_no = m.opening_no and g.range_no = m.range_no and g.event_id = t.event_id
                    join opening_holdings h on h.member_id = m.member_id and h.code = s.code where o.kind = 'opening'),
                (select {_WORTH.format(units="t.amount")} from {_LAST_PRICE.format(day="e.business_date")}
                  where f.code = c.fund and o.kind = 'handed-over'), 0) as cost
  from transfers t
  join events e on e.event_id = t.event_id and e.member_id in (t.member_id, :house)
  cross join lateral (values (t.credit, 1, t.debit), (t.debit, -1, t.credit)) s(code, side, other)
  join chart c on c.tenant_id = t.tenant_id and c.code = s.code
  join chart o on o.tenant_id = t.tenant_id and o.code = s.other
  join assets a on a.tenant_id = t.tenant_id and a.asset_id = s.code >> 12
 where t.member_id in {_RECORDS} and s.code & 2048 <> 0 and e.business_date <= :as_of and c.product = any(:products)
   and o.kind <> 'merging' and {_KNOWN.format(event="t.event_id")}
 order by t.event_id, t.line, s.side
"""

_PAYMENTS = frozenset(
    {
        EventKind.CONTRIBUTION_RECEIVED,
        EventKind.SUSPENSE_RESOLVED,
        EventKind.CONTRIBUTION_REVERSED,
        EventKind.MATCH_SHARED,
        EventKind.OPENING_POSTED,
        EventKind.TRANSFER_TAKEN_IN,
        EventKind.PROMISE_KEPT,
    }
)


def _parameters(session: AsyncSession, log_size: int | None) -> dict[str, object]:
    return {"t": session.info["tenant_id"], "size": log_size, "mask": BATCH_MASK}


async def movements(
    session: AsyncSession, member_id: int, *, products: Sequence[str], as_of: date, log_size: int | None
) -> list[Movement]:
    """Return what moved on the member's accounts of the products in entries up to `as_of`, in the books' order."""
    rows = await session.execute(
        text(_MOVEMENTS),
        {
            **_parameters(session, log_size),
            "member": member_id,
            "house": -session.info["tenant_id"],
            "as_of": as_of,
            "products": list(products),
        },
    )
    return [
        Movement(
            event_id=row.event_id,
            line=row.line,
            amount=row.amount,
            code=row.code,
            business_date=row.business_date,
            is_payment=row.kind in _PAYMENTS,
            account=row.account,
            pot=row.pot,
            origin=row.origin,
            fund=row.fund,
            scale=row.scale,
            dealing=int(row.dealing or 0),
            price=Price.of(Decimal(row.price)) if row.price else None,
            price_on=date.fromisoformat(row.price_on) if row.price_on else None,
            resolves=int(row.resolves or 0),
            against=row.against,
            cost=row.cost,
            record=row.record,
        )
        for row in rows
    ]


async def allocations(session: AsyncSession, member_id: int, *, products: Sequence[str]) -> list[Allocation]:
    """Return what of the member's payments into the products went into which dealing."""
    rows = await session.execute(
        text("""select a.event_id, a.code, a.amount, a.dealing_id, f.code as fund, a.member_id
                  from allocations a join funds f on f.tenant_id = a.tenant_id and f.fund_id = a.fund_id
                  join chart c on c.tenant_id = a.tenant_id and c.code = a.code and c.product = any(:products)
                 where a.member_id in (select record_id from records_of(:member)) order by a.event_id, a.code"""),
        {"member": member_id, "products": list(products)},
    )
    return [Allocation(*row) for row in rows]


async def moves_into(
    session: AsyncSession, member_id: int, *, products: Sequence[str], as_of: date, log_size: int | None
) -> list[MovedHere]:
    """Return the member's moves out of other products into one of `products`, the first first."""
    rows = await session.execute(
        text(f"""select p.moved_on, p.source from product_moves p
                  where p.member_id = :member and p.target = any(:products) and p.moved_on <= :as_of and {_KNOWN.format(event="p.event_id")}
                  order by p.event_id"""),
        {**_parameters(session, log_size), "member": member_id, "products": list(products), "as_of": as_of},
    )
    return [MovedHere(row.moved_on, row.source) for row in rows]


async def settled_promises(
    session: AsyncSession, member_id: int, *, product: str, as_of: date, log_size: int | None
) -> frozenset[str]:
    """Return the rules whose promises in a product were kept, or lapsed by a claim that stood, by `as_of`."""
    rows = await session.scalars(
        text(f"""select p.rule from promises_settled p
                   join events e on e.member_id = p.member_id and e.event_id = p.event_id and e.business_date <= :as_of
                   join benefit_claims b on b.member_id = p.member_id and b.claim_id = p.claim_id
                  where p.member_id in {_RECORDS} and p.product = :product and {_KNOWN.format(event="p.event_id")}
                    and (p.outcome = 'kept' or not exists (
                      select from events v where v.member_id = b.member_id and v.event_id = b.closed_event
                         and v.business_date <= :as_of and {_KNOWN.format(event="v.event_id")}))"""),
        {**_parameters(session, log_size), "member": member_id, "product": product, "as_of": as_of},
    )
    return frozenset(rows)


async def last_prices(
    session: AsyncSession, funds: Sequence[str], *, as_of: date, log_size: int | None
) -> dict[str, tuple[date, Price]]:
    """Return each fund's last accepted price dated on or before `as_of`, with its date."""
    accepted = _KNOWN.format(event="coalesce(nullif(p.decided_event, 0), p.event_id)")
    rows = await session.execute(
        text(f"""select f.code, p.price_on, p.digits, p.scale
                   from funds f cross join lateral (
                     select p.price_on, p.digits, p.scale from prices p
                      where p.tenant_id = f.tenant_id and p.fund_id = f.fund_id and p.state = 'accepted'
                        and p.price_on <= :as_of and {accepted}
                      order by p.price_on desc, p.file_id desc limit 1) p
                  where f.tenant_id = :t and f.code = any(:funds)"""),
        {**_parameters(session, log_size), "funds": list(funds), "as_of": as_of},
    )
    return {row.code: (row.price_on, Price(row.digits, row.scale)) for row in rows}


async def reconciled(
    session: AsyncSession, member_id: int, *, resolved: Sequence[int], as_of: date, log_size: int | None
) -> frozenset[int]:
    """Return which of the member's receipts, and of the suspended ones `resolved`, were on a statement by `as_of`."""
    rows = await session.execute(
        text(f"""select m.event_id from matches m
                   join events e on e.member_id = :house and e.event_id = m.matched_event
                  where (m.member_id in (select record_id from records_of(:member)) or (m.member_id = :house and m.event_id = any(:resolved)))
                    and e.business_date <= :as_of and {_KNOWN.format(event="m.matched_event")}"""),
        {
            **_parameters(session, log_size),
            "member": member_id,
            "house": -session.info["tenant_id"],
            "resolved": list(resolved),
            "as_of": as_of,
        },
    )
    return frozenset(row.event_id for row in rows)


async def flows(
    session: AsyncSession, member_id: int, *, products: Sequence[str], since: date, as_of: date, log_size: int | None
) -> list[Flow]:
    """Return what moved on the member's money of the products from `since` up to `as_of`, by the other side's kind and by direction.

    Units that came from a scheme that was taken over are among it, as what they were bought for there.
    """
    rows = await session.execute(
        text(f"""select o.kind, c.origin, sum(s.sign * t.amount)::bigint as minor
                   from transfers t
                   join events e on e.event_id = t.event_id and e.member_id in (t.member_id, :house)
                   cross join lateral (values (t.credit, 1, t.debit), (t.debit, -1, t.credit)) s(code, sign, other)
                   join chart c on c.tenant_id = t.tenant_id and c.code = s.code and c.kind in ('cash', 'payable') and c.product = any(:products)
                   join chart o on o.tenant_id = t.tenant_id and o.code = s.other
                  where t.member_id in {_RECORDS} and s.code & 2048 <> 0 and e.business_date between :since and :as_of
                    and o.kind not in ('merging', 'cash', 'payable', 'orders-in-transit', 'proceeds-due') and {_KNOWN.format(event="t.event_id")}
                  group by 1, 2, s.sign
                 union all
                 select 'opening', c.origin, sum(h.cost)::bigint from {_RECORDS} w(id) cross join lateral opened_as(w.id) a
                   join opening_holdings h on h.member_id = a.member_id
                   join chart c on c.tenant_id = h.tenant_id and c.code = h.code and c.kind = 'units' and c.product = any(:products)
                   join opening_members m on m.member_id = h.member_id
                   join opening_ranges r on r.tenant_id = m.tenant_id and r.opening_no = m.opening_no and r.range_no = m.range_no and r.is_done
                   join events e on e.member_id = :house and e.event_id = r.event_id and e.business_date between :since and :as_of
                  where {_KNOWN.format(event="e.event_id")} group by 1, 2
                 union all
                 select 'handed-over', c.origin, -sum(coalesce(w.minor, 0))::bigint from transfers t
                   join chart o on o.tenant_id = t.tenant_id and o.code = t.credit and o.kind = 'handed-over'
                   join chart c on c.tenant_id = t.tenant_id and c.code = t.debit and c.kind = 'units' and c.product = any(:products)
                   join events e on e.member_id = :house and e.event_id = t.event_id and e.business_date between :since and :as_of
                   left join lateral (select {_WORTH.format(units="t.amount")} as minor from {_LAST_PRICE.format(day="e.business_date")} where f.code = c.fund) w on true
                  where t.member_id in {_RECORDS} and {_KNOWN.format(event="t.event_id")} group by 1, 2"""),
        {
            **_parameters(session, log_size),
            "member": member_id,
            "house": -session.info["tenant_id"],
            "products": list(products),
            "since": since,
            "as_of": as_of,
        },
    )
    return [Flow(*row) for row in rows]


async def charges_kept(
    session: AsyncSession, member_id: int, *, product: str, since: date, as_of: date, log_size: int | None
) -> int:
    """Return what was paid for lateness from `since` up to `as_of` and stayed the member's own, in smallest units."""
    found = await session.scalar(
        text(f"""select coalesce(sum((e.body ->> 'charge')::bigint), 0)::bigint from events e
                  where e.member_id in {_RECORDS} and e.kind = any(:receipts) and e.body ? 'charge'
                    and e.business_date between :since and :as_of and {_KNOWN.format(event="e.event_id")}
                    and exists (select from transfers t
                                  join chart c on c.tenant_id = t.tenant_id and c.code = t.credit and c.product = :product
                                 where t.member_id = e.member_id and t.event_id = e.event_id)
                    and not exists (select from corrections x join events v on v.member_id = x.member_id and v.event_id = x.event_id
                                     where x.corrects_member = e.member_id and x.corrects_event = e.event_id
                                       and v.business_date <= :as_of and {_KNOWN.format(event="v.event_id")})"""),
        {
            **_parameters(session, log_size),
            "member": member_id,
            "product": product,
            "since": since,
            "as_of": as_of,
            "receipts": [int(EventKind.CONTRIBUTION_RECEIVED), int(EventKind.SUSPENSE_RESOLVED)],
        },
    )
    return int(found or 0)


@dataclass(frozen=True, slots=True)
class MemberFacts:
    """What the books say of a member in a product on a day: money in smallest units, nothing that tells a person.

    `paid` are own payments by day, net of what was taken back; `holdings` what is held by pot and origin, units at
    their fund's last price, each rounded down. `matched_years` are earlier scheme years that earned state money. What was
    paid in products they moved out of counts as the moves' rules say; `came` is what moved in by day where that counts as paid in.
    """

    member_id: int
    product: str
    joined_on: date
    group: str
    member_class: str
    paid: tuple[tuple[date, int], ...]
    holdings: tuple[tuple[str, str, int], ...]
    matched_years: int = 0
    came: tuple[tuple[date, int], ...] = ()


_FACTS = """
with who as materialized (
  select s.member_id, s.product, s.joined_on, s.group_code, s.person_class from memberships s
   where s.tenant_id = %(t)s and s.moved_to = '' and (%(product)s = '' or s.product = %(product)s)
     and (%(members)s::bigint[] is null or s.member_id = any(%(members)s)) and (s.member_id, s.product) > (%(after)s, %(past)s) and s.joined_on <= %(on)s
   order by s.member_id, s.product limit %(most)s),
behind as (
  with recursive b(member_id, product, past, path, counts_from, is_paid, move) as (   -- as the rules of the moves let what was paid there count
    select w.member_id, w.product, w.product, array[w.product], null::date, true, 0::bigint from who w
    union all
    select b.member_id, b.product, p.source, b.path || p.source, coalesce(b.counts_from, case when 'first-contribution' <> all(p.keeps) then p.moved_on end),
           b.is_paid and 'cost-basis' = any(p.keeps), case when b.is_paid and 'cost-basis' <> all(p.keeps) then p.event_id else 0 end
      from b cross join lateral (
        select distinct on (p.source) p.source, p.keeps, p.moved_on, p.event_id from records_of(b.member_id) r
          join product_moves p on p.member_id = r.record_id and p.target = b.past and p.source <> all(b.path)
         where p.moved_on <= %(on)s order by p.source, p.event_id desc) p)
  select distinct on (member_id, product, past) member_id, product, past, counts_from, is_paid, move from b order by member_id, product, past, cardinality(path)),
paid as (
  select b.member_id, b.product, coalesce(b.counts_from, e.business_date) as day, sum(t.amount * x.sign)::bigint as minor
    from (select * from behind where is_paid) b cross join lateral records_of(b.member_id) r join events e on e.member_id = r.record_id and e.kind in (10, 12, 13) and e.business_date <= %(on)s
    join transfers t on t.member_id = e.member_id and t.event_id = e.event_id
    cross join lateral (values (t.credit, 1), (t.debit, -1)) x(code, sign)
    join chart c on c.tenant_id = t.tenant_id and c.code = x.code and c.kind = 'cash' and c.product = b.past and c.origin = 'own'
   group by 1, 2, 3
  union all
  select b.member_id, b.product, coalesce(b.counts_from, h.paid_on), sum(h.minor)::bigint
    from (select * from behind where is_paid) b cross join lateral records_of(b.member_id) r
    join opening_history h on h.member_id = r.record_id and h.product = b.past and h.origin = 'own' and h.paid_on <= %(on)s
   group by 1, 2, 3
  union all
  select b.member_id, b.product, coalesce(b.counts_from, h.paid_on), sum(h.minor)::bigint
    from (select * from behind where is_paid) b cross join lateral records_of(b.member_id) r
    join transfer_history h on h.member_id = r.record_id and h.product = b.past and h.origin = 'own' and h.paid_on <= %(on)s
   group by 1, 2, 3),
prices_on as materialized (
  select f.code, p.digits, p.scale, f.unit_scale from funds f cross join lateral (
    select digits, scale from prices p where p.tenant_id = f.tenant_id and p.fund_id = f.fund_id and p.state = 'accepted'
       and p.price_on <= %(on)s order by p.price_on desc, p.file_id desc limit 1) p where f.tenant_id = %(t)s),
came as (                                             -- units at the price that was the last by the day they came
  select b.member_id, b.product, coalesce(b.counts_from, v.moved_on) as day,
         sum(case when c.kind = 'cash' then t.amount
                  else div(t.amount::numeric * p.digits * 10::numeric ^ greatest(m.scale - f.unit_scale - p.scale, 0),
                           10::numeric ^ greatest(f.unit_scale + p.scale - m.scale, 0)) end)::bigint as minor
    from behind b cross join lateral records_of(b.member_id) r
    join product_moves v on v.member_id = r.record_id and v.event_id = b.move
    join transfers t on t.member_id = v.member_id and t.event_id = v.event_id
    join chart c on c.tenant_id = t.tenant_id and c.code = t.credit and c.kind in ('cash', 'units') and c.origin = 'own'
    join assets m on m.tenant_id = t.tenant_id and m.asset_id = 1
    left join funds f on f.tenant_id = t.tenant_id and f.code = c.fund and c.kind = 'units'
    left join lateral (
      select digits, scale from prices p where p.tenant_id = f.tenant_id and p.fund_id = f.fund_id and p.state = 'accepted'
         and p.price_on <= v.moved_on order by p.price_on desc, p.file_id desc limit 1) p on true
   where b.move <> 0 group by 1, 2, 3),
held as (
  select w.member_id, w.product, c.pot, c.origin,
         sum(case when c.kind = 'cash' then n.net
                  else div(n.net::numeric * p.digits * 10::numeric ^ greatest(m.scale - p.unit_scale - p.scale, 0),
                           10::numeric ^ greatest(p.unit_scale + p.scale - m.scale, 0)) end)::bigint as minor
    from who w
    join balances n0 on n0.member_id = w.member_id
    join chart c on c.tenant_id = n0.tenant_id and c.code = n0.code and c.product = w.product and c.kind in ('cash', 'units')
    cross join lateral (
      select sum(case when t.credit = n0.code then t.amount else -t.amount end) as net from transfers t
        join events e on e.event_id = t.event_id and e.member_id in (t.member_id, %(house)s) and e.business_date <= %(on)s
       where t.member_id = w.member_id and (t.credit = n0.code or t.debit = n0.code)) n
    join assets m on m.tenant_id = n0.tenant_id and m.asset_id = 1
    left join prices_on p on p.code = c.fund
   where n.net > 0 group by 1, 2, 3, 4),
paid_of as (
  select member_id, product, jsonb_agg(jsonb_build_array(day, minor) order by day) as days from paid where minor <> 0 group by 1, 2),
came_of as (
  select member_id, product, jsonb_agg(jsonb_build_array(day, minor) order by day) as days from came where minor <> 0 group by 1, 2),
held_of as (
  select member_id, product, jsonb_agg(jsonb_build_array(pot, origin, minor) order by pot, origin) as parts from held group by 1, 2)
select w.member_id, w.product, w.joined_on, w.group_code,
       coalesce((select a.value from member_attributes a where a.member_id = w.member_id and a.attribute = 'class' and a.as_of <= %(on)s
                    and (a.expires_on is null or a.expires_on > %(on)s) order by a.as_of desc, a.event_id desc limit 1),
                w.person_class),
       coalesce(p.days, '[]'), coalesce(h.parts, '[]'),
       (select count(distinct l.year_from) from match_claim_lines l join match_claims c using (tenant_id, claim_no)
         where l.member_id in (select record_id from records_of(w.member_id)) and c.product = w.product and c.state <> 'rejected' and l.entitled > 0 and l.year_from + interval '1 year' <= %(on)s),
       coalesce(a.days, '[]')
  from who w left join paid_of p using (member_id, product) left join came_of a using (member_id, product) left join held_of h using (member_id, product)
 order by w.member_id, w.product
"""


async def member_facts(
    session: AsyncSession,
    *,
    on: date,
    members: Sequence[int] | None = None,
    product: str = "",
    after: tuple[int, str] = (0, ""),
    most: int = 10_000,
) -> list[MemberFacts]:
    """Return what the books say of members on a day: of those named, or of the next `most` after (member_id, product)."""
    connection = await driver(session)
    tenant_id = session.info["tenant_id"]
    cursor = await connection.execute(
        _FACTS,
        {
            "t": tenant_id,
            "house": -tenant_id,
            "on": on,
            "members": None if members is None else list(members),
            "product": product,
            "after": after[0],
            "past": after[1],
            "most": most,
        },
    )
    return [
        MemberFacts(
            row[0],
            row[1],
            row[2],
            row[3],
            row[4],
            tuple((date.fromisoformat(day), minor) for day, minor in row[5]),
            tuple((pot, origin, minor) for pot, origin, minor in row[6]),
            row[7],
            tuple((date.fromisoformat(day), minor) for day, minor in row[8]),
        )
        for row in await cursor.fetchall()
    ]
