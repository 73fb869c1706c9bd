"""SQL of unclaimed money: who was not heard of, how they were looked for, and what is handed over of all of them at once."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncSession

from engine.benefits.rules.unclaimed import HandOver
from engine.ledger import service as ledger
from engine.ledger.rules import Entry, EventKind
from engine.runtime.database import driver

MOST_MEMBERS = 10_000
"""How many members one transaction hands over."""

ACTIVITY = (
    EventKind.MEMBER_ENROLLED,
    EventKind.CONSENT_GIVEN,
    EventKind.NOMINEES_NAMED,
    EventKind.PRODUCT_JOINED,
    EventKind.CONTRIBUTION_RECEIVED,
    EventKind.SUSPENSE_RESOLVED,
    EventKind.BENEFIT_CLAIMED,
    EventKind.BENEFIT_DOCUMENTED,
    EventKind.PAYOUT_SETTLED,
    EventKind.IDENTITY_VERIFIED,
    EventKind.UNDERTAKING_GIVEN,
    EventKind.UNDERTAKING_CHANGED,
    EventKind.INCOME_DECLARED,
    EventKind.MENU_PIN_SET,
    EventKind.MENU_REQUEST_MADE,
    EventKind.MESSAGE_WANTED,
    EventKind.LANGUAGE_CHOSEN,
    EventKind.PENSION_PAYEE_NAMED,
    EventKind.LIFE_PROVEN,
    EventKind.LOAN_REPAID,
    EventKind.UNCLAIMED_RECLAIMED,
)
"""The kinds of events by which a member is heard of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A member's money that is presumed unclaimed, or was handed over; `held` is what there is now, smallest units."""

    member_id: int
    opened_event: int
    product: str
    rule: str
    state: str
    counted_from: date
    noticed_on: date | None
    handed_over_on: date | None
    run_no: int
    held: int
    handed_over: int
    reclaim_by: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOverRun:
    """A handing over; `left` members of its lines were heard of in between, or had less. Amounts in smallest units."""

    run_no: int
    product: str
    rule: str
    handed_to: str
    handed_over_on: date
    state: str
    members: int
    total: int
    handed_over: int
    left: int
    maker: str
    digest: str
    receipt: str
    received_on: date | None


@dataclass(frozen=True, slots=True)
class Line:
    """What a handing over takes of a member, smallest units, and since when they were not heard of."""

    member_id: int
    counted_from: date
    minor: int


# Since when nobody was heard of, of who holds something that nothing else is going to take: a claim, payout, pension or loan under way.
_QUIET = """
held as (
  select b.member_id, sum(b.credits - b.debits)::bigint as minor
    from balances b join chart c on c.tenant_id = b.tenant_id and c.code = b.code and c.kind = any(%(kinds)s) and c.party = '' and c.product = %(p)s
   where b.credits > b.debits group by 1),
heard as (
  select x.member_id, max(x.day) as day from (
    select e.member_id, e.business_date as day from events e where e.member_id > 0 and e.kind = any(%(activity)s)
    union all
    select t.member_id, e.business_date from transfers t
      join chart c on c.tenant_id = t.tenant_id and c.code = t.credit and c.kind = 'payable' and c.product = %(p)s
      join events e on e.event_id = t.event_id and e.member_id in (t.member_id, %(house)s)
     where %(benefits)s) x
   group by 1),
quiet as (
  select h.member_id, h.minor, a.day from held h join heard a using (member_id)
   where not exists (select from benefit_claims b where b.member_id = h.member_id and b.product = %(p)s and b.closed_event = 0
                        and b.state in ('open', 'decided', 'selling', 'pledged', 'asked'))
     and not exists (select from payouts o where o.tenant_id = %(t)s and o.member_id = h.member_id and o.state = 'created')
     and not exists (select from pension_schedules s where s.member_id = h.member_id and s.product = %(p)s and s.is_running)
     and not exists (select from loans l where l.member_id = h.member_id and l.product = %(p)s and l.ended_event = 0))
"""


