"""Which days are to be closed, and whether what a day ended with adds up. Pure: no clock, no database."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from engine.ledger.rules import CREDIT_KINDS


class Step(StrEnum):
    """What a day ends with, in this order."""

    CUT_OFF = "cut-off"
    RECONCILE = "reconcile"
    JOBS = "jobs"
    PROOF = "proof"
    CLOSE = "close"
    BALANCE = "balance"


def days_to_close(last_closed: date | None, first: date | None, today: date) -> list[date]:
    """Return the days that are over and not closed, the earliest first.

    Args:
        last_closed: the last day that is closed; None if none is.
        first: the first day of the books, where none is closed; None if the books are empty.
        today: the scheme's day, which is not over.
    """
    begin = first if last_closed is None else last_closed + timedelta(days=1)
    if begin is None:
        return []
    return [begin + timedelta(days=n) for n in range((today - begin).days)]


def end_of(day: date, zone: str) -> datetime:
    """Return the instant at which a business day ends in the scheme's time zone, aware, in UTC."""
    return datetime.combine(day + timedelta(days=1), time(), ZoneInfo(zone)).astimezone(UTC)


@dataclass(frozen=True, slots=True)
class CodeBalance:
    """What one account code began a day with, moved and ended with, in smallest units; balances are credit less debit."""

    kind: str
    asset: str
    scale: int
    opening: int
    debits: int
    credits: int


@dataclass(frozen=True, slots=True)
class KindBalance:
    """What all accounts of a kind began a day with, moved and ended with in an asset, on the kind's normal side."""

    kind: str
    asset: str
    scale: int
    opening: int
    debits: int
    credits: int
    closing: int


def by_kind(codes: Sequence[CodeBalance]) -> list[KindBalance]:
    """Return the balances of account codes by kind and asset, in their order."""
    sums: dict[tuple[str, str, int], tuple[int, int, int]] = {}
    for one in codes:
        key = (one.asset, one.kind, one.scale)
        opening, debits, credits_ = sums.get(key, (0, 0, 0))
        sums[key] = (opening + one.opening, debits + one.debits, credits_ + one.credits)
    found = []
    for (asset, kind, scale), (opening, debits, credits_) in sorted(sums.items()):
        sign = 1 if kind in CREDIT_KINDS else -1
        found.append(
            KindBalance(kind, asset, scale, sign * opening, debits, credits_, sign * (opening + credits_ - debits))
        )
    return found


def is_balanced(codes: Sequence[CodeBalance]) -> bool:
    """Return whether in every asset what accounts began with sums to nothing, and debits are credits."""
    sums: dict[str, tuple[int, int]] = {}
    for one in codes:
        opening, moved = sums.get(one.asset, (0, 0))
        sums[one.asset] = (opening + one.opening, moved + one.credits - one.debits)
    return all(sums_ == (0, 0) for sums_ in sums.values())
