"""Texts, money, units and dates in the reader's language.

How a language writes numbers comes from CLDR, through Babel. How many decimals a currency has never does: CLDR and
ISO 4217 disagree for several currencies, so every amount arrives with its own scale.

Which digits a language is written in comes from CLDR too, or from the tag itself: `ar_EG-u-nu-latn` (Unicode Technical
Standard 35, `nu`) writes 123 where `ar_EG` writes ١٢٣.
"""

import copy
import re
import unicodedata
from collections.abc import Iterable
from datetime import date
from decimal import Decimal, localcontext
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Literal

from babel import Locale, UnknownLocaleError, negotiate_locale
from babel.dates import format_date as babel_format_date
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import NumberPattern, get_currency_symbol
from babel.support import Translations

DOMAIN = "engine"
ENGINE_LOCALES = Path(__file__).resolve().parents[2] / "locales"
_ZEROS = {"latn": 0x0030, "arab": 0x0660, "arabext": 0x06F0, "deva": 0x0966, "beng": 0x09E6}
"""Where the ten digits of a numbering system begin in Unicode."""
_PRECISION = 60  # digits; far more than any amount or price has


def translator(language: str, pack_locales: Path | None = None) -> Translations:
    """Return the catalogue of a language: the tenant's words where it has its own, else the engine's.

    A text that neither has stays as it is written in the code, in English. `fr-RW` finds `fr_RW` and, for what
    that lacks, `fr`. Compiled catalogues (.mo) are used where present, others (.po) are compiled in memory. In a
    language written from right to left each placeholder of a .po stands between isolates (Unicode Standard Annex 9),
    so that a name or a number put in its place neither disturbs nor takes on the order of the words around it.

    Args:
        language: a BCP 47 tag or its spelling with `_`.
        pack_locales: the pack's folder of catalogues, `<language>/LC_MESSAGES/engine.po`.

    Raises:
        ValueError: the tag is malformed.

    """
    names = _names(find_locale(language))
    folders = [folder for folder in (pack_locales, ENGINE_LOCALES) if folder is not None]
    files = [
        (path, path.stat().st_mtime_ns) for folder in folders for name in names if (path := _catalogue(folder, name))
    ]
    return _chain(tuple(files))


def engine_languages() -> tuple[str, ...]:
    """Return the languages that the engine's own texts can be read in, English first."""
    return ("en", *sorted(path.name for path in ENGINE_LOCALES.iterdir() if path.is_dir()))


def wanted_language(accept: str, offered: Iterable[str]) -> str | None:
    """Return which of the languages offered an Accept-Language header wants most (RFC 9110, 12.5.4); None if none."""
    weighed: list[tuple[float, int, str]] = []
    for place, part in enumerate(accept.split(",")[:20]):
        tag, _, quality = part.strip().partition(";q=")
        try:
            weight = float(quality) if quality else 1.0
        except ValueError:
            continue
        if tag and weight > 0:
            weighed.append((-weight, place, tag.strip()))
    return negotiate_locale([tag for _, _, tag in sorted(weighed)], list(offered), sep="-")


def find_locale(language: str) -> Locale:
    """Return what CLDR knows of a language, without its country if CLDR does not know the pair.

    Raises:
        ValueError: the tag is malformed or the language unknown.

    """
    tag = language.partition("-u-")[0].replace("-", "_")
    try:
        return Locale.parse(tag)
    except UnknownLocaleError:
        try:
            return Locale.parse(tag.partition("_")[0])
        except UnknownLocaleError as error:
            raise ValueError(f"{language!r} is not a language CLDR knows") from error


def numbering(language: str) -> str:
    """Return the numbering system of a language tag: the one it names by `-u-nu-`, else CLDR's for the locale.

    Raises:
        ValueError: the tag is malformed, the language unknown, or the numbering system none of ours.

    """
    named = re.search(r"-u-(?:.+-)?nu-([a-z]+)", language)
    found = named[1] if named else find_locale(language).default_numbering_system
    if found not in _ZEROS and named:
        raise ValueError(f"{language!r}: {found} is not a numbering system that can be written: {', '.join(_ZEROS)}")
    return found if found in _ZEROS else "latn"


def format_money(amount_minor: int, currency: str, scale: int, locale: str) -> str:
    """Write an amount as the locale writes money, with exactly `scale` decimals.

    Args:
        amount_minor: whole minor units; may be negative.
        currency: its ISO 4217 code.
        scale: decimals of the currency in our own table; >= 0.
        locale: a language tag, with its country where that matters.

    """
    found = find_locale(locale)
    pattern = _pattern(found.currency_formats["standard"], scale, scale)
    return _apply(pattern, _scaled(amount_minor, scale), locale, currency)


def format_units(units: int, scale: int, locale: str) -> str:
    """Write a number of fund units, given in the fund's smallest unit, with exactly `scale` decimals."""
    found = find_locale(locale)
    return _apply(_pattern(found.decimal_formats[None], scale, scale), _scaled(units, scale), locale)


