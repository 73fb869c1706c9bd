"""A pack: all a tenant is, read from a folder's files and from nothing else, and named by the hash of their bytes."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from types import MappingProxyType

from engine.kernel.amounts import Asset
from engine.kernel.calendars import BusinessCalendar
from engine.kernel.rules import Rule
from engine.kernel.series import Figures, Series
from engine.kernel.table_layouts import Layout
from engine.kernel.tables import LookupTable
from engine.tenancy.errors import PackProblem, UnknownProduct
from engine.tenancy.rules.books import RuleBook, decode_book, opening_problems, read_toml
from engine.tenancy.rules.branding import Theme, contrast_problems, logo_problems
from engine.tenancy.rules.consents import Consents, ConsentText, decode_consents
from engine.tenancy.rules.decoding import decode
from engine.tenancy.rules.figures import decode_series, decode_tables
from engine.tenancy.rules.layouts import decode_layouts
from engine.tenancy.rules.manifest import (
    Channel,
    LineCause,
    Manifest,
    MemberNumber,
    Product,
    Regulator,
    manifest_problems,
)
from engine.tenancy.rules.scenarios import Scenario, Survivor, decode_scenarios

MANIFEST = "pack.toml"
THEME = "branding/theme.toml"
LOGO = "branding/logo.svg"
_DEMO = re.compile(r"^demo(/|\.toml$)")
_PLACES = (
    (re.compile(r"^(pack\.toml|dimensions\.toml|README\.md)$"), "pack.toml, dimensions.toml, README.md"),
    (re.compile(r"^branding/(theme\.toml|logo\.svg)$"), "branding/theme.toml, branding/logo.svg"),
    (re.compile(r"^content/[A-Za-z-]+/[a-z0-9-]+\.toml$"), "content/<language>/<name>.toml"),
    (re.compile(r"^locales/[A-Za-z_]+/LC_MESSAGES/engine\.po$"), "locales/<language>/LC_MESSAGES/engine.po"),
    (re.compile(r"^series/[a-z][a-z0-9-]*\.csv$"), "series/<code>.csv"),
    (re.compile(r"^layouts/[a-z][a-z0-9-]*\.(toml|csv)$"), "layouts/<code>.toml, layouts/<code>.csv"),
    (re.compile(r"^tables/[a-z][a-z0-9-]*\.csv$"), "tables/<code>.csv"),
    (re.compile(r"^scenarios/[a-z0-9-]+\.toml$"), "scenarios/<name>.toml"),
    (re.compile(r"^[a-z][a-z0-9-]*/rules/[^/]+\.toml$"), "<product>/rules/<date>.toml"),
)

PackFiles = Mapping[str, bytes]
"""The contents of a pack's files by path, relative, with "/"."""


