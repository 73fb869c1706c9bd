"""A table, read as a statement by its layout. Pure: bytes in, values out."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from itertools import pairwise

from engine.kernel.amounts import Asset
from engine.kernel.file_values import YEAR_MAX, YEAR_MIN, currency_of, minor_units, sha256_of
from engine.kernel.files import Wrong
from engine.kernel.statements import LARGEST_LINE, Side, Statement, StatementFile, StatementKind, StatementLine
from engine.kernel.table_layouts import Layout
from integrations.banking.tabular.rows import Cell, Row, rows_of

HEADER_WITHIN = 60  # rows
MOST_WRONGS = 50  # named at once
FEE = "fee"


@dataclass(frozen=True, slots=True)
class _Posting:
    """What one row of the table says: its lines, and the balance after them if it gives one."""

    row: int
    lines: tuple[StatementLine, ...]
    account: str
    balance: int | None

    @property
    def movement(self) -> int:
        return sum(line.movement for line in self.lines)


@dataclass(frozen=True, slots=True)
class _Table:
    """A table below its header: where each column is, and what the words above it say."""

    layout: Layout
    places: Mapping[str, int]
    labels: Mapping[str, str]

    def cell(self, cells: Sequence[Cell], name: str) -> Cell:
        place = self.places.get(name)
        return cells[place] if place is not None and place < len(cells) else ""

    def text(self, cells: Sequence[Cell], name: str) -> str:
        return str(self.cell(cells, name))

    def title(self, name: str) -> str:
        return self.layout.columns.titles().get(name, name)


def read_statement(raw: bytes, name: str, layout: Layout) -> StatementFile:
    """Return the table as one statement; its lines stand oldest first where the layout says which way the table runs.

    Raises:
        FileRefused: a title is missing, a value is wrong, or balances do not follow from one another.

    """
    try:
        statement = _read(raw, layout)
    except Wrong as wrong:
        raise wrong.refused(name) from wrong
    return StatementFile(name, sha256_of(raw), (statement,))


def _read(raw: bytes, layout: Layout) -> Statement:
    rows = rows_of(raw, layout)
    table = _find_table(rows, layout)
    currency: Asset | None = currency_of(layout.currency, "currency") if layout.currency else None
    postings: list[_Posting] = []
    wrongs: list[Wrong] = []
    not_booked = 0
    for number, cells in rows:
        if layout.trailer and _same(cells[0], layout.trailer):
            if not wrongs:
                _check_trailer(table, cells, number, postings, currency, len(postings) + not_booked)
            break
        try:
            currency = _currency(table, cells, number, currency)
            if not _is_booked(table, cells, number):
                not_booked += 1
                continue
            postings.append(_posting(table, cells, number, currency))
        except Wrong as wrong:
            wrongs.append(wrong)
            if len(wrongs) == MOST_WRONGS:
                break
    else:
        if layout.trailer and not wrongs:
            raise Wrong(layout.trailer, "no-trailer")
    if wrongs:
        wrongs[0].others = tuple(wrongs[1:])
        raise wrongs[0]
    if currency is None:
        raise Wrong("table", "no-content")
    _check_labels(table, postings, currency, len(postings) + not_booked)
    if layout.newest_first:
        postings.reverse()
    return _statement(table, postings, currency, not_booked)


def _find_table(rows: Iterator[Row], layout: Layout) -> _Table:
    """Read down to the header: the first row that holds every title of the layout."""
    titles = {name: _plain(title) for name, title in layout.columns.titles().items()}
    needed = {title for name, title in titles.items() if name not in layout.optional}
    above: list[list[Cell]] = []
    for number, cells in rows:
        found = [_plain(str(cell)) for cell in cells]
        if needed <= set(found):
            repeated = next((title for title in titles.values() if found.count(title) > 1), None)
            if repeated is not None:
                raise Wrong(repeated, "repeated", row=number)
            places = {name: found.index(title) for name, title in titles.items() if title in found}
            if layout.trailer_count is not None:
                counted = _plain(layout.trailer_count)
                if counted not in found:
                    raise Wrong("header", "unknown-layout", f"The layout {layout.name} needs: {layout.trailer_count}.")
                places["trailer_count"] = found.index(counted)
            return _Table(layout, places, _labels(above, layout))
        above.append(cells)
        if len(above) > HEADER_WITHIN:
            break
    seen = [{_plain(str(cell)) for cell in cells} for cells in above]
    best = max(seen, key=lambda one: len(one & needed), default=set())
    missing = ", ".join(title for title in layout.columns.titles().values() if _plain(title) in needed - best)
    raise Wrong("header", "unknown-layout", f"The layout {layout.name} needs: {missing}.")


def _labels(above: Sequence[Sequence[Cell]], layout: Layout) -> dict[str, str]:
    """Return the values of the layout's labels, found beside or below them."""
    found: dict[str, str] = {}
    wanted = {
        _plain(label): name for name in layout.labels.__struct_fields__ if (label := getattr(layout.labels, name))
    }
    known = set(wanted)
    for cells, below in pairwise([*above, []]):
        for place, cell in enumerate(cells):
            name = wanted.get(_plain(str(cell)))
            if name is None or name in found:
                continue
            beside = str(cells[place + 1]) if place + 1 < len(cells) else ""
            is_title = _plain(beside) in known or beside.endswith(":")
            value = beside if beside and not is_title else str(below[place]) if place < len(below) else ""
            found[name] = value
    return found


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()


