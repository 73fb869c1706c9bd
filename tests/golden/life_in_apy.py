"""One life in Atal Pension Yojana, calculated by hand: plain arithmetic with fractions, from what the scheme publishes.

Imports nothing but Python's standard library: it shares no line with the engine. Its inputs are what the member did
(`tenants/in-apy/demo/life.toml`) and the scheme's published charts of instalments and of pensions
(`tenants/in-apy/tables/chart.csv`, `tenants/in-apy/tables/benefits.csv`).

The rules, as the scheme states them:

1. The instalment stands in the chart, by the age at joining, the pension chosen, and how often one pays. Another pension
   changes the instalment from the first month that has not begun; the age stays that at joining.
2. An instalment is due on its month's last day. Paid later it costs, for each month begun, until 31 March 2016: 1 rupee
   for an instalment up to 100, 2 up to 500, 5 up to 1,000, 10 above; from 1 April 2016: a rupee for each 100 rupees or part
   of them. Which of the two, the day of payment says. The charge stays in the member's own account.
3. Each payment is put into three funds: 3,334, 3,333 and 3,333 parts of 10,000, each rounded DOWN to the paisa. What that
   leaves goes to the first fund by code.
4. On a dealing day what has come is put up for the next day's prices. Each part buys  units = amount / price,  rounded DOWN
   to 4 decimals, and the rest is not the member's.
5. A fund's units are worth  units x last price,  rounded DOWN to the paisa once for the whole holding. Money that has
   bought no units yet counts at its face value. The balance is the sum.

6. After 60 the pension is claimed. All units are sold at the next day's prices, each fund's for  units x price,  rounded
   DOWN to the paisa, and go to a pool. For each pension chosen a corpus is guaranteed; the state owes what the sale lacks of
   it. A sale that brings more raises the pension:  pension x brought / corpus,  rounded DOWN to the paisa.
7. It is paid on the day of the month on which it was claimed, in advance, from that day on. A payroll pays what is due by the
   end of its month and was not paid before. The month of a death is due; what was paid for later months is owed back.
8. The spouse has the same pension from the month after. What fell due to them before the death was reported is kept as far
   as something is owed back; later, a third of each payment (3,333 parts of 10,000, rounded DOWN to the paisa), if anything
   still is. A certificate of life carries for a year and 60 days; so does the day on which the spouse's pension was decided.
9. After both deaths the nominee has the corpus: what went to the pool, which is the guaranteed corpus at the least.

Prices are the life's own: of each fund the first, then twice a year the one before and so many parts of 10,000, rounded
DOWN to 4 decimals.

    python tests/golden/life_in_apy.py                         the whole life, line by line
    python tests/golden/life_in_apy.py --years 6               of so many years of instalments
    python tests/golden/life_in_apy.py --compare life.json     against what `akiba demo life --out` wrote

Exits 1 where any figure differs.
"""

import argparse
import calendar
import csv
import json
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from fractions import Fraction
from math import ceil, floor
from pathlib import Path
from typing import Any

PACK = Path(__file__).resolve().parents[2] / "tenants" / "in-apy"
SHARES = (Fraction(3334, 10_000), Fraction(3333, 10_000), Fraction(3333, 10_000))
PAISA, UNIT = 100, 10_000
CHANGED_ON = date(2016, 4, 1)
BANDS = ((100, 1), (500, 2), (1000, 5))
ABOVE_BANDS = 10


@dataclass
class Row:
    """An event: the day, what happened, by how much the balance changed, and what else is told of it."""

    on: date
    what: str
    amount: Fraction
    balance: Fraction
    paid_in: Fraction
    figures: dict[str, str] = field(default_factory=dict)


@dataclass
class Fund:
    """A fund as the member holds it."""

    code: str
    price: Fraction
    growth: Fraction
    units: Fraction = Fraction(0)
    is_priced: bool = False

    def value(self) -> Fraction:
        """Return what the units are worth, in whole paise."""
        return down(self.units * self.price, PAISA)


def down(exact: Fraction, parts: int) -> Fraction:
    """Round down to so many parts of one."""
    return Fraction(floor(exact * parts), parts)


def money(amount: Fraction) -> str:
    """Write an amount with two decimals; it has no more."""
    return decimals(amount, 2)


def decimals(number: Fraction, places: int) -> str:
    """Write a number that has no more than so many decimals."""
    whole = number * 10**places
    assert whole.denominator == 1, number
    sign, digits = ("-" if whole < 0 else ""), str(abs(whole.numerator)).zfill(places + 1)
    return f"{sign}{digits[:-places]}.{digits[-places:]}"


