"""Which dimensions of a scheme's rules a pack expresses, cell by cell: nothing is left blank.

A dimension is a row of the list of what national schemes' rules are made of ("C5: per-contribution split to
sub-accounts"). A kind of rule names those it says in its docstring; what no rule of a pack says, the pack's
`dimensions.toml` says itself: that the scheme has no such rule, and why, or which other part of the pack says it.

    [not_in_scheme]
    W14 = "no benefit is held for minors"

    [elsewhere]
    T2 = "pack.toml: scheme_year_start"
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta, Struct

from engine.kernel.rules import Rule
from engine.tenancy.errors import PackProblem
from engine.tenancy.rules.books import read_toml
from engine.tenancy.rules.decoding import decode, unknown
from engine.tenancy.rules.packs import Pack

FILE = "dimensions.toml"
DIMENSIONS: Mapping[str, str] = {
    "T1": "effective-dated rules, by event or by joining",
    "T2": "scheme year",
    "T3": "migration of a product, with what is kept",
    "T4": "values from tables",
    "T5": "values from named formulas",
    "T6": "entry age",
    "E1": "entry ages and exceptions",
    "E2": "a minor's account with a guardian",
    "E3": "residence and nationality",
    "E4": "income ceilings and exclusivity",
    "E5": "status from an outside register",
    "E6": "identity documents by channel and level",
    "E7": "membership of a group",
    "E8": "several identity numbers over time",
    "E9": "declared income",
    "E10": "time limits of decisions",
    "C1": "free, fixed or tiered amounts",
    "C2": "frequency and part payments",
    "C3": "annual cap",
    "C4": "paying ahead",
    "C5": "split over pots",
    "C6": "what is taken before the split",
    "C7": "one payment for several payees",
    "C8": "payers other than the member",
    "C9": "payment reference",
    "C10": "foreign money",
    "C11": "arrears",
    "C12": "charges for lateness",
    "C13": "collection by agents, in cash or goods",
    "M1": "state match by class, threshold and cap",
    "M2": "when a match is given",
    "M3": "flat match",
    "M4": "vesting and forfeiture",
    "M5": "where a match goes",
    "M6": "claiming a match",
    "M7": "insurance entitlement",
    "M8": "waiting periods",
    "R1": "units and prices",
    "R2": "declared interest",
    "R3": "guarantees",
    "R4": "only reconciled money is invested",
    "R5": "fees",
    "R6": "fees by balance",
    "R7": "loans and pledges",
    "R8": "money without an owner",
    "W1": "access by pot",
    "W2": "access by purpose",
    "W3": "access by history",
    "W4": "access to what came since the last withdrawal",
    "W5": "exit by duration",
    "W6": "retirement by balance",
    "W7": "pensions and annuities",
    "W8": "guaranteed payments",
    "W9": "the spouse's continuation",
    "W10": "where the corpus goes",
    "W11": "payout routes",
    "W12": "legal time limits",
    "W13": "alternative proofs",
    "W14": "minors' trusts",
    "W15": "tax at exit",
    "D1": "ladder of statuses",
    "D2": "reactivation",
    "D3": "unclaimed property",
    "D4": "reminders",
}
BLANK = "**blank**"
"""What stands in the table where a pack says nothing of a dimension."""
_MARKS: Mapping[str, str] = {"expressed": "✓", "assumption": "✓ (assumed)", "not-in-scheme": "–"}
_HEADING = """\
# What each pack says of each dimension

Made by `akiba pack dimensions --out docs/dimensions.md` from the packs; a test holds it to them.

✓ is expressed, by the rules named or where it is said · ✓ (assumed) is expressed, but no text settles it: what was assumed is said
below · – is not in the scheme, or left out of its pack: why is said below.
"""
_ROW = re.compile(r"\b([TECMRWD]\d{1,2})\b")
_RANGE = re.compile(r"\b([TECMRWD])(\d{1,2})[-–]\1?(\d{1,2})\b")


class Declared(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a pack says of dimensions that none of its rules expresses."""

    not_in_scheme: Mapping[str, Annotated[str, Meta(min_length=8)]] = {}
    elsewhere: Mapping[str, Annotated[str, Meta(min_length=8)]] = {}


@dataclass(frozen=True, slots=True)
class Cell:
    """What a pack says of a dimension: `mark` is expressed, assumption or not-in-scheme.

    `by` says which rules or which other part of the pack express it; `why` what was assumed, or why the scheme has none.
    """

    mark: str
    by: str = ""
    why: str = ""


