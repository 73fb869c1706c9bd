"""SQL of files of premiums to insurers, and of what they answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from engine.benefits.queries.charging import next_event
from engine.ledger import service as ledger
from engine.ledger.rules import Entry
from engine.runtime.database import driver

MOST_PREMIUMS = 10_000
"""How many premiums one file holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PremiumFile:
    """A file of premiums to an insurer; `answered` of them are, `refused` smallest units of the total were given back."""

    file_no: int
    product: str
    insurer: str
    premiums: int
    total: int
    made_on: date
    answered: int
    refused: int


@dataclass(frozen=True, slots=True)
class PremiumLine:
    """A premium in a file, smallest units."""

    line_no: int
    member_id: int
    cover: str
    period_from: date
    period_until: date
    minor: int


@dataclass(frozen=True, slots=True)
class Answered:
    """How many lines were accepted, refused and answered alike before by answers, and those that do not fit."""

    accepted: int
    refused: int
    known: int
    unfit: tuple[int, ...]


async def make_file(session: AsyncSession, product: str, insurer: str, *, maker: int, on: date) -> int:
    """Put paid premiums that wait for it into one new file, the oldest first; return its number, 0 where none waits."""
    connection = await driver(session)
    tenant = session.info["tenant_id"]
    given = {"t": tenant, "maker": maker, "on": on, "p": product, "insurer": insurer, "most": MOST_PREMIUMS}
    await connection.execute("select pg_advisory_xact_lock(hashtextextended('premium-file:' || %s, 0))", (str(tenant),))
    await connection.execute(
        """create temporary table premium_sent on commit drop as
           select member_id, cover, period_from, minor, row_number() over (order by member_id, cover, period_from)::int as line_no
             from (select member_id, cover, period_from, minor from premiums
                    where product = %(p)s and insurer = %(insurer)s and state = 'paid' and file_no = 0
                    order by paid_on, member_id, cover, period_from limit %(most)s) p""",
        given,
    )
    cursor = await connection.execute(
        """insert into premium_files (total, tenant_id, file_no, premiums, maker, made_on, product, insurer)
           select s.total, %(t)s, n.file_no, s.premiums, %(maker)s, %(on)s, %(p)s, %(insurer)s
             from (select coalesce(sum(minor), 0)::bigint as total, count(*)::int as premiums from premium_sent) s,
                  (select coalesce(max(file_no), 0) + 1 as file_no from premium_files) n
            where s.premiums > 0 returning file_no""",
        given,
    )
    row = await cursor.fetchone()
    if row is None:
        return 0
    await connection.execute(
        """update premiums p set file_no = %(file)s, line_no = s.line_no from premium_sent s
            where p.member_id = s.member_id and p.product = %(p)s and p.cover = s.cover and p.period_from = s.period_from""",
        {**given, "file": row[0]},
    )
    return int(row[0])


_FILE = """
select f.file_no, f.product, f.insurer, f.premiums, f.total, f.made_on,
       count(p.member_id) filter (where p.answer <> '')::int as answered, coalesce(sum(p.minor) filter (where p.answer = 'refused'), 0)::bigint as refused
  from premium_files f left join premiums p on p.tenant_id = f.tenant_id and p.file_no = f.file_no
"""


async def find_file(session: AsyncSession, file_no: int) -> PremiumFile | None:
    """Return a file."""
    found = await session.execute(text(f"{_FILE} where f.file_no = :n group by f.tenant_id, f.file_no"), {"n": file_no})
    row = found.mappings().one_or_none()
    return None if row is None else PremiumFile(**row)


async def list_files(session: AsyncSession, *, most: int) -> list[PremiumFile]:
    """Return the newest files, newest first."""
    rows = await session.execute(
        text(f"{_FILE} group by f.tenant_id, f.file_no order by f.file_no desc limit :most"), {"most": most}
    )
    return [PremiumFile(**row) for row in rows.mappings()]


async def lines_of(session: AsyncSession, file_no: int) -> list[PremiumLine]:
    """Return the premiums of a file in their order."""
    rows = await session.execute(
        text("""select line_no, member_id, cover, period_from, period_until, minor from premiums where file_no = :n
                 order by line_no"""),
        {"n": file_no},
    )
    return [PremiumLine(*row) for row in rows]


