"""Names, telephone numbers and document numbers as people write them. All numbers are made up."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum import verhoeff

from engine.identity import rules
from engine.identity.errors import CheckDigitWrong, DocumentMalformed, UnusableName, UnusablePhone
from engine.kernel.errors import EngineError

NID = r"(?P<person>[123](?P<birth_year>(19|20)[0-9]{2})(?P<sex>[78])[0-9]{7})[0-9]{3}"


def aadhaar(seed: int) -> str:
    """A number of the form of an Aadhaar, from a seed."""
    body = str(random.Random(seed).randint(2 * 10**10, 10**11 - 1))
    return body + str(verhoeff.calc_check_digit(body))


@pytest.mark.parametrize(
    ("text", "country", "e164"),
    [
        ("098765 43210", "IN", "+919876543210"),
        ("9876543210", "IN", "+919876543210"),
        ("+91 98765-43210", "IN", "+919876543210"),
        ("0091 98765 43210", "IN", "+919876543210"),
        ("(0)98765 43210", "IN", "+919876543210"),
        ("९८७६५४३२१०", "IN", "+919876543210"),
        ("0788 123 456", "RW", "+250788123456"),
        ("788123456", "RW", "+250788123456"),
        ("+250 788 123 456", "RW", "+250788123456"),
        ("250788123456", "RW", "+250788123456"),
        ("+256 772 123456", "RW", "+256772123456"),
    ],
)
def test_telephone_numbers_have_one_spelling(text: str, country: str, e164: str) -> None:
    assert rules.check_phone(text, country) == e164


@pytest.mark.parametrize("text", ["", "abc", "12", "0788", "+999123456789", "1" * 40, "0700 000 00", "\x00"])
@pytest.mark.parametrize("country", ["IN", "RW"])
def test_what_nobody_can_dial_is_refused(text: str, country: str) -> None:
    with pytest.raises(UnusablePhone) as refused:
        rules.check_phone(text, country, field="nominees[0].phone")

    assert refused.value.details == {"field": "nominees[0].phone", "country": country}


@pytest.mark.parametrize("spelling", ["blanks", "dashes", "devanagari"])
def test_an_aadhaar_has_one_spelling(spelling: str) -> None:
    number = aadhaar(1)
    written = {
        "blanks": f" {number[:4]} {number[4:8]}\u00a0{number[8:]} ",
        "dashes": f"{number[:4]}-{number[4:8]}-{number[8:]}",
        "devanagari": number.translate(str.maketrans("0123456789", "०१२३४५६७८९")),
    }[spelling]

    checked = rules.check_document(written, document="aadhaar", validator="stdnum.in_.aadhaar")

    assert (checked.number, checked.person_key) == (number, number)


@given(seed=st.integers(0, 10**6), place=st.integers(0, 11), shift=st.integers(1, 9))
def test_every_mistyped_digit_of_an_aadhaar_is_noticed(seed: int, place: int, shift: int) -> None:
    number = aadhaar(seed)
    wrong = number[:place] + str((int(number[place]) + shift) % 10) + number[place + 1 :]

    with pytest.raises(EngineError) as refused:
        rules.check_document(wrong, document="aadhaar", validator="stdnum.in_.aadhaar")

    assert isinstance(refused.value, CheckDigitWrong | DocumentMalformed)
    assert wrong not in str(refused.value)


@pytest.mark.parametrize("text", ["", " ", "123", "x" * 41, "1" * 12, "022222222222", "23412341234x"])
def test_what_is_no_aadhaar_is_refused(text: str) -> None:
    with pytest.raises((DocumentMalformed, CheckDigitWrong)):
        rules.check_document(text, document="aadhaar", validator="stdnum.in_.aadhaar")


def test_a_pattern_says_what_the_number_says() -> None:
    checked = rules.check_document("1 1987 7 0012345 0 12", document="nid", validator="pattern", pattern=NID)

    assert checked.number == "1198770012345012"
    assert (checked.person_key, checked.birth_year, checked.sex_mark) == ("1198770012345", 1987, "7")


def test_a_card_issued_anew_is_the_same_person() -> None:
    first, second = (
        rules.check_document(number, document="nid", validator="pattern", pattern=NID)
        for number in ("1198770012345012", "1198770012345134")
    )

    assert first.number != second.number
    assert first.person_key == second.person_key


@pytest.mark.parametrize("text", ["4198770012345012", "119877001234501", "11987700123450123", "1198790012345012", "११"])
def test_a_pattern_must_match_the_whole_number(text: str) -> None:
    with pytest.raises(DocumentMalformed):
        rules.check_document(text, document="nid", validator="pattern", pattern=NID)


@pytest.mark.parametrize("name", ["Lakshmi Devi", "लक्ष्मी देवी", "N'Golo Kanté", "Uwimana", "O", " X Æ A-12 "])
def test_names_are_kept_as_given(name: str) -> None:
    assert rules.clean_name(name, field="full_name") == name.strip()


@pytest.mark.parametrize("name", ["", "   ", "a\nb", "a\x00", "x" * 201, "\u202ea"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(UnusableName):
        rules.clean_name(name, field="full_name")


@pytest.mark.parametrize("text", ["5012 3456-7890", "501234567890", " 501234567890", "५०१२३४५६७८९०"])
def test_member_numbers_are_found_however_written(text: str) -> None:
    assert rules.compact_reference(text) == "501234567890"
