"""How far managers say orders are, and orders that two people ask back: while the manager takes that, and only until it dealt.

An order that its manager cancelled, or had refused, changes nothing for members: their money or units stay in it, and it leaves
again, in another file and by another name.
"""

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from typing import Literal

import msgspec
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncSession

from engine.access.rules import checked_by_other
from engine.funds.errors import (
    CancellationDecided,
    CancellationDiffers,
    CancelTooLate,
    NoCancelling,
    OrderDone,
    UnknownCancellation,
    UnknownSentOrder,
)
from engine.funds.ports import CancellingManager
from engine.funds.queries import cancelling as queries
from engine.funds.queries.cancelling import CancellationRow, SentRow
from engine.funds.queries.ordering import hold_order_files
from engine.funds.rules.dealing import cut_off_instant
from engine.funds.service.ordering import JoinedManager, OrderDesk
from engine.kernel.amounts import Amount
from engine.kernel.clock import business_date
from engine.kernel.file_values import sha256_of
from engine.kernel.files import FileRefused
from engine.kernel.fund_orders import CancellationFile, OrderSaid, OrderSide, OrderStatus
from engine.kernel.ids import house_member
from engine.ledger import service as ledger
from engine.ledger.rules import Entry, EventKind
from engine.places import service as places
from engine.places.service import Leaving, Place
from engine.runtime.database import Database, retry_transaction
from engine.runtime.exchanges.engine import Exchanges
from engine.tenancy.service import Tenant

CancelReason = Literal["sent-in-error", "wrong-details", "refused-by-manager", "asked-by-manager"]
_ACTOR = "system:dealing"
_GIVEN_BACK = (OrderStatus.REJECTED, OrderStatus.CANCELLED)
_DEALT = (OrderStatus.DONE, OrderStatus.SETTLED)
_LEFT_AS = "cancellation"


class SentOrderItem(Struct, frozen=True, kw_only=True):
    """An order as a manager has it, by the name it knows it by. `amount` in major units of money, or `units` as a decimal.

    `state` is "to-leave", "sent", what the manager said last ("received", "accepted", "passed-on", "conditional", "suspended",
    "in-repair", "rejected", "cancelled", "done", "settled", "other", with its own `code`), "cancelling" while it is asked to
    cancel, "confirmed", or "released" once it is to leave again.
    """

    reference: str
    manager: str
    product: str
    fund: str
    side: str
    amount: str
    units: str
    cut_off_on: date
    state: str
    code: str
    said_at: datetime | None
    cancellation: int


class Cancellation(Struct, frozen=True, kw_only=True):
    """An order that is asked back. "approved": its manager is asked; "cancelled", "refused": what it said.

    `digest` stands for the order and the reason.
    """

    cancellation: int
    reference: str
    manager: str
    side: str
    reason: str
    state: str
    maker: str
    checker: str
    digest: str


async def list_sent_orders(
    session: AsyncSession, tenant: Tenant, *, before: int | None = None, most: int = 100
) -> list[SentOrderItem]:
    """Return orders that are in files below a number, the newest file first, and how far each is."""
    return [_item(tenant, one) for one in await queries.list_sent(session, before=before, most=most)]


async def list_cancellations(session: AsyncSession, *, most: int = 100) -> list[Cancellation]:
    """Return what asks orders back, the newest first."""
    return [_told(one) for one in await queries.list_cancellations(session, most=most)]


# -- what managers say


async def take_statuses(db: Database, tenant: Tenant, manager: JoinedManager, raw: bytes, name: str) -> str:
    """Take in how far a manager says orders are; return why the file is refused, "" where it is taken. The same bytes count once.

    An order that is asked back is released once its manager says that it is cancelled, and stays once it says that it dealt.
    """
    assert isinstance(manager.adapter, CancellingManager), manager.name
    try:
        read = await asyncio.to_thread(manager.adapter.read_statuses, raw, name)
    except FileRefused as refusal:
        return str(refusal)

    async def once() -> None:
        async with db.unit_of_work(tenant.tenant_id) as session:
            await hold_order_files(session)
            if await queries.is_known(session, manager.name, sha256_of(raw)):
                return
            said = await _each(session, manager.name, read.orders)
            facts = {"sha256": read.sha256, "manager": manager.name, "orders": len(said)}
            event_id = await _record(session, tenant, EventKind.ORDER_STATUSES_TAKEN, facts, _ACTOR)
            at = await ledger.scheme_now(session)
            await queries.add_statuses(session, manager.name, read.sha256, said, event_id=event_id, at=at)
            last = {one.reference: one.status for one in said}
            for one in await queries.under_way(session, list(last)):
                status = last[one.reference]
                if one.counterparty == manager.name and status in (*_DEALT, OrderStatus.CANCELLED):
                    await _end(session, tenant, one, is_cancelled=status is OrderStatus.CANCELLED)

    await retry_transaction(once)
    return ""


