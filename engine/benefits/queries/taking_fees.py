"""SQL that takes fees: out of which accounts each is paid, what is booked by it, and what is given back."""

from collections.abc import Mapping

from psycopg import AsyncConnection
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from engine.benefits.queries.charging import FEES, FeePosting, FeeRun, SellingCodes, UnitPrices, joined_between
from engine.benefits.rules.charging import FeeTerms
from engine.ledger import service as ledger
from engine.ledger.rules import Entry, EventKind
from engine.runtime.database import driver

_COHORT = """(%(all_joined)s or exists (select from memberships joined where joined.member_id = {member} and joined.product = %(product)s
  and joined.joined_on between %(joined_from)s::date and %(joined_until)s::date))"""

# The members that a run charges; `is true` lets them be looked up in a hash, beside one scan of the range's balances.
_CHARGED = "((b.member_id in (select member_id from fee_due)) is true)"
# What a run asks of a range, gathered once: of lines that were written a moment ago the planner thinks that there is one.
_DUE = """
create temporary table fee_due on commit drop as
select member_id, net, vat, arrears, period_from, fee from fee_lines where run_no = %(run)s and member_id between %(first)s and %(last)s
"""
# What a member has for fees, held until the session ends. Same order as everywhere: member, then code.
_HELD = f"""
create temporary table fee_held on commit drop as
select b.member_id, b.code, c.pot, c.origin, b.credits - b.debits as free, false as is_credit
  from balances b join chart c on c.tenant_id = b.tenant_id and c.code = b.code and c.product = %(product)s
   and (c.kind, c.party) = (%(kind)s, case %(kind)s when 'payable' then %(party)s else '' end)
 where b.credits > b.debits and b.member_id between %(first)s and %(last)s and {_CHARGED}
 order by b.member_id, b.code for no key update of b
"""
# What units are worth, and what is left of what units brought for fees before, which is used first.
_HELD_IN_UNITS = f"""
create temporary table fee_held on commit drop as
select b.member_id, b.code, c.pot, c.origin, case c.kind when 'units' then floor_units(b.credits - b.debits, p.multiplier, p.divisor) else b.credits - b.debits end as free,
       case c.kind when 'units' then b.credits - b.debits else 0 end as units, c.kind = 'payable' as is_credit, coalesce(p.multiplier, 1) as multiplier,
       coalesce(p.divisor, 1) as divisor, c.fund
  from balances b join chart c on c.tenant_id = b.tenant_id and c.code = b.code and c.product = %(product)s
   and (c.kind, c.party) in (('units', ''), ('payable', %(party)s))
  left join unnest(%(funds)s::text[], %(multipliers)s::bigint[], %(divisors)s::bigint[]) p(fund, multiplier, divisor) on p.fund = c.fund
 where b.credits > b.debits and b.member_id between %(first)s and %(last)s and {_CHARGED}
 order by b.member_id, b.code for no key update of b
"""
_HOLD = f"""
select count(*) from (
  select from balances b join chart c on c.tenant_id = b.tenant_id and c.code = b.code and c.product = %(product)s
     and (c.kind, c.party) in (('cash', ''), ('units', ''), ('payable', %(party)s))
   where b.member_id between %(first)s and %(last)s and {_CHARGED}
   order by b.member_id, b.code for no key update of b) held
"""
_CREDIT_LESS = f"""
update fee_held h set free = greatest(h.free - l.net - l.vat - l.arrears, 0) from fee_due l
 where h.is_credit and l.fee = %(fee)s and {_COHORT.format(member="l.member_id")}
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
# remainders, as `engine.benefits.rules.consuming`. Of who has one account alone, that one gives all.
_PARTS = """
insert into fee_parts
with held as materialized (
  select h.member_id, h.code, p.n as pot_no, o.n as origin_no, h.free, h.is_credit
    from fee_held h join unnest(%(pots)s::text[]) with ordinality p(pot, n) using (pot)
    join unnest(%(origins)s::text[]) with ordinality o(origin, n) using (origin) where h.free > 0),
wanted as materialized (
  select w.member_id, greatest(case when h.room >= w.due then w.due when %(takes)s then h.room else 0 end - h.credit, 0) as minor, h.free, h.accounts, h.code
    from (select member_id, net + vat + arrears as due from fee_due where fee = %(fee)s and {cohort}) w
    join (select member_id, coalesce(sum(free) filter (where not is_credit), 0)::bigint as free, coalesce(sum(free) filter (where is_credit), 0)::bigint as credit,
                 greatest(sum(free) - %(keeps)s, 0)::bigint as room, count(*) filter (where not is_credit) as accounts,
                 min(code) filter (where not is_credit) as code
            from held group by 1) h using (member_id)),
