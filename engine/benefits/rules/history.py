"""What a member paid and when: totals by scheme year and by month. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

from engine.funds.rules import Given

SchemeYear = Callable[[date], tuple[date, date]]
"""Returns the scheme year of a day: its first day, and the first day of the next."""


@dataclass(frozen=True, slots=True)
class Paid:
    """A contribution of smallest units, and whether it was taken back later."""

    on: date
    minor: int
    is_reversed: bool = False


def counted(paid: Sequence[Paid], *, net_of_reversals: bool) -> tuple[Paid, ...]:
    """Return the contributions that count, by day."""
    return tuple(sorted((one for one in paid if not (net_of_reversals and one.is_reversed)), key=lambda one: one.on))


def year_totals(paid: Sequence[Paid], year_of: SchemeYear) -> dict[date, int]:
    """Return what was paid in each scheme year, by its first day."""
    totals: dict[date, int] = {}
    for one in paid:
        start = year_of(one.on)[0]
        totals[start] = totals.get(start, 0) + one.minor
    return totals


def month_number(day: date) -> int:
    """Return the months since the year 0, so that consecutive months are consecutive numbers."""
    return day.year * 12 + day.month - 1


def month_totals(paid: Sequence[Paid]) -> dict[int, int]:
    """Return what was paid in each calendar month, by `month_number`."""
    totals: dict[int, int] = {}
    for one in paid:
        number = month_number(one.on)
        totals[number] = totals.get(number, 0) + one.minor
    return totals


def paid_given(given: Given) -> tuple[Paid, ...]:
    """Return the contributions of a worked example: `paid = [{ on, amount, reversed }]`."""
    return tuple(Paid(one.day("on"), one.minor("amount"), one.flag("reversed")) for one in given.rows("paid"))
