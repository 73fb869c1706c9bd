"""A language made from English: every text accented, lengthened and bracketed, so that what is not translated stands out."""

import re
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po

from engine.runtime.locale import ENGINE_LOCALES

OPEN, CLOSE = "«", "»"  # both are in the fonts of papers, and in no English text
_ACCENTED = str.maketrans("AEIOUYCNSaeiouycns", "ÅÉÎØÜÝÇÑŠåéîøüýçñš")
_PLACEHOLDER = re.compile(r"({\w+})")
_LONGER = 0.4  # of a text's length, in words of its own; German and French need up to that


def pseudo(text: str) -> str:
    """Return the text as the pseudo-language says it; its placeholders stay."""
    parts = [part if _PLACEHOLDER.fullmatch(part) else part.translate(_ACCENTED) for part in _PLACEHOLDER.split(text)]
    words = re.sub(r"{\w+}", "", text).split()
    more: list[str] = []
    while words and len(" ".join(more)) < _LONGER * len(text):
        more.append(words[len(more) % len(words)].strip(".,:;").lower().translate(_ACCENTED))
    return f"{OPEN}{' '.join([''.join(parts), *more])}{CLOSE}"


def write_pseudo(folder: Path, language: str) -> None:
    """Write the catalogue of every text of the engine in the pseudo-language, as that of `language`."""
    with (ENGINE_LOCALES / "engine.pot").open("rb") as file:
        template = read_po(file)
    made = Catalog(locale=language, fuzzy=False)
    for one in template:
        if isinstance(one.id, list | tuple):
            made.add(one.id, tuple(pseudo(one.id[min(index, 1)]) for index in range(made.num_plurals)))
        elif one.id:
            made.add(one.id, pseudo(one.id))
    path = folder / language / "LC_MESSAGES" / "engine.po"
    path.parent.mkdir(parents=True)
    with path.open("wb") as out:
        write_po(out, made)


def untranslated(shown: str, data: set[str]) -> str:
    """Return what is left of a text that is shown without what the pseudo-language says, and without `data`.

    Data are names, dates and codes that no catalogue translates; a letter in what is left is a text left in English.
    """
    left, before = shown, ""
    while left != before:
        left, before = re.sub(f"{OPEN}[^{OPEN}{CLOSE}]*{CLOSE}", "", left), left
    for one in sorted(data, key=len, reverse=True):
        left = left.replace(one, "")
    left = re.sub(r"\b(\d{1,2} [A-Z][a-z]{2,3}|[A-Z][a-z]{2,3} \d{1,2},) \d{4}", "", left)
    return left.strip() if re.search(r"[^\W\d_]|[«»{}]", left) else ""


def left_in_english(shown: str, data: set[str]) -> list[str]:
    """Return the words of a text that no catalogue has, wherever they stand in it: also where a translated text holds them.

    The pseudo-language leaves no vowel as it is, so a word with a plain one is not of it; `data` are as in `untranslated`.
    """
    for one in sorted(data, key=len, reverse=True):
        shown = shown.replace(one, "")
    shown = re.sub(r"\b\d{1,2} [A-Z][a-z]{2,3} \d{4}", "", shown)
    return re.findall(r"\b[A-Za-z]*[aeiouAEIOU][A-Za-z]*\b", shown)
