"""SQL of the contributions: suspense, files that came, and the laws they keep."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from engine.contributions.queries.declared import LAWS as DECLARED_LAWS
from engine.contributions.queries.suspense import LAWS as SUSPENSE_LAWS
from engine.ledger.rules import BATCH_MASK, EventKind, Law
from engine.runtime.database import driver


@dataclass(frozen=True, slots=True)
class SuspenseRow:
    """A payment in suspense, with its sealed document; `of` is the receipt, as (member_id, event_id), that it is a part of."""

    event_id: int
    amount: int
    received_on: date
    reason: str
    channel: str
    document: bytes
    resolved: bool
    of: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class ToSuspend:
    """What is put into suspense by an event; of a receipt, as (member_id, event_id), where it is a part of one."""

    event_id: int
    amount: int
    received_on: date
    reason: str
    channel: str
    document: bytes
    of: tuple[int, int] = (0, 0)


async def add_suspense(session: AsyncSession, rows: Sequence[ToSuspend]) -> None:
    """Keep what is suspended."""
    columns = [
        (one.event_id, one.amount, one.received_on, one.reason, one.channel, one.document, *one.of) for one in rows
    ]
    connection = await driver(session)
    await connection.execute(
        """insert into suspense (tenant_id, event_id, amount, received_on, reason, channel, document, of_member, of_event)
           select %s, * from unnest(%s::bigint[], %s::bigint[], %s::date[], %s::text[], %s::text[], %s::bytea[],
                                    %s::bigint[], %s::bigint[])""",
        (session.info["tenant_id"], *(list(column) for column in zip(*columns, strict=True))),
    )


_SUSPENSE = """
select s.event_id, s.amount, s.received_on, s.reason, s.channel, s.document,
       r.event_id is not null or x.event_id is not null or f.event_id is not null as resolved, s.of_member, s.of_event
  from suspense s
  left join corrections x on x.tenant_id = s.tenant_id and x.corrects_member = -s.tenant_id and x.corrects_event = s.event_id
  left join suspense_resolutions r on r.tenant_id = s.tenant_id and r.event_id = s.event_id
  left join suspense_refunds f on f.tenant_id = s.tenant_id and f.event_id = s.event_id and f.home_event = 0
"""


async def list_suspense(
    session: AsyncSession, *, after: int = 0, most: int = 100, reason: str = ""
) -> list[SuspenseRow]:
    """Return unresolved payments after event `after`, oldest first; those of one reason if one is given."""
    rows = await session.execute(
        text(
            f"{_SUSPENSE} where r.event_id is null and x.event_id is null and f.event_id is null"
            " and s.event_id > :after and (:reason = '' or s.reason = :reason) order by s.event_id limit :most"
        ),
        {"after": after, "most": most, "reason": reason},
    )
    return [_suspense(row) for row in rows]


async def find_suspense(session: AsyncSession, event_id: int) -> SuspenseRow | None:
    """Return one suspended payment, resolved or not."""
    row = (await session.execute(text(f"{_SUSPENSE} where s.event_id = :e"), {"e": event_id})).first()
    return None if row is None else _suspense(row)


async def find_suspended(session: AsyncSession, event_ids: Sequence[int]) -> list[SuspenseRow]:
    """Return suspended payments, resolved or not."""
    rows = await session.execute(text(f"{_SUSPENSE} where s.event_id = any(:e)"), {"e": list(event_ids)})
    return [_suspense(row) for row in rows]


async def suspended_part(session: AsyncSession, receipt: int) -> SuspenseRow | None:
    """Return what of a receipt lies in suspense, or lay there; None where all of it was taken."""
    row = (
        await session.execute(
            text(
                f"{_SUSPENSE} where s.tenant_id = :t and s.of_event = :e and s.of_event <> 0 and s.reason in ('above-cap', 'above-due')"
            ),
            {"t": session.info["tenant_id"], "e": receipt},
        )
    ).first()
    return None if row is None else _suspense(row)


def _suspense(row: Sequence[Any]) -> SuspenseRow:
    event_id, amount, received_on, reason, channel, document, resolved, of_member, of_event = row
    of = (of_member, of_event) if of_event else None
    return SuspenseRow(event_id, amount, received_on, reason, channel, document, resolved, of)


async def hold_suspense(session: AsyncSession, event_id: int) -> SuspenseRow | None:
    """Return one suspended payment, as it stands once nobody else gives it to anybody or takes it back."""
    await session.execute(
        text("select pg_advisory_xact_lock(hashtextextended(:key, 7205))"),
        {"key": f"{session.info['tenant_id']}:{event_id}"},
    )
    return await find_suspense(session, event_id)


async def suspended_on(session: AsyncSession, event_id: int, *, zone: str) -> date:
    """Return the day, in a zone, on which the books recorded a suspended payment."""
    day: date = await session.scalar(
        text("""select (recorded_at at time zone :zone)::date from batches
                 where tenant_id = :t and batch_id = (cast(:e as bigint) & cast(:mask as bigint))"""),
        {"t": session.info["tenant_id"], "e": event_id, "mask": BATCH_MASK, "zone": zone},
    )
    return day


async def add_refund(session: AsyncSession, event_id: int, *, refunded_event: int) -> None:
    """Say by which event a suspended payment went back to whoever paid it."""
    await session.execute(
        text("insert into suspense_refunds (tenant_id, event_id, refunded_event) values (:t, :e, :r)"),
        {"t": session.info["tenant_id"], "e": event_id, "r": refunded_event},
    )


async def end_refund(session: AsyncSession, event_id: int, *, home_event: int) -> None:
    """Say by which event a suspended payment that went back came home: it is in suspense again."""
    await session.execute(
        text("""update suspense_refunds set home_event = :h
                 where tenant_id = :t and event_id = :e and home_event = 0"""),
        {"t": session.info["tenant_id"], "e": event_id, "h": home_event},
    )


async def add_resolution(
    session: AsyncSession, event_id: int, *, resolved_event: int, member_id: int, earned_event: int = 0
) -> None:
    """Say which member a suspended payment was given to, by which event, and by which what it earned; 0 for nothing."""
    await session.execute(
        text("""insert into suspense_resolutions (tenant_id, event_id, resolved_event, member_id, earned_event)
                values (:t, :e, :r, :m, :earned)"""),
        {
            "t": session.info["tenant_id"],
            "e": event_id,
            "r": resolved_event,
            "m": member_id,
            "earned": earned_event,
        },
    )


async def wait_for_match(session: AsyncSession, event_id: int, collected: int) -> None:
    """Let the cash of a suspended payment go into a dealing once it is a member's, and its first receipt was matched."""
    await session.execute(
        text("""insert into unallocated (tenant_id, member_id, event_id, collected, reason)
                values (:t, -cast(:t as int), :e, :c, 'suspended')"""),
        {"t": session.info["tenant_id"], "e": event_id, "c": collected},
    )


