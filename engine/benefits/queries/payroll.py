"""SQL of payrolls: what is due to all pensioners of a product by a day, its posting, and what is paid of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from engine.benefits.rules.schedules import ScheduleTerms
from engine.ledger import service as ledger
from engine.ledger.rules import Entry, EventKind
from engine.runtime.database import driver

WITHOUT_LIMIT = 10**17
MOST_MEMBERS = 10_000
"""How many members one range of a payroll holds, and one transaction counts or posts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PayrollRow:
    """A payroll as it is stored; `pools` are codes of who pays once a pot is empty, and `owes` whether what they lack is owed."""

    run_no: int
    product: str
    month: date
    counted_on: date
    state: str
    maker: str
    checker: str
    digest: str
    owes: bool
    pools: tuple[int, ...]
    rules: tuple[str, ...]


class Wait(NamedTuple):
    """How many pensions of a rule have an instalment that waits for a figure, and which."""

    rule: str
    code: str
    missing: str
    pensions: int


@dataclass(frozen=True, slots=True)
class Totals:
    """What a payroll comes to, in smallest units.

    `pensions` is how many instalments fall due, `due` with what earlier ones lacked; `taken` from members' pots, `pooled` from
    pools and `lacking` add up to it; of it `taxed` is withheld and `recovered` set off against what was overpaid. `payments` is how many are paid, `paying` how much in all; of `owed`, the rest is carried. `waits` are the pensions of
    which an instalment waits for a figure: of which rule, the refusal's code, what it names, and how many.
    """

    pensions: int
    due: int
    taken: int
    pooled: int
    lacking: int
    taxed: int
    recovered: int
    payments: int
    paying: int
    owed: int
    suspended: int
    waits: tuple[Wait, ...] = ()


_RUN = """
select run_no, product, month, counted_on, state, maker, coalesce(checker, '') as checker, digest, owes, pools, rules from payroll_runs
"""


def _run(row: Any) -> PayrollRow:
    values = dict(row)
    return PayrollRow(**{**values, "pools": tuple(values["pools"]), "rules": tuple(values["rules"])})


async def hold_product(session: AsyncSession, product: str) -> None:
    """Let nobody else begin or decide a payroll of the product until the session ends."""
    await session.execute(
        text("select pg_advisory_xact_lock(hashtextextended('payroll:' || :t || ':' || :p, 0))"),
        {"t": str(session.info["tenant_id"]), "p": product},
    )


async def find_run(session: AsyncSession, run_no: int, *, hold: bool = False) -> PayrollRow | None:
    """Return a payroll; with `hold`, nobody else can change it until the session ends."""
    found = await session.execute(text(f"{_RUN} where run_no = :run {'for update' if hold else ''}"), {"run": run_no})
    row = found.mappings().one_or_none()
    return None if row is None else _run(row)


async def open_run(session: AsyncSession, product: str) -> PayrollRow | None:
    """Return the payroll of a product that is not done or rejected yet."""
    found = await session.execute(
        text(f"{_RUN} where product = :p and state in ('counting', 'proposed', 'approved')"), {"p": product}
    )
    row = found.mappings().one_or_none()
    return None if row is None else _run(row)


async def list_runs(session: AsyncSession, *, after: int = 0, most: int = 100) -> list[PayrollRow]:
    """Return payrolls after number `after`, the oldest first."""
    rows = await session.execute(
        text(f"{_RUN} where run_no > :after order by run_no limit :most"), {"after": after, "most": most}
    )
    return [_run(row) for row in rows.mappings()]


async def approved_runs(session: AsyncSession) -> list[int]:
    """Return the payrolls that are approved and not done."""
    rows = await session.execute(text("select run_no from payroll_runs where state = 'approved' order by run_no"))
    return [row.run_no for row in rows]


async def begin_run(
    session: AsyncSession,
    *,
    product: str,
    month: date,
    counted_on: date,
    maker: str,
    pools: Sequence[int],
    owes: bool,
    rules: Sequence[str],
) -> PayrollRow:
    """Begin a payroll over every member who has a schedule of the product, by ranges."""
    given = {"t": session.info["tenant_id"], "p": product, "most": MOST_MEMBERS}
    number = await session.scalar(
        text("""insert into payroll_runs (tenant_id, run_no, product, month, counted_on, maker, pools, owes, rules)
                select :t, coalesce(max(run_no), 0) + 1, :p, :month, :on, :maker, cast(:pools as int[]), :owes, cast(:rules as text[])
                  from payroll_runs returning run_no"""),
        {
            **given, "month": month, "on": counted_on, "maker": maker, "pools": list(pools), "owes": owes, "rules": list(rules),
        },
    )  # fmt: skip
    await session.execute(
        text("""insert into payroll_ranges (tenant_id, run_no, range_no, first_member, last_member)
                select :t, :run, row_number() over (order by min(member_id)), min(member_id), max(member_id)
                  from (select member_id, (row_number() over (order by member_id) - 1) / :most as part
                          from (select distinct member_id from pension_schedules where product = :p) m) n
                 group by part"""),
        {**given, "run": number},
    )
    found = await find_run(session, int(number or 0))
    assert found is not None
    return found


