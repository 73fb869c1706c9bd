"""A scheme's rule book for those who supervise it: every rule, figure and source, as a page and as a PDF."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import files

import jinja2
import msgspec
import typst

from engine.kernel.rules import Rule
from engine.reports.service.printing import fonts
from engine.tenancy.rules.books import InForce, RuleBook
from engine.tenancy.rules.explaining import words
from engine.tenancy.rules.packs import Pack

_COMMON = frozenset({"id", "kind", "source", "confidence", "assumption", "applies_by"})
_BY = {
    "event": "",
    "joining": "for those who joined from then on",
    "birth": "for those born from then on",
    "tranche": "for contributions paid from then on",
    "scheme-year": "for scheme years that begin from then on",
    "benefit-start": "for benefits that begin from then on",
    "death": "for deaths from then on",
}


@dataclass(frozen=True, slots=True)
class RuleShown:
    """One version of a rule: its figures by name, in words; `reach` says whom it decides for, "" for all."""

    rule: str
    kind: str
    meaning: str
    since: str
    reach: str
    figures: tuple[tuple[str, str], ...]
    source: str
    confidence: str
    assumption: str


@dataclass(frozen=True, slots=True)
class TableShown:
    """A table or a series of the scheme, whole."""

    title: str
    note: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class ExampleShown:
    """A worked example: what is given, what comes out, and who says so."""

    name: str
    on: str
    given: str
    outcome: str
    source: str


@dataclass(frozen=True, slots=True)
class ProductShown:
    """A product's book, its rules by id and date, and its examples."""

    name: str
    opened_on: str
    rules: tuple[RuleShown, ...]
    examples: tuple[ExampleShown, ...]


@dataclass(frozen=True, slots=True)
class RuleBookShown:
    """A pack as a document; `assumed` counts the rules whose sources do not settle them."""

    scheme: str
    regulator: str
    currency: str
    version: str
    colours: Mapping[str, str]
    facts: tuple[tuple[str, str], ...]
    products: tuple[ProductShown, ...]
    tables: tuple[TableShown, ...]
    assumed: int


def rule_book_of(pack: Pack) -> RuleBookShown:
    """Return a pack's rule book as a document, whole: nothing of it is left out."""
    products = tuple(_product(pack, code, book) for code, book in pack.books.items())
    manifest = pack.manifest
    facts = (
        ("Country", manifest.country),
        ("Currency", f"{manifest.currency}, {pack.asset.scale} decimals"),
        ("Time zone", manifest.time_zone),
        ("Languages", ", ".join(manifest.languages)),
        ("Regulator", f"{manifest.regulator.name} ({manifest.regulator.short_name})"),
        ("Collection channels", ", ".join(channel.name for channel in manifest.channels)),
        ("Roles", ", ".join(f"{role}: {name}" for role, name in manifest.roles.items())),
        ("Member numbers", f"{manifest.member_number.digits} digits, the last a check digit"),
    )
    return RuleBookShown(
        scheme=pack.name,
        regulator=manifest.regulator.name,
        currency=pack.currency,
        version=pack.sha256,
        colours={"brand": pack.theme.colours.brand, "muted": pack.theme.colours.muted, "line": pack.theme.colours.line},
        facts=facts,
        products=products,
        tables=(*_tables(pack), *_series(pack)),
        assumed=sum(bool(rule.assumption) for product in products for rule in product.rules),
    )


def rule_book_page(shown: RuleBookShown) -> str:
    """Return the rule book as one HTML page that needs nothing else: no script, no file beside it."""
    return _page().render(book=shown)


def rule_book_pdf(shown: RuleBookShown, *, dated: date) -> bytes:
    """Return the rule book as a tagged PDF; the same pack and day give the same bytes."""
    data = {"book": shown, "date": [dated.year, dated.month, dated.day]}
    made = typst.compile(
        files("engine.reports").joinpath("templates/rule_book.typ").read_bytes(),
        format="pdf",
        font_paths=fonts(),
        sys_inputs={"data": msgspec.json.encode(data).decode()},
        pdf_standards="ua-1",
        timestamp=(dated - date(1970, 1, 1)).days * 86_400,
    )
    assert isinstance(made, bytes)
    return made


@cache
def _page() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    return environment.from_string(
        files("engine.reports").joinpath("templates/rule_book.html").read_text(encoding="utf-8")
    )


def _product(pack: Pack, code: str, book: RuleBook) -> ProductShown:
    product = pack.product(code)
    versions = sorted(book.versions(), key=lambda one: (one.rule.id, one.effective_from, one.page))
    return ProductShown(
        name=product.name,
        opened_on=product.opened_on.isoformat(),
        rules=tuple(_rule(one) for one in versions),
        examples=tuple(
            ExampleShown(one.name, one.on.isoformat(), words(one.given), words(one.expect), one.source)
            for one in pack.scenarios
            if one.product == code
        ),
    )


def _rule(version: InForce[Rule]) -> RuleShown:
    rule = version.rule
    table = msgspec.to_builtins(rule)
    return RuleShown(
        rule=rule.id,
        kind=str(table["kind"]),
        meaning=re.sub(r"`([^`]*)`", r"“\1”", " ".join((type(rule).__doc__ or "").split())).replace("_", " "),
        since=version.effective_from.isoformat(),
        reach=_BY[rule.applies_by],
        figures=tuple(
            (name.replace("_", " "), words(value))
            for name, value in table.items()
            if name not in _COMMON and value not in (None, "", [], (), {})
        ),
        source=rule.source,
        confidence=rule.confidence,
        assumption=rule.assumption,
    )


def _tables(pack: Pack) -> list[TableShown]:
    found = []
    for named in pack.manifest.tables:
        rows = list(pack.tables[named.code].rows.values())
        columns = tuple(rows[0]) if rows else named.keys
        note = f"{named.source}. Confidence: {named.confidence}. {named.assumption}".strip()
        found.append(TableShown(named.name, note, columns, tuple(tuple(row[name] for name in columns) for row in rows)))
    return found


def _series(pack: Pack) -> list[TableShown]:
    columns = ("in force from", "published on", "value", "source", "confidence")
    return [
        TableShown(
            named.name,
            f"{named.unit}. {named.source}",
            columns,
            tuple(
                (
                    one.effective_from.isoformat(),
                    one.published_on.isoformat(),
                    f"{one.value:f}",
                    one.source,
                    one.confidence,
                )
                for one in sorted(
                    pack.series[named.code].points, key=lambda one: (one.effective_from, one.published_on)
                )
            ),
        )
        for named in pack.manifest.series
    ]
