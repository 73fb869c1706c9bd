"""SQL of the ladder of members who stop paying: who is due for which step, who has paid since, and how far each has come."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from engine.ledger.rules import EventKind
from engine.runtime.database import driver

_PAYMENTS = [int(EventKind.CONTRIBUTION_RECEIVED), int(EventKind.SUSPENSE_RESOLVED)]


@dataclass(frozen=True, slots=True, kw_only=True)
class LadderSteps:
    """A ladder as numbers, step by step: months, and the most net balance in smallest units of money, -1 for any."""

    first_status: str
    statuses: Sequence[str]
    months: Sequence[int]
    limits: Sequence[int]
    net_of: Sequence[str]


@dataclass(frozen=True, slots=True)
class StepDue:
    """A member whose step is another than the one they stand on: 0 is the first status, else the place in the ladder from 1."""

    member_id: int
    step: int
    was: int
    since: date
    counted_from: date


@dataclass(frozen=True, slots=True)
class Changed:
    """A member's new standing, by which event."""

    member_id: int
    event_id: int
    status: str
    since: date
    counted_from: date


@dataclass(frozen=True, slots=True)
class MemberStanding:
    """How a member stands in a product: since when by its months, and what months count from."""

    product: str
    status: str
    since: date
    counted_from: date


@dataclass(frozen=True, slots=True)
class Payer:
    """A member off the first status who has paid since their last step: how much of their own, smallest units, and by which last event.

    `documents` are attributes that are recorded of them as "yes".
    """

    member_id: int
    joined_on: date
    status: str
    since: date
    paid: int
    newest: int
    documents: frozenset[str]


async def next_members(session: AsyncSession, product: str, *, after: int, most: int) -> list[tuple[int, date]]:
    """Return (member_id, joining date) of the next members of a product after one, by number."""
    rows = await session.execute(
        text("""select member_id, joined_on from memberships where product = :p and moved_to = '' and member_id > :after
                 order by member_id limit :most"""),
        {"p": product, "after": after, "most": most},
    )
    return [(row.member_id, row.joined_on) for row in rows]


_DUE = """
with who as materialized (
  select s.member_id, s.from_on, st.status, st.since as came_back
    from unnest(%(members)b::bigint[]) w(member_id) join memberships s on s.member_id = w.member_id and s.product = %(product)s
    left join member_standings st on st.member_id = s.member_id and st.product = s.product),
counted as (
  select w.member_id, w.status, greatest(c.counted_from, case when w.status = %(first)s then w.came_back end) as counted_from
    from who w cross join lateral ({counted}) c where c.counted_from is not null),
prices_on as materialized (
  select f.code, p.digits, p.scale, f.unit_scale from funds f cross join lateral (
    select digits, scale from prices p where p.tenant_id = f.tenant_id and p.fund_id = f.fund_id and p.state = 'accepted'
       and p.price_on <= %(on)s order by p.price_on desc limit 1) p where %(has_limits)s),
net as (
  select c.member_id, coalesce(sum(case when a.kind = 'cash' then b.credits - b.debits
                                        else div((b.credits - b.debits)::numeric * p.digits * 10::numeric ^ greatest(m.scale - p.unit_scale - p.scale, 0),
                                                 10::numeric ^ greatest(p.unit_scale + p.scale - m.scale, 0)) end), 0)::bigint as minor
    from counted c join balances b on b.member_id = c.member_id and b.credits > b.debits
    join chart a on a.tenant_id = b.tenant_id and a.code = b.code and a.product = %(product)s and a.kind in ('cash', 'units')
     and a.origin <> all(%(net_of)s::text[])
    join assets m on m.tenant_id = b.tenant_id and m.asset_id = 1
    left join prices_on p on p.code = a.fund where %(has_limits)s group by 1),
placed as (
  select c.member_id, c.counted_from, coalesce(array_position(%(statuses)b::text[], c.status), 0) as was, coalesce(k.n, 0)::int as step,
         coalesce((c.counted_from + make_interval(months => k.months))::date, c.counted_from) as since
    from counted c left join net using (member_id)
    left join lateral (
      select s.n, s.months from unnest(%(months)b::int[], %(limits)b::bigint[]) with ordinality s(months, most, n)
       where (c.counted_from + make_interval(months => s.months))::date <= %(on)s and (s.most < 0 or coalesce(net.minor, 0) <= s.most)
       order by s.n desc limit 1) k on true)
select member_id, step, was, since, counted_from from placed where step > was or (%(goes_back)s and step < was) order by member_id
"""
_LAST_PAID = """
select coalesce(max(e.business_date), w.from_on) as counted_from from records_of(w.member_id) r join events e on e.member_id = r.record_id
 where e.kind = any(%(payments)b::smallint[]) and e.business_date <= %(on)s
   and exists (select from transfers t join chart a on a.tenant_id = t.tenant_id and a.code = t.credit and a.kind = 'cash' and a.product = %(product)s
                where t.member_id = e.member_id and t.event_id = e.event_id)
   and not exists (select from corrections x where x.corrects_member = e.member_id and x.corrects_event = e.event_id)
"""
_MISSED = """
select m.missed_on as counted_from from unnest(%(late)b::bigint[], %(missed)b::date[]) m(member_id, missed_on) where m.member_id = w.member_id
"""