async def ranges_left(session: AsyncSession, run_no: int, *, posting: bool) -> list[int]:
    """Return the numbers of a payroll's ranges that are not counted yet, or not posted, in their order."""
    flag = "is_posted" if posting else "is_counted"
    rows = await session.execute(
        text(f"select range_no from payroll_ranges where run_no = :run and not {flag} order by range_no"),
        {"run": run_no},
    )
    return [row.range_no for row in rows]


async def hold_range(session: AsyncSession, run_no: int, range_no: int, *, posting: bool) -> tuple[int, int] | None:
    """Return the first and last member of a range that is not counted yet, or not posted; nobody else works on it meanwhile."""
    flag = "is_posted" if posting else "is_counted"
    row = (
        await session.execute(
            text(f"""select first_member, last_member from payroll_ranges
                      where run_no = :run and range_no = :range and not {flag} for update"""),
            {"run": run_no, "range": range_no},
        )
    ).one_or_none()
    return None if row is None else (row.first_member, row.last_member)


_DEAD = """exists (select from death_notices d where d.member_id = s.member_id and d.state in ('confirmed', 'reversal-proposed'))"""
# A survivor's pension runs as long as the death is certain; of one that a death has ended, what fell due before is still counted.
_PAYS = f"""case when s.heir_no <> 0 then exists (select from death_notices d where d.member_id = s.member_id and d.state = 'confirmed')
              when s.stops_on is null then s.is_running and not {_DEAD} else true end"""


def _total(amounts: str) -> str:
    """Return the sum of a list: of most pensions it is one amount, for which no function need be called."""
    return f"case cardinality({amounts}) when 0 then 0 when 1 then ({amounts})[1] else amount_total({amounts}) end"


