"""SQL of premiums: runs, what is asked of each member, what it takes out of which account, and who is insured by it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import msgspec
from psycopg import AsyncConnection
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from engine.benefits.queries.charging import MOST_MEMBERS, next_event
from engine.benefits.rules.insuring import PremiumTerms
from engine.benefits.rules.premiums import Insurance, Insured, Unpaid
from engine.ledger import service as ledger
from engine.ledger.rules import Entry, EventKind
from engine.runtime.database import driver


@dataclass(frozen=True, slots=True)
class PremiumRun:
    """A run over a product's premiums: how many are due and what they come to, and what was paid of it; smallest units."""

    run_no: int
    product: str
    charged_on: date
    state: str
    digest: str
    terms: tuple[PremiumTerms, ...]
    premiums: int
    due: int
    premiums_paid: int
    paid: int
    maker: str
    checker: str

    @property
    def rules(self) -> list[str]:
        """Return the rules that decide it."""
        return sorted({rule for one in self.terms for rule in one.rules})


@dataclass(frozen=True, slots=True)
class PremiumPosting:
    """How a range is booked: by cover, the account of the insurer, and of the role that pays (0 where members do)."""

    actor: int
    pack: int
    decision: int
    insurers: Mapping[str, int]
    payers: Mapping[str, int]
    facts: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberPremium:
    """A premium of a member, and what became of it; smallest units."""

    cover: str
    period_from: date
    period_until: date
    grace_until: date
    minor: int
    paid_by: str
    paid_on: date | None
    state: str
    reason: str


_RUN = """
select r.run_no, r.product, r.charged_on, r.state, r.digest, r.terms, r.premiums, r.due, r.premiums_paid, r.paid,
       a.name as maker, coalesce(b.name, '') as checker
  from premium_runs r join actors a on a.tenant_id = r.tenant_id and a.actor_id = r.maker
  left join actors b on b.tenant_id = r.tenant_id and b.actor_id = r.checker
"""


def _run(row: Sequence[object]) -> PremiumRun:
    return PremiumRun(*row[:5], msgspec.convert(row[5], tuple[PremiumTerms, ...]), *row[6:])  # type: ignore[arg-type,call-arg]


async def find_run(session: AsyncSession, run_no: int, *, hold: bool = False) -> PremiumRun | None:
    """Return a run; where asked nobody else can change it until the session ends."""
    if hold:
        await session.execute(text("select from premium_runs where run_no = :n for update"), {"n": run_no})
    row = (await session.execute(text(f"{_RUN} where r.run_no = :n"), {"n": run_no})).one_or_none()
    return None if row is None else _run(row)


async def list_runs(session: AsyncSession, *, most: int) -> list[PremiumRun]:
    """Return the newest runs, newest first."""
    rows = await session.execute(text(f"{_RUN} order by r.run_no desc limit :most"), {"most": most})
    return [_run(row) for row in rows]


async def open_run(session: AsyncSession, product: str) -> PremiumRun | None:
    """Return the product's run that is neither done nor rejected."""
    sql = f"{_RUN} where r.product = :p and r.state in ('counting', 'proposed', 'approved')"
    row = (await session.execute(text(sql), {"p": product})).one_or_none()
    return None if row is None else _run(row)


async def last_charged(session: AsyncSession, product: str) -> date | None:
    """Return the latest day that a run of the product was done for."""
    found = await session.scalar(
        text("select max(charged_on) from premium_runs where product = :p and state = 'done'"), {"p": product}
    )
    return found if isinstance(found, date) else None


async def hold_product(session: AsyncSession, product: str) -> None:
    """Let nobody else begin a run over the product, or let covers of it lapse, until the session ends."""
    await session.execute(
        text("select pg_advisory_xact_lock(hashtextextended('premiums:' || :t || ':' || :p, 0))"),
        {"t": str(session.info["tenant_id"]), "p": product},
    )


