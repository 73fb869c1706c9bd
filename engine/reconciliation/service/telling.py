"""What does not agree between statements and receipts, and how far a receipt has come."""

from dataclasses import dataclass
from datetime import date
from typing import Literal, cast

from sqlalchemy.ext.asyncio import AsyncSession

from engine.funds import service as funds
from engine.kernel.amounts import Amount, Asset
from engine.kernel.clock import business_date
from engine.ledger import service as ledger
from engine.ledger.rules import EventKind
from engine.reconciliation.errors import UnknownReceipt
from engine.reconciliation.queries import breaks
from engine.reconciliation.queries import matching as queries
from engine.reconciliation.queries.matching import OpenLine, WaitingReceipt
from engine.reconciliation.rules import BreakReason, Counterpart, ReceiptState, break_reason, turn_of
from engine.tenancy.service import Tenant


@dataclass(frozen=True, slots=True)
class Break:
    """A statement's line that is no receipt's: "no-receipt", "amount-differs", "batch-differs", "already-matched"; "new" if not tried.

    "money-out" is money that left the account (a negative amount), "withdrawn" a receipt that a later version of its
    statement has no longer. `line` tells it from the others of its statement, `row` is where it stands in the file;
    `code` is the bank's own word for the movement, `received` what the receipt of its reference says. `turn` says whose
    turn it is: operator, bank, wallet, manager or member; `held_until` until which day it is held for them; `proposals`
    how many wait for a second person. Major units.
    """

    statement: int
    line: int
    row: int
    account: str
    value_date: date
    amount: str
    reason: str
    age_days: int
    code: str = ""
    received: str | None = None
    turn: str = "operator"
    held_until: date | None = None
    proposals: int = 0


def reason_of(line: OpenLine) -> BreakReason | None:
    """Return why a line is no receipt's, or None if it is."""
    if line.is_withdrawn:
        return BreakReason.WITHDRAWN
    if line.is_of_batch and line.received is None and line.amount > 0:
        return BreakReason.BATCH_DIFFERS
    return break_reason(received=line.received, amount=line.amount, is_matched=line.is_matched)


def break_of(line: OpenLine, tenant: Tenant, today: date) -> Break:
    """Return a line as a break, with its age on a day."""
    asset, reason = tenant.asset, reason_of(line)
    is_held = line.held_until is not None and line.held_until >= today
    return Break(
        statement=line.statement_id,
        line=line.line_no,
        row=line.row,
        account=line.account,
        value_date=line.value_date,
        amount=fixed(line.amount, asset),
        reason=reason or "new",
        age_days=(today - line.value_date).days,
        code=line.code,
        received=None if line.received is None else fixed(line.received, asset),
        turn=turn_of(
            reason,
            keeper_of(tenant, line.account),
            held_for=cast("Counterpart", line.held_for) if is_held else None,
        ),
        held_until=line.held_until if is_held else None,
        proposals=line.proposals,
    )


def keeper_of(tenant: Tenant, account: str) -> Literal["bank", "wallet"]:
    """Return who keeps a collection account; a bank where the pack names the channel no longer."""
    return next((channel.kept_by for channel in tenant.pack.channels if channel.code == account), "bank")


@dataclass(frozen=True, slots=True)
class UnshownReceipt:
    """A receipt that no statement shows: whose turn it is, and its age in days. Major units."""

    receipt: str
    account: str
    amount: str
    reason: str
    turn: str
    age_days: int


async def list_unshown(session: AsyncSession, tenant: Tenant, *, most: int = 100) -> list[UnshownReceipt]:
    """Return receipts of days before today that no statement shows and that were not taken back, the oldest first."""
    today = business_date(await ledger.scheme_now(session), tenant.time_zone)
    return [
        UnshownReceipt(
            receipt=str(event),
            account=account,
            amount=fixed(amount, tenant.asset),
            reason=BreakReason.NOT_SHOWN,
            turn=turn_of(BreakReason.NOT_SHOWN, keeper_of(tenant, account)),
            age_days=(today - day).days,
        )
        for event, account, amount, day in await breaks.unshown_receipts(session, before=today, most=most)
    ]


async def list_breaks(
    session: AsyncSession, tenant: Tenant, *, after: tuple[int, int] = (0, 0), most: int = 100
) -> list[Break]:
    """Return lines that are no receipt's, after (statement, line), with the reason as it is now."""
    lines = await queries.open_lines(session, after=after, most=most)
    today = business_date(await ledger.scheme_now(session), tenant.time_zone)
    return [break_of(line, tenant, today) for line in lines]


async def list_waiting(session: AsyncSession, *, most: int = 100) -> list[WaitingReceipt]:
    """Return reconciled receipts whose cash is in no dealing yet, the oldest first; amounts in smallest units."""
    return await queries.list_unallocated(session, most=most)


async def receipt_state(session: AsyncSession, member_id: int, event_id: int) -> ReceiptState:
    """Return how far a receipt has come: received, suspended, matched, allocated, ordered, priced, reversed, or refunded.

    A receipt in suspense belongs to the house; after its resolution either of its events may be asked for.

    Raises:
        UnknownReceipt: there is no such receipt.
    """
    facts = await queries.receipt_facts(session, member_id, event_id)
    if facts is None:
        raise UnknownReceipt
    if facts.is_reversed:
        return ReceiptState.REVERSED
    if facts.is_refunded:
        return ReceiptState.REFUNDED
    owner, event = facts.resolved_member or member_id, facts.resolved_event or event_id
    allocation = await funds.allocation_state(session, owner, event)
    if allocation is not None:
        return ReceiptState(allocation.value)
    held = (EventKind.CONTRIBUTION_SUSPENDED, EventKind.CONTRIBUTION_MISDIRECTED)
    if facts.kind in held and facts.resolved_event is None:
        return ReceiptState.SUSPENDED
    return ReceiptState.MATCHED if facts.is_matched else ReceiptState.RECEIVED


async def is_matched(session: AsyncSession, member_id: int, event_id: int) -> bool:
    """Return whether a statement shows the money of a receipt; a resolved one may be named by either of its events."""
    facts = await queries.receipt_facts(session, member_id, event_id)
    return facts is not None and facts.is_matched


def fixed(smallest: int, asset: Asset) -> str:
    """Return an amount in major units, with all decimals of its asset."""
    return f"{Amount(smallest, asset).decimal():.{asset.scale}f}"