async def claimed(session: AsyncSession, digests: Sequence[UUID]) -> dict[UUID, int]:
    """Return which of those claims are taken already, each with the event that took it."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select c.digest, c.event_id from unnest(%b::uuid[]) w(digest)
            cross join lateral (select digest, event_id from claims where digest = w.digest limit 1) c""",
        (list(digests),),
    )
    return dict(await cursor.fetchall())


async def paid_and_held(session: AsyncSession, asked: Sequence[tuple[int, str, date, date]]) -> list[tuple[int, int]]:
    """Return (paid, held) in smallest units of each (member_id, product, since, until), in the order asked.

    Paid is what came as the member's own from `since` up to and without `until`, net of what was taken back, in a scheme taken
    over too; held is the balance of now, units at their fund's last price, rounded down. One statement, however many.
    """
    connection = await driver(session)
    cursor = await connection.execute(
        """select (select coalesce(sum(t.amount * x.sign), 0)::bigint
                     from records_of(w.member_id) r join events e on e.member_id = r.record_id
                     join transfers t on t.member_id = e.member_id and t.event_id = e.event_id
                    cross join lateral (values (t.credit, 1), (t.debit, -1)) x(code, sign)
                     join chart c on c.tenant_id = t.tenant_id and c.code = x.code and c.kind = 'cash'
                      and c.product = w.product and c.origin = 'own'
                    where e.kind = any(%b::smallint[])
                      and e.business_date >= w.since and e.business_date < w.until)
                  + (select coalesce(sum(h.minor), 0)::bigint from records_of(w.member_id) r
                      join opening_history h on h.member_id = r.record_id
                      where h.product = w.product and h.origin = 'own'
                        and h.paid_on >= w.since and h.paid_on < w.until),
                  (select coalesce(sum(case when c.kind = 'cash' then b.credits - b.debits
                            else div((b.credits - b.debits)::numeric * p.digits * 10::numeric ^ greatest(m.scale - f.unit_scale - p.scale, 0),
                                     10::numeric ^ greatest(f.unit_scale + p.scale - m.scale, 0)) end), 0)::bigint
                     from balances b
                     join chart c on c.tenant_id = b.tenant_id and c.code = b.code and c.product = w.product
                      and c.kind in ('cash', 'units')
                     join assets m on m.tenant_id = b.tenant_id and m.asset_id = 1
                     left join funds f on f.tenant_id = b.tenant_id and f.code = c.fund
                     left join lateral (select digits, scale from prices p where p.tenant_id = f.tenant_id and p.fund_id = f.fund_id
                                           and p.state = 'accepted' order by p.price_on desc, p.file_id desc limit 1) p on true
                    where b.member_id = w.member_id)
             from unnest(%b::bigint[], %b::text[], %b::date[], %b::date[]) with ordinality w(member_id, product, since, until, n)
            order by w.n""",
        (
            [
                int(EventKind.CONTRIBUTION_RECEIVED),
                int(EventKind.SUSPENSE_RESOLVED),
                int(EventKind.CONTRIBUTION_REVERSED),
            ],
            *([row[place] for row in asked] for place in range(4)),
        ),
    )
    return [(row[0], row[1]) for row in await cursor.fetchall()]


