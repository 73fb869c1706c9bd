"""The days on which a scheme does business: its country's public holidays, its own days, its weekend."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cache
from typing import Literal, get_args

import holidays

Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
_WEEKDAYS = get_args(Weekday)


@dataclass(frozen=True, slots=True)
class BusinessCalendar:
    """A scheme's calendar. `country` is whose public holidays it keeps (ISO 3166-1, as the library `holidays` knows them).

    `closed` are the scheme's own days off, `opened` days on which it does business though the weekend or a public
    holiday says otherwise; a day in both is closed.
    """

    country: str
    weekend: frozenset[str] = frozenset({"saturday", "sunday"})
    closed: frozenset[date] = field(default=frozenset())
    opened: frozenset[date] = field(default=frozenset())

    def is_open(self, day: date) -> bool:
        """Return whether the scheme does business on a day."""
        if day in self.closed:
            return False
        if day in self.opened:
            return True
        return _WEEKDAYS[day.weekday()] not in self.weekend and day not in _public(self.country, day.year)

    def on_or_after(self, day: date) -> date:
        """Return the first business day from `day` on."""
        while not self.is_open(day):
            day += timedelta(days=1)
        return day

    def on_or_before(self, day: date) -> date:
        """Return the last business day up to and with `day`."""
        while not self.is_open(day):
            day -= timedelta(days=1)
        return day

    def after(self, day: date, count: int) -> date:
        """Return the `count`-th business day after `day` (count >= 0); of 0, the first from `day` on."""
        if count == 0:
            return self.on_or_after(day)
        for _ in range(count):
            day = self.on_or_after(day + timedelta(days=1))
        return day

    def between(self, after: date, until: date) -> list[date]:
        """Return the business days after `after` up to and with `until`."""
        days = (after + timedelta(days=i) for i in range(1, (until - after).days + 1))
        return [day for day in days if self.is_open(day)]

    def count(self, after: date, until: date) -> int:
        """Return how many business days there are after `after` up to and with `until`; 0 where it is not later."""
        return len(self.between(after, until))


@cache
def _public(country: str, year: int) -> frozenset[date]:
    found: Iterable[date] = holidays.country_holidays(country, years=year)
    return frozenset(found)
