"""Published charts value by value, the formula behind their quarterly and half-yearly columns, and files that are refused."""

import csv
import hashlib
import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Literal

import pytest

from engine.benefits.rules.annuities import Rate, Rounding, discounted
from engine.benefits.rules.tables import Figure, NotInTable, Table, TableSpec, UnusableTable, read_table

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "projections"
APY = TableSpec(
    file="apy_chart.csv",
    keys=("entry_age", "slab_inr"),
    sha256="61c190229677bf5797aa52a4051888a625229fc0bf6056166ac9f18f1b010680",
    source="ndtv.com/business/pension-scheme-apy, 2016181",
    key_rounding="down",
)
PMSYM = TableSpec(
    file="pmsym_chart.csv",
    keys=("entry_age",),
    sha256="d1ba212917f14a6eb56e6737f0ea4b0faea037b4954868287da4b8f0c77589a3",
    source="ndtv.com/business/pm-sym, 2031327",
    key_rounding="down",
)
PMSYM_AS_PUBLISHED = (
    "18:55 19:58 20:61 21:64 22:68 23:72 24:76 25:80 26:85 27:90 28:95 29:100 30:105 31:110 32:120 33:130 34:140 35:150 "
    "36:160 37:170 38:180 39:190 40:200"
)
SLABS = (1000, 2000, 3000, 4000, 5000)
PUBLISHED_OTHERWISE = (22, 3000, "half_yearly")
"""The one figure that is not the formula's: 1,046 was published, the formula gives 1,045."""


def read(spec: TableSpec) -> Table:
    return read_table((GOLDEN / spec.file).read_bytes(), spec)


def in_advance(monthly: Fraction, months: int) -> int:
    """Return `months` monthly contributions paid at once, at the start: discounted at 8 % a year, by the month."""
    month = Rate.nominal("0.08", 12).growth(Fraction(1, 12))
    return Rounding("half-up").money(monthly * discounted(months, month, "advance"))


# The charts


def test_the_apy_chart_value_by_value() -> None:
    table, found = read(APY), 0
    with (GOLDEN / APY.file).open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            for column in ("monthly", "quarterly", "half_yearly"):
                figure = table.figure(column, int(row["entry_age"]), int(row["slab_inr"]))
                assert figure == Figure(
                    Fraction(int(row[column])), "sourced" if row[f"{column}_basis"] == "sourced" else "computed"
                )
                found += 1
    assert found == 23 * 5 * 3
    assert set(table.rows) == {(age, slab) for age in range(18, 41) for slab in SLABS}
    assert table.columns == ("monthly", "quarterly", "half_yearly")


@pytest.mark.parametrize(("column", "sourced"), [("monthly", 115), ("quarterly", 64), ("half_yearly", 64)])
def test_each_figure_keeps_its_mark(column: str, sourced: int) -> None:
    marks = [row[column].mark for row in read(APY).rows.values()]
    assert marks.count("sourced") == sourced
    assert marks.count("computed") == 115 - sourced


def test_the_pmsym_chart_value_by_value() -> None:
    """The government pays as much as the member."""
    table = read(PMSYM)
    published = [tuple(map(int, pair.split(":"))) for pair in PMSYM_AS_PUBLISHED.split()]
    assert sorted(table.rows) == [(age,) for age, _ in published]
    for age, monthly in published:
        assert table.figure("member_monthly", age) == Figure(Fraction(monthly), "sourced")
        assert table.figure("government_monthly", age).value == monthly
        assert table.figure("total_monthly", age).value == 2 * monthly


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
    rows = read(APY).rows
    differing = [
        (age, slab, column)
        for (age, slab), row in rows.items()
        if row[column].value != in_advance(row["monthly"].value, months)
    ]
    assert differing == exceptions
    assert sum(row[column].mark == "sourced" for row in rows.values()) - len(differing) == 64 - len(exceptions)


def test_the_one_exception_is_a_rupee_above() -> None:
    row = read(APY).rows[22, 3000]
    assert row["half_yearly"] == Figure(Fraction(1046), "sourced")
    assert in_advance(row["monthly"].value, 6) == 1045


def test_the_formula_is_what_adding_payments_by_hand_gives() -> None:
    rows = read(APY).rows
    by_hand = json.loads((GOLDEN / "figures.json").read_text(encoding="utf-8"))["chart"]
    found = [[age, slab, *(in_advance(row["monthly"].value, n) for n in (3, 6))] for (age, slab), row in rows.items()]
    assert found == by_hand


# Looking up


@pytest.mark.parametrize(
    ("rounding", "age", "expected"),
    [
        pytest.param("down", Fraction(39 * 12 + 11, 12), 264, id="39 years and 11 months, age last birthday"),
        pytest.param("up", Fraction(39 * 12 + 1, 12), 291, id="39 years and a month, age next birthday"),
        pytest.param("half-up", Fraction(39 * 12 + 6, 12), 291, id="39 years and a half, nearest age"),
        pytest.param("half-up", Fraction(39 * 12 + 5, 12), 264, id="39 years and 5 months, nearest age"),
        pytest.param("half-even", Fraction(77, 2), 240, id="38 years and a half, nearest even age"),
    ],
)
def test_an_exact_age_becomes_a_key_as_the_table_says(
    rounding: Literal["down", "up", "half-up", "half-even"], age: Fraction, expected: int
) -> None:
    table = read(replace(APY, key_rounding=rounding))
    assert table.figure("monthly", age, 1000).value == expected