async def _each(session: AsyncSession, manager: str, said: tuple[OrderSaid, ...]) -> list[OrderSaid]:
    """Return what is said of whole messages as said of each order in them."""
    found = await queries.in_message(session, manager, [one.of_message for one in said if one.of_message])
    return [
        replace(one, reference=reference)
        for one in said
        for reference in ([one.reference] if one.reference else found.get(one.of_message, []))
    ]


async def _end(session: AsyncSession, tenant: Tenant, one: CancellationRow, *, is_cancelled: bool) -> None:
    kind = EventKind.ORDER_CANCELLED if is_cancelled else EventKind.ORDER_NOT_CANCELLED
    facts = {"cancellation": one.cancellation_no, "order": one.reference, "manager": one.counterparty}
    event_id = await _record(session, tenant, kind, facts, _ACTOR)
    await queries.end_cancellation(session, one, is_cancelled=is_cancelled, event_id=event_id)


# -- what two people ask


async def propose_cancellation(
    session: AsyncSession, tenant: Tenant, desk: OrderDesk, reference: str, *, reason: CancelReason, actor: str
) -> Cancellation:
    """Propose to ask an order back.

    Raises:
        UnknownSentOrder, UnknownManager: no manager has an order of that name, or it is not joined.
        OrderDone: the manager carried it out, or it was paid.
        NoCancelling, CancelTooLate: its manager takes no cancellations, or not any more.
        CancellationDecided: one is under way.
    """
    await hold_order_files(session)
    sent = await _sent(session, tenant, desk, reference)
    digest = _digest(sent, reason)
    number = await queries.add_cancellation(
        session,
        sent,
        reason=reason,
        digest=digest,
        maker=await ledger.actor_id(session, actor),
        at=await ledger.scheme_now(session),
    )
    if number is None:
        raise CancellationDecided(state=sent.cancelling)
    return _told(await _found(session, number))


async def approve_cancellation(
    session: AsyncSession, tenant: Tenant, desk: OrderDesk, number: int, *, digest: str, actor: str
) -> Cancellation:
    """Ask an order back, as a second person who saw what `digest` is of; one that its manager gave back already is released at once.

    Raises:
        UnknownCancellation, CancellationDecided, CancellationDiffers, SamePerson: there is none, it is decided, it is another, or it is
            the maker's own.
        UnknownSentOrder, UnknownManager, OrderDone, NoCancelling, CancelTooLate: as `propose_cancellation`.
    """
    one = await _to_decide(session, number, digest, actor)
    sent = await _sent(session, tenant, desk, one.reference)
    if _digest(sent, one.reason) != digest:
        raise CancellationDiffers
    facts = {"cancellation": number, "order": one.reference, "manager": one.counterparty, "reason": one.reason}
    event_id = await _record(
        session, tenant, EventKind.CANCELLATION_APPROVED, {**facts, "maker": one.maker, "digest": digest}, actor
    )
    await _decide(session, one, "approved", actor, event_id)
    if sent.status in _GIVEN_BACK:
        await _end(session, tenant, one, is_cancelled=True)
    return _told(await _found(session, number))


async def reject_cancellation(session: AsyncSession, number: int, *, digest: str, actor: str) -> Cancellation:
    """Leave an order with its manager, as a second person.

    Raises:
        UnknownCancellation, CancellationDecided, CancellationDiffers, SamePerson: as `approve_cancellation`.
    """
    one = await _to_decide(session, number, digest, actor)
    await _decide(session, one, "rejected", actor, 0)
    return _told(await _found(session, number))


