"""One life in Shram Yogi Maan-dhan, calculated by hand: plain arithmetic with fractions, from what the scheme publishes.

Imports nothing but Python's standard library: it shares no line with the engine. Its inputs are what the member and the spouse
did (`tests/golden/lives/in-pm-sym.toml`) and the scheme's table of instalments (`tenants/in-pm-sym/tables/instalments.csv`).

The rules, as the scheme states them or its pack assumes, in paise:

1. The instalment stands in the table, by the age at joining. One is due each month on the day of the month of joining, until
   the age of 60; who pays late pays all that are due.
2. The state gives as much, of each payment; from April 2030, by an invented change, three quarters. It is claimed for a year that
   begins on 1 April and comes on 2 May of the next. Own money and the state's are kept apart.
3. The fund's interest is told for such a year. A rupee earns from the day after it came to the day on which it goes, a day
   counts  rate / 365,  and what is credited is rounded DOWN to the paisa, of own money and of the state's each. It is part of
   the balance from 1 April on, and earns itself.
4. From 60 on a pension of 3,000 a month is paid, from 2037, by an invented change, of 3,250; each at the end of a month counted from the
   day on which it was claimed, own money first. A payroll pays what is due by the end of its calendar month.
5. The pension of the month of the death is due; what went out for later months comes back to the account, and is owed. The spouse
   has half from then on, by an invented change 55 %, rounded DOWN to the paisa. What fell due to the spouse before the death
   was known is kept for what is owed.
6. After both deaths the rest returns to the fund.

    python tests/golden/life_in_pm_sym.py       the whole life, line by line
    python tests/golden/life_in_pm_sym.py --json
"""

import csv
import json
import sys
import tomllib
from dataclasses import asdict, dataclass, field
from datetime import date, timedelta
from fractions import Fraction
from math import floor
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
FACTS: dict[str, Any] = tomllib.loads((HERE / "lives" / "in-pm-sym.toml").read_text(encoding="utf-8"))
TABLE = HERE.parents[1] / "tenants" / "in-pm-sym" / "tables" / "instalments.csv"
OWN, STATE = "own", "state"
DAY = timedelta(days=1)


@dataclass
class Row:
    """An event: by how much it changed the account, and what that is worth after it."""

    on: str
    what: str
    amount: str
    value: str
    figures: dict[str, str] = field(default_factory=dict)


@dataclass
class Account:
    """Paise by where they came from, with every movement for its interest."""

    held: dict[str, int] = field(default_factory=lambda: {OWN: 0, STATE: 0})
    opening: dict[str, int] = field(default_factory=lambda: {OWN: 0, STATE: 0})
    moved: list[tuple[date, str, int]] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    told: int = 0

    def put(self, on: date, whose: str, paise: int) -> None:
        """Book what came, or went if negative."""
        self.held[whose] += paise
        self.moved.append((on, whose, paise))

    def take(self, on: date, paise: int) -> None:
        """Take money out, the member's own first."""
        own = min(paise, self.held[OWN])
        self.put(on, OWN, -own)
        self.put(on, STATE, own - paise)

    def earn(self, year: int) -> None:
        """Credit the interest of the year that begins in April of a year."""
        begins, until = date(year, 4, 1), date(year + 1, 4, 1)
        of_year = [one for one in self.moved if one[0] < until]
        self.moved = [one for one in self.moved if one[0] >= until]
        for whose in (OWN, STATE):
            days = self.opening[whose] * (until - begins).days
            days += sum(paise * (until - on - DAY).days for on, owner, paise in of_year if owner == whose)
            earned = floor(Fraction(days) * Fraction(rate(year)) / 100 / 365)
            self.held[whose] += earned
            self.opening[whose] += sum(paise for _, owner, paise in of_year if owner == whose) + earned

    def tell(self, on: date, what: str, **figures: str) -> None:
        """Write an event down."""
        worth = sum(self.held.values())
        self.rows.append(Row(on.isoformat(), what, written(worth - self.told), written(worth), figures))
        self.told = worth


def written(paise: int) -> str:
    """Write paise as rupees."""
    return f"{'-' if paise < 0 else ''}{abs(paise) // 100}.{abs(paise) % 100:02d}"


def rate(year: int) -> str:
    """Return the rate declared last."""
    return str(FACTS["interest"][max(one for one in FACTS["interest"] if int(one) <= year)])


def later(day: date, months: int) -> date:
    """Return the same day of a later month."""
    years, month = divmod(day.month - 1 + months, 12)
    return date(day.year + years, month + 1, day.day)