_LIVE = f"""
create temporary table payroll_live on commit drop as
select s.*, coalesce(i.number, 0) as done, coalesce(i.reckoned, 0) as reckoned,
       case when %(owes)s then coalesce((
         select sum(k.lacking - k.arrears) from pension_instalments k
          where k.member_id = s.member_id and k.claim_id = s.claim_id and k.state = 'posted'), 0) else 0 end::bigint as outstanding,
       case when s.after_claim <> 0 then (
         select amount_total(p.overpaid) from pension_schedules p where p.member_id = s.member_id and p.claim_id = s.after_claim) end as owing,
       case when s.pooled_with <> '' then array_fill(0::bigint, array[cardinality(s.cash)])
            when cardinality(s.cash) = 1 then array[coalesce(a.credits - a.debits, 0)]
            else array(select coalesce(b.credits - b.debits, 0) from unnest(s.cash) with ordinality c(code, place)
                         left join balances b on b.member_id = s.member_id and b.code = c.code order by c.place) end as held
  from pension_schedules s
  left join balances a on a.member_id = s.member_id and a.code = s.cash[1] and a.member_id between %(first)s and %(last)s
  left join lateral (
    select k.number, k.reckoned from pension_instalments k
     where k.member_id = s.member_id and k.claim_id = s.claim_id and k.state = 'posted' order by k.number desc limit 1) i on true
 where s.product = %(product)s and s.member_id between %(first)s and %(last)s and {_PAYS}
   and case when s.stops_on is null then s.is_running and (s.life_until is null or s.life_until >= %(on)s)
            else pension_due_on(s.started_on, s.lead_months, s.every_months, coalesce(i.number, 0) + 1, s.pay_day) < s.stops_on end
"""
_NUMBERS = """
select distinct l.decision, l.started_on, l.lead_months, l.every_months, l.pay_day, l.keys, n.number,
       pension_due_on(l.started_on, l.lead_months, l.every_months, 1, l.pay_day) as first_due_on,
       pension_due_on(l.started_on, l.lead_months, l.every_months, n.number, l.pay_day) as due_on
  from (select distinct decision, started_on, lead_months, every_months, pay_day, keys, done, instalments, stops_on from payroll_live) l
 cross join lateral generate_series(l.done + 1, least(nullif(l.instalments, 0),
   (extract(year from age(%(until)s, l.started_on)) * 12 + extract(month from age(%(until)s, l.started_on)))::int / l.every_months + 2)) n(number)
 where pension_due_on(l.started_on, l.lead_months, l.every_months, n.number, l.pay_day) < least(%(until)s, l.stops_on)
"""
_RATES = """
create temporary table payroll_rates (decision int not null, number int not null, started_on date not null, keys jsonb not null,
  num numeric not null, den numeric not null, primary key (decision, started_on, number, keys)) on commit drop
"""
# One pensioner's payments follow each other: what one takes, the next does not find. The first takes up what earlier ones lacked.
# OFFSET 0 has each expression worked out once, however often it is used.
_DUES = f"""
create temporary table payroll_dues on commit drop as
with recursive steps as (
  select l.member_id, l.claim_id, l.done as number, null::date as due_on, 0::bigint as due, 0::bigint as arrears, l.reckoned,
         l.held, '{{}}'::bigint[] as taken, l.outstanding as next_arrears
    from payroll_live l
  union all
  select l.member_id, l.claim_id, r.number, y.due_on, x.due, s.next_arrears, y.reckoned, case cardinality(s.held) when 1 then array[s.held[1] - z.taken[1]] else amounts_less(s.held, z.taken) end, z.taken, 0::bigint
    from steps s
    join payroll_live l on l.member_id = s.member_id and l.claim_id = s.claim_id
    join payroll_rates r on r.decision = l.decision and r.started_on = l.started_on and r.keys = l.keys and r.number = s.number + 1
   cross join lateral (select {_total("s.held")} as pot offset 0) p
   cross join lateral (
     select pension_due_on(l.started_on, l.lead_months, l.every_months, r.number, l.pay_day) as due_on,
            case when (r.number - 1) * l.every_months %% 12 = 0 then p.pot else s.reckoned end as reckoned offset 0) y
   cross join lateral (
     select case l.form
       when 'fixed' then case when r.number = l.instalments and not l.is_indexed then p.pot
                              else rounded_ratio(l.amount * r.num, r.den, l.rounding) end
       when 'unpaid-over-left' then case when r.number = l.instalments then p.pot
                              else rounded_ratio(p.pot::numeric, l.instalments - r.number + 1, l.rounding) end
       when 'drawdown' then rounded_ratio(y.reckoned * r.num, r.den, l.rounding)
       when 'pension' then rounded_ratio(r.num, r.den, l.rounding) end as due offset 0) x
   cross join lateral (select case cardinality(s.held) when 1 then array[least(x.due + s.next_arrears, s.held[1])]
                                else amounts_consumed(x.due + s.next_arrears, s.held, l.origins, l.pots_by, l.origins_by) end as taken offset 0) z
   where y.due_on < least(%(until)s, l.stops_on) and (l.instalments = 0 or r.number <= l.instalments))
select * from steps where due_on is not null
"""
# Pools pay in order of members, each as far as it has money: `bounds` is how much the first, the first two, … have.
_NOTE_DUES = f"""
insert into pension_instalments (member_id, claim_id, due, arrears, lacking, tax, recovered, reckoned, tenant_id, number, run_no, due_on, taken, pooled, net)
select member_id, claim_id, due, arrears, short - {_total("pooled")}, tax, recovered, reckoned, %(t)s, number, %(run)s, due_on, taken, pooled,
       case when tax + recovered = 0 then gross else amounts_less(gross, amounts_shared(tax + recovered, gross, 'in-order')) end
  from (select h.*, case when owing is null then 0
                         else greatest(0, least(most, owing - coalesce(sum(most) over (
                                partition by member_id, claim_id order by number rows between unbounded preceding and 1 preceding), 0)))::bigint end as recovered
          from (select g.*, case when owing is null then 0 when due_on < arrears_until then {_total("gross")} - tax
                                 else div(({_total("gross")} - tax)::numeric * set_off_bp, 10000)::bigint end as most
          from (select g.*, case when taxed = 0 then 0 else div({_total("gross")}::numeric * part, taxed)::bigint end as tax
          from (select d.*, l.tax as part, l.taxed, l.owing, l.arrears_until, l.set_off_bp,
                       case when d.pooled = '{{}}' then d.taken
                            else array(select x + case when o = 1 then {_total("d.pooled")} else 0 end
                                         from unnest(d.taken) with ordinality u(x, o) order by o) end as gross
                  from (select d.*, case when %(bounds)s::bigint[] = '{{}}' then '{{}}' else (
                                 select array_agg(greatest(0, least(d.until, b.upper) - greatest(d.until - d.short, b.lower))::bigint order by b.place)
                                   from (select place, upper, coalesce(lag(upper) over (order by place), 0) as lower
                                           from unnest(%(bounds)s::bigint[]) with ordinality v(upper, place)) b) end as pooled
                          from (select p.*, %(pooled)s + sum(short) over (order by member_id, claim_id, number) as until
                                  from (select *, due + arrears - {_total("taken")} as short from payroll_dues offset 0) p) d offset 0) d
                  join payroll_live l using (member_id, claim_id) offset 0) g offset 0) g) h) t
"""
_OWED = f"""
create temporary table payroll_owed on commit drop as
with moved as materialized (
  select i.member_id, i.claim_id, i.net as parts from pension_instalments i
   where i.member_id between %(first)s and %(last)s and (i.state = 'posted' or (i.state = 'proposed' and i.run_no = %(run)s))
  union all
  select s.member_id, s.claim_id, s.brought from pension_schedules s
   where s.product = %(product)s and s.member_id between %(first)s and %(last)s and s.brought is not null
  union all
  select y.member_id, y.claim_id, array(select -x from unnest(y.parts) with ordinality u(x, place) order by place) from payroll_payments y
    left join payouts p on p.tenant_id = y.tenant_id and p.payout_id = y.payout_id
   where y.member_id between %(first)s and %(last)s and y.state = 'made' and p.state not in ('refused', 'failed', 'returned'))
select s.member_id, s.claim_id, s.accounts, o.owed, o.parts,
       case when s.heir_no = 0 and {_DEAD} then 'deceased' when s.stops_on is null and s.life_until < %(on)s then 'suspended' else '' end as held_back
  from pension_schedules s
  join (select member_id, claim_id, parts, {_total("parts")} as owed
          from (select member_id, claim_id, case max(cardinality(parts)) when 1 then array[sum(parts[1])::bigint]
                                            else amounts_total(parts) filter (where cardinality(parts) > 1) end as parts
                  from moved group by 1, 2 offset 0) p) o using (member_id, claim_id)
 where s.product = %(product)s and s.member_id between %(first)s and %(last)s and o.owed > 0
"""
_NOTE_PAYMENTS = """
insert into payroll_payments (member_id, claim_id, owed, amount, account_digest, tenant_id, run_no, state, rail, rule, reason, parts)
select member_id, claim_id, owed, amount, account, %(t)s, %(run)s, case when amount > 0 then 'waiting' else 'carried' end,
       coalesce(rail, ''), coalesce(rule, ''), reason, amounts_shared(amount, parts, 'in-order')
  from (
    select o.*, w.account, w.rail, w.rule,
           case when o.held_back <> '' then 0 when w.paid is null or not w.is_fit or w.paid < w.least then 0 else w.paid end as amount,
           case when o.held_back <> '' then o.held_back when o.accounts = '[]' then 'no-account' when w.paid is null then 'no-rail'
                when not w.is_fit then 'account-not-checked' when w.paid < w.least then 'below-least-payable' else '' end as reason
      from payroll_owed o
      left join lateral (
        select a.account, a.rail, r.rule, r.least, o.owed - o.owed %% r.step as paid,
               case r.account when 'any' then true when 'verified' then a.verified
                 else a.paid_in or (cardinality(r.documents) > 0 and r.documents <@ a.documents) end as is_fit
          from rows from (jsonb_to_recordset(o.accounts) as (rail text, account uuid, verified boolean, paid_in boolean, documents text[]))
               with ordinality a(rail, account, verified, paid_in, documents, place)
          join jsonb_to_recordset(%(routes)s::jsonb) r(rule text, rail text, rank int, "from" bigint, below bigint, least bigint, step bigint,
                                                        account text, documents text[])
            on o.accounts <> '[]' and r.rail in (a.rail, '') and (r."from" is null or o.owed >= r."from") and (r.below is null or o.owed < r.below)
         order by r.rank, r.rule, a.place limit 1) w on true) x
"""
_COUNTED = f"""
update payroll_ranges g set is_counted = true, pensions = i.n, due = i.due, taken = i.taken, pooled = i.pooled, lacking = i.lacking,
       taxed = i.tax, recovered = i.recovered, payments = p.n, paying = p.paying, owed = p.owed, suspended = s.n,
       waits = %(waits)s::jsonb, digest = encode(sha256(convert_to(concat(i.said, '|', p.said), 'UTF8')), 'hex')
  from (select count(*)::int as n, coalesce(sum(due + arrears), 0)::bigint as due, coalesce(sum({_total("taken")}), 0)::bigint as taken,
               coalesce(sum({_total("pooled")}), 0)::bigint as pooled, coalesce(sum(lacking), 0)::bigint as lacking,
               coalesce(sum(tax), 0)::bigint as tax, coalesce(sum(recovered), 0)::bigint as recovered,
               string_agg(concat_ws(',', member_id, claim_id, number, due_on, due, arrears, taken, pooled, lacking, tax, recovered, net), ';'
                          order by member_id, claim_id, number) as said
          from pension_instalments where run_no = %(run)s and member_id between %(first)s and %(last)s) i,
       (select (count(*) filter (where amount > 0))::int as n, coalesce(sum(amount), 0)::bigint as paying, coalesce(sum(owed), 0)::bigint as owed,
               string_agg(concat_ws(',', member_id, claim_id, owed, amount, parts, rail, account_digest, rule, reason), ';'
                          order by member_id, claim_id) as said
          from payroll_payments where run_no = %(run)s and member_id between %(first)s and %(last)s) p,
       (select count(*)::int as n from pension_schedules
         where product = %(product)s and member_id between %(first)s and %(last)s and is_running and life_until < %(on)s) s
 where g.run_no = %(run)s and g.range_no = %(range)s
"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A group of payments whose base is multiplied by the same factor."""

    decision: int
    started_on: date
    keys: dict[str, str]
    number: int
    years: int
    first_due_on: date
    due_on: date


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A rail by which a payroll pays, its amounts in smallest units; rail "" is whichever account was named first."""

    rule: str
    rail: str
    rank: int
    least: int
    step: int
    account: str
    since: int | None = None
    below: int | None = None
    documents: tuple[str, ...] = ()

    def stored(self) -> dict[str, object]:
        """Return it as the statement reads it."""
        return {
            "rule": self.rule, "rail": self.rail, "rank": self.rank, "from": self.since, "below": self.below, "least": self.least,
            "step": self.step, "account": self.account, "documents": list(self.documents),
        }  # fmt: skip


async def select_live(session: AsyncSession, run: PayrollRow, members: tuple[int, int], until: date) -> list[Wanted]:
    """Gather the pensioners of a range that are paid, with what they hold; return the factors that their payments need."""
    connection = await driver(session)
    given = {**_given(session, run, members), "owes": run.owes, "until": until}
    await connection.execute(_LIVE, given)
    await connection.execute("analyze payroll_live (member_id, claim_id, decision, started_on, keys)")
    cursor = await connection.execute(_NUMBERS, given)
    return [
        Wanted(decision, started_on, keys, number, (number - 1) * every // 12, first_due_on, due_on)
        for decision, started_on, _, every, _, keys, number, first_due_on, due_on in await cursor.fetchall()
    ]


async def terms_of(session: AsyncSession, decisions: Sequence[int]) -> dict[int, tuple[ScheduleTerms, str]]:
    """Return the terms that decisions hold, and the first of their rules: the option that was chosen."""
    rows = await session.execute(
        text("""select decision_id, trace -> 'terms' as terms, trace -> 'rules' ->> 0 as chosen from decisions
                 where decision_id = any(:d)"""),
        {"d": list(decisions)},
    )
    return {row.decision_id: (msgspec.convert(row.terms, ScheduleTerms), row.chosen) for row in rows}


async def count_dues(
    session: AsyncSession,
    run: PayrollRow,
    members: tuple[int, int],
    until: date,
    rates: Sequence[tuple[Wanted, int, int]],
) -> None:
    """Note what falls due to the range's pensioners before `until`: `rates` are factors as (group, numerator, denominator)."""
    connection = await driver(session)
    await connection.execute(_RATES)
    await connection.execute(
        """insert into payroll_rates select * from unnest(%s::int[], %s::int[], %s::date[], %s::jsonb[], %s::numeric[], %s::numeric[])""",
        (
            [one.decision for one, _, _ in rates],
            [one.number for one, _, _ in rates],
            [one.started_on for one, _, _ in rates],
            [msgspec.json.encode(one.keys).decode() for one, _, _ in rates],
            [str(num) for _, num, _ in rates],
            [str(den) for _, _, den in rates],
        ),
    )
    await connection.execute("analyze payroll_rates")
    given = {**_given(session, run, members), "until": until}
    await connection.execute(_DUES, given)
    cursor = await connection.execute(
        "select coalesce(sum(pooled + lacking), 0)::bigint from payroll_ranges where run_no = %s and is_counted",
        (run.run_no,),
    )
    row = await cursor.fetchone()
    assert row is not None
    bounds = await _bounds(session, run)
    await connection.execute(_NOTE_DUES, {**given, "pooled": row[0], "bounds": bounds})


