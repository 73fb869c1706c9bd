"""Whether what a manager confirms is what was ordered, and whose turn it is where it is not. Pure: no clock, no database."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Literal

from engine.kernel.fund_orders import OrderConfirmation, PooledOrder, confirmation_break


class ConfirmationState(StrEnum):
    """What became of a confirmation."""

    WAITING = "waiting"
    PART = "part"
    CONFIRMED = "confirmed"
    REPEATED = "repeated"
    SUPERSEDED = "superseded"
    BREAK = "break"
    SET_ASIDE = "set-aside"


@dataclass(frozen=True, slots=True, kw_only=True)
class PricedOrder:
    """What the books have for an order once it took its price: units, money in smallest units, and the price's day."""

    price_on: date
    price: Decimal
    units: Decimal
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SentOrder:
    """An order as it was sent to `manager`. `priced` is None until it has a price; `is_confirmed`: nothing is left to confirm."""

    order: PooledOrder
    manager: str
    dealing_on: date
    unit_scale: int
    priced: PricedOrder | None = None
    is_confirmed: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a confirmation is, and for a break why: a key of CONFIRMATION_BREAKS."""

    state: ConfirmationState
    reason: str = ""


def judge_unsent(reference: str, *, is_placed: bool, scheme: str) -> Verdict:
    """Return the break of a confirmation whose order was not sent; our references begin with the scheme's code."""
    if is_placed:
        return Verdict(ConfirmationState.BREAK, "never-sent")
    is_ours = reference.startswith(f"{scheme}-")
    return Verdict(ConfirmationState.BREAK, "no-such-order" if is_ours else "another-scheme")


def judge(sent: SentOrder, deals: Sequence[OrderConfirmation], *, manager: str) -> list[Verdict]:
    """Return what each of an order's deals is, side by side; `manager` is who tells of them.

    Each must be of the order by itself: its fund, side, currency, price, and the day of that price. Together they must be its units
    and its money to the last decimal; less of both is a part while the manager calls one of them one.
    """
    if sent.is_confirmed:
        return [Verdict(ConfirmationState.BREAK, "already-confirmed") for _ in deals]
    faults = [_fault(sent, deal, manager) for deal in deals]
    good = [deal for deal, fault in zip(deals, faults, strict=True) if fault is None]
    together = _together(sent, good)
    return [together if fault is None else Verdict(ConfirmationState.BREAK, fault) for fault in faults]


def _fault(sent: SentOrder, deal: OrderConfirmation, manager: str) -> str | None:
    """Return why a deal cannot be of the order, whatever the others are."""
    if manager != sent.manager:
        return "never-sent"
    found = confirmation_break(sent.order, deal, dealing_on=sent.dealing_on, unit_scale=sent.unit_scale)
    priced = sent.priced
    if found is not None or priced is None:
        return found
    if deal.price != priced.price:
        return "another-price"
    if deal.traded_on != priced.price_on:
        return "another-day"
    if deal.is_partial:
        return None
    return _difference(priced, deal.units, deal.amount.units)


def _together(sent: SentOrder, deals: Sequence[OrderConfirmation]) -> Verdict:
    priced = sent.priced
    if priced is None:
        return Verdict(ConfirmationState.WAITING)
    units = sum((deal.units for deal in deals), Decimal(0))
    amount = sum(deal.amount.units for deal in deals)
    differs = _difference(priced, units, amount)
    if differs is None:
        return Verdict(ConfirmationState.CONFIRMED)
    if all(deal.is_partial for deal in deals) and units < priced.units and amount < priced.amount:
        return Verdict(ConfirmationState.PART)
    return Verdict(ConfirmationState.BREAK, differs)


def _difference(priced: PricedOrder, units: Decimal, amount: int) -> str | None:
    if amount != priced.amount:
        return "another-amount"
    return None if units == priced.units else "another-number-of-units"


def turn_of_confirmation(reason: str) -> Literal["operator", "manager"]:
    """Return whose turn a break is: the operator's for what was never sent or is another scheme's, else the manager's."""
    return "operator" if reason in {"never-sent", "another-scheme"} else "manager"
