"""SQL of what payments pass on to others than their member: what was deducted before, and what one receipt passed on."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy.ext.asyncio import AsyncSession

from engine.ledger.rules import EventKind
from engine.runtime.database import driver


@dataclass(frozen=True, slots=True)
class DeductionAsked:
    """Whether a rule took something from a member's payments of a product in a stretch of days, up to and without `until`."""

    member_id: int
    product: str
    rule: str
    since: date
    until: date


async def was_deducted(session: AsyncSession, asked: Sequence[DeductionAsked]) -> list[bool]:
    """Return whether each deduction was taken, in the order asked; of payments that were taken back it was not.

    A payment given out of suspense counts by the day it came. One statement, however many are asked.
    """
    if not asked:
        return []
    connection = await driver(session)
    cursor = await connection.execute(
        """select exists (
             select from records_of(w.member_id) r join events e on e.member_id = r.record_id
               left join suspense s on e.kind = %(resolved)s and s.tenant_id = e.tenant_id
                                   and s.event_id = (e.body ->> 'resolves')::bigint
              where e.kind = any(%(receipts)s::smallint[]) and e.body ? ('deducted.' || w.rule)
                and coalesce(s.received_on, e.business_date) >= w.since and coalesce(s.received_on, e.business_date) < w.until
                and exists (select from transfers t join chart c on c.tenant_id = t.tenant_id and c.code = t.credit
                             where t.member_id = e.member_id and t.event_id = e.event_id and c.product = w.product)
                and not exists (select from corrections x where x.corrects_member = e.member_id and x.corrects_event = e.event_id))
             from unnest(%(members)s::bigint[], %(products)s::text[], %(rules)s::text[], %(since)s::date[], %(until)s::date[])
                  with ordinality w(member_id, product, rule, since, until, n)
            order by w.n""",
        {
            "members": [one.member_id for one in asked],
            "products": [one.product for one in asked],
            "rules": [one.rule for one in asked],
            "since": [one.since for one in asked],
            "until": [one.until for one in asked],
            "receipts": [int(EventKind.CONTRIBUTION_RECEIVED), int(EventKind.SUSPENSE_RESOLVED)],
            "resolved": int(EventKind.SUSPENSE_RESOLVED),
        },
    )
    return [bool(row[0]) for row in await cursor.fetchall()]


async def passed_on(session: AsyncSession, member_id: int, event_id: int) -> list[tuple[int, int]]:
    """Return (code, amount in smallest units) of what a receipt passed on, by the accounts of whom it is for."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select t.credit, sum(t.amount)::bigint from transfers t
             join chart c on c.tenant_id = t.tenant_id and c.code = t.credit and c.kind = 'passed-on'
            where t.member_id = %s and t.event_id = %s group by 1 order by 1""",
        (member_id, event_id),
    )
    return [(row[0], row[1]) for row in await cursor.fetchall()]
