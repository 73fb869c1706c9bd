"""What a person's application to join holds, as partners and files send it."""

from datetime import date
from typing import Annotated

from msgspec import Meta, Struct

from engine.identity.rules import Sex

WHOLE_BP = 10_000
MOST_NOMINEES = 20


class DocumentGiven(Struct, frozen=True, forbid_unknown_fields=True):
    """An identity document as the person shows it."""

    document: Annotated[str, Meta(max_length=40, examples=["aadhaar"])]
    number: Annotated[str, Meta(max_length=60, examples=["2345 6789 0124"])]


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


class Application(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """A person's application to join a product."""

    product: Annotated[str, Meta(max_length=40, examples=["nps-lite"])]
    full_name: Annotated[str, Meta(max_length=200, description="as the person writes it", examples=["Lakshmi Devi"])]
    born_on: Annotated[date, Meta(examples=["1987-04-15"])]
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