def _same(cell: Cell, word: str) -> bool:
    return _plain(str(cell)) == _plain(word)


def _currency(table: _Table, cells: Sequence[Cell], row: int, known: Asset | None) -> Asset:
    if "currency" not in table.places:
        assert known is not None, table.layout
        return known
    found = currency_of(table.text(cells, "currency"), table.title("currency"), row=row)
    if known is not None and found != known:
        raise Wrong(table.title("currency"), "currency-differs", f"Other rows are in {known.symbol}.", row=row)
    return found


def _is_booked(table: _Table, cells: Sequence[Cell], row: int) -> bool:
    if "status" not in table.places:
        return True
    status = table.cell(cells, "status")
    if any(_same(status, word) for word in table.layout.booked):
        return True
    if any(_same(status, word) for word in table.layout.not_booked):
        return False
    raise Wrong(table.title("status"), "not-listed", row=row)


def _posting(table: _Table, cells: Sequence[Cell], row: int, currency: Asset) -> _Posting:
    movement = _movement(table, cells, row, currency)
    booked_on = _day(table, cells, "booked_on", row)
    line = StatementLine(
        row=row,
        side=Side.CREDIT if movement > 0 else Side.DEBIT,
        amount=abs(movement),
        booked_on=booked_on,
        value_on=_day(table, cells, "value_on", row) if table.text(cells, "value_on") else booked_on,
        end_to_end_id=table.text(cells, "end_to_end_id"),
        bank_ref=table.text(cells, "bank_ref"),
        text=table.text(cells, "text"),
        other_party=table.text(cells, "other_party"),
        other_account=table.text(cells, "other_account"),
        code=table.text(cells, "code"),
    )
    lines = [line] if movement else []
    fee = abs(_amount(table, cells, "fee", row, currency))
    if fee:
        lines.append(replace(line, side=Side.DEBIT, amount=fee, end_to_end_id="", code=FEE))
    if not lines:
        raise Wrong(table.title("amount" if "amount" in table.places else "credit"), "missing", row=row)
    if max(one.amount for one in lines) > LARGEST_LINE:
        raise Wrong("amount", "malformed", "The amount is too large to be one.", row=row)
    balance = _amount(table, cells, "balance", row, currency) if table.text(cells, "balance") else None
    if "balance" in table.places and balance is None:
        raise Wrong(table.title("balance"), "missing", row=row)
    return _Posting(row, tuple(lines), table.text(cells, "account"), balance)


def _movement(table: _Table, cells: Sequence[Cell], row: int, currency: Asset) -> int:
    """Return by how much the row changes the balance, without its fee."""
    signs = table.layout.signs
    if signs == "two-columns":
        credit, debit = (abs(_amount(table, cells, name, row, currency)) for name in ("credit", "debit"))
        if credit and debit:
            raise Wrong(table.title("debit"), "contradiction", "Both columns are filled.", row=row)
        return credit - debit
    amount = _amount(table, cells, "amount", row, currency)
    if signs == "signed":
        return amount
    if signs == "inverted":
        return -amount
    if amount < 0:
        raise Wrong(table.title("amount"), "malformed", "It is negative.", row=row)
    if signs == "credits":
        return amount
    side = table.cell(cells, "side")
    if any(_same(side, word) for word in table.layout.credit_words):
        return amount
    if any(_same(side, word) for word in table.layout.debit_words):
        return -amount
    raise Wrong(table.title("side"), "not-listed", row=row)


def _amount(table: _Table, cells: Sequence[Cell], name: str, row: int, currency: Asset) -> int:
    """Return a cell's amount in smallest units; 0 where the cell is empty."""
    text = table.text(cells, name)
    return _units(text, table.layout, table.title(name), row, currency) if text else 0


def _units(text: str, layout: Layout, field: str, row: int | None, currency: Asset) -> int:
    """Read an amount with the layout's marks; a mark of thousands parts groups of three digits, or it is none."""
    if layout.thousands_mark:
        mark, point = re.escape(layout.thousands_mark), re.escape(layout.decimal_mark)
        if re.fullmatch(rf"[+-]?[0-9]{{1,3}}(?:{mark}[0-9]{{3}})+(?:{point}[0-9]*)?", text):
            text = text.replace(layout.thousands_mark, "")
    if layout.decimal_mark == ",":
        if "." in text:
            raise Wrong(field, "malformed", "It has a point, where the layout has a comma.", row=row)
        text = text.replace(",", ".")
    return minor_units(text, currency, field, row=row)


