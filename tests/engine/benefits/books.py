"""Rules as a pack says them, for tests: TOML in, versions in force out."""

from datetime import date
from typing import TypeVar

from engine.benefits.rules import RULE_KINDS, Holding
from engine.kernel.amounts import Asset
from engine.kernel.rules import Dates, Rule
from engine.kernel.series import Figures, Series
from engine.tenancy.rules import InForce
from engine.tenancy.rules.books import RuleBook, decode_book

AnyRule = TypeVar("AnyRule", bound=Rule)
COMMON = 'source = "test"\nconfidence = "high"\n'
FIRST = date(2000, 1, 1)


def book_of(text: str) -> RuleBook:
    """Return the book that a rule file says; the first line of each rule may leave out source and confidence."""
    whole = text.replace("[[rule]]\n", f"[[rule]]\n{COMMON}")
    book, problems = decode_book("p", {"p/rules/2000-01-01.toml": whole.encode()}, RULE_KINDS)
    assert problems == [], problems
    return book


def problems_of(text: str) -> list[str]:
    """Return what is wrong with a rule file."""
    whole = text.replace("[[rule]]\n", f"[[rule]]\n{COMMON}")
    _, problems = decode_book("p", {"p/rules/2000-01-01.toml": whole.encode()}, RULE_KINDS)
    return [f"{one.key}: {one.reason}" for one in problems]


def rule_of(kind: type[AnyRule], text: str, on: date = FIRST) -> InForce[AnyRule]:
    """Return the one rule of a kind in a rule file."""
    (found,) = book_of(text).all_in_force(kind, Dates(on=on))
    return found


def rules_of(kind: type[AnyRule], text: str, on: date = FIRST) -> dict[str, InForce[AnyRule]]:
    """Return the rules of a kind in a rule file, by id."""
    return {one.rule.id: one for one in book_of(text).all_in_force(kind, Dates(on=on))}


def figures_in(currency: str, **series: Series) -> Figures:
    """Return figures of a scheme whose money is `currency`."""
    return Figures(Asset.currency(currency), {one.code: one for one in series.values()})


def held(*parts: tuple[str, str, int]) -> tuple[Holding, ...]:
    """Return holdings of (pot, origin, smallest units)."""
    return tuple(Holding(*part) for part in parts)


def calendar_year(day: date) -> tuple[date, date]:
    """Return the calendar year of a day as a scheme year."""
    return date(day.year, 1, 1), date(day.year + 1, 1, 1)


def july_year(day: date) -> tuple[date, date]:
    """Return the scheme year from July to June."""
    start = day.year if day.month >= 7 else day.year - 1
    return date(start, 7, 1), date(start + 1, 7, 1)
