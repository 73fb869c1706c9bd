"""Ages, months, rounding and reference series: every edge once."""

from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.kernel.amounts import Amount, Asset
from engine.kernel.months import (
    age_nearest,
    age_on,
    anniversary,
    birthday_of_year,
    month_end,
    months_after,
    whole_months,
)
from engine.kernel.rounding import rounded
from engine.kernel.series import Figures, MultipleOf, Series, SeriesPoint, SeriesValueMissing

D = date.fromisoformat
days = st.dates(D("1930-01-01"), D("2090-12-31"))


@pytest.mark.parametrize(
    ("born", "on", "leap_day", "age"),
    [
        pytest.param("2000-02-29", "2018-02-28", "1-march", 17, id="born on 29 February, the day before, by 1 March"),
        pytest.param("2000-02-29", "2018-03-01", "1-march", 18, id="born on 29 February, on 1 March"),
        pytest.param("2000-02-29", "2018-02-28", "28-february", 18, id="born on 29 February, by 28 February"),
        pytest.param("2000-02-29", "2020-02-29", "1-march", 20, id="in a leap year it is the day itself"),
        pytest.param("2000-05-10", "2018-05-09", "1-march", 17, id="the day before the birthday"),
        pytest.param("2000-05-10", "2018-05-10", "1-march", 18, id="on the birthday"),
    ],
)
def test_ages(born: str, on: str, leap_day: str, age: int) -> None:
    assert age_on(D(born), D(on), leap_day) == age  # type: ignore[arg-type]


def test_the_nearest_birthday_decides_the_nearest_age() -> None:
    assert age_nearest(D("2000-01-01"), D("2018-07-01")) == 18
    assert age_nearest(D("2000-01-01"), D("2018-07-03")) == 19


@pytest.mark.parametrize(
    ("day", "months", "then"),
    [
        ("2024-01-31", 1, "2024-02-29"),
        ("2023-01-31", 1, "2023-02-28"),
        ("2024-03-31", -1, "2024-02-29"),
        ("2024-12-15", 1, "2025-01-15"),
        ("2024-02-29", 12, "2025-02-28"),
    ],
)
def test_months_end_where_the_shorter_month_ends(day: str, months: int, then: str) -> None:
    assert months_after(D(day), months) == D(then)


@given(since=days, months=st.integers(-600, 600))
def test_whole_months_undo_months_after(since: date, months: int) -> None:
    assert whole_months(since, months_after(since, months)) == months


@given(born=days, ahead=st.integers(0, 20_000))
def test_an_age_is_the_last_anniversary_reached(born: date, ahead: int) -> None:
    on = born + timedelta(days=ahead)
    age = age_on(born, on)
    assert anniversary(born, age) <= on < anniversary(born, age + 1)


def test_a_year_of_birth_stands_for_a_day() -> None:
    assert [birthday_of_year(1990, one) for one in ("1-january", "1-july", "31-december")] == [
        D("1990-01-01"),
        D("1990-07-01"),
        D("1990-12-31"),
    ]
    assert month_end(D("2024-02-03")) == D("2024-02-29")


@pytest.mark.parametrize(
    ("value", "how", "step", "whole"),
    [
        ("2.5", "half-up", 1, 3),
        ("2.5", "half-even", 1, 2),
        ("3.5", "half-even", 1, 4),
        ("2.5", "nearest-down", 1, 2),
        ("2.51", "nearest-down", 1, 3),
        ("2.01", "up", 1, 3),
        ("2.99", "down", 1, 2),
        ("-2.5", "half-up", 1, -3),
        ("-2.9", "down", 1, -2),
        ("1249", "half-up", 500, 1000),
        ("1250", "half-up", 500, 1500),
        ("0", "up", 5, 0),
    ],
)
def test_rounding_has_a_name(value: str, how: str, step: int, whole: int) -> None:
    assert rounded(Decimal(value), how, step=step) == whole  # type: ignore[arg-type]


@given(value=st.fractions(), step=st.integers(1, 1000))
def test_rounding_moves_less_than_a_step(value: Fraction, step: int) -> None:
    for how in ("down", "up", "half-up", "half-even", "nearest-down"):
        found = rounded(value, how, step=step)
        assert found % step == 0
        assert abs(found - value) < step


RWF = Asset.currency("RWF")
WAGE = Series(
    "wage",
    "money",
    (
        SeriesPoint(D("2023-01-01"), D("2023-01-10"), Decimal(1000), "gazette"),
        SeriesPoint(D("2023-01-01"), D("2023-03-01"), Decimal(1100), "gazette, corrected"),
        SeriesPoint(D("2024-01-01"), D("2023-12-20"), Decimal(1201), "gazette"),
    ),
)


@pytest.mark.parametrize(
    ("on", "known", "value"),
    [
        ("2023-06-01", None, 1100),
        ("2023-06-01", "2023-02-01", 1000),
        ("2023-12-31", "2023-12-31", 1100),
        ("2024-01-01", None, 1201),
    ],
)
def test_a_series_tells_what_was_in_force_as_known_then(on: str, known: str | None, value: int) -> None:
    point = WAGE.point(D(on), known_on=D(known) if known else None)
    assert point is not None
    assert point.value == value


def test_an_amount_may_be_a_multiple_of_a_series() -> None:
    figures = Figures(RWF, {"wage": WAGE})
    half = MultipleOf(series="wage", times="0.5")
    assert figures.amount(half, D("2024-05-01")) == Amount(601, RWF)
    assert figures.amount(MultipleOf(series="wage", times="0.5", lag_months=6), D("2024-05-01")) == Amount(550, RWF)
    assert figures.amount(MultipleOf(series="wage", step="500", rounding="up"), D("2024-05-01")) == Amount(1500, RWF)
    assert figures.amount("250", D("1990-01-01")) == Amount(250, RWF)
    with pytest.raises(SeriesValueMissing):
        figures.amount(half, D("2022-12-31"))
    with pytest.raises(SeriesValueMissing):
        figures.amount(MultipleOf(series="index"), D("2024-05-01"))
