"""SQL of how far managers say orders are, and of orders that are asked back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy.ext.asyncio import AsyncSession

from engine.kernel.fund_orders import OrderSaid
from engine.ledger.rules import Law
from engine.runtime.database import driver

LAWS: tuple[Law, ...] = (
    Law(
        "cancelled-orders-are-released",
        "an order is out of a file that its manager has exactly if the manager cancelled it, and that is told of by one event",
        """
        select format('order %s of file %s', s.reference, s.file_id), s.is_released::text, coalesce(c.state, 'not cancelled')
          from order_sendings s join order_files f on f.tenant_id = s.tenant_id and f.file_id = s.file_id and f.state <> 'rejected'
          left join order_cancellations c on c.tenant_id = s.tenant_id and c.file_id = s.file_id and c.dealing_id = s.dealing_id
               and c.fund_id = s.fund_id and c.side = s.side and c.state = 'cancelled'
         where s.is_released <> (c.cancellation_no is not null)
        union all
        select format('cancellation %s', coalesce(c.cancellation_no::text, e.body ->> 'cancellation')), coalesce(c.state, 'none'),
               coalesce(e.kind::text, 'no event')
          from (select * from order_cancellations where ended_event <> 0) c
          full join (select * from events where kind in (361, 362)) e on e.event_id = c.ended_event
         where e.kind is distinct from case c.state when 'cancelled' then 361 when 'refused' then 362 end
        """,
    ),
)


@dataclass(frozen=True, slots=True)
class SentRow:
    """An order as a manager has it, and what it said of it last: `status`, "" for nothing; `cancelling` the state of what asks for it back.

    `amount` is of money for a subscription, of units for a redemption, in smallest units. `is_done`: it was confirmed or paid,
    or the manager said that it dealt.
    """

    reference: str
    counterparty: str
    file_id: int
    file_state: str
    dealing_id: int
    product: str
    fund_id: int
    fund: str
    unit_scale: int
    side: str
    amount: int
    cut_off_on: date
    is_released: bool
    is_confirmed: bool
    is_done: bool
    status: str
    code: str
    said_at: datetime | None
    cancellation_no: int
    cancelling: str


_SENT = """
select s.reference, f.counterparty, f.file_id, f.state, s.dealing_id, d.product, s.fund_id, u.code, u.unit_scale, s.side,
       coalesce(o.amount, r.units), d.cut_off_on, s.is_released, s.confirmed_event <> 0,
       s.confirmed_event <> 0
         or exists (select from confirmations x where x.tenant_id = s.tenant_id and x.reference = s.reference and x.state <> 'set-aside')
         or exists (select from settled_lines l where l.tenant_id = s.tenant_id and l.event_id = o.event_id and l.how = 'order'),
       coalesce(t.status, ''), coalesce(t.code, ''), t.said_at, coalesce(c.cancellation_no, 0), coalesce(c.state, '')
  from order_sendings s
  join order_files f on f.tenant_id = s.tenant_id and f.file_id = s.file_id
  join dealings d on d.tenant_id = s.tenant_id and d.dealing_id = s.dealing_id
  join funds u on u.tenant_id = s.tenant_id and u.fund_id = s.fund_id
  left join orders o on s.side = 'subscribe' and o.tenant_id = s.tenant_id and o.dealing_id = s.dealing_id and o.fund_id = s.fund_id
  left join sale_orders r on s.side = 'redeem' and r.tenant_id = s.tenant_id and r.dealing_id = s.dealing_id and r.fund_id = s.fund_id
  left join lateral (select * from order_statuses t where t.tenant_id = s.tenant_id and t.counterparty = f.counterparty
                        and t.reference = s.reference order by t.status_id desc limit 1) t on true
  left join lateral (select * from order_cancellations c where c.tenant_id = s.tenant_id and c.file_id = s.file_id and c.dealing_id = s.dealing_id
                        and c.fund_id = s.fund_id and c.side = s.side order by c.cancellation_no desc limit 1) c on true
