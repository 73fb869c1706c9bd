"""Which texts a GSM telephone shows as they were written, and how many short messages carry them.

Source: 3GPP TS 23.038 (the 7-bit default alphabet of GSM 03.38 and its extension table) and TS 23.040, 9.2.3.24.1
(concatenated short messages: six octets of a message of 140 are taken by the header).
"""

import unicodedata
from enum import StrEnum

from engine.kernel.amounts import Amount

BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
"""The letters of one septet."""
EXTENSION = "\f^{}\\[~]|€"
"""The letters of two septets: an escape, then the letter."""

_SEPTETS = dict.fromkeys(BASIC, 1) | dict.fromkeys(EXTENSION, 2)
_REPLACED = {
    "\N{NO-BREAK SPACE}": " ",
    "\N{NARROW NO-BREAK SPACE}": " ",
    "\N{THIN SPACE}": " ",
    "\t": " ",
    "\N{LEFT-TO-RIGHT MARK}": "",
    "\N{RIGHT-TO-LEFT MARK}": "",
    "\N{ARABIC LETTER MARK}": "",
    "\N{ZERO WIDTH SPACE}": "",
    "\N{ZERO WIDTH JOINER}": "",
    "\N{ZERO WIDTH NON-JOINER}": "",
    "\N{WORD JOINER}": "",
    "\N{ZERO WIDTH NO-BREAK SPACE}": "",
    "\N{SOFT HYPHEN}": "",
    "`": "'",
    "\N{LEFT SINGLE QUOTATION MARK}": "'",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    "\N{MODIFIER LETTER APOSTROPHE}": "'",
    "\N{MODIFIER LETTER TURNED COMMA}": "'",
    "\N{LEFT DOUBLE QUOTATION MARK}": '"',
    "\N{RIGHT DOUBLE QUOTATION MARK}": '"',
    "«": '"',
    "»": '"',
    "\N{HYPHEN}": "-",
    "\N{NON-BREAKING HYPHEN}": "-",
    "\N{EN DASH}": "-",
    "\N{EM DASH}": "-",
    "\N{MINUS SIGN}": "-",
    "\N{HORIZONTAL ELLIPSIS}": "...",
    "\N{BULLET}": "-",
    "\N{MULTIPLICATION SIGN}": "x",
    "\N{ARABIC DECIMAL SEPARATOR}": ".",
    "\N{ARABIC THOUSANDS SEPARATOR}": ",",
    "₦": "N",
    "₹": "Rs ",
    "৳": "Tk ",
    "ɓ": "b",
    "Ɓ": "B",
    "ɗ": "d",
    "Ɗ": "D",
    "đ": "d",
    "Đ": "D",
    "ƙ": "k",
    "Ƙ": "K",
    "ƴ": "y",
    "Ƴ": "Y",
    "ɛ": "e",
    "Ɛ": "E",
    "ɔ": "o",
    "Ɔ": "O",
    "ŋ": "ng",
    "Ŋ": "Ng",
    "œ": "oe",
    "Œ": "Oe",
    "ı": "i",
    "ł": "l",
    "Ł": "L",
}
"""What is written for a letter outside the alphabet: the way people write these languages on a telephone of keys."""


class Encoding(StrEnum):
    """How a text travels. A whole message has `single` units of it, a part of a longer one `part`."""

    GSM_7 = "gsm-7"
    UCS_2 = "ucs-2"

    @property
    def single(self) -> int:
        """Return the units of a message that stands alone: septets, or 16-bit units."""
        return 160 if self is Encoding.GSM_7 else 70

    @property
    def part(self) -> int:
        """Return the units of one part of several."""
        return 153 if self is Encoding.GSM_7 else 67


def fits(text: str) -> bool:
    """Return whether every letter is of the alphabet, extension included."""
    return all(letter in _SEPTETS for letter in text)


def outside(text: str) -> tuple[str, ...]:
    """Return the letters that are not of the alphabet, each once, in order."""
    return tuple(dict.fromkeys(letter for letter in text if letter not in _SEPTETS))


def needed(text: str) -> Encoding:
    """Return the encoding that shows `text` as it is written: GSM-7 if it fits, else UCS-2."""
    return Encoding.GSM_7 if fits(text) else Encoding.UCS_2


def units(text: str, encoding: Encoding) -> int:
    """Return how much of a message `text` takes: septets, or 16-bit units of UTF-16.

    Raises:
        ValueError: a letter is not of the encoding.
    """
    return sum(_units(letter, encoding) for letter in text)


def pieces(text: str, encoding: Encoding) -> tuple[str, ...]:
    """Return `text` as the parts of a message: one if it stands alone, else as many as are needed, filled in order.

    The parts joined are the text. No part ends within an escaped letter or a pair of surrogates, so that each part
    can be read alone; a text may therefore need one part more than its units divided by a part's.

    Raises:
        ValueError: a letter is not of the encoding.
    """
    if units(text, encoding) <= encoding.single:
        return (text,)
    found: list[str] = []
    begin, used = 0, 0
    for place, letter in enumerate(text):
        size = _units(letter, encoding)
        if used + size > encoding.part:
            found.append(text[begin:place])
            begin, used = place, 0
        used += size
    return (*found, text[begin:])


def transliterate(text: str) -> str:
    """Return `text` with the letters outside the alphabet written by letters of it, where that is safe.

    Spaces of every kind become a space, direction marks go, digits of any script become 0 to 9, an accent that the
    alphabet has not is left out (ẹ is e), other letters go by a table. What none of this reaches stays as it is:
    Arabic or Devanagari words are never guessed; `outside` names them. A text that fits stays unchanged.
    """
    return "".join(_plain(letter) for letter in unicodedata.normalize("NFC", text))


def cut(text: str, most: int, encoding: Encoding) -> str:
    """Return the longest beginning of `text` that takes at most `most` units, without the blanks it would end in."""
    used = 0
    for place, letter in enumerate(text):
        used += _units(letter, encoding)
        if used > most:
            return text[:place].rstrip()
    return text


def money(amount: Amount) -> str:
    """Write an amount so that every telephone and reader has it alike: "KES 1,234.50", "KES -500.00".

    The currency's code, never its sign (₦ and ₹ are not of the alphabet, $ is many currencies'); digits 0 to 9, with
    exactly the decimals of the asset.
    """
    return f"{amount.asset.symbol} {amount.decimal():,.{amount.asset.scale}f}"


def _units(letter: str, encoding: Encoding) -> int:
    if encoding is Encoding.UCS_2:
        return 2 if ord(letter) > 0xFFFF else 1
    try:
        return _SEPTETS[letter]
    except KeyError:
        raise ValueError(f"U+{ord(letter):04X} is not of the GSM 7-bit alphabet") from None


def _plain(letter: str) -> str:
    if letter in _SEPTETS:
        return letter
    if letter in _REPLACED:
        return _REPLACED[letter]
    if (digit := unicodedata.decimal(letter, None)) is not None:
        return str(digit)
    base = "".join(one for one in unicodedata.normalize("NFD", letter) if not _is_latin_accent(one))
    if fits(base):
        return base
    written = _REPLACED.get(base)
    return letter if written is None else written


def _is_latin_accent(letter: str) -> bool:
    """Return whether `letter` is a combining mark of European scripts; those of others are part of the word."""
    return "\N{COMBINING GRAVE ACCENT}" <= letter <= "\N{COMBINING LATIN SMALL LETTER X}"