async def begin_run(
    session: AsyncSession, product: str, on: date, terms: tuple[PremiumTerms, ...], *, maker: int
) -> int:
    """Begin a run over the members of a product by ranges; return its number."""
    tenant = session.info["tenant_id"]
    number = await session.scalar(
        text("""insert into premium_runs (tenant_id, run_no, product, charged_on, terms, maker)
                select :t, coalesce(max(run_no), 0) + 1, :p, :on, cast(:terms as jsonb), :maker from premium_runs returning run_no"""),
        {"t": tenant, "p": product, "on": on, "maker": maker, "terms": msgspec.json.encode(terms).decode()},
    )
    await session.execute(
        text("""insert into premium_ranges (tenant_id, run_no, range_no, first_member, last_member)
                select :t, :run, row_number() over (order by min(member_id)), min(member_id), max(member_id)
                  from (select member_id, (row_number() over (order by member_id) - 1) / :most as part from memberships
                         where product = :p and moved_to = '') n
                 group by part"""),
        {"t": tenant, "run": number, "p": product, "most": MOST_MEMBERS},
    )
    assert number is not None
    return int(number)


async def ranges_in(session: AsyncSession, run_no: int, state: str) -> list[int]:
    """Return the numbers of a run's ranges in a state."""
    rows = await session.execute(
        text("select range_no from premium_ranges where run_no = :run and state = :s order by range_no"),
        {"run": run_no, "s": state},
    )
    return [row.range_no for row in rows]


async def hold_range(session: AsyncSession, run_no: int, range_no: int, state: str) -> tuple[int, int] | None:
    """Return the first and last member of a range in that state, which nobody else can do then; else None."""
    row = (
        await session.execute(
            text("""select first_member, last_member from premium_ranges
                     where run_no = :run and range_no = :range and state = :s for update"""),
            {"run": run_no, "range": range_no, "s": state},
        )
    ).one_or_none()
    return None if row is None else (row.first_member, row.last_member)


# -- counting

_MEMBERS = """
create temporary table premium_members on commit drop as
select m.member_id from memberships m
 where m.product = %(product)s and m.moved_to = '' and m.joined_on <= %(on)s and m.member_id between %(first)s and %(last)s
   and m.member_id not in (select d.member_id from death_notices d where d.member_id between %(first)s and %(last)s
                              and d.state in ('confirmed', 'reversal-proposed'))
"""
_ASKED_BEFORE = """(select p.member_id from premiums p where p.product = %(product)s and p.cover = %(cover)s
   and p.period_from = %(since)s and p.state <> 'lapsed' and p.member_id between %(first)s and %(last)s)"""
