"""SQL of declared interest: runs, ranges of members, and what each account of a range earned."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import msgspec
from psycopg import AsyncConnection
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from engine.funds.rules.crediting import Weights, YearTerms
from engine.kernel.rounding import Rounding
from engine.ledger import service as ledger
from engine.ledger.rules import Entry, EventKind
from engine.runtime.database import driver

MOST_MEMBERS = 10_000
"""How many members one range of a run holds, and one transaction credits."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run over a product's scheme year, and what it came to so far, in smallest units."""

    run_no: int
    product: str
    year_from: date
    year_until: date
    credited_on: date
    is_final: bool
    terms: YearTerms


@dataclass(frozen=True, slots=True)
class Came:
    """What a range or a run came to, in smallest units: credited, taken back, and owed back by accounts without money."""

    members: int = 0
    credited: int = 0
    recovered: int = 0
    uncovered: int = 0


@dataclass(frozen=True, slots=True)
class Posting:
    """How a range is booked: codes of the reserve and of what members owe back, and what its event says."""

    day: date
    actor: int
    pack: int
    decision: int
    reserve: int
    owed: int
    facts: Mapping[str, object]


_RUN = "select run_no, product, year_from, year_until, credited_on, is_final, terms from interest_runs"


async def open_run(session: AsyncSession, product: str) -> Run | None:
    """Return the run of a product that is not done yet."""
    row = (await session.execute(text(f"{_RUN} where product = :p and not is_done"), {"p": product})).one_or_none()
    return (
        None
        if row is None
        else Run(
            run_no=row.run_no,
            product=row.product,
            year_from=row.year_from,
            year_until=row.year_until,
            credited_on=row.credited_on,
            is_final=row.is_final,
            terms=msgspec.convert(row.terms, YearTerms),
        )
    )


async def credited_terms(session: AsyncSession) -> list[tuple[str, date, YearTerms]]:
    """Return product, first day and terms of each year that was credited, of each cohort the last, by product and year."""
    rows = await session.execute(
        text("""select distinct on (product, year_from, terms ->> 'joined_from', terms ->> 'joined_until') product, year_from, terms
                  from interest_runs where is_done
                 order by product, year_from, terms ->> 'joined_from', terms ->> 'joined_until', run_no desc""")
    )
    return [(row.product, row.year_from, msgspec.convert(row.terms, YearTerms)) for row in rows]


async def hold_product(session: AsyncSession, product: str) -> None:
    """Let nobody else begin a run over the product until the session ends."""
    await session.execute(
        text("select pg_advisory_xact_lock(hashtextextended('interest:' || :t || ':' || :p, 0))"),
        {"t": str(session.info["tenant_id"]), "p": product},
    )


async def later_run(session: AsyncSession, product: str, year_from: date) -> date | None:
    """Return the first later scheme year of the product that was credited, or None."""
    found: date | None = await session.scalar(
        text("select min(year_from) from interest_runs where product = :p and year_from > :y"),
        {"p": product, "y": year_from},
    )
    return found


async def begin_run(
    session: AsyncSession, product: str, year: tuple[date, date], terms: YearTerms, credited_on: date, *, is_final: bool
) -> Run:
    """Begin a run over every member who has had money in the product, by ranges."""
    tenant = session.info["tenant_id"]
    number = await session.scalar(
        text("""insert into interest_runs (tenant_id, run_no, product, year_from, year_until, credited_on, is_final, terms)
                select :t, coalesce(max(run_no), 0) + 1, :p, :since, :until, :on, :final, cast(:terms as jsonb)
                  from interest_runs returning run_no"""),
        {
            "t": tenant, "p": product, "since": year[0], "until": year[1], "on": credited_on, "final": is_final,
            "terms": msgspec.json.encode(terms).decode(),
        },
    )  # fmt: skip
    await session.execute(
        text("""insert into interest_ranges (tenant_id, run_no, range_no, first_member, last_member)
                select :t, :run, row_number() over (order by min(member_id)), min(member_id), max(member_id)
                  from (select member_id, (row_number() over (order by member_id) - 1) / :most as part
                          from (select distinct b.member_id from balances b
                                  join chart c on c.tenant_id = b.tenant_id and c.code = b.code
                                   and c.kind = 'cash' and c.product = :p) m) n
                 group by part"""),
        {"t": tenant, "run": number, "p": product, "most": MOST_MEMBERS},
    )
    assert number is not None
    return Run(int(number), product, *year, credited_on, is_final, terms)