def _given(session: AsyncSession, product: str, counted_from: str) -> dict[str, object]:
    benefits = counted_from == "benefit-due"
    return {
        "t": session.info["tenant_id"],
        "house": -session.info["tenant_id"],
        "p": product,
        "benefits": benefits,
        "kinds": ["payable"] if benefits else ["cash", "payable"],
        "activity": [int(kind) for kind in ACTIVITY],
    }


async def hold_product(session: AsyncSession, product: str) -> None:
    """Let nobody else look for, or propose, a product's unclaimed money until the session ends."""
    await session.execute(
        text("select pg_advisory_xact_lock(hashtextextended('unclaimed:' || :t || ':' || :p, 0))"),
        {"t": str(session.info["tenant_id"]), "p": product},
    )


async def end_heard(session: AsyncSession, product: str, counted_from: str) -> int:
    """End the cases of who was heard of since, or has nothing any more; return how many."""
    connection = await driver(session)
    cursor = await connection.execute(
        f"""with {_QUIET}
            update unclaimed_cases k set state = 'ended'
             where k.product = %(p)s and k.state = 'presumed'
               and not exists (select from quiet q where q.member_id = k.member_id and q.day <= k.counted_from)""".encode(),
        _given(session, product, counted_from),
    )
    return cursor.rowcount


async def open_cases(
    session: AsyncSession, product: str, counted_from: str, *, rule: str, counted_by: date, least: int, event_id: int
) -> int:
    """Open a case of everybody who was not heard of since `counted_by` and has `least` or more; return how many."""
    connection = await driver(session)
    cursor = await connection.execute(
        f"""with {_QUIET}
            insert into unclaimed_cases (member_id, opened_event, tenant_id, counted_from, product, rule)
            select q.member_id, %(event)s, %(t)s, q.day, %(p)s, %(rule)s from quiet q
             where q.day <= %(by)s and q.minor >= %(least)s
            on conflict (member_id, product) where state = 'presumed' do nothing""".encode(),
        {
            **_given(session, product, counted_from),
            "event": event_id,
            "rule": rule,
            "by": counted_by,
            "least": max(least, 1),
        },
    )
    return cursor.rowcount


async def next_event(session: AsyncSession) -> int:
    """Return the number of an event that is gathered from many members."""
    return int(await session.scalar(text("select next_batch_id()")) or 0)


_CASE = """
select k.member_id, k.opened_event, k.product, k.rule, k.state, k.counted_from, k.noticed_on, k.handed_over_on, k.run_no,
       (select coalesce(sum(b.credits - b.debits), 0)::bigint from balances b
          join chart c on c.tenant_id = b.tenant_id and c.code = b.code and c.kind in ('cash', 'payable') and c.party = '' and c.product = k.product
         where b.member_id = k.member_id) as held,
       (select coalesce(sum(l.minor), 0)::bigint from unclaimed_lines l
         where l.member_id = k.member_id and l.run_no = k.run_no and l.state = 'handed-over') as handed_over,
       coalesce(a.name, '') as reclaim_by, k.digest
  from unclaimed_cases k left join actors a on a.tenant_id = k.tenant_id and a.actor_id = k.reclaim_by
"""


async def list_cases(
    session: AsyncSession, product: str, *, state: str = "", after: int = 0, most: int = 100
) -> list[Case]:
    """Return cases of a product after member `after`, by member; of one state if one is given."""
    rows = await session.execute(
        text(f"""{_CASE} where k.product = :p and k.member_id > :after and (:state = '' or k.state = :state)
                 order by k.member_id, k.opened_event limit :most"""),
        {"p": product, "after": after, "state": state, "most": most},
    )
    return [_case(row) for row in rows.mappings()]


async def hold_case(session: AsyncSession, member_id: int, product: str, states: Sequence[str]) -> Case | None:
    """Return a member's newest case in some states; nobody else can change it until the session ends."""
    found = await session.execute(
        text(f"""{_CASE} where k.member_id = :m and k.product = :p and k.state = any(:s)
                 order by k.opened_event desc limit 1 for update of k"""),
        {"m": member_id, "p": product, "s": list(states)},
    )
    row = found.mappings().one_or_none()
    return None if row is None else _case(row)