async def _bounds(session: AsyncSession, run: PayrollRow) -> list[int]:
    """Return how much the first pool has, the first two have, and so on; what is claimed from a guarantor has no limit."""
    rows = await session.execute(
        text("""select k.code, case when c.kind = 'pension-pool' then greatest(coalesce(sum(b.credits - b.debits), 0), 0)::bigint
                                    else :without_limit end as has
                  from unnest(cast(:codes as int[])) with ordinality k(code, place) join chart c on c.code = k.code
                  left join (select code, debits, credits from control_totals union all select code, debits, credits from control_deltas) b
                    on b.code = k.code group by k.code, k.place, c.kind order by k.place"""),
        {"codes": list(run.pools), "without_limit": WITHOUT_LIMIT},
    )
    bounds, so_far = [], 0
    for row in rows:
        so_far += row.has
        bounds.append(so_far)
    return bounds


async def free_of_pool(session: AsyncSession, code: int) -> int:
    """Return what a pension pool has, less what payrolls that are not posted yet will take of it; never below zero."""
    found = await session.scalar(
        text("""select greatest(0, coalesce((select sum(credits - debits) from (
                           select code, debits, credits from control_totals union all select code, debits, credits from control_deltas) b
                         where b.code = :code), 0)
                       - coalesce((select sum(x.minor) from pension_instalments i
                                     join payroll_runs r on r.tenant_id = i.tenant_id and r.run_no = i.run_no
                                    cross join lateral unnest(r.pools, i.pooled) x(pool, minor)
                                    where i.state = 'proposed' and x.pool = :code), 0))::bigint"""),
        {"code": code},
    )
    return int(found or 0)