async def open_ranges(session: AsyncSession, run_no: int) -> list[int]:
    """Return the numbers of a run's ranges that are not done."""
    rows = await session.execute(
        text("select range_no from interest_ranges where run_no = :run and not is_done order by range_no"),
        {"run": run_no},
    )
    return [row.range_no for row in rows]


async def hold_range(session: AsyncSession, run_no: int, range_no: int) -> tuple[int, int] | None:
    """Return the first and last member of a range that is not done, which nobody else can do then; else None."""
    row = (
        await session.execute(
            text("""select first_member, last_member from interest_ranges
                     where run_no = :run and range_no = :range and not is_done for update"""),
            {"run": run_no, "range": range_no},
        )
    ).one_or_none()
    return None if row is None else (row.first_member, row.last_member)


# What moved on each account, by the first day whose balance holds it; what moved before the year, on its first day. Interest
# is in the balance from its day on; that of this year and of later ones is none of the year's, but what a member got on leaving and took along. Between two records that are merged no day is lost.
_COHORT = """(%(all_joined)s or exists (select from memberships joined where joined.member_id = {member} and joined.product = %(product)s
  and joined.joined_on between %(joined_from)s::date and %(joined_until)s::date))"""
_MOVES = f"""
create temporary table interest_moves on commit drop as
select x.member_id, s.code, greatest(%(since)s::date, e.business_date + case
         when r.is_exit then %(out)s
         when r.year_from is not null or e.kind in (269, 270) then 0 when s.sign < 0 then %(out)s else %(in)s end) as effective,
       sum(s.sign * x.amount)::bigint as minor
  from transfers x
  join events e on e.event_id = x.event_id and e.member_id in (x.member_id, %(house)s)
  cross join lateral (values (x.credit, 1), (x.debit, -1)) s(code, sign)
  join chart c on c.tenant_id = x.tenant_id and c.code = s.code and c.kind = 'cash' and c.product = %(product)s
  left join (select g.event_id, u.year_from, false as is_exit from interest_ranges g
               join interest_runs u on u.tenant_id = g.tenant_id and u.run_no = g.run_no where g.event_id <> 0
              union all select distinct l.event_id, l.year_from, true from interest_exits l
               where l.member_id between %(first)s and %(last)s) r
    on r.event_id = x.event_id
 where x.member_id between %(first)s and %(last)s and e.business_date < %(until)s
   and (r.year_from is null or (%(compound)s and r.year_from < %(since)s)
        or (r.is_exit and r.year_from = %(since)s
            and (select sum(w.amount) from transfers w where w.member_id = x.member_id and w.debit = s.code and w.event_id > x.event_id)
                > (select coalesce(sum(case when w.credit = s.code then w.amount else -w.amount end), 0) from transfers w
                    where w.member_id = x.member_id and s.code in (w.debit, w.credit) and w.event_id < x.event_id))) and {_COHORT.format(member="x.member_id")}
 group by 1, 2, 3
"""
_EARNED = """
create temporary table interest_earned (
  member_id bigint not null, code int not null, candidate int not null, period int not null, minor bigint not null,
  primary key (member_id, code, candidate, period)                    -- each later period looks up what an account had before
) on commit drop
"""
_PRIOR = """coalesce((select sum(w.minor) from interest_earned w where %(compound)s and w.candidate = %(candidate)s
                       and w.member_id = a.member_id and w.code = a.code), 0)"""
