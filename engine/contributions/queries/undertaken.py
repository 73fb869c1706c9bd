"""SQL of what members undertook to pay, and paid of it."""

from collections.abc import Sequence
from datetime import date

from sqlalchemy.ext.asyncio import AsyncSession

from engine.contributions.rules import Undertook
from engine.enrolment.rules import Undertaken
from engine.ledger.rules import BATCH_MASK, EventKind
from engine.runtime.database import driver

_STANDS = """e.business_date <= coalesce(%(until)s, e.business_date) and (%(size)s::bigint is null or exists (
  select from audit_batches b where b.tenant_id = e.tenant_id and b.batch_id = (e.event_id & %(mask)s) and b.first_seq < %(size)s))"""


async def undertook(
    session: AsyncSession, asked: Sequence[tuple[int, str]], *, until: date | None = None, log_size: int | None = None
) -> dict[tuple[int, str], Undertook]:
    """Return what members undertook in products, and what they paid of it; who undertook nothing is left out.

    Paid is what receipts that were not taken back brought of the member's own money since the first day of it, without
    charges for lateness and what was kept beyond. One statement, however many.

    Args:
        session: the tenant's.
        asked: (member_id, product).
        until: what was given and paid up to and with this day; None: all.
        log_size: what the log of this size holds; None: all there is.

    """
    if not asked:
        return {}
    connection = await driver(session)
    cursor = await connection.execute(
        f"""select w.member_id, w.product, g.given, s.entry_age, s.joined_on, p.paid
             from unnest(%(members)b::bigint[], %(products)b::text[]) w(member_id, product)
             join memberships s on s.member_id = w.member_id and s.product = w.product and s.entry_age is not null
            cross join lateral (
              select jsonb_agg(jsonb_build_array(u.slab, u.frequency, u.from_on, u.given_on) order by u.event_id) as given,
                     min(u.from_on) as since
                from records_of(w.member_id) o join undertakings u on u.member_id = o.record_id
                join events e on e.member_id = u.member_id and e.event_id = u.event_id and {_STANDS}
               where u.product = w.product
              having count(*) > 0) g
            cross join lateral (
              select coalesce(sum(r.amount - coalesce((e.body ->> 'charge')::bigint, 0) - coalesce((e.body ->> 'kept')::bigint, 0)), 0)::bigint as paid
                from records_of(w.member_id) o join events e on e.member_id = o.record_id
               cross join lateral (
                 select sum(t.amount) as amount from transfers t
                   join chart c on c.tenant_id = t.tenant_id and c.code = t.credit and c.kind = 'cash'
                    and c.product = w.product and c.origin = 'own'
                  where t.member_id = e.member_id and t.event_id = e.event_id) r
               where e.kind = any(%(receipts)b::smallint[]) and e.business_date >= g.since and {_STANDS}
                 and r.amount is not null
                 and not exists (select from corrections x join events v on v.member_id = x.member_id and v.event_id = x.event_id
                                  where x.corrects_member = e.member_id and x.corrects_event = e.event_id
                                    and {_STANDS.replace("e.", "v.")})) p""",
        {
            "members": [one for one, _ in asked],
            "products": [product for _, product in asked],
            "receipts": [int(EventKind.CONTRIBUTION_RECEIVED), int(EventKind.SUSPENSE_RESOLVED)],
            "until": until,
            "size": log_size,
            "mask": BATCH_MASK,
        },
    )
    return {
        (member_id, product): Undertook(
            given=tuple(
                Undertaken(slab, frequency, date.fromisoformat(from_on), date.fromisoformat(given_on))
                for slab, frequency, from_on, given_on in given
            ),
            entry_age=entry_age,
            joined_on=joined_on,
            paid=paid,
        )
        for member_id, product, given, entry_age, joined_on, paid in await cursor.fetchall()
    }