# Whoever is insured is asked; whoever is not is insured by paying, once there is enough.
_OF_MEMBERS = f"""
insert into premium_lines (member_id, due, tenant_id, run_no, period_from, cover)
select m.member_id, %(minor)s, %(t)s, %(run)s, %(since)s, %(cover)s
  from premium_members m
  left join (select member_id, bool_or(until is null) as is_insured, bool_or(ended_by = 'insurer') as is_refused, max(until) as ended
               from insured where product = %(product)s and cover = %(cover)s and member_id between %(first)s and %(last)s group by 1) i using (member_id)
  left join (select b.member_id, sum(b.credits - b.debits) as free
               from balances b join chart c on c.tenant_id = b.tenant_id and c.code = b.code and c.product = %(product)s
                and c.kind = 'cash' and c.party = '' and c.pot = any(%(pots)s) and c.origin = any(%(origins)s)
              where b.member_id between %(first)s and %(last)s group by 1) h using (member_id)
 where m.member_id not in {_ASKED_BEFORE}
   and (i.is_insured or (h.free >= %(minor)s and (i.member_id is null or (not i.is_refused and %(again)s > 0 and i.ended + %(again)s >= %(on)s))))
"""
_OPEN = """
insert into premium_lines (member_id, due, tenant_id, run_no, period_from, cover)
select p.member_id, p.minor, %(t)s, %(run)s, p.period_from, p.cover
  from premiums p join premium_members m using (member_id)
 where p.product = %(product)s and p.cover = %(cover)s and p.state = 'due' and p.grace_until > %(on)s
   and p.member_id between %(first)s and %(last)s
"""
# What each member paid in the year that earns the cover: `engine.benefits.rules.cover`.
_EARNED = f"""
insert into premium_lines (member_id, due, tenant_id, run_no, period_from, cover)
select m.member_id, %(minor)s, %(t)s, %(run)s, %(since)s, %(cover)s
  from premium_members m
  join (select member_id, sum(minor)::bigint as total, count(*) filter (where minor >= %(payment)s) as payments
          from (select h.member_id, h.minor from opening_history h
                 where h.product = %(product)s and h.origin = 'own' and h.member_id between %(first)s and %(last)s
                   and h.paid_on >= %(earned_since)s and h.paid_on < %(earned_until)s
                union all
                select x.member_id, x.amount
                  from transfers x
                  join events e on e.event_id = x.event_id and e.member_id in (x.member_id, %(house)s)
                  join chart c on c.tenant_id = x.tenant_id and c.code = x.credit and c.kind = 'cash' and c.product = %(product)s
                   and c.origin = 'own'
                 where x.member_id between %(first)s and %(last)s and e.kind = any(%(received)s)
                   and e.business_date >= %(earned_since)s and e.business_date < %(earned_until)s
                   and not (%(net)s and exists (select from corrections k where k.corrects_member = e.member_id and k.corrects_event = e.event_id))) one
         group by 1) p using (member_id)
  left join lateral (select value from member_attributes a where a.member_id = m.member_id and a.attribute = 'class' and a.as_of <= %(since)s
                        and (a.expires_on is null or a.expires_on > %(since)s) order by a.as_of desc, a.event_id desc limit 1) a on %(by_class)s
  left join unnest(%(classes)s::text[], %(leasts)s::bigint[]) l(code, least) on l.code = coalesce(a.value, '')
 where m.member_id not in {_ASKED_BEFORE} and case when %(payments)s > 0 then p.payments >= %(payments)s else p.total >= l.least end
"""
_SUMMED = """
update premium_ranges r set state = 'counted', premiums = s.premiums, due = s.due, digest = s.digest
  from (select count(*)::int as premiums, coalesce(sum(due), 0)::bigint as due,
               encode(sha256(convert_to(coalesce(string_agg(concat_ws(',', to_hex(member_id), cover, period_from, due), E'\\n'
                 order by member_id, cover, period_from), ''), 'UTF8')), 'hex') as digest
          from premium_lines where run_no = %(run)s and member_id between %(first)s and %(last)s) s
 where r.run_no = %(run)s and r.range_no = %(range)s
returning r.premiums
"""


async def count_range(session: AsyncSession, run: PremiumRun, range_no: int, members: tuple[int, int]) -> int:
    """Note what each of the members is asked for; return how many premiums that are."""
    connection = await driver(session)
    given = _given(session, run, range_no, members)
    await connection.execute(_MEMBERS, given)
    await connection.execute("analyze premium_members")
    for one in run.terms:
        own = {
            **given, "cover": one.cover, "minor": one.minor, "since": one.since, "pots": list(one.pots), "origins": list(one.origins),
            "again": one.reinstated_within_days, "earned_since": one.earned_since, "earned_until": one.earned_until,
            "net": one.net_of_reversals, "by_class": one.by_class, "classes": list(one.least_by_class),
            "leasts": list(one.least_by_class.values()), "payments": one.least_payments, "payment": one.least_payment,
            "received": [int(EventKind.CONTRIBUTION_RECEIVED), int(EventKind.SUSPENSE_RESOLVED)],
        }  # fmt: skip
        if one.minor and one.paid_by:
            await connection.execute(_EARNED, own)
        elif one.minor:
            await connection.execute(_OF_MEMBERS, own)
        if not one.paid_by:
            await connection.execute(_OPEN, own)
    row = await (await connection.execute(_SUMMED, given)).fetchone()
    assert row is not None
    return int(row[0])