async def steps_due(
    session: AsyncSession,
    product: str,
    steps: LadderSteps,
    members: Sequence[int],
    on: date,
    *,
    missed: Mapping[int, date] | None,
    goes_back: bool,
) -> list[StepDue]:
    """Return those of a product's members who stand on another step than the ladder has them on that day: by one statement.

    Args:
        session: the tenant's.
        product: of which product.
        steps: the ladder.
        members: some thousands.
        on: the day.
        missed: the first day that each missed, where months count from it; None: they count from the last contribution.
        goes_back: whether paying alone leads back up.

    """
    connection = await driver(session)
    counted = _LAST_PAID if missed is None else _MISSED
    cursor = await connection.execute(
        _DUE.format(counted=counted),
        {
            "members": list(members),
            "product": product,
            "first": steps.first_status,
            "on": on,
            "has_limits": any(one >= 0 for one in steps.limits),
            "net_of": list(steps.net_of),
            "statuses": list(steps.statuses),
            "months": list(steps.months),
            "limits": list(steps.limits),
            "goes_back": goes_back,
            "payments": _PAYMENTS,
            "late": list(missed or ()),
            "missed": list((missed or {}).values()),
        },
    )
    return [StepDue(*row) for row in await cursor.fetchall()]


async def save_standings(session: AsyncSession, product: str, changed: Sequence[Changed]) -> None:
    """Write new standings of members in a product."""
    connection = await driver(session)
    await connection.execute(
        """insert into member_standings as s (tenant_id, product, member_id, event_id, status, since, counted_from, looked_event)
           select %s, %s, m, e, st, on_day, counted, e
             from unnest(%b::bigint[], %b::bigint[], %b::text[], %b::date[], %b::date[]) u(m, e, st, on_day, counted)
           on conflict (member_id, product) do update set event_id = excluded.event_id, status = excluded.status, since = excluded.since,
             counted_from = excluded.counted_from, looked_event = greatest(s.looked_event, excluded.looked_event)""",
        (
            session.info["tenant_id"],
            product,
            [one.member_id for one in changed],
            [one.event_id for one in changed],
            [one.status for one in changed],
            [one.since for one in changed],
            [one.counted_from for one in changed],
        ),
    )


async def payers(session: AsyncSession, product: str, first_status: str, *, most: int) -> list[Payer]:
    """Return members off the first status with payments that were not tried as a way back; nobody else tries them until the session ends."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select st.member_id, s.joined_on, st.status, st.since, p.paid, p.newest,
                  array(select a.attribute from (select distinct on (attribute) attribute, value from member_attributes m
                                                  where m.member_id = st.member_id order by attribute, as_of desc, event_id desc) a where a.value = 'yes')
             from member_standings st join memberships s on s.member_id = st.member_id and s.product = st.product and s.moved_to = ''
            cross join lateral (
              select coalesce(sum(t.amount), 0)::bigint as paid, max(e.event_id) as newest
                from records_of(st.member_id) r join events e on e.member_id = r.record_id
                join transfers t on t.member_id = e.member_id and t.event_id = e.event_id
                join chart a on a.tenant_id = t.tenant_id and a.code = t.credit and a.kind = 'cash' and a.product = st.product and a.origin = 'own'
               where e.event_id > st.event_id and e.kind = any(%(payments)s::smallint[])
                 and not exists (select from corrections x where x.corrects_member = e.member_id and x.corrects_event = e.event_id)) p
            where st.product = %(product)s and st.status <> %(first)s and p.newest > st.looked_event
            order by st.member_id limit %(most)s for no key update of st""",
        {"product": product, "first": first_status, "payments": _PAYMENTS, "most": most},
    )
    return [
        Payer(member_id, joined_on, status, since, paid, newest, frozenset(said))
        for member_id, joined_on, status, since, paid, newest, said in await cursor.fetchall()
    ]


async def note_looked(session: AsyncSession, product: str, looked: Sequence[Payer]) -> None:
    """Note up to which payment members were tried as coming back."""
    connection = await driver(session)
    await connection.execute(
        """update member_standings s set looked_event = w.newest from unnest(%b::bigint[], %b::bigint[]) w(member_id, newest)
            where s.member_id = w.member_id and s.product = %s""",
        ([one.member_id for one in looked], [one.newest for one in looked], product),
    )


async def standings_of(session: AsyncSession, member_id: int) -> list[MemberStanding]:
    """Return how a member stands in the products they are in and where they ever took a step, by product."""
    rows = await session.execute(
        text("""select st.product, st.status, st.since, st.counted_from from member_standings st
                  join memberships s on s.member_id = st.member_id and s.product = st.product and s.moved_to = ''
                 where st.member_id = :m order by 1"""),
        {"m": member_id},
    )
    return [MemberStanding(*row) for row in rows]
