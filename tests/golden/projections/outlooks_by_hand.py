"""What the packs' examples of a projection must come to, worked out month by month with Python's standard library alone.

    python outlooks_by_hand.py PACK    prints what each example of the pack comes to, by its name

Reads a pack's own TOML and CSV; nothing of the engine. Beside it, `by_hand.py` says what payments are worth.
"""

import csv
import sys
import tomllib
from collections.abc import Iterator
from datetime import date
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal, localcontext
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from by_hand import ONE, certain, for_life, for_two  # type: ignore[import-not-found]

DECIMALS = {"KWD": 3, "BHD": 3, "RWF": 0, "UGX": 0}
NONE = Decimal(0)


def examples(pack: Path) -> Iterator[tuple[str, dict[str, str], dict[str, str]]]:
    """Give each example of a projection: its name, what its pack expects, and what it comes to here."""
    for file in sorted(pack.glob("scenarios/*.toml")):
        for one in tomllib.loads(file.read_text(encoding="utf-8"))["scenario"]:
            if one["kind"] == "projection" and "refused" not in one["expect"]:
                yield one["name"], _flat(one["expect"]), comes_to(pack, one)


def comes_to(pack: Path, example: dict[str, Any]) -> dict[str, str]:
    """Return every figure of one example, in major units."""
    currency = tomllib.loads((pack / "pack.toml").read_text(encoding="utf-8"))["currency"]
    decimals = DECIMALS.get(currency, 2)
    unit = ONE.scaleb(-decimals)
    rule, ages = _rule(pack, example, "projection"), _rule(pack, example, "benefit-age")
    on, born_on, given = example["on"], example["born_on"], example["given"]
    starts = max(_starts(ages, born_on, example["joined_on"], given.get("sex", "")), on)
    months = (starts.year - on.year) * 12 + starts.month - on.month - (starts.day < min(on.day, _days(starts)))
    age = starts.year - born_on.year - ((starts.month, starts.day) < (born_on.month, born_on.day))
    prices = (ONE + _share(rule["inflation_percent"])) ** (Decimal(months) / 12)

    def money(figure: Decimal) -> str:
        return f"{_rounded(figure / unit, rule['rounding']) * unit:.{decimals}f}"

    found = {"benefit_on": starts.isoformat()}
    if "pension" in rule:
        promised = _promised(pack, example, rule["pension"])
        found |= {"promised": money(promised), "promised_today": money(promised / prices)}
    for outlook in ("cautious", "expected", "favourable"):
        pot = _pot(rule, given, months, _share(rule[f"{outlook}_percent"]), unit)
        lump = pot * rule["lump_bp"] / 10_000
        income = (pot - lump) / _worth(pack, rule["annuity"], age) if "annuity" in rule else NONE
        for name, figure in (("pot", pot), ("lump", lump), ("income", income)):
            found[f"{outlook}.{name}"] = money(figure)
            found[f"{outlook}.{name}_today"] = money(figure / prices)
    return found


def _pot(rule: dict[str, Any], given: dict[str, Any], months: int, rate: Decimal, unit: Decimal) -> Decimal:
    """Pay, grow, take a twelfth of the charge, match: month after month."""
    often = rule.get("compounded", 1)
    yearly = (1 + rate / often) ** often
    if rule["returns"] == "real":
        yearly *= 1 + _share(rule["inflation_percent"])
    monthly = yearly ** (ONE / 12) * (1 - Decimal(rule["charges_bp"]) / 10_000 / 12)
    times, rise = given["times_a_year"], _share(rule["contributions_rise_percent"])
    gap = 1 if times >= 12 else 12 // times
    each = Decimal(given["contribution"]) * times * gap / 12
    match = [Decimal(one["amount"]) for one in given.get("match", [])]
    pot = Decimal(given["balance"])
    for month in range(1, months + 1):
        year = (month - 1) // 12
        due = each * (1 + rise) ** year
        if rule["contributions"] == "advance" and (month - 1) % gap == 0:
            pot += due
        gained = pot * (monthly - 1)
        pot += _rounded(gained / unit, rule["credited"]) * unit if "credited" in rule else gained
        if rule["contributions"] == "arrears" and month % gap == 0:
            pot += due
        if (month % 12 == 0 or month == months) and year < len(match):
            pot += match[year]
    return pot


