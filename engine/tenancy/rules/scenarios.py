"""Worked examples of a pack: what is given, what the rules must make of it, and the page that says so."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Annotated

from msgspec import Meta, Struct

from engine.kernel.rules import Dates
from engine.tenancy.errors import PackProblem
from engine.tenancy.rules.books import read_toml
from engine.tenancy.rules.decoding import decode, shown
from engine.tenancy.rules.manifest import Code, Manifest, Product, Source

REFUSED = "refused"


class _Scenario(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    name: Annotated[str, Meta(min_length=5, max_length=160, description="a sentence of 5 to 160 characters")]
    kind: Code
    product: Code
    on: date
    joined_on: date | None = None
    born_on: date | None = None
    tranche_on: date | None = None
    benefit_from: date | None = None
    died_on: date | None = None
    known_on: date | None = None
    given: Mapping[str, object]
    expect: Annotated[Mapping[str, object], Meta(min_length=1, description="a table with at least one outcome")]
    source: Source


def scenario_type() -> type[Struct]:
    """Return the type of one [[scenario]] as it is written, for schemas."""
    return _Scenario


class Survivor(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A figure that no example can settle, and why: `figure` as the check lists it, "*" for all of a rule's."""

    product: Code
    rule: str
    figure: str
    why: Annotated[str, Meta(min_length=10, description="a sentence that says why no example can settle the figure")]

    def covers(self, ref: str, figure: str) -> bool:
        """Return whether this explains a figure of "product/id@page"; `rule` may leave out the page."""
        named = f"{self.product}/{self.rule}"
        return named in (ref, ref.partition("@")[0]) and self.figure in ("*", figure)


class _ScenarioFile(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    scenario: tuple[_Scenario, ...] = ()
    survivor: tuple[Survivor, ...] = ()


@dataclass(frozen=True, slots=True)
class Scenario:
    """A worked example. `expect` is flat: nested tables become dotted keys, values the text that TOML writes."""

    file: str
    row: int
    name: str
    kind: str
    product: str
    dates: Dates
    known_on: date | None
    given: Mapping[str, object]
    expect: Mapping[str, str]
    source: str

    @property
    def on(self) -> date:
        """Return the business date of the decision."""
        return self.dates.on

    @property
    def joined_on(self) -> date | None:
        """Return when the example's member joined."""
        return self.dates.joined_on


def flat_text(value: object) -> str:
    """Return a TOML value as text: dates in ISO 8601, true and false in lower case."""
    if isinstance(value, bool):
        return str(value).lower()
    return value.isoformat() if isinstance(value, date) else str(value)


def decode_scenarios(
    files: Mapping[str, bytes], manifest: Manifest | None
) -> tuple[tuple[Scenario, ...], tuple[Survivor, ...], list[PackProblem]]:
    """Return the examples of `scenarios/*.toml`, the survivors explained, and everything that is wrong with them."""
    problems: list[PackProblem] = []
    found: list[Scenario] = []
    survivors: list[Survivor] = []
    names: dict[str, str] = {}
    products = {one.code: one for one in manifest.products} if manifest else None
    for file, content in sorted(files.items()):
        decoded, reasons = _decoded(file, content)
        problems.extend(reasons)
        if decoded is None:
            continue
        survivors.extend(decoded.survivor)
        if not decoded.scenario and not decoded.survivor:
            problems.append(PackProblem(file, "", "has no [[scenario]]"))
        for row, one in enumerate(decoded.scenario, 1):
            key = f"scenario[{row}]"
            if one.name in names:
                problems.append(
                    PackProblem(file, f"{key}.name", f"{shown(one.name)} stands in {names[one.name]} already")
                )
            names.setdefault(one.name, file)
            problems.extend(
                PackProblem(file, f"{key}.{name}", f"{day} is after {one.on}, the day of the decision; exchange them")
                for name, day in (("born_on", one.born_on), ("joined_on", one.joined_on))
                if day is not None and day > one.on
            )
            if products is not None and one.product not in products:
                allowed = ", ".join(sorted(products))
                problems.append(
                    PackProblem(file, f"{key}.product", f"{shown(one.product)} is not a product; allowed: {allowed}")
                )
            expect: dict[str, str] = {}
            _flatten(one.expect, "", expect)
            if REFUSED in expect and len(expect) > 1:
                problems.append(PackProblem(file, f"{key}.expect", "what is refused has no other outcome"))
            found.append(
                Scenario(
                    file,
                    row,
                    one.name,
                    one.kind,
                    one.product,
                    _dates(one, products),
                    one.known_on,
                    one.given,
                    expect,
                    one.source,
                )
            )
    return tuple(found), tuple(survivors), problems


@lru_cache(maxsize=512)
def _decoded(file: str, content: bytes) -> tuple[_ScenarioFile | None, tuple[PackProblem, ...]]:
    """Return what a file says: kept, since the versions of a pack have most files in common."""
    problems: list[PackProblem] = []
    table = read_toml(file, content, problems)
    if table is None:
        return None, tuple(problems)
    decoded, found = decode(table, _ScenarioFile, file=file)
    return decoded, (*problems, *found)


def _dates(one: _Scenario, products: Mapping[str, Product] | None) -> Dates:
    """Return the dates of an example; an event's own date is its tranche's unless another is given."""
    product = (products or {}).get(one.product)
    return Dates(
        on=one.on,
        joined_on=one.joined_on,
        born_on=one.born_on,
        tranche_on=one.tranche_on or one.on,
        scheme_year_from=product.scheme_year(one.on)[0] if product else None,
        benefit_from=one.benefit_from,
        died_on=one.died_on,
    )


def _flatten(table: Mapping[str, object], above: str, flat: dict[str, str]) -> None:
    for name, value in table.items():
        key = f"{above}.{name}" if above else name
        if isinstance(value, Mapping):
            _flatten(value, key, flat)
        else:
            flat[key] = flat_text(value)
