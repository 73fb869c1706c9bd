"""What managers say they did with our orders: taken in as it came, held against the books, and never believed over them."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from itertools import groupby

from sqlalchemy.ext.asyncio import AsyncSession

from engine.funds.queries import confirming as queries
from engine.funds.queries.confirming import Candidate
from engine.funds.queries.ordering import hold_order_files
from engine.funds.rules.confirming import (
    ConfirmationState,
    PricedOrder,
    SentOrder,
    Verdict,
    judge,
    judge_unsent,
    turn_of_confirmation,
)
from engine.funds.service.ordering import JoinedManager
from engine.kernel.amounts import Amount, Asset
from engine.kernel.clock import business_date
from engine.kernel.file_values import sha256_of
from engine.kernel.files import FileRefused
from engine.kernel.fund_orders import CONFIRMATION_BREAKS, ConfirmationFile, OrderConfirmation, OrderSide, PooledOrder
from engine.kernel.ids import house_member
from engine.ledger import service as ledger
from engine.ledger.rules import Entry, EventKind
from engine.runtime.database import Database, retry_transaction
from engine.tenancy.service import Tenant

IMPORTED, REFUSED, KNOWN = "imported", "refused", "known"
_ACTOR = "system:dealing"
MOST_BREAKS_TOLD = 500
_MOST_IN_A_BATCH = 4_000
_Change = tuple[Candidate, Verdict]


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What a manager says it did with an order, and what became of that. Money, units and price as decimal strings.

    `state` is "waiting" (its order has no price yet), "part" (the rest is to come), "confirmed", "repeated", "superseded" or "break".
    A break has a `reason`, its `sentence`, and whose `turn` it is, operator or manager; `age_days` since it came.
    """

    file: int
    place: int
    row: int
    file_name: str
    manager: str
    reference: str
    deal: str
    side: str
    fund: str
    units: str
    price: str
    amount: str
    currency: str
    traded_on: date
    state: str
    reason: str
    sentence: str
    turn: str
    age_days: int


@dataclass(frozen=True, slots=True)
class ConfirmationImport:
    """What became of a file of confirmations: "imported", "refused" whole, or "known", the same bytes as before.

    `confirmed` are those of the file that now are; `waiting` those whose order has no price or is not whole yet; `breaks` are
    the first 500 of those that are `broken`; `refusal` says why nothing of the file is used.
    """

    file: str
    sha256: str
    state: str
    confirmed: int = 0
    waiting: int = 0
    repeated: int = 0
    broken: int = 0
    breaks: tuple[Confirmation, ...] = ()
    refusal: str = ""
    first_imported_at: datetime | None = None

    @property
    def is_refused(self) -> bool:
        """Return whether the file was refused whole and changed nothing."""
        return self.state == REFUSED

    def lines(self) -> list[str]:
        """Return the report in sentences, for the command line."""
        if self.first_imported_at is not None:
            return [f"{self.file}: the same bytes first came at {self.first_imported_at:%Y-%m-%d %H:%M} UTC"]
        if self.is_refused:
            return [f"{self.file}: refused whole, nothing changed", f"  {self.refusal}"]
        return [
            f"{self.file}: {self.confirmed} confirmed, {self.waiting} wait, {self.repeated} repeated, {self.broken} breaks",
            *(f"  row {one.row}, {one.reference}: {one.sentence} ({one.turn})" for one in self.breaks),
        ]


async def import_confirmations(
    db: Database, tenant: Tenant, manager: JoinedManager, raw: bytes, name: str, actor: str
) -> ConfirmationImport:
    """Take in a manager's file of confirmations; it is kept as it came, also where it is refused.

    The same bytes twice change nothing and say when they first came. What equals the books confirms its order; what does not is
    a break, and changes neither price nor units. The same deal said again otherwise supersedes what was not confirmed.

    Args:
        db: the database; the import is one transaction.
        tenant: whose orders they are of.
        manager: who sent the file.
        raw: the file's bytes.
        name: the file's name, as it came.
        actor: who imports.
    """
    read: ConfirmationFile | FileRefused
    try:
        read = await asyncio.to_thread(manager.adapter.read_confirmations, raw, name)
    except FileRefused as refusal:
        read = refusal
    sha256 = sha256_of(raw)

    async def once() -> ConfirmationImport:
        async with db.unit_of_work(tenant.tenant_id) as session:
            await hold_order_files(session)
            earlier = await queries.find_file(session, sha256)
            if earlier is not None and earlier.state == IMPORTED:
                return ConfirmationImport(name, sha256, KNOWN, first_imported_at=earlier.imported_at)
            now = await ledger.scheme_now(session)
            by = await ledger.actor_id(session, actor)
            if isinstance(read, FileRefused):
                refusal = {"row": read.row, "field": read.field, "reason": read.reason, "detail": read.detail}
                await queries.keep_file(
                    session,
                    counterparty=manager.name,
                    name=name,
                    sha256=sha256,
                    raw=raw,
                    state=REFUSED,
                    imported_at=now,
                    actor=by,
                    refusal=refusal,
                )
                return ConfirmationImport(name, sha256, REFUSED, refusal=str(read))
            today = business_date(now, tenant.time_zone)
            facts = {"sha256": sha256, "manager": manager.name, "confirmations": len(read.confirmations)}
            entry = _entry(tenant, EventKind.CONFIRMATIONS_IMPORTED, facts, day=today, by=by)
            (posted,) = await ledger.post(session, [entry])
            file_id = await queries.keep_file(
                session,
                counterparty=manager.name,
                name=name,
                sha256=sha256,
                raw=raw,
                state=IMPORTED,
                imported_at=now,
                actor=by,
                event_id=posted.event_id,
            )
            await queries.add_confirmations(session, file_id, manager.name, read.confirmations)
            await queries.meet_earlier(session, file_id)
            await _judge_all(session, tenant, today, by, file_id)
            return await _report(session, tenant, name, sha256, file_id)

    return await retry_transaction(once)