def _worth(pack: Path, annuity: dict[str, Any], age: int) -> Any:
    """Return what 1 of each payment costs."""
    per_year, rate = annuity["payments_a_year"], _share(annuity["percent"])
    rise, advance = _share(annuity["rise_percent"]), annuity["paid"] == "advance"
    if annuity["basis"] == "certain":
        return per_year * certain(annuity["years"], per_year, rate, rise, advance)
    with (pack / "tables" / f"{annuity['mortality']}.csv").open(encoding="utf-8", newline="") as file:
        q = {int(row["age"]): Decimal(row["q"]) for row in csv.DictReader(file)}
    if annuity["basis"] == "life":
        guaranteed = annuity.get("guaranteed_years", 0)
        return per_year * for_life(q, age, per_year, rate, rise, advance, guaranteed)
    assert per_year == 1
    assert not rise
    ages = (age, age - annuity["spouse_younger_years"])
    return for_two(q, ages, rate, advance, ONE, Decimal(annuity["to_spouse_bp"]) / 10_000)


def _promised(pack: Path, example: dict[str, Any], pension: str) -> Decimal:
    rule = _rule(pack, example, "pension", pension)
    if rule["form"] == "fixed":
        return Decimal(rule["amount"])
    keys = {name: str(value) for name, value in example["given"]["keys"].items()}
    with (pack / "tables" / f"{rule['table']}.csv").open(encoding="utf-8", newline="") as file:
        (row,) = [row for row in csv.DictReader(file) if keys.items() <= row.items()]
    return Decimal(row[rule["column"]])


def _rule(pack: Path, example: dict[str, Any], kind: str, rule_id: str | None = None) -> dict[str, Any]:
    """Return the newest rule of a kind by the example's day."""
    found: dict[str, Any] = {}
    for page in sorted((pack / example["product"] / "rules").glob("*.toml")):
        if date.fromisoformat(page.name[:10]) <= example["on"]:
            for one in tomllib.loads(page.read_text(encoding="utf-8")).get("rule", []):
                if one["kind"] == kind and rule_id in (None, one["id"]):
                    found = one
    return found


def _starts(rule: dict[str, Any], born_on: date, joined_on: date, sex: str) -> date:
    fitting = [one for one in rule["ages"] if one["sex"] in ("any", sex) and one.get("born_from", born_on) <= born_on]
    reached = _birthday(born_on, fitting[-1]["years"])
    year, month = divmod(reached.year * 12 + reached.month - 1 + fitting[-1].get("months", 0), 12)
    assert reached.day <= 28 or not fitting[-1].get("months", 0)
    reached = max(date(year, month + 1, reached.day), _birthday(joined_on, rule.get("least_years", 0)))
    if rule["begins"] == "following-month":
        return date(reached.year + reached.month // 12, reached.month % 12 + 1, 1)
    assert rule["begins"] == "birthday"
    return reached


def _days(day: date) -> int:
    """Return how many days the month has."""
    return (date(day.year + day.month // 12, day.month % 12 + 1, 1) - day.replace(day=1)).days


def _birthday(born_on: date, age: int) -> date:
    year = born_on.year + age
    leap = (born_on.month, born_on.day) == (2, 29) and not (year % 4 == 0 and (year % 100 != 0 or year % 400 == 0))
    return date(year, 3, 1) if leap else born_on.replace(year=year)


def _share(percent: str) -> Decimal:
    return Decimal(percent) / 100


def _rounded(figure: Decimal, how: str) -> Decimal:
    if how == "half-up":
        return (figure + Decimal("0.5")).to_integral_value(ROUND_FLOOR)
    modes = {"down": ROUND_FLOOR, "up": ROUND_CEILING, "half-even": ROUND_HALF_EVEN}
    return figure.to_integral_value(modes[how])


def _flat(table: dict[str, Any], above: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in table.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{above}{name}.")
        else:
            found[above + name] = value.isoformat() if isinstance(value, date) else str(value)
    return found


def main() -> None:
    """Print a pack's examples as they must come out, and whether its pages say so."""
    with localcontext() as context:
        context.prec = 60
        for name, expected, figures in examples(Path(sys.argv[1])):
            sys.stdout.write(f"# {name}\n")
            for key, value in figures.items():
                pages = expected.get(key, "nothing")
                said = "as expected" if pages == value else f"{pages} was expected, but this is what it comes to"
                sys.stdout.write(f"{key} = {value}: {said}\n")


if __name__ == "__main__":
    main()
