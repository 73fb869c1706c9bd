"""SQL of fees: runs, ranges of members, what is due of each member, and what it takes out of which account."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import msgspec
from psycopg import AsyncConnection
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from engine.benefits.rules.charging import FeeTerms
from engine.funds.rules import Conversion
from engine.kernel.rounding import Rounding
from engine.ledger import service as ledger
from engine.ledger.rules import Entry, EventKind
from engine.runtime.database import driver

FEES = "fees"
"""The party of accounts that hold a member's units while they are sold for fees, and what they brought."""
MOST_MEMBERS = 10_000
"""How many members one range of a run holds, and one transaction counts or charges."""


@dataclass(frozen=True, slots=True)
class FeeTotal:
    """What a run says is due by one fee: of how many members, before tax and tax, in smallest units; `arrears` were owed before."""

    fee: str
    payee: str
    members: int
    net: int
    vat: int
    arrears: int


@dataclass(frozen=True, slots=True)
class FeeRun:
    """A run over a product's fees, and what it came to, in smallest units; what was `taken`, is `owed` and `waived` once approved."""

    run_no: int
    product: str
    charged_on: date
    year_from: date
    member_id: int
    left_on: date | None
    corrects: int
    reason: str
    state: str
    digest: str
    terms: tuple[FeeTerms, ...]
    by_fee: tuple[FeeTotal, ...]
    members: int
    net: int
    vat: int
    arrears: int
    taken: int
    owed: int
    waived: int
    maker: str
    checker: str

    @property
    def rules(self) -> list[str]:
        """Return the rules that decide it."""
        return sorted({rule for one in self.terms for rule in one.rules})


@dataclass(frozen=True, slots=True)
class NewRun:
    """What a run begins with; `year` is the scheme year whose caps it counts for."""

    product: str
    charged_on: date
    year_from: date
    terms: tuple[FeeTerms, ...]
    maker: int
    member_id: int = 0
    left_on: date | None = None
    corrects: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class FeeCodes:
    """The accounts that a range is booked over: what is owed by members, what is due by payee, and tax."""

    receivable: int
    payable: Mapping[str, int]
    vat: int


@dataclass(frozen=True, slots=True)
class SellingCodes:
    """Members' accounts of a product's units, side by side with those of units being sold for fees; funds' numbers by code."""

    units: Sequence[int]
    selling: Sequence[int]
    funds: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class UnitPrices:
    """What units are worth by fund: floor(units × multiplier ÷ divisor) smallest units of money."""

    funds: Sequence[str]
    conversions: Sequence[Conversion]

    def given(self) -> dict[str, object]:
        """Return them as a statement takes them."""
        return {
            "funds": list(self.funds),
            "multipliers": [one.multiplier for one in self.conversions],
            "divisors": [one.divisor for one in self.conversions],
        }


@dataclass(frozen=True, slots=True)
class FeePosting:
    """How a range is booked, and what its event says."""

    day: date
    actor: int
    pack: int
    decision: int
    codes: FeeCodes
    facts: Mapping[str, object]


_RUN = """
select r.run_no, r.product, r.charged_on, r.year_from, r.member_id, r.left_on, r.corrects, r.reason, r.state, r.digest, r.terms, r.by_fee,
       r.members, r.net, r.vat, r.arrears, r.taken, r.owed, r.waived, a.name as maker, coalesce(b.name, '') as checker
  from fee_runs r join actors a on a.tenant_id = r.tenant_id and a.actor_id = r.maker
  left join actors b on b.tenant_id = r.tenant_id and b.actor_id = r.checker
"""


def _run(row: Sequence[object]) -> FeeRun:
    head, terms, by_fee = row[:10], row[10], row[11]
    found = (msgspec.convert(terms, tuple[FeeTerms, ...]), msgspec.convert(by_fee, tuple[FeeTotal, ...]))
    return FeeRun(*head, *found, *row[12:])  # type: ignore[arg-type,call-arg]


async def find_run(session: AsyncSession, run_no: int, *, hold: bool = False) -> FeeRun | None:
    """Return a run; where asked nobody else can change it until the session ends."""
    if hold:
        await session.execute(text("select from fee_runs where run_no = :n for update"), {"n": run_no})
    row = (await session.execute(text(f"{_RUN} where r.run_no = :n"), {"n": run_no})).one_or_none()
    return None if row is None else _run(row)


async def list_runs(session: AsyncSession, *, most: int) -> list[FeeRun]:
    """Return the newest runs, newest first."""
    rows = await session.execute(text(f"{_RUN} order by r.run_no desc limit :most"), {"most": most})
    return [_run(row) for row in rows]


async def open_run(session: AsyncSession, product: str) -> FeeRun | None:
    """Return the product's run that is neither done nor rejected."""
    row = (
        await session.execute(
            text(f"{_RUN} where r.product = :p and r.state in ('counting', 'proposed', 'approved')"), {"p": product}
        )
    ).one_or_none()
    return None if row is None else _run(row)


async def standing_runs(session: AsyncSession) -> list[FeeRun]:
    """Return the runs over all members of a product that were taken and of which nothing was given back, the oldest first."""
    rows = await session.execute(
        text(f"""{_RUN} where r.state = 'done' and r.corrects = 0 and r.member_id = 0
                    and not exists (select from fee_runs c where c.tenant_id = r.tenant_id and c.corrects = r.run_no and c.state <> 'rejected')
                  order by r.charged_on, r.run_no""")
    )
    return [_run(row) for row in rows]


