"""SQL of messages: the batch of events that members are told of, what a text says, and what became of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from engine.ledger.rules import EventKind, Law
from engine.notices.ports import DeliveryHint
from engine.runtime.arrays import BigInts, UUIDs
from engine.runtime.database import driver

_EVENTS_AT_ONCE = 2_000
WANTED, ACCOUNT_CHANGED = "wanted", "payout-account-changed"
"""The occasion that an event names itself; the one of payouts to another account than before."""
_LAPSED = "3 days"  # what happened longer ago is no news


@dataclass(frozen=True, slots=True)
class TellingEvent:
    """An event that a member is told of; `is_own`: it is of this member alone."""

    member_id: int
    event_id: int
    occasion: str
    product: str
    is_own: bool


@dataclass(frozen=True, slots=True)
class Said:
    """What the books say for a message, money in smallest units; `has_lapsed`: it is too old to be sent.

    `body` is the event's, `day` its business date, `amount` what it names, else what it brought the member: what interest
    added, what of their cash an allotment spent.
    """

    member_id: int
    event_id: int
    occasion: str
    has_lapsed: bool
    amount: int
    total: int
    day: date
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class MessageRow:
    """A message as it stands: queued, unknown, sent, refused, or what a report says."""

    message_id: UUID
    occasion: str
    event_id: int
    queued_at: datetime
    state: str
    parts: int
    cost: Decimal | None
    currency: str
    reason: str


@dataclass(frozen=True, slots=True)
class CostRow:
    """What a day's messages of one occasion came to, a currency a row; messages without a known cost count as well."""

    day: date
    occasion: str
    currency: str
    messages: int
    parts: int
    cost: Decimal


# What a member holds, in smallest units of money: units, and what of them is being sold, at the fund's last accepted price.
_TOTAL = """coalesce((select sum(case when c.kind = 'cash' then n.credits - n.debits
                      else div((n.credits - n.debits)::numeric * p.digits * 10::numeric ^ greatest(a.scale - p.unit_scale - p.scale, 0),
                               10::numeric ^ greatest(p.unit_scale + p.scale - a.scale, 0)) end)
                    from balances n
                    join chart c on c.tenant_id = n.tenant_id and c.code = n.code and c.kind in ('cash', 'units', 'selling')
                    join assets a on a.tenant_id = n.tenant_id and a.asset_id = 1
                    left join lateral (
                      select p.digits, p.scale, f.unit_scale from funds f join prices p using (tenant_id, fund_id)
                       where f.tenant_id = n.tenant_id and f.code = c.fund and p.state = 'accepted'
                       order by p.price_on desc, p.file_id desc limit 1) p on c.kind <> 'cash'
                   where n.member_id = {member}), 0)::bigint"""


async def lock_cursor(session: AsyncSession) -> int | None:
    """Return the sequence up to which events were read, held until the transaction ends; None if it begins now."""
    connection = await driver(session)
    tenant_id = session.info["tenant_id"]
    cursor = await connection.execute(
        "select next_seq from message_cursors where tenant_id = %s for update", (tenant_id,)
    )
    row = await cursor.fetchone()
    if row is not None:
        return int(row[0])
    await connection.execute(
        """insert into message_cursors (tenant_id, from_seq, next_seq)
           select %(t)s, n, n from (
             select coalesce(max(first_seq + n), 0) as n from audit_batches where tenant_id = %(t)s) w
           on conflict do nothing""",
        {"t": tenant_id},
    )
    return None


