"""Which lines and receipts belong together where one line is not one receipt. Pure: no clock, no database."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

LineKey = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Differing:
    """A line that bears a receipt's reference and another amount; both in smallest units."""

    key: LineKey
    value_date: date
    amount: int
    receipt: int
    received: int


@dataclass(frozen=True, slots=True)
class Group:
    """Lines that show receipts: several of one or one of several. `difference` is what the lines have more."""

    lines: tuple[LineKey, ...]
    receipts: tuple[int, ...]
    difference: int


def by_reference(lines: Sequence[Differing], days: Mapping[int, date], *, most_days: int, within: int) -> list[Group]:
    """Return each line that differs from its receipt by at most `within`; a receipt with several lines is left alone."""
    found = []
    for group in _by_receipt(lines, days, most_days):
        difference = group[0].amount - group[0].received
        if len(group) == 1 and 0 < abs(difference) <= within:
            found.append(Group((group[0].key,), (group[0].receipt,), difference))
    return found


def by_same_reference(
    lines: Sequence[Differing], days: Mapping[int, date], *, most_days: int, within: int
) -> list[Group]:
    """Return the lines of each reference that has several, if together they differ from its receipt by at most `within`."""
    found = []
    for group in _by_receipt(lines, days, most_days):
        difference = sum(line.amount for line in group) - group[0].received
        if len(group) > 1 and abs(difference) <= within:
            found.append(Group(tuple(line.key for line in group), (group[0].receipt,), difference))
    return found


def _by_receipt(lines: Sequence[Differing], days: Mapping[int, date], most_days: int) -> list[list[Differing]]:
    """Return the lines of each receipt, unless one of them is of a day before the receipt's or more than `most_days` after."""
    groups: defaultdict[int, list[Differing]] = defaultdict(list)
    for line in lines:
        groups[line.receipt].append(line)
    return [
        group
        for receipt, group in groups.items()
        if all(0 <= (line.value_date - days[receipt]).days <= most_days for line in group)
    ]
