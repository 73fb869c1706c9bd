"""`pack.toml`: who a scheme is. Types, and what must hold between their values."""

import re
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Meta, Struct

from engine.kernel.amounts import Asset
from engine.kernel.calendars import Weekday
from engine.tenancy.errors import PackProblem
from engine.tenancy.rules.decoding import CHECK, shown, under, unknown
from engine.tenancy.rules.figures import SeriesNamed, TableNamed

PACK_CODE = re.compile(r"^[a-z]{2}-[a-z0-9-]{1,40}$")
ORIGINS = ("own", "employer", "state-match", "gift", "insurer", "operator")
"""The colours of money the ledger keeps apart to the end; a product names those it takes."""


def _currency_problem(code: str) -> str | None:
    try:
        Asset.currency(code)
    except KeyError:
        return f"{shown(code)} is not a currency of ISO 4217, such as KES"
    return None


def _zone_problem(name: str) -> str | None:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return f"{shown(name)} is not a time zone of the IANA database, such as Africa/Nairobi"
    return None


def _year_start_problem(text: str) -> str | None:
    try:
        date.fromisoformat(f"2023-{text}")  # a common year: a scheme year starts every year
    except ValueError:
        return f"{shown(text)} is not a day that every year has, as MM-DD"
    return None


Code = Annotated[
    str, Meta(pattern=r"^[a-z][a-z0-9-]{0,39}$", description="a short name of lower-case letters, digits and -")
]
Name = Annotated[str, Meta(min_length=1, max_length=120, description="text of 1 to 120 characters")]
Source = Annotated[str, Meta(min_length=3, description="where the figures are from, in words")]
Language = Annotated[
    str, Meta(pattern=r"^[a-z]{2,3}(-[A-Z][a-z]{3})?(-[A-Z]{2})?$", description="a language tag such as en or pt-BR")
]
LocaleName = Annotated[
    str,
    Meta(
        pattern=r"^[a-z]{2,3}(_[A-Z][a-z]{3})?_[A-Z]{2}(-u-nu-(latn|arab|arabext|deva|beng))?$",
        description="a locale such as en_KE, or ar_EG-u-nu-latn, which names its digits",
    ),
]
Host = Annotated[
    str,
    Meta(
        pattern=r"^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$",
        max_length=253,
        description="a host name in lower case without port, such as pension.example",
    ),
]
Country = Annotated[str, Meta(pattern=r"^[A-Z]{2}$", description="a country of ISO 3166-1 in two capitals")]
LogOrigin = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9.-]+(/[a-z0-9._-]+)+$",
        max_length=120,
        description="the name of the audit log: a host and a path without scheme, such as pension.example/log",
    ),
]
Port = Annotated[str, Meta(pattern=r"^[A-Z][A-Za-z]{1,40}$", description="the name of a port such as FundManager")]
Currency = Annotated[
    str,
    Meta(pattern=r"^[A-Z]{3}$", description="a currency of ISO 4217, such as KES", extra={CHECK: _currency_problem}),
]
TimeZone = Annotated[str, Meta(min_length=1, extra={CHECK: _zone_problem})]
YearStart = Annotated[
    str, Meta(pattern=r"^\d\d-\d\d$", description="a day as MM-DD, such as 04-01", extra={CHECK: _year_start_problem})
]