async def count_waiting(
    session: AsyncSession, missing: Mapping[tuple[int, date, str], tuple[str, str, str]]
) -> list[Wait]:
    """Return how many pensions of a range wait, by rule: groups (decision, start, keys as JSON) lack (rule, code, what)."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select w.rule, w.code, w.missing, count(*)::int from payroll_live l
             join unnest(%s::int[], %s::date[], %s::jsonb[], %s::text[], %s::text[], %s::text[]) w(decision, started_on, keys, rule, code, missing)
               on w.decision = l.decision and w.started_on = l.started_on and w.keys = l.keys
            group by 1, 2, 3 order by 1, 2, 3""",
        (
            *([key[place] for key in missing] for place in range(3)),
            *([said[place] for said in missing.values()] for place in range(3)),
        ),
    )
    return [Wait(*row) for row in await cursor.fetchall()]


async def count_payments(
    session: AsyncSession,
    run: PayrollRow,
    members: tuple[int, int],
    range_no: int,
    routes: Sequence[Route],
    waits: Sequence[Wait] = (),
) -> None:
    """Note what the payroll pays to the range's pensioners, and what it carries over and why; the range is counted."""
    connection = await driver(session)
    given = {**_given(session, run, members), "range": range_no, "waits": msgspec.json.encode(waits).decode()}
    await connection.execute(_OWED, given)
    encoded = msgspec.json.encode([one.stored() for one in routes]).decode()
    await connection.execute(_NOTE_PAYMENTS, {**given, "routes": encoded})
    await connection.execute(_COUNTED, given)


