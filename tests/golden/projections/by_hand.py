"""Figures that annuities and projections are held against, worked out the long way with Python's standard library alone.

Nothing here is a closed formula: payments are added one by one, deaths are gone through year by year (and pair by pair for
two lives), savings month by month. Decimals have 60 digits. Run without arguments it prints `figures.json`.

    python by_hand.py --mortality    prints standard_ultimate_q.csv instead
"""

import csv
import json
import sys
from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Decimal, getcontext
from pathlib import Path

HERE = Path(__file__).resolve().parent
getcontext().prec = 60
ONE = Decimal(1)
SHOWN = Decimal("1e-30")


def rows(name: str) -> list[dict[str, str]]:
    """Return a CSV file beside this script."""
    with (HERE / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# Mortality -----------------------------------------------------------------------------------------------------------


def makeham_q() -> Iterator[tuple[int, Decimal]]:
    """Give q from 20 to 130 by Makeham's law with A = 0.00022, B = 2.7e-6, c = 1.124, to 12 decimals; 1 at the end."""
    a, b, c = Decimal("0.00022"), Decimal("2.7e-6"), Decimal("1.124")
    for age in range(20, 130):
        hazard = a + b * c**age * (c - 1) / c.ln()
        yield age, (1 - (-hazard).exp()).quantize(Decimal("1e-12"), ROUND_HALF_UP)
    yield 130, ONE


def standard_q() -> dict[int, Decimal]:
    """Return q by age as the file says."""
    return {int(row["age"]): Decimal(row["q"]) for row in rows("standard_ultimate_q.csv")}


def deaths(q: dict[int, Decimal], age: int) -> list[Decimal]:
    """Return the chances that who is `age` dies in the first, second, … year from now."""
    alive, found = ONE, []
    while age in q:
        found.append(alive * q[age])
        alive *= 1 - q[age]
        age += 1
    return found


# What payments are worth ---------------------------------------------------------------------------------------------


def payments(count: int, per_year: int, rate: Decimal, rise: Decimal, advance: bool) -> list[Decimal]:
    """Return what each of `count` payments is worth now, `per_year` a year of together 1 in the first year."""
    found = []
    for index in range(count):
        at = Decimal(index if advance else index + 1) / per_year
        found.append((1 + rise) ** (index // per_year) / per_year / (1 + rate) ** at)
    return found


def certain(years: int, per_year: int, rate: Decimal, rise: Decimal, advance: bool) -> Decimal:
    """Add the payments of `years`."""
    return sum(payments(years * per_year, per_year, rate, rise, advance), Decimal(0))


def for_life(
    q: dict[int, Decimal], age: int, per_year: int, rate: Decimal, rise: Decimal, advance: bool, guaranteed: int = 0
) -> Decimal:
    """Go through each part of a year in which death may come, all parts of one year alike (deaths spread evenly).

    Who dies in part k of year t (both from 0) has had t × m + k + 1 payments in advance, or t × m + k in arrears.
    """
    chances = deaths(q, age)
    worth = payments((len(chances) + 1) * per_year, per_year, rate, rise, advance)
    total = Decimal(0)
    so_far = [Decimal(0)]
    for one in worth:
        so_far.append(so_far[-1] + one)
    for year, chance in enumerate(chances):
        for part in range(per_year):
            had = year * per_year + part + (1 if advance else 0)
            total += chance / per_year * so_far[max(had, guaranteed * per_year)]
    return total


def for_two(
    q: dict[int, Decimal], ages: tuple[int, int], rate: Decimal, advance: bool, to_first: Decimal, to_second: Decimal
) -> Decimal:
    """Go through each pair of years in which the two may die; yearly payments, in part after the first death."""
    first, second = deaths(q, ages[0]), deaths(q, ages[1])
    worth = payments(max(len(first), len(second)) + 1, 1, rate, Decimal(0), advance)
    so_far = [Decimal(0)]
    for one in worth:
        so_far.append(so_far[-1] + one)
    more = 1 if advance else 0
    total = Decimal(0)
    for i, p in enumerate(first):
        for j, r in enumerate(second):
            both = so_far[min(i, j) + more]
            rest = so_far[max(i, j) + more] - both
            total += p * r * (both + rest * (to_first if i > j else to_second))
    return total


# Savings -------------------------------------------------------------------------------------------------------------


def saved(
    *, months: int, paying: int, balance: int, monthly: int, growth: Decimal, charge_bp: int, rise: Decimal,
    advance: bool, match: list[int],
) -> list[Decimal]:  # fmt: skip
    """Return the pot at the end of each year, and of the last month: pay, grow, take a twelfth of the charge, match."""
    pot, found = Decimal(balance), []
    for month in range(1, months + 1):
        year = (month - 1) // 12
        due = monthly * (1 + rise) ** year if month <= paying else Decimal(0)
        if advance:
            pot += due
        pot *= growth
        pot -= pot * charge_bp / 10_000 / 12
        if not advance:
            pot += due
        if (month % 12 == 0 or month == months) and year < len(match):
            pot += match[year]
        if month % 12 == 0 or month == months:
            found.append(pot)
    return found


def plans() -> dict[str, list[str]]:
    """Return the pots of three invented savers."""
    eight = ONE + Decimal("0.08") / 12
    six = (1 + Decimal("0.06")) ** (ONE / 12)
    return {
        "monthly in arrears at 8 % nominal": shown(
            saved(months=120, paying=120, balance=0, monthly=10_000, growth=eight, charge_bp=0, rise=Decimal(0), advance=False, match=[])
        ),
        "monthly in advance at 6 % effective, charged, rising and matched": shown(
            saved(months=487, paying=410, balance=12_345, monthly=1_000, growth=six, charge_bp=75, rise=Decimal("0.03"), advance=True,
                  match=[18_000, 18_000, 18_000])
        ),
        "a year and a half at no return": shown(
            saved(months=18, paying=18, balance=500, monthly=100, growth=ONE, charge_bp=0, rise=Decimal("0.10"), advance=True, match=[50, 60])
        ),
    }  # fmt: skip


# All together --------------------------------------------------------------------------------------------------------


def shown(figures: list[Decimal]) -> list[str]:
    """Return figures with thirty decimals."""
    return [str(figure.quantize(SHOWN)) for figure in figures]


def chart() -> list[list[int]]:
    """Return three and six monthly contributions of the chart, each discounted to the first at 8 % a year by the month."""
    v = 1 / (1 + Decimal("0.08") / 12)
    found = []
    for row in rows("apy_chart.csv"):
        monthly = int(row["monthly"])
        paid = [sum((monthly * v**k for k in range(count)), Decimal(0)) for count in (3, 6)]
        rounded = [int(one.quantize(ONE, ROUND_HALF_UP)) for one in paid]
        found.append([int(row["entry_age"]), int(row["slab_inr"]), *rounded])
    return found


def figures() -> dict[str, object]:
    """Return everything."""
    q, five, none = standard_q(), Decimal("0.05"), Decimal(0)
    two = Decimal("0.02")
    half = Decimal("0.5")
    certain_cases = [(20, 12, five, none, True), (20, 12, five, none, False), (15, 4, Decimal("0.035"), two, True),
                     (7, 1, Decimal("0.1"), Decimal("0.03"), False), (20, 12, none, none, False)]  # fmt: skip
    life_cases = [(60, 1, five, none, True, 0), (60, 12, five, none, True, 0), (60, 12, five, none, False, 0),
                  (65, 12, Decimal("0.04"), two, True, 10), (70, 4, five, two, False, 5), (55, 2, none, none, True, 0)]  # fmt: skip
    joint_cases = [((60, 55), five, True, none, none), ((60, 55), five, True, ONE, ONE), ((65, 60), Decimal("0.04"), False, ONE, half),
                   ((60, 72), five, True, half, half)]  # fmt: skip
    return {
        "certain": [[*map(str, case), *shown([certain(*case)])] for case in certain_cases],
        "life": [[*map(str, case), *shown([for_life(q, *case)])] for case in life_cases],
        "joint": [[*map(str, (*case[0], *case[1:])), *shown([for_two(q, *case)])] for case in joint_cases],
        "plans": plans(),
        "chart": chart(),
    }


def section(name: str, found: object) -> str:
    """Return one part of the figures as JSON, a case a line."""
    if isinstance(found, dict):
        return f'"{name}": {{\n' + ",\n".join(f" {json.dumps(k)}: {json.dumps(v)}" for k, v in found.items()) + "\n}"
    assert isinstance(found, list)
    return f'"{name}": [\n' + ",\n".join(f" {json.dumps(case)}" for case in found) + "\n]"


def main() -> None:
    """Print what was asked for."""
    if sys.argv[1:] == ["--mortality"]:
        lines = ["age,q", *(f"{age},{chance}" for age, chance in makeham_q())]
    else:
        lines = ["{", ",\n".join(section(*one) for one in figures().items()), "}"]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