async def note_searches(
    session: AsyncSession, product: str, event_id: int, *, means: str, outcome: str, on: date, member_id: int = 0
) -> int:
    """Note how the owners of a product's unclaimed money were looked for, or one of them; return how many.

    Who is told is told from that day on, unless they were before; of all at once it is those who were not.
    """
    connection = await driver(session)
    cursor = await connection.execute(
        """with looked as (
             update unclaimed_cases k set noticed_on = case when %(outcome)s = 'told' then coalesce(k.noticed_on, %(on)s) else k.noticed_on end
              where k.product = %(p)s and k.state = 'presumed' and (%(m)s = 0 or k.member_id = %(m)s)
                and (%(m)s <> 0 or %(outcome)s <> 'told' or k.noticed_on is null)
             returning k.member_id, k.opened_event, k.tenant_id)
           insert into unclaimed_searches (member_id, event_id, opened_event, tenant_id, searched_on, product, means, outcome)
           select member_id, %(event)s, opened_event, tenant_id, %(on)s, %(p)s, %(means)s, %(outcome)s from looked""",
        {"p": product, "event": event_id, "means": means, "outcome": outcome, "on": on, "m": member_id},
    )
    return cursor.rowcount


async def propose_run(
    session: AsyncSession,
    product: str,
    counted_from: str,
    due: HandOver,
    *,
    rule: str,
    handed_to: str,
    least: int,
    maker: int,
) -> int:
    """Count what is handed over: of each case that is due, all that is there; return the run's number, 0 where nothing is."""
    tenant = session.info["tenant_id"]
    connection = await driver(session)
    given = {
        **_given(session, product, counted_from),
        "by": due.counted_by,
        "told": due.told_by,
        "least": max(least, 1),
    }
    await connection.execute(
        f"""create temporary table due_lines on commit drop as
            with {_QUIET}
            select k.member_id, b.code, (b.credits - b.debits)::bigint as minor
              from unclaimed_cases k join quiet q on q.member_id = k.member_id and q.day <= k.counted_from and q.minor >= %(least)s
              join balances b on b.member_id = k.member_id and b.credits > b.debits
              join chart c on c.tenant_id = b.tenant_id and c.code = b.code and c.kind = any(%(kinds)s) and c.party = '' and c.product = %(p)s
             where k.product = %(p)s and k.state = 'presumed' and k.counted_from <= %(by)s and k.noticed_on <= %(told)s""".encode(),
        given,
    )
    cursor = await connection.execute(
        """insert into unclaimed_runs (total, tenant_id, run_no, members, maker, handed_over_on, product, handed_to, rule, digest)
           select s.total, %(t)s, n.run_no, s.members, %(maker)s, %(on)s, %(p)s, %(to)s, %(rule)s,
                  encode(sha256(convert_to(concat_ws('|', n.run_no, %(p)s::text, %(to)s::text, %(on)s::date, s.lines), 'UTF8')), 'hex')
             from (select coalesce(sum(minor), 0)::bigint as total, count(distinct member_id)::int as members,
                          string_agg(concat_ws(':', member_id, code, minor), ',' order by member_id, code) as lines from due_lines) s,
                  (select coalesce(max(run_no), 0) + 1 as run_no from unclaimed_runs where tenant_id = %(t)s) n
            where s.members > 0 returning run_no""",
        {"t": tenant, "maker": maker, "on": due.on, "p": product, "to": handed_to, "rule": rule},
    )
    row = await cursor.fetchone()
    if row is None:
        return 0
    await connection.execute(
        """insert into unclaimed_lines (member_id, minor, tenant_id, run_no, code)
           select member_id, minor, %s, %s, code from due_lines""",
        (tenant, row[0]),
    )
    return int(row[0])


_RUN = """
select r.run_no, r.product, r.rule, r.handed_to, r.handed_over_on, r.state, r.members, r.total,
       (select coalesce(sum(l.minor), 0)::bigint from unclaimed_lines l
         where l.tenant_id = r.tenant_id and l.run_no = r.run_no and l.state = 'handed-over') as handed_over,
       (select count(distinct l.member_id)::int from unclaimed_lines l
         where l.tenant_id = r.tenant_id and l.run_no = r.run_no and l.state = 'left') as left,
       a.name as maker, r.digest, r.receipt, r.received_on
  from unclaimed_runs r join actors a on a.tenant_id = r.tenant_id and a.actor_id = r.maker
"""


