"""SQL of the operator's pages, over the tables of the capabilities below; it writes none of them.

A figure and the list behind it are counted by one and the same condition.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from engine.kernel.prices import Price
from engine.ledger.rules import BATCH_MASK, EventKind

_PAID = (int(EventKind.CONTRIBUTION_RECEIVED), int(EventKind.CONTRIBUTION_SUSPENDED))
# Batches get their ids and their instants in slightly different orders, a transaction's length apart at most.
_DISORDER = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Count:
    """How many, and how much in smallest units of money."""

    count: int
    amount: int


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The newest signed state of the audit log."""

    size: int
    signed_at: datetime


async def last_checkpoint(session: AsyncSession) -> Checkpoint | None:
    """Return the newest checkpoint, or None before the first."""
    row = (
        await session.execute(
            text("select size, signed_at from audit_checkpoints where tenant_id = :t order by size desc limit 1"),
            {"t": session.info["tenant_id"]},
        )
    ).first()
    return None if row is None else Checkpoint(row.size, row.signed_at)


# -- payments


@dataclass(frozen=True, slots=True)
class PaymentRow:
    """A payment as it came in."""

    event_id: int
    recorded_at: datetime
    paid_on: date
    amount: int
    channel: str
    is_suspended: bool


_RECORDED = """
  from events e join batches b on b.tenant_id = e.tenant_id and b.batch_id = (e.event_id & :mask)
 where e.event_id > :low and e.kind = any(:kinds) and b.recorded_at >= :since and e.tenant_id = :t
"""


async def _since(session: AsyncSession, since: datetime) -> dict[str, object]:
    """Return the parameters of _RECORDED. `low` is an event id before which nothing was recorded since `since`."""
    low = await session.scalar(
        text("select batch_id from batches where tenant_id = :t and recorded_at < :at order by batch_id desc limit 1"),
        {"t": session.info["tenant_id"], "at": since - _DISORDER},
    )
    return {
        "t": session.info["tenant_id"],
        "since": since,
        "low": low or 0,
        "mask": BATCH_MASK,
        "kinds": list(_PAID),
    }


async def payments_since(session: AsyncSession, since: datetime) -> Count:
    """Return what came in since an instant of the scheme's clock, matched to a member or not."""
    row = (
        await session.execute(
            text(
                f"select count(*) as count, coalesce(sum((e.body ->> 'amount')::bigint), 0)::bigint as amount {_RECORDED}"
            ),
            await _since(session, since),
        )
    ).one()
    return Count(*row)


async def list_payments(session: AsyncSession, since: datetime, *, before: int | None, most: int) -> list[PaymentRow]:
    """Return payments that came in since an instant, the newest first, older than event `before`."""
    rows = await session.execute(
        text(f"""select e.event_id, b.recorded_at, e.business_date, (e.body ->> 'amount')::bigint as amount,
                        e.body ->> 'channel' as channel, e.kind = :suspended as is_suspended {_RECORDED}
                    and (cast(:before as bigint) is null or e.event_id < :before)
                  order by e.event_id desc limit :most"""),
        {
            **await _since(session, since),
            "before": before,
            "most": most,
            "suspended": int(EventKind.CONTRIBUTION_SUSPENDED),
        },
    )
    return [PaymentRow(*row) for row in rows]


# -- members


@dataclass(frozen=True, slots=True)
class MemberRow:
    """A member as the books know them, and the event that enrolled them."""

    member_id: int
    enrolled_event: int
    product: str
    joined_on: date
    group_code: str


async def count_members(session: AsyncSession) -> int:
    """Return how many members there are, those whose data were erased left out."""
    count = await session.scalar(
        text("select count(*) from members where tenant_id = :t and status = 'active'"),
        {"t": session.info["tenant_id"]},
    )
    return int(count)


