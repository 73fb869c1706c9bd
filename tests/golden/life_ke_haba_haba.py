"""One life in Haba Haba, calculated by hand: plain arithmetic with fractions, from what the scheme publishes.

Imports nothing but Python's standard library: it shares no line with the engine. Its input is what the member did and what
was declared (`tests/golden/lives/ke-haba-haba.toml`).

The rules, as the scheme states them or its pack assumes, in cents of a shilling:

1. A payment of the package gives 25 to savings, then 18 to health and 17 to welfare, each as far as the money goes; the next
   2 are the operator's that splits it; what is above 62 is savings. From 2045, by an invented change: 40, 30, 28 and 3.
2. Interest is declared for a calendar year. A shilling earns from the day after it came to the day on which it goes, a day
   counts  rate / 365,  and what is credited is rounded DOWN to the cent. It is part of the balance from the first of January
   on, and earns itself.
3. After five years with 4,800 shillings of savings or more in each, one after the other, half of the balance may be taken,
   once in a life; from 2033, by an invented change, three tenths, twice in a life.
4. From 50 on the member may have all of it at once. Who has left is credited the interest of their last year when it is declared.
5. What is there after the death goes to the survivors: two of them, by halves, the cent that is left over to the first.

    python tests/golden/life_ke_haba_haba.py       the whole life, line by line
    python tests/golden/life_ke_haba_haba.py --json
"""

import json
import sys
import tomllib
from dataclasses import asdict, dataclass, field
from datetime import date, timedelta
from fractions import Fraction
from math import floor
from pathlib import Path
from typing import Any

FACTS: dict[str, Any] = tomllib.loads(
    (Path(__file__).resolve().parent / "lives" / "ke-haba-haba.toml").read_text(encoding="utf-8")
)
DAY = timedelta(days=1)
ENOUGH = 4_800_00


@dataclass
class Row:
    """An event: by how much it changed the account, and what that is worth after it."""

    on: str
    what: str
    amount: str
    value: str
    figures: dict[str, str] = field(default_factory=dict)


def cents(shillings: str) -> int:
    """Read shillings as cents."""
    exact = Fraction(shillings) * 100
    assert exact.denominator == 1
    return exact.numerator


def written(amount: int) -> str:
    """Write cents as shillings."""
    return f"{'-' if amount < 0 else ''}{abs(amount) // 100}.{abs(amount) % 100:02d}"


def saved(on: date, amount: int) -> int:
    """Return what of a payment is savings."""
    package = {"pension": "25.00", "health": "18.00", "welfare": "17.00", "fee": "2.00"}
    if on >= FACTS["package"]["from"]:
        package = FACTS["package"]
    pension = min(amount, cents(package["pension"]))
    left = amount - pension
    for other in ("health", "welfare", "fee"):
        left -= min(left, cents(package[other]))
    return pension + left


def payments() -> list[tuple[date, int]]:
    """Return what the member pays, and when."""
    found = []
    for phase in FACTS["saving"]:
        for year in range(phase["from"], phase["until"] + 1):
            for day in phase["days"]:
                month, number = map(int, day.split("-"))
                if (month, number) == (2, 29) and year % 4:
                    number = 28
                found.append((date(year, month, number), cents(phase["amount"])))
    return sorted(found)


def most(on: date, held: int, by_year: dict[int, int], taken: int) -> int:
    """Return the most that may be taken on a day before 50, of so much, after so many times."""
    in_a_row = best = 0
    for year in range(FACTS["joins_on"].year, on.year):
        in_a_row = in_a_row + 1 if by_year.get(year, 0) >= ENOUGH else 0
        best = max(best, in_a_row)
    rule = (FACTS["access"]["most_bp"], FACTS["access"]["times"]) if on >= FACTS["access"]["from"] else (5_000, 1)
    share, times = rule
    if best < 5 or taken >= times:
        return 0
    return floor(Fraction(held * share, 10_000))


def rate(year: int) -> str:
    """Return the rate declared last."""
    return str(FACTS["interest"][max(one for one in FACTS["interest"] if int(one) <= year)])


def interest(year: int, opening: int, moved: list[tuple[date, int]]) -> int:
    """Return a year's interest: on what was there on its first day, and on what came or went in it."""
    until = date(year + 1, 1, 1)
    days = opening * (until - date(year, 1, 1)).days + sum(amount * (until - on - DAY).days for on, amount in moved)
    return floor(Fraction(days) * Fraction(rate(year)) / 100 / 365)


def live() -> list[Row]:
    """Live the life; return its events."""
    rows: list[Row] = []
    by_year: dict[int, int] = {}
    events: list[tuple[date, int, str, int]] = [(on, 1, "paid", amount) for on, amount in payments()]
    events += [(date(year + 1, 1, 15), 0, "interest", year) for year in range(2020, FACTS["died_on"].year)]
    events += [(one["on"], 2, "taken", cents(one["amount"])) for one in FACTS["takes"]]
    events += [(FACTS["retires_on"], 3, "retired", 0), (FACTS["reported_on"], 4, "died", 0)]
    events += [(on, 5, "inherited", 0) for on in FACTS["shared_on"]]
    held, opening, told, taken = 0, 0, 0, 0
    moved: list[tuple[date, int]] = []
    for on, _, what, figure in sorted(events):
        figures = {}
        before = held
        if what == "paid":
            held += saved(on, figure)
            by_year[on.year] = by_year.get(on.year, 0) + saved(on, figure)
        elif what == "interest":
            earned = interest(figure, opening, [one for one in moved if one[0].year == figure])
            opening += earned + sum(amount for day, amount in moved if day.year == figure)
            held += earned
            figures = {"percent": rate(figure)}
        elif what == "taken":
            figures = {"most": written(most(on, held, by_year, taken)), "paid": written(figure)}
            held -= figure
            taken += 1
        elif what == "retired":
            figures = {"paid": written(held)}
            held = 0
        elif what == "inherited":
            figures = {"first": written(held - held // 2), "second": written(held // 2)}
            held = 0
        if what != "interest" and held != before:
            moved.append((on, held - before))
        rows.append(Row(on.isoformat(), what, written(held - told), written(held), figures))
        told = held
    return rows


def main() -> None:
    """Print the life."""
    rows = live()
    if "--json" in sys.argv:
        sys.stdout.write(json.dumps([asdict(one) for one in rows], indent=1) + "\n")
        return
    for one in rows:
        figures = "  ".join(f"{name} {value}" for name, value in one.figures.items())
        sys.stdout.write(f"{one.on}  {one.what:9}  {one.amount:>11}  {one.value:>11}  {figures}".rstrip() + "\n")


if __name__ == "__main__":
    main()
