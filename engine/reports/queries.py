"""SQL of the reports: a member's books as they stood at a date, as known in a log of a size."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from engine.kernel.prices import Price
from engine.ledger.rules import BATCH_MASK, EventKind
from engine.reports.rules import Allocation, Movement

# What stood in the log of a size: the batch of the event had its place in it.
_KNOWN = """(cast(:size as bigint) is null or exists (
  select from audit_batches b where b.tenant_id = :t and b.batch_id = ({event} & :mask) and b.first_seq < :size))"""

_MOVEMENTS = f"""
select t.event_id, t.line, s.side * t.amount as amount, s.code, e.business_date, e.kind, c.kind as account, c.pot, c.origin,
       coalesce(nullif(c.fund, ''), o.fund, '') as fund, a.scale, e.body ->> 'dealing' as dealing,
       e.body ->> 'price' as price, e.body ->> 'price_on' as price_on, e.body ->> 'resolves' as resolves
  from transfers t
  join events e on e.event_id = t.event_id and e.member_id in (t.member_id, :house)
  cross join lateral (values (t.credit, 1, t.debit), (t.debit, -1, t.credit)) s(code, side, other)
  join chart c on c.tenant_id = t.tenant_id and c.code = s.code
  join chart o on o.tenant_id = t.tenant_id and o.code = s.other
  join assets a on a.tenant_id = t.tenant_id and a.asset_id = s.code >> 12
 where t.member_id = :member and s.code & 2048 <> 0 and e.business_date <= :as_of and c.product = any(:products)
   and {_KNOWN.format(event="t.event_id")}
 order by t.event_id, t.line, s.side
"""

_PAYMENTS = frozenset({EventKind.CONTRIBUTION_RECEIVED, EventKind.SUSPENSE_RESOLVED, EventKind.CONTRIBUTION_REVERSED})


def _parameters(session: AsyncSession, log_size: int | None) -> dict[str, object]:
    return {"t": session.info["tenant_id"], "size": log_size, "mask": BATCH_MASK}


async def movements(
    session: AsyncSession, member_id: int, *, products: Sequence[str], as_of: date, log_size: int | None
) -> list[Movement]:
    """Return what moved on the member's accounts of the products in entries up to `as_of`, in the books' order."""
    rows = await session.execute(
        text(_MOVEMENTS),
        {
            **_parameters(session, log_size),
            "member": member_id,
            "house": -session.info["tenant_id"],
            "as_of": as_of,
            "products": list(products),
        },
    )
    return [
        Movement(
            event_id=row.event_id,
            line=row.line,
            amount=row.amount,
            code=row.code,
            business_date=row.business_date,
            is_payment=row.kind in _PAYMENTS,
            account=row.account,
            pot=row.pot,
            origin=row.origin,
            fund=row.fund,
            scale=row.scale,
            dealing=int(row.dealing or 0),
            price=Price.of(Decimal(row.price)) if row.price else None,
            price_on=date.fromisoformat(row.price_on) if row.price_on else None,
            resolves=int(row.resolves or 0),
        )
        for row in rows
    ]


async def allocations(session: AsyncSession, member_id: int, *, products: Sequence[str]) -> list[Allocation]:
    """Return what of the member's payments into the products went into which dealing."""
    rows = await session.execute(
        text("""select a.event_id, a.code, a.amount, a.dealing_id, f.code as fund
                  from allocations a join funds f on f.tenant_id = a.tenant_id and f.fund_id = a.fund_id
                  join chart c on c.tenant_id = a.tenant_id and c.code = a.code and c.product = any(:products)
                 where a.member_id = :member order by a.event_id, a.code"""),
        {"member": member_id, "products": list(products)},
    )
    return [Allocation(*row) for row in rows]


async def last_prices(
    session: AsyncSession, funds: Sequence[str], *, as_of: date, log_size: int | None
) -> dict[str, tuple[date, Price]]:
    """Return each fund's last accepted price dated on or before `as_of`, with its date."""
    accepted = _KNOWN.format(event="coalesce(nullif(p.decided_event, 0), p.event_id)")
    rows = await session.execute(
        text(f"""select f.code, p.price_on, p.digits, p.scale
                   from funds f cross join lateral (
                     select p.price_on, p.digits, p.scale from prices p
                      where p.tenant_id = f.tenant_id and p.fund_id = f.fund_id and p.state = 'accepted'
                        and p.price_on <= :as_of and {accepted}
                      order by p.price_on desc limit 1) p
                  where f.tenant_id = :t and f.code = any(:funds)"""),
        {**_parameters(session, log_size), "funds": list(funds), "as_of": as_of},
    )
    return {row.code: (row.price_on, Price(row.digits, row.scale)) for row in rows}


async def reconciled(
    session: AsyncSession, member_id: int, *, resolved: Sequence[int], as_of: date, log_size: int | None
) -> frozenset[int]:
    """Return which of the member's receipts, and of the suspended ones `resolved`, were on a statement by `as_of`."""
    rows = await session.execute(
        text(f"""select m.event_id from matches m
                   join events e on e.member_id = :house and e.event_id = m.matched_event
                  where (m.member_id = :member or (m.member_id = :house and m.event_id = any(:resolved)))
                    and e.business_date <= :as_of and {_KNOWN.format(event="m.matched_event")}"""),
        {
            **_parameters(session, log_size),
            "member": member_id,
            "house": -session.info["tenant_id"],
            "resolved": list(resolved),
            "as_of": as_of,
        },
    )
    return frozenset(row.event_id for row in rows)