async def find_run(session: AsyncSession, run_no: int, *, hold: bool = False) -> HandOverRun | None:
    """Return a handing over; with `hold`, nobody else can change it until the session ends."""
    found = await session.execute(
        text(f"{_RUN} where r.run_no = :n {'for update of r' if hold else ''}"), {"n": run_no}
    )
    row = found.mappings().one_or_none()
    return None if row is None else HandOverRun(**row)


async def open_run(session: AsyncSession, product: str) -> HandOverRun | None:
    """Return a product's handing over that is not done."""
    found = await session.execute(
        text(f"{_RUN} where r.product = :p and r.state in ('proposed', 'approved')"), {"p": product}
    )
    row = found.mappings().one_or_none()
    return None if row is None else HandOverRun(**row)


async def list_runs(session: AsyncSession, *, most: int = 100) -> list[HandOverRun]:
    """Return the newest handings over, newest first."""
    rows = await session.execute(text(f"{_RUN} order by r.run_no desc limit :most"), {"most": most})
    return [HandOverRun(**row) for row in rows.mappings()]


async def note_proposed(session: AsyncSession, run_no: int, event_id: int) -> None:
    """Note the event by which a run was proposed."""
    await _update(session, run_no, "proposed_event = :e", {"e": event_id})


async def decide_run(session: AsyncSession, run_no: int, *, state: str, checker: int, event_id: int) -> None:
    """Note how a second person decided on a run."""
    await _update(
        session, run_no, "state = :s, checker = :c, decided_event = :e", {"s": state, "c": checker, "e": event_id}
    )


async def note_receipt(session: AsyncSession, run_no: int, receipt: str, on: date) -> None:
    """Note the number that whoever took the money gave for it."""
    await _update(session, run_no, "receipt = :r, received_on = :on", {"r": receipt, "on": on})


async def _update(session: AsyncSession, run_no: int, what: str, given: Mapping[str, object]) -> None:
    await session.execute(
        text(f"update unclaimed_runs set {what} where tenant_id = :t and run_no = :n"),
        {"t": session.info["tenant_id"], "n": run_no, **given},
    )


# What is handed over of the next members: just what was approved, of who is still not heard of and has it.
_TAKE = f"""
with {_QUIET},
due as materialized (
  select l.member_id, l.code, l.minor, q.member_id is not null and b.credits - b.debits >= l.minor as goes
    from unclaimed_lines l join balances b on b.member_id = l.member_id and b.code = l.code
    left join unclaimed_cases k on k.member_id = l.member_id and k.product = %(p)s and k.state = 'presumed'
    left join quiet q on q.member_id = l.member_id and q.day <= k.counted_from
   where l.run_no = %(run)s and l.state = 'proposed' and l.member_id between %(first)s and %(last)s),
going as materialized (
  select member_id, code, minor, row_number() over (order by member_id, code) as line from due
   where member_id not in (select member_id from due where not goes)),
moved as (
  insert into transfers (member_id, event_id, amount, tenant_id, debit, credit, line)
  select member_id, %(event)s, minor, %(t)s, code, %(to)s, line from going),
changed as (
  update balances b set debits = b.debits + g.minor from going g where b.member_id = g.member_id and b.code = g.code),
deltas as (
  insert into control_deltas (tenant_id, batch_id, code, debits, credits)
  select %(t)s, %(event)s, %(to)s, 0, sum(minor)::bigint from going having sum(minor) > 0),
noted as (
  update unclaimed_lines l
     set state = case when g.member_id is null then 'left' else 'handed-over' end,
         event_id = case when g.member_id is null then 0 else %(event)s end
    from due d left join going g on g.member_id = d.member_id and g.code = d.code
   where l.member_id = d.member_id and l.run_no = %(run)s and l.code = d.code),
cases as (
  update unclaimed_cases k set state = 'handed-over', run_no = %(run)s, handed_over_on = %(on)s
    from (select distinct member_id from going) g where k.member_id = g.member_id and k.product = %(p)s and k.state = 'presumed')
select count(distinct member_id)::int, coalesce(sum(minor), 0)::bigint from going
"""


