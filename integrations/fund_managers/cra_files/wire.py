"""The recordkeeper's daily price file, read and written. Pure: bytes in, values out.

Source: the daily price files of the NPS central recordkeeper, those of June 2023 and the odd ones named here.
The layout of today is `MM/DD/YYYY,PFM001,<manager>,SM001009,<scheme>,32.6034`; earlier files had rows quoted
whole (2014-06-19), a seventh (2014-08-07) or a tenth column (2014-08-12), blanks around prices (2016-11-28),
another day's rows (2017-12-12), and compact dates with signed, zero-padded prices (2020-02-24).
"""

import csv
import hashlib
import io
import re
from collections import Counter
from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from engine.kernel.price_files import PriceFile, PriceFileRefused, PublishedPrice, RefusedRow, SkippedRow
from integrations.fund_managers.cra_files.dates import NamedDays, Order, days_in_name, rank_orders, resolve
from integrations.fund_managers.cra_files.rows import DataRow, Fault, read_row

BYTES_MAX = 5_000_000
ROWS_MAX = 20_000
DECIMALS_WRITTEN_MIN = 4

_LINE_END = re.compile(r"\r{0,2}\n|\r")  # bounded: a long run of CR must not take long
_END_OF_FILE_MARK = "\x1a"  # Ctrl-Z, left by old DOS programs


def read_price_file(raw: bytes, *, name: str, day: date | None) -> PriceFile:
    """Read a daily price file of any layout that is known to have occurred.

    Args:
        raw: the file as it came, at most BYTES_MAX bytes; UTF-8 or Windows-1252; lines end in LF, CRLF or CR.
        name: the file's name, for messages and, where `day` is None, for the day in it.
        day: the day the prices must be of.

    Returns:
        Prices of that day only, at most one a scheme, each written in its row in these digits; and each other
        row with its reason. A scheme's price given twice is accepted once. `prices` may be empty, if every row
        of the day is refused.

    Raises:
        PriceFileRefused: it cannot be read as text or is too large, its day is not known, no row is of its day,
            or one scheme has two different prices.

    """
    lines = _lines(raw, name)
    named = days_in_name(name)
    own_day = day or _day_from_name(named, name)
    rows = [found for number, line in enumerate(lines, 1) if (found := read_row(number, line))]
    data = [row for row in rows if isinstance(row, DataRow)]
    ranking = rank_orders((dates for row in data for dates in row.dates), own_day)
    if day is None and ranking[0] == "dmy":
        _check_name_tells_order(data, named, own_day, name)
    days = {row.number: _row_day(row, ranking) for row in data}
    if own_day not in days.values():
        others = Counter(other for other in days.values() if isinstance(other, date)).most_common(3)
        shown = ", ".join(f"{count} of {other}" for other, count in others) or "none"
        raise _refused(name, "date", "no-row-of-the-day", f"Its day is {own_day}; its rows: {shown}.")
    prices, refused = _accept(data, days, own_day, name)
    refused += [row for row in rows if isinstance(row, RefusedRow)]
    return PriceFile(
        name=name,
        sha256=hashlib.sha256(raw).hexdigest(),
        day=own_day,
        prices=tuple(prices),
        refused=tuple(sorted(refused, key=lambda row: row.row)),
        skipped=tuple(row for row in rows if isinstance(row, SkippedRow)),
    )


def _lines(raw: bytes, name: str) -> list[str]:
    if not raw:
        raise _refused(name, "file", "empty-file")
    if len(raw) > BYTES_MAX:
        raise _refused(name, "file", "too-large", f"It has {len(raw)} bytes; the most is {BYTES_MAX}.")
    if b"\0" in raw:
        raise _refused(name, "file", "nul-byte")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        try:
            text = raw.decode("cp1252")
        except UnicodeDecodeError:
            raise _refused(name, "file", "not-text") from None
    lines = _LINE_END.split(text.rstrip(_END_OF_FILE_MARK))
    rows_count = len(lines) - (not lines[-1])
    if rows_count > ROWS_MAX:
        raise _refused(name, "file", "too-many-rows", f"It has {rows_count} rows; the most is {ROWS_MAX}.")
    return lines


def _day_from_name(named: NamedDays, name: str) -> date:
    if not named.likely:
        raise _refused(name, "name", "no-day-in-name")
    if len(named.likely) > 1:
        raise _refused(name, "name", "day-unclear", f"It holds {' and '.join(map(str, named.likely))}.")
    return named.likely[0]


