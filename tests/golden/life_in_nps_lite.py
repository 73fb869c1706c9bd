"""One life in NPS-Lite, calculated by hand: plain arithmetic with fractions, from what the scheme publishes.

Imports nothing but Python's standard library: it shares no line with the engine. Its input is what the member did and what
the fund was worth (`tests/golden/lives/in-nps-lite.toml`).

The rules, as the scheme states them or its pack assumes, in paise and ten-thousandths of a unit:

1. A payment is all for retirement. Who pays from 1,000 to 12,000 rupees in a year that begins on 1 April and joined before June
   2015 is given 1,000 by the state, which comes in May. Own money and the state's are kept apart.
2. On a dealing day what has come is put up for the next day's price. Each payment buys  amount / price  units, rounded DOWN
   to 4 decimals, and the rest is not the member's.
3. Units are worth  units x last price,  rounded DOWN to the paisa once for the whole holding. Money that has bought no units
   yet counts at its face value.
4. From 2026 a year costs 15 rupees, from 2038, by an invented change, 20. It is worked out in April. What an earlier sale
   left over pays first; for the rest units are sold: shared between own money and the state's by what they are worth at the last
   price, each rounded DOWN to the paisa, the paisa that is left over to the larger remainder; then turned into units by
   that price, rounded UP. What they bring, rounded DOWN, pays the charge as far as it goes, and what is over is kept.
5. After the death those whom the member named have six and four tenths of what the units bring: exact shares, the paisa that is left over to the larger
   remainder. What the state gives later buys units first, and is shared at the next dealing. What is theirs is not in the member's account any more.

    python tests/golden/life_in_nps_lite.py       the whole life, line by line
    python tests/golden/life_in_nps_lite.py --json
"""

import json
import sys
import tomllib
from dataclasses import asdict, dataclass, field
from datetime import date, timedelta
from fractions import Fraction
from math import ceil, floor
from pathlib import Path
from typing import Any

FACTS: dict[str, Any] = tomllib.loads(
    (Path(__file__).resolve().parent / "lives" / "in-nps-lite.toml").read_text(encoding="utf-8")
)
OWN, STATE = "own", "state"
UNIT = 10_000


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
    """Units and waiting money by where it came from, and what sales for charges left over."""

    units: dict[str, int] = field(default_factory=lambda: {OWN: 0, STATE: 0})
    waiting: list[tuple[str, int]] = field(default_factory=list)
    kept: int = 0
    price: Fraction = Fraction(FACTS["first_price"])
    dealt: int = 0
    rows: list[Row] = field(default_factory=list)
    told: int = 0

    def worth(self, units: int) -> int:
        """Return what units are worth at the last price."""
        return floor(Fraction(units, UNIT) * self.price * 100)

    def deal(self, selling: dict[str, int]) -> int:
        """Deal at the next day's price: buy with what waits, and sell; return what the sale brought."""
        if self.dealt:
            move = FACTS["moves_bp"][(self.dealt - 1) % len(FACTS["moves_bp"])]
            self.price = Fraction(floor(self.price * (10_000 + move)), 10_000)
        self.dealt += 1
        for whose, paise in self.waiting:
            self.units[whose] += floor(Fraction(paise, 100) / self.price * UNIT)
        self.waiting = []
        for whose, units in selling.items():
            self.units[whose] -= units
        return sum(self.worth(units) for units in selling.values())

    def value(self) -> int:
        """Return what all is worth."""
        return self.worth(sum(self.units.values())) + sum(paise for _, paise in self.waiting) + self.kept

    def tell(self, on: date, what: str, **figures: str) -> None:
        """Write an event down."""
        value = self.value()
        self.rows.append(Row(on.isoformat(), what, written(value - self.told), written(value), figures))
        self.told = value


def paise(rupees: str) -> int:
    """Read rupees as paise."""
    exact = Fraction(rupees) * 100
    assert exact.denominator == 1
    return exact.numerator


def written(amount: int) -> str:
    """Write paise as rupees."""
    return f"{'-' if amount < 0 else ''}{abs(amount) // 100}.{abs(amount) % 100:02d}"