async def judge_confirmations(db: Database, tenant: Tenant) -> int:
    """Judge confirmations that waited for their orders' prices; return how many are no longer waiting."""

    async def once() -> int:
        async with db.unit_of_work(tenant.tenant_id) as session:
            await hold_order_files(session)
            today = business_date(await ledger.scheme_now(session), tenant.time_zone)
            return await _judge_all(session, tenant, today, await ledger.actor_id(session, _ACTOR))

    return await retry_transaction(once)


async def _judge_all(session: AsyncSession, tenant: Tenant, day: date, by: int, file_id: int | None = None) -> int:
    """Judge all that waits, and record what changed: one event an order that is confirmed, one a break."""
    changes: list[_Change] = []
    for _, found in groupby(await queries.candidates(session), lambda one: one.reference):
        deals = list(found)
        changes += [
            (one, verdict)
            for one, verdict in zip(deals, _verdicts(tenant, deals), strict=True)
            if (one.state, one.reason) != (verdict.state, verdict.reason)
        ]
    orders: dict[str, list[Candidate]] = {}
    for one, verdict in changes:
        if verdict.state is ConfirmationState.CONFIRMED:
            orders.setdefault(one.reference, []).append(one)
    breaks = [
        (one.file_id, one.place, one.reference, verdict.reason)
        for one, verdict in changes
        if verdict.state is ConfirmationState.BREAK
    ]
    if file_id is not None:
        breaks += await queries.unrecorded_breaks(session, file_id)
    events = await _post(
        session,
        [
            *(
                _entry(tenant, EventKind.ORDER_CONFIRMED, _confirmed(deals, tenant.asset), day=day, by=by)
                for deals in orders.values()
            ),
            *(
                _entry(
                    tenant,
                    EventKind.CONFIRMATION_BROKEN,
                    {"file": file, "place": place, "order": reference, "reason": reason},
                    day=day,
                    by=by,
                )
                for file, place, reference, reason in breaks
            ),
        ],
    )
    confirmed = dict(zip(orders, events, strict=False))
    broken = {(file, place): event for (file, place, *_), event in zip(breaks, events[len(orders) :], strict=True)}
    await queries.note_verdicts(
        session,
        [
            (
                one.file_id,
                one.place,
                verdict.state,
                verdict.reason,
                broken.get((one.file_id, one.place), confirmed.get(one.reference, 0)),
            )
            for one, verdict in changes
        ]
        + [
            (file, place, ConfirmationState.BREAK, reason, broken[file, place])
            for file, place, _, reason in breaks
            if reason == "confirmed-otherwise"
        ],
    )
    await queries.confirm_orders(
        session, [_order_key(deals[0], confirmed[reference]) for reference, deals in orders.items()]
    )
    return len(changes)


def _order_key(one: Candidate, event: int) -> tuple[int, int, int, str, int]:
    assert one.order_file is not None, one
    assert one.dealing_id is not None, one
    assert one.fund_id is not None, one
    return one.order_file, one.dealing_id, one.fund_id, one.side, event


async def _post(session: AsyncSession, entries: Sequence[Entry]) -> list[int]:
    return [
        fate.event_id
        for at in range(0, len(entries), _MOST_IN_A_BATCH)
        for fate in await ledger.post(session, entries[at : at + _MOST_IN_A_BATCH])
    ]


def _entry(tenant: Tenant, kind: EventKind, body: Mapping[str, object], *, day: date, by: int) -> Entry:
    return Entry(
        member_id=house_member(tenant.tenant_id),
        kind=kind,
        business_date=day,
        actor=by,
        pack=tenant.pack_id,
        body=body,
    )