_LINEAR = f"""
insert into interest_earned
select member_id, code, %(candidate)s, %(period)s,
       rounded_ratio((at_start + {_PRIOR}) * %(opening)s::numeric + later, %(denominator)s::numeric, %(rounding)s)
  from (select member_id, code, coalesce(sum(minor) filter (where effective <= %(start)s), 0) as at_start,
               coalesce(sum(minor * (%(later)s::numeric[])[effective - %(start)s])
                          filter (where effective > %(start)s and effective < %(end)s), 0) as later
          from interest_moves group by 1, 2) a
"""
_MONTHLY = f"""
insert into interest_earned
select member_id, code, %(candidate)s, %(period)s,
       rounded_ratio(sum((lowest + {_PRIOR}) * numerator), %(denominator)s::numeric, %(rounding)s)
  from (select m.member_id, m.code, w.starts, w.numerator,
               least(coalesce((array_agg(m.balance order by m.effective desc) filter (where m.effective <= w.starts))[1], 0),
                     min(m.balance) filter (where m.effective > w.starts)) as lowest
          from unnest(%(windows)s::date[], %(untils)s::date[], %(numerators)s::numeric[]) w(starts, ends, numerator)
          join (select member_id, code, effective, sum(minor) over (partition by member_id, code order by effective) as balance
                  from interest_moves) m on m.effective < w.ends
         group by 1, 2, 3, 4) a
 group by member_id, code
"""
# What accounts were credited for the year: by runs, and as their members left. Whose year was settled as they left is told by a row, of nothing too.
_BEFORE = """(select i.member_id, i.code, i.minor - i.uncovered as minor from interest_credits i
                join chart c on c.tenant_id = i.tenant_id and c.code = i.code and c.product = %(product)s
               where i.member_id between %(first)s and %(last)s and i.year_from = %(since)s
              union all select i.member_id, i.code, i.minor from interest_exits i
                join chart c on c.tenant_id = i.tenant_id and c.code = i.code and c.product = %(product)s
               where i.member_id between %(first)s and %(last)s and i.year_from = %(since)s)"""
# What is owed is the best of what the year may earn by, less what it was credited before.
_OWED = f"""
create temporary table interest_owed on commit drop as
select o.member_id, o.code, o.owed, least(greatest(-o.owed, 0), b.credits - b.debits) as taken
  from (select k.member_id, k.code,
               case when %(keeps)s then greatest(k.earned - k.before, 0) else k.earned - k.before end as owed, k.before
          from (select coalesce(w.member_id, p.member_id) as member_id, coalesce(w.code, p.code) as code,
                       coalesce(w.minor, 0) as earned, coalesce(p.minor, 0) as before
                  from (select member_id, code, max(minor) as minor
                          from (select member_id, code, candidate, sum(minor)::bigint as minor from interest_earned group by 1, 2, 3) s
                         group by 1, 2) w
                  full join (select i.member_id, i.code, sum(i.minor)::bigint as minor from {_BEFORE} i
                              where {_COHORT.format(member="i.member_id")} group by 1, 2) p
                    on p.member_id = w.member_id and p.code = w.code) k) o
  join balances b on b.member_id = o.member_id and b.code = o.code
 where o.owed <> 0
   and (%(trues_up_leavers)s or o.before = 0 or exists (
          select from balances h join chart c on c.tenant_id = h.tenant_id and c.code = h.code and c.product = %(product)s
           where h.member_id = o.member_id and h.credits > h.debits))
   and (%(trues_up_leavers)s
        or not exists (select from interest_exits l join chart c on c.tenant_id = l.tenant_id and c.code = l.code and c.product = %(product)s
                        where l.member_id = o.member_id and l.year_from = %(since)s)
        or exists (select from balances h join chart c on c.tenant_id = h.tenant_id and c.code = h.code and c.product = %(product)s and c.kind = 'cash'
                    where h.member_id = o.member_id and h.credits > h.debits))
"""
# Whom it owes nothing, and why: nothing lay there, it earned less than a unit, or it is credited or left as it is.
_ZEROS = f"""
insert into zero_results (member_id, decision_id, basis, tenant_id, subject, reason)
select m.member_id, d.decision_id, coalesce(h.minor, 0), d.tenant_id, '',
       case when h.member_id is null then 'nothing-held' when coalesce(w.minor, 0) = 0 and coalesce(p.minor, 0) = 0 then 'below-one-unit'
            when coalesce(w.minor, 0) < coalesce(p.minor, 0) and %(keeps)s then 'overpaid-is-kept'
            when coalesce(w.minor, 0) <> coalesce(p.minor, 0) then 'has-left' else 'credited-before' end
  from run_decisions d
  join (select distinct b.member_id from balances b
          join chart c on c.tenant_id = b.tenant_id and c.code = b.code and c.kind = 'cash' and c.product = %(product)s
         where b.member_id between %(first)s and %(last)s) m on true
  left join (select member_id, sum(minor)::bigint as minor from interest_moves group by 1) h using (member_id)
  left join (select member_id, sum(minor)::bigint as minor
               from (select member_id, code, max(minor) as minor
                       from (select member_id, code, candidate, sum(minor) as minor from interest_earned group by 1, 2, 3) s group by 1, 2) b
              group by 1) w using (member_id)
  left join (select i.member_id, sum(i.minor)::bigint as minor from {_BEFORE} i group by 1) p using (member_id)
 where d.kind = 'interest' and d.run_no = %(run)s and not exists (select from interest_owed o where o.member_id = m.member_id)
   and {_COHORT.format(member="m.member_id")}
"""
_BOOK = """
with owed as materialized (
  select member_id, code, owed, taken, row_number() over (order by member_id, code) as line from interest_owed),
moved as (
  insert into transfers (member_id, event_id, amount, tenant_id, debit, credit, line)
  select member_id, %(event)s, owed, %(t)s, %(reserve)s, code, line from owed where owed > 0
  union all
  select member_id, %(event)s, taken, %(t)s, code, %(reserve)s, line from owed where taken > 0
  union all
  select %(house)s, %(event)s, sum(-owed - taken)::bigint, %(t)s, %(owed)s, %(reserve)s, 0 from owed
   where owed < 0 having sum(-owed - taken) > 0),
changed as (
  update balances b set credits = b.credits + greatest(o.owed, 0), debits = b.debits + o.taken
    from owed o where b.member_id = o.member_id and b.code = o.code),
noted as (
  insert into interest_credits (member_id, minor, uncovered, tenant_id, code, run_no, year_from)
  select member_id, case when owed > 0 then owed else -taken end, greatest(-owed - taken, 0), %(t)s, code, %(run)s, %(since)s from owed),
deltas as (
  insert into control_deltas (tenant_id, batch_id, code, debits, credits)
  select %(t)s, %(event)s, x.code, x.debits, x.credits
    from (select sum(greatest(owed, 0))::bigint as up, sum(greatest(-owed, 0))::bigint as down,
                 sum(case when owed < 0 then -owed - taken else 0 end)::bigint as uncovered from owed) s
   cross join lateral (values (%(reserve)s, s.up, s.down), (%(owed)s, s.uncovered, 0::bigint)) x(code, debits, credits)
   where x.debits + x.credits > 0)
select count(distinct member_id)::int, coalesce(sum(greatest(owed, 0)), 0)::bigint, coalesce(sum(taken), 0)::bigint,
       coalesce(sum(case when owed < 0 then -owed - taken else 0 end), 0)::bigint from owed
"""


