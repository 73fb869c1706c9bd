"""SQL of money that payments bring for others than their members: what lies there, and what of it may be paid to whom it is for."""

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from engine.benefits.rules.paying import PASSED_ON


@dataclass(frozen=True, slots=True)
class HeldFor:
    """What lies in a product for a party, in smallest units: in all, what of it no statement has shown yet, and what payouts wait for."""

    product: str
    party: str
    amount: int
    unshown: int
    waiting: int

    @property
    def payable(self) -> int:
        """Return what may be paid out now."""
        return max(self.amount - self.unshown - self.waiting, 0)


async def held_for_others(session: AsyncSession) -> list[HeldFor]:
    """Return what lies for others, by product and party; a payout that waits for its approval is not taken out yet."""
    rows = await session.execute(
        text("""with booked as (
                  select c.product, c.party, sum(s.credits - s.debits)::bigint as amount from chart c
                    join (select code, debits, credits from control_totals union all select code, debits, credits from control_deltas) s on s.code = c.code
                   where c.kind = 'passed-on' group by 1, 2),
                unshown as (
                  select c.product, c.party, sum(t.amount)::bigint as amount from chart c
                    join transfers t on t.tenant_id = c.tenant_id and t.credit = c.code
                    join events e on e.member_id = t.member_id and e.event_id = t.event_id and e.kind in (10, 12)
                    left join suspense s on e.kind = 12 and s.tenant_id = e.tenant_id and s.event_id = (e.body ->> 'resolves')::bigint
                   where c.kind = 'passed-on'
                     and not exists (select from matches m where m.member_id = case e.kind when 10 then e.member_id else coalesce(nullif(s.of_member, 0), -e.tenant_id) end
                                        and m.event_id = case e.kind when 10 then e.event_id else coalesce(nullif(s.of_event, 0), s.event_id) end)
                     and not exists (select from corrections x where x.corrects_member = e.member_id and x.corrects_event = e.event_id)
                   group by 1, 2),
                waiting as (
                  select p.product, x ->> 0 as party, sum((x ->> 2)::bigint)::bigint as amount from payouts p cross join lateral jsonb_array_elements(p.parts) x
                   where p.state = 'created' and x ->> 1 = :kind group by 1, 2)
                select b.product, b.party, b.amount, coalesce(u.amount, 0) as unshown, coalesce(w.amount, 0) as waiting
                  from booked b left join unshown u using (product, party) left join waiting w using (product, party) order by 1, 2"""),
        {"kind": PASSED_ON},
    )
    return [HeldFor(row.product, row.party, row.amount, row.unshown, row.waiting) for row in rows]