async def runs_mispriced(session: AsyncSession) -> set[int]:
    """Return the runs that counted units at the price of a fund and day that was corrected since."""
    rows = await session.scalars(
        text("""select r.run_no from fee_runs r
                 where r.state = 'done' and r.corrects = 0 and r.member_id = 0 and exists (
                   select from price_corrections c join funds f on f.tenant_id = c.tenant_id and f.fund_id = c.fund_id
                    where c.state = 'done' and c.decided_event > r.proposed_event
                      and exists (select from chart k where k.kind = 'units' and k.product = r.product and k.fund = f.code)
                      and c.price_on = (select max(p.price_on) from prices p
                                         where p.fund_id = c.fund_id and p.state = 'accepted' and p.price_on <= r.charged_on))""")
    )
    return set(rows)


async def refund_of(session: AsyncSession, run_no: int) -> FeeRun | None:
    """Return the run that gives back what a run charged every member, unless it was rejected."""
    row = (
        await session.execute(
            text(
                f"{_RUN} where r.corrects = :n and r.member_id = 0 and r.state <> 'rejected' order by r.run_no desc limit 1"
            ),
            {"n": run_no},
        )
    ).one_or_none()
    return None if row is None else _run(row)


async def charged_since(session: AsyncSession, product: str, charged_on: date, run_no: int) -> bool:
    """Return whether a run over all members charged a day anew after run `run_no`."""
    return bool(
        await session.scalar(
            text("""select exists (select from fee_runs where product = :p and charged_on = :on and corrects = 0 and member_id = 0
                                      and run_no > :n and state not in ('counting', 'rejected'))"""),
            {"p": product, "on": charged_on, "n": run_no},
        )
    )


async def hold_product(session: AsyncSession, product: str) -> None:
    """Let nobody else begin a run over the product until the session ends."""
    await session.execute(
        text("select pg_advisory_xact_lock(hashtextextended('fees:' || :t || ':' || :p, 0))"),
        {"t": str(session.info["tenant_id"]), "p": product},
    )


async def begin_run(session: AsyncSession, new: NewRun) -> int:
    """Begin a run over the members of a product, or one of them, by ranges; return its number."""
    tenant = session.info["tenant_id"]
    number = await session.scalar(
        text("""insert into fee_runs (tenant_id, run_no, product, charged_on, year_from, terms, maker, member_id, left_on, corrects, reason)
                select :t, coalesce(max(run_no), 0) + 1, :p, :on, :year, cast(:terms as jsonb), :maker, :m, :left, :corrects, :reason
                  from fee_runs returning run_no"""),
        {
            "t": tenant, "p": new.product, "on": new.charged_on, "year": new.year_from, "maker": new.maker, "m": new.member_id,
            "left": new.left_on, "corrects": new.corrects, "reason": new.reason, "terms": msgspec.json.encode(new.terms).decode(),
        },
    )  # fmt: skip
    await session.execute(
        text("""insert into fee_ranges (tenant_id, run_no, range_no, first_member, last_member)
                select :t, :run, row_number() over (order by min(member_id)), min(member_id), max(member_id)
                  from (select member_id, (row_number() over (order by member_id) - 1) / :most as part from memberships m
                         where product = :p and moved_to = '' and (:m = 0 or member_id = :m)
                           and (:corrects = 0 or exists (select from fee_charges c where c.member_id = m.member_id and c.run_no = :corrects))) n
                 group by part"""),
        {
            "t": tenant, "run": number, "p": new.product, "m": new.member_id, "corrects": new.corrects, "most": MOST_MEMBERS,
        },
    )  # fmt: skip
    assert number is not None
    return int(number)


async def ranges_in(session: AsyncSession, run_no: int, state: str) -> list[int]:
    """Return the numbers of a run's ranges in a state."""
    rows = await session.execute(
        text("select range_no from fee_ranges where run_no = :run and state = :s order by range_no"),
        {"run": run_no, "s": state},
    )
    return [row.range_no for row in rows]


async def hold_range(session: AsyncSession, run_no: int, range_no: int, state: str) -> tuple[int, int] | None:
    """Return the first and last member of a range in that state, which nobody else can do then; else None."""
    row = (
        await session.execute(
            text("""select first_member, last_member from fee_ranges
                     where run_no = :run and range_no = :range and state = :s for update"""),
            {"run": run_no, "range": range_no, "s": state},
        )
    ).one_or_none()
    return None if row is None else (row.first_member, row.last_member)


async def runs_priced(session: AsyncSession, fund: str, price_on: date) -> list[FeeRun]:
    """Return the runs that are done, were not given back to all, and counted units of a fund at its price of a day."""
    rows = await session.scalars(
        text("""select r.run_no from fee_runs r
                 where r.state = 'done' and r.corrects = 0
                   and exists (select from chart c where c.kind = 'units' and c.product = r.product and c.fund = :fund)
                   and not exists (select from fee_runs b where b.corrects = r.run_no and b.member_id = 0 and b.state = 'done')
                   and :day = (select p.price_on from prices p join funds f on f.tenant_id = p.tenant_id and f.fund_id = p.fund_id
                                where f.code = :fund and p.state = 'accepted' and p.price_on <= r.charged_on
                                order by p.price_on desc limit 1)
                 order by 1"""),
        {"fund": fund, "day": price_on},
    )
    found = [await find_run(session, number) for number in rows]
    return [run for run in found if run is not None]


# -- counting

OF_TERM = """((t ->> 'joined_from') is null or m.joined_on >= (t ->> 'joined_from')::date)
  and ((t ->> 'joined_until') is null or m.joined_on <= (t ->> 'joined_until')::date)"""
