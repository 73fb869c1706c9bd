"""A member's statement, calculated by hand: plain arithmetic over plain CSV files, with every price and rounding shown.

Imports nothing but Python's standard library: it shares no line with the engine, and no library the engine calculates
with. Its inputs are `payments.csv` (who paid what, when, and on which day the bank's statement showed it) and the
published prices (`date,scheme_code,price`).

The rules, as the scheme states them:

1. A payment is dealt on the first day with a published price on or after the day it is reconciled.
2. It takes the first price dated after that day.
3. It buys  units = amount / price, rounded DOWN to 4 decimals. What rounding leaves over is not the member's.
4. The holding is worth  units x last price, rounded DOWN to the paisa, once for the whole holding.
5. Money that has bought no units yet counts at its face value.
6. The money-weighted return a year is the rate r that solves
       sum( amount x (1 + r) ^ (days from payment to the statement / 365) ) = value,
   rounded half to even to a hundredth of a per cent. It is not told within 30 days of the first payment, nor while
   nothing is invested.

    python tests/golden/statement_by_hand.py                            the tables of the golden file's days
    python tests/golden/statement_by_hand.py --as-of 2023-05-31         of another day
    python tests/golden/statement_by_hand.py --compare FOLDER           against statements the system gave

FOLDER holds `<member>-<as-of>.json` files as `GET /v1/members/{number}/statement` answers them, and perhaps a
`payments.csv` of its own. Exits 1 where any figure differs.
"""

import argparse
import csv
import json
import math
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_FLOOR, ROUND_HALF_EVEN, Decimal, localcontext
from pathlib import Path

HERE = Path(__file__).resolve().parent
PAYMENTS = HERE / "payments.csv"
PRICES = HERE.parent.parent / "tenants" / "in-nps-lite" / "demo" / "prices.csv"
UNIT = Decimal("0.0001")
PAISA = Decimal("0.01")
HUNDREDTH_OF_A_PER_CENT = Decimal("0.0001")
DAYS_BEFORE_A_RETURN = 30


@dataclass(frozen=True)
class Payment:
    """A line of payments.csv."""

    member: str
    scheme: str
    paid_on: date
    reconciled_on: date
    amount: Decimal


@dataclass(frozen=True)
class Bought:
    """What a payment bought. `exact` is the quotient before it is rounded down; None of it until the price is out."""

    payment: Payment
    dealt_on: date | None = None
    price_on: date | None = None
    price: Decimal | None = None
    exact: Decimal | None = None
    units: Decimal | None = None


@dataclass(frozen=True)
class Result:
    """A member's statement on one day."""

    member: str
    as_of: date
    lines: tuple[Bought, ...]
    units: Decimal
    last_price_on: date | None
    last_price: Decimal | None
    exact_value: Decimal
    holding_value: Decimal
    uninvested: Decimal
    contributed: Decimal
    value: Decimal
    rate: Decimal | None


def read_payments(path: Path) -> list[Payment]:
    """Return the payments, in the file's order."""
    with path.open(encoding="utf-8", newline="") as file:
        return [
            Payment(
                row["member"],
                row["scheme"],
                date.fromisoformat(row["paid_on"]),
                date.fromisoformat(row["reconciled_on"]),
                Decimal(row["amount"]),
            )
            for row in csv.DictReader(file)
        ]