def _given(session: AsyncSession, run: PayrollRow, members: tuple[int, int]) -> dict[str, object]:
    return {
        "t": session.info["tenant_id"], "product": run.product, "first": members[0], "last": members[1], "on": run.counted_on,
        "run": run.run_no,
    }  # fmt: skip


async def totals_of(session: AsyncSession, run_no: int) -> tuple[Totals, list[str]]:
    """Return what a payroll comes to, and the digests of its ranges in their order."""
    row = (
        await session.execute(
            text("""select coalesce(sum(pensions), 0)::int, coalesce(sum(due), 0)::bigint, coalesce(sum(taken), 0)::bigint,
                           coalesce(sum(pooled), 0)::bigint, coalesce(sum(lacking), 0)::bigint, coalesce(sum(taxed), 0)::bigint,
                           coalesce(sum(recovered), 0)::bigint,
                           coalesce(sum(payments), 0)::int, coalesce(sum(paying), 0)::bigint, coalesce(sum(owed), 0)::bigint,
                           coalesce(sum(suspended), 0)::int, coalesce(array_agg(digest order by range_no), '{}') as digests
                      from payroll_ranges where run_no = :run"""),
            {"run": run_no},
        )
    ).one()
    waits = await session.execute(
        text("""select w ->> 0, w ->> 1, w ->> 2, sum((w ->> 3)::int)::int from payroll_ranges, jsonb_array_elements(waits) w
                 where run_no = :run group by 1, 2, 3 order by 1, 2, 3"""),
        {"run": run_no},
    )
    return replace(Totals(*row[:-1]), waits=tuple(Wait(*one) for one in waits)), list(row.digests)


async def fates(session: AsyncSession, run_no: int) -> dict[str, tuple[int, int]]:
    """Return how many payments and smallest units of a payroll came to what: a payout's state, or why none was made."""
    rows = await session.execute(
        text("""select coalesce(p.state, case y.state when 'carried' then y.reason else y.state end) as fate,
                       count(*)::int as n, sum(case when y.amount > 0 then y.amount else y.owed end)::bigint as minor
                  from payroll_payments y left join payouts p on p.tenant_id = y.tenant_id and p.payout_id = y.payout_id
                 where y.run_no = :run group by 1 order by 1"""),
        {"run": run_no},
    )
    return {row.fate: (row.n, row.minor) for row in rows}


async def propose_run(session: AsyncSession, run_no: int, *, digest: str, event_id: int) -> None:
    """Note that a payroll is counted, and its digest."""
    await session.execute(
        text("update payroll_runs set state = 'proposed', digest = :d, proposed_event = :e where run_no = :run"),
        {"run": run_no, "d": digest, "e": event_id},
    )


async def decide_run(session: AsyncSession, run_no: int, *, state: str, checker: str, event_id: int) -> None:
    """Note what a second person decided; what a rejected payroll had counted is counted anew by the next."""
    await session.execute(
        text("update payroll_runs set state = :s, checker = :c, decided_event = :e where run_no = :run"),
        {"run": run_no, "s": state, "c": checker, "e": event_id},
    )
    if state == "rejected":
        for table in ("pension_instalments", "payroll_payments"):
            await session.execute(
                text(f"update {table} set state = 'dropped' where run_no = :run and state in ('proposed', 'waiting')"),
                {"run": run_no},
            )


@dataclass(frozen=True, slots=True)
class Posting:
    """How a range is posted: the codes of the tax withheld and of what is owed back, and what its event says."""

    day: date
    actor: int
    pack: int
    decision: int
    tax: int
    receivable: int
    facts: Mapping[str, object]