pots as (
  select w.member_id, h.pot_no, {shared} as minor, h.free
    from wanted w join (select member_id, pot_no, sum(free)::bigint as free from held where not is_credit group by 1, 2) h using (member_id)
   where w.minor > 0 and w.accounts > 1 window before as (partition by h.member_id order by h.pot_no), whole as (partition by h.member_id),
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
select member_id, 0, minor, code, %(keeps)s, %(fee)s from wanted where minor > 0 and accounts = 1
 union all
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
                  from fee_due l
                  left join (select member_id, sum(minor)::bigint as minor from fee_parts where fee = %(fee)s group by 1) p using (member_id)
                  cross join lateral (select coalesce(p.minor, 0) as taken) t
                 where l.fee = %(fee)s and {_COHORT.format(member="l.member_id")}) s) x
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
    from (select member_id, code, sum(minor)::bigint as minor from fee_parts group by 1, 2) o
   where b.member_id = o.member_id and b.code = o.code and b.member_id between %(first)s and %(last)s),
deltas as (
  insert into control_deltas (tenant_id, batch_id, code, debits, credits)
  select %(t)s, %(event)s, code, sum(debits)::bigint, sum(credits)::bigint
    from (select debit as code, amount as debits, 0::bigint as credits from rows where member_id = %(house)s
          union all select credit, 0, amount from rows) x group by code)
select count(*)::int from (select distinct member_id from fee_parts where minor > 0) paid
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
  from ({came}) s where r.run_no = %(run)s and r.range_no = %(range)s
returning r.taken, r.owed, r.waived
"""
_CAME = """
select coalesce(sum(taken), 0)::bigint as taken, coalesce(sum(net + vat + arrears - taken), 0)::bigint as owed,
       coalesce(sum(waived), 0)::bigint as waived from fee_settled
"""
_WENT_BACK = """
select coalesce(sum(taken), 0)::bigint as taken, coalesce(sum(owed), 0)::bigint as owed, 0::bigint as waived
  from fee_charges where run_no = %(run)s and member_id between %(first)s and %(last)s
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
    await _gather(connection, given)
    for step in (_HELD_IN_UNITS, _PARTS_OF):
        await connection.execute(step, given)
    await connection.execute("analyze fee_held")
    for one in run.terms:
        own = await _consume(connection, one, given, is_last=one is run.terms[-1])
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
        "froms": [joined_between(one)["joined_from"] for one in run.terms], "untils": [joined_between(one)["joined_until"] for one in run.terms],
    }  # fmt: skip
    await _gather(connection, given)
    if run.corrects:
        await connection.execute(_HOLD, given)
        moves = "select exists (select from fee_due)"
    else:
        await connection.execute(_HELD, given)
        await connection.execute(_PARTS_OF)
        await connection.execute(_SETTLED_OF)
        await connection.execute("analyze fee_held")
        for one in run.terms:
            own = await _consume(connection, one, given, is_last=one is run.terms[-1])
            await connection.execute("analyze fee_parts (member_id, fee)")
            await connection.execute(_SETTLED, {**own, "payable": posting.codes.payable[one.payee]})
        await connection.execute("analyze fee_settled (member_id, fee, taken)")
        moves = "select exists (select from fee_settled where taken > 0 or net + vat > 0)"
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
    cursor = await connection.execute(_TAKEN.format(came=_WENT_BACK if run.corrects else _CAME), given)
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


async def _gather(connection: AsyncConnection, given: Mapping[str, object]) -> None:
    await connection.execute(_DUE, given)
    await connection.execute("analyze fee_due")


async def _consume(
    connection: AsyncConnection, one: FeeTerms, given: Mapping[str, object], *, is_last: bool
) -> Mapping[str, object]:
    """Share out what a fee takes of `fee_held` among accounts, into `fee_parts`; return what its statements are given."""
    own = {
        **given, "fee": one.fee, "pots": list(one.pots), "origins": list(one.origins), "takes": one.when_short == "take-what-is-there",
        # What units were sold for it brought is a fee's whole; the last unit was kept before.
        "keeps": int(not one.may_empty and given["kind"] != "payable"),
        "owes": one.taken_from == "billed" or one.when_short == "owe",
        "vat_numerator": one.vat_numerator, "vat_denominator": one.vat_denominator, **joined_between(one),
    }  # fmt: skip
    if one.taken_from != "billed":
        shared = {"in-order": _IN_ORDER, "pro-rata": _PRO_RATA}
        parts = _PARTS.format(
            shared=shared[one.pots_by],
            shared_within=shared[one.origins_by],
            pro_rata=_PRO_RATA,
            cohort=_COHORT.format(member="fee_due.member_id"),
        )
        await connection.execute(parts, own)
        if not is_last:
            await connection.execute(_LESS, own)
    return own
