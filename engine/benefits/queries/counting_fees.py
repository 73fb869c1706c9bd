"""SQL that counts what fees take: what each member of a range is due by each fee, before anything is booked."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta

from psycopg import AsyncConnection
from sqlalchemy.ext.asyncio import AsyncSession

from engine.benefits.queries.charging import FeeRun, UnitPrices, joined_between
from engine.benefits.rules.charging import FeeTerms
from engine.kernel.rounding import Rounding
from engine.runtime.database import driver

# What moved on what each member has, by its day, or as of the day alone; an event is the member's own or the house's.
_MOVES = """
select x.member_id, case when %(by_day)s then coalesce(e.business_date, h.business_date) else %(on)s::date end as effective,
       sum(x.amount * ((x.credit = any(c.codes))::int - (x.debit = any(c.codes))::int))::bigint as minor
  from transfers x
  cross join (select array_agg(code) as codes from chart where kind = 'cash' and product = %(product)s) c
  left join events e on e.member_id = x.member_id and e.event_id = x.event_id and e.member_id between %(first)s and %(last)s
  left join events h on h.member_id = %(house)s and h.event_id = x.event_id
 where %(needed)s and x.member_id between %(first)s and %(last)s and (x.credit = any(c.codes) or x.debit = any(c.codes))
   and coalesce(e.business_date, h.business_date) <= %(on)s
 group by 1, 2
"""
# The same of a product in funds, as of the day alone: units at their fund's last price, each account rounded down.
_UNIT_MOVES = """
select z.member_id, %(on)s::date as effective,
       sum(case z.fund when '' then z.minor else floor_units(greatest(z.minor, 0), p.multiplier, p.divisor) end)::bigint as minor
  from (select x.member_id, s.code, c.fund, sum(s.sign * x.amount)::bigint as minor
          from transfers x
          left join events e on e.member_id = x.member_id and e.event_id = x.event_id and e.member_id between %(first)s and %(last)s
          left join events h on h.member_id = %(house)s and h.event_id = x.event_id
          cross join lateral (values (x.credit, 1), (x.debit, -1)) s(code, sign)
          join chart c on c.tenant_id = x.tenant_id and c.code = s.code and c.kind in ('cash', 'units') and c.product = %(product)s
         where %(needed)s and x.member_id between %(first)s and %(last)s and coalesce(e.business_date, h.business_date) <= %(on)s
         group by 1, 2, 3) z
  left join unnest(%(funds)s::text[], %(multipliers)s::bigint[], %(divisors)s::bigint[]) p(fund, multiplier, divisor) on p.fund = z.fund
 group by 1
"""
_ASSETS = """
create temporary table fee_assets on commit drop as
select m.member_id, m.joined_on, r.left_on, coalesce(a.minor, 0) as assets
  from memberships m
  left join (select member_id, min(left_on) as left_on from fee_runs
              where product = %(product)s and left_on is not null and state <> 'rejected' group by 1) r using (member_id)
  left join (select member_id, sum(minor)::bigint as minor from {moves} moves group by 1) a using (member_id)
 where m.product = %(product)s and m.moved_to = '' and m.joined_on <= %(on)s and m.member_id between %(first)s and %(last)s
   and (%(member)s = 0 or m.member_id = %(member)s)
"""
_PERIODIC = "select member_id, joined_on, left_on, assets, {base} as base from fee_assets m {join}"
_DAYS = """left join (select member_id, sum(minor * (%(until)s::date - greatest(effective, %(since)s::date))) as days
                        from fee_moves group by 1) d using (member_id)"""
# A payment, or money that became payable, of which nothing was taken back: one charge each.
_ACTS = """
select m.member_id, m.joined_on, m.left_on, m.assets, a.minor as base
  from fee_assets m join (
    select x.member_id, x.event_id, sum(x.amount)::bigint as minor
      from transfers x
      join events e on e.event_id = x.event_id and e.member_id in (x.member_id, %(house)s)
      join chart own on own.tenant_id = x.tenant_id and own.code = {own} and own.kind = 'cash' and own.product = %(product)s
      join chart other on other.tenant_id = x.tenant_id and other.code = {other} and other.kind = any(%(others)s)
     where x.member_id between %(first)s and %(last)s and e.business_date >= %(since)s and e.business_date < %(until)s
       and not exists (select from reversals r where r.tenant_id = x.tenant_id and r.event_id = x.event_id and r.state <> 'rejected')
     group by 1, 2) a using (member_id)