def _given(session: AsyncSession, run: PremiumRun, range_no: int, members: tuple[int, int]) -> dict[str, object]:
    tenant = session.info["tenant_id"]
    return {
        "t": tenant, "house": -tenant, "run": run.run_no, "product": run.product, "on": run.charged_on, "range": range_no,
        "first": members[0], "last": members[1],
    }  # fmt: skip


async def finish_counting(session: AsyncSession, run_no: int, digest_of: str) -> None:
    """Note what a run's ranges came to; its digest is of what they are, and of `digest_of`."""
    await session.execute(
        text("""update premium_runs r set premiums = s.premiums, due = s.due,
                       digest = encode(sha256(convert_to(:of || s.digests, 'UTF8')), 'hex')
                  from (select coalesce(sum(premiums), 0)::int as premiums, coalesce(sum(due), 0)::bigint as due,
                               coalesce(string_agg(digest, E'\\n' order by range_no), '') as digests
                          from premium_ranges where run_no = :run) s
                 where r.run_no = :run"""),
        {"run": run_no, "of": digest_of},
    )


async def propose_run(session: AsyncSession, run_no: int, event_id: int) -> None:
    """Note that a run is counted: it waits for a second person, or nothing is due by it where `event_id` is 0."""
    await session.execute(
        text("update premium_runs set state = :s, proposed_event = :e where run_no = :n and state = 'counting'"),
        {"n": run_no, "e": event_id, "s": "proposed" if event_id else "empty"},
    )


async def decide_run(session: AsyncSession, run_no: int, *, state: str, checker: int, event_id: int) -> None:
    """Note that a second person approved or rejected a run."""
    await session.execute(
        text(
            "update premium_runs set state = :s, checker = :c, decided_event = :e where run_no = :n and state = 'proposed'"
        ),
        {"n": run_no, "s": state, "c": checker, "e": event_id},
    )


async def finish_run(session: AsyncSession, run_no: int) -> None:
    """Note an approved run as done once all its ranges are paid, with what it came to."""
    await session.execute(
        text("""update premium_runs r set state = 'done', paid = s.paid, premiums_paid = s.premiums_paid
                  from (select coalesce(sum(paid), 0)::bigint as paid, coalesce(sum(premiums_paid), 0)::int as premiums_paid,
                               coalesce(bool_and(state = 'paid'), true) as is_done
                          from premium_ranges where run_no = :run) s
                 where r.run_no = :run and r.state = 'approved' and s.is_done"""),
        {"run": run_no},
    )


# -- paying

