"""Beginning a pack: a small, whole one whose every figure an example proves, and whose every source says it is a guess."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from importlib.resources import files
from pathlib import Path
from string import Template

import holidays
import msgspec
import phonenumbers
from babel import Locale, UnknownLocaleError
from babel.core import get_global
from babel.numbers import get_territory_currencies

from engine.kernel.amounts import Amount, Asset
from engine.kernel.months import months_after
from engine.kernel.rules import Rule
from engine.tenancy.errors import PackErrors, PackProblem
from engine.tenancy.rules.dimensions import DIMENSIONS, FILE, cells
from engine.tenancy.rules.manifest import code_problems
from engine.tenancy.rules.packs import LOGO, MANIFEST, THEME, Pack
from engine.tenancy.service.folders import decode_stored

_LEAST_MAJOR = 10
_PLACES: Mapping[str, str] = {"logo.svg": LOGO, "theme.toml": THEME, "README.md": "README.md", "pack.toml": MANIFEST}


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPack:
    """What is asked for: the code, and what is not left to the defaults; "" and () ask for those of the country."""

    code: str
    opened_on: date
    name: str = ""
    country: str = ""
    currency: str = ""
    languages: tuple[str, ...] = ()
    time_zone: str = ""


def new_pack(folder: Path, wanted: NewPack, kinds: Sequence[type[Rule]]) -> Pack:
    """Write a pack into the folder `folder` / code, which must not be there yet, and return it.

    Country: that of the code. Currency, time zone, holidays and telephone numbers: the country's; for a country that
    has none (such as XX), those of the first, by its letters, that uses the currency. Language: English.

    Raises:
        PackErrors: the folder is there already, or what was asked for is not sound; nothing is written then.

    """
    if problems := code_problems(wanted.code, MANIFEST):
        raise PackErrors.of(wanted.code, problems)
    place = folder / wanted.code
    if place.exists():
        raise PackErrors.of(wanted.code, [PackProblem("", "", f"{place} is there already: nothing was written")])
    found = _files(wanted)
    pack, problems = decode_stored(wanted.code, found, kinds)
    if pack is None:
        raise PackErrors.of(wanted.code, problems)
    found[FILE] = _dimensions(pack)
    for path, content in found.items():
        target = place / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return pack


def _files(wanted: NewPack) -> dict[str, bytes]:
    country = wanted.country or wanted.code[:2].upper()
    neighbour = _neighbour(country, wanted.currency)
    currency = wanted.currency or next(iter(get_territory_currencies(neighbour)), "")
    languages = wanted.languages or ("en",)
    name = wanted.name or wanted.code[3:].replace("-", " ").title() or wanted.code
    words = {
        "code": wanted.code,
        "title": name,
        "name": _quoted(name),
        "short_name": _quoted(name),
        "country": _quoted(country),
        "currency": _quoted(currency),
        "time_zone": _quoted(wanted.time_zone or _zone(neighbour)),
        "calendar": _quoted(neighbour),
        "neighbour": neighbour,
        "languages": ", ".join(_quoted(one) for one in languages),
        "locales": "\n".join(f"{_quoted(one)} = {_quoted(_locale(one, neighbour))}" for one in languages),
        "opened_on": wanted.opened_on.isoformat(),
        "rules_text": _quoted(
            f"I join {name} of my own free will. I understand that my savings are for my old age. I have read the rules, "
            "or they were read to me."
        ),
        **_dates(wanted.opened_on),
        **_amounts(currency),
    }
    places = {
        **{template: (place,) for template, place in _PLACES.items()},
        "rules.toml": (f"pension/rules/{wanted.opened_on}.toml",),
        "scenarios.toml": ("scenarios/first-examples.toml",),
        "consents.toml": tuple(f"content/{one}/consents.toml" for one in languages),
    }
    templates = files("engine.tenancy") / "templates"
    found: dict[str, bytes] = {}
    for template, targets in places.items():
        text = Template((templates / template).read_text(encoding="utf-8")).substitute(words)
        found |= dict.fromkeys(targets, text.encode())
    return found


def _neighbour(country: str, currency: str) -> str:
    """Return the country, or where its holidays, telephone numbers or money are unknown the first that is like it."""
    known = [
        one
        for one in sorted(holidays.list_supported_countries(include_aliases=False))
        if one in phonenumbers.SUPPORTED_REGIONS and get_territory_currencies(one)
    ]
    users = [one for one in known if not currency or currency in get_territory_currencies(one)]
    return country if country in known else next(iter(users or known))


def _zone(country: str) -> str:
    return min((zone for zone, territory in get_global("zone_territories").items() if territory == country), default="")


def _locale(language: str, country: str) -> str:
    """Return the locale by which the country writes the language, or where CLDR knows none, the language's likeliest."""
    spelt = language.replace("-", "_")
    try:
        Locale.parse(f"{spelt}_{country}")
    except (UnknownLocaleError, ValueError):
        likely = get_global("likely_subtags").get(spelt, "")
        return f"{spelt}_{likely.rpartition('_')[2]}"
    return f"{spelt}_{country}"


def _dates(opened_on: date) -> Mapping[str, str]:
    """Return the days of the examples: the first of the month after the opening, five years later, and birthdays."""
    on = months_after(opened_on.replace(day=1), 1)
    later = months_after(on, 60)

    def birth(day: date, age: int, *, later_by: int = 0) -> str:
        return (months_after(day, -12 * age) + timedelta(days=later_by)).isoformat()

    return {
        "on": on.isoformat(),
        "later": later.isoformat(),
        "later_day_before": (later - timedelta(days=1)).isoformat(),
        "eighteen": birth(on, 18),
        "almost_eighteen": birth(on, 18, later_by=1),
        "nineteen": birth(on, 19),
        "sixty": birth(later, 60),
        "almost_sixty": birth(later, 60, later_by=1),
        "past_sixty": birth(later, 60, later_by=-1),
    }


def _amounts(currency: str) -> Mapping[str, str]:
    """Return the amounts of the examples: the least contribution, a unit less and more, and how they are split."""
    try:
        asset = Asset.currency(currency)
    except KeyError:  # said as a problem of pack.toml, with the others
        asset = Asset("XXX", 2)
    least = _LEAST_MAJOR * 10**asset.scale

    def text(units: int) -> str:
        return format(Amount(units, asset).decimal(), f".{asset.scale}f")

    return {
        "none": text(0),
        "least": text(least),
        "less": text(least - 1),
        "more": text(least + 1),
        "least_savings": text(least * 4 // 10),
        "least_retirement": text(least * 6 // 10),
        "more_retirement": text(least * 6 // 10 + 1),
    }


def _dimensions(pack: Pack) -> bytes:
    lines = [
        "# What no rule of the pack says: because the scheme has no such rule, or because another part of the pack says it."
    ]
    lines += ["", "[not_in_scheme]"]
    lines += [
        f'{dimension} = "not yet answered: {DIMENSIONS[dimension]}"'
        for dimension, cell in cells(pack).items()
        if cell is None and dimension != "T2"
    ]
    lines += ["", "[elsewhere]", 'T2 = "pack.toml: scheme_year_start"']
    return ("\n".join(lines) + "\n").encode()


def _quoted(text: str) -> str:
    """Return text in quotes for TOML, whose basic strings are JSON's."""
    return msgspec.json.encode(text).decode()