async def list_members(session: AsyncSession, *, before: int | None, most: int) -> list[MemberRow]:
    """Return members, the newest first, enrolled before event `before`."""
    rows = await session.execute(
        text("""select member_id, enrolled_event, product, joined_on, group_code from members
                 where tenant_id = :t and status = 'active'
                   and (cast(:before as bigint) is null or enrolled_event < :before)
                 order by enrolled_event desc limit :most"""),
        {"t": session.info["tenant_id"], "before": before, "most": most},
    )
    return [MemberRow(*row) for row in rows]


# -- prices and dealings


@dataclass(frozen=True, slots=True)
class PriceRow:
    """A price of a fund and day. `previous` is the last accepted one before it."""

    file_id: int
    fund: str
    price_on: date
    price: Price
    state: str
    held_for: str
    maker: str
    file: str
    previous: Price | None
    previous_on: date | None


_PRICES = """
select p.file_id, f.code as fund, p.price_on, p.digits, p.scale, p.state, p.held_for, a.name as maker, i.name as file,
       b.digits as previous_digits, b.scale as previous_scale, b.price_on as previous_on
  from prices p
  join funds f on f.tenant_id = p.tenant_id and f.fund_id = p.fund_id
  join price_files i on i.tenant_id = p.tenant_id and i.file_id = p.file_id
  join actors a on a.tenant_id = p.tenant_id and a.actor_id = p.maker
  left join lateral (
    select o.digits, o.scale, o.price_on from prices o
     where o.tenant_id = p.tenant_id and o.fund_id = p.fund_id and o.state = 'accepted' and o.price_on < p.price_on
     order by o.price_on desc, o.file_id desc limit 1) b on true
 where p.tenant_id = :t
"""


async def list_prices(session: AsyncSession, *, is_held: bool, most: int) -> list[PriceRow]:
    """Return prices that wait for a second person, or those that were accepted; the newest day first."""
    rows = await session.execute(
        text(f"{_PRICES} and p.state = :state order by p.price_on desc, f.code, p.file_id desc limit :most"),
        {"t": session.info["tenant_id"], "state": "held" if is_held else "accepted", "most": most},
    )
    return [
        PriceRow(
            file_id=row.file_id,
            fund=row.fund,
            price_on=row.price_on,
            price=Price(row.digits, row.scale),
            state=row.state,
            held_for=row.held_for,
            maker=row.maker,
            file=row.file,
            previous=None if row.previous_digits is None else Price(row.previous_digits, row.previous_scale),
            previous_on=row.previous_on,
        )
        for row in rows
    ]


async def count_held_prices(session: AsyncSession) -> int:
    """Return how many prices wait for a second person."""
    count = await session.scalar(
        text("select count(*) from prices where tenant_id = :t and state = 'held'"), {"t": session.info["tenant_id"]}
    )
    return int(count)


async def last_price_on(session: AsyncSession) -> date | None:
    """Return the day of the newest accepted price."""
    day: date | None = await session.scalar(
        text("select max(price_on) from prices where tenant_id = :t and state = 'accepted'"),
        {"t": session.info["tenant_id"]},
    )
    return day


@dataclass(frozen=True, slots=True)
class OrderRow:
    """An order for a fund, placed at a cut-off."""

    dealing_id: int
    cut_off_on: date
    fund: str
    amount: int
    state: str
    price_on: date | None
    price: Price | None
    units: int | None
    unit_scale: int


async def unpriced_orders(session: AsyncSession) -> Count:
    """Return the orders that wait for their price."""
    row = (
        await session.execute(
            text("""select count(*) as count, coalesce(sum(amount), 0)::bigint as amount from orders
                     where tenant_id = :t and state = 'placed'"""),
            {"t": session.info["tenant_id"]},
        )
    ).one()
    return Count(*row)