class Regulator(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who supervises the scheme."""

    name: Name
    short_name: Name


class MatchingRule(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How lines of a channel's statements and receipts belong together where one line is not one receipt.

    "reference": a line of a receipt's reference whose amount differs by at most `within`. "same-reference": several lines
    of one reference are its receipt. "batch-reference": the lines that bear the reference of a batch are the receipts whose
    sender named it, all that no other line shows. "day-total": one line is the sum of all receipts of a day that no line shows. The
    line's day is at most `days` after the receipt's (of several lines, each). What agrees to the cent is matched; what
    differs by at most `within` smallest units is proposed for `cause`, and a person confirms it.
    """

    by: Literal["reference", "same-reference", "batch-reference", "day-total"]
    days: Annotated[int, Meta(ge=0, le=31)]
    within: Annotated[int, Meta(ge=0)] = 0
    cause: Code | Literal[""] = ""

    def __post_init__(self) -> None:
        """Check that a difference has its cause."""
        if bool(self.within) != bool(self.cause):
            raise ValueError("within needs a cause, and a cause needs it")
        if self.by == "reference" and not self.within:
            raise ValueError("matching by reference needs within: what agrees to the cent is matched without a rule")


class Channel(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A way money is collected: the account it arrives in, as the account's statements name it, and what they come as.

    `adapter` is the protocol by which payers are asked for money and payments in are confirmed; empty, payments are
    only reported to the engine. Where it is asked and what it is entered with are no part of a pack. `totals_declared`:
    a file of its payments must end with their count and total. `layout` is the pack's own of its statements, where they come
    as a "table".
    """

    code: Code
    name: Name
    account: Name
    statements: Code = "table"
    layout: Code | Literal[""] = ""
    adapter: Code | Literal[""] = ""
    matching: tuple[MatchingRule, ...] = ()
    totals_declared: bool = False

    @property
    def kept_by(self) -> Literal["bank", "wallet"]:
        """Return who keeps the account: where payers are asked for money by a protocol, its operator."""
        return "wallet" if self.adapter else "bank"


class LineCause(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Why money of a statement is no payment of a member's: a bank's charge, interest, money of others to be given back.

    `party` is the role that bears it, or whom it belongs to. `most` is the largest amount that may be booked for it, in
    smallest units of the currency; without it there is no limit.
    """

    code: Code
    name: Name
    moves: Literal["in", "out", "either"]
    party: Code
    most: Annotated[int, Meta(ge=1)] | None = None


class MemberNumber(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The shape of member numbers: `digits` in all, the last a Luhn check digit, beginning with `prefix`."""

    digits: Annotated[int, Meta(ge=8, le=20)]
    prefix: Annotated[str, Meta(pattern=r"^\d{0,6}$", description="up to 6 digits")] = ""
    source: Source


class Pot(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A part of a member's account with rules of its own."""

    code: Code
    name: Name


class Product(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a member joins: pots, the colours of money it takes, its scheme year and the day it opened."""

    code: Code
    name: Name
    pots: Annotated[tuple[Pot, ...], Meta(min_length=1)]
    origins: Annotated[
        tuple[Literal["own", "employer", "state-match", "gift", "insurer", "operator"], ...], Meta(min_length=1)
    ]
    scheme_year_start: YearStart
    opened_on: date
    source: Source

    @property
    def pot_codes(self) -> tuple[str, ...]:
        """Return the codes of the pots, in their order."""
        return tuple(pot.code for pot in self.pots)

    def scheme_year(self, day: date) -> tuple[date, date]:
        """Return the scheme year that `day` lies in: its first day, and the first day of the next; cut where dates end."""
        month, first = (int(part) for part in self.scheme_year_start.split("-"))
        year = day.year if day >= date(day.year, month, first) else day.year - 1
        start = date(year, month, first) if year >= date.min.year else date.min
        return start, date(year + 1, month, first) if year < date.max.year else date.max


class OwnDay(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A day of the scheme's own calendar: off, or (`open`) a working day though the weekend or a holiday says otherwise."""

    date: date
    name: Name
    open: bool = False


class Manifest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who a scheme is. `languages` are in the scheme's order of preference, the first is what it falls back to."""

    name: Name
    short_name: Name
    country: Country
    currency: Currency
    time_zone: TimeZone
    calendar: Country
    phone_country: Country
    languages: Annotated[tuple[Language, ...], Meta(min_length=1)]
    locales: Mapping[Language, LocaleName]
    hosts: Annotated[tuple[Host, ...], Meta(min_length=1)]
    log_origin: LogOrigin
    regulator: Regulator
    roles: Mapping[Code, Name]
    adapters: Mapping[Port, Code] = {}
    channels: Annotated[tuple[Channel, ...], Meta(min_length=1)]
    line_causes: tuple[LineCause, ...] = ()
    member_number: MemberNumber
    products: Annotated[tuple[Product, ...], Meta(min_length=1)]
    weekend: tuple[Weekday, ...] = ("saturday", "sunday")
    own_days: tuple[OwnDay, ...] = ()
    series: tuple[SeriesNamed, ...] = ()
    tables: tuple[TableNamed, ...] = ()


def code_problems(pack: str, file: str) -> list[PackProblem]:
    """Return what is wrong with the name of a pack's folder, which is its tenant's code."""
    if PACK_CODE.match(pack):
        return []
    reason = f"the pack's folder {shown(pack)} is not named <country>-<scheme> in lower case, such as ke-mbao"
    return [PackProblem(file, "", reason)]


def manifest_problems(manifest: Manifest, pack: str, file: str) -> list[PackProblem]:
    """Return what does not fit together in a manifest whose every value is allowed by itself."""

    def problem(key: str, reason: str) -> None:
        found.append(PackProblem(file, key, reason))

    found = code_problems(pack, file)
    if not found and not pack.startswith(f"{manifest.country.lower()}-"):
        problem("country", f"{shown(manifest.country)} is not the country in the folder's name {pack}")
    for key, values in {
        "languages": manifest.languages,
        "weekend": manifest.weekend,
        "own_days": [day.date.isoformat() for day in manifest.own_days],
        "hosts": manifest.hosts,
        "channels": [channel.code for channel in manifest.channels],
        "line_causes": [cause.code for cause in manifest.line_causes],
        "products": [product.code for product in manifest.products],
        "series": [one.code for one in manifest.series],
        "tables": [one.code for one in manifest.tables],
        **{f"products[{row}].pots": one.pot_codes for row, one in enumerate(manifest.products, 1)},
        **{f"products[{row}].origins": one.origins for row, one in enumerate(manifest.products, 1)},
    }.items():
        found.extend(PackProblem(file, f"{key}[{row}]", reason) for row, reason in _repeated(values))
    for language in manifest.languages:
        if language not in manifest.locales:
            problem(under("locales", language), "is missing: the locale by which the language writes money and dates")
    for language, name in manifest.locales.items():
        if language not in manifest.languages:
            problem(under("locales", language), unknown(language, manifest.languages, what="a language of the pack"))
        elif name.partition("_")[0] != language.partition("-")[0]:
            problem(under("locales", language), f"{shown(name)} is a locale of another language")
    for row, cause in enumerate(manifest.line_causes, 1):
        if cause.party not in manifest.roles:
            problem(f"line_causes[{row}].party", unknown(cause.party, manifest.roles, what="a role of the pack"))
    causes = {one.code for one in manifest.line_causes}
    for row, channel in enumerate(manifest.channels, 1):
        for place, rule in enumerate(channel.matching, 1):
            if rule.cause and rule.cause not in causes:
                reason = unknown(rule.cause, causes, what="a cause of the pack")
                problem(f"channels[{row}].matching[{place}].cause", reason)
    number = manifest.member_number
    if number.digits - len(number.prefix) - 1 < 6:
        problem("member_number.prefix", "leaves fewer than 6 digits besides the check digit")
    return found


def _repeated(values: Iterable[str]) -> list[tuple[int, str]]:
    seen: dict[str, int] = {}
    found = []
    for row, value in enumerate(values, 1):
        if value in seen:
            found.append((row, f"{shown(value)} stands in row {seen[value]} already"))
        seen.setdefault(value, row)
    return found
