"""The hand calculation and its files belong together, and the calculation is right where anyone can see it."""

import csv
import json
import subprocess
import sys
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from demo.plan import make_plan
from demo.proof import payments_of_savers
from demo.scenario import load_packs
from demo.year import published_prices

HERE = Path(__file__).resolve().parent
SCRIPT = HERE / "statement_by_hand.py"
PACK = HERE.parent.parent / "tenants" / "in-nps-lite"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the script as it stands, with none of our folders in reach."""
    return subprocess.run(
        [sys.executable, "-I", "-S", str(SCRIPT), *arguments],
        check=False,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )


def made(tmp_path: Path, payments: str, prices: str, as_of: str) -> dict[str, Any]:
    """Return the figures of one small account."""
    (tmp_path / "payments.csv").write_text("member,scheme,paid_on,reconciled_on,amount\n" + payments, encoding="utf-8")
    (tmp_path / "prices.csv").write_text("date,scheme_code,price\n" + prices, encoding="utf-8")
    done = run(
        "--payments", str(tmp_path / "payments.csv"), "--prices", str(tmp_path / "prices.csv"), "--as-of", as_of, "--json"
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (figures,) = json.loads(done.stdout)
    return dict(figures)


def test_the_golden_files_are_what_the_script_says() -> None:
    assert run().stdout == (HERE / "statements.txt").read_text(encoding="utf-8")
    assert run("--json").stdout == (HERE / "statements.json").read_text(encoding="utf-8")


def test_the_demo_pays_what_the_golden_file_says() -> None:
    """A change of the demo's plan cannot leave the hand calculation behind."""
    (pack,) = load_packs((PACK,))
    planned = payments_of_savers(make_plan(pack, sorted(published_prices(pack))))
    with (HERE / "payments.csv").open(encoding="utf-8", newline="") as file:
        assert [tuple(row) for row in csv.reader(file)] == planned


def test_units_and_value_are_rounded_down(tmp_path: Path) -> None:
    """100 / 3 = 33.33333… units; 33.3333 × 3.0001 = 100.00323…"""
    prices = "2023-04-03,A,2\n2023-04-04,A,3\n2023-04-05,A,3.0001\n"
    figures = made(tmp_path, "x,A,2023-04-03,2023-04-03,100\n", prices, "2023-04-05")

    assert figures["units"] == "33.3333"
    assert figures["value"] == "100.00"


def test_a_payment_takes_the_first_price_after_the_day_it_is_dealt_on(tmp_path: Path) -> None:
    """Reconciled on a day without a price: dealt on the next that has one, priced by the one after."""
    prices = "2023-04-03,A,2\n2023-04-05,A,4\n2023-04-06,A,5\n"
    figures = made(tmp_path, "x,A,2023-04-03,2023-04-04,100\n", prices, "2023-04-06")

    assert figures["lines"][0]["price_on"] == "2023-04-06"
    assert figures["units"] == "20.0000"


def test_money_without_units_counts_at_face_value(tmp_path: Path) -> None:
    figures = made(tmp_path, "x,A,2023-04-03,2023-04-03,100\n", "2023-04-03,A,2\n2023-04-05,A,4\n", "2023-04-04")

    assert (figures["units"], figures["uninvested"], figures["value"]) == ("0.0000", "100.00", "100.00")
    assert figures["return_a_year"] is None


def test_ten_per_cent_in_a_year_is_ten_per_cent(tmp_path: Path) -> None:
    prices = "2023-04-03,A,10\n2023-04-04,A,10\n2024-04-02,A,11\n"
    figures = made(tmp_path, "x,A,2023-04-03,2023-04-03,1000\n", prices, "2024-04-02")

    assert (date(2024, 4, 2) - date(2023, 4, 3)).days == 365
    assert figures["return_a_year"] == "0.1000"
    assert Decimal(figures["value"]) == 1100


@pytest.mark.parametrize(
    ("part", "place", "figure"),
    [
        ("totals", "value", "1.00"),
        ("totals", "return_a_year", "0.0001"),
        ("lines", "units", "1.0000"),
        ("lines", "price", "1"),
    ],
)
def test_a_statement_that_differs_is_named(tmp_path: Path, part: str, place: str, figure: str) -> None:
    """The comparison fails where one figure of the system's statement is another."""
    (golden,) = [
        one
        for one in json.loads((HERE / "statements.json").read_text(encoding="utf-8"))
        if (one["member"], one["as_of"]) == ("gopal", "2024-03-31")
    ]
    answer = {
        "as_of": golden["as_of"],
        "totals": {name: golden[name] for name in ("contributed", "uninvested", "value", "return_a_year")},
        "holdings": [{name: golden[name] for name in ("units", "price", "price_on")}],
        "lines": golden["lines"],
    }
    path = tmp_path / "gopal-2024-03-31.json"
    path.write_text(json.dumps(answer), encoding="utf-8")
    right = run("--compare", str(tmp_path))
    (answer["totals"] if part == "totals" else answer["lines"][3])[place] = figure
    path.write_text(json.dumps(answer), encoding="utf-8")
    wrong = run("--compare", str(tmp_path))

    assert (right.returncode, right.stdout) == (0, "1 statements compared, 0 differences\n")
    assert wrong.returncode == 1
    assert "gopal at 2024-03-31" in wrong.stdout
    assert figure in wrong.stdout
