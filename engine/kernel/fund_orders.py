"""Orders to a fund manager, and what it says it did. Pure value types and the check of one against the other.

Shared by the port that asks for such files and the adapters that write and read them.
"""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType

from engine.kernel.amounts import Amount
from engine.kernel.files import Sequence
from engine.kernel.text import N_

REFERENCE_MAX = 35


class OrderSide(StrEnum):
    """What an order asks for: units for money, or money for units."""

    SUBSCRIBE = "subscribe"
    REDEEM = "redeem"


@dataclass(frozen=True, slots=True, kw_only=True)
class PooledOrder:
    """All members' dealing in one fund, sent as one.

    `reference` is ours, at most 35 characters, and comes back in the confirmation. Either `amount` or `units` says how
    much: money to be invested or paid out, or units to be redeemed.
    """

    reference: str
    side: OrderSide
    fund_code: str
    amount: Amount | None = None
    units: Decimal | None = None

    def __post_init__(self) -> None:
        assert (self.amount is None) != (self.units is None), self
        assert 0 < len(self.reference) <= REFERENCE_MAX, self


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderFile:
    """The orders of one dealing, for one manager. `sequence` counts our files to it, `account` is ours in its books."""

    message_ref: str
    sequence: int
    created_at: datetime
    sender: str
    account: str
    dealing_on: date
    orders: tuple[PooledOrder, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderConfirmation:
    """An order that was carried out, whole or in part: `units` at `price` each, for `amount` in the end.

    `reference` is our order's, `deal_ref` the manager's own. `amount` is what settles: for a subscription what we pay,
    fees included, for a redemption what we get, fees taken off. `row` is the line of the file.
    """

    row: int
    reference: str
    deal_ref: str
    side: OrderSide
    fund_code: str
    units: Decimal
    price: Decimal
    amount: Amount
    traded_on: date
    settles_on: date | None = None
    fees: int = 0
    is_partial: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmationFile:
    """A file of confirmations that was read whole. `sequence` is the sender's number for it, None where it has none."""

    name: str
    sha256: str
    message_ref: str
    confirmations: tuple[OrderConfirmation, ...]
    sequence: Sequence | None = None


class OrderStatus(StrEnum):
    """What a manager says an order is; OTHER where its code is none that this engine acts on."""

    RECEIVED = "received"
    ACCEPTED = "accepted"
    PASSED_ON = "passed-on"
    CONDITIONAL = "conditional"
    SUSPENDED = "suspended"
    IN_REPAIR = "in-repair"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    DONE = "done"
    SETTLED = "settled"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderSaid:
    """What a manager says of an order: ours by `reference`, or of every order of our message `of_message`.

    `code` is the manager's own word for it, "" where it gives none. `row` is the line of the file.
    """

    row: int
    status: OrderStatus
    reference: str = ""
    of_message: str = ""
    code: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusFile:
    """A file that says how far orders are, read whole. `sequence` is the sender's number for it, None where it has none."""

    name: str
    sha256: str
    message_ref: str
    orders: tuple[OrderSaid, ...]
    sequence: Sequence | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CancellationFile:
    """A message that asks a manager to cancel one order of ours, by the reference it was sent under."""

    message_ref: str
    created_at: datetime
    side: OrderSide
    reference: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """Units of one fund that the manager or custodian keeps for us."""

    row: int
    fund_code: str
    units: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldingsFile:
    """What is held for us at the end of a day, by fund: at most one holding a fund."""

    name: str
    sha256: str
    account: str
    day: date
    holdings: tuple[Holding, ...]
    sequence: Sequence | None = None


CONFIRMATION_BREAKS = MappingProxyType(
    {
        "no-such-order": N_("No order with this reference was sent."),
        "another-fund": N_("The order was for another fund."),
        "another-side": N_("The order was the other way round."),
        "another-currency": N_("The order was in another currency."),
        "another-amount": N_("The order was for another amount."),
        "another-number-of-units": N_("The order was for another number of units."),
        "units-not-price": N_("Units and price do not make the amount."),
        "before-order": N_("It was carried out before the day of its dealing."),
        "another-scheme": N_("The reference is none that this scheme gives."),
        "never-sent": N_("The order was placed and never sent to this manager."),
        "another-price": N_("The accepted price of the order is another."),
        "another-day": N_("The order took the price of another day."),
        "already-confirmed": N_("The order was confirmed before, as another deal."),
        "confirmed-otherwise": N_("The same deal was confirmed before, otherwise."),
    }
)
"""Why a confirmation cannot stand, and the sentence that tells a person. Codes are stable."""


def confirmation_break(
    order: PooledOrder | None, confirmation: OrderConfirmation, *, dealing_on: date, unit_scale: int
) -> str | None:
    """Return why a confirmation is not that of `order`, a key of CONFIRMATION_BREAKS, or None if it is.

    Units × price may miss the amount, less fees, by what one unit's last decimal is worth and one smallest unit of money:
    managers round either way.

    Args:
        order: our order with the reference of the confirmation; None if none was sent.
        confirmation: what the manager says.
        dealing_on: the day of the order's dealing.
        unit_scale: the decimals in which the fund counts units.

    """
    if order is None:
        return "no-such-order"
    if confirmation.fund_code != order.fund_code:
        return "another-fund"
    if confirmation.side is not order.side:
        return "another-side"
    if confirmation.traded_on < dealing_on:
        return "before-order"
    return _money_break(order, confirmation, unit_scale)


def _money_break(order: PooledOrder, confirmation: OrderConfirmation, unit_scale: int) -> str | None:
    amount = confirmation.amount
    if order.amount is not None:
        if amount.asset != order.amount.asset:
            return "another-currency"
        is_wrong = amount.units > order.amount.units if confirmation.is_partial else amount.units != order.amount.units
        if is_wrong:
            return "another-amount"
    if order.units is not None:
        is_wrong = confirmation.units > order.units if confirmation.is_partial else confirmation.units != order.units
        if is_wrong:
            return "another-number-of-units"
    sign = -1 if confirmation.side is OrderSide.SUBSCRIBE else 1
    gross = Amount(amount.units + sign * confirmation.fees, amount.asset).decimal()
    tolerance = confirmation.price.scaleb(-unit_scale) + Decimal(1).scaleb(-amount.asset.scale)
    return None if abs(confirmation.units * confirmation.price - gross) <= tolerance else "units-not-price"