"""Whether the terms `t` of a fee are those of who joined on the day that the membership `m` says."""
_COHORT = """(%(all_joined)s or exists (select from memberships joined where joined.member_id = {member} and joined.product = %(product)s
  and joined.joined_on between %(joined_from)s::date and %(joined_until)s::date))"""

_MEMBERS = """
create temporary table fee_members on commit drop as
select m.member_id, m.joined_on,
       (select min(r.left_on) from fee_runs r where r.product = %(product)s and r.member_id = m.member_id and r.left_on is not null
           and r.state <> 'rejected') as left_on
  from memberships m
 where m.product = %(product)s and m.moved_to = '' and m.joined_on <= %(on)s and m.member_id between %(first)s and %(last)s
   and (%(member)s = 0 or m.member_id = %(member)s)
"""
# What moved on what each member has, by its day.
_MOVES = """
create temporary table fee_moves on commit drop as
select x.member_id, e.business_date as effective, sum(s.sign * x.amount)::bigint as minor
  from transfers x
  join events e on e.event_id = x.event_id and e.member_id in (x.member_id, %(house)s)
  cross join lateral (values (x.credit, 1), (x.debit, -1)) s(code, sign)
  join chart c on c.tenant_id = x.tenant_id and c.code = s.code and c.kind = 'cash' and c.product = %(product)s
 where %(needed)s and x.member_id between %(first)s and %(last)s and e.business_date <= %(on)s
 group by 1, 2
"""
# The same of a product in funds, as of the day alone: units at their fund's last price, each account rounded down.
_UNIT_MOVES = """
create temporary table fee_moves on commit drop as
select z.member_id, %(on)s::date as effective,
       sum(case z.fund when '' then z.minor else floor_units(greatest(z.minor, 0), p.multiplier, p.divisor) end)::bigint as minor
  from (select x.member_id, s.code, c.fund, sum(s.sign * x.amount)::bigint as minor
          from transfers x
          join events e on e.event_id = x.event_id and e.member_id in (x.member_id, %(house)s)
          cross join lateral (values (x.credit, 1), (x.debit, -1)) s(code, sign)
          join chart c on c.tenant_id = x.tenant_id and c.code = s.code and c.kind in ('cash', 'units') and c.product = %(product)s
         where %(needed)s and x.member_id between %(first)s and %(last)s and e.business_date <= %(on)s
         group by 1, 2, 3) z
  left join unnest(%(funds)s::text[], %(multipliers)s::bigint[], %(divisors)s::bigint[]) p(fund, multiplier, divisor) on p.fund = z.fund
 group by 1
"""
_ASSETS = """
create temporary table fee_assets on commit drop as
select m.member_id, m.joined_on, m.left_on, coalesce(a.minor, 0) as assets
  from fee_members m left join (select member_id, sum(minor)::bigint as minor from fee_moves group by 1) a using (member_id)
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
_COUNTED = """
insert into {lines} (member_id, net, vat, arrears, tenant_id, run_no, period_from, fee)
select member_id, net, ({vat})::bigint, arrears, %(t)s, %(run)s, %(since)s, %(fee)s
  from (
    select m.member_id, least(greatest(coalesce(c.net, 0) - coalesce(b.net, 0), 0){rooms})::bigint as net, coalesce(o.owed, 0) as arrears
      from fee_members m
      left join (
        select member_id, sum(case
                 when days = 0 or assets <= %(waived_up_to)s::bigint or %(on)s < joined_on + make_interval(months => %(waived_months)s) then 0
                 else least({rounded}, %(charge_most)s::bigint) end)::bigint as net
          from (select k.*, least(greatest({charge} * days, %(least)s::numeric * %(denominator)s * %(days)s, 0),
                                  %(most)s::numeric * %(denominator)s * %(days)s) as exact
                  from (select k.*, {days} as days from ({cases}) k) k) k
         group by 1) c using (member_id)
      left join (select l.member_id, sum(l.net)::bigint as net from fee_lines l join fee_runs r on r.tenant_id = l.tenant_id and r.run_no = l.run_no and r.state = 'done'
                  where l.fee = %(fee)s and l.period_from = %(since)s and l.member_id between %(first)s and %(last)s group by 1) b using (member_id)
      left join (select member_id, sum(net + vat - taken)::bigint as owed from fee_charges
                  where fee = %(fee)s and %(collects)s and member_id between %(first)s and %(last)s
                  group by 1 having sum(net + vat - taken) > 0) o using (member_id){years}
     where m.joined_on between %(joined_from)s::date and %(joined_until)s::date) x
 where net + arrears > 0