def _confirmed(deals: Sequence[Candidate], asset: Asset) -> dict[str, object]:
    units = sum((one.units for one in deals), Decimal(0))
    amount = Amount(sum(one.amount for one in deals), asset)
    first = deals[0]
    return {
        "dealing": first.dealing_id,
        "product": first.product,
        "fund": first.fund,
        "side": first.side,
        "order": first.reference,
        "units": f"{units:f}",
        "price": f"{first.price:f}",
        "amount": f"{amount.decimal():.{asset.scale}f}",
        "traded_on": first.traded_on.isoformat(),
        "deals": len(deals),
    }


def _verdicts(tenant: Tenant, deals: Sequence[Candidate]) -> list[Verdict]:
    """Return what the deals of one reference are, side by side."""
    first = deals[0]
    if first.order_file is None:
        verdict = judge_unsent(first.reference, is_placed=first.is_placed, scheme=tenant.code)
        return [verdict for _ in deals]
    sent = _sent(tenant, first)
    found: list[Verdict] = []
    for manager, theirs in groupby(deals, lambda one: one.counterparty):
        found += judge(sent, [_deal(one) for one in theirs], manager=manager)
    return found


def _deal(one: Candidate) -> OrderConfirmation:
    return OrderConfirmation(
        row=one.line,
        reference=one.reference,
        deal_ref=one.deal_ref,
        side=OrderSide(one.side),
        fund_code=one.fund,
        units=one.units,
        price=one.price,
        amount=Amount(one.amount, Asset.currency(one.currency)),
        traded_on=one.traded_on,
        settles_on=one.settles_on,
        fees=one.fees,
        is_partial=one.is_partial,
    )


def _sent(tenant: Tenant, one: Candidate) -> SentOrder:
    assert one.sent_side is not None, one
    assert one.sent_to is not None, one
    assert one.sent_fund is not None, one
    assert one.unit_scale is not None, one
    assert one.ordered is not None, one
    assert one.cut_off_on is not None, one
    side = OrderSide(one.sent_side)
    is_buying = side is OrderSide.SUBSCRIBE
    return SentOrder(
        order=PooledOrder(
            reference=one.reference,
            side=side,
            fund_code=one.sent_fund,
            amount=Amount(one.ordered, tenant.asset) if is_buying else None,
            units=None if is_buying else Decimal(one.ordered).scaleb(-one.unit_scale),
        ),
        manager=one.sent_to,
        dealing_on=one.cut_off_on,
        unit_scale=one.unit_scale,
        priced=_priced(one, one.unit_scale),
        is_confirmed=one.is_confirmed,
    )


def _priced(one: Candidate, unit_scale: int) -> PricedOrder | None:
    if one.price_on is None or one.digits is None or one.scale is None:
        return None
    assert one.booked_units is not None, one
    assert one.booked_amount is not None, one
    return PricedOrder(
        price_on=one.price_on,
        price=Decimal(one.digits).scaleb(-one.scale),
        units=Decimal(one.booked_units).scaleb(-unit_scale),
        amount=one.booked_amount,
    )


async def _report(session: AsyncSession, tenant: Tenant, name: str, sha256: str, file_id: int) -> ConfirmationImport:
    counts = await queries.count_states(session, file_id)
    breaks = await list_confirmations(
        session, tenant, state=ConfirmationState.BREAK, file_id=file_id, most=MOST_BREAKS_TOLD
    )
    return ConfirmationImport(
        name,
        sha256,
        IMPORTED,
        confirmed=counts.get(ConfirmationState.CONFIRMED, 0),
        waiting=counts.get(ConfirmationState.WAITING, 0) + counts.get(ConfirmationState.PART, 0),
        repeated=counts.get(ConfirmationState.REPEATED, 0),
        broken=counts.get(ConfirmationState.BREAK, 0),
        breaks=tuple(breaks),
    )


async def list_confirmations(
    session: AsyncSession,
    tenant: Tenant,
    *,
    state: str | None = None,
    file_id: int | None = None,
    after: tuple[int, int] = (0, 0),
    most: int = 100,
) -> list[Confirmation]:
    """Return what managers said, after (file, place), as it came; of one state or all."""
    today = business_date(await ledger.scheme_now(session), tenant.time_zone)
    rows = await queries.list_confirmations(session, state=state, file_id=file_id, after=after, most=most)
    return [
        Confirmation(
            file=row.file_id,
            place=row.place,
            row=row.line,
            file_name=row.file,
            manager=row.counterparty,
            reference=row.reference,
            deal=row.deal_ref,
            side=row.side,
            fund=row.fund,
            units=f"{row.units:f}",
            price=f"{row.price:f}",
            amount=f"{Amount(row.amount, Asset.currency(row.currency)).decimal():f}",
            currency=row.currency,
            traded_on=row.traded_on,
            state=row.state,
            reason=row.reason,
            sentence=CONFIRMATION_BREAKS[row.reason] if row.reason else "",
            turn=turn_of_confirmation(row.reason) if row.reason else "",
            age_days=(today - business_date(row.imported_at, tenant.time_zone)).days,
        )
        for row in rows
    ]