def _check_name_tells_order(data: Sequence[DataRow], named: NamedDays, day: date, name: str) -> None:
    """Refuse a file whose name and rows can both be read day first and month first: nothing says which it is."""
    for dates in (dates for row in data for dates in row.dates):
        if dates.get("dmy") == day and dates.get("mdy") in named.other:
            detail = f"Name and rows can mean {day} and {dates['mdy']}."
            raise _refused(name, "name", "day-unclear", detail)


def _row_day(row: DataRow, ranking: Sequence[Order]) -> date | Fault:
    """Return the day the row is of: all its dates must mean the same one."""
    if not row.dates:
        return Fault("date", "no-date")
    days = {resolve(dates, ranking) for dates in row.dates}
    if len(days) > 1 and None not in days:
        return Fault("date", "dates-differ")
    return (days.pop() if len(days) == 1 else None) or Fault("date", "date-malformed")


def _accept(
    data: Sequence[DataRow], days: dict[int, date | Fault], own_day: date, name: str
) -> tuple[list[PublishedPrice], list[RefusedRow]]:
    """Sort the rows into prices of `own_day` and refusals; raise if one scheme has two prices.

    A row refused for its manager code still speaks: its price must not contradict the scheme's other one.
    """
    prices: list[PublishedPrice] = []
    refused: list[RefusedRow] = []
    first_price: dict[str, Decimal] = {}
    accepted: set[str] = set()
    for row in data:
        row_day = days[row.number]
        if isinstance(row_day, Fault):
            refused.append(row.refused(row_day.field, row_day.reason))
            continue
        if row_day != own_day:
            refused.append(row.refused("date", "another-day"))
            continue
        if isinstance(row.price, Fault):
            refused.append(row.refused(row.price.field, row.price.reason))
            continue
        known = first_price.setdefault(row.scheme_code, row.price)
        if known != row.price:
            detail = f"{row.scheme_code} has {known} and {row.price} on {own_day}."
            raise _refused(name, "price", "two-prices", detail, row=row.number)
        if isinstance(row.manager_code, Fault):
            refused.append(row.refused(row.manager_code.field, row.manager_code.reason))
        elif row.scheme_code in accepted:
            refused.append(row.refused("scheme_code", "repeated-row"))
        else:
            accepted.add(row.scheme_code)
            prices.append(
                PublishedPrice(
                    fund_code=row.scheme_code,
                    manager_code=row.manager_code,
                    name=row.scheme_name,
                    price_on=own_day,
                    price=row.price,
                    row=row.number,
                    manager_name=row.manager_name,
                )
            )
    return prices, refused


def _refused(name: str, field: str, reason: str, detail: str = "", *, row: int | None = None) -> PriceFileRefused:
    return PriceFileRefused(file=name, row=row, field=field, reason=reason, detail=detail)


def write_price_file(prices: Sequence[PublishedPrice], day: date) -> bytes:
    """Write prices of `day` in the recordkeeper's present layout, one row each, in the order given.

    Prices have four decimals, or more where they need them; their `row` numbers are not used.

    Raises:
        ValueError: a price is not of `day`, or the file would not read back as these prices.

    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    for price in prices:
        if price.price_on != day:
            raise ValueError(f"the price of {price.fund_code} is of {price.price_on}, not of {day}")
        exponent = price.price.as_tuple().exponent
        scale = max(DECIMALS_WRITTEN_MIN, -exponent) if isinstance(exponent, int) else 0
        writer.writerow(
            [
                day.strftime("%m/%d/%Y"),
                price.manager_code,
                price.manager_name,
                price.fund_code,
                price.name,
                f"{price.price:.{scale}f}",
            ]
        )
    raw = out.getvalue().encode()
    _check_reads_back(raw, prices, day)
    return raw


def _check_reads_back(raw: bytes, prices: Sequence[PublishedPrice], day: date) -> None:
    def facts(price: PublishedPrice) -> tuple[str, str, str, str, Decimal]:
        return price.fund_code, price.manager_code, price.manager_name, price.name, price.price

    if not prices:
        return
    try:
        read = read_price_file(raw, name="prices", day=day)
    except PriceFileRefused as refusal:
        raise ValueError(f"the prices cannot be written: {refusal}") from refusal
    if list(map(facts, read.prices)) != list(map(facts, prices)):
        raise ValueError("the prices cannot be written: they would read back differently")
