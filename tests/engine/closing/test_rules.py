"""Which days are closed, when a day ends, and whether it adds up."""

from datetime import UTC, date, datetime

import pytest

from engine.closing.rules import CodeBalance, by_kind, days_to_close, end_of, is_balanced


@pytest.mark.parametrize(
    ("last", "first", "today", "days"),
    [
        (None, None, date(2023, 4, 3), []),
        (None, date(2023, 4, 3), date(2023, 4, 3), []),
        (None, date(2023, 4, 1), date(2023, 4, 3), [date(2023, 4, 1), date(2023, 4, 2)]),
        (date(2023, 3, 31), date(2020, 1, 1), date(2023, 4, 2), [date(2023, 4, 1)]),
        (date(2023, 4, 2), date(2020, 1, 1), date(2023, 4, 3), []),
        (date(2023, 4, 9), date(2020, 1, 1), date(2023, 4, 3), []),
    ],
)
def test_the_days_that_are_over_are_closed(
    last: date | None, first: date | None, today: date, days: list[date]
) -> None:
    assert days_to_close(last, first, today) == days


def test_a_day_ends_by_the_schemes_own_clock() -> None:
    assert end_of(date(2023, 4, 3), "Asia/Kolkata") == datetime(2023, 4, 3, 18, 30, tzinfo=UTC)
    # the clocks go forward in the night after 25 March 2023
    assert end_of(date(2023, 3, 25), "Europe/Paris") == datetime(2023, 3, 25, 23, 0, tzinfo=UTC)
    assert end_of(date(2023, 3, 26), "Europe/Paris") == datetime(2023, 3, 26, 22, 0, tzinfo=UTC)


def test_balances_are_told_on_the_normal_side_of_their_kind() -> None:
    found = by_kind(
        [
            CodeBalance("cash", "INR", 2, 100, 30, 50),
            CodeBalance("collections", "INR", 2, -100, 50, 30),
            CodeBalance("cash", "INR", 2, 5, 0, 0),
        ]
    )

    assert [(one.kind, one.opening, one.debits, one.credits, one.closing) for one in found] == [
        ("cash", 105, 30, 50, 125),
        ("collections", 100, 50, 30, 120),
    ]


def test_a_day_adds_up_in_every_asset_on_its_own() -> None:
    whole = [CodeBalance("cash", "INR", 2, 100, 0, 50), CodeBalance("collections", "INR", 2, -100, 50, 0)]

    assert is_balanced(whole)
    assert not is_balanced([*whole, CodeBalance("units", "F", 4, 1, 0, 0)])
    assert not is_balanced([*whole, CodeBalance("units", "F", 4, 0, 1, 0), CodeBalance("cash", "INR", 2, 0, 0, 1)])
