"""What waits for a second person, of every kind: one statement over the tables of the capabilities below."""

from dataclasses import dataclass
from datetime import date

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from engine.ledger.rules import EventKind

# The newest event of a proposal is soon found from the end: what is proposed waits for days, not for years.
_WAITING = """
with w(kind, id, amount, maker, since, statement_id, line_no) as (
  select 'reversals', r.event_id::text, r.amount, (select a.name from actors a where a.tenant_id = r.tenant_id and a.actor_id = r.proposed_by),
         (select e.business_date from events e where e.member_id = -r.tenant_id and e.event_id > r.event_id and e.kind = :proposed
             and e.body ->> 'receipt' = r.event_id::text order by e.event_id desc limit 1), null::int, null::int
    from reversals r where r.tenant_id = :t and r.state = 'proposed'
  union all
  select 'claims', b.claim_id::text, b.amount, (select a.name from actors a where a.tenant_id = b.tenant_id and a.actor_id = b.maker),
         coalesce((b.completed_at at time zone :zone)::date, b.opened_on), null, null
    from benefit_claims b where b.tenant_id = :t and b.state = 'decided'
  union all
  select 'payouts', p.payout_id::text, p.amount, p.maker, p.made_on, null, null
    from payouts p where p.tenant_id = :t and p.state = 'created'
  union all
  select 'payrolls', r.run_no::text,
         (select coalesce(sum(g.paying), 0)::bigint from payroll_ranges g where g.tenant_id = r.tenant_id and g.run_no = r.run_no), r.maker, r.counted_on, null, null
    from payroll_runs r where r.tenant_id = :t and r.state = 'proposed'
  union all
  select 'breaks', b.proposal_id::text, l.amount, (select a.name from actors a where a.tenant_id = b.tenant_id and a.actor_id = b.proposed_by),
         (b.proposed_at at time zone :zone)::date, b.statement_id, b.line_no
    from break_proposals b join statement_lines l on l.tenant_id = b.tenant_id and l.statement_id = b.statement_id and l.line_no = b.line_no
   where b.tenant_id = :t and b.state = 'proposed'
  union all
  select 'state-money', m.claim_no::text, m.total, (select a.name from actors a where a.tenant_id = m.tenant_id and a.actor_id = m.maker),
         m.prepared_on, null, null
    from match_claims m where m.tenant_id = :t and m.state = 'prepared'
  union all
  select 'merges', m.merge_no::text, 0, (select a.name from actors a where a.tenant_id = m.tenant_id and a.actor_id = m.maker), m.asked_on, null, null
    from record_merges m where m.tenant_id = :t and m.state = 'proposed'
  union all
  select 'suspense', p.proposal_id::text, p.amount, (select a.name from actors a where a.tenant_id = p.tenant_id and a.actor_id = p.proposed_by),
         (p.proposed_at at time zone :zone)::date, null, null
    from suspense_proposals p where p.tenant_id = :t and p.state = 'proposed'
  union all
  select 'fees', f.run_no::text, f.net + f.vat + f.arrears, (select a.name from actors a where a.tenant_id = f.tenant_id and a.actor_id = f.maker),
         coalesce((select e.business_date from events e where e.member_id = -f.tenant_id and e.event_id = f.proposed_event), f.charged_on), null, null
    from fee_runs f where f.tenant_id = :t and f.state = 'proposed'
  union all
  select 'moves', v.run_no::text, null, (select a.name from actors a where a.tenant_id = v.tenant_id and a.actor_id = v.maker), v.asked_on, null, null
    from move_runs v where v.tenant_id = :t and v.state = 'proposed'
  union all
  select 'price-corrections', c.correction_no::text, null, (select a.name from actors a where a.tenant_id = c.tenant_id and a.actor_id = c.maker),
         coalesce((select e.business_date from events e where e.member_id = -c.tenant_id and e.event_id = c.proposed_event), c.price_on), null, null
    from price_corrections c where c.tenant_id = :t and c.state = 'proposed'
  union all
  select 'recounts', n.recount_no::text, null, (select a.name from actors a where a.tenant_id = n.tenant_id and a.actor_id = n.maker),
         (select e.business_date from events e where e.member_id = -n.tenant_id and e.event_id = n.proposed_event), null, null
    from recounts n where n.tenant_id = :t and n.state = 'proposed'
  union all
  select 'fund-actions', f.action_no::text, null, (select a.name from actors a where a.tenant_id = f.tenant_id and a.actor_id = f.maker),
         coalesce((select e.business_date from events e where e.member_id = -f.tenant_id and e.event_id = f.proposed_event), f.on_date), null, null
    from fund_actions f where f.tenant_id = :t and f.state = 'proposed'
  union all
  select 'figures', q.point_id::text, null, (select a.name from actors a where a.tenant_id = q.tenant_id and a.actor_id = q.proposed_by),
         (q.proposed_at at time zone :zone)::date, null, null
    from series_points q where q.tenant_id = :t and q.state = 'proposed'
  union all
  select 'pack-versions', v.proposal_id::text, null, (select a.name from actors a where a.tenant_id = v.tenant_id and a.actor_id = v.proposed_by),
         (v.proposed_at at time zone :zone)::date, null, null
    from pack_proposals v where v.tenant_id = :t and v.state = 'proposed'
  union all
  select 'openings', o.opening_no::text, null, (select a.name from actors a where a.tenant_id = o.tenant_id and a.actor_id = o.staged_by),
         (o.staged_at at time zone :zone)::date, null, null
    from openings o where o.tenant_id = :t and o.state = 'staged'
  union all
  select 'transfers-in', i.advice_id::text, i.amount, (select a.name from actors a where a.tenant_id = i.tenant_id and a.actor_id = i.maker),
         i.advised_on, null, null
    from transfers_in i where i.tenant_id = :t and i.state = 'staged'
  union all
  select 'premiums', p.run_no::text, p.due, (select a.name from actors a where a.tenant_id = p.tenant_id and a.actor_id = p.maker),
         coalesce((select e.business_date from events e where e.member_id = -p.tenant_id and e.event_id = p.proposed_event), p.charged_on), null, null
    from premium_runs p where p.tenant_id = :t and p.state = 'proposed'
  union all
  select 'hand-overs', h.run_no::text, h.total, (select a.name from actors a where a.tenant_id = h.tenant_id and a.actor_id = h.maker),
         coalesce((select e.business_date from events e where e.member_id = -h.tenant_id and e.event_id = h.proposed_event), h.handed_over_on), null, null
    from unclaimed_runs h where h.tenant_id = :t and h.state = 'proposed'
  union all
  select 'record-splits', x.split_no::text, x.total, (select a.name from actors a where a.tenant_id = x.tenant_id and a.actor_id = x.maker),
         x.asked_on, null, null
    from record_splits x where x.tenant_id = :t and x.state = 'proposed'
  union all
  select 'reopenings', d.reopening_no::text, null, (select a.name from actors a where a.tenant_id = d.tenant_id and a.actor_id = d.proposed_by),
         (d.proposed_at at time zone :zone)::date, null, null
    from reopenings d where d.tenant_id = :t and d.state = 'proposed'
  union all
  select 'pool-incomes', j.income_no::text, j.amount, (select a.name from actors a where a.tenant_id = j.tenant_id and a.actor_id = j.maker),
         coalesce((select e.business_date from events e where e.member_id = -j.tenant_id and e.event_id = j.proposed_event), j.year_from), null, null
    from pool_incomes j where j.tenant_id = :t and j.state = 'proposed'
  union all
  select 'mergers', g.merger_no::text, null, (select a.name from actors a where a.tenant_id = g.tenant_id and a.actor_id = g.maker),
         coalesce((select e.business_date from events e where e.member_id = -g.tenant_id and e.event_id = g.proposed_event), g.effective_on), null, null
    from mergers g where g.tenant_id = :t and g.state = 'proposed'
  union all
  select 'order-cancellations', k.cancellation_no::text, null, (select a.name from actors a where a.tenant_id = k.tenant_id and a.actor_id = k.maker),
         (k.proposed_at at time zone :zone)::date, null, null
    from order_cancellations k where k.tenant_id = :t and k.state = 'proposed')
select w.kind, w.id, w.amount, w.maker, coalesce(s.label, w.maker), w.since, coalesce(w.statement_id, 0), coalesce(w.line_no, 0)
  from w left join staff s on s.tenant_id = :t and 'staff:' || s.staff_id = w.maker
"""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Something that one person proposed and another decides on; `amount` in smallest units of money, None where it has none.

    `maker` is who proposed it ("staff:1"), `owner` what their post is called. Of a line that does not match,
    `statement_id` and `line_no` say which; else they are 0.
    """

    kind: str
    item: str
    amount: int | None
    maker: str
    owner: str
    since: date
    statement_id: int
    line_no: int


async def list_waiting(session: AsyncSession, kinds: list[str], *, zone: str, most: int) -> list[Waiting]:
    """Return what of these kinds waits for a second person, the oldest first; days are those of `zone`."""
    rows = await session.execute(
        text(f"{_WAITING} where w.kind = any(:kinds) order by w.since, w.kind, w.id limit :most"),
        {**_given(session, zone), "kinds": kinds, "most": most},
    )
    return [Waiting(*row) for row in rows]


async def find_waiting(session: AsyncSession, kind: str, item: str, *, zone: str) -> Waiting | None:
    """Return one of them, or None where it does not wait, or no more."""
    rows = await session.execute(
        text(f"{_WAITING} where w.kind = :kind and w.id = :item"), {**_given(session, zone), "kind": kind, "item": item}
    )
    row = rows.first()
    return None if row is None else Waiting(*row)


async def count_waiting(session: AsyncSession, kinds: list[str], *, zone: str) -> int:
    """Return how many of these kinds there are."""
    count = await session.scalar(
        text(f"select count(*) from ({_WAITING} where w.kind = any(:kinds)) all_of_them"),
        {**_given(session, zone), "kinds": kinds},
    )
    return int(count or 0)


def _given(session: AsyncSession, zone: str) -> dict[str, object]:
    return {"t": session.info["tenant_id"], "proposed": int(EventKind.REVERSAL_PROPOSED), "zone": zone}
