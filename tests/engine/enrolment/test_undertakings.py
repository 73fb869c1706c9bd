"""When instalments fall due, and from when a change counts: by number, against the days counted one by one."""

from datetime import date, timedelta
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import convert

from engine.enrolment.rules import DueDays, Frequency, ScheduleRule, Undertaken, in_force_on, next_period, spans

FREQUENCIES: tuple[Frequency, ...] = get_args(Frequency)
DAYS = st.dates(date(2015, 1, 1), date(2040, 12, 31))


def schedule(due_on: int | str = "month-end", seasons: tuple[int, ...] = (2, 7, 11)) -> ScheduleRule:
    told = {
        "kind": "contribution-schedule",
        "id": "schedule",
        "source": "invented",
        "confidence": "high",
        "frequencies": list(FREQUENCIES),
        "due_on": due_on,
        "seasons": list(seasons),
        "parts_until": "no-parts",
    }
    return convert(told, ScheduleRule)


@given(
    frequency=st.sampled_from(FREQUENCIES),
    due_on=st.one_of(st.integers(1, 31), st.sampled_from(["joining-day", "month-end"])),
    joined_on=DAYS,
    later=st.integers(0, 400),
    seasons=st.sets(st.integers(1, 12), min_size=1),
)
def test_as_many_are_due_as_there_are_days_by_then(
    frequency: Frequency, due_on: int | str, joined_on: date, later: int, seasons: set[int]
) -> None:
    days = DueDays(schedule(due_on, tuple(sorted(seasons))), frequency, joined_on, joined_on + timedelta(days=later))
    due = [days.at(number) for number in range(40)]

    assert due == sorted(set(due))
    assert due[0] >= days.begins
    for number, day in enumerate(due):
        assert days.count(day) == number + 1
        assert days.count(day - timedelta(days=1)) == number


@given(frequency=st.sampled_from(FREQUENCIES), from_on=DAYS, later=st.integers(0, 800))
def test_a_change_counts_from_a_period_that_has_not_begun_and_breaks_none(
    frequency: Frequency, from_on: date, later: int
) -> None:
    on = from_on + timedelta(days=later)
    held = Undertaken("", frequency, from_on, from_on)

    begins = next_period(held, on)

    assert on < begins
    days = DueDays(schedule(), frequency, from_on, from_on)
    before = days.count(begins - timedelta(days=1))
    # No instalment of what was held, due before the change, is for a time after it: the next one is of the next period.
    after = DueDays(schedule(), frequency, from_on, begins)
    assert days.at(before) == after.at(0)


def test_of_two_that_count_from_one_day_the_later_given_counts() -> None:
    first = Undertaken("1000", "monthly", date(2023, 4, 3), date(2023, 4, 3))
    wrong = Undertaken("2000", "monthly", date(2023, 6, 1), date(2023, 5, 2))
    right = Undertaken("3000", "monthly", date(2023, 6, 1), date(2023, 5, 3))

    assert spans([first, wrong, right]) == [(first, date(2023, 6, 1)), (right, None)]
    assert in_force_on([first, wrong, right], date(2023, 4, 2)) is None
    assert in_force_on([first, wrong, right], date(2023, 5, 31)) == first
    assert in_force_on([first, wrong, right], date(2023, 6, 1)) == right


@pytest.mark.parametrize(
    ("frequency", "on", "begins"),
    [
        ("monthly", date(2023, 7, 10), date(2023, 8, 1)),
        ("quarterly", date(2023, 8, 31), date(2023, 9, 1)),
        ("quarterly", date(2023, 9, 1), date(2023, 12, 1)),
        ("half-yearly", date(2023, 11, 30), date(2023, 12, 1)),
        ("weekly", date(2023, 6, 22), date(2023, 6, 29)),
        ("daily", date(2023, 6, 22), date(2023, 6, 23)),
    ],
)
def test_periods_are_counted_from_the_first_one(frequency: Frequency, on: date, begins: date) -> None:
    assert next_period(Undertaken("", frequency, date(2023, 6, 15), date(2023, 6, 15)), on) == begins