async def next_events(
    session: AsyncSession, start: int, own: Mapping[int, str], many: Mapping[int, str]
) -> tuple[int, list[TellingEvent]]:
    """Return where reading goes on next, and what from `start` to there members are told of, each with its occasion.

    Args:
        session: the tenant's.
        start: the place in the log.
        own: occasions by kind of members' own events. WANTED is the one that the event names; ACCOUNT_CHANGED is told of
            a payout to another account than the member was paid to before, to the telephones of both as well.
        many: occasions by kind of the house's events, told to each member who got money or units by one. An event of the
            house that names its occasion is told to everybody who was in its product on its day.

    """
    connection = await driver(session)
    cursor = await connection.execute(
        """with taken as materialized (
             select first_seq, batch_id, n from (
               select first_seq, batch_id, n, sum(n) over (order by first_seq) - n as before from (
                 select first_seq, batch_id, n from audit_batches
                  where tenant_id = %(t)s and first_seq >= %(start)s order by first_seq limit 500) b) c
              where before < %(most)s)
           select (select max(first_seq + n) from taken), x.member_id, x.event_id, x.occasion, x.product, x.is_own
             from taken b left join lateral (
               select e.member_id, e.event_id, o.occasion, m.product, true as is_own
                 from events e join members m using (member_id)
                 join unnest(%(kinds)s::int[], %(occasions)s::text[]) w(kind, occasion) on w.kind = e.kind
                cross join lateral (
                  select w.occasion where w.occasion not in (%(wanted)s, %(changed)s)
                  union all select e.body ->> 'occasion' where w.occasion = %(wanted)s
                  union all select w.occasion || v.whom from (values (''), (':new'), (':old')) v(whom)
                             where w.occasion = %(changed)s and (
                               select bool_and(q.account_digest <> p.account_digest)
                                 from payouts p join payouts q on q.tenant_id = p.tenant_id and q.member_id = p.member_id
                                where p.tenant_id = %(t)s and p.payout_id = (e.body ->> 'payout')::uuid
                                  and q.made_at < p.made_at and q.state <> 'refused')) o(occasion)
                where e.tenant_id = %(t)s and e.event_id between b.batch_id and b.batch_id + 4095 and m.status = 'active'
               union all
               select distinct t.member_id, e.event_id, w.occasion, m.product, false
                 from events e
                 join unnest(%(house_kinds)s::int[], %(house_occasions)s::text[]) w(kind, occasion) on w.kind = e.kind
                 join transfers t on t.event_id = e.event_id and t.member_id > 0 and t.credit & 2048 <> 0
                 join members m on m.member_id = t.member_id and m.status = 'active'
                where e.tenant_id = %(t)s and e.member_id = -%(t)s
                  and e.event_id between b.batch_id and b.batch_id + 4095
               union all
               select s.member_id, e.event_id, e.body ->> 'occasion', s.product, false
                 from events e
                 join unnest(%(kinds)s::int[], %(occasions)s::text[]) w(kind, occasion)
                   on w.kind = e.kind and w.occasion = %(wanted)s
                 join memberships s on s.product = e.body ->> 'product' and s.moved_to = '' and s.joined_on <= (e.body ->> 'day')::date
                 join members m on m.member_id = s.member_id and m.status = 'active'
                where e.tenant_id = %(t)s and e.member_id = -%(t)s
                  and e.event_id between b.batch_id and b.batch_id + 4095) x on true
            order by b.first_seq, x.event_id, x.member_id, x.occasion""",
        {
            "t": session.info["tenant_id"],
            "start": start,
            "most": _EVENTS_AT_ONCE,
            "kinds": list(own),
            "occasions": list(own.values()),
            "house_kinds": list(many),
            "house_occasions": list(many.values()),
            "wanted": WANTED,
            "changed": ACCOUNT_CHANGED,
        },
    )
    rows = await cursor.fetchall()
    found = [TellingEvent(*row[1:]) for row in rows if row[1] is not None]
    return (int(rows[0][0]) if rows else start), found


async def move_cursor(session: AsyncSession, next_seq: int) -> None:
    """Keep how far events were read."""
    connection = await driver(session)
    await connection.execute(
        "update message_cursors set next_seq = %s where tenant_id = %s", (next_seq, session.info["tenant_id"])
    )


async def insert_messages(session: AsyncSession, references: Sequence[UUID], events: Sequence[TellingEvent]) -> None:
    """Keep one message an event and occasion."""
    connection = await driver(session)
    await connection.execute(
        """insert into messages (tenant_id, message_id, member_id, event_id, occasion)
           select %s, * from unnest(%b::uuid[], %b::bigint[], %b::bigint[], %s::text[])""",
        (
            session.info["tenant_id"],
            UUIDs(list(references)),
            BigInts([one.member_id for one in events]),
            BigInts([one.event_id for one in events]),
            [one.occasion for one in events],
        ),
    )