async def stage_cancellations(
    db: Database, tenant: Tenant, exchanges: Exchanges, managers: Mapping[str, JoinedManager]
) -> int:
    """Stage a file for every order that is to be asked back and was not yet; return how many. Run twice it makes none twice."""
    staged = 0
    for manager in managers.values():
        if not isinstance(manager.adapter, CancellingManager):
            continue
        async with db.unit_of_work(tenant.tenant_id) as session:
            for one in await queries.unsent_cancellations(session, manager.name):
                assert one.decided_at is not None, one
                asked = CancellationFile(
                    message_ref=f"OC{tenant.tenant_id}-{one.cancellation_no}",
                    created_at=one.decided_at,
                    side=OrderSide(one.side),
                    reference=one.reference,
                )
                leaving = Leaving(_LEFT_AS, str(one.cancellation_no), manager.adapter.write_cancellation(asked))
                place = Place(manager.name, manager.drop, manager.table.since)
                staged += await places.stage(session, exchanges, place, leaving)
    return staged


async def _sent(session: AsyncSession, tenant: Tenant, desk: OrderDesk, reference: str) -> SentRow:
    """Return an order that may be asked back now; one that its manager gave back may be at any time."""
    sent = await queries.find_sent(session, reference)
    if sent is None:
        raise UnknownSentOrder
    if sent.is_done or sent.status in _DEALT:
        raise OrderDone
    if sent.status in _GIVEN_BACK:
        return sent
    manager = desk.manager(sent.counterparty)
    if not manager.table.cancels_until or not isinstance(manager.adapter, CancellingManager):
        raise NoCancelling(manager=manager.name)
    until = cut_off_instant(sent.cut_off_on, tenant.pack.time_zone, manager.table.cancels_until)
    if await ledger.scheme_now(session) >= until:
        raise CancelTooLate(manager=manager.name, until=f"{sent.cut_off_on} {manager.table.cancels_until}")
    return sent


async def _to_decide(session: AsyncSession, number: int, digest: str, actor: str) -> CancellationRow:
    await hold_order_files(session)
    one = await _found(session, number)
    if one.state != "proposed":
        raise CancellationDecided(state=one.state)
    checked_by_other(maker=one.maker, checker=actor)
    if digest != one.digest:
        raise CancellationDiffers
    return one


async def _decide(session: AsyncSession, one: CancellationRow, state: str, actor: str, event_id: int) -> None:
    await queries.decide_cancellation(
        session,
        one.cancellation_no,
        state=state,
        checker=await ledger.actor_id(session, actor),
        at=await ledger.scheme_now(session),
        event_id=event_id,
    )


async def _found(session: AsyncSession, number: int) -> CancellationRow:
    found = await queries.find_cancellation(session, number)
    if found is None:
        raise UnknownCancellation
    return found


async def _record(
    session: AsyncSession, tenant: Tenant, kind: EventKind, body: Mapping[str, object], actor: str
) -> int:
    entry = Entry(
        member_id=house_member(tenant.tenant_id),
        kind=kind,
        business_date=business_date(await ledger.scheme_now(session), tenant.time_zone),
        actor=await ledger.actor_id(session, actor),
        pack=tenant.pack_id,
        body=body,
    )
    (posted,) = await ledger.post(session, [entry])
    return posted.event_id


def _digest(sent: SentRow, reason: str) -> str:
    facts = [
        sent.reference, sent.counterparty, sent.file_id, sent.product, sent.fund, sent.side, sent.amount,
        sent.cut_off_on.isoformat(), reason,
    ]  # fmt: skip
    return hashlib.sha256(msgspec.json.encode(facts)).hexdigest()


def _state(one: SentRow) -> str:
    if one.is_confirmed:
        return "confirmed"
    if one.is_released:
        return "released"
    if one.cancelling == "approved":
        return "cancelling"
    return one.status or {"requested": "to-leave", "accepted": "sent"}.get(one.file_state, "released")


def _item(tenant: Tenant, one: SentRow) -> SentOrderItem:
    is_buying = one.side == OrderSide.SUBSCRIBE
    return SentOrderItem(
        reference=one.reference,
        manager=one.counterparty,
        product=one.product,
        fund=one.fund,
        side=one.side,
        amount=f"{Amount(one.amount, tenant.asset).decimal():.{tenant.asset.scale}f}" if is_buying else "",
        units="" if is_buying else f"{Decimal(one.amount).scaleb(-one.unit_scale):f}",
        cut_off_on=one.cut_off_on,
        state=_state(one),
        code=one.code,
        said_at=one.said_at,
        cancellation=one.cancellation_no,
    )


def _told(one: CancellationRow) -> Cancellation:
    return Cancellation(
        cancellation=one.cancellation_no,
        reference=one.reference,
        manager=one.counterparty,
        side=one.side,
        reason=one.reason,
        state=one.state,
        maker=one.maker,
        checker=one.checker,
        digest=one.digest,
    )
