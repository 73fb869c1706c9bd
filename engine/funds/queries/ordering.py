"""SQL of orders that leave: which are to leave, the files they leave in, and what became of those."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from engine.runtime.database import driver


async def hold_order_files(session: AsyncSession) -> None:
    """Wait until no other transaction puts orders into files or takes in what managers did with them."""
    await session.execute(text("select pg_advisory_xact_lock(7205, :t)"), {"t": session.info["tenant_id"]})


@dataclass(frozen=True, slots=True)
class Unsent:
    """An order of a closed dealing that has not left: `amount` of money for a subscription, of units for a redemption.

    `cancelled` says how often its manager gave it back.
    """

    dealing_id: int
    product: str
    cut_off_on: date
    fund_id: int
    fund: str
    unit_scale: int
    side: str
    amount: int
    reference: str
    cancelled: int = 0


async def unsent_orders(session: AsyncSession, since: date) -> list[Unsent]:
    """Return the orders of dealings closed on or after a day that are in no file, by day, side, dealing and fund."""
    connection = await driver(session)
    cursor = await connection.execute(
        """with placed as (
             select tenant_id, dealing_id, fund_id, 'subscribe' as side, amount, reference from orders
             union all
             select tenant_id, dealing_id, fund_id, 'redeem', units, reference from sale_orders)
           select d.dealing_id, d.product, d.cut_off_on, f.fund_id, f.code, f.unit_scale, o.side, o.amount, o.reference,
                  (select count(*)::int from order_cancellations c where c.tenant_id = o.tenant_id and c.dealing_id = o.dealing_id
                      and c.fund_id = o.fund_id and c.side = o.side and c.state = 'cancelled')
             from placed o join dealings d using (tenant_id, dealing_id) join funds f using (tenant_id, fund_id)
            where d.cut_off_on >= %s and not exists (
                  select from order_sendings s where s.tenant_id = o.tenant_id and s.dealing_id = o.dealing_id
                     and s.fund_id = o.fund_id and s.side = o.side and not s.is_released)
            order by d.cut_off_on, o.side desc, d.dealing_id, f.code""",
        (since,),
    )
    return [Unsent(*row) for row in await cursor.fetchall()]


async def next_numbers(session: AsyncSession, counterparty: str) -> tuple[int, int]:
    """Return the number of the tenant's next file, and of the next for one manager; files are held."""
    row = (
        await session.execute(
            text("""select coalesce(max(file_id), 0) + 1 as number,
                           coalesce(max(sequence) filter (where counterparty = :c), 0) + 1 as sequence from order_files"""),
            {"c": counterparty},
        )
    ).one()
    return row.number, row.sequence


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file of orders as it is made."""

    file_id: int
    reference: UUID
    counterparty: str
    sequence: int
    cut_off_on: date
    side: str
    message_ref: str
    name: str
    sha256: str
    made_at: datetime
    event_id: int


async def add_file(session: AsyncSession, file: NewFile, orders: Sequence[tuple[int, int, str]]) -> None:
    """Keep a file and its (dealing_id, fund_id, reference) of orders."""
    tenant_id = session.info["tenant_id"]
    await session.execute(
        text("""insert into order_files (tenant_id, file_id, reference, counterparty, sequence, cut_off_on, side, message_ref, name,
                                         sha256, made_at, event_id, orders)
                values (:t, :file, :reference, :counterparty, :sequence, :day, :side, :message, :name, :sha, :at, :event, :orders)"""),
        {
            "t": tenant_id,
            "file": file.file_id,
            "reference": file.reference,
            "counterparty": file.counterparty,
            "sequence": file.sequence,
            "day": file.cut_off_on,
            "side": file.side,
            "message": file.message_ref,
            "name": file.name,
            "sha": file.sha256,
            "at": file.made_at,
            "event": file.event_id,
            "orders": len(orders),
        },
    )
    connection = await driver(session)
    await connection.execute(
        """insert into order_sendings (tenant_id, file_id, side, dealing_id, fund_id, reference)
           select %s, %s, %s, * from unnest(%s::int[], %s::int[], %s::text[])""",
        (tenant_id, file.file_id, file.side, *(list(column) for column in zip(*orders, strict=True))),
    )


@dataclass(frozen=True, slots=True)
class OrderFileRow:
    """A file of orders, and what is known of it: requested, accepted, rejected or unknown. `confirmed` of its orders are."""

    file_id: int
    counterparty: str
    name: str
    message_ref: str
    sha256: str
    cut_off_on: date
    side: str
    orders: int
    confirmed: int
    state: str
    made_at: datetime
    sent_at: datetime | None


_FILES = """
select f.file_id, f.counterparty, f.name, f.message_ref, f.sha256, f.cut_off_on, f.side, f.orders,
       (select count(*)::int from order_sendings s where s.file_id = f.file_id and s.confirmed_event <> 0),
       case when f.state = 'requested' then x.state else f.state end, f.made_at, x.sent_at
  from order_files f join exchanges x on x.tenant_id = f.tenant_id and x.reference = f.reference
"""


async def list_files(session: AsyncSession, *, before: int | None, most: int) -> list[OrderFileRow]:
    """Return files of orders below a number, the newest first."""
    rows = await session.execute(
        text(
            f"{_FILES} where (cast(:before as int) is null or f.file_id < :before) order by f.file_id desc limit :most"
        ),
        {"before": before, "most": most},
    )
    return [OrderFileRow(*row) for row in rows]


@dataclass(frozen=True, slots=True)
class Decided:
    """A file whose place has decided: its number, reference and how many orders are in it."""

    file_id: int
    message_ref: str
    cut_off_on: date
    orders: int


async def hold_file(session: AsyncSession, reference: UUID) -> Decided:
    """Return the file that an exchange leaves, locked."""
    row = (
        await session.execute(
            text("select file_id, message_ref, cut_off_on, orders from order_files where reference = :r for update"),
            {"r": reference},
        )
    ).one()
    return Decided(*row)


async def decide_file(session: AsyncSession, file_id: int, *, state: str, event_id: int) -> None:
    """Note whether its place has a file; the orders of one that is rejected are released."""
    await session.execute(
        text("update order_files set state = :state, decided_event = :event where file_id = :file"),
        {"state": state, "event": event_id, "file": file_id},
    )
    if state == "rejected":
        await session.execute(
            text("update order_sendings set is_released = true where file_id = :file"), {"file": file_id}
        )