def format_whole(number: int, locale: str) -> str:
    """Write a whole number that is no amount (an age, a count, the number of a thing), without parting its thousands."""
    return _in_digits(str(number), numbering(locale))


def format_price(price: Decimal, currency: str, locale: str) -> str:
    """Write an exact price of one unit with all the decimals it is given with, two at least; nothing is rounded."""
    assert isinstance(price, Decimal), price
    assert price.is_finite(), price
    exponent = price.as_tuple().exponent
    decimals = max(2, -int(exponent))
    found = find_locale(locale)
    pattern = _pattern(found.currency_formats["standard"], decimals, decimals)
    return _apply(pattern, price, locale, currency)


def format_percent(rate: int, locale: str, *, decimals: int = 2) -> str:
    """Write a rate as a percentage, with the decimals it needs.

    Args:
        rate: in 1/10^`decimals` of a percent: in basis points, unless said otherwise.
        locale: a language tag.
        decimals: the most decimals there may be.

    """
    found = find_locale(locale)
    return _apply(_pattern(found.percent_formats[None], 0, decimals), _scaled(rate, decimals + 2), locale)


def format_date(value: date, locale: str, length: Literal["full", "long", "medium", "short"] = "medium") -> str:
    """Write a business date as the locale does."""
    return _in_digits(babel_format_date(value, format=length, locale=find_locale(locale)), numbering(locale))


def _scaled(smallest_units: int, scale: int) -> Decimal:
    assert isinstance(smallest_units, int), smallest_units
    assert not isinstance(smallest_units, bool), smallest_units
    assert scale >= 0, scale
    with localcontext() as context:
        context.prec = _PRECISION
        return Decimal(smallest_units).scaleb(-scale)


def _pattern(pattern: NumberPattern, least: int, most: int) -> NumberPattern:
    changed = copy.copy(pattern)
    changed.frac_prec = (least, most)
    return changed


def _apply(pattern: NumberPattern, value: Decimal, language: str, currency: str | None = None) -> str:
    locale, system = find_locale(language), numbering(language)
    symbols = system if system in locale.number_symbols else "latn"
    with localcontext() as context:
        context.prec = _PRECISION
        written: str = pattern.apply(value, locale, currency=currency, currency_digits=False, numbering_system=symbols)
    spaced = written if currency is None else _space_symbol(written, get_currency_symbol(currency, locale))
    return _in_digits(spaced, system)


def _in_digits(written: str, system: str) -> str:
    return written.translate({0x0030 + digit: _ZEROS[system] + digit for digit in range(10)})


def _space_symbol(written: str, symbol: str) -> str:
    """Part a currency symbol that ends in a letter from the digit beside it; Babel leaves this rule out.

    Source:
        Unicode Technical Standard 35, Numbers, `currencySpacing`.

    """
    if unicodedata.category(symbol[-1])[0] not in "SZ":
        written = re.sub(rf"({re.escape(symbol)})(?=\d)", "\\1\xa0", written)
    if unicodedata.category(symbol[0])[0] not in "SZ":
        written = re.sub(rf"(?<=\d)({re.escape(symbol)})", "\xa0\\1", written)
    return written


def _names(locale: Locale) -> list[str]:
    """Return the folder names to look in, the most particular first."""
    full = str(locale)
    particular = [full, *([f"{locale.language}_{locale.territory}"] if locale.territory else [])]
    return list(dict.fromkeys([*particular, locale.language]))


def _catalogue(folder: Path, name: str) -> Path | None:
    found = (folder / name / "LC_MESSAGES" / f"{DOMAIN}.{kind}" for kind in ("mo", "po"))
    return next((path for path in found if path.is_file()), None)


@lru_cache(maxsize=256)
def _chain(files: tuple[tuple[Path, int], ...]) -> Translations:
    first = Translations(domain=DOMAIN)
    for index, (path, _modified) in enumerate(files):
        catalogue = _read(path)
        if index == 0:
            first = catalogue
        else:
            first.add_fallback(catalogue)
    return first


def _read(path: Path) -> Translations:
    if path.suffix == ".mo":
        with path.open("rb") as file:
            return Translations(file, domain=DOMAIN)
    compiled = BytesIO()
    with path.open("rb") as file:
        catalogue = read_po(file, locale=path.parents[1].name, domain=DOMAIN, abort_invalid=True)
    if find_locale(path.parents[1].name).text_direction == "rtl":
        for message in catalogue:
            if message.id:
                forms = message.string or ""
                message.string = _isolated(forms) if isinstance(forms, str) else tuple(map(_isolated, forms))
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return Translations(compiled, domain=DOMAIN)


def _isolated(text: str) -> str:
    return re.sub(r"{\w+}", "\u2068\\g<0>\u2069", text)
