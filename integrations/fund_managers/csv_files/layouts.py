"""The terms in which a manager's files are described. A layout is data: packs bring their own. Pure."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

Mark = Annotated[str, Meta(min_length=1, max_length=20)]


class FileKind(StrEnum):
    """What a file is about."""

    ORDERS = "orders"
    EXECUTIONS = "executions"
    PRICES = "prices"
    HOLDINGS = "holdings"


# What a record of each kind may say, and what it must.
FIELDS: Mapping[FileKind, frozenset[str]] = {
    FileKind.ORDERS: frozenset({"order_ref", "account", "fund", "side", "amount", "units", "currency"}),
    FileKind.EXECUTIONS: frozenset(
        {"order_ref", "deal_ref", "account", "fund", "side", "units", "price", "amount", "fees", "currency",
         "traded_on", "settles_on", "extent"}
    ),
    FileKind.PRICES: frozenset({"fund", "name", "price_on", "price", "status", "bid", "offer", "units_in_issue"}),
    FileKind.HOLDINGS: frozenset({"account", "fund", "units"}),
}  # fmt: skip
NEEDED: Mapping[FileKind, frozenset[str]] = {
    FileKind.ORDERS: frozenset({"order_ref", "fund", "side", "amount", "units", "currency"}),
    FileKind.EXECUTIONS: frozenset(
        {"order_ref", "deal_ref", "fund", "side", "units", "price", "amount", "currency", "traded_on"}
    ),
    FileKind.PRICES: frozenset({"fund", "price_on", "price"}),
    FileKind.HOLDINGS: frozenset({"account", "fund", "units"}),
}
HEADER_FIELDS = frozenset({"kind", "sender", "sequence", "day", "message_ref", "function"})


class Records(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One kind of file: the word its header has for it, its columns from left to right, and what the trailer's total is of.

    A column that is not one of the kind's fields is named "-" and is left out.
    """

    word: Mark
    columns: Annotated[tuple[str, ...], Meta(min_length=1)]
    total_of: str


class ManagerLayout(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How one manager writes its files, and how it wants ours.

    `day_format` is that of strptime. A header has its `header` fields behind its mark; its `sequence` counts the sender's files
    of one kind. `official` are the words of a price's status that make it one to deal at, `estimated` those that do not;
    `full` and `partial` those of an order's extent; `replaces` the word of a header's function that corrects prices.
    """

    name: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{1,40}$")]
    source: str
    files: Mapping[FileKind, Records]
    header: tuple[str, ...] = ("kind", "sender", "sequence", "day", "message_ref", "function")
    header_mark: Mark = "H"
    record_mark: Mark = "D"
    trailer_mark: Mark = "T"
    delimiter: Annotated[str, Meta(min_length=1, max_length=1)] = ","
    decimal_mark: Literal[".", ","] = "."
    day_format: str = "%Y-%m-%d"
    subscribe: Mark = "S"
    redeem: Mark = "R"
    official: tuple[str, ...] = ("OFFICIAL",)
    estimated: tuple[str, ...] = ("ESTIMATED",)
    full: tuple[str, ...] = ("FULL",)
    partial: tuple[str, ...] = ("PARTIAL",)
    replaces: str = "REPL"

    def __post_init__(self) -> None:
        unknown = set(self.header) - HEADER_FIELDS
        if unknown or not {"kind", "sender", "sequence", "day"} <= set(self.header):
            raise ValueError("a header has kind, sender, sequence and day, and may have message_ref and function")
        for kind, records in self.files.items():
            named = [column for column in records.columns if column != "-"]
            if len(set(named)) != len(named):
                raise ValueError(f"a column of {kind} stands twice")
            if unknown := set(named) - FIELDS[kind]:
                raise ValueError(f"{kind} has no {', '.join(sorted(unknown))}")
            if missing := NEEDED[kind] - set(named):
                raise ValueError(f"{kind} needs {', '.join(sorted(missing))}")
            if records.total_of not in named:
                raise ValueError(f"the total of {kind} is of one of its columns")
        if self.delimiter == self.decimal_mark:
            raise ValueError("one mark cannot part both fields and decimals")


def layout_of(data: Mapping[str, object]) -> ManagerLayout:
    """Return the layout that a pack's data describes; msgspec.ValidationError names what is wrong and where."""
    return msgspec.convert(data, ManagerLayout)


PLAIN = ManagerLayout(
    name="plain",
    source="Akiba's own, after what small managers exchange by SFTP: a marked header, records, a trailer with count and total",
    files={
        FileKind.ORDERS: Records(
            word="ORDERS",
            columns=("order_ref", "account", "fund", "side", "amount", "units", "currency"),
            total_of="amount",
        ),
        FileKind.EXECUTIONS: Records(
            word="EXECUTIONS",
            columns=(
                "order_ref", "deal_ref", "fund", "side", "units", "price", "amount", "fees", "currency", "traded_on",
                "settles_on", "extent",
            ),
            total_of="units",
        ),
        FileKind.PRICES: Records(
            word="PRICES",
            columns=("fund", "name", "price_on", "price", "bid", "offer", "status", "units_in_issue"),
            total_of="price",
        ),
        FileKind.HOLDINGS: Records(word="HOLDINGS", columns=("account", "fund", "units"), total_of="units"),
    },
)  # fmt: skip
"""A layout for managers that have none of their own."""