async def said_of(session: AsyncSession, message_id: UUID) -> Said:
    """Return what the books say for a message: what the event brought, and what the member holds now.

    Units, and what of them is being sold, count at the fund's last accepted price, rounded down.
    """
    connection = await driver(session)
    cursor = await connection.execute(
        f"""select m.member_id, m.event_id, m.occasion, m.queued_at < clock_timestamp() - interval '{_LAPSED}',
                  case when e.kind between 80 and 109 then (e.body ->> 'amount')::bigint else coalesce((
                    select sum(t.amount) from transfers t
                     where t.member_id = m.member_id and t.event_id = m.event_id
                       and case when e.kind = {EventKind.UNITS_ALLOTTED:d} then t.debit & 2048 <> 0 and t.debit < 8192
                                else t.credit & 2048 <> 0 end), 0)::bigint end,
                  {_TOTAL.format(member="m.member_id")}, case when e.kind = {EventKind.MESSAGE_WANTED:d} and e.member_id < 0 then (e.body ->> 'day')::date else e.business_date end,
                  e.body
             from messages m join events e on e.member_id in (m.member_id, -m.tenant_id) and e.event_id = m.event_id
            where m.tenant_id = %s and m.message_id = %s""",
        (session.info["tenant_id"], message_id),
    )
    row = await cursor.fetchone()
    assert row is not None, message_id
    return Said(*row)


async def total_of(session: AsyncSession, member_id: int) -> int:
    """Return what a member holds, in smallest units of money, as `said_of` tells it."""
    connection = await driver(session)
    cursor = await connection.execute(f"select {_TOTAL.format(member='%s')}".encode(), (member_id,))
    row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


async def lessons_wanted(session: AsyncSession, member_id: int) -> int:
    """Return how many lessons a member has asked for."""
    connection = await driver(session)
    cursor = await connection.execute(
        "select count(*) from events where member_id = %s and kind = %s and body ->> 'occasion' = 'lesson'",
        (member_id, int(EventKind.MESSAGE_WANTED)),
    )
    row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


async def settle_message(
    session: AsyncSession,
    message_id: UUID,
    *,
    state: str,
    reason: str,
    provider_ref: str,
    parts: int,
    cost: Decimal | None,
    currency: str,
) -> None:
    """Keep what the provider has decided."""
    connection = await driver(session)
    await connection.execute(
        """update messages set state = %s, reason = %s, provider_ref = %s, parts = %s, cost = %s, currency = %s,
                  settled_at = clock_timestamp() where tenant_id = %s and message_id = %s and state = 'queued'""",
        (state, reason, provider_ref, parts, cost, currency, session.info["tenant_id"], message_id),
    )


async def add_reports(session: AsyncSession, reports: Sequence[DeliveryHint], costs: Sequence[Decimal | None]) -> None:
    """Keep what a report says."""
    connection = await driver(session)
    await connection.execute(
        """insert into message_reports (tenant_id, provider_ref, reference, state, reason, currency, cost)
           select %s, * from unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::numeric[])""",
        (
            session.info["tenant_id"],
            [one.provider_ref for one in reports],
            [one.reference for one in reports],
            [one.state.value for one in reports],
            [one.reason.value if one.reason else "" for one in reports],
            [one.currency for one in reports],
            list(costs),
        ),
    )


async def reported_ref(session: AsyncSession, message_id: UUID) -> str | None:
    """Return the provider's id of a message ("" if it has none) where a report has named our reference; None without one."""
    connection = await driver(session)
    cursor = await connection.execute(
        "select provider_ref from message_reports where tenant_id = %s and reference = %s order by report_id limit 1",
        (session.info["tenant_id"], str(message_id)),
    )
    row = await cursor.fetchone()
    return row[0] if row else None