async def add_file(
    session: AsyncSession, *, name: str, sha256: str, actor: str, imported_at: datetime, document: bytes
) -> datetime | None:
    """Keep a file as it came; return when the same bytes first came, None if now."""
    added = await session.scalar(
        text("""insert into contribution_files (tenant_id, imported_at, sha256, name, actor, document)
                values (:t, :at, :sha, :name, :actor, :document)
                on conflict (tenant_id, sha256) do nothing returning imported_at"""),
        {
            "t": session.info["tenant_id"],
            "at": imported_at,
            "sha": sha256,
            "name": name,
            "actor": actor,
            "document": document,
        },
    )
    if added is not None:
        return None
    first: datetime = await session.scalar(
        text("select imported_at from contribution_files where sha256 = :sha"), {"sha": sha256}
    )
    return first


# -- collections


@dataclass(frozen=True, slots=True)
class CollectionRow:
    """A request for a payment: its sealed document, how far its exchange is, and how the payment was posted."""

    reference: UUID
    body_digest: int
    asked_at: datetime
    document: bytes
    outcome: str
    reason: str
    posted: str
    event_id: int
    paid: int
    refusal: str


async def add_collection(
    session: AsyncSession,
    *,
    reference: UUID,
    key_digest: UUID,
    body_digest: int,
    member_id: int,
    amount: int,
    channel: str,
    account: str,
    document: bytes,
) -> None:
    """Keep a request for a payment."""
    await session.execute(
        text("""insert into collections (tenant_id, reference, key_digest, body_digest, member_id, amount, channel, account,
                                         document)
                values (:t, :reference, :key, :body, :member, :amount, :channel, :account, :document)"""),
        {
            "t": session.info["tenant_id"],
            "reference": reference,
            "key": key_digest,
            "body": body_digest,
            "member": member_id,
            "amount": amount,
            "channel": channel,
            "account": account,
            "document": document,
        },
    )


async def lock_key(session: AsyncSession, key_digest: UUID) -> None:
    """Let nobody else use this key until the end of the transaction."""
    number = int.from_bytes(key_digest.bytes[:8], "big", signed=True)
    await session.execute(text("select pg_advisory_xact_lock(:number)"), {"number": number})


_COLLECTION = """
select c.reference, c.body_digest, c.asked_at, c.document, e.outcome, e.reason, coalesce(p.state, ''),
       coalesce(p.event_id, 0), coalesce(p.amount, 0), coalesce(p.reason, '')
  from collections c join exchanges e on e.tenant_id = c.tenant_id and e.reference = c.reference
  left join collected p on p.tenant_id = c.tenant_id and p.reference = c.reference
"""


async def find_collection(
    session: AsyncSession, *, reference: UUID | None = None, key_digest: UUID | None = None
) -> CollectionRow | None:
    """Return a request for a payment by our reference or by its sender's key."""
    row = (
        await session.execute(
            text(
                f"""{_COLLECTION} where c.tenant_id = :t
                      and (c.reference = cast(:reference as uuid) or c.key_digest = cast(:key as uuid))"""
            ),
            {"t": session.info["tenant_id"], "reference": reference, "key": key_digest},
        )
    ).first()
    return None if row is None else CollectionRow(*row)


async def find_asked(session: AsyncSession, channel: str, account: str) -> tuple[UUID, bytes] | None:
    """Return (reference, sealed document) of the request for a payment that gave the payer this account."""
    row = (
        await session.execute(
            text("""select reference, document from collections
                     where tenant_id = :t and account = :account and account <> '' and channel = :channel and document <> ''"""),
            {"t": session.info["tenant_id"], "account": account, "channel": channel},
        )
    ).first()
    return None if row is None else (row[0], bytes(row[1]))


async def add_collected(session: AsyncSession, reference: UUID, channel: str, document: bytes) -> None:
    """Keep a payment that its counterparty has confirmed, to be posted."""
    await session.execute(
        text("""insert into collected (tenant_id, reference, channel, document)
                values (:t, :reference, :channel, :document)"""),
        {"t": session.info["tenant_id"], "reference": reference, "channel": channel, "document": document},
    )


async def waiting_payments(session: AsyncSession, *, most: int) -> list[tuple[int, UUID, bytes]]:
    """Return (number, reference, sealed document) of confirmed payments that are not posted yet, oldest first."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select collected_id, reference, document from collected
            where tenant_id = %s and state = 'waiting' order by collected_id limit %s""",
        (session.info["tenant_id"], most),
    )
    return list(await cursor.fetchall())


async def mark_posted(session: AsyncSession, rows: Sequence[tuple[int, str, int, int, str]]) -> None:
    """Note how payments were posted: (number, state, event_id, amount, reason) of each."""
    connection = await driver(session)
    await connection.execute(
        """update collected c set state = w.state, event_id = w.event_id, amount = w.amount, reason = w.reason,
                  posted_at = clock_timestamp()
             from unnest(%s::bigint[], %s::text[], %s::bigint[], %s::bigint[], %s::text[])
                  w(collected_id, state, event_id, amount, reason)
            where c.tenant_id = %s and c.collected_id = w.collected_id and c.state = 'waiting'""",
        (*(list(column) for column in zip(*rows, strict=True)), session.info["tenant_id"]),
    )