_HOLD = """
select count(*) from (
  select from balances b join chart c on c.tenant_id = b.tenant_id and c.code = b.code and c.product = %(product)s
     and c.kind = 'cash' and c.party = ''
   where b.member_id in (select member_id from premium_lines where run_no = %(run)s and member_id between %(first)s and %(last)s)
   order by b.member_id, b.code for no key update of b) held
"""
_HELD = """
create temporary table premium_held on commit drop as
select b.member_id, b.code, c.pot, c.origin, b.credits - b.debits as free
  from balances b join chart c on c.tenant_id = b.tenant_id and c.code = b.code and c.product = %(product)s
   and c.kind = 'cash' and c.party = ''
 where b.credits > b.debits and b.member_id between %(first)s and %(last)s
   and b.member_id in (select member_id from premium_lines where run_no = %(run)s and member_id between %(first)s and %(last)s)
"""
_PARTS = """
create temporary table premium_taken (
  member_id bigint not null, minor bigint not null, code int not null, period_from date not null, cover text not null
) on commit drop
"""
_SLOTS = """
select distinct period_from, cover from premium_lines where run_no = %(run)s and member_id between %(first)s and %(last)s order by 1, 2
"""
# A premium is paid whole or not at all, out of the accounts in their order.
_TAKE = """
insert into premium_taken
with held as (
  select h.member_id, h.code, h.free, row_number() over (partition by h.member_id order by p.n, o.n) as place
    from premium_held h join unnest(%(pots)s::text[]) with ordinality p(pot, n) using (pot)
    join unnest(%(origins)s::text[]) with ordinality o(origin, n) using (origin) where h.free > 0),
wanted as (
  select l.member_id, l.due from premium_lines l join (select member_id, sum(free) as free from held group by 1) h using (member_id)
   where l.run_no = %(run)s and l.cover = %(cover)s and l.period_from = %(since)s and l.member_id between %(first)s and %(last)s and h.free >= l.due)
select member_id, least(free, due - before)::bigint, code, %(since)s, %(cover)s
  from (select h.member_id, h.code, h.free, w.due, sum(h.free) over (partition by h.member_id order by h.place) - h.free as before
          from wanted w join held h using (member_id)) x
 where before < due
"""
_LESS = """
update premium_held h set free = h.free - p.minor from premium_taken p
 where p.cover = %(cover)s and p.period_from = %(since)s and p.member_id = h.member_id and p.code = h.code
"""
_PAID = """
create temporary table premium_paid on commit drop as
select l.member_id, l.period_from, l.cover, l.due, t.payer, t.insurer
  from premium_lines l join unnest(%(covers)s::text[], %(payers)s::int[], %(insurers)s::int[]) t(cover, payer, insurer) using (cover)
 where l.run_no = %(run)s and l.member_id between %(first)s and %(last)s
   and (t.payer <> 0 or (l.member_id, l.period_from, l.cover) in (select member_id, period_from, cover from premium_taken))
"""
_BOOK = """
with rows as materialized (
  select x.member_id, x.code as debit, p.insurer as credit, sum(x.minor)::bigint as amount
    from premium_taken x join premium_paid p using (member_id, period_from, cover) group by 1, 2, 3
  union all
  select %(house)s, payer, insurer, sum(due)::bigint from premium_paid where payer <> 0 group by 2, 3),
moved as (
  insert into transfers (member_id, event_id, amount, tenant_id, debit, credit, line)
  select member_id, %(event)s, amount, %(t)s, debit, credit, row_number() over (order by member_id, debit, credit, amount) from rows),
changed as (
  update balances b set debits = b.debits + o.minor
    from (select member_id, code, sum(minor)::bigint as minor from premium_taken group by 1, 2) o where b.member_id = o.member_id and b.code = o.code),
deltas as (
  insert into control_deltas (tenant_id, batch_id, code, debits, credits)
  select %(t)s, %(event)s, code, sum(debits)::bigint, sum(credits)::bigint
    from (select debit as code, amount as debits, 0::bigint as credits from rows where member_id = %(house)s
          union all select credit, 0, amount from rows) x group by code)
insert into premium_parts (member_id, minor, tenant_id, code, period_from, product, cover, paid_run)
select member_id, minor, %(t)s, code, period_from, %(product)s, cover, %(run)s from premium_taken
"""
_SETTLE = """
update premiums p set state = 'paid', minor = x.due, paid_on = %(on)s, paid_run = %(run)s, paid_event = %(event)s
  from premium_paid x
 where p.member_id = x.member_id and p.product = %(product)s and p.cover = x.cover and p.period_from = x.period_from and p.state in ('due', 'lapsed')
"""
_NOTE = """
insert into premiums (member_id, minor, paid_event, tenant_id, run_no, paid_run, period_from, period_until, grace_until, paid_on, product, cover,
                      insurer, paid_by, state)
select l.member_id, l.due, case when x.member_id is null then 0 else %(event)s end, %(t)s, %(run)s, case when x.member_id is null then 0 else %(run)s end,
       l.period_from, t.until, t.grace_until, case when x.member_id is not null then %(on)s::date end, %(product)s, l.cover, t.insurer, t.paid_by,
       case when x.member_id is null then 'due' else 'paid' end
  from premium_lines l
  join jsonb_to_recordset(cast(%(terms)s as jsonb)) t(cover text, since date, until date, grace_until date, insurer text, paid_by text)
    on t.cover = l.cover and t.since = l.period_from
  left join premium_paid x on x.member_id = l.member_id and x.cover = l.cover and x.period_from = l.period_from
 where l.run_no = %(run)s and l.member_id between %(first)s and %(last)s
   and (x.member_id is not null or l.member_id in (select i.member_id from insured i where i.product = %(product)s and i.cover = l.cover
                                                       and i.until is null and i.member_id between %(first)s and %(last)s))
on conflict do nothing
"""
_INSURE = """
insert into insured (member_id, tenant_id, since, begun_run, product, cover)
select x.member_id, %(t)s, greatest(min(x.period_from), %(on)s) + min(t.after), %(run)s, %(product)s, x.cover
  from premium_paid x join unnest(%(covers)s::text[], %(afters)s::int[]) t(cover, after) using (cover)
 where x.payer = 0
   and (x.member_id, x.cover) not in (select i.member_id, i.cover from insured i where i.product = %(product)s and i.until is null
                                         and i.member_id between %(first)s and %(last)s)
 group by 1, x.cover
"""
_RANGE_PAID = """
update premium_ranges r set state = 'paid', event_id = %(event)s, premiums_paid = s.premiums, paid = s.paid
  from (select count(*)::int as premiums, coalesce(sum(due), 0)::bigint as paid from premium_paid) s
 where r.run_no = %(run)s and r.range_no = %(range)s
returning r.premiums, r.premiums_paid, r.paid
"""


