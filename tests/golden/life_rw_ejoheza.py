"""One life in EjoHeza, calculated by hand: plain arithmetic with fractions, from what the scheme publishes.

Imports nothing but Python's standard library: it shares no line with the engine. Its input is what the member did and what
was declared (`tests/golden/lives/rw-ejoheza.toml`).

The rules, as the scheme states them or its pack assumes:

1. Every payment goes to the member's savings, in whole francs. What the member paid and what the state gave are kept apart.
2. Interest is declared for a calendar year. A franc earns from the day after it came to the day on which it goes, a day
   counts  rate / 365,  and what is credited is rounded DOWN to the franc, of own money and of the state's each. It is part of
   the balance from the first of January on, and earns itself.
3. Who paid in 15,000 francs or more in a year in category 1 or 2 of the register is given as much again, in category 3 half
   of 18,000 or more (half a franc is dropped); 18,000 at most. The state's money comes on 2 February of the next year.
4. Before 55 a part may be taken; from 2027 up to 30 % of all that was saved. It comes out of own money first.
5. At 55 the member chooses instalments over so many years. Each is  what is left / instalments left,  rounded DOWN; own
   money goes first. In a year of instalments interest goes on as before.
6. What was paid for months after the month of death is money that the account gets back. Those whom the member named have
   six and four tenths of what is there when the death is known: exact shares, the franc that is left over to the larger
   remainder. Interest that is credited later is shared in the same way, at the next sharing.

    python tests/golden/life_rw_ejoheza.py       the whole life, line by line
    python tests/golden/life_rw_ejoheza.py --json
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
    (Path(__file__).resolve().parent / "lives" / "rw-ejoheza.toml").read_text(encoding="utf-8")
)
MOST = 18_000
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
    """Francs by where they came from, with every movement of the year for its interest."""

    held: dict[str, int] = field(default_factory=lambda: {OWN: 0, STATE: 0})
    opening: dict[str, int] = field(default_factory=lambda: {OWN: 0, STATE: 0})
    moved: list[tuple[date, str, int]] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    told: int = 0

    def total(self) -> int:
        """Return all that is there."""
        return sum(self.held.values())

    def put(self, on: date, whose: str, francs: int) -> None:
        """Book francs that came, or went if negative."""
        self.held[whose] += francs
        self.moved.append((on, whose, francs))

    def take(self, on: date, francs: int) -> None:
        """Take francs out, the member's own first."""
        own = min(francs, self.held[OWN])
        self.put(on, OWN, -own)
        if francs > own:
            self.put(on, STATE, own - francs)

    def earn(self, year: int, percent: str) -> None:
        """Credit a year's interest, which stands in the balance of 31 December."""
        until = date(year + 1, 1, 1)
        of_year = [one for one in self.moved if one[0] < until]
        self.moved = [one for one in self.moved if one[0] >= until]
        for whose in (OWN, STATE):
            days = self.opening[whose] * (until - date(year, 1, 1)).days
            # Who comes earns from the next day on, who goes has earned for the day itself: the same for both.
            days += sum(francs * (until - on - DAY).days for on, owner, francs in of_year if owner == whose)
            earned = floor(Fraction(days) * Fraction(percent) / 100 / 365)
            self.held[whose] += earned
            self.opening[whose] += sum(francs for _, owner, francs in of_year if owner == whose) + earned

    def tell(self, on: date, what: str, **figures: str) -> None:
        """Write an event down."""
        worth = self.total()
        self.rows.append(Row(on.isoformat(), what, str(worth - self.told), str(worth), figures))
        self.told = worth


def rate(year: int) -> str:
    """Return the rate declared last."""
    return str(FACTS["interest"][max(one for one in FACTS["interest"] if int(one) <= year)])


def payments() -> list[tuple[date, int]]:
    """Return what the member pays, and when."""
    found = []
    for phase in FACTS["saving"]:
        for year in range(phase["from"], phase["until"] + 1):
            for day in phase["days"]:
                month, number = map(int, day.split("-"))
                if (month, number) == (2, 29) and year % 4:
                    number = 28
                found.append((date(year, month, number), int(phase["amount"])))
    return [one for one in found if one[0] < FACTS["retires_on"]]


