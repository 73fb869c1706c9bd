"""The life that is worked out by hand: its figures where anyone can see them, and that a difference is named."""

import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).with_name("life_in_apy.py")
NAMES = ("on", "what", "amount", "balance", "paid_in")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the script as it stands, with none of our folders in reach."""
    return subprocess.run(
        [sys.executable, "-I", "-S", str(SCRIPT), *arguments],
        check=False,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )


def told() -> list[dict[str, str]]:
    """Return the events of the first year as the script prints them, each as names and texts."""
    events = []
    for line in run("--years", "1").stdout.splitlines():
        on, what, *rest = [part.strip() for part in line.split("  ") if part.strip()]
        events.append({"on": on, "what": what} | dict(one.rsplit(" ", 1) for one in rest))
    return events


def test_the_first_year_by_pocket_calculator() -> None:
    """76 a month at 25; October and November were late by two months and by one, a rupee each: 3 × 76 + 3 = 231.

    4 × 76 = 304 bought at 10: of each 76 the first fund has 25.34 and the others 25.33, so 4 × 2.534 and 4 × 2.533 units.
    """
    events = told()
    (late,) = [one for one in events if one["what"] == "caught-up"]
    first = next(one for one in events if one["what"] == "dealt")

    assert (late["on"], late["amount"], late["charge"], late["balance"]) == ("2015-12-20", "231.00", "3.00", "535.00")
    assert (first["SM001011.units"], first["SM002011.units"]) == ("10.1360", "10.1320")


def test_the_whole_life_has_420_instalments() -> None:
    """72 months of 76 rupees to May 2021, when another pension was chosen; then 348 of 151; and 3 + 10 + 6 for lateness."""
    rows = run().stdout.splitlines()
    months = sum(int(row.partition("instalments ")[2].split()[0]) for row in rows if "instalments " in row)
    charges = [row.rsplit("charge ", 1)[1] for row in rows if "caught-up" in row]

    assert months == 420
    assert charges == ["3.00", "10.00", "6.00"]
    assert f"  paid_in {72 * 76 + 348 * 151 + 19}.00" in rows[-1]
    assert "balance 0.00" in rows[-1]


def test_the_pension_what_was_overpaid_and_the_corpus_by_pocket_calculator() -> None:
    """The sale lacks 340,000 less what it brought; May to July, three times 2,000, went out after the death and are kept of
    the spouse's, so that August's 2,000 are paid of 8,000; ten payrolls for the member, five for the spouse.
    """
    rows: dict[str, list[dict[str, str]]] = {}
    for line in run().stdout.splitlines():
        on, what, *rest = [part.strip() for part in line.split("  ") if part.strip()]
        rows.setdefault(what, []).append({"on": on} | dict(one.rsplit(" ", 1) for one in rest))
    (sold,), (begun,), (reported,), (ended,), (corpus,) = (
        rows[one] for one in ("sold", "pension-begun", "death-reported", "spouse-died", "corpus")
    )
    brought = sum(Decimal(sold[f"SM00{number}011.amount"]) for number in (1, 2, 3))

    assert Decimal(begun["amount"]) == -brought
    assert Decimal(begun["guaranteed"]) == 340_000 - brought
    assert (begun["pension"], reported["owed_back"], ended["posted"]) == ("2000.00", "6000.00", "10000.00")
    first = rows["spouse-paid"][0]
    assert [first[name] for name in ("months", "due", "set_off", "paying")] == ["4", "8000.00", "6000.00", "2000.00"]
    assert (len(rows["pension-paid"]), len(rows["spouse-paid"])) == (10, 5)
    assert corpus["nominee"] == "340000.00"


@pytest.mark.parametrize("name", ["balance", "charge", "SM002011.units"])
def test_a_life_that_differs_is_named(tmp_path: Path, name: str) -> None:
    events: list[dict[str, Any]] = [
        {key: one[key] for key in NAMES} | {"figures": {key: one[key] for key in one if key not in NAMES}}
        for one in told()
    ]
    path = tmp_path / "life.json"
    path.write_text(json.dumps({"years": 1, "events": events}), encoding="utf-8")
    right = run("--compare", str(path))
    wrong = next(one for one in events if name in one or name in one["figures"])
    (wrong if name in wrong else wrong["figures"])[name] = "1.23"
    path.write_text(json.dumps({"years": 1, "events": events}), encoding="utf-8")
    differs = run("--compare", str(path))

    assert (right.returncode, right.stdout) == (0, "123 figures compared, 0 differences\n")
    assert differs.returncode == 1
    assert f": {name} is 1.23, by hand" in differs.stdout
    assert differs.stdout.endswith("123 figures compared, 1 differences\n")