@dataclass(frozen=True, slots=True)
class Pack:
    """A pack, decoded. `sha256` names this version, and stands for all the rest; `files` are what was decoded."""

    code: str
    sha256: str
    manifest: Manifest = field(compare=False, repr=False)
    books: Mapping[str, RuleBook] = field(compare=False, repr=False)
    theme: Theme = field(compare=False, repr=False)
    logo: str = field(compare=False, repr=False)
    consents: Consents = field(compare=False, repr=False)
    series: Mapping[str, Series] = field(compare=False, repr=False)
    tables: Mapping[str, LookupTable] = field(compare=False, repr=False)
    scenarios: tuple[Scenario, ...] = field(compare=False, repr=False)
    survivors: tuple[Survivor, ...] = field(compare=False, repr=False)
    files: PackFiles = field(compare=False, repr=False)
    layouts: Mapping[str, Layout] = field(default_factory=dict, compare=False, repr=False)

    @property
    def name(self) -> str:
        """Return the scheme's full name."""
        return self.manifest.name

    @property
    def short_name(self) -> str:
        """Return the scheme's short name, for headings."""
        return self.manifest.short_name

    @property
    def country(self) -> str:
        """Return the scheme's country, ISO 3166-1 in two capitals."""
        return self.manifest.country

    @property
    def currency(self) -> str:
        """Return the ISO 4217 code of the scheme's money."""
        return self.manifest.currency

    @property
    def time_zone(self) -> str:
        """Return the IANA name of the zone by which the scheme counts its days."""
        return self.manifest.time_zone

    @property
    def calendar(self) -> str:
        """Return the country whose public holidays the scheme keeps."""
        return self.manifest.calendar

    @property
    def business_calendar(self) -> BusinessCalendar:
        """Return the days on which the scheme does business."""
        return BusinessCalendar(
            self.manifest.calendar,
            frozenset(self.manifest.weekend),
            closed=frozenset(one.date for one in self.manifest.own_days if not one.open),
            opened=frozenset(one.date for one in self.manifest.own_days if one.open),
        )

    @property
    def phone_country(self) -> str:
        """Return the country that telephone numbers without a prefix are of."""
        return self.manifest.phone_country

    @property
    def languages(self) -> tuple[str, ...]:
        """Return the languages the scheme speaks, the one it falls back to first."""
        return self.manifest.languages

    @property
    def hosts(self) -> tuple[str, ...]:
        """Return the host names the scheme's pages are served under."""
        return self.manifest.hosts

    @property
    def log_origin(self) -> str:
        """Return the name of the scheme's audit log."""
        return self.manifest.log_origin

    @property
    def regulator(self) -> Regulator:
        """Return who supervises the scheme."""
        return self.manifest.regulator

    @property
    def roles(self) -> Mapping[str, str]:
        """Return who plays which part in the scheme, by the part."""
        return self.manifest.roles

    @property
    def adapters(self) -> Mapping[str, str]:
        """Return which adapter answers which port."""
        return self.manifest.adapters

    @property
    def channels(self) -> tuple[Channel, ...]:
        """Return the ways money is collected, in the pack's order."""
        return self.manifest.channels

    @property
    def line_causes(self) -> tuple[LineCause, ...]:
        """Return for what money of a statement may be booked that is no payment of a member's."""
        return self.manifest.line_causes

    @property
    def member_number(self) -> MemberNumber:
        """Return the shape of member numbers."""
        return self.manifest.member_number

    @property
    def products(self) -> tuple[Product, ...]:
        """Return the products, in the pack's order."""
        return self.manifest.products

    @property
    def asset(self) -> Asset:
        """Return the scheme's money, with ISO 4217's scale."""
        return Asset.currency(self.manifest.currency)

    def figures(self, known_on: date | None = None) -> Figures:
        """Return what the pack's figures are worth, as far as was known on `known_on` (None: as far as it holds)."""
        return Figures(self.asset, self.series, known_on)

    def with_rule(self, product: str, ref: str, rule: Rule) -> "Pack":
        """Return the pack with another rule in the place of the version `ref` of a product's book; for proofs only."""
        return replace(self, books={**self.books, product: self.books[product].with_rule(ref, rule)})

    def product(self, code: str) -> Product:
        """Return the product.

        Raises:
            UnknownProduct: the pack has none of that code.

        """
        for product in self.manifest.products:
            if product.code == code:
                return product
        allowed = ", ".join(product.code for product in self.manifest.products)
        raise UnknownProduct(field="product", product=code, allowed=allowed)

    def language(self, wanted: str | None) -> str:
        """Return the language to speak to someone who wants `wanted`: that, its plain form, or the scheme's first."""
        for tag in (wanted or "", (wanted or "").replace("_", "-").partition("-")[0]):
            if tag in self.languages:
                return tag
        return self.languages[0]

    def locale(self, language: str | None) -> str:
        """Return the locale by which `language` (or what stands in for it) writes money and dates: "hi_IN"."""
        return self.manifest.locales[self.language(language)]

    def consent(self, consent: str, language: str | None = None) -> ConsentText | None:
        """Return the text of a consent in a language, or None where the scheme asks for no such consent."""
        return self.consents.get((consent, self.language(language)))


def content_hash(files: PackFiles) -> str:
    """Return the hash that names a pack's version, in hexadecimal: SHA-256 over a canonical listing.

    The listing has one line a file, in the order of the paths' bytes: the SHA-256 of the contents in hexadecimal, two
    spaces, the path. That is what `sha256sum` prints, so anyone can make it. What belongs to the demo is left out.
    """
    lines = [
        f"{hashlib.sha256(content).hexdigest()}  {path}\n".encode()
        for path, content in sorted(files.items(), key=lambda item: item[0].encode())
        if not is_demo(path)
    ]
    return hashlib.sha256(b"".join(lines)).hexdigest()


def is_demo(path: str) -> bool:
    """Return whether a file belongs to the demo, which decides nothing."""
    return bool(_DEMO.match(path))


