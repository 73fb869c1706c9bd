"""What a telephone shows: the alphabet against other people's tables, lengths against arithmetic."""

import itertools
import string
import sys
import unicodedata

import pytest
from aiosmpplib.codec import find_codec_info
from hypothesis import example, given
from hypothesis import strategies as st

from engine.kernel.amounts import Amount, Asset
from engine.notices.rules import gsm7
from engine.notices.rules.gsm7 import Encoding

GSM = st.text(st.sampled_from(gsm7.BASIC + gsm7.EXTENSION), max_size=1000)
ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=400)
KES, RWF = Asset.currency("KES"), Asset.currency("RWF")


def encoded_by_another(text: str) -> bytes | None:
    """Return the octets, one a septet, by the table of an SMPP library; None if it has not the letters."""
    try:
        return bytes(find_codec_info("gsm0338", None).encode(text, "strict")[0])
    except UnicodeEncodeError:
        return None


def test_the_alphabet_is_that_of_another_table() -> None:
    differing = [
        letter
        for letter in map(chr, range(sys.maxunicode + 1))
        if not 0xD800 <= ord(letter) <= 0xDFFF and gsm7.fits(letter) != (encoded_by_another(letter) is not None)
    ]

    assert differing == []
    assert len(gsm7.BASIC) == 127  # 128 places, less the escape
    assert len(gsm7.EXTENSION) == 10


@given(GSM)
def test_septets_are_the_octets_of_another_table(text: str) -> None:
    octets = encoded_by_another(text)

    assert octets is not None
    assert gsm7.units(text, Encoding.GSM_7) == len(octets)


@given(ANY)
def test_units_of_ucs2_are_those_of_utf16(text: str) -> None:
    assert gsm7.units(text, Encoding.UCS_2) == len(text.encode("utf-16-be")) // 2


@given(ANY | GSM)
@example("a" * 152 + "€" + "b" * 10)
@example("a" * 66 + "🙂" + "b" * 10)
def test_pieces_are_the_text_and_each_is_within_its_limit(text: str) -> None:
    encoding = gsm7.needed(text)
    found = gsm7.pieces(text, encoding)
    limit = encoding.single if len(found) == 1 else encoding.part

    assert "".join(found) == text
    assert all(gsm7.units(piece, encoding) <= limit for piece in found)
    assert all(gsm7.units(piece + after[0], encoding) > limit for piece, after in itertools.pairwise(found))


@pytest.mark.parametrize(
    ("text", "encoding", "parts"),
    [
        pytest.param("", Encoding.GSM_7, 1, id="nothing is one message"),
        pytest.param("a" * 160, Encoding.GSM_7, 1, id="160 letters are one"),
        pytest.param("a" * 161, Encoding.GSM_7, 2, id="161 are two"),
        pytest.param("a" * 306, Encoding.GSM_7, 2, id="306 fill two"),
        pytest.param("a" * 307, Encoding.GSM_7, 3, id="307 are three"),
        pytest.param("€" * 80, Encoding.GSM_7, 1, id="80 euro signs are 160 septets"),
        pytest.param("a" + "€" * 80, Encoding.GSM_7, 2, id="161 septets of 81 letters are two"),
        pytest.param(
            "a" * 152 + "€" * 77,
            Encoding.GSM_7,
            3,
            id="an escape is not parted from its letter: 306 septets, three parts",
        ),
        pytest.param("ب" * 70, Encoding.UCS_2, 1, id="70 Arabic letters are one"),
        pytest.param("ب" * 71, Encoding.UCS_2, 2, id="71 are two"),
        pytest.param("ब" * 134, Encoding.UCS_2, 2, id="134 fill two"),
        pytest.param("🙂" * 35, Encoding.UCS_2, 1, id="35 pairs are 70 units"),
        pytest.param("a" * 66 + "🙂" * 34, Encoding.UCS_2, 3, id="a pair is not parted: 134 units, three parts"),
    ],
)
def test_parts(text: str, encoding: Encoding, parts: int) -> None:
    assert gsm7.needed(text) is encoding
    assert len(gsm7.pieces(text, encoding)) == parts


