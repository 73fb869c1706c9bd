"""SQL of what members contributed in scheme years, by whichever day puts a payment into its year."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy.ext.asyncio import AsyncSession

from engine.ledger.rules import BATCH_MASK, EventKind
from engine.runtime.database import driver


@dataclass(frozen=True, slots=True)
class YearAsked:
    """A stretch of days of a member's product, and by which day payments are put into it."""

    member_id: int
    product: str
    counted_by: str
    since: date
    until: date


async def contributed(session: AsyncSession, asked: Sequence[YearAsked], *, today: date, zone: str) -> list[int]:
    """Return what was contributed in each stretch, in smallest units, in the order asked; of merged records together.

    Payments that were taken back, what went to other payees, and what was owed back do not count. A payment given out of
    suspense counts by the days on which it came. Where statements decide, what none has shown yet counts today. What was
    paid before the scheme was taken over counts by the day it was paid. One statement, however many are asked.

    Args:
        session: the tenant's.
        asked: which stretches, from `since` up to and without `until`.
        today: the scheme's day.
        zone: the IANA name of the zone by which the scheme counts its days.

    """
    if not asked:
        return []
    connection = await driver(session)
    cursor = await connection.execute(
        """select (select coalesce(sum((e.body ->> 'amount')::bigint - coalesce((e.body ->> 'over')::bigint, 0)
                                       - coalesce((e.body ->> 'others')::bigint, 0)), 0)::bigint
                     from records_of(w.member_id) r join events e on e.member_id = r.record_id
                     left join suspense s on e.kind = %(resolved)s and s.tenant_id = e.tenant_id
                                         and s.event_id = (e.body ->> 'resolves')::bigint
                    cross join lateral (
                      select case w.counted_by
                        when 'value' then coalesce(s.received_on, e.business_date)
                        when 'received' then (select (b.recorded_at at time zone %(zone)s)::date from batches b
                          where b.tenant_id = e.tenant_id and b.batch_id = (coalesce(nullif(s.of_event, 0), s.event_id, e.event_id) & %(mask)s))
                        else coalesce((select (b.recorded_at at time zone %(zone)s)::date from matches m
                          join batches b on b.tenant_id = m.tenant_id and b.batch_id = (m.matched_event & %(mask)s)
                         where m.member_id = case when s.event_id is null then e.member_id when s.of_event <> 0 then s.of_member else -e.tenant_id end
                           and m.event_id = coalesce(nullif(s.of_event, 0), s.event_id, e.event_id)), %(today)s) end as day) d
                    where e.kind = any(%(receipts)s::smallint[])
                      and d.day >= w.since and d.day < w.until
                      and exists (select from transfers t join chart c on c.tenant_id = t.tenant_id and c.code = t.credit
                                   where t.member_id = e.member_id and t.event_id = e.event_id and c.product = w.product)
                      and not exists (select from corrections x where x.corrects_member = e.member_id and x.corrects_event = e.event_id))
                  + (select coalesce(sum(h.minor), 0)::bigint from records_of(w.member_id) r
                      join opening_history h on h.member_id = r.record_id
                      where h.product = w.product and h.origin <> 'state-match'
                        and h.paid_on >= w.since and h.paid_on < w.until)
             from unnest(%(members)s::bigint[], %(products)s::text[], %(counted)s::text[], %(since)s::date[], %(until)s::date[])
                  with ordinality w(member_id, product, counted_by, since, until, n)
            order by w.n""",
        {
            "members": [one.member_id for one in asked],
            "products": [one.product for one in asked],
            "counted": [one.counted_by for one in asked],
            "since": [one.since for one in asked],
            "until": [one.until for one in asked],
            "receipts": [int(EventKind.CONTRIBUTION_RECEIVED), int(EventKind.SUSPENSE_RESOLVED)],
            "resolved": int(EventKind.SUSPENSE_RESOLVED),
            "mask": BATCH_MASK,
            "today": today,
            "zone": zone,
        },
    )
    return [int(row[0]) for row in await cursor.fetchall()]