# Delivered wins over failed, whichever came first, as in `rules.deliveries.furthest`.
_STANDING = """
select m.message_id, m.member_id, m.occasion, m.event_id, m.queued_at,
       case when m.state <> 'sent' then case when x.sent_at is not null and m.state = 'queued' then 'unknown' else m.state end
            else coalesce(r.state, 'sent') end as state,
       m.parts, coalesce(m.cost, r.cost) as cost, coalesce(nullif(m.currency, ''), r.currency, '') as currency,
       coalesce(nullif(m.reason, ''), case when r.state = 'failed' then r.reason end, '') as reason
  from messages m join exchanges x on x.tenant_id = m.tenant_id and x.reference = m.message_id
  left join lateral (
    select (array['failed', 'delivered', 'read'])[max(array_position(array['failed', 'delivered', 'read'], o.state))] as state,
           max(o.cost) as cost, max(o.currency) as currency, max(o.reason) as reason
      from message_reports o where o.tenant_id = m.tenant_id
       and (o.provider_ref = m.provider_ref and m.provider_ref <> '' or o.reference = m.message_id::text)) r on true
 where m.tenant_id = %(t)s
"""


async def messages_of(session: AsyncSession, member_id: int, *, most: int) -> list[MessageRow]:
    """Return a member's messages, the newest first."""
    connection = await driver(session)
    cursor = await connection.execute(
        f"""select message_id, occasion, event_id, queued_at, state, parts, cost, currency, reason from ({_STANDING}
               and m.member_id = %(member)s) w order by queued_at desc, message_id limit %(most)s""",
        {"t": session.info["tenant_id"], "member": member_id, "most": most},
    )
    return [MessageRow(*row) for row in await cursor.fetchall()]


async def list_messages(session: AsyncSession, *, state: str, most: int) -> list[MessageRow]:
    """Return everybody's messages that stand in a state ("" is any), the newest first."""
    connection = await driver(session)
    cursor = await connection.execute(
        f"""select message_id, occasion, event_id, queued_at, state, parts, cost, currency, reason from ({_STANDING}) w
             where %(state)s in ('', state) order by queued_at desc, message_id limit %(most)s""",
        {"t": session.info["tenant_id"], "state": state, "most": most},
    )
    return [MessageRow(*row) for row in await cursor.fetchall()]


async def waiting(session: AsyncSession) -> int:
    """Return how many messages wait to be sent, or for an answer about them."""
    connection = await driver(session)
    cursor = await connection.execute(
        "select count(*) from messages where tenant_id = %s and state = 'queued'", (session.info["tenant_id"],)
    )
    row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


async def costs(session: AsyncSession, start: date, end: date, time_zone: str) -> list[CostRow]:
    """Return what was sent on the days from `start` to `end`, both included, by day, occasion and currency."""
    connection = await driver(session)
    cursor = await connection.execute(
        f"""select (queued_at at time zone %(zone)s)::date, occasion, currency, count(*)::int, sum(parts)::int, coalesce(sum(cost), 0)
              from ({_STANDING} and m.state = 'sent'
                    and m.queued_at >= %(start)s::date::timestamp at time zone %(zone)s
                    and m.queued_at < (%(end)s::date + 1)::timestamp at time zone %(zone)s) w
             group by 1, 2, 3 order by 1, 2, 3""",
        {"t": session.info["tenant_id"], "zone": time_zone, "start": start, "end": end},
    )
    return [CostRow(*row) for row in await cursor.fetchall()]


LAWS: tuple[Law, ...] = (
    Law(
        "what-happened-is-told",
        "every event that members are told of, as far as the log was read for messages, has its message",
        """
        select format('event %s', e.event_id), 'a message', 'none'
          from message_cursors k join audit_batches b on b.tenant_id = k.tenant_id and b.first_seq >= k.from_seq and b.first_seq < k.next_seq
          join events e on e.tenant_id = b.tenant_id and e.event_id between b.batch_id and b.batch_id + 4095 and e.kind in (1, 10, 12, 180, 183)
          join members m on m.member_id = e.member_id and m.status = 'active'
          left join messages g on g.member_id = e.member_id and g.event_id = e.event_id
         where g.message_id is null
        """,
    ),
    Law(
        "messages-follow-their-exchanges",
        "a message is sent or refused exactly if its exchange has succeeded or failed",
        """
        select format('message %s', m.message_id), x.outcome, m.state
          from messages m join exchanges x on x.tenant_id = m.tenant_id and x.reference = m.message_id
         where m.state <> case x.outcome when 'succeeded' then 'sent' when 'failed' then 'refused' else 'queued' end
        """,
    ),
)