"""
_ONE_STEP = "(%(flat)s::numeric * %(denominator)s + base * %(numerator)s::numeric)"
_WHOLE = """coalesce((select s.flat * %(denominator)s::numeric + base * s.numerator
   from unnest(%(starts)s::bigint[], %(flats)s::bigint[], %(numerators)s::numeric[]) s(start, flat, numerator)
  where s.start <= base order by s.start desc limit 1), 0)"""
_SLICES = """coalesce((select sum((least(base, s.next) - s.start) * s.numerator)
   from unnest(%(starts)s::bigint[], %(nexts)s::bigint[], %(numerators)s::numeric[]) s(start, next, numerator)
  where s.start <= base), 0)"""
# What is due by each case, and of each member: a member has one case of a fee by the period, or one of each of their acts.
_CHARGES = """
select member_id, joined_on, (case
         when days = 0 or assets <= %(waived_up_to)s::bigint or %(on)s < joined_on + make_interval(months => %(waived_months)s) then 0
         else least({rounded}, %(charge_most)s::bigint) end)::bigint as net
  from (select k.*, least(greatest({charge} * days, %(least)s::numeric * %(denominator)s * %(days)s, 0),
                          %(most)s::numeric * %(denominator)s * %(days)s) as exact
          from (select k.*, {days} as days from ({cases}) k) k) k
"""
_SUM_OF_CHARGES = """
select a.member_id, a.joined_on, c.net
  from fee_assets a left join (select member_id, sum(net)::bigint as net from ({charges}) k group by 1) c using (member_id)
"""
# Runs of the product, and of one that the member moved from: another product may name a fee alike.
_OF_PRODUCT = """(r.product = %(product)s or exists (select from memberships w where w.member_id = {member} and w.product = r.product
                                                        and w.moved_to = %(product)s))"""
_OF_LINE, _OF_CHARGE = _OF_PRODUCT.format(member="l.member_id"), _OF_PRODUCT.format(member="c.member_id")
# A run charged a period on a day of it or later: as an array, since where there was none no line is read. Where no run left anything owing, no member's charges are read for it.
_COUNTED = """
insert into {lines} (member_id, net, vat, arrears, tenant_id, run_no, period_from, fee)
select member_id, net, ({vat})::bigint, arrears, %(t)s, %(run)s, %(since)s, %(fee)s
  from (
    select m.member_id, least(greatest(coalesce(m.net, 0) - coalesce(b.net, 0), 0){rooms})::bigint as net, coalesce(o.owed, 0) as arrears
      from ({charged}) m
      left join (select l.member_id, sum(l.net)::bigint as net from fee_lines l join fee_runs r on r.tenant_id = l.tenant_id and r.run_no = l.run_no and r.state = 'done'
                  where l.fee = %(fee)s and l.period_from = %(since)s and l.run_no = any(array(
                          select run_no from fee_runs where state = 'done' and charged_on >= %(since)s)) and l.member_id between %(first)s and %(last)s
                    and {of_line}
                  group by 1) b using (member_id)
      left join (select c.member_id, sum(c.net + c.vat - c.taken)::bigint as owed from fee_charges c
                   join fee_runs r on r.tenant_id = c.tenant_id and r.run_no = c.run_no
                  where c.fee = %(fee)s and %(collects)s and c.member_id between %(first)s and %(last)s and {of_charge}
                    and exists (select from fee_ranges where owed <> 0)
                  group by 1 having sum(c.net + c.vat - c.taken) > 0) o using (member_id){years}{stretch}) x
 where net + arrears > 0
