"""The yearly return against a bisection, and the small rules of a statement."""

import math
from dataclasses import replace
from datetime import date, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.kernel.prices import Price
from engine.reports.rules import (
    Account,
    Allocation,
    LineState,
    Movement,
    NoReturn,
    Unpriced,
    basis_points,
    cash_of,
    flows_of,
    holdings_of,
    lines_of,
    why_no_return,
)
from engine.reports.service.statements import money_weighted_return

TODAY = date(2024, 3, 31)
CASH, UNITS = 2049, 6145


def grown(flows: list[tuple[date, int]], rate: float) -> float:
    return sum(amount * math.pow(1 + rate, (TODAY - day).days / 365) for day, amount in flows)


def bisected(flows: list[tuple[date, int]], value: int) -> float:
    low, high = -0.999999, 1_000.0
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if grown(flows, middle) < value else (low, middle)
    return (low + high) / 2


@given(
    payments=st.lists(st.tuples(st.integers(30, 4000), st.integers(100, 10**8)), min_size=1, max_size=40),
    growth=st.floats(0.3, 3.0),
)
def test_the_return_is_the_rate_at_which_the_payments_grow_to_the_value(
    payments: list[tuple[int, int]], growth: float
) -> None:
    flows = sorted((TODAY - timedelta(days=ago), amount) for ago, amount in payments)
    value = max(1, int(sum(amount for _, amount in flows) * growth))
    expected = bisected(flows, value)

    found = money_weighted_return(flows, value=value, as_of=TODAY)

    if not -0.9999 < expected < 999:
        return
    assert found is not None
    assert abs(found - expected * 10_000) <= 0.51 + abs(expected) * 1e-6


@pytest.mark.parametrize(
    ("paid", "value", "rate"),
    [
        pytest.param([(365, 100_00)], 110_00, 1000, id="ten per cent in a year"),
        pytest.param([(730, 100_00)], 121_00, 1000, id="twice ten per cent"),
        pytest.param([(365, 100_00)], 100_00, 0, id="nothing gained"),
        pytest.param([(365, 100_00)], 50_00, -5000, id="half lost"),
        pytest.param([(73, 100_00)], 102_00, 1041, id="a fifth of a year counts for a whole one"),
        pytest.param([(365, 100_00), (180, -100_00)], 10_00, 6482, id="most was taken back"),
        pytest.param([(365, 100_00)], 5_00, -9500, id="nearly all lost"),
        pytest.param([(365, 100_00)], 0, None, id="all lost"),
    ],
)
def test_return(paid: list[tuple[int, int]], value: int, rate: int | None) -> None:
    flows = [(TODAY - timedelta(days=ago), amount) for ago, amount in paid]

    found = money_weighted_return(flows, value=value, as_of=TODAY)

    if rate == 6482:
        assert found == round(bisected(flows, value) * 10_000)
    else:
        assert found == rate


@pytest.mark.parametrize(
    ("rate", "points"),
    [
        (0.10345, 1034),
        (0.10355, 1036),
        (-0.00005, 0),
        (-0.00015, -2),
        (float("nan"), None),
        (float("inf"), None),
        (None, None),
        (1000.1, None),
    ],
)
def test_basis_points_are_rounded_half_to_even(rate: float | None, points: int | None) -> None:
    assert basis_points(rate) == points


@pytest.mark.parametrize(
    ("flows", "has_holdings", "reason"),
    [
        ([], False, NoReturn.NO_PAYMENTS),
        ([(TODAY, 100)], False, NoReturn.NOTHING_INVESTED),
        ([(TODAY - timedelta(days=29), 100)], True, NoReturn.TOO_SHORT),
        ([(TODAY - timedelta(days=30), 100)], True, None),
    ],
)
def test_why_no_return(flows: list[tuple[date, int]], has_holdings: bool, reason: NoReturn | None) -> None:
    assert why_no_return(flows, as_of=TODAY, has_holdings=has_holdings) is reason


def paid(event_id: int, amount: int, day: int = 1, **others: int) -> Movement:
    return Movement(
        event_id,
        1,
        amount,
        CASH,
        date(2024, 3, day),
        True,
        "cash",
        "p",
        "own",
        "",
        2,
        **others,  # type: ignore[arg-type]
    )


