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
from babel import Locale

from engine.kernel.rules import AppliesBy, Rule
from engine.reports.service.printing import fonts
from engine.reports.service.rule_words import LANGUAGE, day_in_words, facts_in_words, figures_of, named
from engine.tenancy.rules.books import InForce, RuleBook
from engine.tenancy.rules.packs import Pack

ASSUMED = "†"
"""Stands beside every figure that its source does not settle."""
_BY: Mapping[AppliesBy, str] = {
    "event": "",
    "joining": "for those who joined from then on",
    "birth": "for those born from then on",
    "tranche": "for contributions paid from then on",
    "scheme-year": "for scheme years that begin from then on",
    "benefit-start": "for benefits that begin from then on",
    "death": "for deaths from then on",
}
_SUBJECTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Who may join, and how", ("engine.enrolment.",)),
    ("Contributions", ("engine.contributions.",)),
    ("State money", ("engine.contributions.rules.matching",)),
    ("Investment and returns", ("engine.funds.",)),
    ("Fees and taxes", ("engine.benefits.rules.fees", "engine.benefits.rules.taxes")),
    ("Insurance cover", ("engine.benefits.rules.cover",)),
    (
        "Before retirement",
        tuple(f"engine.benefits.rules.{one}" for one in ("access", "exits", "loans", "moves", "promises")),
    ),
    ("Retirement", tuple(f"engine.benefits.rules.{one}" for one in ("ages", "retirement", "pensions", "payouts"))),
    ("After a death", tuple(f"engine.benefits.rules.{one}" for one in ("survivors", "corpus", "minors"))),
    ("Proofs, time limits and accounts at rest", ("engine.benefits.rules.",)),
    ("What members are told", ("engine.reports.", "engine.benefits.rules.illustrations")),
)
"""The subjects of a rule book in the order of a member's life, by the modules of the kinds: the longest name decides."""


@dataclass(frozen=True, slots=True)
class RuleShown:
    """One version of a rule, in words.

    `ref` is what decisions call it; `since` the day it is in force from, `reach` whom it decides for then ("" for all),
    `ended` what became of it. Each figure has a line, or one for each row. `mark` stands beside figures that are assumed.
    """

    ref: str
    title: str
    kind: str
    meaning: str
    since: str
    reach: str
    ended: str
    figures: tuple[tuple[str, tuple[str, ...]], ...]
    source: str
    confidence: str
    assumption: str
    mark: str


@dataclass(frozen=True, slots=True)
class Subject:
    """What a book says of one subject, its rules by id and date."""

    title: str
    rules: tuple[RuleShown, ...]


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
    """A product's book by subjects, and its examples."""

    name: str
    opened_on: str
    subjects: tuple[Subject, ...]
    examples: tuple[ExampleShown, ...]


@dataclass(frozen=True, slots=True)
class RuleBookShown:
    """A pack as a document; `assumed` counts the rules whose sources do not settle them; `kinds` say what kinds mean."""

    scheme: str
    regulator: str
    currency: str
    version: str
    colours: Mapping[str, str]
    facts: tuple[tuple[str, str], ...]
    products: tuple[ProductShown, ...]
    tables: tuple[TableShown, ...]
    kinds: tuple[tuple[str, str], ...]
    assumed: int
    mark: str = ASSUMED