async def unsettled(
    session: AsyncSession, operations: Sequence[str], *, minutes: int, most: int
) -> list[tuple[UUID, str, str, str, datetime]]:
    """Return (reference, channel, why, reason, since) of what people must look at, oldest first."""
    rows = await session.execute(
        text("""select reference, split_part(counterparty, '.', 1),
                       case when code = 'twice-claimed' then code else 'unknown' end, reason, opened_at as since
                  from exchanges
                 where tenant_id = :t and outcome = 'sent' and operation = any (:operations)
                   and (code = 'twice-claimed' or opened_at < clock_timestamp() - make_interval(mins => :minutes))
                union all
                select reference, channel, 'refused', reason, confirmed_at from collected
                 where tenant_id = :t and state = 'refused'
                 order by since limit :most"""),
        {"t": session.info["tenant_id"], "operations": list(operations), "minutes": minutes, "most": most},
    )
    return [(row[0], row[1], row[2], row[3], row[4]) for row in rows]


@dataclass(frozen=True, slots=True)
class DecidedCohort:
    """Receipts of one day that one set of rules decided, for members of a product who joined on one day."""

    product: str
    joined_on: date
    business_date: date
    decision: int
    rules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DecidedReceipt:
    """A receipt as it stands: what came for the member, what is in which pot of it, the units that each pot's part bought, by fund, and its money's origin.

    It is waiting while its money is on its way into a fund.
    """

    member_id: int
    event_id: int
    amount: int
    pots: Mapping[str, int]
    units: Mapping[str, Mapping[str, int]]
    is_waiting: bool
    origin: str


# What receipts, as `found` has them, put into which pot and bought there, as they stand now.
_STANDING = """
split as (
  select f.member_id, f.event_id, c.pot, min(c.origin) as origin, sum(t.amount)::bigint as amount from found f
    join transfers t on t.member_id = f.member_id and t.event_id = f.event_id
    join chart c on c.tenant_id = t.tenant_id and c.code = t.credit and c.kind = 'cash' group by 1, 2, 3),
bought as (
  select f.member_id, f.event_id, c.pot, u.code as fund, bool_or(o.state is distinct from 'priced') as waits,
         sum(case when o.state = 'priced' then units_since(%(t)s, a.fund_id, o.price_on, floor_units(a.amount,
               (10::numeric ^ greatest(u.unit_scale + o.scale - m.scale, 0))::bigint,
               (o.digits * 10::numeric ^ greatest(m.scale - u.unit_scale - o.scale, 0))::bigint)) else 0 end)::bigint as units
    from found f join allocations a on a.member_id = f.member_id and a.event_id = f.event_id
    join chart c on c.tenant_id = a.tenant_id and c.code = a.code
    join assets m on m.tenant_id = a.tenant_id and m.asset_id = a.code >> 12
    join funds u on u.tenant_id = a.tenant_id and u.fund_id = a.fund_id
    left join orders o on o.tenant_id = a.tenant_id and o.dealing_id = a.dealing_id and o.fund_id = a.fund_id
   group by 1, 2, 3, 4)
select f.member_id, f.event_id, f.amount,
       coalesce(f.pots, (select jsonb_object_agg(pot, amount) from split s
                          where s.member_id = f.member_id and s.event_id = f.event_id), '{}'),
       coalesce(f.units, (select jsonb_object_agg(pot, per) from (
         select pot, jsonb_object_agg(fund, units) as per from bought b
          where b.member_id = f.member_id and b.event_id = f.event_id group by pot) p), '{}'),
       coalesce((select bool_or(waits) from bought b where b.member_id = f.member_id and b.event_id = f.event_id),
                exists (select from dealings d where d.tenant_id = %(t)s and d.product = %(product)s)),
       coalesce((select min(origin) from split s where s.member_id = f.member_id and s.event_id = f.event_id), '')
  from found f order by f.member_id, f.event_id
"""


def _receipt(row: Sequence[Any]) -> DecidedReceipt:
    return DecidedReceipt(
        row[0],
        row[1],
        row[2],
        {pot: int(one) for pot, one in row[3].items()},
        {pot: {fund: int(one) for fund, one in bought.items()} for pot, bought in row[4].items()},
        row[5],
        row[6],
    )


async def decided_cohorts(session: AsyncSession, since: date) -> list[DecidedCohort]:
    """Return the cohorts of receipts of business dates from `since` on, by what last decided them."""
    rows = await session.execute(
        text("""select s.product, s.joined_on, e.business_date, last.decision, d.trace -> 'rules'
                  from events e
                  left join lateral (
                    select r.decision from recomputations c
                      join events r on r.member_id = c.member_id and r.event_id = c.by_event
                     where c.member_id = e.member_id and c.event_id = e.event_id order by c.by_event desc limit 1) again on true
                  cross join lateral (select coalesce(again.decision, e.decision) as decision) last
                  join decisions d on d.tenant_id = e.tenant_id and d.decision_id = last.decision
                  join memberships s on s.member_id = e.member_id and s.product = d.trace ->> 'product' and s.moved_to = ''
                 where e.tenant_id = :t and e.kind = :kind and e.business_date >= :since
                 group by 1, 2, 3, 4, 5 order by 3, 1, 2, 4"""),
        {"t": session.info["tenant_id"], "kind": int(EventKind.CONTRIBUTION_RECEIVED), "since": since},
    )
    return [DecidedCohort(row[0], row[1], row[2], row[3], tuple(row[4])) for row in rows]


