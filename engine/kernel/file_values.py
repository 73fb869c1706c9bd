"""Single values of files from outside: amounts, currencies, days. Each is read whole or refused. Pure."""

import hashlib
import re
from datetime import date
from decimal import Decimal

from engine.kernel.amounts import Amount, Asset, NotWholeUnits
from engine.kernel.files import Wrong

DIGITS_MAX = 24
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)")
_ISO_DAY = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:T[0-9:.]+)?(?:Z|[+-][0-9]{2}:[0-9]{2})?")
YEAR_MIN, YEAR_MAX = 1970, 2199


def sha256_of(raw: bytes) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    return hashlib.sha256(raw).hexdigest()


def currency_of(code: str, field: str, *, row: int | None = None) -> Asset:
    """Return the currency with ISO 4217 code `code`; Wrong if there is none."""
    try:
        return Asset.currency(code)
    except KeyError:
        raise Wrong(field, "currency-unknown", f"It is {code[:8]!r}.", row=row) from None


def decimal_of(text: str, field: str, *, row: int | None = None) -> Decimal:
    """Return a plain decimal with a point, as XML Schema writes it; Wrong if it is none."""
    if len(text) > DIGITS_MAX * 2 or not _DECIMAL.fullmatch(text):
        raise Wrong(field, "malformed", "It is no plain decimal number.", row=row)
    return Decimal(text)


def minor_units(text: str, asset: Asset, field: str, *, row: int | None = None) -> int:
    """Return an amount in major units, of either sign, in smallest units; nothing is rounded; Wrong if it is none."""
    decimal_of(text, field, row=row)
    if len(text) > DIGITS_MAX:
        raise Wrong(field, "malformed", "The amount is too large to be one.", row=row)
    try:
        return Amount.parse(text, asset).units
    except NotWholeUnits:
        detail = f"{asset.symbol} has {asset.scale} decimals."
        raise Wrong(field, "too-many-decimals", detail, row=row) from None


def iso_day(text: str, field: str, *, row: int | None = None) -> date:
    """Return the day of an ISO 8601 date or date and time, as it is written: the sender's own day, whatever its zone."""
    match = _ISO_DAY.fullmatch(text)
    try:
        day = date.fromisoformat(match[1]) if match else None
    except ValueError:
        day = None
    if day is None or not YEAR_MIN <= day.year <= YEAR_MAX:
        raise Wrong(field, "date-malformed", "It is no date like 2024-03-27.", row=row)
    return day