def read_prices(path: Path) -> dict[str, dict[date, Decimal]]:
    """Return the published prices by scheme and day."""
    prices: dict[str, dict[date, Decimal]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            prices.setdefault(row["scheme_code"], {})[date.fromisoformat(row["date"])] = Decimal(row["price"])
    return prices


def buy(payment: Payment, prices: dict[date, Decimal], as_of: date) -> Bought:
    """Return what a payment has bought by the end of `as_of`."""
    days = sorted(prices)
    dealt_on = next((day for day in days if day >= payment.reconciled_on), None)
    price_on = None if dealt_on is None else next((day for day in days if day > dealt_on), None)
    if price_on is None or price_on > as_of:
        return Bought(payment, dealt_on if dealt_on is not None and dealt_on <= as_of else None)
    price = prices[price_on]
    exact = payment.amount / price
    return Bought(payment, dealt_on, price_on, price, exact, exact.quantize(UNIT, ROUND_FLOOR))


def calculate(member: str, payments: Iterable[Payment], prices: dict[str, dict[date, Decimal]], as_of: date) -> Result:
    """Return a member's statement at the end of `as_of`."""
    with localcontext() as context:
        context.prec = 40
        own = sorted(
            (one for one in payments if one.member == member and one.paid_on <= as_of), key=lambda one: one.paid_on
        )
        lines = tuple(buy(one, prices[one.scheme], as_of) for one in own)
        units = sum((line.units for line in lines if line.units is not None), Decimal(0))
        last_price_on = last_price = None
        if units:
            of_scheme = prices[own[0].scheme]
            last_price_on = max(day for day in of_scheme if day <= as_of)
            last_price = of_scheme[last_price_on]
        exact_value = units * last_price if last_price is not None else Decimal(0)
        holding_value = exact_value.quantize(PAISA, ROUND_FLOOR)
        uninvested = sum((line.payment.amount for line in lines if line.units is None), Decimal(0))
        contributed = sum((one.amount for one in own), Decimal(0))
        value = holding_value + uninvested
        rate = None
        if units and (as_of - own[0].paid_on).days >= DAYS_BEFORE_A_RETURN:
            rate = money_weighted_return([(one.paid_on, one.amount) for one in own], value, as_of)
        return Result(
            member, as_of, lines, units, last_price_on, last_price, exact_value, holding_value, uninvested, contributed,
            value, rate,
        )  # fmt: skip


def money_weighted_return(flows: Sequence[tuple[date, Decimal]], value: Decimal, as_of: date) -> Decimal:
    """Return the yearly rate at which the flows grow to `value`, by halving an interval until it is tiny."""

    def grown(rate: float) -> float:
        return math.fsum(float(amount) * (1 + rate) ** ((as_of - day).days / 365) for day, amount in flows)

    low, high = -0.9999, 1000.0
    for _ in range(200):
        middle = (low + high) / 2
        if grown(middle) < float(value):
            low = middle
        else:
            high = middle
    return Decimal(repr(low)).quantize(HUNDREDTH_OF_A_PER_CENT, ROUND_HALF_EVEN)


def table(result: Result) -> str:
    """Return the calculation as a table for people to follow with a pocket calculator."""
    out = [f"{result.member} at the end of {result.as_of}", ""]
    out.append(
        f"{'paid on':<11}{'dealt on':<11}{'price of':<11}{'amount':>10} / {'price':>8} = {'exact units':>18}{'units':>12}"
    )
    for line in result.lines:
        paid, amount = line.payment.paid_on.isoformat(), f"{line.payment.amount:.2f}"
        dealt = "" if line.dealt_on is None else line.dealt_on.isoformat()
        if line.units is None or line.exact is None:
            out.append(f"{paid:<11}{dealt:<11}{'not yet':<11}{amount:>10}")
        else:
            out.append(
                f"{paid:<11}{dealt:<11}{line.price_on!s:<11}{amount:>10} / {line.price:>8} = {line.exact:>18.10f}{line.units:>12}"
            )
    out.append("")
    out.append(f"contributed   {result.contributed:>14.2f}")
    out.append(f"units         {result.units:>16.4f}   the sum of the last column")
    if result.last_price is not None:
        out.append(
            f"holding       {result.holding_value:>14.2f}     {result.units} x {result.last_price} of {result.last_price_on}"
            f" = {result.exact_value:.6f}, rounded down"
        )
    out.append(f"not invested  {result.uninvested:>14.2f}")
    out.append(f"value         {result.value:>14.2f}")
    out.append(f"return a year {'not told' if result.rate is None else f'{result.rate * 100:.2f} %':>14}")
    return "\n".join(out) + "\n"


def document(result: Result) -> dict[str, object]:
    """Return the figures of a statement, each as a decimal string."""
    return {
        "member": result.member,
        "as_of": result.as_of.isoformat(),
        "contributed": f"{result.contributed:.2f}",
        "units": f"{result.units:.4f}",
        "price": None if result.last_price is None else str(result.last_price),
        "price_on": None if result.last_price_on is None else result.last_price_on.isoformat(),
        "uninvested": f"{result.uninvested:.2f}",
        "value": f"{result.value:.2f}",
        "return_a_year": None if result.rate is None else f"{result.rate:.4f}",
        "lines": [
            {
                "paid_on": line.payment.paid_on.isoformat(),
                "amount": f"{line.payment.amount:.2f}",
                "price_on": None if line.price_on is None else line.price_on.isoformat(),
                "price": None if line.price is None else str(line.price),
                "units": None if line.units is None else f"{line.units:.4f}",
            }
            for line in result.lines
        ],
    }


def answered(statement: dict[str, object], member: str) -> dict[str, object]:
    """Return the same figures from what the system answered."""

    def number(text: object) -> str | None:
        return None if text is None else str(Decimal(str(text)).normalize())

    assert isinstance(statement["totals"], dict), statement
    assert isinstance(statement["holdings"], list), statement
    assert isinstance(statement["lines"], list), statement
    totals, holdings = statement["totals"], statement["holdings"]
    holding = holdings[0] if holdings else {"units": "0.0000", "price": None, "price_on": None}
    return {
        "member": member,
        "as_of": statement["as_of"],
        "contributed": totals["contributed"],
        "units": holding["units"],
        "price": number(holding["price"]),
        "price_on": holding["price_on"],
        "uninvested": totals["uninvested"],
        "value": totals["value"],
        "return_a_year": totals["return_a_year"],
        "lines": [
            {
                "paid_on": line["paid_on"],
                "amount": line["amount"],
                "price_on": line.get("price_on"),
                "price": number(line.get("price")),
                "units": line.get("units"),
            }
            for line in statement["lines"]
        ],
    }


def differences(expected: dict[str, object], found: dict[str, object]) -> list[str]:
    """Return every figure that differs, in words."""
    where = f"{expected['member']} at {expected['as_of']}"
    wrong = [
        f"{where}: {name}: by hand {expected[name]}, system {found[name]}"
        for name in expected
        if name != "lines" and expected[name] != found[name]
    ]
    by_hand, by_system = expected["lines"], found["lines"]
    assert isinstance(by_hand, list), by_hand
    assert isinstance(by_system, list), by_system
    if len(by_hand) != len(by_system):
        wrong.append(f"{where}: {len(by_hand)} payments by hand, {len(by_system)} in the system")
    wrong += [
        f"{where}: payment {place}: by hand {one}, system {other}"
        for place, (one, other) in enumerate(zip(by_hand, by_system, strict=False), 1)
        if one != other
    ]
    return wrong


def compare(folder: Path, payments: Sequence[Payment], prices: dict[str, dict[date, Decimal]]) -> int:
    """Print, for every statement in the folder, whether it is what the hand calculation says; return an exit code."""
    named = [
        (path, re.fullmatch(r"([a-z]+)-(\d{4}-\d{2}-\d{2})\.json", path.name)) for path in sorted(folder.iterdir())
    ]
    wrong: list[str] = []
    compared = 0
    for path, match in named:
        if match is None:
            continue
        expected = plain(document(calculate(match[1], payments, prices, date.fromisoformat(match[2]))))
        found = answered(json.loads(path.read_text(encoding="utf-8")), match[1])
        wrong += differences(expected, found)
        compared += 1
    say("\n".join([*wrong, f"{compared} statements compared, {len(wrong)} differences"]))
    return 1 if wrong or not compared else 0


def plain(figures: dict[str, object]) -> dict[str, object]:
    """Return the figures with prices written without trailing noughts, as they are compared."""
    lines = figures["lines"]
    assert isinstance(lines, list), figures

    def bare(price: str | None) -> str | None:
        return None if price is None else str(Decimal(price).normalize())

    price = figures["price"]
    assert price is None or isinstance(price, str), price
    return figures | {"price": bare(price), "lines": [line | {"price": bare(line["price"])} for line in lines]}


def say(text: str) -> None:
    """Print a text."""
    sys.stdout.write(text + "\n")


GOLDEN_DAYS = (date(2023, 4, 28), date(2023, 9, 30), date(2024, 3, 31))


def main() -> int:
    """Read the arguments, calculate, print."""
    parser = argparse.ArgumentParser(description="A member's statement by hand.")
    parser.add_argument("--payments", type=Path)
    parser.add_argument("--prices", type=Path, default=PRICES)
    parser.add_argument("--as-of", type=date.fromisoformat, action="append")
    parser.add_argument("--json", action="store_true", help="the figures as JSON")
    parser.add_argument("--compare", type=Path, metavar="FOLDER")
    given = parser.parse_args()
    prices = read_prices(given.prices)
    own = given.compare / "payments.csv" if given.compare else PAYMENTS
    payments = read_payments(given.payments or (own if own.is_file() else PAYMENTS))
    if given.compare:
        return compare(given.compare, payments, prices)
    members = list(dict.fromkeys(one.member for one in payments))
    results = [calculate(member, payments, prices, day) for member in members for day in given.as_of or GOLDEN_DAYS]
    if given.json:
        say(json.dumps([document(one) for one in results], indent=1))
    else:
        say("\n".join(table(one) for one in results).rstrip("\n"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