def spent(event_id: int, line: int, amount: int, units: int) -> list[Movement]:
    price, on = Price(25, 0), date(2024, 3, 9)
    out = Movement(event_id, line, -amount, CASH, on, False, "cash", "p", "own", "F", 2, 7, price, on)
    got = Movement(event_id, line + 1, units, UNITS, on, False, "units", "p", "own", "F", 4, 7, price, on)
    return [out, *([got] if units else [])]


def account(movements: list[Movement], allocations: list[Allocation], *reconciled: int) -> Account:
    return Account(movements, allocations, frozenset(reconciled), {"F": (date(2024, 3, 9), Price(26, 0))})


def test_a_part_that_bought_nothing_is_invested_all_the_same() -> None:
    """One paisa buys no unit of a dear fund: the books move the money and write no unit row."""
    movements = [paid(1, 1), paid(2, 500), *spent(9, 1, 1, 0), *spent(9, 3, 500, 2000)]
    lines = lines_of(account(movements, [Allocation(2, CASH, 500, 7, "F"), Allocation(1, CASH, 1, 7, "F")]))

    assert [(line.receipt, line.units, line.state) for line in lines] == [
        (1, 0, LineState.INVESTED),
        (2, 2000, LineState.INVESTED),
    ]


def test_records_that_were_merged_bought_each_for_itself() -> None:
    """A dealing books by members, whose order says nothing of whose payment came first."""
    ours = [replace(one, record=2) for one in (paid(1, 300), *spent(9, 3, 300, 1200))]
    theirs = [replace(one, record=1) for one in (paid(2, 500), *spent(9, 1, 500, 2000))]
    allocations = [Allocation(1, CASH, 300, 7, "F", 2), Allocation(2, CASH, 500, 7, "F", 1)]

    lines = lines_of(account(sorted([*ours, *theirs], key=lambda one: (one.event_id, one.line)), allocations))

    assert [(line.receipt, line.amount_minor, line.units) for line in lines] == [(1, 300, 1200), (2, 500, 2000)]


def test_a_payment_invested_in_part_has_a_line_for_the_rest() -> None:
    movements = [paid(1, 500), *spent(9, 1, 300, 1200)]
    lines = lines_of(account(movements, [Allocation(1, CASH, 300, 7, "F")], 1))

    assert [(line.amount_minor, line.state) for line in lines] == [
        (300, LineState.INVESTED),
        (200, LineState.RECONCILED),
    ]


def test_a_reversal_is_a_line_that_takes_away() -> None:
    books = account([paid(1, 500), paid(3, -500, day=2)], [], 1)

    assert [(line.amount_minor, line.state) for line in lines_of(books)] == [
        (500, LineState.RECONCILED),
        (-500, LineState.REVERSED),
    ]
    assert cash_of(books) == 0
    assert flows_of(books) == ((date(2024, 3, 1), 500), (date(2024, 3, 2), -500))


def test_books_that_contradict_their_allocations_make_no_statement() -> None:
    with pytest.raises(ValueError, match="not what was allocated"):
        lines_of(account([paid(1, 500), *spent(9, 1, 300, 1200)], [Allocation(1, CASH, 301, 7, "F")]))


def test_units_without_a_price_have_no_value() -> None:
    books = Account([paid(1, 500), *spent(9, 1, 500, 2000)], [], frozenset(), {})

    with pytest.raises(Unpriced, match="F"):
        holdings_of(books, money_scale=2)


@given(units=st.integers(1, 10**15), digits=st.integers(1, 10**9), scale=st.integers(0, 8))
def test_a_fund_is_floored_once(units: int, digits: int, scale: int) -> None:
    on = date(2024, 3, 9)
    half = units // 2
    moves = [
        Movement(9, 1, part, UNITS, on, False, "units", pot, "own", "F", 4)
        for pot, part in (("p", half), ("q", units - half))
    ]

    (held,) = holdings_of(Account(moves, [], frozenset(), {"F": (on, Price(digits, scale))}), money_scale=2)

    exact = Fraction(units, 10**4) * Fraction(digits, 10**scale) * 100
    assert held.value_minor == exact.numerator // exact.denominator
