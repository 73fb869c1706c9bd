"""Texts of a pack with named gaps, each of a declared length, so that the longest a text can become is known."""

import string
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated

from msgspec import Meta, Struct

from engine.notices.errors import ValueTooLong
from engine.notices.rules.gsm7 import Encoding, cut, outside, transliterate, units
from engine.tenancy.rules.decoding import shown, unknown

PlaceholderName = Annotated[
    str, Meta(pattern=r"^[a-z][a-z0-9_]{0,39}$", description="a name of lower-case letters, digits and _")
]


class Placeholder(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How long a value can be: `longest` units of the text's encoding.

    A longer one is refused, since half an amount is another amount; where `cut` is true it is cut (a name).
    """

    longest: Annotated[int, Meta(ge=1, le=600, description="a whole number from 1 to 600")]
    cut: bool = False


Placeholders = Mapping[PlaceholderName, Placeholder]


def written(text: str, encoding: Encoding) -> str:
    """Return `text` as it is sent in `encoding`: transliterated for GSM-7."""
    return transliterate(text) if encoding is Encoding.GSM_7 else text


def fill(text: str, declared: Placeholders, values: Mapping[str, str], encoding: Encoding) -> str:
    """Return `text` with its placeholders replaced, as it is sent in `encoding`.

    The result takes at most `worst_case` units, whatever the values. `text` must have passed `placeholder_problems`.

    Raises:
        ValueTooLong: a value is longer than declared and may not be cut, or has letters that GSM-7 cannot show.
        KeyError: a value is missing.
    """
    return "".join(
        written(literal, encoding) + ("" if name is None else _value(name, values[name], declared[name], encoding))
        for literal, name in gaps(text)
    )


def worst_case(text: str, declared: Placeholders, encoding: Encoding) -> int:
    """Return the most units that `text` takes with any values. It must have passed `placeholder_problems`."""
    return sum(
        units(written(literal, encoding), encoding) + (0 if name is None else declared[name].longest)
        for literal, name in gaps(text)
    )


def named(text: str) -> tuple[str, ...]:
    """Return the placeholders of a sound text, each once, in order."""
    return tuple(dict.fromkeys(name for _, name in gaps(text) if name is not None))


def gaps(text: str) -> Iterator[tuple[str, str | None]]:
    """Yield each run of letters with the placeholder behind it; ValueError if braces are not in pairs."""
    for literal, name, _spec, _conversion in string.Formatter().parse(text):
        yield literal, name


def placeholder_problems(text: str, declared: Iterable[str], encoding: Encoding) -> list[str]:
    """Return what is wrong with a text: its braces, names that are not declared, letters it cannot show."""
    try:
        parsed = list(string.Formatter().parse(text))
    except ValueError as error:
        return [f"its braces do not pair: {error}"]
    declared = tuple(declared)
    problems = [
        f"{{{name}}} has more than a name between its braces" for _, name, spec, other in parsed if spec or other
    ]
    names = dict.fromkeys(name for _, name, _, _ in parsed if name is not None)
    problems += [unknown(name, declared, what="a declared placeholder") for name in names if name not in declared]
    letters = outside("".join(written(literal, encoding) for literal, *_ in parsed))
    if encoding is Encoding.GSM_7 and letters:
        problems.append(f'GSM 7-bit has no {shown("".join(letters))}; write it otherwise or declare encoding = "ucs-2"')
    return problems


def _value(name: str, value: str, declared: Placeholder, encoding: Encoding) -> str:
    value = " ".join(written(value, encoding).split())
    if encoding is Encoding.GSM_7 and outside(value):
        raise ValueTooLong(reason=f"the value of {name} has letters that GSM 7-bit cannot show")
    if units(value, encoding) <= declared.longest:
        return value
    if not declared.cut:
        raise ValueTooLong(reason=f"the value of {name} takes more than {declared.longest}")
    return cut(value, declared.longest, encoding)
