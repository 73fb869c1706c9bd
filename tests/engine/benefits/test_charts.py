"""Published charts value by value, as packs hold them, and the formula behind their quarterly and half-yearly columns."""

import csv
import json
from fractions import Fraction
from pathlib import Path

import pytest

from engine.benefits.rules.annuities import Rate, Rounding, discounted
from engine.kernel.tables import LookupTable
from engine.tenancy.rules.figures import TableNamed, decode_tables

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "projections"
APY = TableNamed(
    code="apy_chart",
    name="Contribution chart",
    keys=("entry_age", "slab_inr"),
    sha256="61c190229677bf5797aa52a4051888a625229fc0bf6056166ac9f18f1b010680",
    source="ndtv.com/business/pension-scheme-apy, 2016181",
    confidence="high",
)
PMSYM = TableNamed(
    code="pmsym_chart",
    name="Contribution chart",
    keys=("entry_age",),
    sha256="d1ba212917f14a6eb56e6737f0ea4b0faea037b4954868287da4b8f0c77589a3",
    source="ndtv.com/business/pm-sym, 2031327",
    confidence="high",
)
PMSYM_AS_PUBLISHED = (
    "18:55 19:58 20:61 21:64 22:68 23:72 24:76 25:80 26:85 27:90 28:95 29:100 30:105 31:110 32:120 33:130 34:140 35:150 "
    "36:160 37:170 38:180 39:190 40:200"
)
SLABS = (1000, 2000, 3000, 4000, 5000)
PUBLISHED_OTHERWISE = (22, 3000, "half_yearly")
"""The one figure that is not the formula's: 1,046 was published, the formula gives 1,045."""


def read(named: TableNamed) -> LookupTable:
    found, problems = decode_tables({f"tables/{named.code}.csv": (GOLDEN / f"{named.code}.csv").read_bytes()}, [named])
    assert problems == []
    return found[named.code]


def figures(column: str) -> dict[tuple[int, int], Fraction]:
    """Return a column of the APY chart by entry age and slab."""
    return {(int(age), int(slab)): Fraction(row[column]) for (age, slab), row in read(APY).rows.items()}


def marks(column: str) -> dict[tuple[int, int], str]:
    return {(int(age), int(slab)): row[f"{column}_basis"] for (age, slab), row in read(APY).rows.items()}


def in_advance(monthly: Fraction, months: int) -> int:
    """Return `months` monthly contributions paid at once, at the start: discounted at 8 % a year, by the month."""
    month = Rate.nominal("0.08", 12).growth(Fraction(1, 12))
    return Rounding("half-up").money(monthly * discounted(months, month, "advance"))


# The charts


def test_the_apy_chart_value_by_value() -> None:
    table, found = read(APY), 0
    with (GOLDEN / "apy_chart.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            for column in ("monthly", "quarterly", "half_yearly"):
                keys = {"entry_age": int(row["entry_age"]), "slab_inr": int(row["slab_inr"])}
                assert table.text(column, **keys) == row[column]
                found += 1
    assert found == 23 * 5 * 3
    assert set(figures("monthly")) == {(age, slab) for age in range(18, 41) for slab in SLABS}


@pytest.mark.parametrize(("column", "sourced"), [("monthly", 115), ("quarterly", 64), ("half_yearly", 64)])
def test_each_figure_keeps_its_mark(column: str, sourced: int) -> None:
    assert list(marks(column).values()).count("sourced") == sourced


def test_the_pmsym_chart_value_by_value() -> None:
    """The government pays as much as the member."""
    table = read(PMSYM)
    published = dict(pair.split(":") for pair in PMSYM_AS_PUBLISHED.split())
    assert sorted(table.rows) == sorted((age,) for age in published)
    for age, monthly in published.items():
        assert table.text("member_monthly", entry_age=age) == monthly
        assert table.text("government_monthly", entry_age=age) == monthly
        assert int(table.text("total_monthly", entry_age=age)) == 2 * int(monthly)


# The formula behind two columns


@pytest.mark.parametrize(
    ("column", "months", "exceptions"), [("quarterly", 3, []), ("half_yearly", 6, [PUBLISHED_OTHERWISE])]
)
def test_payments_in_advance_reproduce_the_chart(
    column: str, months: int, exceptions: list[tuple[int, int, str]]
) -> None:
    """quarterly = monthly × (1 + v + v²), half-yearly = monthly × (1 + … + v⁵), v = 1 ÷ (1 + 0.08 ÷ 12), to the nearest rupee.

    64 of 64 published quarterly figures and 63 of 64 published half-yearly ones. The computed ones are all the formula's.
    """
    monthly = figures("monthly")
    differing = [
        (*key, column) for key, figure in figures(column).items() if figure != in_advance(monthly[key], months)
    ]
    assert differing == exceptions
    assert list(marks(column).values()).count("sourced") - len(differing) == 64 - len(exceptions)


def test_the_one_exception_is_a_rupee_above() -> None:
    assert figures("half_yearly")[22, 3000] == 1046
    assert marks("half_yearly")[22, 3000] == "sourced"
    assert in_advance(figures("monthly")[22, 3000], 6) == 1045


def test_the_formula_is_what_adding_payments_by_hand_gives() -> None:
    by_hand = json.loads((GOLDEN / "figures.json").read_text(encoding="utf-8"))["chart"]
    assert [[*key, *(in_advance(one, n) for n in (3, 6))] for key, one in figures("monthly").items()] == by_hand