async def decided_receipts(
    session: AsyncSession, cohort: DecidedCohort, *, after: tuple[int, int], most: int, pack: int
) -> list[DecidedReceipt]:
    """Return a cohort's receipts after (member_id, event_id), those that `pack` has not decided yet."""
    connection = await driver(session)
    cursor = await connection.execute(
        f"""with found as materialized (
             select e.member_id, e.event_id, (e.body ->> 'amount')::bigint - coalesce((e.body ->> 'others')::bigint, 0) as amount, again.pots, again.units
               from memberships s join events e on e.member_id = s.member_id
               left join lateral (
                 select r.body -> 'pots' as pots, r.body -> 'units' as units, r.decision from recomputations c
                   join events r on r.member_id = c.member_id and r.event_id = c.by_event
                  where c.member_id = e.member_id and c.event_id = e.event_id order by c.by_event desc limit 1) again on true
              where s.tenant_id = %(t)s and s.product = %(product)s and s.joined_on = %(joined)s and s.moved_to = ''
                and e.kind = %(kind)s and e.business_date = %(day)s and coalesce(again.decision, e.decision) = %(decision)s
                and (e.member_id, e.event_id) > (%(member)s, %(event)s)
                and not exists (select from recomputations c where c.member_id = e.member_id and c.event_id = e.event_id
                                   and c.pack = %(pack)s)
                and not exists (select from corrections x where x.corrects_member = e.member_id and x.corrects_event = e.event_id)
                and not exists (select from reversals v where v.tenant_id = e.tenant_id and v.event_id = e.event_id
                                   and v.state in ('waiting', 'selling'))
              order by e.member_id, e.event_id limit %(most)s),
           {_STANDING}""",
        {
            "t": session.info["tenant_id"],
            "product": cohort.product,
            "joined": cohort.joined_on,
            "kind": int(EventKind.CONTRIBUTION_RECEIVED),
            "day": cohort.business_date,
            "decision": cohort.decision,
            "member": after[0],
            "event": after[1],
            "pack": pack,
            "most": most,
        },
    )
    return [_receipt(row) for row in await cursor.fetchall()]


async def standing_receipt(session: AsyncSession, member_id: int, event_id: int, product: str) -> DecidedReceipt:
    """Return one receipt, or resolution of a suspended payment, as it stands now."""
    connection = await driver(session)
    cursor = await connection.execute(
        f"""with found as materialized (
             select e.member_id, e.event_id, (e.body ->> 'amount')::bigint - coalesce((e.body ->> 'others')::bigint, 0) as amount, again.pots, again.units
               from events e
               left join lateral (
                 select r.body -> 'pots' as pots, r.body -> 'units' as units from recomputations c
                   join events r on r.member_id = c.member_id and r.event_id = c.by_event and not r.body ? 'refusal'
                  where c.member_id = e.member_id and c.event_id = e.event_id order by c.by_event desc limit 1) again on true
              where e.member_id = %(member)s and e.event_id = %(event)s),
           {_STANDING}""",
        {"t": session.info["tenant_id"], "member": member_id, "event": event_id, "product": product},
    )
    (row,) = await cursor.fetchall()
    return _receipt(row)


# -- payments taken back


@dataclass(frozen=True, slots=True)
class ReversalRow:
    """A receipt that is taken back, in the caller's words of `contributions.service.reversing`. Amounts in smallest units.

    `member_id` is who holds it, the house while nobody does; `event_id` is that of the receipt as it came; `owed` by pot is what the member no longer had.
    `given_to` is the member whose it is, 0 where it leaves the scheme; `held_event` is by which it lies in suspense for them, and
    `refused` why it stays there.
    """

    reversal_id: int
    member_id: int
    event_id: int
    amount: int
    reason: str
    state: str
    proposed_by: str
    sale_event: int
    reversed_event: int
    owed: Mapping[str, int]
    difference: int
    difference_to: str
    given_to: int = 0
    held_event: int = 0
    refused: str = ""


_REVERSALS = """
select v.reversal_id, v.member_id, v.event_id, v.amount, v.reason, v.state, a.name, v.sale_event, v.reversed_event, v.owed, v.difference,
       v.difference_to, v.given_to, v.held_event, v.refused
  from reversals v join actors a on a.tenant_id = v.tenant_id and a.actor_id = v.proposed_by
"""


async def add_reversal(
    session: AsyncSession, *, member_id: int, event_id: int, amount: int, reason: str, by: int, given_to: int
) -> bool:
    """Propose to take a receipt back, for another member if one is given (0: none); return whether nobody has before."""
    added = await session.scalar(
        text("""insert into reversals (tenant_id, member_id, event_id, amount, reason, proposed_by, given_to)
                values (:t, :m, :e, :amount, :reason, :by, :to)
                on conflict (tenant_id, event_id) where state <> 'rejected' do nothing returning reversal_id"""),
        {
            "t": session.info["tenant_id"],
            "m": member_id,
            "e": event_id,
            "amount": amount,
            "reason": reason,
            "by": by,
            "to": given_to,
        },
    )
    return added is not None