def _day(table: _Table, cells: Sequence[Cell], name: str, row: int) -> date:
    cell = table.cell(cells, name)
    day = cell if isinstance(cell, date) else _parsed_day(cell, table.layout.day_formats)
    if day is None or not YEAR_MIN <= day.year <= YEAR_MAX:
        raise Wrong(table.title(name), "date-malformed", row=row)
    return day


def _parsed_day(text: str, formats: Sequence[str]) -> date | None:
    for form in formats:
        try:
            return datetime.strptime(text, form).date()  # noqa: DTZ007 - the operator's own day, as it writes it
        except ValueError:
            continue
    return None


def _check_trailer(
    table: _Table,
    cells: Sequence[Cell],
    row: int,
    postings: Sequence[_Posting],
    currency: Asset | None,
    rows: int,
) -> None:
    """Refuse a table whose last row says other totals than its rows make, or another count than there are."""
    counted = table.layout.trailer_count
    if counted is not None:
        _check_count(table.text(cells, "trailer_count"), rows, counted, row)
    if currency is None:
        return
    totals = _totals(postings)
    net = totals["credits"] - totals["debits"]
    said_of = {
        "amount": net * (-1 if table.layout.signs == "inverted" else 1),
        "credit": totals["credits"],
        "debit": totals["debits"],
    }
    if table.layout.signs == "by-side":
        said_of["amount"] = totals["credits"] + totals["debits"]
    for name, total in said_of.items():
        if table.text(cells, name) and name in table.places:
            said = _amount(table, cells, name, row, currency)
            if (abs(said) if name == "debit" else said) != total:
                raise Wrong(table.title(name), "total-differs", row=row)


def _check_labels(table: _Table, postings: Sequence[_Posting], currency: Asset, rows: int) -> None:
    """Refuse a table that says above itself another count or other totals than it has."""
    for name in ("count", "credits", "debits"):
        if (title := getattr(table.layout.labels, name)) is not None and not table.labels.get(name):
            raise Wrong(title, "missing")
    if "count" in table.labels:
        _check_count(table.labels["count"], rows, str(table.layout.labels.count), None)
    for name, total in _totals(postings).items():
        if name in table.labels:
            title = str(getattr(table.layout.labels, name))
            if abs(_units(table.labels[name], table.layout, title, None, currency)) != total:
                raise Wrong(title, "total-differs")


def _check_count(said: str, rows: int, title: str, row: int | None) -> None:
    plain = said.strip()
    if not plain.isdecimal():
        raise Wrong(title, "malformed", row=row)
    if int(plain) != rows:
        raise Wrong(title, "count-differs", f"It has {rows}.", row=row)


def _totals(postings: Sequence[_Posting]) -> dict[str, int]:
    """Return what came in and what went out, in smallest units, both positive; fees beside amounts are not among them."""
    movements = [line.movement for posting in postings for line in posting.lines if line.code != FEE]
    return {
        "credits": sum(one for one in movements if one > 0),
        "debits": -sum(one for one in movements if one < 0),
    }


def _statement(table: _Table, postings: Sequence[_Posting], currency: Asset, not_booked: int) -> Statement:
    opening, closing = (
        _units(text, table.layout, name, None, currency) if (text := table.labels.get(name, "")) else None
        for name in ("opening", "closing")
    )
    opening, closing = _check_balances(postings, opening, closing)
    days = [line.booked_on for posting in postings for line in posting.lines]
    number = table.labels.get("number", "")
    return Statement(
        kind=StatementKind.STATEMENT,
        account=_account(table, postings),
        currency=currency,
        lines=tuple(line for posting in postings for line in posting.lines),
        opening=opening,
        closing=closing,
        opened_on=min(days, default=None),
        closed_on=max(days, default=None),
        number=int(number) if number.isdecimal() else None,
        not_booked=not_booked,
    )


def _check_balances(
    postings: Sequence[_Posting], opening: int | None, closing: int | None
) -> tuple[int | None, int | None]:
    """Return the balances before and after, said above the table or told by its rows; Wrong where one does not follow."""
    reached = opening
    for posting in postings:
        if reached is None:  # the first row's balance tells where the table opens
            if posting.balance is None:
                return None, closing
            opening, reached = posting.balance - posting.movement, posting.balance
            continue
        reached += posting.movement
        if posting.balance not in (None, reached):
            detail = f"The rows make {reached}, in smallest units, the balance is {posting.balance}."
            raise Wrong("balance", "chain-broken", detail, row=posting.row)
    if None not in (reached, closing) and reached != closing:
        detail = f"The rows make {reached}, in smallest units, the closing balance is {closing}."
        raise Wrong("closing balance", "chain-broken", detail, row=postings[-1].row if postings else None)
    return opening, reached if closing is None else closing


def _account(table: _Table, postings: Sequence[_Posting]) -> str:
    accounts = {posting.account for posting in postings if posting.account}
    if len(accounts) > 1:
        other = next(one for one in postings if one.account and one.account != postings[0].account)
        raise Wrong(table.title("account"), "contradiction", "Rows are of two accounts.", row=other.row)
    return accounts.pop() if accounts else table.labels.get("account", "") or table.layout.account