"""


async def list_sent(session: AsyncSession, *, before: int | None, most: int) -> list[SentRow]:
    """Return orders in files below a number, the newest file first."""
    connection = await driver(session)
    cursor = await connection.execute(
        f"{_SENT} where s.tenant_id = %s and (%s::int is null or s.file_id < %s) order by s.file_id desc, s.reference limit %s",
        (session.info["tenant_id"], before, before, most),
    )
    return [SentRow(*row) for row in await cursor.fetchall()]


async def find_sent(session: AsyncSession, reference: str) -> SentRow | None:
    """Return the order that a manager has under a name of ours; None where none has it any more."""
    connection = await driver(session)
    cursor = await connection.execute(
        f"{_SENT} where s.tenant_id = %s and s.reference = %s and not s.is_released and f.state <> 'rejected'",
        (session.info["tenant_id"], reference),
    )
    row = await cursor.fetchone()
    return None if row is None else SentRow(*row)


async def in_message(session: AsyncSession, counterparty: str, message_refs: Sequence[str]) -> Mapping[str, list[str]]:
    """Return the references of the orders in a manager's files, by the reference of each message."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select m.ref, array_agg(s.reference order by s.reference) from unnest(%s::text[]) m(ref)
             join order_files f on m.ref in (f.message_ref, f.message_ref || '-S', f.message_ref || '-R')
             join order_sendings s on s.tenant_id = f.tenant_id and s.file_id = f.file_id
            where f.tenant_id = %s and f.counterparty = %s group by 1""",
        (list(message_refs), session.info["tenant_id"], counterparty),
    )
    return dict(await cursor.fetchall())


async def is_known(session: AsyncSession, counterparty: str, sha256: str) -> bool:
    """Return whether a manager's file of statuses was taken in before."""
    connection = await driver(session)
    cursor = await connection.execute(
        "select 1 from order_statuses where tenant_id = %s and counterparty = %s and sha256 = %s limit 1",
        (session.info["tenant_id"], counterparty, sha256),
    )
    return await cursor.fetchone() is not None


async def add_statuses(
    session: AsyncSession, counterparty: str, sha256: str, said: Sequence[OrderSaid], *, event_id: int, at: datetime
) -> None:
    """Keep what a manager says of orders, in the order in which it does."""
    connection = await driver(session)
    await connection.execute(
        """insert into order_statuses (tenant_id, counterparty, sha256, event_id, said_at, place, reference, status, code)
           select %s, %s, %s, %s, %s, k.place, k.reference, k.status, k.code
             from unnest(%s::text[], %s::text[], %s::text[]) with ordinality k(reference, status, code, place) order by k.place""",
        (
            session.info["tenant_id"],
            counterparty,
            sha256,
            event_id,
            at,
            [one.reference for one in said],
            [one.status.value for one in said],
            [one.code for one in said],
        ),
    )


@dataclass(frozen=True, slots=True)
class CancellationRow:
    """An order that is asked back; people by their names as actors."""

    cancellation_no: int
    reference: str
    counterparty: str
    file_id: int
    dealing_id: int
    fund_id: int
    side: str
    reason: str
    digest: str
    state: str
    maker: str
    checker: str
    decided_at: datetime | None


_CANCELLATIONS = """
select c.cancellation_no, s.reference, f.counterparty, c.file_id, c.dealing_id, c.fund_id, c.side, c.reason, c.digest, c.state, m.name,
       coalesce(k.name, ''), c.decided_at
  from order_cancellations c
  join order_sendings s on s.tenant_id = c.tenant_id and s.file_id = c.file_id and s.dealing_id = c.dealing_id and s.fund_id = c.fund_id and s.side = c.side
  join order_files f on f.tenant_id = c.tenant_id and f.file_id = c.file_id
  join actors m on m.tenant_id = c.tenant_id and m.actor_id = c.maker
  left join actors k on k.tenant_id = c.tenant_id and k.actor_id = c.checker
"""