def said_by(kind: type[Rule]) -> frozenset[str]:
    """Return the dimensions that a kind of rule names in its docstring."""
    text = kind.__doc__ or ""
    found = {one for one in _ROW.findall(text) if one in DIMENSIONS}
    for letter, first, last in _RANGE.findall(text):
        found |= {f"{letter}{n}" for n in range(int(first), int(last) + 1) if f"{letter}{n}" in DIMENSIONS}
    return frozenset(found)


def cells(pack: Pack) -> dict[str, Cell | None]:
    """Return what the pack says of every dimension; None where it says nothing: a blank."""
    declared = _declared(pack, [])
    rules: dict[str, list[Rule]] = {}
    for book in pack.books.values():
        for version in book.versions():
            for dimension in said_by(type(version.rule)):
                rules.setdefault(dimension, []).append(version.rule)
    return {dimension: _cell(dimension, rules.get(dimension, []), declared) for dimension in DIMENSIONS}


def _cell(dimension: str, rules: Sequence[Rule], declared: Declared) -> Cell | None:
    if rules:
        ids = ", ".join(sorted({rule.id for rule in rules}))
        assumed = sorted({rule.assumption for rule in rules if rule.confidence == "low"})
        return Cell("assumption", ids, "; ".join(assumed)) if assumed else Cell("expressed", ids)
    if dimension in declared.elsewhere:
        return Cell("expressed", declared.elsewhere[dimension])
    if dimension in declared.not_in_scheme:
        return Cell("not-in-scheme", why=declared.not_in_scheme[dimension])
    return None


def dimension_problems(pack: Pack) -> list[PackProblem]:
    """Return what is wrong with `dimensions.toml`: unknown rows, rows that a rule says already, and blanks."""
    if FILE not in pack.files:
        return []
    problems: list[PackProblem] = []
    declared = _declared(pack, problems)
    expressed = {
        dimension
        for book in pack.books.values()
        for version in book.versions()
        for dimension in said_by(type(version.rule))
    }
    for table, rows in (("not_in_scheme", declared.not_in_scheme), ("elsewhere", declared.elsewhere)):
        for dimension in rows:
            if dimension not in DIMENSIONS:
                reason = unknown(dimension, DIMENSIONS, what="a dimension")
                problems.append(PackProblem(FILE, f"{table}.{dimension}", reason))
            elif dimension in expressed:
                problems.append(PackProblem(FILE, f"{table}.{dimension}", "is said by a rule of the pack; take it out"))
    blanks = [dimension for dimension, cell in cells(pack).items() if cell is None]
    if blanks:
        problems.append(PackProblem(FILE, "", f"says nothing of {', '.join(blanks)}: no rule of the pack does either"))
    return problems


def dimension_table(packs: Iterable[Pack]) -> str:
    """Return the page of dimensions × packs in Markdown: a table, then in words what was assumed and what is not there."""
    found = {pack.code: cells(pack) for pack in packs}
    lines = [_HEADING, "| | dimension | " + " | ".join(found) + " |", "|---|---|" + "---|" * len(found)]
    for dimension, words in DIMENSIONS.items():
        row = [_shown(one[dimension]) for one in found.values()]
        lines.append(f"| {dimension} | {words} | " + " | ".join(row) + " |")
    for code, one in found.items():
        for title, mark in (
            ("what is assumed", "assumption"),
            ("what the scheme or its pack does not have", "not-in-scheme"),
        ):
            lines += ["", f"## {code}: {title}", ""]
            lines += [
                f"- {dimension}, {DIMENSIONS[dimension]}: {cell.why}"
                for dimension, cell in one.items()
                if cell is not None and cell.mark == mark
            ] or ["Nothing."]
    return "\n".join(lines) + "\n"


def _shown(cell: Cell | None) -> str:
    if cell is None:
        return BLANK
    return f"{_MARKS[cell.mark]} {cell.by}".rstrip().replace("|", "\\|")


def _declared(pack: Pack, problems: list[PackProblem]) -> Declared:
    content = pack.files.get(FILE)
    table = read_toml(FILE, content, problems) if content is not None else None
    if table is None:
        return Declared()
    declared, found = decode(table, Declared, file=FILE)
    problems.extend(found)
    return declared or Declared()