"""
# Left away where all are charged alike, since the planner takes who joined between unknown days for few.
_STRETCH = """
     where m.joined_on between %(joined_from)s::date and %(joined_until)s::date"""
# Whom a fee that asked for them takes nothing of, and why.
_ZEROS = """
insert into zero_results (member_id, decision_id, basis, tenant_id, subject, reason)
select m.member_id, d.decision_id, m.assets, d.tenant_id, %(fee)s,
       case when m.assets <= %(waived_up_to)s::bigint then 'small-balance'
            when %(on)s < m.joined_on + make_interval(months => %(waived_months)s) then 'new-member'
            when exists (select from fee_lines l join fee_runs r on r.tenant_id = l.tenant_id and r.run_no = l.run_no and r.state = 'done'
                          where l.member_id = m.member_id and l.fee = %(fee)s and l.period_from = %(since)s and {of_line}
                            and l.member_id between %(first)s and %(last)s) then 'charged-before'
            when least(1::numeric{rooms}) = 0 then 'limit-reached' when {days} = 0 then 'outside-period' else 'below-one-unit' end
  from run_decisions d join fee_assets m on true{years}
 where d.kind = 'fee' and d.run_no = %(run)s and m.member_id in (select member_id from ({cases}) k) and m.member_id = any(%(free)s)
"""
# Whom a fee took nothing of: few, so that what else there is to know of them is looked up for them alone. `not in` is hashed: of
# lines that were written a moment ago the planner thinks that there are none, and would read them all for each member.
_FREE = """
select m.member_id from fee_assets m
 where m.joined_on between %(joined_from)s::date and %(joined_until)s::date
   and m.member_id not in (select l.member_id from fee_lines l where l.run_no = %(run)s and l.fee = %(fee)s
                              and l.member_id between %(first)s and %(last)s)
"""
# A whole number not below zero over one above it, rounded as `engine.kernel.rounding`; what a function does is not inlined.
_ROUNDED: Mapping[Rounding, str] = {
    "down": "div({num}, {den})",
    "up": "div({num} + {den} - 1, {den})",
    "half-up": "div(2 * {num} + {den}, 2 * {den})",
    "half-even": "div(2 * {num} + {den}, 2 * {den}) - (mod(2 * {num} + {den}, 2 * {den}) = 0 and mod(div(2 * {num} + {den}, 2 * {den}), 2) = 1)::int",
    "nearest-down": "div(2 * {num} + {den} - 1, 2 * {den})",
}
_YEAR = """
      left join (select member_id, sum(net)::bigint as net, sum(vat)::bigint as vat
                   from (select c.member_id, c.net, c.vat from fee_charges c join fee_runs r on r.tenant_id = c.tenant_id and r.run_no = c.run_no
                          where c.year_from = %(year)s and c.fee = any(%(cap{n})s) and c.member_id between %(first)s and %(last)s and {of_charge}
                         union all
                         select member_id, net, vat from {lines}
                          where run_no = %(run)s and fee = any(%(cap{n})s) and member_id between %(first)s and %(last)s) u
                  group by 1) y{n} using (member_id)"""
_ROOM = ", greatest(%(most{n})s - coalesce(y{n}.net, 0), 0)"
_ROOM_WITH_VAT = """, div(greatest(%(most{n})s - coalesce(y{n}.net + y{n}.vat, 0), 0)::numeric * %(vat_denominator)s,
                         %(vat_denominator)s::numeric + %(vat_numerator)s)"""
_DAYS_THERE = (
    "greatest(least(coalesce(left_on, %(until)s::date), %(until)s::date) - greatest(joined_on, %(since)s::date), 0)"
)
_SUMMED = """
update fee_ranges r set state = 'counted', members = s.members, net = s.net, vat = s.vat, arrears = s.arrears, digest = s.digest
  from (select count(distinct member_id)::int as members, coalesce(sum(net), 0)::bigint as net, coalesce(sum(vat), 0)::bigint as vat,
               coalesce(sum(arrears), 0)::bigint as arrears,
               encode(sha256(convert_to(coalesce(string_agg(concat_ws(',', to_hex(member_id), fee, period_from, net, vat, arrears), E'\\n'
                 order by member_id, fee), ''), 'UTF8')), 'hex') as digest
          from fee_lines where run_no = %(run)s and member_id between %(first)s and %(last)s) s
 where r.run_no = %(run)s and r.range_no = %(range)s
