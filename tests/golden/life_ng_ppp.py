"""One life in Nigeria's micro-pensions, calculated by hand: plain arithmetic with fractions, from what the plans publish.

Imports nothing but Python's standard library: it shares no line with the engine. Its input is what the member did and what
the fund was worth (`tests/golden/lives/ng-ppp.toml`).

The rules, as the plans state them or the pack assumes, in kobo and ten-thousandths of a unit:

1. Of each payment 40 % is contingent and 60 % for retirement, each rounded DOWN, the kobo that is left over to the larger
   remainder. From 2032, by an invented change: 30 and 70.
2. On a dealing day what has come is put up for the next day's price. Each part of each payment buys  amount / price  units,
   rounded DOWN to 4 decimals, and the rest is not the member's.
3. Units are worth  units x last price,  rounded DOWN to the kobo once for the whole holding. Money that has bought no units
   yet counts at its face value, and so does what was sold and is not paid out yet.
4. In September 2025 the Micro Pension Plan became the Personal Pension Plan: all units move, pot to pot, and nothing else changes.
5. The contingent part may be taken from three months after the first payment on; from 2043, by an invented change, half of
   it. An amount is turned into units by the last price, rounded UP; what they bring at the next price, rounded DOWN, is paid.
6. From 50 on who has less than 550,000 takes all at once. What is paid in later is left after a death: those whom the member
   named have six and four tenths of what it brings: exact shares, the kobo that is left over to the larger remainder. What is
   theirs is not in the member's account any more.

    python tests/golden/life_ng_ppp.py       the whole life, line by line
    python tests/golden/life_ng_ppp.py --json
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
    (Path(__file__).resolve().parent / "lives" / "ng-ppp.toml").read_text(encoding="utf-8")
)
CONTINGENT, RETIREMENT = "contingent", "retirement"
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
    """Units and waiting money by pot, and what was sold and is not paid out yet."""

    units: dict[str, int] = field(default_factory=lambda: {CONTINGENT: 0, RETIREMENT: 0})
    waiting: list[tuple[str, int]] = field(default_factory=list)
    payable: int = 0
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
        for pot, kobo in self.waiting:
            self.units[pot] += floor(Fraction(kobo, 100) / self.price * UNIT)
        self.waiting = []
        for pot, units in selling.items():
            self.units[pot] -= units
        return sum(self.worth(units) for units in selling.values())

    def value(self) -> int:
        """Return what all is worth."""
        return self.worth(sum(self.units.values())) + sum(kobo for _, kobo in self.waiting) + self.payable

    def tell(self, on: date, what: str, **figures: str) -> None:
        """Write an event down."""
        value = self.value()
        self.rows.append(Row(on.isoformat(), what, written(value - self.told), written(value), figures))
        self.told = value


def kobo(naira: str) -> int:
    """Read naira as kobo."""
    exact = Fraction(naira) * 100
    assert exact.denominator == 1
    return exact.numerator


def written(amount: int) -> str:
    """Write kobo as naira."""
    return f"{'-' if amount < 0 else ''}{abs(amount) // 100}.{abs(amount) % 100:02d}"


def split(on: date, amount: int) -> dict[str, int]:
    """Share a payment between the two pots."""
    parts = {CONTINGENT: 4_000, RETIREMENT: 6_000}
    if on >= FACTS["split"]["from"]:
        parts = {one: FACTS["split"][f"{one}_bp"] for one in parts}
    shares = {one: Fraction(amount * part, 10_000) for one, part in parts.items()}
    given = {pot: floor(share) for pot, share in shares.items()}
    if sum(given.values()) < amount:
        given[max(shares, key=lambda pot: shares[pot] - given[pot])] += 1
    return given


def payments() -> list[tuple[date, int]]:
    """Return what the member pays, and when."""
    found = []
    for phase in FACTS["saving"]:
        for year in range(phase["from"], phase["until"] + 1):
            for day in phase["days"]:
                on = date(year, *map(int, day.split("-")))
                if on >= FACTS["joins_on"]:
                    found.append((on, kobo(phase["amount"])))
    return found


def weekday(day: date) -> date:
    """Return the day, or the Monday after a weekend."""
    return day + timedelta(days=max(0, 7 - day.weekday()) if day.weekday() > 4 else 0)


def deals() -> list[date]:
    """Return the dealing days."""
    days = [weekday(date(year, *map(int, day.split("-")))) for year in range(2019, 2060) for day in FACTS["deals"]]
    return [one for one in days if FACTS["joins_on"] < one <= weekday(FACTS["reported_on"])]


def shared(amount: int) -> tuple[int, int]:
    """Share six tenths and four tenths, whole kobo, what is left over to the larger remainder."""
    first, second = Fraction(amount * 6, 10), Fraction(amount * 4, 10)
    whole = [floor(first), floor(second)]
    if sum(whole) < amount:
        whole[0 if first - whole[0] >= second - whole[1] else 1] += 1
    return whole[0], whole[1]


def live() -> list[Row]:
    """Live the life; return its events."""
    account = Account()
    takes = {weekday(one["on"]): one for one in FACTS["takes"]}
    retires, reported = weekday(FACTS["retires_on"]), weekday(FACTS["reported_on"])
    events = [(on, 0, amount) for on, amount in payments()] + [(on, 1, 0) for on in deals()]
    for on, order, amount in sorted([*events, (FACTS["moved_on"], 2, 0)]):
        if order == 0:
            account.waiting += split(on, amount).items()
            account.tell(on, "paid")
            continue
        if order > 1:
            account.tell(on, "moved")
            continue
        selling, most = {}, 0
        if on in takes:
            share = FACTS["access"]["most_bp"] if on >= FACTS["access"]["from"] else 10_000
            most = floor(Fraction(account.worth(account.units[CONTINGENT]) * share, 10_000))
            selling = {CONTINGENT: ceil(Fraction(takes[on]["amount"]) / account.price * UNIT)}
        elif on in (retires, reported):
            selling = {pot: units for pot, units in account.units.items() if units}
        brought = account.deal(selling)
        account.payable = 0 if on == reported else brought
        account.tell(on + timedelta(days=1), "dealt", price=f"{float(account.price):.4f}")
        account.payable = 0
        if on in takes:
            account.tell(on + timedelta(days=1), "taken", most=written(most), paid=written(brought))
        elif on == retires:
            account.tell(on + timedelta(days=1), "retired", paid=written(brought))
        elif on == reported:
            first, second = shared(brought)
            account.tell(on + timedelta(days=1), "inherited", first=written(first), second=written(second))
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
