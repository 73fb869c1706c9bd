"""The tables of an export: their columns, how a value is written in CSV, and their Frictionless description."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal

from engine.audit.rules.leaves import instant_text, member_name

ColumnType = Literal["string", "integer", "number", "boolean", "date", "datetime", "member"]
RowSource = Callable[[Any], AsyncIterator[Sequence[object]]]
"""Given the session (an `AsyncSession`), yields rows."""

PROFILE = "https://datapackage.org/profiles/2.0/datapackage.json"
NUMBER_SCALE = 8
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\0", "'")


@dataclass(frozen=True, slots=True)
class Column:
    """A column. "number" is an exact decimal; "member" is a member id, written as the member's pseudonym."""

    name: str
    type: ColumnType
    description: str


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """Columns whose values stand in `columns` of another table."""

    fields: tuple[str, ...]
    table: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ExportTable:
    """A table of an export, whose data belong to another capability.

    `source` is SQL, or a function that yields rows. SQL runs in the tenant's session and may use the parameters
    %(tenant_id)s, %(since)s, %(until)s (dates; the first day is included, the last is not) and %(size)s (entries of
    the log), and writes a per cent sign as %%. Either gives rows in a fixed order, their values in the order of
    `columns`: int, str, bool, Decimal, date, aware datetime or None.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    source: str | RowSource
    primary_key: tuple[str, ...]
    foreign_keys: tuple[ForeignKey, ...] = ()


def plain(value: object, type_: ColumnType) -> str | None:
    """Return a value as text, before it is guarded; None stays None."""
    if value is None:
        return None
    if type_ == "member":
        assert isinstance(value, int), value
        return member_name(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, datetime):
        return instant_text(value)
    return value.isoformat() if isinstance(value, date) else str(value)


def guarded(text: str) -> str:
    """Return text that no spreadsheet takes for a formula; `unguarded` gives the text again."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def unguarded(text: str) -> str:
    """Return the text that `guarded` was given."""
    return text.removeprefix("'")


def describe_table(table: ExportTable, *, size_bytes: int, sha256: str) -> dict[str, Any]:
    """Return a table's entry among the resources of a data package (Data Package v2, Table Schema)."""
    schema: dict[str, Any] = {
        "fields": [
            {
                "name": column.name,
                "type": "string" if column.type == "member" else column.type,
                "description": column.description,
                **({"constraints": {"required": True}} if column.name in table.primary_key else {}),
            }
            for column in table.columns
        ],
        "primaryKey": list(table.primary_key),
    }
    if table.foreign_keys:
        schema["foreignKeys"] = [
            {"fields": list(key.fields), "reference": {"resource": key.table, "fields": list(key.columns)}}
            for key in table.foreign_keys
        ]
    return {
        "name": table.name,
        "type": "table",
        "title": table.title,
        "path": f"data/{table.name}.csv",
        "format": "csv",
        "mediatype": "text/csv",
        "encoding": "utf-8",
        "bytes": size_bytes,
        "hash": f"sha256:{sha256}",
        "schema": schema,
    }


def describe_package(
    name: str,
    resources: Iterable[Mapping[str, Any]],
    *,
    created: datetime,
    log: Mapping[str, Any],
    period: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the content of datapackage.json. `created` is when the checkpoint was signed, so that bytes repeat."""
    return {
        "$schema": PROFILE,
        "name": name,
        "title": "Books and audit log",
        "description": (
            "Events, transfers and balances of a scheme, with the log that proves them. Check it with "
            "`python verify.py .`; members are pseudonyms; amounts are exact decimals in major units."
        ),
        "version": "1.0.0",
        "created": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "log": dict(log),
        "period": dict(period),
        "resources": list(resources),
    }


def _columns(*columns: tuple[str, ColumnType, str]) -> tuple[Column, ...]:
    return tuple(Column(*column) for column in columns)


EVENTS = ExportTable(
    "events",
    "Events, in the order of the log",
    _columns(
        ("index", "integer", "The place of the event's entry in the log, from 0"),
        ("event", "string", "The event's id"),
        ("kind", "string", "What happened"),
        ("member", "string", "Whose event it is: a pseudonym, or house for the scheme's own"),
        ("business_date", "date", "The day it counts for"),
        ("recorded_at", "datetime", "When it was recorded"),
        ("actor", "string", "Who did it"),
        ("pack", "string", "SHA-256 of the scheme's rules then in force"),
        ("decision", "string", "Which rules decided, as JSON"),
        ("body", "string", "What else is known of it, as JSON; numbers are strings of their digits"),
        ("transfers", "integer", "How many transfers it has"),
        ("transfers_root", "string", "RFC 6962 root of its canonical transfer rows"),
    ),
    "",
    ("index",),
)
TRANSFERS = ExportTable(
    "transfers",
    "Transfers: each debits one account and credits another of the same asset",
    _columns(
        ("event", "string", "The event it belongs to"),
        ("line", "integer", "Its number within event and member"),
        ("member", "string", "Whose accounts it touches"),
        ("debit", "string", "The account debited"),
        ("credit", "string", "The account credited"),
        ("asset", "string", "What was moved: a currency, or units of a fund"),
        ("amount", "number", "How much, in major units; above zero"),
    ),
    "",
    ("event", "member", "line"),
    (ForeignKey(("event",), "events", ("event",)),),
)
BALANCES = ExportTable(
    "balances",
    "Every account with its opening balance, what moved in the period, and its balance at the end",
    _columns(
        ("account", "string", "The account, as in transfers and journal"),
        ("asset", "string", "What is counted"),
        ("opening", "number", "Debits less credits before the period; a debt to members is negative"),
        ("debits", "number", "Debited in the period"),
        ("credits", "number", "Credited in the period"),
        ("balance", "number", "Opening balance, plus debits, less credits"),
    ),
    "",
    ("account", "asset"),
)
CONTROL_TOTALS = ExportTable(
    "control_totals",
    "Counts and sums of the period by kind of event and asset",
    _columns(
        ("kind", "string", "The kind of event"),
        ("asset", "string", "The asset moved; none for events that move nothing"),
        ("events", "integer", "How many events of the kind move the asset"),
        ("transfers", "integer", "In how many transfers"),
        ("amount", "number", "How much, in major units"),
    ),
    "",
    ("kind", "asset"),
)
NO_ASSET = "none"
