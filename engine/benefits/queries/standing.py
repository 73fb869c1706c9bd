"""SQL of many members as they stand for claims: what they hold, what they paid in, and what they claimed before."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from engine.benefits.queries.claiming import GRANTED_CLAIM, PAID_ELSEWHERE, ClaimRow, claim_row
from engine.benefits.rules.claiming import PaidIn
from engine.ledger.rules import EventKind

Key = tuple[int, str]
"""A member's id and a product."""


@dataclass(frozen=True, slots=True)
class Stand:
    """What the books say of a member in a product: balances by pot, origin and fund, contributions, and granted claims."""

    held: dict[tuple[str, str, str], int] = field(default_factory=dict)
    paid: list[PaidIn] = field(default_factory=list)
    claims: list[ClaimRow] = field(default_factory=list)


_BEHIND = """
with who as (select * from unnest(cast(:members as bigint[]), cast(:products as text[])) w(member_id, product)),
pasts as (                                                            -- the history of products they moved out of is their own
  select w.member_id, w.product, w.product as past from who w
  union select w.member_id, w.product, s.product from who w join memberships s on s.member_id = w.member_id and s.moved_to = w.product),
behind as materialized (
  select p.member_id, p.product, p.past, r.record_id from pasts p cross join lateral records_of(p.member_id) r)
"""
_HELD = """
select w.member_id, w.product, c.pot, c.origin, c.fund, b.credits - b.debits as balance
  from unnest(cast(:members as bigint[]), cast(:products as text[])) w(member_id, product)
  join balances b on b.member_id = w.member_id
  join chart c on c.tenant_id = b.tenant_id and c.code = b.code and c.product = w.product
   and c.kind = case when w.product = any(:unitised) then 'units' else 'cash' end
 where not exists (select from pension_schedules s where s.member_id = w.member_id and s.product = w.product and s.is_running and b.code = any(s.cash))
"""
_PAID = f"""{_BEHIND}
select w.member_id, w.product, h.paid_on, h.pot, h.origin, h.minor, false as undone, 0::bigint as event_id, 0 as line
  from behind w join {PAID_ELSEWHERE} h on h.member_id = w.record_id and h.product = w.past and h.paid_on <= :on
union all
select w.member_id, w.product, e.business_date, c.pot, c.origin, (t.amount * x.sign)::bigint,
       exists (select from corrections k where k.corrects_member = e.member_id and k.corrects_event = e.event_id), e.event_id, t.line
  from behind w join transfers t on t.member_id = w.record_id
  join events e on e.event_id = t.event_id and e.member_id in (t.member_id, :house)
 cross join lateral (values (t.credit, 1), (t.debit, -1)) x(code, sign)
  join chart c on c.tenant_id = t.tenant_id and c.code = x.code and c.kind = 'cash' and c.product = w.past
 where e.business_date <= :on and (e.kind = any(:received) and x.sign = 1 or e.kind = :shared)
 order by member_id, product, paid_on, event_id, line, pot, origin
"""
_CLAIMS = f"""{_BEHIND}
select w.product as asked_for, w.member_id as asked_of, g.* from behind w
  join ({GRANTED_CLAIM}) g on g.member_id = w.record_id and g.product = w.past
 order by g.claim_id
"""


async def stands(
    session: AsyncSession, asked: Sequence[Key], *, on: date, unitised: Sequence[str]
) -> Mapping[Key, Stand]:
    """Return how members stand in products: three statements, however many. Products that are `unitised` hold units.

    Money that a running schedule pays from is left out. Contributions are those up to and with a day.
    """
    found = {key: Stand() for key in asked}
    given = {"members": [one for one, _ in asked], "products": [product for _, product in asked]}
    for row in await session.execute(text(_HELD), {**given, "unitised": list(unitised)}):
        found[row.member_id, row.product].held[row.pot, row.origin, row.fund] = row.balance
    received = [int(EventKind.CONTRIBUTION_RECEIVED), int(EventKind.SUSPENSE_RESOLVED)]
    paid = {
        **given, "on": on, "house": -session.info["tenant_id"], "received": received, "shared": int(EventKind.MATCH_SHARED),
    }  # fmt: skip
    for row in await session.execute(text(_PAID), paid):
        found[row.member_id, row.product].paid.append(PaidIn(*row[2:7]))
    claims = await session.execute(text(_CLAIMS), given)
    for mapped in claims.mappings():
        found[mapped["asked_of"], mapped["asked_for"]].claims.append(
            claim_row({name: value for name, value in mapped.items() if name not in {"asked_for", "asked_of"}})
        )
    return found
