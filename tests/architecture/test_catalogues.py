"""Every text for people is in every catalogue, whole: none missing, none fuzzy, the same placeholders, all plural forms."""

import importlib
import pkgutil
import re
import string
import unicodedata
from collections.abc import Iterator
from functools import cache
from gettext import c2py
from pathlib import Path

import pytest
from babel import Locale
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.frontend import parse_mapping_cfg
from babel.messages.pofile import read_po

import engine
from engine.kernel.errors import EngineError
from engine.runtime.locale import ENGINE_LOCALES

ROOT = Path(__file__).resolve().parents[2]
LANGUAGES = sorted(path.name for path in ENGINE_LOCALES.iterdir() if path.is_dir())
KEYWORDS = {"_": None, "gettext": None, "ngettext": (1, 2), "N_": None}
Text = str | tuple[str, ...]


@cache
def extracted() -> frozenset[Text]:
    """Return the texts that stand in the code and the templates now."""
    with (ENGINE_LOCALES / "babel.cfg").open(encoding="utf-8") as file:
        methods, options = parse_mapping_cfg(file)  # type: ignore[no-untyped-call]
    found = extract_from_dir(str(ROOT), methods, options, keywords=KEYWORDS)
    return frozenset(text for _file, _line, text, _comments, _context in found)


@cache
def catalogue(path: Path, language: str | None = None) -> Catalog:
    with path.open("rb") as file:
        return read_po(file, locale=language, abort_invalid=True)


def translated(language: str) -> Catalog:
    return catalogue(ENGINE_LOCALES / language / "LC_MESSAGES" / "engine.po", language)


def texts(found: Catalog) -> set[Text]:
    return {tuple(one.id) if isinstance(one.id, list | tuple) else one.id for one in found if one.id}


def messages(language: str) -> Iterator[Message]:
    return (one for one in translated(language) if one.id)


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def forms(value: object) -> tuple[str, ...]:
    return tuple(str(one or "") for one in value) if isinstance(value, list | tuple) else (str(value or ""),)


def test_the_languages_are_those_promised() -> None:
    assert LANGUAGES == ["ar", "fr", "hi", "rw", "sw"]
    assert len(extracted()) > 250


def test_the_template_is_what_the_code_says() -> None:
    """`locales/engine.pot` was made anew after the last change of a text."""
    template = texts(catalogue(ENGINE_LOCALES / "engine.pot"))

    assert sorted(map(str, extracted() - template)) == []
    assert sorted(map(str, template - extracted())) == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_text_is_missing_or_left_over(language: str) -> None:
    found = texts(translated(language))

    assert sorted(map(str, extracted() - found)) == []
    assert sorted(map(str, found - extracted())) == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_text_is_empty_fuzzy_or_left_in_english(language: str) -> None:
    # Words that are written alike in both languages.
    alike = {
        "Page {page} of {pages}",
        "Code: {code}",
        "{field}: {reason}.",
        "Pages",
        "Fund",
        "Total",
        "Orders",
        "Message",
        "Code",
        "Formats",
        "Option",
        "Parts",
        "Pension",
        "Sexes",
        "Sources",
        "Version",
        "certain",
        "payable",
        "{name}: {value}",
    }
    bad = [
        one.id
        for one in messages(language)
        if one.fuzzy
        or not all(form.strip() for form in forms(one.string))
        or (forms(one.string)[0] == forms(one.id)[0] and forms(one.id)[0] not in alike)
    ]

    assert bad == []
    assert not translated(language).fuzzy


@pytest.mark.parametrize("language", LANGUAGES)
def test_placeholders_are_those_of_the_english_text(language: str) -> None:
    bad = [
        (one.id, form)
        for one in messages(language)
        for form in forms(one.string)
        if placeholders(form) != placeholders(forms(one.id)[-1])
    ]

    assert bad == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_sentence_stays_a_sentence(language: str) -> None:
    """What ends in a full stop in English ends in the language's own."""
    stop = "।" if language == "hi" else "."
    bad = [
        one.id
        for one in messages(language)
        if forms(one.id)[0].endswith(".") and not forms(one.string)[0].endswith(stop)
    ]

    assert bad == []