# What a range makes payable, gathered once: none but who holds the range changes what is proposed.
_DUE = """
create temporary table payroll_due on commit drop as
select i.member_id, i.claim_id, i.number, i.due_on, i.tax, i.recovered, i.taken, i.pooled, i.net, s.cash, s.payable, s.instalments
  from pension_instalments i join pension_schedules s using (member_id, claim_id)
 where i.run_no = %(run)s and i.state = 'proposed' and i.member_id between %(first)s and %(last)s
"""
# Who died since, or whose pot no longer holds what was counted, is left to the next payroll.
_UNFIT = f"""
with wanted as (
  select d.member_id, d.claim_id, c.code, sum(c.minor) as minor
    from payroll_due d cross join lateral unnest(d.cash, d.taken) c(code, minor) where c.minor > 0 group by 1, 2, 3),
unfit as (
  select w.member_id, w.claim_id
    from wanted w left join balances b on b.member_id = w.member_id and b.code = w.code and b.member_id between %(first)s and %(last)s
   where w.minor > coalesce(b.credits - b.debits, 0)
  union
  select s.member_id, s.claim_id from payroll_due d join pension_schedules s using (member_id, claim_id)
   where s.product = %(product)s and s.member_id between %(first)s and %(last)s and (not ({_PAYS}) or d.due_on >= s.stops_on)
  union
  select s.member_id, s.claim_id from payroll_due d join pension_schedules s using (member_id, claim_id)
    join pension_schedules p on p.member_id = s.member_id and p.claim_id = s.after_claim
   where d.recovered > 0
   group by s.member_id, s.claim_id, p.overpaid having sum(d.recovered) > amount_total(p.overpaid)),
left_out as (delete from payroll_due d using unfit u where d.member_id = u.member_id and d.claim_id = u.claim_id),
dropped as (
  update pension_instalments i set state = 'dropped' from unfit u
   where i.member_id = u.member_id and i.claim_id = u.claim_id and i.run_no = %(run)s and i.state = 'proposed' returning i.member_id, i.claim_id)
update payroll_payments y set state = 'dropped', reason = 'counted-anew' from (select distinct member_id, claim_id from dropped) d
 where y.member_id = d.member_id and y.claim_id = d.claim_id and y.run_no = %(run)s and y.state = 'waiting'
"""
_MOVES = """
create temporary table payroll_moves on commit drop as
select member_id, minor, debit, credit, row_number() over (order by member_id, number, step, place)::int as line from (
  select d.member_id, d.number, 1 as step, c.place, c.minor, c.cash as debit, c.payable as credit
    from payroll_due d cross join lateral unnest(d.cash, d.payable, d.taken) with ordinality c(cash, payable, minor, place)
  union all
  select d.member_id, d.number, 2, c.place, c.minor, c.pool, d.payable[1]
    from payroll_due d cross join lateral unnest(%(pools)s::int[], d.pooled) with ordinality c(pool, minor, place) where d.pooled <> '{}'
  union all
  select d.member_id, d.number, 3 + x.step, c.place, x.minor, c.payable, x.code
    from payroll_due d
   cross join lateral (select array(select x + case when o = 1 then amount_total(d.pooled) else 0 end
                                      from unnest(d.taken) with ordinality u(x, o) order by o) as gross) g
   cross join lateral unnest(d.payable, amounts_shared(d.tax, g.gross, 'in-order'), amounts_less(g.gross, d.net))
     with ordinality c(payable, tax, withheld, place)
   cross join lateral (values (0, c.tax, %(tax)s), (1, c.withheld - c.tax, %(receivable)s)) x(step, minor, code)
   where d.tax + d.recovered > 0) m
 where minor > 0
"""
_ACCOUNTS = "select d.member_id, c.code from payroll_due d cross join lateral unnest(d.cash || d.payable) c(code)"
_HOLD = f"""
insert into balances (member_id, code, tenant_id, debits, credits)
select distinct member_id, code, %(t)s, 0, 0 from ({_ACCOUNTS}) named
 where (member_id, code) not in (select member_id, code from balances where member_id between %(first)s and %(last)s)
 order by 1, 2 on conflict (member_id, code) do nothing
"""
# `is true` lets the accounts be looked up in a hash, beside one scan of the range's balances.
_LOCK = f"""
select count(*) from (
  select from balances b where b.member_id between %(first)s and %(last)s and ((b.member_id, b.code) in ({_ACCOUNTS})) is true
   order by b.member_id, b.code for no key update of b) held
"""
_POST = """
with moved as (
  insert into transfers (member_id, event_id, amount, tenant_id, debit, credit, line)
  select member_id, %(event)s, minor, %(t)s, debit, credit, line from payroll_moves),
sides as (
  select member_id, debit as code, minor as debits, 0::bigint as credits from payroll_moves
  union all select member_id, credit, 0, minor from payroll_moves),
changed as (
  update balances b set debits = b.debits + s.debits, credits = b.credits + s.credits
    from (select member_id, code, sum(debits)::bigint as debits, sum(credits)::bigint as credits from sides where code & 2048 <> 0 group by 1, 2) s
   where b.member_id = s.member_id and b.code = s.code and b.member_id between %(first)s and %(last)s)
insert into control_deltas (tenant_id, batch_id, code, debits, credits)
select %(t)s, %(event)s, code, sum(debits)::bigint, sum(credits)::bigint from sides where code & 2048 = 0 group by code
"""
_POSTED = """
with posted as (
  update pension_instalments i set state = 'posted', event_id = %(event)s
   where run_no = %(run)s and state = 'proposed' and member_id between %(first)s and %(last)s returning member_id, claim_id, number, recovered),
set_off as (
  update pension_schedules p set overpaid = amounts_less(p.overpaid, amounts_shared(r.minor, p.overpaid, 'in-order'))
    from (select s.member_id, s.after_claim, sum(recovered)::bigint as minor from posted join pension_schedules s using (member_id, claim_id)
           where recovered > 0 group by 1, 2) r
   where p.member_id = r.member_id and p.claim_id = r.after_claim),
ended as (
  update pension_schedules s set is_running = false from payroll_due p
   where s.member_id = p.member_id and s.claim_id = p.claim_id and p.instalments = p.number)
select count(*)::int from posted
"""