async def pay_range(
    session: AsyncSession, run: PremiumRun, range_no: int, members: tuple[int, int], posting: PremiumPosting
) -> int:
    """Pay what a range's lines ask for, as one event of the house, and note who is insured by it; return how many were paid.

    The oldest premiums go first. Balances that change are held, in the order of their keys.
    """
    connection = await driver(session)
    given = _given(session, run, range_no, members) | {
        "covers": [one.cover for one in run.terms],
        "payers": [posting.payers[one.cover] for one in run.terms],
        "insurers": [posting.insurers[one.cover] for one in run.terms],
        "afters": [one.begins_after_days for one in run.terms],
        "terms": msgspec.json.encode(run.terms).decode(),
    }
    for step in (_HOLD, _HELD, _PARTS):
        await connection.execute(step, given)
    await _take_all(connection, {one.cover: one for one in run.terms}, given)
    await connection.execute(_PAID, given)
    await connection.execute("analyze premium_paid")
    paid = await (await connection.execute("select exists (select from premium_paid)")).fetchone()
    assert paid is not None
    given["event"] = await next_event(session) if paid[0] else 0
    if paid[0]:
        await connection.execute(_BOOK, given)
        await connection.execute(_SETTLE, given)
    for step in (_NOTE, _INSURE):
        await connection.execute(step, given)
    came = await (await connection.execute(_RANGE_PAID, given)).fetchone()
    assert came is not None
    if paid[0]:
        facts = {
            **posting.facts, "range": range_no, "premiums": came[1], "amount": str(came[2]), "unpaid": came[0] - came[1],
        }  # fmt: skip
        await _house_event(session, EventKind.PREMIUMS_PAID, run.charged_on, posting, facts, int(str(given["event"])))
    return int(came[1])