@pytest.mark.parametrize(
    ("language", "number", "form"),
    [
        *(("hi", number, 0 if number < 2 else 1) for number in (0, 1, 2, 3, 5, 11, 21, 100, 1_000_000)),
        *(("rw", number, 0 if number == 1 else 1) for number in (0, 1, 2, 3, 5, 11, 21, 100, 1_000_000)),
        *(("fr", number, 0 if number < 2 else 2) for number in (0, 1, 2, 3, 5, 11, 21, 100)),
        ("fr", 1_000_000, 1),
        ("fr", 2_000_000, 1),
        *(("sw", number, 0 if number == 1 else 1) for number in (0, 1, 2, 3, 5, 11, 21, 100, 1_000_000)),
    ],
)
def test_plural_forms(language: str, number: int, form: int) -> None:
    found = translated(language)
    rule = re.fullmatch(r"nplurals=(\d); plural=(.+?);?", found.plural_forms)
    assert rule is not None
    for one in messages(language):
        if isinstance(one.id, list | tuple):
            assert len(forms(one.string)) == int(rule[1])
    assert c2py(rule[2])(number) == form


@pytest.mark.parametrize("language", ["ar", "fr", "hi", "sw"])
def test_plural_forms_are_those_of_the_unicode_consortium(language: str) -> None:
    """The forms stand in CLDR's order, each for CLDR's numbers. Kinyarwanda is left out: CLDR has one form for it,
    its nouns have two.
    """
    rule = Locale.parse(language).plural_form
    order = [name for name in ("zero", "one", "two", "few", "many", "other") if name in {*rule.tags, "other"}]
    written = translated(language).plural_expr
    assert len(order) == int(translated(language).num_plurals)
    for number in (*range(201), 1_000_000, 1_000_003, 1_000_011, 2_000_000):
        assert order[c2py(written)(number)] == rule(number), number


SCRIPTS = {"ar": "ARABIC", "fr": "LATIN", "hi": "DEVANAGARI", "rw": "LATIN", "sw": "LATIN"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_language_is_written_in_its_script(language: str) -> None:
    """Each text has letters of its script, and none of a third one: names of formats stay in Latin."""
    for one in messages(language):
        for form in forms(one.string):
            letters = [unicodedata.name(char).split()[0] for char in re.sub(r"{\w+}", "", form) if char.isalpha()]
            assert set(letters) <= {SCRIPTS[language], "LATIN"}, form
            assert not letters or SCRIPTS[language] in letters, form


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_text_is_no_longer_than_its_place(language: str) -> None:
    """What stands in a heading, a column or a button in English still fits there; a sentence is at most twice as long."""
    bad = [
        (one.id, form)
        for one in messages(language)
        for form in forms(one.string)
        if len(form) > max(2 * len(forms(one.id)[-1]), len(forms(one.id)[-1]) + 22)
    ]

    assert bad == []


def test_french_keeps_its_signs_off_the_line_end() -> None:
    """A colon, semicolon, question or exclamation mark is bound to the word before it."""
    bad = [one.id for one in messages("fr") for form in forms(one.string) if re.search(r"(?<=\w) [:;?!]", form)]

    assert bad == []


def errors() -> list[type[EngineError]]:
    for module in pkgutil.walk_packages(engine.__path__, "engine."):
        if module.name.split(".")[-1] == "errors":
            importlib.import_module(module.name)
    found: list[type[EngineError]] = []
    waiting: list[type[EngineError]] = [EngineError]
    while waiting:
        one = waiting.pop()
        waiting.extend(one.__subclasses__())
        if one.__module__.startswith("engine."):
            found.append(one)
    return found


def test_every_refusal_has_a_code_of_its_own() -> None:
    codes: dict[str, str] = {}
    for error in errors():
        assert re.fullmatch(r"[a-z]+\.[a-z]+(-[a-z]+)*", error.code), error
        assert codes.setdefault(error.code, error.__qualname__) == error.__qualname__, error.code
    assert len(codes) > 60


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_refusal_has_its_text_in_every_language(language: str) -> None:
    found = texts(translated(language))

    assert [error.code for error in errors() if error.message not in found] == []
