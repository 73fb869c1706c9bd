"""SQL of proofs: what statements say of an account, what the books say, and what stands between; what is held of a fund."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from engine.runtime.database import driver


@dataclass(frozen=True, slots=True)
class Between:
    """Money that stands between a statement and the books, of one kind: how many, their sum, the oldest's day."""

    kind: str
    count: int
    amount: int
    oldest: date | None


@dataclass(frozen=True, slots=True)
class AccountStanding:
    """A collection account on a day: its newest statement with a balance, if any, and the books' balance."""

    account: str
    statement_id: int | None
    closed_on: date | None
    closing: int | None
    books: int


# The newest version of the statement that ends last, of those with a balance.
_STATEMENTS = """
select distinct on (s.account) s.account, s.statement_id, s.last_on, s.closing from statements s
 where s.closing is not null and s.last_on <= :on
   and not exists (select from statements v where v.corrects = s.statement_id)
 order by s.account, s.last_on desc, s.statement_id desc
"""

_BOOKS = """
select c.party as account, sum(case when t.debit = c.code then t.amount else -t.amount end)::bigint as balance
  from chart c join transfers t on t.debit = c.code or t.credit = c.code
  join events e on e.member_id in (t.member_id, -c.tenant_id) and e.event_id = t.event_id
 where c.kind = 'collections' and e.business_date <= :on group by c.party
"""

# What the books have of an account up to a day, against lines of statements that end by it. A line of a day to come, or
# of a statement that does, is no line yet.
_BETWEEN = """
with shown as materialized (
  select s.statement_id, s.account, s.opening, s.first_on from statements s where s.last_on <= %(on)s),
lines as materialized (
  select l.statement_id, l.line_no, s.account, l.amount, l.value_date, m.line_no is not null as is_receipt, w.how, w.event_id as orders
    from shown s join statement_lines l using (statement_id)
    left join (select distinct tenant_id, statement_id, line_no from matches) m
      on m.tenant_id = l.tenant_id and m.statement_id = l.statement_id and m.line_no = l.line_no
    left join settled_lines w on w.tenant_id = l.tenant_id and w.statement_id = l.statement_id and w.line_no = l.line_no),
receipts as materialized (
  select m.member_id, m.event_id, s.account from matches m join shown s using (statement_id)),
-- Of a receipt that several lines show: what all but its first bring, and how much of that is shown by the day.
parts as materialized (
  select w.event_id, sum(l.amount) as amount, coalesce(sum(l.amount) filter (where s.statement_id is not null), 0) as shown
    from settled_lines w join statement_lines l using (tenant_id, statement_id, line_no) left join shown s using (statement_id)
   where w.how = 'part' group by 1),
causes as materialized (
  select p.resolved_event from break_proposals p join shown s using (statement_id) where p.state = 'confirmed' and p.difference <> 0),
moved as materialized (
  select c.party as account, t.member_id, t.event_id, e.business_date as day, e.kind,
         sum(case when t.debit = c.code then t.amount else -t.amount end)::bigint as amount
    from chart c join transfers t on t.debit = c.code or t.credit = c.code
    join events e on e.member_id in (t.member_id, -c.tenant_id) and e.event_id = t.event_id
   where c.kind = 'collections' and e.business_date <= %(on)s group by 1, 2, 3, 4, 5)
select account, kind, count(*)::int, sum(amount)::bigint, min(day) from (
  select account, 'before-statements' as kind, opening as amount, first_on as day from (
    select distinct on (account) account, opening, first_on from shown
     where opening is not null order by account, first_on, statement_id) f where opening <> 0
  union all
  select account, case when amount > 0 then 'in-not-booked' else 'out-not-booked' end, amount, value_date from lines
   where not is_receipt and how is null
  union all
  select account, 'withdrawn-receipt', -amount, value_date from lines where is_receipt and how = 'withdrawn'
  union all
  select account, case when kind = 191 then 'opened-with' else 'receipt-not-shown' end, -amount, day from (
    select m.account, m.day, m.kind, case when r.event_id is null then m.amount - coalesce(p.shown, 0)
                                  else coalesce(p.amount - p.shown, 0) end as amount
      from moved m
      left join receipts r on r.event_id = m.event_id and r.member_id = m.member_id and r.account = m.account
      left join parts p on p.event_id = m.event_id
     where m.amount > 0 and not exists (select from causes c where c.resolved_event = m.event_id)
       and not exists (select from lines l where l.account = m.account and l.how in ('proceeds', 'payout') and l.orders = m.event_id)) n
   where amount <> 0
  union all
  select m.account, case when m.kind = 41 then 'order-not-shown' else 'out-not-shown' end, -m.amount, m.day from moved m
   where m.amount < 0 and not exists (
     select from lines l where l.how in ('order', 'reversal', 'payout') and l.orders = m.event_id and l.account = m.account)
     and not exists (select from causes c where c.resolved_event = m.event_id)) b
 group by account, kind order by account, kind
"""


async def standings(session: AsyncSession, on: date) -> list[AccountStanding]:
    """Return every collection account that a statement or the books speak of up to a day, by channel."""
    told = {row.account: row for row in await session.execute(text(_STATEMENTS), {"on": on})}
    books = {row.account: row.balance for row in await session.execute(text(_BOOKS), {"on": on})}
    return [
        AccountStanding(
            account,
            told[account].statement_id if account in told else None,
            told[account].last_on if account in told else None,
            told[account].closing if account in told else None,
            books.get(account, 0),
        )
        for account in sorted(told.keys() | books.keys())
    ]