async def _take_all(
    connection: AsyncConnection, terms: Mapping[str, PremiumTerms], given: Mapping[str, object]
) -> None:
    for since, cover in await (await connection.execute(_SLOTS, given)).fetchall():
        one = terms[cover]
        if not one.paid_by:
            own = {**given, "cover": cover, "since": since, "pots": list(one.pots), "origins": list(one.origins)}
            await connection.execute(_TAKE, own)
            await connection.execute(_LESS, own)


async def _house_event(
    session: AsyncSession,
    kind: EventKind,
    day: date,
    posting: PremiumPosting,
    facts: Mapping[str, object],
    event_id: int,
) -> None:
    entry = Entry(
        member_id=-session.info["tenant_id"],
        kind=kind,
        business_date=day,
        actor=posting.actor,
        pack=posting.pack,
        decision=posting.decision,
        body=facts,
    )
    await ledger.write_gathered_event(session, event_id, entry)


# -- lapsing

# Whoever has left the product is asked no more, and is insured to the end of what they paid for.
_OVER = """
create temporary table premium_over on commit drop as
with ended as (
  select member_id, cover, grace_until as until from premiums
   where product = %(product)s and state = 'due' and grace_until <= %(on)s
  union all
  select i.member_id, i.cover, greatest(%(on)s, (select max(p.period_until) from premiums p
     where p.member_id = i.member_id and p.product = i.product and p.cover = i.cover and p.state = 'paid'))
    from insured i where i.product = %(product)s and i.until is null
     and i.member_id in (select m.member_id from memberships m where m.product = %(product)s and m.moved_to <> ''))
select member_id, cover, min(until) as until from ended
 where member_id in (select distinct member_id from ended order by 1 limit %(most)s)
 group by 1, 2
"""
_END = """
update insured i set until = greatest(i.since, o.until), ended_by = 'lapse' from premium_over o
 where i.member_id = o.member_id and i.product = %(product)s and i.cover = o.cover and i.until is null
"""
_LAPSE = """
update premiums p set state = 'lapsed', lapsed_event = %(event)s from premium_over o
 where p.member_id = o.member_id and p.product = %(product)s and p.cover = o.cover and p.state = 'due'
"""


async def lapse(session: AsyncSession, product: str, on: date, posting: PremiumPosting) -> int:
    """End the covers of up to one range of members whose premium was not paid in time, by one event; return how many members."""
    connection = await driver(session)
    given: dict[str, object] = {"product": product, "on": on, "most": MOST_MEMBERS}
    await connection.execute(_OVER, given)
    counted = await (
        await connection.execute("select count(distinct member_id)::int, count(*)::int from premium_over")
    ).fetchone()
    assert counted is not None
    if counted[0]:
        given["event"] = await next_event(session)
        await connection.execute(_END, given)
        await connection.execute(_LAPSE, given)
        facts = {**posting.facts, "members": counted[0], "covers": counted[1], "on": on.isoformat()}
        await _house_event(session, EventKind.COVERS_LAPSED, on, posting, facts, int(str(given["event"])))
    return int(counted[0])


# -- of one member


async def insurance_of(session: AsyncSession, member_id: int, product: str) -> Insurance:
    """Return what premiums insured a member, and which they did not pay."""
    stretches = await session.execute(
        text("select cover, since, until from insured where member_id = :m and product = :p order by cover, since"),
        {"m": member_id, "p": product},
    )
    unpaid = await session.execute(
        text("select cover, grace_until from premiums where member_id = :m and product = :p and state = 'due'"),
        {"m": member_id, "p": product},
    )
    return Insurance(tuple(Insured(*row) for row in stretches), tuple(Unpaid(*row) for row in unpaid))


async def premiums_of(session: AsyncSession, member_id: int) -> list[MemberPremium]:
    """Return a member's premiums, the newest first."""
    rows = await session.execute(
        text("""select cover, period_from, period_until, grace_until, minor, paid_by, paid_on, state, reason from premiums
                 where member_id = :m order by period_from desc, product, cover"""),
        {"m": member_id},
    )
    return [MemberPremium(**row) for row in rows.mappings()]