_GIVEN = """
create temporary table premium_answers on commit drop as
select g.line_no, g.answer, g.reason, p.member_id, p.product, p.cover, p.period_from, p.minor, p.paid_by, p.paid_run,
       case when p.member_id is null then 'unfit' when p.answer = '' then 'new'
            when (p.answer, p.reason) = (g.answer, g.reason) then 'known' else 'unfit' end as fate
  from unnest(%(lines)s::int[], %(answers)s::text[], %(reasons)s::text[]) g(line_no, answer, reason)
  left join (select * from premiums where file_no = %(file)s and line_no = any(%(lines)s) order by line_no for update) p using (line_no)
"""
# What the insurer does not take goes back where it came from.
_BACK = """
with refused as (select * from premium_answers where fate = 'new' and answer = 'refused'),
rows as materialized (
  select r.member_id, %(insurer)s as debit, x.code as credit, sum(x.minor)::bigint as amount
    from refused r join premium_parts x on x.member_id = r.member_id and x.product = r.product and x.cover = r.cover
     and x.period_from = r.period_from and x.paid_run = r.paid_run group by 1, 2, 3
  union all
  select %(house)s, %(insurer)s, c.code, sum(r.minor)::bigint
    from refused r join unnest(%(roles)s::text[], %(codes)s::int[]) c(role, code) on c.role = r.paid_by group by 2, 3),
moved as (
  insert into transfers (member_id, event_id, amount, tenant_id, debit, credit, line)
  select member_id, %(event)s, amount, %(t)s, debit, credit, row_number() over (order by member_id, debit, credit, amount) from rows),
changed as (
  update balances b set credits = b.credits + o.minor
    from (select member_id, credit as code, sum(amount)::bigint as minor from rows where member_id <> %(house)s group by 1, 2) o
   where b.member_id = o.member_id and b.code = o.code)
insert into control_deltas (tenant_id, batch_id, code, debits, credits)
select %(t)s, %(event)s, code, sum(debits)::bigint, sum(credits)::bigint
  from (select debit as code, amount as debits, 0::bigint as credits from rows
        union all select credit, 0, amount from rows where member_id = %(house)s) x group by code
"""
_HOLD = """
select count(*) from (
  select from balances b where (b.member_id, b.code) in (
    select x.member_id, x.code from premium_answers r join premium_parts x on x.member_id = r.member_id and x.product = r.product
       and x.cover = r.cover and x.period_from = r.period_from and x.paid_run = r.paid_run where r.fate = 'new' and r.answer = 'refused')
   order by b.member_id, b.code for no key update of b) held
"""
_NOTE = """
update premiums p set answer = a.answer, reason = a.reason, state = case a.answer when 'refused' then 'returned' else p.state end,
       returned_event = case a.answer when 'refused' then %(event)s else 0 end
  from premium_answers a
 where a.fate = 'new' and p.member_id = a.member_id and p.product = a.product and p.cover = a.cover and p.period_from = a.period_from
"""
# Whom the insurer does not take is not insured from the first day of what was refused on, and is asked no more.
_NOT_INSURED = """
update insured i set until = greatest(i.since, a.period_from), ended_by = 'insurer'
  from (select member_id, product, cover, min(period_from) as period_from from premium_answers
         where fate = 'new' and answer = 'refused' and paid_by = '' group by 1, 2, 3) a
 where i.member_id = a.member_id and i.product = a.product and i.cover = a.cover and (i.until is null or i.until > a.period_from)
"""
_NOT_ASKED = """
update premiums p set state = 'lapsed', lapsed_event = %(event)s from premium_answers a
 where a.fate = 'new' and a.answer = 'refused' and p.member_id = a.member_id and p.product = a.product and p.cover = a.cover and p.state = 'due'
"""
_COUNTED = """
select count(*) filter (where fate = 'new' and answer = 'accepted')::int, count(*) filter (where fate = 'new' and answer = 'refused')::int,
       count(*) filter (where fate = 'known')::int, coalesce(array_agg(line_no order by line_no) filter (where fate = 'unfit'), '{}'),
       coalesce(sum(minor) filter (where fate = 'new' and answer = 'refused'), 0)::bigint
  from premium_answers
"""


async def take_answers(
    session: AsyncSession,
    file: PremiumFile,
    answers: Sequence[tuple[int, str, str]],
    *,
    insurer: int,
    roles: Mapping[str, int],
    entry: Entry,
) -> Answered:
    """Note what an insurer answered to lines of a file, and give back what they refuse by one event, which `entry` is like.

    Args:
        session: the use case's.
        file: the file.
        answers: line, "accepted" or "refused", and the reason; each line once.
        insurer: the insurer's account.
        roles: the accounts of the roles that pay premiums.
        entry: the event, to which what was given back is added.
    """
    connection = await driver(session)
    tenant = session.info["tenant_id"]
    given: dict[str, object] = {
        "t": tenant, "house": -tenant, "file": file.file_no, "insurer": insurer, "roles": list(roles), "codes": list(roles.values()),
        "lines": [one[0] for one in answers], "answers": [one[1] for one in answers], "reasons": [one[2] for one in answers],
        "event": 0,
    }  # fmt: skip
    await connection.execute(_GIVEN, given)
    row = await (await connection.execute(_COUNTED)).fetchone()
    assert row is not None
    accepted, refused, known, unfit, minor = row
    if refused:
        given["event"] = await next_event(session)
        await connection.execute(_HOLD)
        await connection.execute(_BACK, given)
        await connection.execute(_NOT_INSURED)
        await connection.execute(_NOT_ASKED, given)
    await connection.execute(_NOTE, given)
    if refused:
        body = {**entry.body, "premiums": refused, "amount": str(minor)}
        told = Entry(
            member_id=entry.member_id,
            kind=entry.kind,
            business_date=entry.business_date,
            actor=entry.actor,
            pack=entry.pack,
            decision=entry.decision,
            body=body,
        )
        await ledger.write_gathered_event(session, int(str(given["event"])), told)
    return Answered(accepted, refused, known, tuple(unfit))