async def count_interest(
    session: AsyncSession, run: Run, members: tuple[int, int], weighed: Sequence[Sequence[Weights]]
) -> None:
    """Count what each account of the members earned: `weighed` has for each of the terms' rates the posting periods' weights.

    It stands in temporary tables of the transaction; whom it owes nothing is noted with the reason. Balances that will change are held, in the order of their keys.
    """
    connection, given = await _count_earned(session, run, members, weighed)
    await connection.execute(
        """select count(*) from (
             select from balances b join chart c on c.tenant_id = b.tenant_id and c.code = b.code and c.kind = 'cash' and c.product = %(product)s
              where b.member_id between %(first)s and %(last)s order by b.member_id, b.code for no key update of b) held""",
        given,
    )
    await connection.execute(_OWED, given)
    await connection.execute(_ZEROS, {**given, "run": run.run_no})


async def foreseen_owed(
    session: AsyncSession, run: Run, members: tuple[int, int], weighed: Sequence[Sequence[Weights]]
) -> int:
    """Return what a run would credit a range of members, less what it would take back, smallest units; nothing is written."""
    connection = await driver(session)
    async with connection.transaction(force_rollback=True):
        _, given = await _count_earned(session, run, members, weighed)
        await connection.execute(_OWED, given)
        cursor = await connection.execute("select coalesce(sum(owed), 0)::bigint from interest_owed")
        row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