async def add_cancellation(
    session: AsyncSession, sent: SentRow, *, reason: str, digest: str, maker: int, at: datetime
) -> int | None:
    """Keep a proposal; return its number, None where one waits or is under way. Files of orders are held."""
    connection = await driver(session)
    cursor = await connection.execute(
        """insert into order_cancellations (tenant_id, cancellation_no, file_id, dealing_id, fund_id, side, reason, digest, maker, proposed_at)
           select %(t)s, coalesce(max(cancellation_no), 0) + 1, %(file)s, %(dealing)s, %(fund)s, %(side)s, %(reason)s, %(digest)s, %(maker)s, %(at)s
             from order_cancellations where tenant_id = %(t)s
           on conflict (tenant_id, file_id, dealing_id, fund_id, side) where state in ('proposed', 'approved') do nothing
           returning cancellation_no""",
        {
            "t": session.info["tenant_id"], "file": sent.file_id, "dealing": sent.dealing_id, "fund": sent.fund_id,
            "side": sent.side, "reason": reason, "digest": digest, "maker": maker, "at": at,
        },
    )  # fmt: skip
    row = await cursor.fetchone()
    return None if row is None else int(row[0])


async def find_cancellation(session: AsyncSession, number: int) -> CancellationRow | None:
    """Return what asks an order back, by its number."""
    connection = await driver(session)
    cursor = await connection.execute(
        f"{_CANCELLATIONS} where c.tenant_id = %s and c.cancellation_no = %s", (session.info["tenant_id"], number)
    )
    row = await cursor.fetchone()
    return None if row is None else CancellationRow(*row)


async def list_cancellations(
    session: AsyncSession, *, state: str | None = None, most: int = 100
) -> list[CancellationRow]:
    """Return what asks orders back, the newest first; of one state or all."""
    connection = await driver(session)
    cursor = await connection.execute(
        f"{_CANCELLATIONS} where c.tenant_id = %s and (%s::text is null or c.state = %s) order by c.cancellation_no desc limit %s",
        (session.info["tenant_id"], state, state, most),
    )
    return [CancellationRow(*row) for row in await cursor.fetchall()]


async def under_way(session: AsyncSession, references: Sequence[str]) -> list[CancellationRow]:
    """Return approved cancellations of the orders with these references."""
    connection = await driver(session)
    cursor = await connection.execute(
        f"{_CANCELLATIONS} where c.tenant_id = %s and c.state = 'approved' and s.reference = any(%s) order by c.cancellation_no",
        (session.info["tenant_id"], list(references)),
    )
    return [CancellationRow(*row) for row in await cursor.fetchall()]


async def unsent_cancellations(session: AsyncSession, counterparty: str) -> list[CancellationRow]:
    """Return approved cancellations that a manager was not asked for yet."""
    connection = await driver(session)
    cursor = await connection.execute(
        f"""{_CANCELLATIONS} where c.tenant_id = %s and c.state = 'approved' and f.counterparty = %s
               and not exists (select from outgoing_files o where o.tenant_id = c.tenant_id and o.kind = 'cancellation'
                                  and o.about = c.cancellation_no::text and o.state <> 'rejected') order by c.cancellation_no""",
        (session.info["tenant_id"], counterparty),
    )
    return [CancellationRow(*row) for row in await cursor.fetchall()]


async def decide_cancellation(
    session: AsyncSession, number: int, *, state: str, checker: int, at: datetime, event_id: int
) -> None:
    """Keep what a second person decided."""
    connection = await driver(session)
    await connection.execute(
        """update order_cancellations set state = %s, checker = %s, decided_at = %s, decided_event = %s
            where tenant_id = %s and cancellation_no = %s""",
        (state, checker, at, event_id, session.info["tenant_id"], number),
    )


async def end_cancellation(session: AsyncSession, one: CancellationRow, *, is_cancelled: bool, event_id: int) -> None:
    """Keep how it ended; an order that is cancelled is released, to leave again."""
    connection = await driver(session)
    tenant = session.info["tenant_id"]
    await connection.execute(
        "update order_cancellations set state = %s, ended_event = %s where tenant_id = %s and cancellation_no = %s",
        ("cancelled" if is_cancelled else "refused", event_id, tenant, one.cancellation_no),
    )
    if is_cancelled:
        await connection.execute(
            """update order_sendings set is_released = true
                where tenant_id = %s and file_id = %s and dealing_id = %s and fund_id = %s and side = %s""",
            (tenant, one.file_id, one.dealing_id, one.fund_id, one.side),
        )