@pytest.mark.parametrize(
    ("text", "written"),
    [
        pytest.param("Ksh\xa01,234,567.50", "Ksh 1,234,567.50", id="no-break space"),
        pytest.param("1\u202f234\u202f568\xa0RF", "1 234 568 RF", id="narrow no-break space"),
        pytest.param("\u200f1,234,567.50\xa0EGP\u200f", "1,234,567.50 EGP", id="direction marks go"),
        pytest.param("\u200f1٬234٬567٫50", "1,234,567.50", id="Arabic digits and their separators"),
        pytest.param("१२,३४,५६७.५०", "12,34,567.50", id="Devanagari digits"),
        pytest.param("ẹ ọ ṣ ɓ ɗ ƙ", "e o s b d k", id="Yoruba and Hausa"),
        pytest.param("Ẹ̀kọ́ Ṣọ́lá", "Eko Sola", id="two accents on one letter"),
        pytest.param("Çà coûte ça: Noël, œuf", "Çà coute ca: Noel, oeuf", id="French keeps what the alphabet has"),
        pytest.param("«N’oubliez pas…»", '"N\'oubliez pas..."', id="quotes and dots"),
        pytest.param("−5 – 7", "-5 - 7", id="minus and dash"),
        pytest.param("e\u0301te\u0301", "été", id="composed first"),
        pytest.param("ስም", "ስም", id="Ethiopic is not guessed"),
        pytest.param("नमस्ते", "नमस्ते", id="Devanagari is not maimed"),
    ],
)
def test_transliteration(text: str, written: str) -> None:
    assert gsm7.transliterate(text) == written


@given(ANY)
def test_transliteration_is_done_once_and_leaves_alone_what_fits(text: str) -> None:
    once = gsm7.transliterate(text)

    assert gsm7.transliterate(once) == once
    assert not gsm7.fits(text) or once == text


@given(st.text(string.digits, max_size=20), st.sampled_from([0x660, 0x6F0, 0x966, 0x9E6, 0xFF10]))
def test_digits_keep_their_value(digits: str, zero: int) -> None:
    assert gsm7.transliterate("".join(chr(zero + int(digit)) for digit in digits)) == digits


@given(GSM, st.integers(0, 200))
def test_what_is_cut_fits_and_is_the_beginning(text: str, most: int) -> None:
    found = gsm7.cut(text, most, Encoding.GSM_7)

    assert text.startswith(found)
    assert gsm7.units(found, Encoding.GSM_7) <= most
    assert gsm7.units(text, Encoding.GSM_7) > most or found == text


@given(st.integers(-(10**15), 10**15), st.sampled_from(["KES", "RWF", "KWD", "INR", "CLF"]))
def test_money_fits_and_reads_back(units: int, code: str) -> None:
    amount = Amount(units, Asset.currency(code))
    written = gsm7.money(amount)

    assert gsm7.fits(written)
    symbol, number = written.split(" ")
    assert symbol == code
    assert Amount.parse(number.replace(",", ""), amount.asset) == amount


@pytest.mark.parametrize(
    ("amount", "written"),
    [(Amount(123_450, KES), "KES 1,234.50"), (Amount(-500, RWF), "RWF -500"), (Amount(0, KES), "KES 0.00")],
)
def test_money(amount: Amount, written: str) -> None:
    assert gsm7.money(amount) == written


def test_a_letter_outside_has_no_septets_and_is_named() -> None:
    with pytest.raises(ValueError, match=r"U\+1E63"):
        gsm7.units("ṣ", Encoding.GSM_7)
    assert gsm7.outside("ṣọṣ a") == (unicodedata.normalize("NFC", "ṣ"), "ọ")