def given(year: int, paid: int) -> int:
    """Return what the state gives for a year."""
    category = next(one["value"] for one in reversed(FACTS["class"]) if one["from"] <= date(year, 12, 31))
    if category in ("ubudehe-1", "ubudehe-2") and paid >= 15_000:
        return min(paid, MOST)
    if category == "ubudehe-3" and paid >= 18_000:
        return min(paid // 2, MOST)
    return 0


def shared(francs: int) -> tuple[int, int]:
    """Share six tenths and four tenths, whole francs, what is left over to the larger remainder."""
    first, second = Fraction(francs * 6, 10), Fraction(francs * 4, 10)
    whole = [floor(first), floor(second)]
    if sum(whole) < francs:
        whole[0 if first - whole[0] >= second - whole[1] else 1] += 1
    return whole[0], whole[1]


def months() -> list[date]:
    """Return the days on which instalments are paid, until the death is known."""
    first, found = FACTS["first_payroll"], []
    for number in range(12 * FACTS["instalment_years"]):
        years, month = divmod(first.month - 1 + number, 12)
        day = date(first.year + years, month + 1, first.day)
        if day < FACTS["reported_on"]:
            found.append(day)
    return found


def live() -> list[Row]:
    """Live the life; return its events."""
    account = Account()
    by_year: dict[int, int] = {}
    events: list[tuple[date, int, str, int]] = []
    for on, francs in payments():
        by_year[on.year] = by_year.get(on.year, 0) + francs
        events.append((on, 0, "paid", francs))
    for year in range(FACTS["joins_on"].year, FACTS["last_shared_on"].year):
        events.append((date(year + 1, 1, 15), 1, "interest", year))
        if gift := given(year, by_year.get(year, 0)):
            events.append((date(year + 1, 2, 2), 2, "state-match", gift))
    events += [(one["on"], 3, "taken", int(one["amount"])) for one in FACTS["takes"]]
    events += [(FACTS["retires_on"], 4, "retired", 0)]
    left = 12 * FACTS["instalment_years"]
    events += [(on, 5, "instalment", left - number) for number, on in enumerate(months())]
    events += [(FACTS["reported_on"], 6, "died", 0)]
    events += [(on, 7, "inherited", 0) for on in FACTS["shared_on"]]
    paid: list[tuple[date, int]] = []
    claimed = 0
    for on, _, what, figure in sorted(events):
        told = {}
        if what == "paid":
            account.put(on, OWN, figure)
        elif what == "interest":
            account.earn(figure, rate(figure))
            told = {"percent": rate(figure)}
        elif what == "state-match":
            account.put(on, STATE, figure)
            told = {"claimed": str(figure)}
        elif what == "taken":
            account.take(on, figure)
            told = {"paid": str(figure)}
        elif what == "instalment":
            francs = account.total() // figure
            account.take(on, francs)
            paid.append((on, francs))
            told = {"paid": str(francs)}
        elif what == "died":
            too_much = sum(francs for day, francs in paid if (day.year, day.month) > month_of(FACTS["died_on"]))
            account.put(on, STATE, too_much)
            claimed = account.total()
        elif what == "inherited":
            first, second = shared(claimed or account.total())
            account.take(on, first + second)
            claimed = account.total()
            told = {"first": str(first), "second": str(second)}
        account.tell(on, what, **told)
    return account.rows


def month_of(day: date) -> tuple[int, int]:
    """Return the month in which a day lies."""
    return day.year, day.month


def main() -> None:
    """Print the life."""
    rows = live()
    if "--json" in sys.argv:
        sys.stdout.write(json.dumps([asdict(one) for one in rows], indent=1) + "\n")
        return
    for one in rows:
        told = "  ".join(f"{name} {value}" for name, value in one.figures.items())
        sys.stdout.write(f"{one.on}  {one.what:12}  {one.amount:>9}  {one.value:>9}  {told}".rstrip() + "\n")


if __name__ == "__main__":
    main()