async def list_orders(session: AsyncSession, *, is_priced: bool, most: int) -> list[OrderRow]:
    """Return orders that wait for their price, or those that have it; the newest cut-off first."""
    rows = await session.execute(
        text("""select o.dealing_id, d.cut_off_on, f.code as fund, o.amount, o.state, o.price_on, o.digits, o.scale,
                       o.units_confirmed, f.unit_scale
                  from orders o
                  join dealings d on d.tenant_id = o.tenant_id and d.dealing_id = o.dealing_id
                  join funds f on f.tenant_id = o.tenant_id and f.fund_id = o.fund_id
                 where o.tenant_id = :t and o.state = :state
                 order by d.cut_off_on desc, o.dealing_id desc, f.code limit :most"""),
        {"t": session.info["tenant_id"], "state": "priced" if is_priced else "placed", "most": most},
    )
    return [
        OrderRow(
            dealing_id=row.dealing_id,
            cut_off_on=row.cut_off_on,
            fund=row.fund,
            amount=row.amount,
            state=row.state,
            price_on=row.price_on,
            price=None if row.digits is None else Price(row.digits, row.scale),
            units=row.units_confirmed,
            unit_scale=row.unit_scale,
        )
        for row in rows
    ]


@dataclass(frozen=True, slots=True)
class SaleRow:
    """An order that sells units of a fund: "placed", "priced", or "settled" once its money has come."""

    cut_off_on: date
    fund: str
    units: int
    unit_scale: int
    state: str
    price_on: date | None
    price: Price | None
    amount: int | None


async def list_sales(session: AsyncSession, *, most: int) -> list[SaleRow]:
    """Return orders that sell units, the newest cut-off first."""
    rows = await session.execute(
        text("""select d.cut_off_on, f.code, o.units, f.unit_scale,
                       case when o.settled_event <> 0 then 'settled' else o.state end, o.price_on, o.digits, o.scale,
                       case when o.state = 'priced' then o.amount_confirmed end
                  from sale_orders o
                  join dealings d on d.tenant_id = o.tenant_id and d.dealing_id = o.dealing_id
                  join funds f on f.tenant_id = o.tenant_id and f.fund_id = o.fund_id
                 where o.tenant_id = :t order by d.cut_off_on desc, o.dealing_id desc, f.code limit :most"""),
        {"t": session.info["tenant_id"], "most": most},
    )
    return [
        SaleRow(*facts, None if digits is None else Price(digits, scale), amount)  # type: ignore[call-arg]
        for *facts, digits, scale, amount in map(tuple, rows)
    ]


@dataclass(frozen=True, slots=True)
class DealingRow:
    """A dealing: open, closed at a cut-off, or priced; with what was allocated to it."""

    dealing_id: int
    product: str
    state: str
    opened_on: date
    cut_off_on: date | None
    orders: int
    amount: int


async def list_dealings(session: AsyncSession, *, most: int) -> list[DealingRow]:
    """Return the newest dealings first, with the orders each made."""
    rows = await session.execute(
        text("""select d.dealing_id, d.product, d.state, d.opened_on, d.cut_off_on, count(o.fund_id) as orders,
                       coalesce(sum(o.amount), 0)::bigint as amount
                  from (select * from dealings where tenant_id = :t order by dealing_id desc limit :most) d
                  left join orders o on o.tenant_id = d.tenant_id and o.dealing_id = d.dealing_id
                 group by d.dealing_id, d.product, d.state, d.opened_on, d.cut_off_on order by d.dealing_id desc"""),
        {"t": session.info["tenant_id"], "most": most},
    )
    return [DealingRow(*row) for row in rows]


# -- jobs


@dataclass(frozen=True, slots=True)
class JobCount:
    """How many jobs of a name stand in a status."""

    task: str
    status: str
    count: int
    attempts: int


async def count_jobs(session: AsyncSession) -> Sequence[JobCount]:
    """Return how many of the tenant's jobs stand where, by name. Nothing where there is no queue."""
    if not await session.scalar(text("select to_regclass('procrastinate_jobs') is not null")):
        return ()
    rows = await session.execute(
        text("""select task_name, status::text, count(*), max(attempts) from procrastinate_jobs
                 where args @> cast(:tenant as jsonb) group by task_name, status order by task_name, status"""),
        {"tenant": msgspec.json.encode({"tenant_id": session.info["tenant_id"]}).decode()},
    )
    return [JobCount(*row) for row in rows]
