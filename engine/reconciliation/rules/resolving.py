"""Whose turn it is with a break, and what may be done about it. Pure: no clock, no database."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, Protocol

from engine.reconciliation.errors import AboveLimit, CauseDiffers, CauseNeeded, ManyToMany, NotMatchable


class BreakReason(StrEnum):
    """Why a line is no receipt's yet, or a receipt no line's."""

    NO_RECEIPT = "no-receipt"
    AMOUNT_DIFFERS = "amount-differs"
    BATCH_DIFFERS = "batch-differs"
    ALREADY_MATCHED = "already-matched"
    MONEY_OUT = "money-out"
    WITHDRAWN = "withdrawn"
    NOT_SHOWN = "receipt-not-shown"


Counterpart = Literal["bank", "wallet", "manager", "member"]
Turn = Literal["operator", "bank", "wallet", "manager", "member"]


def turn_of(
    reason: BreakReason | None, holder: Literal["bank", "wallet"], *, held_for: Counterpart | None = None
) -> Turn:
    """Return whose turn it is with a break.

    Where a person holds it for somebody it is theirs. Else whoever keeps the account has to say what they meant by an
    amount that differs, a second line of one payment, a line taken away, or a payment that they do not show; the rest is
    the operator's. A line that was not tried yet (no reason) is the operator's as well.

    Args:
        reason: why it is a break.
        holder: who keeps the account.
        held_for: for whom it is held on the day, if it is.
    """
    if held_for is not None:
        return held_for
    theirs = {
        BreakReason.AMOUNT_DIFFERS,
        BreakReason.BATCH_DIFFERS,
        BreakReason.ALREADY_MATCHED,
        BreakReason.WITHDRAWN,
        BreakReason.NOT_SHOWN,
    }
    return holder if reason in theirs else "operator"


class Cause(Protocol):
    """A cause that the pack names: which way its money moves, and how much may be booked for it (None: any amount)."""

    @property
    def code(self) -> str:
        """Return its name in the pack."""

    @property
    def moves(self) -> Literal["in", "out", "either"]:
        """Return whether its money comes in, goes out, or does either."""

    @property
    def most(self) -> int | None:
        """Return the largest amount, in smallest units."""


@dataclass(frozen=True, slots=True)
class Named:
    """A receipt that a person says a line shows: what it booked into the account, and whether a line shows it already."""

    event_id: int
    received: int
    is_matched: bool


def check_sides(receipts: Sequence[Named], wanted: Sequence[int], lines: Sequence[int]) -> None:
    """Refuse a match that is not of one line with receipts or of several lines with one receipt, all of money in.

    Args:
        receipts: what is known of the receipts that were named.
        wanted: the receipts that were named.
        lines: the amounts of the lines, the break's own first.

    Raises:
        ManyToMany: there are several lines and several receipts.
        NotMatchable: a receipt is unknown, of another account, or shown already; or a line is money that went out.
    """
    if len(lines) > 1 and len(wanted) > 1:
        raise ManyToMany
    good = {one.event_id for one in receipts if one.received > 0 and not one.is_matched}
    for one in wanted:
        if one not in good:
            raise NotMatchable(receipt=str(one))
    if wanted and min(lines) < 0:
        raise NotMatchable(receipt=str(wanted[0]))


def difference_booked(lines: int, received: int, cause: Cause | None) -> int:
    """Return what the lines have more than the receipts (negative: less), to be booked for a cause; in smallest units.

    Nothing is left over silently: a difference needs a cause of its direction and within its limit, and without a
    difference there is none.

    Raises:
        CauseNeeded: there is a difference and no cause.
        CauseDiffers: the cause is of money that moves the other way, or there is nothing to be booked for it.
        AboveLimit: the difference is more than may be booked for the cause.
    """
    difference = lines - received
    if cause is None:
        if difference:
            raise CauseNeeded
        return 0
    direction = "in" if difference > 0 else "out"
    if difference == 0 or cause.moves not in (direction, "either"):
        raise CauseDiffers(cause=cause.code)
    if cause.most is not None and abs(difference) > cause.most:
        raise AboveLimit(cause=cause.code)
    return difference