async def between(session: AsyncSession, on: date) -> dict[str, list[Between]]:
    """Return by account what stands between its statements that end by a day and the books up to that day."""
    connection = await driver(session)
    await connection.execute("set local enable_nestloop = off")
    cursor = await connection.execute(_BETWEEN, {"on": on})
    found: dict[str, list[Between]] = {}
    for account, kind, count, amount, oldest in await cursor.fetchall():
        found.setdefault(account, []).append(Between(kind, count, amount, oldest))
    return found


@dataclass(frozen=True, slots=True)
class FundStanding:
    """A fund on a day: units of the books, what its holder told last, and its last accepted price; of 10^-scale each.

    Of orders that were sent to its manager: `sent` units that the books have for those that are priced, bought less sold;
    `confirmed` units that the manager says, None where nothing was sent, and `confirmed_value` in major units of money, by its prices.
    """

    fund: str
    unit_scale: int
    books: int
    told: int | None
    told_on: date | None
    price_on: date | None
    digits: int | None
    scale: int | None
    sent: int | None
    confirmed: Decimal | None
    confirmed_value: Decimal | None


async def fund_standings(session: AsyncSession, on: date) -> list[FundStanding]:
    """Return every fund on a day, by code."""
    rows = await session.execute(
        text("""
          with sent as (
            select s.fund_id, sum(case s.side when 'subscribe' then o.units_confirmed else -r.units end)::bigint as units
              from order_sendings s
              left join orders o on s.side = 'subscribe' and o.dealing_id = s.dealing_id and o.fund_id = s.fund_id
              left join sale_orders r on s.side = 'redeem' and r.dealing_id = s.dealing_id and r.fund_id = s.fund_id
             where not s.is_released and coalesce(o.price_on, r.price_on) <= :on group by s.fund_id),
          said as (
            select s.fund_id, sum(case s.side when 'subscribe' then c.units else -c.units end) as units,
                   sum(case s.side when 'subscribe' then c.units else -c.units end * c.price) as value
              from order_sendings s join confirmations c on c.reference = s.reference and c.state = 'confirmed'
             where not s.is_released and s.confirmed_event <> 0 and c.traded_on <= :on group by s.fund_id)
          select f.code, f.unit_scale, coalesce(b.units, 0)::bigint, h.units, h.day, p.price_on, p.digits, p.scale,
                 sent.units, case when sent.fund_id is not null then coalesce(said.units, 0) end,
                 case when sent.fund_id is not null then coalesce(said.value, 0) end
            from funds f
            left join sent on sent.fund_id = f.fund_id left join said on said.fund_id = f.fund_id
            left join (select c.fund, sum(case when t.debit = c.code then t.amount else -t.amount end) as units
                         from chart c join transfers t on t.debit = c.code or t.credit = c.code
                         join events e on e.member_id in (t.member_id, -c.tenant_id) and e.event_id = t.event_id
                        where c.kind = 'units-issued' and e.business_date <= :on group by c.fund) b on b.fund = f.code
            left join lateral (select t.units, x.day from holdings_files x join holdings_told t using (tenant_id, file_id)
                                where t.fund_id = f.fund_id and x.day <= :on order by x.day desc, x.file_id desc limit 1) h on true
            left join lateral (select price_on, digits, scale from prices p where p.fund_id = f.fund_id and p.state = 'accepted'
                                  and p.price_on <= :on order by price_on desc, file_id desc limit 1) p on true
           order by f.code"""),
        {"on": on},
    )
    return [FundStanding(*row) for row in rows]


async def fund_numbers(session: AsyncSession) -> dict[str, tuple[int, int]]:
    """Return (number, unit scale) of each fund by code."""
    rows = await session.execute(text("select code, fund_id, unit_scale from funds"))
    return {row.code: (row.fund_id, row.unit_scale) for row in rows}


async def find_holdings(session: AsyncSession, sha256: str) -> tuple[int, datetime] | None:
    """Return the number of the holdings file of those bytes, and when it first came."""
    row = (
        await session.execute(
            text("select file_id, imported_at from holdings_files where sha256 = :sha"), {"sha": sha256}
        )
    ).first()
    return None if row is None else (row.file_id, row.imported_at)


async def add_holdings(
    session: AsyncSession,
    *,
    day: date,
    name: str,
    sha256: str,
    raw: bytes,
    imported_at: datetime,
    actor: int,
    units: Mapping[int, int],
) -> int | None:
    """Keep a file of holdings, units by fund's number; return its number, or None if the same bytes have just come."""
    number = await session.scalar(
        text("""insert into holdings_files (tenant_id, day, name, sha256, raw, imported_at, actor)
                values (:t, :day, :name, :sha, :raw, :at, :actor) on conflict (tenant_id, sha256) do nothing returning file_id"""),
        {
            "t": session.info["tenant_id"],
            "day": day,
            "name": name,
            "sha": sha256,
            "raw": raw,
            "at": imported_at,
            "actor": actor,
        },
    )
    if number is None:
        return None
    funds: Sequence[int] = list(units)
    await session.execute(
        text("""insert into holdings_told (tenant_id, file_id, fund_id, units)
                select :t, :file, * from unnest(cast(:funds as int[]), cast(:units as bigint[]))"""),
        {"t": session.info["tenant_id"], "file": number, "funds": funds, "units": [units[one] for one in funds]},
    )
    return int(number)
