"""How a date is read when nobody says in which order it was written. Pure.

The recordkeeper's files wrote the 7th of August 2014 as 8/7/2014 and the 12th as 2014-08-12; others wrote
06/19/2014, 20200224 or the day first. A text therefore has *readings*, one an order, and the file as a whole
decides.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import PurePosixPath
from typing import Literal

Order = Literal["mdy", "dmy", "ymd"]
Readings = Mapping[Order, date | None]
"""For each order a text's shape allows, the day it means, or None where that is no day of the calendar."""

ORDERS: tuple[Order, ...] = ("mdy", "dmy", "ymd")  # the recordkeeper's present order first
DATE_CHARACTERS_MIN, DATE_CHARACTERS_MAX = 6, 40  # 1/2/23; a written-out month with a time and many blanks
YEAR_MIN, YEAR_MAX = 2000, 2099  # no NPS price is older than 2008

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH_NAME = (
    "jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    "|nov(?:ember)?|dec(?:ember)?"
)
_TIME = re.compile(r"[T ] *[0-9]{1,2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?( ?[AP]M)?Z?$", re.IGNORECASE)
_YEAR_FIRST = re.compile(r"([0-9]{4})([-/.])([0-9]{1,2})\2([0-9]{1,2})")
_YEAR_LAST = re.compile(r"([0-9]{1,2})([-/.])([0-9]{1,2})\2([0-9]{4})")
_SHORT_YEAR = re.compile(r"([0-9]{1,2})([-/.])([0-9]{1,2})\2([0-9]{1,2})")
_COMPACT = re.compile(r"[0-9]{8}")
_DAY_NAMED_MONTH = re.compile(
    rf"([0-9]{{1,2}})[-/. ]?({_MONTH_NAME})[-/., ]{{0,2}}([0-9]{{4}}|[0-9]{{2}})", re.IGNORECASE
)
_NAMED_MONTH_DAY = re.compile(rf"({_MONTH_NAME})[-/. ]([0-9]{{1,2}})[-/., ]{{1,2}}([0-9]{{4}})", re.IGNORECASE)
_IN_A_NAME = re.compile(
    r"(?<![0-9])(?:[0-9]{4}([-_.])[0-9]{1,2}\1[0-9]{1,2}|[0-9]{1,2}([-_.])[0-9]{1,2}\2[0-9]{4}|[0-9]{8}"
    rf"|[0-9]{{1,2}}[-_. ]?(?:{_MONTH_NAME})[-_. ]?[0-9]{{4}})(?![0-9])",
    re.IGNORECASE,
)


def readings_of(text: str) -> Readings | None:  # noqa: PLR0911 - one return a shape
    """Return what `text` can mean as a date, or None if it does not have the shape of one.

    A year has four digits, or two after 2000. A time of day behind the date is left out.
    """
    if not DATE_CHARACTERS_MIN <= len(text) <= DATE_CHARACTERS_MAX:
        return None
    text = _TIME.sub("", text.strip())
    if match := _YEAR_FIRST.fullmatch(text):
        return {"ymd": _day(match[1], match[3], match[4])}
    if match := _YEAR_LAST.fullmatch(text):
        first, second, year = match[1], match[3], match[4]
        return {"mdy": _day(year, first, second), "dmy": _day(year, second, first)}
    if match := _SHORT_YEAR.fullmatch(text):
        first, second, third = match[1], match[3], match[4]
        return {
            "mdy": _day(third, first, second),
            "dmy": _day(third, second, first),
            "ymd": _day(first, second, third),
        }
    if _COMPACT.fullmatch(text):
        return _compact_readings(text)
    if match := _DAY_NAMED_MONTH.fullmatch(text):
        return {"dmy": _day(match[3], _month_number(match[2]), match[1])}
    if match := _NAMED_MONTH_DAY.fullmatch(text):
        return {"mdy": _day(match[3], _month_number(match[1]), match[2])}
    return None


def _compact_readings(text: str) -> Readings | None:
    """Return the readings of eight digits; None if they are no date at all, but a number.

    From 2000 to 2099 the year is never ambiguous: read year first, a text that ends in a year has month 20.
    """
    if year_first := _day(text[:4], text[4:6], text[6:]):
        return {"ymd": year_first}
    first, second, year = text[:2], text[2:4], text[4:]
    readings: Readings = {"mdy": _day(year, first, second), "dmy": _day(year, second, first)}
    return readings if any(readings.values()) else None


def _month_number(name: str) -> str:
    return str(_MONTHS.index(name[:3].lower()) + 1)


def _day(year: str, month: str, day: str) -> date | None:
    """Return the day, or None if the calendar has no such day or it cannot be a price's."""
    number = int(year) + (2000 if len(year) <= 2 else 0)
    if not YEAR_MIN <= number <= YEAR_MAX:
        return None
    try:
        return date(number, int(month), int(day))
    except ValueError:
        return None


def rank_orders(dates: Iterable[Readings], day: date) -> tuple[Order, ...]:
    """Return the orders, best first, by what all `dates` of a file of `day` support.

    Best is an order that gives some of them as `day` and makes none impossible; then the order that gives more
    of them as `day`; in the end the recordkeeper's present order. Dates whose shape allows one order only say
    nothing.
    """
    unclear = [readings for readings in dates if len(readings) > 1]

    def support(order: Order) -> tuple[bool, int]:
        offered = [readings for readings in unclear if order in readings]
        hits = sum(readings[order] == day for readings in offered)
        contradicted = any(readings[order] is None and any(readings.values()) for readings in offered)
        return (hits > 0 and not contradicted, hits)

    return tuple(sorted(ORDERS, key=support, reverse=True))


def resolve(readings: Readings, ranking: Sequence[Order]) -> date | None:
    """Return the day `readings` mean in the best order of `ranking` that makes them a day."""
    return next((found for order in ranking if (found := readings.get(order))), None)


@dataclass(frozen=True, slots=True)
class NamedDays:
    """The days in a file's name: `likely` as the recordkeeper names its files, `other` if read month first."""

    likely: tuple[date, ...]
    other: tuple[date, ...]


def days_in_name(name: str) -> NamedDays:
    """Return the days a file's name can mean, none if it holds no date.

    The recordkeeper names its files day first (NAV_File_21062023.out), so day first is likely where the year is
    last; a name that is a day only when read month first is not taken for one. Two dates make two days.
    """
    likely: dict[date, None] = {}
    other: dict[date, None] = {}
    for match in _IN_A_NAME.finditer(PurePosixPath(name.replace("\\", "/")).name):
        readings = readings_of(match[0].replace("_", "-")) or {}
        first = readings.get("ymd") or readings.get("dmy")
        if first is None:
            continue
        likely[first] = None
        month_first = readings.get("mdy")
        if month_first and month_first != first:
            other[month_first] = None
    return NamedDays(tuple(likely), tuple(other))
