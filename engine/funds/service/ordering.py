"""Orders to fund managers: each in one file, left in the manager's place by an exchange that a crash leaves in no doubt."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from itertools import groupby
from typing import Annotated, Protocol
from uuid import uuid4

import msgspec
from msgspec import Meta, Struct
from sqlalchemy.ext.asyncio import AsyncSession

from engine.funds.errors import UnknownManager
from engine.funds.ports import DealingManager
from engine.funds.queries import ordering as queries
from engine.funds.queries.ordering import NewFile, OrderFileRow, Unsent
from engine.funds.rules import FundsRule
from engine.kernel.amounts import Amount
from engine.kernel.clock import business_date
from engine.kernel.file_drops import FileDrop, NameTaken
from engine.kernel.files import NamedFile
from engine.kernel.fund_orders import REFERENCE_MAX, OrderFile, OrderSide, PooledOrder
from engine.kernel.ids import house_member
from engine.kernel.joining import Given
from engine.kernel.outcomes import Answer, Reason, RequestState
from engine.kernel.rules import Dates
from engine.ledger import service as ledger
from engine.ledger.rules import Entry, EventKind
from engine.runtime.database import Database, retry_transaction
from engine.runtime.exchanges.engine import Exchanges, Operation, Settled
from engine.tenancy.service import Tenant

FUND_ORDERS = "fund-orders"
_ACTOR = "system:dealing"


class ManagerTable(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How orders reach a fund manager: its table in the secrets file.

    `deals_for` is its code in the scheme's rules, `speaks` the adapter of its files, `account` ours in its books, `sender` how
    it knows us. Orders of dealings closed before `since` left otherwise. `by` is the adapter of the place `place`.
    `cancels_until`, HH:MM in the scheme's time zone, is until when on the dealing's day it takes cancellations; without it, it
    takes none.
    """

    deals_for: Given
    speaks: Given
    account: Given
    sender: Given
    since: date
    by: Given = "folder"
    cancels_until: Annotated[str, Meta(pattern=r"^(([01][0-9]|2[0-3]):[0-5][0-9])?$")] = ""
    place: dict[str, object]

    def __repr__(self) -> str:
        return f"ManagerTable({self.deals_for})"


class Delivers(Protocol):
    """Leaves files for a manager, once each."""

    async def deliver(self, file: NamedFile) -> bool:
        """Leave a file; return False if it was left before; raises as a staged drop's `hand_over`."""
        ...


@dataclass(frozen=True, slots=True)
class JoinedManager:
    """A fund manager as this deployment reaches it: by `name` in the secrets file, its table, its files' adapter, its place."""

    name: str
    table: ManagerTable
    adapter: DealingManager
    drop: FileDrop


@dataclass(frozen=True, slots=True)
class OrderDesk:
    """The fund managers that a scheme's orders are sent to, and the exchanges that send them."""

    exchanges: Exchanges
    managers: Mapping[str, JoinedManager] = field(default_factory=dict)

    def manager(self, name: str) -> JoinedManager:
        """Return a manager by its name in the secrets file.

        Raises:
            UnknownManager: none of that name is joined.
        """
        if name not in self.managers:
            raise UnknownManager(manager=name)
        return self.managers[name]


class _Question(Struct, frozen=True):
    """What an exchange of a file keeps: its name, the reference in it, and its bytes."""

    name: str
    message_ref: str
    raw: bytes


async def file_orders(db: Database, tenant: Tenant, desk: OrderDesk) -> int:
    """Put every order that is to leave into files, one a manager, day and side; return how many files were made.

    Each file is kept with its orders and the exchange that will leave it, in one transaction: an order is in one file, ever,
    unless that file was rejected. Running it twice, or twice at once, makes no second file.
    """
    return sum([await _file_for(db, tenant, desk, manager) for manager in desk.managers.values()])


async def _file_for(db: Database, tenant: Tenant, desk: OrderDesk, manager: JoinedManager) -> int:
    async def once() -> int:
        async with db.unit_of_work(tenant.tenant_id) as session:
            if not _theirs(tenant, manager, await queries.unsent_orders(session, manager.table.since)):
                return 0
            await queries.hold_order_files(session)
            unsent = _theirs(tenant, manager, await queries.unsent_orders(session, manager.table.since))
            made = 0
            for (day, side), orders in groupby(unsent, lambda one: (one.cut_off_on, OrderSide(one.side))):
                await _make_file(session, tenant, desk, manager, day, side, list(orders))
                made += 1
            return made

    return await retry_transaction(once)


def _theirs(tenant: Tenant, manager: JoinedManager, orders: Sequence[Unsent]) -> list[Unsent]:
    """Return the orders in funds that the rules of their day give to a manager."""
    return [one for one in orders if _manager_of(tenant, one) == manager.table.deals_for]


def _manager_of(tenant: Tenant, order: Unsent) -> str | None:
    found = tenant.rule(FundsRule, product=order.product, dates=Dates(on=order.cut_off_on))
    funds = () if found is None else found.rule.funds
    return next((fund.manager for fund in funds if fund.code == order.fund), None)


