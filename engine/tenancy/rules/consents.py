"""Consent texts: what a person agreed to, in their language. A version is a hash of the words, so no word changes unseen."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta, Struct

from engine.tenancy.errors import PackProblem
from engine.tenancy.rules.books import read_toml
from engine.tenancy.rules.decoding import decode, shown
from engine.tenancy.rules.manifest import Code, Name


class _ConsentRow(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    id: Code
    title: Name
    text: Annotated[
        str, Meta(min_length=20, max_length=20_000, description="the words agreed to, 20 to 20000 characters")
    ]


class _ConsentFile(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    consent: Annotated[tuple[_ConsentRow, ...], Meta(min_length=1, description="a list of [[consent]]")]


@dataclass(frozen=True, slots=True)
class ConsentText:
    """What a person agrees to: `id` says to what, `version` is the first 16 hex digits of SHA-256 over the words."""

    id: str
    language: str
    title: str
    text: str
    version: str


Consents = Mapping[tuple[str, str], ConsentText]
"""Consent texts by (id, language)."""


def consent_version(title: str, text: str) -> str:
    """Return the version of a consent text: 16 hex digits that any changed character changes."""
    return hashlib.sha256(f"{title}\n\n{text}".encode()).hexdigest()[:16]


def decode_consents(files: Mapping[str, bytes], languages: Sequence[str]) -> tuple[Consents, list[PackProblem]]:
    """Return the consent texts of `content/<language>/*.toml`, and everything that is wrong with them.

    Each text must stand once in every language of the pack: a person is never asked to agree in another's language.
    """
    problems: list[PackProblem] = []
    found: dict[tuple[str, str], ConsentText] = {}
    places: dict[tuple[str, str], str] = {}
    for file, content in sorted(files.items()):
        language = file.split("/")[1]
        table = read_toml(file, content, problems)
        if table is None:
            continue
        decoded, reasons = decode(table, _ConsentFile, file=file)
        problems.extend(reasons)
        for row, one in enumerate(decoded.consent if decoded else (), 1):
            place = (one.id, language)
            text = one.text.strip()
            if place in found:
                reason = f"{shown(one.id)} stands in {places[place]} already"
                problems.append(PackProblem(file, f"consent[{row}].id", reason))
            places.setdefault(place, file)
            found.setdefault(place, ConsentText(one.id, language, one.title, text, consent_version(one.title, text)))
    for consent in sorted({one for one, _ in found}):
        for language in languages:
            if (consent, language) not in found:
                problems.append(PackProblem(f"content/{language}", "", f"has no text for the consent {consent}"))
    return found, problems