async def post_range(
    session: AsyncSession, run: PayrollRow, members: tuple[int, int], range_no: int, posting: Posting
) -> int:
    """Make payable what a range counted, as one event of the house; return how many instalments that were.

    Balances are held in the order of their keys. Who died, or whose pot no longer holds it, is left to the next payroll.
    """
    connection = await driver(session)
    tenant = session.info["tenant_id"]
    given = {**_given(session, run, members), "range": range_no, "tax": posting.tax, "receivable": posting.receivable}
    given["pools"] = list(run.pools)
    await connection.execute(_DUE, given)
    await connection.execute("analyze payroll_due (member_id, claim_id)")
    for step in (_HOLD, _LOCK, _UNFIT, _MOVES):
        await connection.execute(step, given)
    await connection.execute("analyze payroll_moves (member_id, debit, credit)")
    cursor = await connection.execute("select next_batch_id()")
    row = await cursor.fetchone()
    assert row is not None
    given["event"] = event = int(row[0])
    await connection.execute(_POST, given)
    cursor = await connection.execute(_POSTED, given)
    row = await cursor.fetchone()
    assert row is not None
    if row[0]:
        entry = Entry(
            member_id=-tenant,
            kind=EventKind.PENSIONS_DUE,
            business_date=posting.day,
            actor=posting.actor,
            pack=posting.pack,
            decision=posting.decision,
            body={**posting.facts, "range": range_no, "instalments": row[0]},
        )
        await ledger.write_gathered_event(session, event, entry)
    await connection.execute(
        "update payroll_ranges set is_posted = true, event_id = %s where run_no = %s and range_no = %s",
        (event if row[0] else 0, run.run_no, range_no),
    )
    return int(row[0])


@dataclass(frozen=True, slots=True)
class Waiting:
    """A payment of a payroll of which no payout is made yet: what is paid, by pot and origin, and its payee, sealed."""

    member_id: int
    claim_id: int
    amount: int
    rail: str
    rule: str
    account_digest: UUID
    parts: list[tuple[str, str, int]]
    payee: bytes
    was_paid: bool
    named_on: date | None
    other_was_paid: bool
    heir_no: int


_WAITING = f"""
select s.member_id, s.claim_id, y.amount, y.rail, y.rule, y.account_digest,
       (select jsonb_agg(jsonb_build_array(c.pot, c.origin, x.minor) order by c.pot, c.origin) from unnest(s.payable, y.parts) x(code, minor)
          join chart c on c.tenant_id = s.tenant_id and c.code = x.code where x.minor > 0),
       s.payee, coalesce(h.was_paid, false), h.named_on, coalesce(h.other_was_paid, false), s.heir_no,
       case when s.heir_no = 0 then {_DEAD} else not ({_PAYS}) end or exists (select from unnest(s.payable, y.parts) x(code, minor) left join balances b on b.member_id = s.member_id and b.code = x.code
                           where x.minor > coalesce(b.credits - b.debits, 0)) as is_unfit
  from payroll_payments y join pension_schedules s using (member_id, claim_id)
  left join lateral (
    select bool_or(p.account_digest = y.account_digest and p.state = 'succeeded') as was_paid,
           min(p.made_on) filter (where p.account_digest = y.account_digest) as named_on,
           bool_or(p.account_digest <> y.account_digest and p.state = 'succeeded') as other_was_paid
      from payouts p where p.tenant_id = y.tenant_id and p.member_id = y.member_id and p.heir_no = s.heir_no) h on true
 where y.run_no = %s and y.state = 'waiting' order by y.member_id limit %s for update of y skip locked
"""


async def take_waiting(session: AsyncSession, run_no: int, *, most: int) -> tuple[list[Waiting], int]:
    """Return payments without a payout, held until the session ends; and how many more were left to the next payroll.

    Those are payments to who died since, or whose money somebody else has been paid out of.
    """
    connection = await driver(session)
    cursor = await connection.execute(_WAITING, (run_no, most))
    found, unfit = [], []
    for *values, is_unfit in await cursor.fetchall():
        if is_unfit:
            unfit.append(values[1])
        else:
            values[6] = [tuple(part) for part in values[6]]
            values[7] = bytes(values[7])
            found.append(Waiting(*values))
    if unfit:
        await connection.execute(
            "update payroll_payments set state = 'dropped', reason = 'not-payable' where run_no = %s and claim_id = any(%s)",
            (run_no, unfit),
        )
    return found, len(unfit)


async def note_made(session: AsyncSession, run_no: int, made: Sequence[tuple[int, UUID]]) -> None:
    """Note the payouts (claim, payout) that were made of a payroll's payments."""
    connection = await driver(session)
    await connection.execute(
        """update payroll_payments y set state = 'made', payout_id = k.payout_id from unnest(%s::bigint[], %s::uuid[]) k(claim_id, payout_id)
            where y.run_no = %s and y.claim_id = k.claim_id""",
        ([one for one, _ in made], [one for _, one in made], run_no),
    )


async def finish_run(session: AsyncSession, run_no: int) -> bool:
    """Note an approved payroll as done once all is posted and every payout made; return whether it was now."""
    row = (
        await session.execute(
            text("""update payroll_runs r set state = 'done' where r.run_no = :run and r.state = 'approved'
                       and not exists (select from payroll_ranges g where g.run_no = r.run_no and not g.is_posted)
                       and not exists (select from payroll_payments y where y.run_no = r.run_no and y.state = 'waiting')
                    returning r.run_no"""),
            {"run": run_no},
        )
    ).one_or_none()
    return row is not None


async def drop_payments(session: AsyncSession, run_no: int, claim_ids: Sequence[int]) -> None:
    """Leave payments to the next payroll, since nobody can be named as their payee."""
    connection = await driver(session)
    await connection.execute(
        "update payroll_payments set state = 'dropped', reason = 'unknown-payee' where run_no = %s and claim_id = any(%s)",
        (run_no, list(claim_ids)),
    )
