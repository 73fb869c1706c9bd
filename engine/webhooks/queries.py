"""SQL of the webhooks: endpoints, what the log gives them to be told, and the picking and ending of deliveries."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from engine.ledger.rules import BATCH_MASK, EventKind, Law
from engine.runtime.database import driver

_BATCHES, _EVENTS = 500, 20_000
_PICKED = 10

TYPES = {
    EventKind.CONTRIBUTION_RECEIVED: ("contribution.received", "received"),
    EventKind.CONTRIBUTION_SUSPENDED: ("contribution.suspended", "suspended"),
    EventKind.SUSPENSE_RESOLVED: ("contribution.resolved", "received"),
    EventKind.CONTRIBUTION_REVERSED: ("contribution.reversed", "reversed"),
    EventKind.COLLECTION_FAILED: ("collection.failed", "failed"),
}
"""What partners are told of: the kind of the event, the message's type, and the state that it tells."""


_DIRECT = ", ".join(
    str(int(kind))
    for kind in (EventKind.CONTRIBUTION_RECEIVED, EventKind.CONTRIBUTION_SUSPENDED, EventKind.COLLECTION_FAILED)
)

LAWS: tuple[Law, ...] = (
    Law(
        "partners-are-told-what-happened",
        "what partners are told is an event of a kind that they are told of, and of the log",
        f"""
        select format('delivery %s', d.delivery_id), 'an event in the log', coalesce(format('kind %s', e.kind), 'no event')
          from webhook_deliveries d
          left join events e on e.tenant_id = d.tenant_id and e.event_id = d.event_id
          left join audit_batches q on q.tenant_id = d.tenant_id and q.batch_id = (d.event_id & {BATCH_MASK})
         where e.kind is null or e.kind not in ({", ".join(str(int(kind)) for kind in TYPES)}) or q.batch_id is null
        """,
    ),
    Law(
        "partners-are-told-all",
        "every payment of a partner's, and every one they asked for that failed, is told to them, once it is read in the log",
        f"""
        select format('event %s', e.event_id), format('told to partner %s', w.partner_id), 'no delivery'
          from webhook_endpoints w
          join webhook_cursors c on c.tenant_id = w.tenant_id
          join actors n on n.tenant_id = w.tenant_id and n.name = 'partner:' || w.partner_id
          join events e on e.tenant_id = w.tenant_id and e.actor = n.actor_id and e.kind in ({_DIRECT})
          join audit_batches q on q.tenant_id = w.tenant_id and q.batch_id = (e.event_id & {BATCH_MASK})
          left join webhook_deliveries d on d.tenant_id = w.tenant_id and d.partner_id = w.partner_id and d.event_id = e.event_id
         where w.state = 'active' and q.first_seq >= w.from_seq and q.first_seq < c.seq and d.event_id is null
        """,
    ),
)


@dataclass(frozen=True, slots=True)
class EndpointRow:
    """A partner's endpoint, its document sealed."""

    state: str
    document: bytes


@dataclass(frozen=True, slots=True)
class EndpointFigures:
    """What of an endpoint's messages waits and was given up, and how the last attempt ended."""

    waiting: int
    failed: int
    last_code: str
    last_at: datetime | None


@dataclass(frozen=True, slots=True)
class Picked:
    """A delivery under a lease, with its endpoint as it is now."""

    delivery_id: UUID
    partner_id: int
    lease: int
    attempts: int
    body: str
    document: bytes
    version: int


@dataclass(frozen=True, slots=True)
class Ended:
    """How an attempt ended: the delivery's state, the code that says why, and after how many seconds it is due again."""

    delivery_id: UUID
    lease: int
    state: str
    code: str
    wait_seconds: float = 0.0


# -- endpoints


async def lock_endpoint(session: AsyncSession, partner_id: int) -> EndpointRow | None:
    """Let nobody else change a partner's endpoint until the end of the transaction; return it, if there ever was one."""
    connection = await driver(session)
    await connection.execute(
        "select from partners where tenant_id = %s and partner_id = %s for no key update",
        (session.info["tenant_id"], partner_id),
    )
    return await find_endpoint(session, partner_id)