@pytest.mark.parametrize(("age", "slab"), [(17, 1000), (41, 1000), (30, 1500)])
def test_nothing_is_carried_over_from_a_neighbouring_row(age: int, slab: int) -> None:
    with pytest.raises(NotInTable) as caught:
        read(APY).figure("monthly", age, slab)
    assert str(caught.value) == (
        f"apy_chart.csv has no row entry_age {age}, slab_inr {slab}; it has entry_age 18 to 40, slab_inr 1000 to 5000"
    )


def test_a_decimal_figure_is_exact() -> None:
    assert tiny("age,factor\n60,14.9041\n").figure("factor", 60).value == Fraction(149041, 10_000)


# Files that are refused


def tiny(text: str | bytes) -> Table:
    content = text.encode() if isinstance(text, str) else text
    spec = TableSpec(
        file="tables/t.csv",
        keys=("age",),
        sha256=hashlib.sha256(content).hexdigest(),
        source="invented",
        key_rounding="down",
    )
    return read_table(content, spec)


def test_refuses_a_file_that_was_changed() -> None:
    content = (GOLDEN / APY.file).read_bytes().replace(b"18,1000,42,", b"18,1000,43,")
    with pytest.raises(UnusableTable) as caught:
        read_table(content, APY)
    assert str(caught.value) == (
        f"apy_chart.csv: its SHA-256 is {hashlib.sha256(content).hexdigest()}, the pack says {APY.sha256}. "
        "Restore the file, or check the new figures against their source and write the new sum"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("year,f\n1,2\n", "tables/t.csv, line 1: the first columns must be age", id="another key"),
        pytest.param("", "tables/t.csv, line 1: the first columns must be age", id="an empty file"),
        pytest.param("age,f\n1,2\n1,3\n", "tables/t.csv, line 3: these keys stand in an earlier line too; remove one",
                     id="the same key twice"),
        pytest.param("age,f\n1.5,2\n", "tables/t.csv, line 2, age: '1.5' is no whole number; write digits only",
                     id="a key that is not whole"),
        pytest.param("age,f\n1,two\n", "tables/t.csv, line 2, f: 'two' is no decimal number; write it as 12.5",
                     id="a word for a figure"),
        pytest.param("age,f\n1,\n", "tables/t.csv, line 2, f: '' is no decimal number; write it as 12.5", id="no figure"),
        pytest.param("age,f\n1,1e3\n", "tables/t.csv, line 2, f: '1e3' is no decimal number; write it as 12.5",
                     id="an exponent"),
        pytest.param("age,f\n1,-2\n", "tables/t.csv, line 2, f: '-2' is no decimal number; write it as 12.5",
                     id="a negative figure"),
        pytest.param("age,f\n1,٢\n", "tables/t.csv, line 2, f: '٢' is no decimal number; write it as 12.5",
                     id="digits of another script"),
        pytest.param("age,f\n1,1.2.3\n", "tables/t.csv, line 2, f: '1.2.3' is no decimal number; write it as 12.5",
                     id="two points"),
        pytest.param('age,f\n1,"2"\n', "tables/t.csv, line 2, f: '\"2\"' is no decimal number; write it as 12.5",
                     id="a quoted figure"),
        pytest.param("age,f,f\n1,2,3\n", "tables/t.csv, line 1: each column may stand once; rename or remove one",
                     id="the same column twice"),
        pytest.param("age,f,f_basis\n1,2,guess\n", "tables/t.csv, line 2, f_basis: 'guess'; write one of sourced, computed",
                     id="an unknown mark"),
        pytest.param("age,f\n1\n", "tables/t.csv, line 2: the line must have as many fields as the header", id="too few fields"),
        pytest.param("age,f\n1,2,3\n", "tables/t.csv, line 2: the line must have as many fields as the header",
                     id="too many fields"),
        pytest.param("age,f\n", "tables/t.csv: there are no figures; a table has at least one column and one line of them",
                     id="a header alone"),
        pytest.param("age\n1\n", "tables/t.csv: there are no figures; a table has at least one column and one line of them",
                     id="keys alone"),
    ],
)  # fmt: skip
def test_refuses_a_line_that_is_not_what_the_header_promises(text: str, message: str) -> None:
    with pytest.raises(UnusableTable) as caught:
        tiny(text)
    assert str(caught.value) == message


def test_refuses_what_is_no_text() -> None:
    with pytest.raises(UnusableTable) as caught:
        tiny(b"age,f\n1,\xff\n")
    assert str(caught.value) == "tables/t.csv: byte 8 is no UTF-8; save the file as UTF-8"