def later(day: date, months: int) -> date:
    """Return the same day of a later month."""
    years, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(years, month + 1, day.day)


def month_end(day: date) -> date:
    """Return the last day of a month."""
    return day.replace(day=calendar.monthrange(day.year, day.month)[1])


def chart(age: int, pension: str) -> Fraction:
    """Return the monthly instalment that the chart has."""
    with (PACK / "tables" / "chart.csv").open(encoding="utf-8", newline="") as file:
        return next(
            Fraction(row["monthly"]) for row in csv.DictReader(file) if (row["age"], row["slab"]) == (str(age), pension)
        )


def months_begun(due_on: date, paid_on: date) -> int:
    """Count the months begun since a month's last day: the rest of it is none, the next month's first day begins one."""
    return (paid_on.year - due_on.year) * 12 + paid_on.month - due_on.month if paid_on > due_on else 0


def late_charge(instalment: Fraction, due_on: date, paid_on: date) -> Fraction:
    """Return what it costs to pay an instalment late."""
    if paid_on < CHANGED_ON:
        each = next((charge for up_to, charge in BANDS if instalment <= up_to), ABOVE_BANDS)
    else:
        each = ceil(instalment / 100)
    return Fraction(each * months_begun(due_on, paid_on))


def shared(amount: Fraction) -> list[Fraction]:
    """Share an amount among the three funds, to the paisa; the first has what rounding leaves."""
    parts = [down(amount * share, PAISA) for share in SHARES]
    parts[0] += amount - sum(parts)
    return parts


