"""The days a scheme does business on: weekend, public holidays, its own days."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.kernel.calendars import BusinessCalendar

D = date.fromisoformat
INDIA = BusinessCalendar("IN", closed=frozenset({D("2023-04-05")}), opened=frozenset({D("2023-04-08")}))
FRIDAYS = BusinessCalendar("EG", weekend=frozenset({"friday", "saturday"}))


@pytest.mark.parametrize(
    ("calendar", "day", "is_open"),
    [
        pytest.param(INDIA, "2023-04-06", True, id="a working Thursday"),
        pytest.param(INDIA, "2023-04-07", False, id="Good Friday, a public holiday"),
        pytest.param(INDIA, "2023-04-08", True, id="a Saturday that the scheme works on"),
        pytest.param(INDIA, "2023-04-09", False, id="a Sunday"),
        pytest.param(INDIA, "2023-04-05", False, id="a day of the scheme's own"),
        pytest.param(FRIDAYS, "2023-06-02", False, id="a Friday where the week ends on Thursday"),
        pytest.param(FRIDAYS, "2023-06-04", True, id="a Sunday where the week begins on it"),
    ],
)
def test_a_day_is_open_or_not(calendar: BusinessCalendar, day: str, is_open: bool) -> None:
    assert calendar.is_open(D(day)) is is_open


def test_business_days_are_counted_past_what_is_closed() -> None:
    assert INDIA.between(D("2023-04-04"), D("2023-04-11")) == [
        D("2023-04-06"),
        D("2023-04-08"),
        D("2023-04-10"),
        D("2023-04-11"),
    ]
    assert INDIA.after(D("2023-04-04"), 2) == D("2023-04-08")
    assert INDIA.on_or_after(D("2023-04-07")) == D("2023-04-08")
    assert INDIA.on_or_before(D("2023-04-09")) == D("2023-04-08")
    assert INDIA.between(D("2023-04-06"), D("2023-04-06")) == []


@given(day=st.dates(D("2020-01-01"), D("2030-12-31")), count=st.integers(0, 30))
def test_the_nth_business_day_is_the_nth_counted(day: date, count: int) -> None:
    then = INDIA.after(day, count)
    assert INDIA.is_open(then)
    if count:
        assert INDIA.count(day, then) == count
    else:
        assert INDIA.count(day - timedelta(days=1), then) == 1