async def find_endpoint(session: AsyncSession, partner_id: int) -> EndpointRow | None:
    """Return a partner's endpoint, one that was removed too."""
    connection = await driver(session)
    cursor = await connection.execute(
        "select state, document from webhook_endpoints where tenant_id = %s and partner_id = %s",
        (session.info["tenant_id"], partner_id),
    )
    row = await cursor.fetchone()
    return None if row is None else EndpointRow(row[0], bytes(row[1]))


async def write_endpoint(session: AsyncSession, partner_id: int, document: bytes) -> None:
    """Keep an active endpoint; one that is not active yet is told what the log gains from now on."""
    connection = await driver(session)
    await connection.execute(
        """with log as (select coalesce(max(first_seq + n), 0) as size from audit_batches where tenant_id = %(t)s),
           followed as (insert into webhook_cursors (tenant_id, seq) select %(t)s, size from log on conflict do nothing)
           insert into webhook_endpoints as w (tenant_id, partner_id, from_seq, document)
           select %(t)s, %(partner)s, size, %(document)s from log
           on conflict (tenant_id, partner_id) do update set
             from_seq = case w.state when 'active' then w.from_seq else excluded.from_seq end,
             state = 'active', document = excluded.document, version = w.version + 1, changed_at = clock_timestamp()""",
        {"t": session.info["tenant_id"], "partner": partner_id, "document": document},
    )


async def remove_endpoint(session: AsyncSession, partner_id: int) -> None:
    """Forget where a partner was told, and by which secrets; nothing that waits is sent."""
    connection = await driver(session)
    who = {"t": session.info["tenant_id"], "partner": partner_id}
    await connection.execute(
        """update webhook_endpoints set state = 'removed', document = '', version = version + 1, changed_at = clock_timestamp()
            where tenant_id = %(t)s and partner_id = %(partner)s""",
        who,
    )
    await connection.execute(
        "update webhook_deliveries set state = 'dropped' where tenant_id = %(t)s and partner_id = %(partner)s and state = 'waiting'",
        who,
    )


async def disable_endpoints(session: AsyncSession, gone: Sequence[tuple[int, int]]) -> None:
    """Send nothing more to endpoints that said they are gone, (partner_id, version) each; not if changed since."""
    connection = await driver(session)
    await connection.execute(
        """with gone as (
             update webhook_endpoints w set state = 'disabled', changed_at = clock_timestamp()
               from unnest(%s::int[], %s::int[]) g(partner_id, version)
              where w.tenant_id = %s and w.partner_id = g.partner_id and w.version = g.version and w.state = 'active'
             returning w.partner_id)
           update webhook_deliveries d set state = 'dropped' from gone
            where d.tenant_id = %s and d.partner_id = gone.partner_id and d.state = 'waiting'""",
        (*(list(column) for column in zip(*gone, strict=True)), *[session.info["tenant_id"]] * 2),
    )


async def figures_of(session: AsyncSession, partner_id: int) -> EndpointFigures:
    """Return how far a partner's messages are."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select (select count(*) from webhook_deliveries
                    where tenant_id = %(t)s and partner_id = %(partner)s and state = 'waiting'),
                  (select count(*) from webhook_deliveries
                    where tenant_id = %(t)s and partner_id = %(partner)s and state = 'failed'),
                  coalesce(l.code, ''), l.answered_at
             from (values (1)) one left join lateral (
               select code, answered_at from webhook_deliveries
                where tenant_id = %(t)s and partner_id = %(partner)s and answered_at is not null
                order by answered_at desc limit 1) l on true""",
        {"t": session.info["tenant_id"], "partner": partner_id},
    )
    row = await cursor.fetchone()
    assert row is not None
    return EndpointFigures(*row)


# -- what is told

