"""What a merger says: which product, pot and fund of the scheme that goes is which of the one it goes into. Pure."""

import hashlib
from collections.abc import Mapping
from datetime import date
from fractions import Fraction
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from engine.mergers.errors import UnusableTerms

Code = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$")]
Group = Annotated[str, Meta(max_length=40)]
Ratio = Annotated[str, Meta(pattern=r"^[0-9]{1,9}(\.[0-9]{1,12})?$", examples=["1.25"])]


class ProductPlace(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where a product goes: which pot each old one becomes, and which group; a group that is not named keeps its name."""

    product: Code
    into: Code
    pots: Annotated[dict[Code, Code], Meta(min_length=1, max_length=50)]
    groups: Annotated[dict[Group, Group], Meta(max_length=1000)] = {}


class FundPlace(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a unit of a fund becomes: `ratio` units of `into`, counted to `decimals` and rounded down."""

    fund: Code
    into: Code
    ratio: Ratio = "1"
    decimals: Annotated[int, Meta(ge=0, le=8)]

    def factor(self, old_decimals: int) -> tuple[int, int]:
        """Return (numerator, denominator): smallest units of the new fund for one of the old, exactly; what is left is rounded down."""
        exact = Fraction(self.ratio) * Fraction(10) ** (self.decimals - old_decimals)
        return exact.numerator, exact.denominator


class MergerTerms(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What two people stand for as a scheme goes into another.

    `into_scheme` is the other's code, `source` the name by which it will know this one; from `effective_on` on members are handed over,
    as each is ready. Their money is owed to the role `owed_to` of this scheme, and lies with the other in its collection
    account `channel`. `consents` says which of the other's consents an old one counts as, "" for none; others keep their name.
    """

    into_scheme: Code
    source: Annotated[str, Meta(min_length=1, max_length=80, pattern=r"^[^\r\n\"\\]+$")]
    effective_on: date
    products: Annotated[tuple[ProductPlace, ...], Meta(min_length=1, max_length=50)]
    funds: Annotated[tuple[FundPlace, ...], Meta(max_length=200)] = ()
    channel: Code
    owed_to: Code
    consents: Annotated[dict[Code, Annotated[str, Meta(max_length=40)]], Meta(max_length=50)] = {}


def check_terms(terms: MergerTerms) -> None:
    """Refuse terms that say two things of one product or fund, or have units become nothing: UnusableTerms."""
    for what, codes in (
        ("product", [one.product for one in terms.products]),
        ("fund", [one.fund for one in terms.funds]),
    ):
        if twice := sorted({code for code in codes if codes.count(code) > 1}):
            raise UnusableTerms(reason=f"the {what} {twice[0]} stands twice")
    for one in terms.funds:
        if Fraction(one.ratio) == 0:
            raise UnusableTerms(reason=f"units of {one.fund} become none")


def terms_digest(scheme: str, terms: MergerTerms) -> str:
    """Return the SHA-256 that stands for the terms by which a scheme goes."""
    return hashlib.sha256(scheme.encode() + b"\n" + msgspec.json.encode(terms, order="sorted")).hexdigest()


class Place(Struct, frozen=True, order=True):
    """An account's place in the scheme that takes over; the fund is "" of money."""

    product: str
    pot: str
    origin: str
    fund: str


class ReceiptLine(Struct, frozen=True, order=True):
    """What members hold of one product, pot, origin and fund ("": money): smallest units."""

    product: str
    pot: str
    origin: str
    fund: str
    amount: int


class MergerReceipt(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a scheme says that it has taken in of another: of which files, how many members, and what was posted to them."""

    version: Annotated[int, Meta(ge=1, le=1)]
    scheme: Code
    opening: int
    digest: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
    members: Annotated[int, Meta(ge=0)]
    lines: Annotated[tuple[ReceiptLine, ...], Meta(max_length=100_000)]


class Head(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What stands open beside sealed files: who hands over to whom, which round, and the digest of what is inside."""

    version: Annotated[int, Meta(ge=1, le=1)]
    from_scheme: Code
    into_scheme: Code
    merger: int
    round: int
    digest: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]

    def seal_place(self, name: str) -> str:
        """Return the place that a file of it is sealed for."""
        return seal_place(self.from_scheme, self.merger, self.round, name)


def seal_place(scheme: str, merger: int, round_no: int, name: str) -> str:
    """Return the place that a file is sealed for: another's file, or one under another name, does not open."""
    return f"{scheme}:{merger}:{round_no}:{name}"


def first_difference(handed: Mapping[Place, int], taken: Mapping[Place, int]) -> str:
    """Return the first place in which what was handed over is not what was taken in, in words; "" where all agrees."""
    for place in sorted(handed.keys() | taken.keys()):
        mine, theirs = handed.get(place, 0), taken.get(place, 0)
        if mine != theirs:
            name = " ".join(part for part in (place.product, place.pot, place.origin, place.fund) if part)
            return f"{name}: {mine} and {theirs} smallest units"
    return ""