async def _make_file(
    session: AsyncSession,
    tenant: Tenant,
    desk: OrderDesk,
    manager: JoinedManager,
    day: date,
    side: OrderSide,
    orders: Sequence[Unsent],
) -> None:
    now = await ledger.scheme_now(session)
    number, sequence = await queries.next_numbers(session, manager.name)
    message_ref = f"OR{tenant.tenant_id}-{number}"
    references = [_wire_reference(one) for one in orders]
    (made,) = manager.adapter.write_orders(
        OrderFile(
            message_ref=message_ref,
            sequence=sequence,
            created_at=now,
            sender=manager.table.sender,
            account=manager.table.account,
            dealing_on=day,
            orders=tuple(_pooled(tenant, one, side, name) for one, name in zip(orders, references, strict=True)),
        )
    )
    facts = {"file": message_ref, "manager": manager.name, "side": side, "orders": len(orders), "sha256": made.sha256}
    event_id = await _record(session, tenant, EventKind.ORDERS_FILED, facts, day=day)
    file = NewFile(
        file_id=number,
        reference=uuid4(),
        counterparty=manager.name,
        sequence=sequence,
        cut_off_on=day,
        side=side,
        message_ref=message_ref,
        name=made.name,
        sha256=made.sha256,
        made_at=now,
        event_id=event_id,
    )
    await queries.add_file(
        session,
        file,
        [(one.dealing_id, one.fund_id, name) for one, name in zip(orders, references, strict=True)],
    )
    question = _Question(made.name, message_ref, made.raw)
    await desk.exchanges.open(
        session,
        counterparty=manager.name,
        operation=FUND_ORDERS,
        reference=file.reference,
        question=msgspec.json.encode(question),
    )


def _wire_reference(order: Unsent) -> str:
    """Return the name that the manager knows an order by: the order's own, or one made of it where that is too long.

    One that was cancelled before leaves by another name each time: the manager knows it by its first as one that is gone.
    """
    name = f"{order.reference}-{order.cancelled + 1}" if order.cancelled else order.reference
    if len(name) <= REFERENCE_MAX:
        return name
    tail = hashlib.sha256(name.encode()).hexdigest()[:16]
    return f"{name[: REFERENCE_MAX - len(tail) - 1]}-{tail}"


def _pooled(tenant: Tenant, order: Unsent, side: OrderSide, reference: str) -> PooledOrder:
    if side is OrderSide.SUBSCRIBE:
        return PooledOrder(
            reference=reference, side=side, fund_code=order.fund, amount=Amount(order.amount, tenant.asset)
        )
    units = Decimal(order.amount).scaleb(-order.unit_scale)
    return PooledOrder(reference=reference, side=side, fund_code=order.fund, units=units)


async def _record(
    session: AsyncSession, tenant: Tenant, kind: EventKind, body: Mapping[str, object], *, day: date
) -> int:
    entry = Entry(
        member_id=house_member(tenant.tenant_id),
        kind=kind,
        business_date=day,
        actor=await ledger.actor_id(session, _ACTOR),
        pack=tenant.pack_id,
        body=body,
    )
    (posted,) = await ledger.post(session, [entry])
    return posted.event_id


def order_operation(delivery: Delivers, tenant: Tenant) -> Operation:
    """Return how exchanges leave files of orders. Whether a file was left is known after every crash; an enquiry finishes it.

    A file whose name is taken by other bytes is rejected, and its orders go in another.
    """

    async def leave(raw: bytes) -> Answer:
        question = msgspec.json.decode(raw, type=_Question)
        try:
            await delivery.deliver(NamedFile(question.name, question.raw))
        except NameTaken:
            return Answer(state=RequestState.FAILED, reason=Reason.DUPLICATE, code="name-taken")
        return Answer(state=RequestState.SUCCEEDED, provider_ref=question.message_ref)

    async def settle(session: AsyncSession, settled: Settled) -> None:
        file = await queries.hold_file(session, settled.reference)
        is_left = settled.answer.state is RequestState.SUCCEEDED
        today = business_date(await ledger.scheme_now(session), tenant.time_zone)
        facts = {"file": file.message_ref, "manager": settled.counterparty, "orders": file.orders}
        kind = EventKind.ORDERS_DELIVERED if is_left else EventKind.ORDERS_UNDELIVERED
        event_id = await _record(session, tenant, kind, facts, day=today)
        await queries.decide_file(session, file.file_id, state="accepted" if is_left else "rejected", event_id=event_id)

    return Operation(ask=lambda raw, _url: leave(raw), enquire=lambda raw, _last, _url: leave(raw), settle=settle)


async def list_order_files(session: AsyncSession, *, before: int | None = None, most: int = 100) -> list[OrderFileRow]:
    """Return files of orders below a number, the newest first."""
    return await queries.list_files(session, before=before, most=most)