class Life:
    """The member's account, worked out from what they did."""

    def __init__(self, facts: dict[str, Any], years: int) -> None:
        self.facts = facts
        self.joined: date = facts["joins_on"]
        self.ends = later(self.joined, 12 * years)
        born: date = facts["born_on"]
        self.age = self.joined.year - born.year - ((self.joined.month, self.joined.day) < (born.month, born.day))
        self.given = [(self.joined, facts["slab"])]
        self.funds = [
            Fund(one["code"], Fraction(one["first_price"]), 1 + Fraction(one["half_year_bp"], 10_000))
            for one in facts["fund"]
        ]
        self.waiting: list[Fraction] = []
        self.paid_in = Fraction(0)
        self.rows: list[Row] = []

    def balance(self) -> Fraction:
        """Return what the account is worth."""
        return sum((one.value() for one in self.funds if one.is_priced), Fraction(0)) + sum(self.waiting, Fraction(0))

    def tell(self, on: date, what: str, amount: Fraction, **figures: str) -> None:
        """Write a row."""
        self.rows.append(Row(on, what, amount, self.balance(), self.paid_in, figures))

    def instalment(self, month: date) -> Fraction:
        """Return the instalment of a month."""
        return chart(self.age, [pension for since, pension in self.given if since.replace(day=1) <= month][-1])

    def payments(self) -> list[tuple[date, list[date]]]:
        """Return the days of payment, and the months that are paid then."""
        first, end = self.joined.replace(day=1), self.ends.replace(day=1)
        caught_up = [
            (one["caught_up_on"], one["months"]) for one in self.facts.get("missed", []) if one["caught_up_on"] < end
        ]
        missed = [month for _, months in caught_up for month in months]
        found, month = list(caught_up), first
        while month < end:
            if month not in missed:
                day = self.facts["first_pay_day"] if month == first else self.facts["pay_day"]
                found.append((month.replace(day=day), [month]))
            month = later(month, 1)
        return sorted(found)

    def dealing_days(self) -> Iterator[date]:
        """Give the 25th of March and of September, or the Thursday before, until one is after the end."""
        for half in range(10_000):
            day = date(self.joined.year + half // 2, (3, 9)[half % 2], 25)
            while day.weekday() > 3:
                day -= timedelta(days=1)
            if day > self.joined:
                yield day
            if day > self.ends:
                return

    def live(self) -> list[Row]:
        """Work all rows out, in their order."""
        steps: list[tuple[date, int, str, Any]] = [(self.joined, 0, "joined", None)]
        steps += [
            (one["on"], 2, "pension-changed", one["slab"])
            for one in self.facts.get("change", [])
            if one["on"] < self.ends
        ]
        steps += [(day, 1, "payment", months) for day, months in self.payments()]
        steps += [(day, 3, "dealt", None) for day in self.dealing_days()]
        for day, _, what, told in sorted(steps, key=lambda one: one[:2]):
            if what == "joined":
                self.tell(
                    day,
                    what,
                    Fraction(0),
                    slab=self.facts["slab"],
                    instalment=money(self.instalment(day)),
                    from_on=str(day),
                )
            elif what == "pension-changed":
                since = later(day.replace(day=1), 1)
                self.given.append((since, told))
                self.tell(
                    day, what, Fraction(0), slab=told, instalment=money(self.instalment(since)), from_on=str(since)
                )
            elif what == "payment":
                self.pay(day, told)
            else:
                self.deal(day + timedelta(days=1))
        if later(self.joined, 12 * self.facts["years"]) == self.ends:
            self.retire()
        return self.rows

    def pay(self, day: date, months: list[date]) -> None:
        """Pay the instalments of some months, with what lateness costs."""
        due = sum((self.instalment(month) for month in months), Fraction(0))
        charge = sum((late_charge(self.instalment(month), month_end(month), day) for month in months), Fraction(0))
        self.waiting.append(due + charge)
        self.paid_in += due + charge
        what = "caught-up" if len(months) > 1 else "instalment"
        self.tell(day, what, due + charge, instalments=str(len(months)), charge=money(charge))

    def deal(self, day: date) -> None:
        """Buy units at the prices of a day, and see what all units are worth then."""
        before, spent = self.balance(), sum(self.waiting, Fraction(0))
        for at, fund in enumerate(self.funds):
            if fund.is_priced:
                fund.price = down(fund.price * fund.growth, UNIT)
            fund.is_priced = True
            for amount in self.waiting:
                fund.units += down(shared(amount)[at] / fund.price, UNIT)
        self.waiting = []
        figures = {"bought_for": money(spent)}
        for fund in self.funds:
            figures |= {
                f"{fund.code}.price": decimals(fund.price, 4),
                f"{fund.code}.units": decimals(fund.units, 4),
                f"{fund.code}.value": money(fund.value()),
            }
        self.tell(day, "dealt", self.balance() - before, **figures)

    def retire(self) -> None:
        """Sell all units at the prices of the day after the claim, put what they bring into the pool, and live on the pension."""
        claimed_on: date = self.facts["retires_on"]
        worth = self.balance()
        self.tell(claimed_on, "pension-claimed", Fraction(0), worth=money(worth))
        figures: dict[str, str] = {}
        for fund in self.funds:
            fund.price = down(fund.price * fund.growth, UNIT)
            figures |= {f"{fund.code}.price": decimals(fund.price, 4), f"{fund.code}.amount": money(fund.value())}
        brought = self.balance()
        self.tell(claimed_on + timedelta(days=1), "sold", brought - worth, **figures)
        for fund in self.funds:
            fund.units = Fraction(0)
        chosen = self.given[-1][1]
        corpus = promised(chosen, "corpus")
        reserve = max(brought, corpus)
        pension = down(promised(chosen, "pension") * reserve / corpus, PAISA)
        self.tell(
            claimed_on + timedelta(days=1),
            "pension-begun",
            -brought,
            reserve=money(reserve),
            pension=money(pension),
            first_due_on=str(claimed_on),
            guaranteed=money(reserve - brought),
        )
        self.live_on(claimed_on, pension, reserve)

    def live_on(self, claimed_on: date, pension: Fraction, reserve: Fraction) -> None:
        """Pay the pension month by month to the member, then to the spouse, and give the nominee what went to the pool."""
        facts, life = self.facts, Pensioner(claimed_on, pension)
        month, steps = claimed_on.replace(day=1), []
        while (day := month.replace(day=facts["payroll_day"])) < facts["spouse_reported_on"]:
            if day >= claimed_on:
                steps.append((day, "pay"))
            month = later(month, 1)
        steps += [(day, "seen") for day in facts["seen_on"]]
        steps += [(facts["reported_on"], "dies"), (facts["spouse_reported_on"], "ends")]
        for day, what in sorted(steps):
            if what == "pay":
                due, kept = life.pay(day)
                figures = {"months": str(due), "due": money(due * pension), "set_off": money(kept)}
                paid = "pension-paid" if life.reported_on is None else "spouse-paid"
                self.tell(day, paid, Fraction(0), **figures, paying=money(due * pension - kept))
            elif what == "seen":
                self.tell(day, "seen-alive", Fraction(0), paid_until=str(certified_until(day)))
            elif what == "dies":
                owed = life.die(facts["died_on"], day)
                told = {"died_on": str(facts["died_on"]), "stops_on": str(life.spouse_from), "owed_back": money(owed)}
                self.tell(day, "death-reported", Fraction(0), **told)
                self.tell(
                    day,
                    "spouse-pension-begun",
                    Fraction(0),
                    pension=money(pension),
                    first_due_on=str(life.first_after(life.spouse_from)),
                    paid_until=str(certified_until(day)),
                )
            else:
                died_on: date = facts["spouse_died_on"]
                stops_on = later(died_on.replace(day=1), 1)
                told = {"died_on": str(died_on), "stops_on": str(stops_on), "posted": money(life.spouse_had)}
                self.tell(day, "spouse-died", Fraction(0), **told)
                self.tell(day, "corpus", Fraction(0), nominee=money(reserve))


class Pensioner:
    """Whoever has the pension: since when, how much a month, and up to which day it was paid."""

    def __init__(self, claimed_on: date, pension: Fraction) -> None:
        self.next_due, self.pension = claimed_on, pension
        self.reported_on: date | None = None
        self.spouse_from = date.max
        self.owed = self.spouse_had = Fraction(0)

    def pay(self, day: date) -> tuple[int, Fraction]:
        """Pay what is due by the end of a month; return how many months' pensions that is, and what is kept of them."""
        due, kept = 0, Fraction(0)
        while self.next_due <= month_end(day):
            due += 1
            if self.reported_on is not None:
                share = 1 if self.next_due < self.reported_on else Fraction(3333, 10_000)
                here = min(self.owed, down(self.pension * share, PAISA))
                self.owed -= here
                kept += here
                self.spouse_had += self.pension - here
            self.next_due = later(self.next_due, 1)
        return due, kept

    def die(self, died_on: date, reported_on: date) -> Fraction:
        """Report the member's death; return what went out for months after that of the death, which the spouse is due from."""
        self.reported_on, self.spouse_from = reported_on, later(died_on.replace(day=1), 1)
        due = self.first_after(self.spouse_from)
        while due < self.next_due:
            self.next_due = later(self.next_due, -1)
            self.owed += self.pension
        return self.owed

    def first_after(self, day: date) -> date:
        """Return the first day of payment on or after a month's first day."""
        return day.replace(day=self.next_due.day)


def certified_until(seen_on: date) -> date:
    """Return the last day on which a pension is paid to somebody who was seen alive."""
    return later(seen_on, 12) + timedelta(days=60)


def promised(pension: str, column: str) -> Fraction:
    """Return what the chart of pensions promises: the pension a month, or the corpus."""
    with (PACK / "tables" / "benefits.csv").open(encoding="utf-8", newline="") as file:
        return next(Fraction(row[column]) for row in csv.DictReader(file) if row["slab"] == pension)


def as_told(row: Row) -> dict[str, str]:
    """Return a row's figures by name, as texts."""
    return {
        "on": str(row.on),
        "what": row.what,
        "amount": money(row.amount),
        "balance": money(row.balance),
        "paid_in": money(row.paid_in),
        **row.figures,
    }


def compare(path: Path) -> int:
    """Hold a life that the system lived against this calculation; return the exit code."""
    life = json.loads(path.read_text(encoding="utf-8"))
    ours = [as_told(row) for row in lived(life["years"])]
    theirs = [
        {name: event[name] for name in ("on", "what", "amount", "balance", "paid_in")} | event["figures"]
        for event in life["events"]
    ]
    compared, differences = 0, []
    if len(ours) != len(theirs):
        differences.append(f"{len(theirs)} events are told, {len(ours)} are expected")
    for expected, found in zip(ours, theirs, strict=False):
        for name in sorted({*expected, *found}):
            compared += 1
            if expected.get(name) != found.get(name):
                what = f"{expected['on']} {expected['what']}: {name}"
                differences.append(f"{what} is {found.get(name)}, by hand {expected.get(name)}")
    sys.stdout.write("".join(f"{one}\n" for one in differences[:50]))
    sys.stdout.write(f"{compared} figures compared, {len(differences)} differences\n")
    return 1 if differences else 0


def lived(years: int | None = None) -> list[Row]:
    """Return the rows of the life, or of its first years."""
    facts = tomllib.loads((PACK / "demo" / "life.toml").read_text(encoding="utf-8"))
    return Life(facts, min(years or facts["years"], facts["years"])).live()


def main() -> int:
    """Print the life, or compare one."""
    parser = argparse.ArgumentParser(description="One life in Atal Pension Yojana, calculated by hand.")
    parser.add_argument("--compare", type=Path, metavar="LIFE.JSON")
    parser.add_argument("--years", type=int)
    asked = parser.parse_args()
    if asked.compare is not None:
        return compare(asked.compare)
    for row in lived(asked.years):
        told = as_told(row)
        day, what = told.pop("on"), told.pop("what").ljust(15)
        sys.stdout.write("  ".join([day, what, *(f"{name} {value}" for name, value in told.items())]) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
