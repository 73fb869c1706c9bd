"""One life in Ghana's third tier, calculated by hand: plain arithmetic with fractions, from what the scheme publishes.

Imports nothing but Python's standard library: it shares no line with the engine. Its input is what the member did and what
the fund was worth (`tests/golden/lives/gh-tier3-informal.toml`).

The rules, as the scheme states them or its pack assumes, in pesewas and ten-thousandths of a unit:

1. Half of each payment is personal savings, half is for retirement, and the odd pesewa is for retirement. From 2030, by an
   invented change: four and six tenths, rounded to what is nearest.
2. On a dealing day what has come is put up for the next day's price. Each part of each payment buys  amount / price  units,
   rounded DOWN to 4 decimals, and the rest is not the member's.
3. Units are worth  units x last price,  rounded DOWN to the pesewa once for the whole holding. Money that has bought no units
   yet counts at its face value, and so does what was sold and is not paid out yet.
4. Half of all that came into the savings may be taken for education or business, as often as wanted: half of what is there and
   was taken before, less what was taken before; from 2050, by an invented change, seven tenths. An amount is turned into units
   by the last price, rounded UP; what they bring at the next price, rounded DOWN, is paid. Money that was saved before tax bears 15 %
   of it in the first ten years, withheld once the money has come, half a pesewa rounded up, and nothing later; from 2041, by an invented change, 5 %.
5. At 60 the savings are paid at once. After the death those whom the member named have six and four tenths of what the
   retirement account brings: exact shares, the pesewa that is left over to the larger remainder. What is
   theirs is not in the member's account any more.

    python tests/golden/life_gh_tier3_informal.py       the whole life, line by line
    python tests/golden/life_gh_tier3_informal.py --json
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
    (Path(__file__).resolve().parent / "lives" / "gh-tier3-informal.toml").read_text(encoding="utf-8")
)
SAVINGS, RETIREMENT = "savings", "retirement"
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

    units: dict[str, int] = field(default_factory=lambda: {SAVINGS: 0, RETIREMENT: 0})
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
        for pot, pesewas in self.waiting:
            self.units[pot] += floor(Fraction(pesewas, 100) / self.price * UNIT)
        self.waiting = []
        for pot, units in selling.items():
            self.units[pot] -= units
        return sum(self.worth(units) for units in selling.values())

    def value(self) -> int:
        """Return what all is worth."""
        return self.worth(sum(self.units.values())) + sum(pesewas for _, pesewas in self.waiting) + self.payable

    def tell(self, on: date, what: str, **figures: str) -> None:
        """Write an event down."""
        value = self.value()
        self.rows.append(Row(on.isoformat(), what, written(value - self.told), written(value), figures))
        self.told = value


def pesewas(cedis: str) -> int:
    """Read cedis as pesewas."""
    exact = Fraction(cedis) * 100
    assert exact.denominator == 1
    return exact.numerator


def written(amount: int) -> str:
    """Write pesewas as cedis."""
    return f"{'-' if amount < 0 else ''}{abs(amount) // 100}.{abs(amount) % 100:02d}"


def half_up(exact: Fraction) -> int:
    """Round to the nearest whole, a half up."""
    return floor(exact + Fraction(1, 2))


def split(on: date, amount: int) -> dict[str, int]:
    """Share a payment between the two accounts."""
    if on < FACTS["split"]["from"]:
        return {SAVINGS: amount // 2, RETIREMENT: amount - amount // 2}
    shares = {one: Fraction(amount * FACTS["split"][f"{one}_bp"], 10_000) for one in (SAVINGS, RETIREMENT)}
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
                    found.append((on, pesewas(phase["amount"])))
    return found


def weekday(day: date) -> date:
    """Return the day, or the Monday after a weekend."""
    return day + timedelta(days=max(0, 7 - day.weekday()) if day.weekday() > 4 else 0)


def deals() -> list[date]:
    """Return the dealing days."""
    days = [weekday(date(year, *map(int, day.split("-")))) for year in range(2017, 2060) for day in FACTS["deals"]]
    return [one for one in days if FACTS["joins_on"] < one <= weekday(FACTS["reported_on"])]


def tax(on: date, amount: int, *, pre_tax: bool) -> int:
    """Return the tax on what a withdrawal brought."""
    joined = FACTS["joins_on"]
    if not pre_tax:
        return 0
    if on < joined.replace(year=joined.year + 10):
        return half_up(Fraction(amount * 15, 100))
    late = FACTS["tax"]["after_ten_years"] if on >= FACTS["tax"]["from"] else "0"
    return half_up(Fraction(amount) * Fraction(late) / 100)


def shared(amount: int) -> tuple[int, int]:
    """Share six tenths and four tenths, whole pesewas, what is left over to the larger remainder."""
    first, second = Fraction(amount * 6, 10), Fraction(amount * 4, 10)
    whole = [floor(first), floor(second)]
    if sum(whole) < amount:
        whole[0 if first - whole[0] >= second - whole[1] else 1] += 1
    return whole[0], whole[1]


def live() -> list[Row]:
    """Live the life; return its events."""
    account, taken = Account(), 0
    takes = {weekday(one["on"]): one for one in FACTS["takes"]}
    retires, reported = weekday(FACTS["retires_on"]), weekday(FACTS["reported_on"])
    events = [(on, 0, amount) for on, amount in payments()] + [(on, 1, 0) for on in deals()]
    for on, order, amount in sorted(events):
        if not order:
            account.waiting += split(on, amount).items()
            account.tell(on, "paid")
            continue
        selling, most = {}, 0
        if on in takes:
            there = account.worth(account.units[SAVINGS])
            share = FACTS["access"]["most_bp"] if on >= FACTS["access"]["from"] else 5_000
            most = min(floor(Fraction((there + taken) * share, 10_000)) - taken, there)
            selling = {SAVINGS: ceil(Fraction(takes[on]["amount"]) / account.price * UNIT)}
        elif on == retires:
            selling = {SAVINGS: account.units[SAVINGS]}
        elif on == reported:
            selling = {pot: units for pot, units in account.units.items() if units}
        brought = account.deal(selling)
        withheld = tax(on, brought, pre_tax=takes[on]["pre_tax"]) if on in takes else 0
        account.payable = 0 if on == reported else brought - withheld
        account.tell(on + timedelta(days=1), "dealt", price=f"{float(account.price):.4f}")
        paid, account.payable = brought - withheld, 0
        if on in takes:
            taken += brought
            account.tell(on + timedelta(days=1), "taken", most=written(most), tax=written(withheld), paid=written(paid))
        elif on == retires:
            account.tell(on + timedelta(days=1), "retired", paid=written(paid))
        elif on == reported:
            first, second = shared(paid)
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