def rule_book_of(pack: Pack) -> RuleBookShown:
    """Return a pack's rule book as a document, whole: nothing of it is left out."""
    products = tuple(_product(pack, code, book) for code, book in pack.books.items())
    manifest, english = pack.manifest, Locale.parse(LANGUAGE, sep="-")
    money = english.currencies.get(manifest.currency, manifest.currency)
    facts = (
        ("Country", f"{english.territories.get(manifest.country, manifest.country)} ({manifest.country})"),
        ("Regulator", f"{manifest.regulator.name} ({manifest.regulator.short_name})"),
        ("Currency", f"{money} ({manifest.currency}), {pack.asset.scale or 'no'} decimals"),
        ("Languages", ", ".join(english.languages.get(one, one) for one in manifest.languages)),
        ("Time zone", manifest.time_zone),
        ("Ways to pay in", ", ".join(channel.name for channel in manifest.channels)),
        *((f"The {named(role)}", name) for role, name in manifest.roles.items()),
        ("Member numbers", f"{manifest.member_number.digits} digits, the last a check digit"),
    )
    kinds = {type(version.rule) for book in pack.books.values() for version in book.versions()}
    return RuleBookShown(
        scheme=pack.name,
        regulator=manifest.regulator.name,
        currency=pack.currency,
        version=pack.sha256,
        colours={"brand": pack.theme.colours.brand, "muted": pack.theme.colours.muted, "line": pack.theme.colours.line},
        facts=facts,
        products=products,
        tables=(*_tables(pack), *_series(pack)),
        kinds=tuple(sorted((_kind(kind), _meaning(kind)) for kind in kinds)),
        assumed=sum(bool(rule.mark) for product in products for subject in product.subjects for rule in subject.rules),
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
    by_subject: dict[str, list[RuleShown]] = {title: [] for title, _ in _SUBJECTS}
    for one in versions:
        by_subject[_subject(type(one.rule))].append(_rule(pack, book, one))
    return ProductShown(
        name=product.name,
        opened_on=day_in_words(product.opened_on),
        subjects=tuple(Subject(title, tuple(rules)) for title, rules in by_subject.items() if rules),
        examples=tuple(
            ExampleShown(
                one.name, day_in_words(one.on), facts_in_words(one.given), facts_in_words(one.expect), one.source
            )
            for one in pack.scenarios
            if one.product == code
        ),
    )


def _subject(kind: type[Rule]) -> str:
    fitting = [
        (len(module), title) for title, modules in _SUBJECTS for module in modules if kind.__module__.startswith(module)
    ]
    return max(fitting)[1]


def _rule(pack: Pack, book: RuleBook, version: InForce[Rule]) -> RuleShown:
    rule, kind = version.rule, _kind(type(version.rule))
    return RuleShown(
        ref=version.ref,
        title=named(rule.id).capitalize(),
        kind=kind,
        meaning=_meaning(type(rule)).partition(". ")[0].rstrip(".:") + ".",
        since=day_in_words(version.effective_from),
        reach=_BY[rule.applies_by],
        ended=_ended(book, version),
        figures=figures_of(rule, pack.asset),
        source=rule.source,
        confidence=rule.confidence,
        assumption=rule.assumption,
        mark=ASSUMED if rule.assumption else "",
    )


def _ended(book: RuleBook, version: InForce[Rule]) -> str:
    ending = book.ending(version)
    if ending is None:
        return ""
    day, applies_by, is_replaced = ending
    return " ".join(filter(None, ("Replaced on" if is_replaced else "Repealed on", day_in_words(day), _BY[applies_by])))


def _kind(kind: type[Rule]) -> str:
    return named(str(kind.__struct_config__.tag))


def _meaning(kind: type[Rule]) -> str:
    """Return what a kind means, without the marks by which its makers look things up."""
    said = re.sub(r"`([^`]*)`", r"“\1”", " ".join((kind.__doc__ or "").split())).replace("_", " ")
    return re.sub(r" \([A-Z]\d+\b[^)]*\)", "", said)


def _tables(pack: Pack) -> list[TableShown]:
    found = []
    for table in pack.manifest.tables:
        rows = list(pack.tables[table.code].rows.values())
        columns = tuple(rows[0]) if rows else table.keys
        note = f"Source: {table.source}. Confidence: {table.confidence}."
        title = table.name
        if table.assumption:
            title, note = f"{title} {ASSUMED}", f"{ASSUMED} Assumed: {table.assumption}. {note}"
        shown = tuple(tuple(row[name] for name in columns) for row in rows)
        found.append(TableShown(title, note, tuple(map(named, columns)), shown))
    return found


def _series(pack: Pack) -> list[TableShown]:
    columns = ("in force from", "published on", "value", "source", "confidence")
    return [
        TableShown(
            one.name,
            f"Unit: {named(one.unit)}. Source: {one.source}.",
            columns,
            tuple(
                (
                    day_in_words(point.effective_from),
                    day_in_words(point.published_on),
                    f"{point.value:f}{f' {ASSUMED}' if point.confidence == 'low' else ''}",
                    point.source,
                    point.confidence,
                )
                for point in sorted(
                    pack.series[one.code].points, key=lambda one: (one.effective_from, one.published_on)
                )
            ),
        )
        for one in pack.manifest.series
    ]