_HAPPENED = """
with happened as materialized (
  select e.event_id, e.member_id, e.kind, e.actor, e.business_date, e.body, b.recorded_at, q.first_seq
    from events e join audit_batches q on q.tenant_id = %(t)s and q.batch_id = e.event_id & %(mask)s
    join batches b on b.tenant_id = %(t)s and b.batch_id = q.batch_id
   where e.tenant_id = %(t)s and e.event_id between %(low)s and %(high)s and e.event_id & %(mask)s = any(%(batches)s)
     and e.kind = any(%(kinds)s)),
told as (
  select event_id, kind, first_seq, recorded_at, business_date, body, body ->> 'reason' as reason, actor as sender,
         case when kind <> %(failed)s then event_id end as receipt
    from happened where kind in (%(received)s, %(suspended)s, %(failed)s)
   union all
  select h.event_id, h.kind, h.first_seq, h.recorded_at, h.business_date, o.body, null, o.actor, o.event_id
    from happened h join events o on o.member_id = -%(t)s and o.event_id = (h.body ->> 'resolves')::bigint
   where h.kind = %(resolved)s
   union all
  select h.event_id, h.kind, h.first_seq, h.recorded_at, h.business_date, o.body, v.reason, o.actor, o.event_id
    from happened h join reversals v on v.tenant_id = %(t)s and v.reversed_event = h.event_id
    join events o on o.member_id = any(array(select record_id from records_of(v.member_id)) || -%(t)s::bigint) and o.event_id = v.event_id
   where h.kind = %(reversed)s)
insert into webhook_deliveries (tenant_id, partner_id, event_id, body)
select %(t)s, w.partner_id, a.event_id, json_strip_nulls(json_build_object(
         'type', y.type,
         'timestamp', to_char(a.recorded_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
         'data', json_build_object(
           'receipt', a.receipt::text, 'collection', a.body ->> 'collection', 'state', y.state, 'reason', a.reason,
           'amount', round((a.body ->> 'amount')::numeric / 10::numeric ^ m.scale, m.scale)::text, 'currency', m.symbol,
           'channel', a.body ->> 'channel', 'reference_digest', a.body ->> 'ref',
           'business_date', a.business_date)))::text
  from told a join actors n on n.tenant_id = %(t)s and n.actor_id = a.sender
  join webhook_endpoints w on w.tenant_id = %(t)s and w.state = 'active' and n.name = 'partner:' || w.partner_id
                          and a.first_seq >= w.from_seq
  join unnest(%(kinds)s::smallint[], %(types)s::text[], %(states)s::text[]) y(kind, type, state) on y.kind = a.kind
  join assets m on m.tenant_id = %(t)s and m.asset_id = 1
    on conflict on constraint one_delivery_an_event do nothing
"""


async def follow_log(session: AsyncSession) -> int:
    """Store what the next part of the log gives partners to be told, and go past it; return how many events that part has.

    0 where there is nothing new, nobody to be told, or another transaction is at it.
    """
    connection, tenant_id = await driver(session), session.info["tenant_id"]
    place = await (
        await connection.execute(
            "select seq from webhook_cursors where tenant_id = %s for update skip locked", (tenant_id,)
        )
    ).fetchone()
    if place is None:
        return 0
    found = await connection.execute(
        """select batch_id, upto from (
             select batch_id, first_seq, first_seq + n as upto from audit_batches
              where tenant_id = %(t)s and first_seq >= %(seq)s order by first_seq limit %(most)s) run
            where first_seq = %(seq)s or upto <= %(seq)s + %(events)s order by first_seq""",
        {"t": tenant_id, "seq": place[0], "most": _BATCHES, "events": _EVENTS},
    )
    run = await found.fetchall()
    if not run:
        return 0
    batches = [batch_id for batch_id, _ in run]
    await connection.execute(
        _HAPPENED.encode(),
        {
            "t": tenant_id,
            "mask": BATCH_MASK,
            "low": min(batches),
            "high": max(batches) | ~BATCH_MASK,
            "batches": batches,
            "kinds": [int(kind) for kind in TYPES],
            "types": [name for name, _ in TYPES.values()],
            "states": [state for _, state in TYPES.values()],
            "received": int(EventKind.CONTRIBUTION_RECEIVED),
            "suspended": int(EventKind.CONTRIBUTION_SUSPENDED),
            "resolved": int(EventKind.SUSPENSE_RESOLVED),
            "reversed": int(EventKind.CONTRIBUTION_REVERSED),
            "failed": int(EventKind.COLLECTION_FAILED),
        },
    )
    upto: int = run[-1][1]
    await connection.execute("update webhook_cursors set seq = %s where tenant_id = %s", (upto, tenant_id))
    return upto - int(place[0])