def instalment() -> int:
    """Return the instalment of the age at joining."""
    born, joined = FACTS["born_on"], FACTS["joins_on"]
    age = joined.year - born.year - ((joined.month, joined.day) < (born.month, born.day))
    with TABLE.open(encoding="utf-8", newline="") as file:
        rupees = next(row["member_monthly"] for row in csv.DictReader(file) if row["age"] == str(age))
    return int(Fraction(rupees) * 100)


def payments() -> list[tuple[date, int]]:
    """Return what the member pays, and when: each time all that is due by then."""
    joined, last = FACTS["joins_on"], FACTS["last_paid_on"]
    days = [date(year, *map(int, day.split("-"))) for year in range(2019, last.year) for day in FACTS["pays_on"]]
    found, paid = [], 0
    for on in [*(one for one in days if one > joined), last]:
        due = sum(later(joined, month) <= on for month in range(12 * 20))
        found.append((on, (due - paid) * instalment()))
        paid = due
    return found


def given(year: int) -> int:
    """Return what the state gives for the year that begins in April of a year."""
    share = FACTS["match"]["share_bp"] if date(year, 4, 1) >= FACTS["match"]["from"] else 10_000
    return sum(
        floor(Fraction(paise * share, 10_000))
        for on, paise in payments()
        if date(year, 4, 1) <= on < date(year + 1, 4, 1)
    )


def payrolls() -> list[date]:
    """Return the days on which pensions are paid."""
    first, ends = FACTS["retires_on"], FACTS["spouse_reported_on"]
    days = [
        date(year, *map(int, day.split("-"))) for year in range(first.year, ends.year + 1) for day in FACTS["payrolls"]
    ]
    return [one for one in days if first < one < ends]


def live() -> list[Row]:
    """Live the life; return its events."""
    account = Account()
    retires, reported, ends = FACTS["retires_on"], FACTS["reported_on"], FACTS["spouse_reported_on"]
    events: list[tuple[date, int, str, int]] = [(on, 0, "paid", paise) for on, paise in payments()]
    for year in range(2019, ends.year):
        events.append((date(year + 1, 4, 20), 1, "interest", year))
        if gift := given(year):
            events.append((date(year + 1, 5, 2), 2, "state-match", gift))
    events += [(retires, 3, "retired", 0), (reported, 4, "died", 0), (ends, 6, "ended", 0)]
    events += [(on, 5, "pension", 0) for on in payrolls()]
    each = int(Fraction(FACTS["pension"]["amount"]) * 100)
    due, paid = later(retires, 1), []
    for on, _, what, figure in sorted(events):
        figures = {}
        if what == "paid":
            account.put(on, OWN, figure)
        elif what == "interest":
            account.earn(figure)
            figures = {"percent": rate(figure)}
        elif what == "state-match":
            account.put(on, STATE, figure)
            figures = {"claimed": written(figure)}
        elif what == "pension":
            months = kept = 0
            while due < later(on.replace(day=1), 1):
                paid.append((due, each))
                kept += each if on > reported > due else 0
                due, months = later(due, 1), months + 1
            account.take(on, months * each)
            figures = {"paid": written(months * each - kept)}
        elif what == "died":
            last = later(FACTS["died_on"].replace(day=1), 1)
            account.put(on, STATE, sum(paise for day, paise in paid if day >= last))
            each = floor(Fraction(each * FACTS["spouse"]["pension_bp"], 10_000))
            due = later(retires, 1).replace(year=last.year, month=last.month)
            figures = {"pension": written(each)}
        elif what == "ended":
            last = later(FACTS["spouse_died_on"].replace(day=1), 1)
            account.put(on, STATE, sum(paise for day, paise in paid if day >= last))
            figures = {"to_the_fund": written(sum(account.held.values()))}
            account.take(on, sum(account.held.values()))
        account.tell(on, what, **figures)
    return account.rows


def main() -> None:
    """Print the life."""
    rows = live()
    if "--json" in sys.argv:
        sys.stdout.write(json.dumps([asdict(one) for one in rows], indent=1) + "\n")
        return
    for one in rows:
        figures = "  ".join(f"{name} {value}" for name, value in one.figures.items())
        sys.stdout.write(f"{one.on}  {one.what:11}  {one.amount:>11}  {one.value:>11}  {figures}".rstrip() + "\n")


if __name__ == "__main__":
    main()