def decode_pack(code: str, files: PackFiles, kinds: Sequence[type[Rule]]) -> tuple[Pack | None, list[PackProblem]]:
    """Return the pack that a folder's files say, or None, and everything that is wrong with them.

    Args:
        code: the folder's name, which is the tenant's code.
        files: all files of the folder, the demo's too.
        kinds: the kinds of rules that the engine knows.

    """
    files = MappingProxyType({path: content for path, content in files.items() if not is_demo(path)})
    problems = _misplaced(files)
    manifest = _manifest(code, files, problems)
    books = _books(files, kinds, manifest, problems)
    theme = _theme(files, problems)
    logo = _logo(files, problems)
    content = {path: one for path, one in files.items() if re.fullmatch(r"content/[^/]+/consents\.toml", path)}
    consents, found = decode_consents(content, manifest.languages if manifest else ())
    problems.extend(found)
    series, found = decode_series(_among(files, "series/", ".csv"), manifest.series if manifest else ())
    problems.extend(found)
    tables, found = decode_tables(_among(files, "tables/", ".csv"), manifest.tables if manifest else ())
    problems.extend(found)
    of_layouts = {path: content for path, content in files.items() if path.startswith("layouts/")}
    layouts, found = decode_layouts(of_layouts, manifest)
    problems.extend(found)
    scenarios, survivors, found = decode_scenarios(_among(files, "scenarios/"), manifest)
    problems.extend(found)
    if manifest is not None:
        problems.extend(_of_other_languages(files, manifest))
    if problems or manifest is None or theme is None:
        return None, problems
    return Pack(
        code,
        content_hash(files),
        manifest,
        books,
        theme,
        logo,
        consents,
        series,
        tables,
        scenarios,
        survivors,
        files,
        layouts,
    ), []


def _misplaced(files: PackFiles) -> list[PackProblem]:
    allowed = ", ".join(words for _, words in _PLACES)
    found = []
    for path, content in files.items():
        if path.endswith((".py", ".pyc", ".so")):
            found.append(PackProblem(path, "", "is code; a pack is data only"))
        elif not any(place.match(path) for place, _ in _PLACES):
            found.append(PackProblem(path, "", f"is no file of a pack; allowed: {allowed}, demo.toml, demo/…"))
        elif b"\0" in content or not _is_text(content):
            found.append(PackProblem(path, "", "is not text in UTF-8"))
    return found


def _is_text(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _manifest(code: str, files: PackFiles, problems: list[PackProblem]) -> Manifest | None:
    content = _required(files, MANIFEST, problems)
    table = read_toml(MANIFEST, content, problems) if content is not None else None
    if table is None:
        return None
    manifest, found = decode(table, Manifest, file=MANIFEST)
    if manifest is not None:
        found = manifest_problems(manifest, code, MANIFEST)
    problems.extend(found)
    return manifest


def _books(
    files: PackFiles, kinds: Sequence[type[Rule]], manifest: Manifest | None, problems: list[PackProblem]
) -> Mapping[str, RuleBook]:
    """Decode the book of every folder that has one, so that its problems are told even where pack.toml is broken."""
    folders: dict[str, dict[str, bytes]] = {}
    for path, content in files.items():
        if re.match(r"^[a-z][a-z0-9-]*/rules/", path):
            folders.setdefault(path.partition("/")[0], {})[path] = content
    books = {}
    for product, pages in sorted(folders.items()):
        books[product], found = decode_book(product, pages, kinds)
        problems.extend(found)
    if manifest is None:
        return books
    codes = [product.code for product in manifest.products]
    for one in manifest.products:
        problems.extend(opening_problems(one.code, one.opened_on, folders.get(one.code, ())))
    for folder in sorted(set(folders) - set(codes)):
        problems.append(PackProblem(f"{folder}/rules", "", f"is of no product; products: {', '.join(codes)}"))
    return books


def _theme(files: PackFiles, problems: list[PackProblem]) -> Theme | None:
    content = _required(files, THEME, problems)
    table = read_toml(THEME, content, problems) if content is not None else None
    if table is None:
        return None
    theme, found = decode(table, Theme, file=THEME)
    problems.extend(found)
    if theme is not None:
        problems.extend(contrast_problems(theme, THEME))
    return theme


def _logo(files: PackFiles, problems: list[PackProblem]) -> str:
    content = _required(files, LOGO, problems)
    if content is None or not _is_text(content):
        return ""
    problems.extend(logo_problems(content, LOGO))
    return content.decode()


def _of_other_languages(files: PackFiles, manifest: Manifest) -> list[PackProblem]:
    languages = ", ".join(manifest.languages)
    spelt = {language.replace("-", "_") for language in manifest.languages}
    spelt |= {name.partition("-u-")[0] for name in manifest.locales.values()}
    found = []
    for path in files:
        folder, _, rest = path.partition("/")
        language = rest.partition("/")[0]
        if (folder == "content" and language not in manifest.languages) or (
            folder == "locales" and language not in spelt
        ):
            found.append(
                PackProblem(f"{folder}/{language}", "", f"is of no language of the pack; languages: {languages}")
            )
    return list(dict.fromkeys(found))


def _required(files: PackFiles, path: str, problems: list[PackProblem]) -> bytes | None:
    content = files.get(path)
    if content is None:
        problems.append(PackProblem(path, "", "is missing"))
    return content


def _among(files: PackFiles, folder: str, ending: str = ".toml") -> dict[str, bytes]:
    return {path: content for path, content in files.items() if path.startswith(folder) and path.endswith(ending)}
