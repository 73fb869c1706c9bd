"""The words of identity, and the checks of what a person gives: names, telephone numbers, documents. Pure."""

import importlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from types import MappingProxyType
from typing import Literal, get_args

import phonenumbers
from msgspec import Struct
from stdnum.exceptions import InvalidChecksum, ValidationError

from engine.identity.errors import CheckDigitWrong, DocumentMalformed, UnusableName, UnusablePhone

Sex = Literal["female", "male", "other", "unstated"]

Validator = Literal[
    "pattern",
    "stdnum.br.cpf",
    "stdnum.cn.ric",
    "stdnum.ec.ci",
    "stdnum.id.nik",
    "stdnum.in_.aadhaar",
    "stdnum.in_.epic",
    "stdnum.in_.pan",
    "stdnum.mu.nid",
    "stdnum.mx.curp",
    "stdnum.my.nric",
    "stdnum.pe.cui",
    "stdnum.pk.cnic",
    "stdnum.th.pin",
    "stdnum.za.idnr",
]
"""What can check a document number: a library's module by its name, or the pack's own pattern."""

_SEPARATORS = str.maketrans("", "", " -/.\t\u00a0\u2010\u2011\u2012\u2013")
LONGEST_NAME = 200
LONGEST_DOCUMENT_NUMBER = 40
_PATTERN = "pattern"
_VALIDATORS: Mapping[str, Callable[[str], str]] = MappingProxyType(
    {name: importlib.import_module(name).validate for name in get_args(Validator) if name != _PATTERN}
)
VAULT_VERSION = 1
"""The version of `VaultDocument` that is written; it is bound into what is encrypted."""


class MemberStatus(StrEnum):
    """Where a membership stands."""

    ACTIVE = "active"
    ERASED = "erased"
    MERGED = "merged"
    HANDED_OVER = "handed-over"


class Purpose(StrEnum):
    """What a person can be found by."""

    MEMBER_NUMBER = "member-number"
    NATIONAL_ID = "national-id"


class IdentityDocument(Struct, frozen=True):
    """A document by the pack's name for its kind, and its number in its one spelling."""

    document: str
    number: str


class Person(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A person as they gave themselves. Names are kept as given; `phones` are E.164, the first one preferred."""

    full_name: str
    born_on: date
    sex: Sex = "unstated"
    phones: tuple[str, ...] = ()
    documents: tuple[IdentityDocument, ...] = ()
    language: str = ""
    address: str = ""


class NomineePerson(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Somebody a member names to receive the death benefit, with a share in basis points."""

    full_name: str
    relationship: str
    share_bp: int
    born_on: date | None = None
    phone: str = ""


class GuardianPerson(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who opened the account of a child, and by which document of their own."""

    full_name: str
    relationship: str
    document: IdentityDocument
    phone: str = ""


class EarlierDocument(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A document whose number a member held from a day on, up to and without another; `from_on` None: since they joined."""

    document: str
    number: str
    to_on: date
    from_on: date | None = None


class VaultDocument(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything personal that is kept of one member; nothing of it is anywhere else.

    `earlier_numbers` are those they had where they were members before; they are found by them too. `earlier_documents` are
    those whose numbers they do not hold any more.
    """

    member_number: str
    person: Person
    nominees: tuple[NomineePerson, ...] = ()
    guardian: GuardianPerson | None = None
    earlier_numbers: tuple[str, ...] = ()
    earlier_documents: tuple[EarlierDocument, ...] = ()


@dataclass(frozen=True, slots=True)
class CheckedNumber:
    """A document number that passed its check.

    `person_key` is the part that stays when a document is issued anew, by which the same person is recognised;
    `birth_year` and `sex_mark` are what the number itself says, where the pack's pattern names those parts.
    """

    document: str
    number: str
    person_key: str
    birth_year: int | None = None
    sex_mark: str = ""


@dataclass(frozen=True, slots=True)
class MemberRef:
    """A member as the books know them."""

    member_id: int
    product: str
    joined_on: date
    group_code: str
    status: MemberStatus


@dataclass(frozen=True, slots=True)
class NewMember:
    """A member to be taken in, whose person and number were reserved and whose enrolment was posted."""

    member_id: int
    enrolled_event: int
    product: str
    joined_on: date
    group_code: str
    document: VaultDocument


def clean_name(text: str, *, field: str) -> str:
    """Return a name as given, without blanks around it.

    Raises:
        UnusableName: it is empty, longer than LONGEST_NAME, or holds control characters.
    """
    name = text.strip()
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise UnusableName(field=field, most=LONGEST_NAME)
    return name


def ascii_digits(text: str) -> str:
    """Return `text` with the decimal digits of every script written as 0 to 9."""
    return "".join(str(int(char)) if char.isdecimal() else char for char in text)


def compact_reference(text: str) -> str:
    """Return a member number as it is indexed: digits of any script as 0 to 9, blanks and hyphens left out."""
    if text.isascii() and text.isdigit():
        return text  # nearly every number, and the money path asks for each payment
    return ascii_digits("".join(text.split()).replace("-", ""))


def compact_number(text: str) -> str:
    """Return a document number in its one spelling: capitals, digits as 0 to 9, without blanks, -, / and full stops."""
    return ascii_digits(text.translate(_SEPARATORS)).upper()


def check_phone(text: str, country: str, *, field: str = "phone") -> str:
    """Return a telephone number in E.164 ("+250788123456").

    Args:
        text: as written, with or without the country's code, with blanks and brackets.
        country: the ISO 3166 code whose national spelling is understood; numbers of others need their +.
        field: the name of the field in refusals.

    Raises:
        UnusablePhone: it cannot be a number that somebody has.
    """
    try:
        parsed = phonenumbers.parse(text, country)
    except phonenumbers.NumberParseException:
        raise UnusablePhone(field=field, country=country) from None
    if not phonenumbers.is_valid_number(parsed):
        raise UnusablePhone(field=field, country=country)
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)


def check_document(
    text: str, *, document: str, validator: Validator, pattern: str | None = None, field: str = "number"
) -> CheckedNumber:
    """Return a document number in its one spelling, checked as far as can be without asking its issuer.

    Args:
        text: as written; blanks, hyphens, slashes and digits of other scripts are understood.
        document: the pack's name for the kind of document.
        validator: a module of python-stdnum, or "pattern".
        pattern: a regular expression that the whole number must match as well. Its groups `person`, `birth_year` and
            `sex` name the part that stays when the document is issued anew, and what the number says of its holder.
        field: the name of the field in refusals.

    Raises:
        CheckDigitWrong: the check digit does not fit.
        DocumentMalformed: anything else is wrong with it.
    """
    number = compact_number(text)
    if not number or len(number) > LONGEST_DOCUMENT_NUMBER:
        raise DocumentMalformed(field=field, document=document)
    if validator != _PATTERN:
        try:
            number = _VALIDATORS[validator](number)
        except InvalidChecksum:
            raise CheckDigitWrong(field=field, document=document) from None
        except ValidationError:
            raise DocumentMalformed(field=field, document=document) from None
    if pattern is None:
        return CheckedNumber(document, number, number)
    found = re.fullmatch(pattern, number, re.ASCII)
    if found is None:
        raise DocumentMalformed(field=field, document=document)
    parts = found.groupdict()
    year = parts.get("birth_year")
    return CheckedNumber(
        document, number, parts.get("person") or number, int(year) if year else None, parts.get("sex") or ""
    )