async def next_members(session: AsyncSession, run_no: int) -> tuple[int, int] | None:
    """Return the first and last of the next members of a run that are not dealt with; None where all are."""
    row = (
        await session.execute(
            text("""select min(member_id), max(member_id) from (
                      select distinct member_id from unclaimed_lines where tenant_id = :t and run_no = :n and state = 'proposed'
                       order by member_id limit :most) s"""),
            {"t": session.info["tenant_id"], "n": run_no, "most": MOST_MEMBERS},
        )
    ).one()
    return None if row[0] is None else (int(row[0]), int(row[1]))


async def take(
    session: AsyncSession, run: HandOverRun, members: tuple[int, int], counted_from: str, *, to: int, event: Entry
) -> int:
    """Hand over what is due of the members, as one event of the house; return how many members that was."""
    connection = await driver(session)
    await connection.execute(
        """select count(*) from (
             select from balances b join unclaimed_lines l on l.member_id = b.member_id and l.code = b.code
              where l.run_no = %s and l.member_id between %s and %s order by b.member_id, b.code for no key update of b) held""",
        (run.run_no, *members),
    )
    event_id = await next_event(session)
    cursor = await connection.execute(
        _TAKE.encode(),
        {
            **_given(session, run.product, counted_from),
            "run": run.run_no,
            "first": members[0],
            "last": members[1],
            "event": event_id,
            "to": to,
            "on": event.business_date,
        },
    )
    row = await cursor.fetchone()
    assert row is not None
    if row[0]:
        await ledger.write_gathered_event(session, event_id, event)
    return int(row[0])


async def finish_run(session: AsyncSession, run_no: int, event_id: int) -> None:
    """Note a run as done."""
    await _update(session, run_no, "state = 'done', done_event = :e", {"e": event_id})


async def lines_of(session: AsyncSession, run_no: int) -> AsyncIterator[Line]:
    """Yield what a run takes, or took, of each member, by member."""
    rows = await session.stream(
        text("""select l.member_id, (select max(k.counted_from) from unclaimed_cases k join unclaimed_runs r on r.tenant_id = k.tenant_id and r.run_no = :n
                                      where k.member_id = l.member_id and k.product = r.product
                                        and (k.run_no = :n or k.state = 'presumed')) as counted_from, sum(l.minor)::bigint as minor
                  from unclaimed_lines l where l.tenant_id = :t and l.run_no = :n and l.state <> 'left'
                 group by l.member_id order by l.member_id"""),
        {"t": session.info["tenant_id"], "n": run_no},
    )
    async for row in rows:
        yield Line(row.member_id, row.counted_from, row.minor)


async def handed_over_lines(session: AsyncSession, case: Case) -> list[tuple[int, int]]:
    """Return (code, smallest units) that were handed over of a member's accounts."""
    rows = await session.execute(
        text("""select code, minor from unclaimed_lines
                 where member_id = :m and run_no = :n and state = 'handed-over' order by code"""),
        {"m": case.member_id, "n": case.run_no},
    )
    return [(row.code, row.minor) for row in rows]


async def propose_reclaim(session: AsyncSession, case: Case, *, by: int, digest: str) -> None:
    """Note that what was handed over is reclaimed, and waits for a second person."""
    await _save(session, case, "reclaim_by = :by, digest = :d", {"by": by, "d": digest})


async def reclaim(session: AsyncSession, case: Case, event_id: int) -> None:
    """Note that what was handed over is the member's again."""
    await _save(
        session, case, "state = 'reclaimed', reclaimed_event = :e, reclaim_by = 0, digest = ''", {"e": event_id}
    )


async def _save(session: AsyncSession, case: Case, what: str, given: Mapping[str, object]) -> None:
    await session.execute(
        text(f"update unclaimed_cases set {what} where member_id = :m and product = :p and opened_event = :o"),
        {"m": case.member_id, "p": case.product, "o": case.opened_event, **given},
    )


def _case(row: RowMapping) -> Case:
    return Case(**row)