async def hold_reversal(session: AsyncSession, event_id: int) -> ReversalRow | None:
    """Return the last proposal to take a receipt back; nobody else can decide on it until the session ends."""
    row = (
        await session.execute(
            text(f"""{_REVERSALS} where v.tenant_id = :t and v.event_id = :e
                     order by v.reversal_id desc limit 1 for update of v"""),
            {"t": session.info["tenant_id"], "e": event_id},
        )
    ).first()
    return None if row is None else ReversalRow(*row)


async def open_reversals(session: AsyncSession) -> list[tuple[int, int]]:
    """Return (member_id, receipt) whose taking back waits for a price, the oldest proposal first."""
    rows = await session.execute(
        text("""select member_id, event_id from reversals where tenant_id = :t and state in ('waiting', 'selling')
                 order by reversal_id"""),
        {"t": session.info["tenant_id"]},
    )
    return [(row.member_id, row.event_id) for row in rows]


async def save_reversal(session: AsyncSession, row: ReversalRow, *, decided_by: int | None = None) -> None:
    """Keep how far the taking back has come; `decided_by` where it was decided now."""
    await session.execute(
        text("""update reversals set state = :state, member_id = :m, sale_event = :sale, reversed_event = :reversed, owed = cast(:owed as jsonb),
                       difference = :difference, difference_to = :to, held_event = :held, refused = :refused,
                       decided_by = coalesce(:by, decided_by)
                 where tenant_id = :t and reversal_id = :id"""),
        {
            "t": session.info["tenant_id"],
            "id": row.reversal_id,
            "m": row.member_id,
            "state": row.state,
            "sale": row.sale_event,
            "reversed": row.reversed_event,
            "owed": msgspec.json.encode(row.owed).decode(),
            "difference": row.difference,
            "to": row.difference_to,
            "held": row.held_event,
            "refused": row.refused,
            "by": decided_by,
        },
    )


@dataclass(frozen=True, slots=True)
class CameAs:
    """A receipt as it came: the account that took it, and whose it is now, by which event; None while in suspense.

    `bearer` is the record that the holder's was merged into, or the holder's own; 0 while in suspense.
    `of_member` and `of_event` are the receipt by which its money came: its own, or of what was posted to a wrong member the first one.
    """

    kind: int
    event_id: int
    amount: int
    channel: str
    came_on: date
    collected: int
    holder: int | None
    bearer: int
    holder_event: int
    product: str
    origin: str
    of_member: int
    of_event: int

    @property
    def of(self) -> tuple[int, int]:
        """Return the key of the receipt by which its money came."""
        return self.of_member, self.of_event


async def came_as(session: AsyncSession, receipt: int) -> CameAs | None:
    """Return a receipt by its event: received, suspended, or the resolution of a suspended one."""
    row = (
        await session.execute(
            text("""select first.kind, first.event_id,
                           (first.body ->> 'amount')::bigint - coalesce((first.body ->> 'over')::bigint, 0), first.body ->> 'channel',
                           coalesce(s.received_on, first.business_date), min(t.debit),
                           case when first.kind = 10 then first.member_id else r.member_id end,
                           coalesce((select g.into_id from merged_records g where g.member_id = case when first.kind = 10 then first.member_id else r.member_id end),
                                    case when first.kind = 10 then first.member_id else r.member_id end, 0),
                           case when first.kind = 10 then first.event_id else coalesce(r.resolved_event, 0) end,
                           coalesce((select min(c.product) from transfers u
                                       join chart c on c.tenant_id = u.tenant_id and c.code = u.credit and c.kind in ('cash', 'passed-on')
                                      where (u.member_id, u.event_id) = (case when first.kind = 10 then first.member_id else r.member_id end,
                                             case when first.kind = 10 then first.event_id else r.resolved_event end)), ''),
                           coalesce((select min(c.origin) from transfers u
                                       join chart c on c.tenant_id = u.tenant_id and c.code = u.credit and c.kind = 'cash'
                                      where (u.member_id, u.event_id) = (case when first.kind = 10 then first.member_id else r.member_id end,
                                             case when first.kind = 10 then first.event_id else r.resolved_event end)), ''),
                           t.member_id, t.event_id
                      from events asked
                      join events first on first.tenant_id = asked.tenant_id
                       and first.event_id = case when asked.kind = 12 then (asked.body ->> 'resolves')::bigint else asked.event_id end
                      left join suspense s on first.kind = 265 and s.tenant_id = first.tenant_id and s.event_id = first.event_id
                      join transfers t on t.member_id = coalesce(s.of_member, first.member_id) and t.event_id = coalesce(s.of_event, first.event_id)
                      left join suspense_resolutions r on r.tenant_id = first.tenant_id and r.event_id = first.event_id
                     where asked.event_id = :e and asked.kind in (10, 11, 12, 265) and first.kind in (10, 11, 265)
                     group by first.kind, first.event_id, first.body, first.member_id, first.business_date, s.received_on, t.member_id, t.event_id,
                              r.member_id, r.resolved_event"""),
            {"e": receipt},
        )
    ).first()
    return None if row is None else CameAs(*row)