async def earned_by(
    session: AsyncSession, run: Run, member_id: int, weighed: Sequence[Sequence[Weights]]
) -> dict[int, int]:
    """Return by account code what a member's year earned in all less what it was credited, smallest units; nothing is written."""
    connection = await driver(session)
    async with connection.transaction(force_rollback=True):
        _, given = await _count_earned(session, run, (member_id, member_id), weighed)
        cursor = await connection.execute(
            f"""select w.code, (w.minor - coalesce((select sum(b.minor) from {_BEFORE} b where b.code = w.code), 0))::bigint
                  from (select code, max(minor) as minor from (
                          select code, candidate, sum(minor)::bigint as minor from interest_earned group by 1, 2) s group by 1) w""",
            given,
        )
        return dict(await cursor.fetchall())


async def add_exit(
    session: AsyncSession, member_id: int, event_id: int, year_from: date, left_on: date, credited: Mapping[int, int]
) -> None:
    """Note what a member's accounts were credited of a year as they left, by code; of nothing too."""
    await session.execute(
        text("""insert into interest_exits (member_id, event_id, minor, tenant_id, code, year_from, left_on)
                select :m, :e, minor, :t, code, :y, :on from unnest(cast(:codes as int[]), cast(:minors as bigint[])) k(code, minor)"""),
        {
            "m": member_id, "e": event_id, "t": session.info["tenant_id"], "y": year_from, "on": left_on,
            "codes": list(credited), "minors": list(credited.values()),
        },
    )  # fmt: skip


async def first_day_to_settle(session: AsyncSession, member_id: int, product: str) -> date | None:
    """Return the first day after the last year that was credited for good, or the day of the member's first transfer; None if they had none."""
    found: date | None = await session.scalar(
        text("""select coalesce(
                  (select max(year_until) from interest_runs where product = :p and is_final and is_done),
                  (select min(e.business_date) from transfers x
                     join events e on e.event_id = x.event_id and e.member_id in (x.member_id, -x.tenant_id)
                     join chart c on c.tenant_id = x.tenant_id and c.code in (x.debit, x.credit) and c.kind = 'cash' and c.product = :p
                    where x.member_id = :m))"""),
        {"m": member_id, "p": product},
    )
    return found


async def ranges_of(session: AsyncSession, run_no: int) -> list[tuple[int, int]]:
    """Return the first and last member of every range of a run."""
    rows = await session.execute(
        text("select first_member, last_member from interest_ranges where run_no = :run order by range_no"),
        {"run": run_no},
    )
    return [(row.first_member, row.last_member) for row in rows]


async def foreseen_interest(
    session: AsyncSession, run: Run, members: tuple[int, int], weighed: Sequence[Sequence[Weights]]
) -> list[tuple[int, int]]:
    """Return (member, smallest units) of what a year earns in all, each account by the best of its rates; nothing is written."""
    connection = await driver(session)
    async with connection.transaction(force_rollback=True):
        await _count_earned(session, run, members, weighed)
        cursor = await connection.execute(
            """select member_id, sum(minor)::bigint from (
                 select member_id, code, max(minor) as minor
                   from (select member_id, code, candidate, sum(minor)::bigint as minor from interest_earned group by 1, 2, 3) s
                  group by 1, 2) a group by 1"""
        )
        found: list[tuple[int, int]] = await cursor.fetchall()
    return found


async def _count_earned(
    session: AsyncSession, run: Run, members: tuple[int, int], weighed: Sequence[Sequence[Weights]]
) -> tuple[AsyncConnection, dict[str, object]]:
    connection = await driver(session)
    terms = run.terms.interest
    given: dict[str, object] = {
        "since": run.year_from, "until": run.terms.ends[-1], "product": run.product, "first": members[0], "last": members[1],
        "house": -session.info["tenant_id"], "compound": terms.interest == "compound",
        "out": int(terms.last_day_counts), "in": int(not terms.first_day_counts), "rounding": terms.rounding,
        "keeps": run.terms.keeps_overpaid, "trues_up_leavers": run.terms.trues_up_leavers,
        "all_joined": run.terms.joined_from is None and run.terms.joined_until is None,
        "joined_from": run.terms.joined_from or date.min, "joined_until": run.terms.joined_until or date.max,
    }  # fmt: skip
    await connection.execute(_MOVES, given)
    await connection.execute("analyze interest_moves")
    await connection.execute(_EARNED)
    for candidate, periods in enumerate(weighed):
        for period, one in enumerate(periods):
            span = {
                "candidate": candidate,
                "period": period,
                "start": run.terms.starts[period],
                "end": run.terms.ends[period],
            }
            await _count(connection, one, {**given, **span}, terms.rounding)
            await connection.execute("analyze interest_earned")
    return connection, given


