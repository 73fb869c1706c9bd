"""Calendar arithmetic: ages, anniversaries, months, births known only by year. Every question of 29 February, once."""

import calendar
from datetime import date
from typing import Literal

LeapDay = Literal["28-february", "1-march"]
"""Where an anniversary of 29 February falls in a common year."""
UnknownBirthday = Literal["1-january", "1-july", "31-december"]
"""Which day stands for a birth of which only the year is known."""


def months_after(day: date, months: int) -> date:
    """Return the same day of the month `months` later (earlier if negative), or that month's last day if it is shorter."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def anniversary(day: date, years: int, leap_day: LeapDay = "1-march") -> date:
    """Return the day `years` after `day`; of 29 February, in a common year, where `leap_day` says."""
    year = day.year + years
    if (day.month, day.day) == (2, 29) and not calendar.isleap(year):
        return date(year, 2, 28) if leap_day == "28-february" else date(year, 3, 1)
    return date(year, day.month, day.day)


def age_on(born_on: date, day: date, leap_day: LeapDay = "1-march") -> int:
    """Return the completed years of life on `day`; negative before birth."""
    years = day.year - born_on.year
    return years - (day < anniversary(born_on, years, leap_day))


def age_nearest(born_on: date, day: date, leap_day: LeapDay = "1-march") -> int:
    """Return the age at the nearest birthday; half way between two counts as the older."""
    age = age_on(born_on, day, leap_day)
    last, following = anniversary(born_on, age, leap_day), anniversary(born_on, age + 1, leap_day)
    return age + ((day - last) >= (following - day))


def birthday_of_year(year: int, stands_for: UnknownBirthday = "1-july") -> date:
    """Return the day taken for a birth of which only the year is known."""
    month, day = {"1-january": (1, 1), "1-july": (7, 1), "31-december": (12, 31)}[stands_for]
    return date(year, month, day)


def whole_months(since: date, until: date) -> int:
    """Return the completed months from `since` to `until`, negative if `until` is earlier; month ends meet month ends."""
    months = (until.year - since.year) * 12 + until.month - since.month
    return months - (months_after(since, months) > until)


def month_end(day: date) -> date:
    """Return the last day of the month of `day`."""
    return day.replace(day=calendar.monthrange(day.year, day.month)[1])
