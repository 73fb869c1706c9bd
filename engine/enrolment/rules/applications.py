"""What a person's application to join holds, as partners and files send it."""

import re
from datetime import date
from typing import Annotated, Literal, get_args

import msgspec
from msgspec import Meta, Struct

from engine.enrolment.rules.charts import Frequency
from engine.identity.rules import Sex

WHOLE_BP = 10_000
MOST_NOMINEES = 20


class DocumentGiven(Struct, frozen=True, forbid_unknown_fields=True):
    """An identity document as the person shows it."""

    document: Annotated[str, Meta(max_length=40, examples=["aadhaar"])]
    number: Annotated[str, Meta(max_length=60, examples=["2345 6789 0124"])]
    expires_on: date | None = None
    replaces: Annotated[
        str,
        Meta(max_length=60, description="the earlier number of the same document, where it was issued with a new one"),
    ] = ""


class NomineeGiven(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Somebody who receives a share of the death benefit, in basis points (1/10000)."""

    full_name: Annotated[str, Meta(max_length=200, examples=["Meera Devi"])]
    relationship: Annotated[str, Meta(max_length=60, examples=["daughter"])]
    share_bp: Annotated[int, Meta(ge=1, le=WHOLE_BP, examples=[10_000])]
    born_on: date | None = None
    phone: Annotated[str, Meta(max_length=40)] = ""


class ConsentGiven(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An agreement: to which text, in which language and version the person saw it, and through which channel."""

    consent: Annotated[str, Meta(max_length=40, examples=["personal-data"])]
    language: Annotated[str, Meta(max_length=20, examples=["en"])]
    version: Annotated[str, Meta(pattern=r"^[0-9a-f]{16}$", examples=["0123456789abcdef"])]
    channel: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{0,39}$", examples=["agent"])]


class GuardianGiven(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who opens the account of a child: a parent or guardian, by a document of their own."""

    full_name: Annotated[str, Meta(max_length=200, examples=["Uwase Marie"])]
    relationship: Annotated[str, Meta(max_length=40, examples=["mother"])]
    document: Annotated[str, Meta(max_length=40, examples=["nid"])]
    number: Annotated[str, Meta(max_length=60, examples=["1 1987 7 0012345 0 12"])]
    expires_on: date | None = None
    phone: Annotated[str, Meta(max_length=40)] = ""


class FactDeclared(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a person declares of themselves: whether a fact holds, and the last day it held where it ended."""

    fact: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{0,39}$", examples=["income-tax-payer"])]
    holds: bool
    until: date | None = None


class UndertakingGiven(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a member undertakes to pay: a slab of the scheme's chart, where it has several, and how often."""

    slab: Annotated[str, Meta(max_length=40, examples=["1000"])] = ""
    frequency: Annotated[Frequency, Meta(examples=["monthly"])]


class Application(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """A person's application to join a product."""

    product: Annotated[str, Meta(max_length=40, examples=["nps-lite"])]
    full_name: Annotated[str, Meta(max_length=200, description="as the person writes it", examples=["Lakshmi Devi"])]
    born_on: Annotated[date, Meta(examples=["1987-04-15"])]
    birth_known: Annotated[
        Literal["day", "year"], Meta(description="year: the day of birth is not known, and born_on any day of the year")
    ] = "day"
    sex: Sex = "unstated"
    phone: Annotated[
        str, Meta(max_length=40, description="as dialled in the country, or with +", examples=["098765 43210"])
    ] = ""
    documents: Annotated[tuple[DocumentGiven, ...], Meta(max_length=10)] = ()
    group: Annotated[str, Meta(max_length=40, examples=["sahyog"])] = ""
    language: Annotated[str, Meta(max_length=20, examples=["hi"])] = ""
    address: Annotated[str, Meta(max_length=500)] = ""
    nominees: Annotated[tuple[NomineeGiven, ...], Meta(max_length=MOST_NOMINEES)] = ()
    consents: Annotated[tuple[ConsentGiven, ...], Meta(max_length=20)] = ()
    guardian: GuardianGiven | None = None
    person_class: Annotated[str, Meta(max_length=40, examples=["refugee"])] = ""
    resident_since: date | None = None
    monthly_income: Annotated[
        str,
        Meta(pattern=r"^([0-9]{1,15}(\.[0-9]{1,4})?)?$", description="declared, in major units", examples=["12000.00"]),
    ] = ""
    declared: Annotated[tuple[FactDeclared, ...], Meta(max_length=20)] = ()
    group_proof: Annotated[str, Meta(max_length=40, examples=["union-letter"])] = ""
    channel: Annotated[
        str, Meta(pattern=r"^([a-z][a-z0-9-]{0,39})?$", description="through which one joins", examples=["agent"])
    ] = ""
    years_paid: Annotated[int, Meta(ge=0, le=120, description="completed years paid for before joining")] = 0
    undertaking: UndertakingGiven | None = None


_ALLOWED = {
    "born_on": "allowed: a date as YYYY-MM-DD",
    "birth_known": "allowed: day, year",
    "monthly_income": "allowed: an amount in major units, as 12000.00",
    "frequency": f"allowed: {', '.join(get_args(Frequency))}",
    "fact": "allowed: a short name of lower-case letters, digits and -",
    "sex": f"allowed: {', '.join(get_args(Sex))}",
    "share_bp": f"allowed: a whole number from 1 to {WHOLE_BP}",
    "version": "allowed: the 16 hexadecimal digits that name the version of the text",
    "channel": "allowed: a short name of lower-case letters, digits and -",
}


def plain_words(error: msgspec.ValidationError) -> tuple[str, str]:
    """Return (field, reason) of why something is no application, without repeating what was given.

    A field is written as in `nominees[0].share_bp`; it is "body" where the whole is at fault.
    """
    said, _, place = str(error).partition(" - at ")
    field = place.strip("`").removeprefix("$").lstrip(".")
    if named := re.fullmatch(r"Object (missing required|contains unknown) field `(\w{1,40})`", said):
        field = f"{field}.{named[2]}" if field else named[2]
        return field, "is missing" if named[1].startswith("missing") else "is not a known field"
    allowed = _ALLOWED.get(field.rpartition(".")[2])
    if allowed is None:
        allowed = said.replace("`", "") if said.startswith("Expected") else "is not allowed here"
    return field or "body", allowed