async def replay(session: AsyncSession, partner_id: int, since: datetime, *, again: bool) -> int:
    """Let what was given up or dropped since a time be sent once more, and what was never stored be read from the log anew.

    `again`: also what the endpoint has taken. Return how many messages wait anew, without those that the log brings.
    """
    connection = await driver(session)
    given = {
        "t": session.info["tenant_id"], "partner": partner_id, "since": since,
        "states": ["failed", "dropped", *(["delivered"] if again else [])],
    }  # fmt: skip
    cursor = await connection.execute(
        """update webhook_deliveries set state = 'waiting', attempts = 0, due_at = clock_timestamp(), leased_until = null, code = ''
            where tenant_id = %(t)s and partner_id = %(partner)s and created_at >= %(since)s and state = any(%(states)s)""",
        given,
    )
    count = cursor.rowcount
    await connection.execute(
        """with begins as (
             select min(q.first_seq) as seq from audit_batches q
               join batches b on b.tenant_id = q.tenant_id and b.batch_id = q.batch_id
              where q.tenant_id = %(t)s and b.recorded_at >= %(since)s),
           told as (
             update webhook_endpoints w set from_seq = least(w.from_seq, b.seq) from begins b
              where w.tenant_id = %(t)s and w.partner_id = %(partner)s and b.seq is not null)
           update webhook_cursors c set seq = least(c.seq, b.seq) from begins b where c.tenant_id = %(t)s and b.seq is not null""",
        given,
    )
    return count


# -- sending


async def pick_due(session: AsyncSession, seconds: float) -> list[Picked]:
    """Take what is due and nobody has, for `seconds`: some of each endpoint, so that none keeps the others waiting.

    The attempt counts from here on, whatever becomes of it.
    """
    connection = await driver(session)
    cursor = await connection.execute(
        """with picked as materialized (
             select x.delivery_id, w.document, w.version from webhook_endpoints w
               join partners p on p.tenant_id = w.tenant_id and p.partner_id = w.partner_id and p.status = 'active'
              cross join lateral (
                select delivery_id from webhook_deliveries d
                 where d.tenant_id = w.tenant_id and d.partner_id = w.partner_id and d.state = 'waiting'
                   and d.due_at <= clock_timestamp() and (d.leased_until is null or d.leased_until < clock_timestamp())
                 order by d.due_at limit %(most)s for update skip locked) x
              where w.tenant_id = %(t)s and w.state = 'active')
           update webhook_deliveries d set lease = d.lease + 1, attempts = d.attempts + 1,
                  leased_until = clock_timestamp() + make_interval(secs => %(seconds)s)
             from picked where d.tenant_id = %(t)s and d.delivery_id = picked.delivery_id
           returning d.delivery_id, d.partner_id, d.lease, d.attempts, d.body, picked.document, picked.version""",
        {"t": session.info["tenant_id"], "most": _PICKED, "seconds": seconds},
    )
    return [Picked(*row) for row in await cursor.fetchall()]


async def end_attempts(session: AsyncSession, ended: Sequence[Ended]) -> None:
    """Note how attempts ended; not those whose lease another has taken over."""
    connection = await driver(session)
    await connection.execute(
        """update webhook_deliveries d set state = r.state, code = r.code, leased_until = null, answered_at = clock_timestamp(),
                  due_at = clock_timestamp() + make_interval(secs => r.wait)
             from unnest(%s::uuid[], %s::int[], %s::text[], %s::text[], %s::float8[]) r(delivery_id, lease, state, code, wait)
            where d.tenant_id = %s and d.delivery_id = r.delivery_id and d.lease = r.lease and d.state = 'waiting'""",
        (
            [one.delivery_id for one in ended],
            [one.lease for one in ended],
            [one.state for one in ended],
            [one.code for one in ended],
            [one.wait_seconds for one in ended],
            session.info["tenant_id"],
        ),
    )