returning r.members
"""
_GIVEN_BACK = f"""
insert into fee_lines (member_id, net, vat, arrears, tenant_id, run_no, period_from, fee)
select c.member_id, -c.net, -c.vat, 0, %(t)s, %(run)s, c.period_from, c.fee
  from fee_charges c
 where c.run_no = %(corrects)s and c.member_id between %(first)s and %(last)s and (%(member)s = 0 or c.member_id = %(member)s)
   and c.net + c.vat <> 0
   and exists (select from memberships m where m.member_id = c.member_id and m.product = %(product)s and m.moved_to = '')
   and not exists (select from fee_runs r join fee_lines l on l.tenant_id = r.tenant_id and l.run_no = r.run_no and l.member_id = c.member_id
                    where r.corrects = %(corrects)s and r.run_no <> %(run)s and r.state <> 'rejected')
   and not exists (                                                   -- what was owed and is paid by now belongs to two runs
         select from fee_charges d where d.run_no = %(corrects)s and d.member_id = c.member_id
            and (d.arrears <> 0 or (d.owed > 0 and d.owed > (
                  select sum(c.net + c.vat - c.taken) from fee_charges c join fee_runs r on r.tenant_id = c.tenant_id and r.run_no = c.run_no
                   where c.member_id = d.member_id and c.fee = d.fee and {_OF_CHARGE}))))
