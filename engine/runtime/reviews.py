"""Which translations a speaker of the language has signed. A signature is of the words: a changed text loses its own.

`locales/<language>/review.toml` says who signed last, on which day, and the digest of each text that was read. It
begins as `reviewed = false`.
"""

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import msgspec
import tomli_w
from babel.messages.pofile import read_po
from msgspec import Struct

from engine.runtime.locale import DOMAIN, ENGINE_LOCALES

_DIGEST_LENGTH = 16  # hexadecimal digits; enough to tell some hundreds of texts apart, and their changes


class Signed(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What stands in a language's `review.toml`."""

    reviewed: bool
    by: str = ""
    on: date | None = None
    texts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check that a signature has a name, a day and what was signed."""
        if self.reviewed != bool(self.by and self.on and self.texts):
            raise ValueError("reviewed texts say by whom, on which day and which texts; others say none of it")


@dataclass(frozen=True, slots=True)
class LanguageReview:
    """How far a language is: its texts, those not translated, those that nobody signed as they stand now."""

    language: str
    signed: Signed
    texts: Mapping[str, str]
    unsigned: tuple[str, ...]

    @property
    def missing(self) -> int:
        """Return how many texts have no translation."""
        return sum(not said for said in self.texts.values())

    @property
    def is_reviewed(self) -> bool:
        """Return whether a speaker of the language signed every text as it stands now."""
        return not self.unsigned and not self.missing


def languages(locales: Path | None = None) -> tuple[str, ...]:
    """Return the languages that the engine's texts are translated into."""
    return tuple(
        sorted(path.parents[1].name for path in (locales or ENGINE_LOCALES).glob(f"*/LC_MESSAGES/{DOMAIN}.po"))
    )


def review_of(language: str, locales: Path | None = None) -> LanguageReview:
    """Return what is signed of a language's texts.

    Raises:
        FileNotFoundError: there is no such language.
        ValueError: its `review.toml` is not as it must be.

    """
    locales = locales or ENGINE_LOCALES
    with (locales / language / "LC_MESSAGES" / f"{DOMAIN}.po").open("rb") as file:
        catalogue = read_po(file, locale=language, domain=DOMAIN, abort_invalid=True)
    texts = {_joined(one.id): _joined(one.string) for one in catalogue if one.id}
    file_name = _review_file(language, locales)
    raw = tomllib.loads(file_name.read_text(encoding="utf-8")) if file_name.is_file() else {"reviewed": False}
    try:
        signed = msgspec.convert(raw, Signed)
    except msgspec.ValidationError as error:
        raise ValueError(f"{file_name}: {error}") from error
    known = frozenset(signed.texts)
    unsigned = tuple(english for english, said in texts.items() if _digest(english, said) not in known)
    return LanguageReview(language, signed, texts, unsigned)


def sign(language: str, *, by: str, on: date, locales: Path | None = None) -> LanguageReview:
    """Note that `by`, who speaks the language, read and accepts all its texts as they stand now.

    Raises:
        FileNotFoundError: there is no such language.
        ValueError: nobody is named, or a text is not translated yet.

    """
    locales = locales or ENGINE_LOCALES
    review = review_of(language, locales)
    if not by.strip():
        raise ValueError("a signature names who signs")
    if review.missing:
        raise ValueError(f"{language}: {review.missing} texts are not translated yet; translate them first")
    digests = sorted(_digest(english, said) for english, said in review.texts.items())
    content = {"reviewed": True, "by": by.strip(), "on": on, "texts": digests}
    _review_file(language, locales).write_text(tomli_w.dumps(content), encoding="utf-8")
    return review_of(language, locales)


def _review_file(language: str, locales: Path) -> Path:
    return locales / language / "review.toml"


def _joined(forms: object) -> str:
    if isinstance(forms, list | tuple):
        return "\n".join(map(str, forms)) if all(forms) else ""
    return str(forms or "")


def _digest(english: str, said: str) -> str:
    return hashlib.sha256(f"{english}\0{said}".encode()).hexdigest()[:_DIGEST_LENGTH]