"""
# Whom a fee that asked for them takes nothing of, and why.
_ZEROS = """
insert into zero_results (member_id, decision_id, basis, tenant_id, subject, reason)
select m.member_id, d.decision_id, m.assets, d.tenant_id, %(fee)s,
       case when m.assets <= %(waived_up_to)s::bigint then 'small-balance'
            when %(on)s < m.joined_on + make_interval(months => %(waived_months)s) then 'new-member'
            when exists (select from fee_lines l join fee_runs r on r.tenant_id = l.tenant_id and r.run_no = l.run_no and r.state = 'done'
                          where l.member_id = m.member_id and l.fee = %(fee)s and l.period_from = %(since)s
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
                   from (select member_id, net, vat from fee_charges
                          where year_from = %(year)s and fee = any(%(cap{n})s) and member_id between %(first)s and %(last)s
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
_GIVEN_BACK = """
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
                  select sum(e.net + e.vat - e.taken) from fee_charges e where e.member_id = d.member_id and e.fee = d.fee))))
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
    given["needed"] = any(one.needs_assets for one in terms)
    given |= {} if prices is None else prices.given()
    for step in (_MEMBERS, _MOVES if prices is None else _UNIT_MOVES, _ASSETS):
        await connection.execute(step, given)
    await connection.execute("analyze fee_members, fee_moves, fee_assets")
    for one in terms:
        await _count(connection, one, given, lines=lines)


def _joined(one: FeeTerms) -> dict[str, object]:
    return {
        "all_joined": one.joined_from is None and one.joined_until is None,
        "joined_from": one.joined_from or date.min,
        "joined_until": one.joined_until or date.max,
    }


async def _count(
    connection: AsyncConnection, one: FeeTerms, given: Mapping[str, object], *, lines: str = "fee_lines"
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
        "vat_numerator": one.vat_numerator, "vat_denominator": one.vat_denominator, **_joined(one),
    }  # fmt: skip
    for number, cap in enumerate(one.year_caps):
        own |= {f"cap{number}": list(cap.fees), f"most{number}": cap.most}
    if one.charged in ("contribution", "withdrawal"):
        paid = one.charged == "contribution"
        sides = {"own": "x.credit", "other": "x.debit"} if paid else {"own": "x.debit", "other": "x.credit"}
        cases = _ACTS.format(**sides)
        own["others"] = ["collections", "suspense"] if paid else ["payable"]
    elif one.base == "asset-days":
        cases = _PERIODIC.format(base="coalesce(d.days, 0)", join=_DAYS)
    else:
        cases = _PERIODIC.format(base="assets", join="where joined_on >= %(since)s" if one.charged == "opening" else "")
    days = "1"
    if by_days:
        days = _DAYS_THERE
    elif one.part_period == "nothing":
        days = f"({_DAYS_THERE} = %(period_days)s)::int"
    charge = _SLICES if one.slices else _ONE_STEP if len(one.steps) == 1 and not one.steps[0].start else _WHOLE
    rooms = "".join(
        (_ROOM_WITH_VAT if cap.includes_vat else _ROOM).format(n=number) for number, cap in enumerate(one.year_caps)
    )
    years = "".join(_YEAR.format(n=number, lines=lines) for number in range(len(one.year_caps)))
    statement = _COUNTED.format(
        lines=lines,
        charge=charge,
        cases=cases,
        days=days,
        rooms=rooms,
        years=years,
        rounded=_ROUNDED[one.rounding].format(num="exact", den="(%(denominator)s::numeric * %(days)s)"),
        vat=_ROUNDED[one.rounding].format(num="(net::numeric * %(vat_numerator)s)", den="%(vat_denominator)s::numeric"),
    )
    await connection.execute(statement, {**given, **own})
    if lines == "fee_lines":
        cursor = await connection.execute(_FREE, {**given, **own})
        free = [row[0] for row in await cursor.fetchall()]
        if free:
            zeros = _ZEROS.format(cases=cases, days=days, rooms=rooms, years=years)
            await connection.execute(zeros, {**given, **own, "free": free})


async def finish_counting(session: AsyncSession, run_no: int, digest_of: str) -> None:
    """Note what a run's ranges came to, and by fee; its digest is of what they are, and of `digest_of`."""
    await session.execute(
        text("""update fee_runs r set members = s.members, net = s.net, vat = s.vat, arrears = s.arrears, by_fee = f.by_fee,
                       digest = encode(sha256(convert_to(:of || s.digests, 'UTF8')), 'hex')
                  from (select coalesce(sum(members), 0)::int as members, coalesce(sum(net), 0)::bigint as net, coalesce(sum(vat), 0)::bigint as vat,
                               coalesce(sum(arrears), 0)::bigint as arrears, coalesce(string_agg(digest, E'\\n' order by range_no), '') as digests
                          from fee_ranges where run_no = :run) s,
                       (select coalesce(jsonb_agg(jsonb_build_object('fee', fee, 'payee', payees, 'members', members, 'net', net, 'vat', vat,
                                 'arrears', arrears) order by fee), '[]') as by_fee
                          from (select l.fee, count(*)::int as members, sum(l.net)::bigint as net, sum(l.vat)::bigint as vat, sum(l.arrears)::bigint as arrears,
                                       coalesce((select string_agg(distinct t ->> 'payee', ', ') from fee_runs o, jsonb_array_elements(o.terms) t
                                                  where o.run_no = :run and t ->> 'fee' = l.fee), '') as payees
                                  from fee_ranges g join fee_lines l on l.member_id between g.first_member and g.last_member and l.run_no = g.run_no
                                 where g.run_no = :run group by 1) l) f
                 where r.run_no = :run"""),
        {"run": run_no, "of": digest_of},
    )


async def propose_run(session: AsyncSession, run_no: int, event_id: int) -> None:
    """Note that a run is counted: it waits for a second person, or nothing is due by it where `event_id` is 0."""
    await session.execute(
        text("update fee_runs set state = :s, proposed_event = :e where run_no = :n and state = 'counting'"),
        {"n": run_no, "e": event_id, "s": "proposed" if event_id else "empty"},
    )


async def decide_run(session: AsyncSession, run_no: int, *, state: str, checker: int, event_id: int) -> None:
    """Note that a second person approved or rejected a run."""
    await session.execute(
        text(
            "update fee_runs set state = :s, checker = :c, decided_event = :e where run_no = :n and state = 'proposed'"
        ),
        {"n": run_no, "s": state, "c": checker, "e": event_id},
    )


async def finish_run(session: AsyncSession, run_no: int) -> None:
    """Note an approved run as done once all its ranges are taken, with what it came to."""
    await session.execute(
        text("""update fee_runs r set state = 'done', taken = s.taken, owed = s.owed, waived = s.waived
                  from (select coalesce(sum(taken), 0)::bigint as taken, coalesce(sum(owed), 0)::bigint as owed,
                               coalesce(sum(waived), 0)::bigint as waived, coalesce(bool_and(state = 'taken'), true) as is_done
                          from fee_ranges where run_no = :run) s
                 where r.run_no = :run and r.state = 'approved' and s.is_done"""),
        {"run": run_no},
    )


# -- taking

_HOLD = """
select count(*) from (
  select from balances b join chart c on c.tenant_id = b.tenant_id and c.code = b.code and c.product = %(product)s
     and (c.kind, c.party) in (('cash', ''), ('units', ''), ('payable', %(party)s))
   where b.member_id in (select member_id from fee_lines where run_no = %(run)s and member_id between %(first)s and %(last)s)
   order by b.member_id, b.code for no key update of b) held
"""
_HELD = """
create temporary table fee_held on commit drop as
select b.member_id, b.code, c.pot, c.origin, b.credits - b.debits as free, false as is_credit
  from balances b join chart c on c.tenant_id = b.tenant_id and c.code = b.code and c.product = %(product)s
   and (c.kind, c.party) = (%(kind)s, case %(kind)s when 'payable' then %(party)s else '' end)
 where b.credits > b.debits and b.member_id between %(first)s and %(last)s
   and b.member_id in (select member_id from fee_lines where run_no = %(run)s and member_id between %(first)s and %(last)s)
"""
# What units are worth, and what is left of what units brought for fees before, which is used first.
_HELD_IN_UNITS = """
create temporary table fee_held on commit drop as
select b.member_id, b.code, c.pot, c.origin, case c.kind when 'units' then floor_units(b.credits - b.debits, p.multiplier, p.divisor) else b.credits - b.debits end as free,
       case c.kind when 'units' then b.credits - b.debits else 0 end as units, c.kind = 'payable' as is_credit, coalesce(p.multiplier, 1) as multiplier,
       coalesce(p.divisor, 1) as divisor, c.fund
  from balances b join chart c on c.tenant_id = b.tenant_id and c.code = b.code and c.product = %(product)s
   and (c.kind, c.party) in (('units', ''), ('payable', %(party)s))
  left join unnest(%(funds)s::text[], %(multipliers)s::bigint[], %(divisors)s::bigint[]) p(fund, multiplier, divisor) on p.fund = c.fund
 where b.credits > b.debits and b.member_id between %(first)s and %(last)s
   and b.member_id in (select member_id from fee_lines where run_no = %(run)s and member_id between %(first)s and %(last)s)
"""
_CREDIT_LESS = f"""
update fee_held h set free = greatest(h.free - l.net - l.vat - l.arrears, 0) from fee_lines l
 where h.is_credit and l.run_no = %(run)s and l.fee = %(fee)s and {_COHORT.format(member="l.member_id")}
   and l.member_id = h.member_id and h.pot = any(%(pots)s) and h.origin = any(%(origins)s)
"""
_UP_OF = """
create temporary table units_put_up on commit drop as
select p.member_id, h.code as units_code, s.code as selling_code, f.fund_id,
       least(ceil(p.minor::numeric * h.divisor / h.multiplier), h.units - p.keeps)::bigint as units
  from (select member_id, code, sum(minor)::bigint as minor, max(keeps) as keeps from fee_parts group by 1, 2) p
  join fee_held h on h.member_id = p.member_id and h.code = p.code
  join unnest(%(unit_codes)s::int[], %(selling_codes)s::int[]) s(units_code, code) on s.units_code = h.code
  join unnest(%(numbered)s::text[], %(numbers)s::int[]) f(fund, fund_id) on f.fund = h.fund
 where least(ceil(p.minor::numeric * h.divisor / h.multiplier), h.units - p.keeps) > 0
"""
_PARTS_OF = """
create temporary table fee_parts (
  member_id bigint not null, starts bigint not null, minor bigint not null, code int not null, keeps int not null, fee text not null
) on commit drop
"""
_SETTLED_OF = """
create temporary table fee_settled (
  member_id bigint not null, net bigint not null, vat bigint not null, arrears bigint not null, paid_arrears bigint not null,
  taken bigint not null, waived bigint not null, payable int not null, period_from date not null, fee text not null
) on commit drop
"""
# What one fee takes of each pot, and within it of each origin: in order, or in proportion with the rest to the largest
# remainders, as `engine.benefits.rules.consuming`.
_PARTS = """
insert into fee_parts
with held as (
  select h.member_id, h.code, p.n as pot_no, o.n as origin_no, h.free, h.is_credit
    from fee_held h join unnest(%(pots)s::text[]) with ordinality p(pot, n) using (pot)
    join unnest(%(origins)s::text[]) with ordinality o(origin, n) using (origin) where h.free > 0),
wanted as (
  select w.member_id, greatest(case when h.room >= w.due then w.due when %(takes)s then h.room else 0 end - h.credit, 0) as minor, h.free
    from (select member_id, net + vat + arrears as due from fee_lines
           where run_no = %(run)s and fee = %(fee)s and member_id between %(first)s and %(last)s and {cohort}) w
    join (select member_id, coalesce(sum(free) filter (where not is_credit), 0)::bigint as free, coalesce(sum(free) filter (where is_credit), 0)::bigint as credit,
                 greatest(sum(free) - %(keeps)s, 0)::bigint as room
            from held group by 1) h using (member_id)),
pots as (
  select w.member_id, h.pot_no, {shared} as minor, h.free
    from wanted w join (select member_id, pot_no, sum(free)::bigint as free from held where not is_credit group by 1, 2) h using (member_id)
   where w.minor > 0 window before as (partition by h.member_id order by h.pot_no), whole as (partition by h.member_id),
         largest as (partition by h.member_id order by mod(w.minor::numeric * h.free, w.free) desc, h.pot_no)),
origins as (
  select h.member_id, h.pot_no, h.origin_no, {shared_within} as minor, h.free
    from pots w join (select member_id, pot_no, origin_no, sum(free)::bigint as free from held where not is_credit group by 1, 2, 3) h using (member_id, pot_no)
   where w.minor > 0 window before as (partition by h.member_id, h.pot_no order by h.origin_no), whole as (partition by h.member_id, h.pot_no),
         largest as (partition by h.member_id, h.pot_no order by mod(w.minor::numeric * h.free, w.free) desc, h.origin_no)),
codes as (                                                            -- of several funds, each in proportion
  select h.member_id, h.code, h.pot_no, h.origin_no, {pro_rata} as minor
    from origins w join held h using (member_id, pot_no, origin_no)
   where w.minor > 0 and not h.is_credit window whole as (partition by h.member_id, h.pot_no, h.origin_no),
         largest as (partition by h.member_id, h.pot_no, h.origin_no order by mod(w.minor::numeric * h.free, w.free) desc, h.code))
select member_id, sum(minor) over (partition by member_id order by pot_no, origin_no, code) - minor, minor, code, %(keeps)s, %(fee)s from codes where minor > 0
"""
_IN_ORDER = "greatest(least(h.free, w.minor - (sum(h.free) over before - h.free)), 0)::bigint"
_PRO_RATA = """(div(w.minor::numeric * h.free, w.free)
  + (row_number() over largest <= w.minor - sum(div(w.minor::numeric * h.free, w.free)) over whole)::int)::bigint"""
_LESS = f"""
update fee_held h set free = h.free - p.minor from fee_parts p
 where p.fee = %(fee)s and {_COHORT.format(member="p.member_id")} and p.member_id = h.member_id and p.code = h.code
"""
_SETTLED = f"""
insert into fee_settled
select member_id, charged_net, case when is_whole then vat else g - charged_net end, arrears, paid, taken,
       net + vat - charged_net - case when is_whole then vat else g - charged_net end, %(payable)s, period_from, %(fee)s
  from (select *, case when is_whole then net else div(g::numeric * %(vat_denominator)s, %(vat_denominator)s::numeric + %(vat_numerator)s)::bigint end as charged_net
          from (select l.*, t.taken, least(t.taken, l.arrears) as paid, t.taken - least(t.taken, l.arrears) as g,
                       t.taken - least(t.taken, l.arrears) = l.net + l.vat or %(owes)s as is_whole
                  from fee_lines l
                  left join (select member_id, sum(minor)::bigint as minor from fee_parts where fee = %(fee)s group by 1) p using (member_id)
                  cross join lateral (select coalesce(p.minor, 0) as taken) t
                 where l.run_no = %(run)s and l.fee = %(fee)s and l.member_id between %(first)s and %(last)s
                   and {_COHORT.format(member="l.member_id")}) s) x
"""
# An account pays what was owed before first, then the fee, then the tax on it: where these stretches of money meet its parts,
# there is a transfer. What is owed now is booked by the house, one transfer a fee.
_BOOK = """
with rows as materialized (
  select p.member_id, p.code as debit, x.code as credit, least(p.starts + p.minor, x.ends) - greatest(p.starts, x.starts) as amount
    from fee_parts p join fee_settled s using (member_id, fee)
    cross join lateral (values (%(receivable)s, 0::bigint, s.paid_arrears), (s.payable, s.paid_arrears, s.paid_arrears + s.net),
                               (%(vat)s, s.paid_arrears + s.net, s.taken)) x(code, starts, ends)
   where least(p.starts + p.minor, x.ends) > greatest(p.starts, x.starts)
  union all
  select %(house)s, %(receivable)s, x.code, sum(x.minor)::bigint
    from fee_settled s cross join lateral (values (s.payable, s.net), (%(vat)s, s.vat)) x(code, minor)
   where s.taken = 0 and x.minor > 0 group by x.code),
moved as (
  insert into transfers (member_id, event_id, amount, tenant_id, debit, credit, line)
  select member_id, %(event)s, amount, %(t)s, debit, credit, row_number() over (order by member_id, debit, credit, amount) from rows),
changed as (
  update balances b set debits = b.debits + o.minor
    from (select member_id, code, sum(minor)::bigint as minor from fee_parts group by 1, 2) o where b.member_id = o.member_id and b.code = o.code),
deltas as (
  insert into control_deltas (tenant_id, batch_id, code, debits, credits)
  select %(t)s, %(event)s, code, sum(debits)::bigint, sum(credits)::bigint
    from (select debit as code, amount as debits, 0::bigint as credits from rows where member_id = %(house)s
          union all select credit, 0, amount from rows) x group by code)
select count(distinct member_id) filter (where member_id <> %(house)s)::int from rows
"""
_NOTE = """
insert into fee_charges (member_id, net, vat, arrears, taken, owed, tenant_id, run_no, year_from, period_from, fee)
select member_id, net, vat, arrears, taken, net + vat + arrears - taken, %(t)s, %(run)s, %(year)s, period_from, fee from fee_settled
"""
# What a run charged is given back by its own transfers with the sides exchanged; nothing is owed by it any more.
_TURN = """
with run as (
  select l.member_id, l.fee, l.period_from, c.net, c.vat, c.taken, c.owed, c.year_from, p.code as payable
    from fee_lines l join fee_charges c on c.member_id = l.member_id and c.run_no = %(corrects)s and c.fee = l.fee
    join memberships m on m.member_id = l.member_id and m.product = %(product)s
    join unnest(%(fees)s::text[], %(payables)s::int[], %(froms)s::date[], %(untils)s::date[]) p(fee, code, joined_from, joined_until)
      on p.fee = l.fee and m.joined_on between p.joined_from and p.joined_until
   where l.run_no = %(run)s and l.member_id between %(first)s and %(last)s),
rows as materialized (
  select x.member_id, x.credit as debit, x.debit as credit, x.amount
    from transfers x join fee_ranges g on g.event_id = x.event_id and g.run_no = %(corrects)s
   where x.member_id in (select member_id from run)
  union all
  select %(house)s, x.code, %(receivable)s, sum(x.minor)::bigint
    from run r cross join lateral (values (r.payable, r.net), (%(vat)s, r.vat)) x(code, minor)
   where r.taken = 0 and x.minor > 0 group by x.code),
moved as (
  insert into transfers (member_id, event_id, amount, tenant_id, debit, credit, line)
  select member_id, %(event)s, amount, %(t)s, debit, credit, row_number() over (order by member_id, debit, credit, amount) from rows),
changed as (
  update balances b set credits = b.credits + o.minor
    from (select member_id, credit as code, sum(amount)::bigint as minor from rows where member_id <> %(house)s group by 1, 2) o
   where b.member_id = o.member_id and b.code = o.code),
deltas as (
  insert into control_deltas (tenant_id, batch_id, code, debits, credits)
  select %(t)s, %(event)s, code, sum(debits)::bigint, sum(credits)::bigint
    from (select debit as code, amount as debits, 0::bigint as credits from rows
          union all select credit, 0, amount from rows where member_id = %(house)s) x group by code),
noted as (
  insert into fee_charges (member_id, net, vat, arrears, taken, owed, tenant_id, run_no, year_from, period_from, fee)
  select member_id, -net, -vat, 0, -taken, -owed, %(t)s, %(run)s, year_from, period_from, fee from run)
select count(distinct member_id) filter (where member_id <> %(house)s)::int from rows
"""
_TAKEN = """
update fee_ranges r set state = 'taken', event_id = %(event)s, taken = s.taken, owed = s.owed, waived = s.waived
  from (select coalesce(sum(c.taken), 0)::bigint as taken, coalesce(sum(c.owed), 0)::bigint as owed,
               coalesce(sum(l.net + l.vat - c.net - c.vat), 0)::bigint as waived
          from fee_charges c join fee_lines l on l.member_id = c.member_id and l.run_no = c.run_no and l.fee = c.fee
         where c.run_no = %(run)s and c.member_id between %(first)s and %(last)s) s
 where r.run_no = %(run)s and r.range_no = %(range)s
returning r.taken, r.owed, r.waived
"""


async def put_up_range(
    session: AsyncSession, run: FeeRun, members: tuple[int, int], prices: UnitPrices, codes: SellingCodes
) -> bool:
    """Gather in `units_put_up` the units of a range that are worth what its lines say; return whether there are any."""
    connection = await driver(session)
    given: dict[str, object] = {
        "run": run.run_no, "product": run.product, "first": members[0], "last": members[1], "party": FEES, "kind": "units",
        "unit_codes": list(codes.units), "selling_codes": list(codes.selling),
        "numbered": list(codes.funds), "numbers": list(codes.funds.values()), **prices.given(),
    }  # fmt: skip
    for step in (_HOLD, _HELD_IN_UNITS, _PARTS_OF):
        await connection.execute(step, given)
    await connection.execute("create index on fee_parts (member_id, fee)")
    await connection.execute("analyze fee_held")
    for one in run.terms:
        own = await _consume(connection, one, given)
        await connection.execute(_CREDIT_LESS, own)
    await connection.execute(_UP_OF, given)
    cursor = await connection.execute("select exists (select from units_put_up)")
    row = await cursor.fetchone()
    return bool(row and row[0])


async def note_put_up(
    session: AsyncSession, run: FeeRun, range_no: int, posting: FeePosting | None, event_id: int
) -> None:
    """Note that a range waits until its units are sold, and write the event that put them up, if any were."""
    if posting is not None:
        entry = Entry(
            member_id=-session.info["tenant_id"],
            kind=EventKind.UNITS_PUT_UP,
            business_date=posting.day,
            actor=posting.actor,
            pack=posting.pack,
            decision=posting.decision,
            body={**posting.facts, "range": range_no},
        )
        await ledger.write_gathered_event(session, event_id, entry)
    await session.execute(
        text("update fee_ranges set state = 'selling', sale_event = :e where run_no = :run and range_no = :range"),
        {"e": event_id, "run": run.run_no, "range": range_no},
    )


async def next_event(session: AsyncSession) -> int:
    """Return the number of an event that a statement over many members will write."""
    found = await session.scalar(text("select next_batch_id()"))
    assert found is not None
    return int(found)


async def sold_ranges(session: AsyncSession, run_no: int) -> list[int]:
    """Return the numbers of a run's ranges whose units are all sold."""
    rows = await session.execute(
        text("""select g.range_no from fee_ranges g where g.run_no = :run and g.state = 'selling' and not exists (
                  select from sales s where s.member_id between g.first_member and g.last_member and s.event_id = g.sale_event
                     and not exists (select from sale_ranges r where r.dealing_id = s.dealing_id and r.fund_id = s.fund_id
                                        and s.member_id between r.first_member and r.last_member and r.event_id <> 0))
                 order by 1"""),
        {"run": run_no},
    )
    return [row.range_no for row in rows]


async def selling_runs(session: AsyncSession) -> list[int]:
    """Return the numbers of approved runs that wait for the sale of units."""
    rows = await session.execute(
        text("""select run_no from fee_runs r where state = 'approved' and exists (
                  select from fee_ranges g where g.run_no = r.run_no and g.state = 'selling') order by 1""")
    )
    return [row.run_no for row in rows]


async def take_range(
    session: AsyncSession, run: FeeRun, range_no: int, members: tuple[int, int], posting: FeePosting
) -> int:
    """Take what a range's lines say out of its members' accounts, as one event of the house; return how many paid.

    Fees of the lowest rank go first. Balances that change are held, in the order of their keys; none goes below zero.
    """
    connection = await driver(session)
    tenant = session.info["tenant_id"]
    given: dict[str, object] = {
        "t": tenant, "house": -tenant, "run": run.run_no, "product": run.product, "year": run.year_from, "range": range_no,
        "first": members[0], "last": members[1], "corrects": run.corrects, "receivable": posting.codes.receivable,
        "party": FEES, "kind": "payable" if any(one.taken_from == "units" for one in run.terms) else "cash",
        "vat": posting.codes.vat, "fees": [one.fee for one in run.terms], "payables": [posting.codes.payable[one.payee] for one in run.terms],
        "froms": [_joined(one)["joined_from"] for one in run.terms], "untils": [_joined(one)["joined_until"] for one in run.terms],
    }  # fmt: skip
    await connection.execute(_HOLD, given)
    if not run.corrects:
        await connection.execute(_HELD, given)
        await connection.execute(_PARTS_OF)
        await connection.execute(_SETTLED_OF)
        await connection.execute("create index on fee_parts (member_id, fee)")
        await connection.execute("analyze fee_held")
        for one in run.terms:
            own = await _consume(connection, one, given)
            await connection.execute(_SETTLED, {**own, "payable": posting.codes.payable[one.payee]})
        await connection.execute("analyze fee_parts, fee_settled")
        moves = "select exists (select from fee_settled where taken > 0 or net + vat > 0)"
    else:
        moves = (
            "select exists (select from fee_lines where run_no = %(run)s and member_id between %(first)s and %(last)s)"
        )
    cursor = await connection.execute(f"select next_batch_id() where ({moves})", given)
    row = await cursor.fetchone()
    given["event"] = 0 if row is None else int(row[0])
    paid = 0
    if row is not None:
        cursor = await connection.execute(_TURN if run.corrects else _BOOK, given)
        booked = await cursor.fetchone()
        assert booked is not None
        paid = int(booked[0])
    if not run.corrects:
        await connection.execute(_NOTE, given)
    cursor = await connection.execute(_TAKEN, given)
    came = await cursor.fetchone()
    assert came is not None
    if row is not None:
        facts = {
            **posting.facts, "range": range_no, "members": paid, "taken": str(came[0]), "owed": str(came[1]), "waived": str(came[2]),
        }  # fmt: skip
        entry = Entry(
            member_id=-tenant,
            kind=EventKind.FEES_REFUNDED if run.corrects else EventKind.FEES_TAKEN,
            business_date=posting.day,
            actor=posting.actor,
            pack=posting.pack,
            decision=posting.decision,
            body=facts,
        )
        await ledger.write_gathered_event(session, int(row[0]), entry)
    return paid


async def _consume(connection: AsyncConnection, one: FeeTerms, given: Mapping[str, object]) -> Mapping[str, object]:
    """Share out what a fee takes of `fee_held` among accounts, into `fee_parts`; return what its statements are given."""
    own = {
        **given, "fee": one.fee, "pots": list(one.pots), "origins": list(one.origins), "takes": one.when_short == "take-what-is-there",
        # What units were sold for it brought is a fee's whole; the last unit was kept before.
        "keeps": int(not one.may_empty and given["kind"] != "payable"),
        "owes": one.taken_from == "billed" or one.when_short == "owe",
        "vat_numerator": one.vat_numerator, "vat_denominator": one.vat_denominator, **_joined(one),
    }  # fmt: skip
    if one.taken_from != "billed":
        shared = {"in-order": _IN_ORDER, "pro-rata": _PRO_RATA}
        parts = _PARTS.format(
            shared=shared[one.pots_by],
            shared_within=shared[one.origins_by],
            pro_rata=_PRO_RATA,
            cohort=_COHORT.format(member="fee_lines.member_id"),
        )
        await connection.execute(parts, own)
        await connection.execute(_LESS, own)
    return own


@dataclass(frozen=True, slots=True)
class MemberFee:
    """What one fee took of a member over a run, in smallest units; negative where it was given back."""

    fee: str
    payee: str
    charged_on: date
    run_no: int
    net: int
    vat: int
    taken: int
    owed: int


async def member_fees(session: AsyncSession, member_id: int) -> list[MemberFee]:
    """Return what every fee took of a member, newest first; what was waived whole is none."""
    rows = await session.execute(
        text(f"""select c.fee, coalesce((select t ->> 'payee' from jsonb_array_elements(r.terms) t join memberships m
                                          on m.member_id = c.member_id and m.product = r.product and {OF_TERM} where t ->> 'fee' = c.fee limit 1), '') as payee,
                       r.charged_on, r.run_no, c.net, c.vat, c.taken, c.owed
                  from fee_charges c join fee_runs r on r.tenant_id = c.tenant_id and r.run_no = c.run_no
                 where c.member_id in (select record_id from records_of(:m)) and (c.net <> 0 or c.vat <> 0 or c.taken <> 0) order by r.run_no desc, c.fee"""),
        {"m": member_id},
    )
    return [MemberFee(*row) for row in rows]