"""


async def count_range(
    session: AsyncSession, run: FeeRun, range_no: int, members: tuple[int, int], prices: UnitPrices | None
) -> int:
    """Note what each of the members is due by each fee of the run, one after the other so that caps hold over all of them.

    Units are worth their prices, where the product is in funds. Whom a fee takes nothing of is noted with the reason. Returns
    how many members are due anything.
    """
    connection = await driver(session)
    tenant = session.info["tenant_id"]
    given: dict[str, object] = {
        "t": tenant, "house": -tenant, "run": run.run_no, "product": run.product, "on": run.charged_on, "year": run.year_from,
        "first": members[0], "last": members[1], "member": run.member_id, "range": range_no, "corrects": run.corrects,
    }  # fmt: skip
    if run.corrects:
        await connection.execute(_GIVEN_BACK, given)
    else:
        await _count_all(connection, run.terms, given, prices)
    cursor = await connection.execute(_SUMMED, given)
    row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


async def foreseen_fees(
    session: AsyncSession,
    product: str,
    terms: Sequence[FeeTerms],
    members: tuple[int, int],
    on: date,
    year_from: date,
    prices: UnitPrices | None,
) -> list[tuple[int, str, int]]:
    """Return (member, fee, fee with its tax) of what members would be charged; nothing is written.

    What is there on the day is taken to stay until each fee's period ends, and what was charged for the period before is
    taken off, as in a run on its last day.
    """
    tenant = session.info["tenant_id"]
    given: dict[str, object] = {
        "t": tenant, "house": -tenant, "run": 0, "product": product, "on": on, "year": year_from,
        "first": members[0], "last": members[1], "member": 0,
    }  # fmt: skip
    connection = await driver(session)
    async with connection.transaction(force_rollback=True):
        await connection.execute("create temporary table fees_foreseen (like fee_lines) on commit drop")
        await _count_all(connection, terms, given, prices, lines="fees_foreseen")
        cursor = await connection.execute("select member_id, fee, net + vat from fees_foreseen where net + vat > 0")
        found: list[tuple[int, str, int]] = await cursor.fetchall()
    return found


async def _count_all(
    connection: AsyncConnection,
    terms: Sequence[FeeTerms],
    given: dict[str, object],
    prices: UnitPrices | None,
    *,
    lines: str = "fee_lines",
) -> None:
    given |= {} if prices is None else prices.given()
    given["needed"] = any(one.needs_assets for one in terms)
    given["by_day"] = any(one.base == "asset-days" for one in terms)
    moves = _MOVES if prices is None else _UNIT_MOVES
    if given["by_day"]:
        await connection.execute(f"create temporary table fee_moves on commit drop as {moves}", given)
        await connection.execute("analyze fee_moves")
    members = await connection.execute(_ASSETS.format(moves="fee_moves" if given["by_day"] else f"({moves})"), given)
    await connection.execute("analyze fee_assets (member_id, joined_on)")
    for one in terms:
        await _count(connection, one, given, members.rowcount, lines=lines)


async def _count(
    connection: AsyncConnection, one: FeeTerms, given: Mapping[str, object], members: int, *, lines: str
) -> None:
    on = given["on"]
    assert isinstance(on, date)
    until = one.until if lines != "fee_lines" else min(one.until, on + timedelta(days=1))
    by_days, period_days = one.part_period == "days", (one.until - one.since).days
    starts = [step.start for step in one.steps]
    own: dict[str, object] = {
        "fee": one.fee, "since": one.since, "until": until, "flat": one.steps[0].flat, "numerator": one.steps[0].numerator,
        "starts": starts, "nexts": [*starts[1:], 2**63 - 1], "flats": [step.flat for step in one.steps],
        "numerators": [step.numerator for step in one.steps], "denominator": one.denominator, "least": one.least, "most": one.most,
        "waived_up_to": one.waived_up_to, "waived_months": one.waived_months, "charge_most": one.charge_most,
        "days": period_days if by_days else 1, "period_days": period_days, "collects": one.taken_from != "billed",
        "vat_numerator": one.vat_numerator, "vat_denominator": one.vat_denominator, **joined_between(one),
    }  # fmt: skip
    for number, cap in enumerate(one.year_caps):
        own |= {f"cap{number}": list(cap.fees), f"most{number}": cap.most}
    once_each = False
    if one.charged in ("contribution", "withdrawal"):
        paid = one.charged == "contribution"
        sides = {"own": "x.credit", "other": "x.debit"} if paid else {"own": "x.debit", "other": "x.credit"}
        cases = _ACTS.format(**sides)
        own["others"] = ["collections", "suspense"] if paid else ["payable"]
    elif one.base == "asset-days":
        cases, once_each = _PERIODIC.format(base="coalesce(d.days, 0)", join=_DAYS), True
    elif one.charged == "opening":
        cases = _PERIODIC.format(base="assets", join="where joined_on >= %(since)s")
    else:
        cases, once_each = _PERIODIC.format(base="assets", join=""), True
    days = "1"
    if by_days:
        days = _DAYS_THERE
    elif one.part_period == "nothing":
        days = f"({_DAYS_THERE} = %(period_days)s)::int"
    charge = _SLICES if one.slices else _ONE_STEP if len(one.steps) == 1 and not one.steps[0].start else _WHOLE
    rooms = "".join(
        (_ROOM_WITH_VAT if cap.includes_vat else _ROOM).format(n=number) for number, cap in enumerate(one.year_caps)
    )
    years = "".join(_YEAR.format(n=number, lines=lines, of_charge=_OF_CHARGE) for number in range(len(one.year_caps)))
    charges = _CHARGES.format(
        charge=charge,
        cases=cases,
        days=days,
        rounded=_ROUNDED[one.rounding].format(num="exact", den="(%(denominator)s::numeric * %(days)s)"),
    )
    statement = _COUNTED.format(
        lines=lines,
        of_line=_OF_LINE,
        of_charge=_OF_CHARGE,
        charged=charges if once_each else _SUM_OF_CHARGES.format(charges=charges),
        rooms=rooms,
        years=years,
        stretch="" if own["all_joined"] else _STRETCH,
        vat=_ROUNDED[one.rounding].format(num="(net::numeric * %(vat_numerator)s)", den="%(vat_denominator)s::numeric"),
    )
    counted = await connection.execute(statement, {**given, **own})
    if lines == "fee_lines" and counted.rowcount < members:
        cursor = await connection.execute(_FREE, {**given, **own})
        free = [row[0] for row in await cursor.fetchall()]
        if free:
            zeros = _ZEROS.format(of_line=_OF_LINE, cases=cases, days=days, rooms=rooms, years=years)
            await connection.execute(zeros, {**given, **own, "free": free})
