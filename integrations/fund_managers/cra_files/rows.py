"""What one row of a price file says, recognised by content and not by position. Pure.

A row is about a price when one of its fields is a scheme code (SM and six digits). Its other facts are a fund
manager code (PFM and three digits), one or more dates, and the one number behind the scheme code, its price.
"""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from engine.kernel.price_files import ROW_TEXT_MAX, RefusedRow, SkippedRow
from engine.kernel.prices import MAX_PRICE_SCALE
from integrations.fund_managers.cra_files.dates import Readings, readings_of

ROW_CHARACTERS_MAX = 2000
PRICE_LIMIT = Decimal(100_000)
"""No price reaches this: NPS units began at 10 rupees, so a larger number has lost its decimal point."""

_DELIMITERS = (",", "\t", ";", "|")
_BLANKS = " \t\v\f\u00a0"
_SCHEME_CODE = re.compile(r"SM[0-9]{6}", re.IGNORECASE)
_MANAGER_CODE = re.compile(r"PFM[0-9]{3}", re.IGNORECASE)
_PLAIN = re.compile(r"([+-]?)([0-9]*(?:\.[0-9]+)?)")
_THOUSANDS = re.compile(r"[+-]?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,2}(?:,[0-9]{2})*,[0-9]{3})(\.[0-9]+)?")
_EXPONENT = re.compile(r"[+-]?[0-9.,]+[eE][+-]?[0-9]+")
_HEADER_WORD = re.compile(r"date|nav|price|scheme|pfm|fund|code|name", re.IGNORECASE)
_HEADER_MARK = re.compile(r"(?:h|hdr|header)", re.IGNORECASE)
_TRAILER_MARK = re.compile(
    r"\W*(?:t|tr|trl|trailer|(?:grand )?total\b.*|end\b.*|eof|(?:record |row )?count\b.*|records?\b.*"
    r"|rows?\b.*|(?:no\.?|number) of\b.*)\W*",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong in a row: the field and a reason of `engine.kernel.price_files.REASONS`."""

    field: str
    reason: str


@dataclass(frozen=True, slots=True)
class DataRow:
    """A row about the price of `scheme_code`; what else it says may be at fault."""

    number: int
    text: str
    scheme_code: str
    manager_code: str | Fault
    manager_name: str
    scheme_name: str
    dates: tuple[Readings, ...]
    price: Decimal | Fault

    def refused(self, field: str, reason: str) -> RefusedRow:
        """Return the row as refused for `reason`."""
        return RefusedRow(self.number, field, reason, self.text[:ROW_TEXT_MAX])


def read_row(  # noqa: PLR0911 - one return a fault
    number: int, text: str
) -> DataRow | RefusedRow | SkippedRow | None:
    """Return what the row says; None if it has neither a letter nor a digit."""
    if not any(character.isalnum() for character in text):
        return None
    shown = text[:ROW_TEXT_MAX]
    if len(text) > ROW_CHARACTERS_MAX:
        return RefusedRow(number, "row", "row-too-long", shown)
    split = _split(text)
    if split is None:
        return RefusedRow(number, "row", "quotes-unclear", shown)
    fields, delimiter = split
    places = [place for place, field in enumerate(fields) if _SCHEME_CODE.fullmatch(field)]
    if not places:
        if kind := _kind_without_price(fields):
            return SkippedRow(number, kind, shown)
        return RefusedRow(number, "scheme_code", "no-scheme-code", shown)
    if len(places) > 1:
        return RefusedRow(number, "scheme_code", "scheme-code-unclear", shown)
    [place] = places
    managers = [at for at, field in enumerate(fields) if _MANAGER_CODE.fullmatch(field)]
    behind = fields[place + 1 :]
    price, price_place = _find_price(behind)
    return DataRow(
        number=number,
        text=text,
        scheme_code=fields[place].upper(),
        manager_code=_one_manager_code([fields[at] for at in managers]),
        manager_name=_words(fields[managers[0] + 1 : place] if managers else (), delimiter),
        scheme_name=_words(behind[:price_place], delimiter),
        dates=tuple(found for field in fields if (found := readings_of(field)) is not None),
        price=price,
    )


def _split(text: str) -> tuple[list[str], str] | None:
    """Return the fields, without the blanks around them, and the delimiter; None if quotes open or close astray.

    The delimiter is the one that sets a scheme code free, else the one that makes most fields. A row quoted
    whole, as in the file of 2014-06-19, is one field however it is split: it is unwrapped and split again.
    """
    best = None
    for _ in range(3):
        ways = [(fields, delimiter) for delimiter in _DELIMITERS if (fields := _split_at(delimiter, text))]
        if not ways:
            return None
        best = max(ways, key=lambda way: (any(map(_SCHEME_CODE.fullmatch, way[0])), len(way[0])))
        if len(best[0]) == 1 and len(ways) < len(_DELIMITERS):
            return None
        if len(best[0]) > 1 or best[0][0] == text or not best[0][0]:
            break
        text = best[0][0]
    return best


def _split_at(delimiter: str, text: str) -> list[str] | None:
    """Return the fields between the delimiters; None if a quote closes inside a field or not at all.

    Strict, since a lenient reader joins what stands around such a quote: 14.62"60 must not become a price.
    """
    text = re.sub(rf'(?<!")"[{_BLANKS}]+(?={re.escape(delimiter)}|$)', '"', text.strip(" "))
    try:
        [fields] = csv.reader([text], delimiter=delimiter, skipinitialspace=True, strict=True)
    except csv.Error:
        return None
    return [field.strip(_BLANKS) for field in fields]


def _kind_without_price(fields: Sequence[str]) -> str | None:
    """Return "header" or "trailer" if a row without a scheme code is one, else None."""
    if any(_MANAGER_CODE.fullmatch(field) for field in fields):
        return None
    first = next((field for field in fields if field), "")
    if _TRAILER_MARK.fullmatch(first):
        return "trailer"
    if _HEADER_MARK.fullmatch(first):
        return "header"
    has_digits = any(character.isnumeric() for field in fields for character in field)
    titles = sum(bool(_HEADER_WORD.search(field)) for field in fields)
    return "header" if titles >= 2 and not has_digits else None


def _one_manager_code(codes: Sequence[str]) -> str | Fault:
    distinct = {code.upper() for code in codes}
    if not distinct:
        return Fault("manager_code", "no-manager-code")
    return distinct.pop() if len(distinct) == 1 else Fault("manager_code", "manager-code-unclear")


def _words(fields: Sequence[str], delimiter: str) -> str:
    """Return the fields that are no dates as one text: a name with the delimiter in it is whole again."""
    words = (field for field in fields if field and readings_of(field) is None)
    return f"{delimiter.strip() or ' '} ".join(words)


def _find_price(behind: Sequence[str]) -> tuple[Decimal | Fault, int]:
    """Return the price among the fields `behind` the scheme code, or its fault, and where the name ends.

    Where two different numbers stand there, none is taken: an unquoted 1,032.6034 is two fields, and its last
    one is not the price. Beside a blank field, which may be the price's own, a number must have a decimal point.
    """
    numbers = [place for place, field in enumerate(behind) if _is_number_like(field)]
    blank = "" in behind
    if not numbers:
        ends = next((place for place, field in enumerate(behind) if not field), len(behind))
        return Fault("price", "blank-price" if blank else "no-price"), ends
    text = behind[numbers[0]]
    if len({behind[place] for place in numbers}) > 1 or (blank and "." not in text):
        return Fault("price", "price-unclear"), numbers[0]
    return read_price(text), numbers[0]


def _is_number_like(field: str) -> bool:
    """Tell whether somebody meant `field` as a number, well written or not."""
    if readings_of(field) is not None:
        return False
    return any(c.isnumeric() for c in field) and all(c.isnumeric() or c in "+-−.,eE' " for c in field)


def read_price(text: str) -> Decimal | Fault:  # noqa: PLR0911 - one return a fault
    """Return the price that `text` writes, exactly, with the decimals it has; or its fault.

    Accepted are digits with or without a sign, leading zeros, and up to MAX_PRICE_SCALE decimals (+0028.1781),
    and commas between thousands, lakhs and crores before a decimal point. Without a point a comma may be either.
    """
    if not text.isascii() and any(character.isnumeric() and not character.isascii() for character in text):
        return Fault("price", "not-ascii-digits")
    if _EXPONENT.fullmatch(text):
        return Fault("price", "exponent-price")
    if grouped := _THOUSANDS.fullmatch(text):
        if grouped[1] is None:
            return Fault("price", "price-unclear")
        text = text.replace(",", "")
    plain = _PLAIN.fullmatch(text)
    if plain is None or not plain[2]:
        return Fault("price", "price-malformed")
    price = Decimal(text)
    if price <= 0:
        return Fault("price", "price-not-positive")
    if len(text.partition(".")[2]) > MAX_PRICE_SCALE:
        return Fault("price", "too-many-decimals")
    if price >= PRICE_LIMIT:
        return Fault("price", "price-too-large")
    return price
