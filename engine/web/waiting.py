"""What waits for a second person, of every kind: who may decide on it, and one statement over the tables of the capabilities below."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from engine.access.rules import Caller
from engine.kernel.permissions import Permission
from engine.kernel.text import N_
from engine.ledger.rules import EventKind


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of thing that waits: what it is called, who may read it, who may decide on it."""

    label: str
    read: Permission
    decide: Permission


KINDS: Mapping[str, Kind] = {
    "suspense": Kind(N_("Owner of a payment"), Permission.CONTRIBUTIONS_READ, Permission.SUSPENSE_APPROVE),
    "reversals": Kind(N_("Payment to be taken back"), Permission.CONTRIBUTIONS_READ, Permission.REVERSALS_APPROVE),
    "claims": Kind(N_("Claim of a benefit"), Permission.CLAIMS_READ, Permission.CLAIMS_APPROVE),
    "payouts": Kind(N_("Payout"), Permission.PAYOUTS_READ, Permission.PAYOUTS_APPROVE),
    "payrolls": Kind(N_("Payroll of pensions"), Permission.PAYOUTS_READ, Permission.PAYROLL_APPROVE),
    "breaks": Kind(
        N_("Line of a statement that matches nothing"), Permission.OPERATIONS_READ, Permission.BREAKS_APPROVE
    ),
    "state-money": Kind(N_("Claim of state money"), Permission.CONTRIBUTIONS_READ, Permission.MATCH_APPROVE),
    "merges": Kind(N_("Records to be merged"), Permission.IDENTITY_DECIDE, Permission.IDENTITY_DECIDE),
    "fees": Kind(N_("Fees of a product"), Permission.OPERATIONS_READ, Permission.FEES_APPROVE),
    "moves": Kind(N_("Move between products"), Permission.CLAIMS_READ, Permission.CLAIMS_APPROVE),
    "price-corrections": Kind(N_("Correction of a price"), Permission.OPERATIONS_READ, Permission.PRICES_APPROVE),
    "recounts": Kind(
        N_("What changed rules change of what was posted"), Permission.OPERATIONS_READ, Permission.PACKS_APPROVE
    ),
}

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
    from recounts n where n.tenant_id = :t and n.state = 'proposed')
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


def readable(caller: Caller) -> list[str]:
    """Return the kinds that a member of staff may read."""
    return [kind for kind, one in KINDS.items() if caller.may(one.read)]


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