async def allocated_by_fund(session: AsyncSession, member_id: int, event_id: int) -> dict[str, int]:
    """Return what of a receipt went into each fund, in smallest units of money."""
    rows = await session.execute(
        text("""select f.code, sum(a.amount)::bigint as amount from allocations a
                  join funds f on f.tenant_id = a.tenant_id and f.fund_id = a.fund_id
                 where a.member_id = :m and a.event_id = :e group by 1 order by 1"""),
        {"m": member_id, "e": event_id},
    )
    return {row.code: row.amount for row in rows}


async def add_recomputations(session: AsyncSession, done: Sequence[tuple[int, int, int]], *, pack: int) -> None:
    """Note by which event a pack version decided each receipt again: (member_id, event_id, by_event)."""
    connection = await driver(session)
    await connection.execute(
        """insert into recomputations (member_id, event_id, by_event, tenant_id, pack)
           select w.member_id, w.event_id, w.by_event, %s, %s
             from unnest(%b::bigint[], %b::bigint[], %b::bigint[]) w(member_id, event_id, by_event)""",
        (
            session.info["tenant_id"],
            pack,
            [one for one, _, _ in done],
            [one for _, one, _ in done],
            [one for _, _, one in done],
        ),
    )


LAWS: tuple[Law, ...] = (
    *SUSPENSE_LAWS,
    *DECLARED_LAWS,
    Law(
        "suspense-is-kept",
        "every suspended payment's document is kept, and the suspense accounts hold what is not resolved",
        """
        with held as (
          select s.channel, sum(s.amount)::bigint as amount from suspense s
           where not exists (select from suspense_resolutions r where r.event_id = s.event_id)
             and not exists (select from corrections x where x.corrects_member = -s.tenant_id and x.corrects_event = s.event_id)
             and not exists (select from suspense_refunds f where f.event_id = s.event_id and f.home_event = 0)
           group by s.channel),
        booked as (
          select c.party as channel, sum(case when t.credit = c.code then t.amount else -t.amount end)::bigint as amount
            from chart c join transfers t on t.credit = c.code or t.debit = c.code
           where c.kind = 'suspense' group by c.party)
        select format('suspense of %s', channel), coalesce(h.amount, 0)::text, coalesce(b.amount, 0)::text
          from held h full join booked b using (channel) where coalesce(h.amount, 0) <> coalesce(b.amount, 0)
        """,
    ),
    Law(
        "what-is-over-lies-apart",
        "what a receipt brought beyond the most of its year, or all that was due, was put into suspense, all of it and once",
        """
        with apart as (
          select of_member, of_event, sum(amount)::bigint as amount from suspense where of_event <> 0 and reason in ('above-cap', 'above-due') group by 1, 2)
        select format('event %s', coalesce(e.event_id, a.of_event)), coalesce(e.body ->> 'over', '0'), coalesce(a.amount, 0)::text
          from (select member_id, event_id, body from events where kind = 10 and body ? 'over') e
          full join apart a on a.of_member = e.member_id and a.of_event = e.event_id
         where coalesce((e.body ->> 'over')::bigint, 0) <> coalesce(a.amount, 0)
        """,
    ),
    Law(
        "what-is-passed-on-is-held",
        "what lies apart for others than members is what receipts that stand brought for them, less what was paid to them",
        """
        with told as (
          select coalesce(sum(coalesce((e.body ->> 'others')::bigint, 0)
                              + coalesce((select sum(d.value::bigint) from jsonb_each_text(e.body) d where d.key like 'deducted.%'), 0)), 0) as amount
            from events e where e.kind in (10, 12)
             and not exists (select from corrections x where x.corrects_member = e.member_id and x.corrects_event = e.event_id)),
        paid as (
          select coalesce(sum((x ->> 2)::bigint), 0) as amount from payouts p cross join lateral jsonb_array_elements(p.parts) x
           where x ->> 1 = 'passed-on' and p.approved_event <> 0 and p.home_event = 0),
        booked as (
          select coalesce(sum(case when t.credit = c.code then t.amount else -t.amount end), 0) as amount
            from chart c join transfers t on c.code in (t.debit, t.credit) where c.kind = 'passed-on')
        select 'money for others', (told.amount - paid.amount)::text, booked.amount::text from told, paid, booked where told.amount - paid.amount <> booked.amount
        """,
    ),
    Law(
        "collected-money-is-posted",
        "what a counterparty has confirmed is kept to be posted, and what was posted of it is in the books",
        """
        select format('exchange %s', e.reference), 'kept', 'missing' from exchanges e
         where e.outcome = 'succeeded' and e.operation in ('collections', 'payments-in')
           and not exists (select from collected c where c.tenant_id = e.tenant_id and c.reference = e.reference)
        union all
        select format('payment %s', c.reference), c.amount::text, coalesce(v.body ->> 'amount', 'missing')
          from collected c left join events v on v.event_id = c.event_id and v.kind in (10, 11)
         where c.event_id <> 0 and (v.body ->> 'amount') is distinct from c.amount::text
        """,
    ),
    Law(
        "reversals-give-back-the-whole",
        "every payment taken back left the account it came by, or lies in suspense for another member, whole and once; what members owe of it is told for each",
        """
        select format('receipt %s', v.event_id), v.amount::text, coalesce(t.amount, 0)::text
          from reversals v left join lateral (
            select sum(t.amount) as amount from transfers t
              join chart c on c.tenant_id = t.tenant_id and c.code = t.credit
               and c.kind = case when v.given_to = 0 then 'collections' else 'suspense' end
             where t.member_id = v.member_id and t.event_id = v.reversed_event) t on true
         where v.state = 'reversed' and v.amount is distinct from t.amount
        union all
        select format('receipt %s', v.event_id), 'in suspense for its member', coalesce(s.of_event::text, 'not there')
          from reversals v left join suspense s on s.tenant_id = v.tenant_id and s.event_id = v.held_event and s.reason = 'wrong-member'
         where v.state = 'reversed' and v.given_to <> 0 and s.event_id is null
        union all
        select 'what members owe', o.owed::text, b.booked::text from
          (select coalesce(sum(p.value::bigint), 0) as owed from reversals v cross join jsonb_each_text(v.owed) p
            where v.state = 'reversed') o,
          (select coalesce(sum(case when t.debit = c.code then t.amount else -t.amount end), 0) as booked
             from chart c join transfers t on c.code in (t.debit, t.credit) where c.kind = 'recoverable') b
         where o.owed <> b.booked
        union all
        select format('what reversals took from %s', coalesce(o.role, b.role)), coalesce(o.took, 0)::text, coalesce(b.booked, 0)::text from
          (select difference_to as role, sum(difference) as took from reversals where state = 'reversed' and difference <> 0 group by 1) o
          full join
          (select c.party as role, sum(case when t.debit = c.code then t.amount else -t.amount end) as booked
             from chart c join transfers t on c.code in (t.debit, t.credit) where c.kind = 'reversal-difference' group by 1) b
            on b.role = o.role
         where coalesce(o.took, 0) <> coalesce(b.booked, 0)
        """,
    ),
    Law(
        "contributions-add-up",
        "the transfers of a contribution add up to what its event says was paid",
        """
        select format('event %s', e.event_id), e.body ->> 'amount', coalesce(sum(t.amount), 0)::text
          from events e left join transfers t on t.member_id = e.member_id and t.event_id = e.event_id
         where e.kind in (10, 11)
         group by e.event_id, e.body having coalesce(sum(t.amount), 0)::text <> (e.body ->> 'amount')
        """,
    ),
    Law(
        "state-money-is-what-was-shared",
        "what members were given or gave back of state money is what was noted for their claims",
        """
        with booked as (
          select t.member_id, t.event_id, sum(case when t.debit = c.code then t.amount else -t.amount end) as minor
            from chart c join transfers t on c.code in (t.debit, t.credit) and t.member_id > 0
           where c.kind = 'state-match-receivable' group by 1, 2),
        noted as (select member_id, event_id, sum(minor) as minor from match_shares group by 1, 2 having sum(minor) <> 0)
        select format('member %s, event %s', to_hex(member_id), event_id), coalesce(n.minor, 0)::text, coalesce(b.minor, 0)::text
          from noted n full join booked b using (member_id, event_id) where coalesce(n.minor, 0) <> coalesce(b.minor, 0)
        """,
    ),
    Law(
        "forfeitures-pay-part-of-claims",
        "what claims of state money were paid out of what members forfeited left that account as they were sent",
        """
        with booked as (
          select m.claim_no, coalesce(sum(t.amount) filter (where d.kind = 'forfeitures' and k.kind = 'state-match-receivable'), 0) as minor
            from match_claims m join transfers t on t.member_id = -m.tenant_id and t.event_id = m.decided_event
            join chart d on d.code = t.debit join chart k on k.code = t.credit group by 1)
        select format('claim %s', m.claim_no), m.forfeited::text, coalesce(b.minor, 0)::text
          from match_claims m left join booked b using (claim_no)
         where m.state in ('sent', 'settled') and m.forfeited <> coalesce(b.minor, 0)
        """,
    ),
    Law(
        "claims-are-their-lines",
        "a claim comes to its lines, no line is given more than it asks, and a claim's members never have more than was paid for it",
        """
        with lines as (
          select claim_no, count(*) as n, sum(minor) as total from match_claim_lines group by 1),
        shares as (
          select claim_no, sum(minor - uncovered) as net from match_shares group by 1)
        select format('claim %s', m.claim_no), format('%s lines, %s, received %s', m.lines, m.total + m.forfeited, m.received + m.forfeited),
               format('%s lines, %s, shared %s', coalesce(l.n, 0), coalesce(l.total, 0), coalesce(s.net, 0))
          from match_claims m left join lines l using (claim_no) left join shares s using (claim_no)
         where m.lines <> coalesce(l.n, 0) or m.total + m.forfeited <> coalesce(l.total, 0) or coalesce(s.net, 0) > m.received + m.forfeited
        union all
        select format('claim %s, member %s', l.claim_no, to_hex(l.member_id)), l.minor::text, s.minor::text
          from match_claim_lines l
          join (select claim_no, member_id, year_from, sum(minor - uncovered) as minor from match_shares group by 1, 2, 3) s using (claim_no, member_id, year_from)
         where abs(s.minor) > abs(l.minor) or sign(s.minor) <> sign(l.minor)
        """,
    ),
)