async def _count(connection: AsyncConnection, one: Weights, given: Mapping[str, object], rounding: Rounding) -> None:
    own = {"denominator": one.denominator, "rounding": rounding}
    if one.months:
        months = {
            "windows": [month.window for month in one.months],
            "untils": [month.until for month in one.months],
            "numerators": [month.numerator for month in one.months],
        }
        await connection.execute(_MONTHLY, {**given, **own, **months})
    else:
        await connection.execute(_LINEAR, {**given, **own, "opening": one.opening, "later": list(one.later)})


async def book_interest(session: AsyncSession, run: Run, range_no: int, posting: Posting) -> Came:
    """Book what the transaction has counted as owed, as one event of the house, and note that the range is done."""
    connection = await driver(session)
    tenant = session.info["tenant_id"]
    cursor = await connection.execute("select next_batch_id() where exists (select from interest_owed)")
    row = await cursor.fetchone()
    event = 0 if row is None else int(row[0])
    came = Came()
    if event:
        given = {
            "t": tenant, "house": -tenant, "event": event, "reserve": posting.reserve, "owed": posting.owed,
            "run": run.run_no, "since": run.year_from,
        }  # fmt: skip
        cursor = await connection.execute(_BOOK, given)
        booked = await cursor.fetchone()
        assert booked is not None
        came = Came(*booked)
        facts = {**posting.facts, "range": range_no, "members": came.members, "credited": str(came.credited),
                 "recovered": str(came.recovered), "uncovered": str(came.uncovered)}  # fmt: skip
        entry = Entry(
            member_id=-tenant,
            kind=EventKind.INTEREST_CREDITED,
            business_date=posting.day,
            actor=posting.actor,
            pack=posting.pack,
            decision=posting.decision,
            body=facts,
        )
        await ledger.write_gathered_event(session, event, entry)
    await connection.execute(
        """update interest_ranges set is_done = true, event_id = %s, members = %s, credited = %s, recovered = %s, uncovered = %s
            where run_no = %s and range_no = %s""",
        (event, came.members, came.credited, came.recovered, came.uncovered, run.run_no, range_no),
    )
    return came


async def finish_run(
    session: AsyncSession, run_no: int, event_id: int, *, distributed: int = 0, topped_up: int = 0, reserved: int = 0
) -> Came | None:
    """Note a run as done once all its ranges are, and what paid for it; return what it came to, None if it is not or was done before."""
    row = (
        await session.execute(
            text("""update interest_runs r set is_done = true, event_id = :event,
                           credited = s.credited, recovered = s.recovered, uncovered = s.uncovered,
                           distributed = :distributed, topped_up = :topped_up, reserved = :reserved
                      from (select coalesce(sum(members), 0)::int as members, coalesce(sum(credited), 0)::bigint as credited,
                                   coalesce(sum(recovered), 0)::bigint as recovered, coalesce(sum(uncovered), 0)::bigint as uncovered,
                                   coalesce(bool_and(is_done), true) as is_done
                              from interest_ranges where run_no = :run) s
                     where r.run_no = :run and not r.is_done and s.is_done
                    returning s.members, s.credited, s.recovered, s.uncovered"""),
            {
                "run": run_no, "event": event_id, "distributed": distributed, "topped_up": topped_up, "reserved": reserved,
            },
        )
    ).one_or_none()  # fmt: skip
    return None if row is None else Came(*row)


async def came_to(session: AsyncSession, run_no: int) -> Came:
    """Return what a run's ranges came to so far."""
    row = (
        await session.execute(
            text("""select coalesce(sum(members), 0)::int, coalesce(sum(credited), 0)::bigint, coalesce(sum(recovered), 0)::bigint,
                           coalesce(sum(uncovered), 0)::bigint from interest_ranges where run_no = :run"""),
            {"run": run_no},
        )
    ).one()
    return Came(*row)