def payments() -> list[tuple[date, int]]:
    """Return what the member pays, and when."""
    found = []
    for phase in FACTS["saving"]:
        for year in range(phase["from"], phase["until"] + 1):
            for day in phase["days"]:
                on = date(year, *map(int, day.split("-")))
                if on >= FACTS["joins_on"]:
                    found.append((on, paise(phase["amount"])))
    return found


def weekday(day: date) -> date:
    """Return the day, or the Monday after a weekend."""
    return day + timedelta(days=max(0, 7 - day.weekday()) if day.weekday() > 4 else 0)


def deals() -> list[date]:
    """Return the dealing days of every half-year."""
    days = [weekday(date(year, *map(int, day.split("-")))) for year in range(2010, 2052) for day in FACTS["deals"]]
    return [one for one in days if FACTS["joins_on"] < one <= weekday(FACTS["late_money_on"])]


def charges() -> list[date]:
    """Return the dealing days on which charges are taken."""
    month, day = map(int, FACTS["charge_deal"].split("-"))
    return [weekday(date(year, month, day)) for year in range(FACTS["charge_from"], 2052)]


def given(year: int) -> int:
    """Return what the state gives for the year that begins in April."""
    paid = sum(amount for on, amount in payments() if date(year, 4, 1) <= on < date(year + 1, 4, 1))
    return 1_000_00 if 1_000_00 <= paid <= 12_000_00 else 0


def for_charge(account: Account, due: int) -> dict[str, int]:
    """Return the units to be sold for so much."""
    worth = {whose: account.worth(units) for whose, units in account.units.items()}
    exact = {whose: Fraction(due * held, sum(worth.values())) for whose, held in worth.items()}
    parts = {whose: floor(part) for whose, part in exact.items()}
    if sum(parts.values()) < due:
        parts[max(exact, key=lambda whose: exact[whose] - parts[whose])] += 1
    return {whose: ceil(Fraction(part, 100) / account.price * UNIT) for whose, part in parts.items()}


def shared(amount: int) -> tuple[int, int]:
    """Share six tenths and four tenths, whole paise, what is left over to the larger remainder."""
    first, second = Fraction(amount * 6, 10), Fraction(amount * 4, 10)
    whole = [floor(first), floor(second)]
    if sum(whole) < amount:
        whole[0 if first - whole[0] >= second - whole[1] else 1] += 1
    return whole[0], whole[1]


def live() -> list[Row]:
    """Live the life; return its events."""
    account, shares = Account(), (weekday(FACTS["reported_on"]), weekday(FACTS["late_money_on"]))
    events: list[tuple[date, int, int]] = [(on, 0, amount) for on, amount in payments()]
    events += [(date(year + 1, 5, 2), 1, given(year)) for year in range(2010, 2051) if given(year)]
    events += [(on, 2, 0) for on in deals()] + [(on, 3, 0) for on in charges()]
    for on, order, amount in sorted(events):
        after = on + timedelta(days=1)
        if order < 2:
            account.waiting.append((STATE if order else OWN, amount))
            account.tell(on, "co-contribution" if order else "paid", **({"claimed": written(amount)} if order else {}))
            continue
        selling = {}
        charge = paise(
            FACTS["change"]["charge"] if on > FACTS["change"]["from"].replace(year=2039) else FACTS["charge"]
        )
        if order == 3:
            selling = for_charge(account, charge - account.kept)
        elif on in shares:
            selling = dict(account.units)
        brought = account.deal(selling)
        if order == 3:
            account.kept += brought
        account.tell(after, "dealt", price=f"{float(account.price):.4f}")
        if order == 3:
            account.kept -= min(charge, account.kept)
            account.tell(after, "charged")
        elif on in shares:
            first, second = shared(brought)
            account.tell(after, "inherited", first=written(first), second=written(second))
    return account.rows


def main() -> None:
    """Print the life."""
    rows = live()
    if "--json" in sys.argv:
        sys.stdout.write(json.dumps([asdict(one) for one in rows], indent=1) + "\n")
        return
    for one in rows:
        figures = "  ".join(f"{name} {value}" for name, value in one.figures.items())
        sys.stdout.write(f"{one.on}  {one.what:9}  {one.amount:>10}  {one.value:>10}  {figures}".rstrip() + "\n")


if __name__ == "__main__":
    main()
