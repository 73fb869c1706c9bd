"""The records of a manager's files, read and written. Pure: bytes in, values out, and back."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from engine.kernel.amounts import Amount, Asset
from engine.kernel.file_values import currency_of, minor_units, sha256_of
from engine.kernel.files import NamedFile, Wrong
from engine.kernel.fund_orders import (
    ConfirmationFile,
    Holding,
    HoldingsFile,
    OrderConfirmation,
    OrderFile,
    OrderSide,
    PooledOrder,
)
from engine.kernel.price_files import ROW_TEXT_MAX, PriceFile, PriceFileRefused, PublishedPrice, RefusedRow
from engine.kernel.prices import MAX_PRICE_SCALE
from integrations.fund_managers.csv_files.envelope import (
    Envelope,
    Record,
    day_of,
    number_of,
    read_envelope,
    write_envelope,
)
from integrations.fund_managers.csv_files.layouts import FileKind, ManagerLayout


def write_orders(file: OrderFile, layout: ManagerLayout) -> Sequence[NamedFile]:
    """Return the one file of orders; ValueError if there is none, or two have one reference."""
    if not file.orders:
        raise ValueError("a file places one order at least")
    if len({order.reference for order in file.orders}) != len(file.orders):
        raise ValueError("two orders have one reference")
    header = {
        "sender": file.sender,
        "sequence": str(file.sequence),
        "day": file.dealing_on.strftime(layout.day_format),
        "message_ref": file.message_ref,
        "function": "NEW",
    }
    records = [
        {
            "order_ref": order.reference,
            "account": file.account,
            "fund": order.fund_code,
            "side": layout.subscribe if order.side is OrderSide.SUBSCRIBE else layout.redeem,
            "amount": "" if order.amount is None else f"{order.amount.decimal():f}",
            "units": "" if order.units is None else f"{order.units:f}",
            "currency": "" if order.amount is None else order.amount.asset.symbol,
        }
        for order in file.orders
    ]
    name = f"orders-{file.sequence:06}-{file.dealing_on:%Y%m%d}.csv"
    return [NamedFile(name, write_envelope(layout, FileKind.ORDERS, header, records))]


def read_orders(raw: bytes, layout: ManagerLayout) -> tuple[Envelope, tuple[PooledOrder, ...]]:
    """Return the orders that a file places, as its receiver reads them; Wrong if it cannot be read whole."""
    file = read_envelope(raw, layout, FileKind.ORDERS)
    orders = []
    for record in file.records:
        amount = record.get("amount")
        units = record.get("units")
        if bool(amount) == bool(units):
            raise Wrong("amount", "contradiction", "Either an amount or units say how much.", row=record.row)
        orders.append(
            PooledOrder(
                reference=record.need("order_ref"),
                side=_side(record, layout),
                fund_code=record.need("fund"),
                amount=_amount(record, "amount", _currency(record), layout) if amount else None,
                units=_positive(record, "units", layout) if units else None,
            )
        )
    return file, tuple(orders)


def read_confirmations(raw: bytes, name: str, layout: ManagerLayout) -> ConfirmationFile:
    """Return what a file of executions confirms; FileRefused if it cannot be read whole."""
    try:
        file = read_envelope(raw, layout, FileKind.EXECUTIONS)
        confirmations = tuple(_confirmation(record, layout) for record in file.records)
        _check_once([(one.deal_ref, one.row) for one in confirmations], "deal_ref")
    except Wrong as wrong:
        raise wrong.refused(name) from wrong
    return ConfirmationFile(
        name=name,
        sha256=sha256_of(raw),
        message_ref=file.message_ref,
        confirmations=confirmations,
        sequence=file.sequence,
    )


def _confirmation(record: Record, layout: ManagerLayout) -> OrderConfirmation:
    currency = _currency(record)
    return OrderConfirmation(
        row=record.row,
        reference=record.need("order_ref"),
        deal_ref=record.need("deal_ref"),
        side=_side(record, layout),
        fund_code=record.need("fund"),
        units=_positive(record, "units", layout),
        price=_positive(record, "price", layout),
        amount=_amount(record, "amount", currency, layout),
        traded_on=day_of(record, "traded_on", layout),
        settles_on=day_of(record, "settles_on", layout) if record.get("settles_on") else None,
        fees=_amount(record, "fees", currency, layout).units if record.get("fees") else 0,
        is_partial=_is_partial(record, layout),
    )


def _is_partial(record: Record, layout: ManagerLayout) -> bool:
    extent = record.get("extent")
    if extent in layout.partial:
        return True
    if not extent or extent in layout.full:
        return False
    raise Wrong("extent", "not-listed", row=record.row)


def _side(record: Record, layout: ManagerLayout) -> OrderSide:
    side = record.need("side")
    if side not in (layout.subscribe, layout.redeem):
        raise Wrong("side", "not-listed", row=record.row)
    return OrderSide.SUBSCRIBE if side == layout.subscribe else OrderSide.REDEEM


def _currency(record: Record) -> Asset:
    return currency_of(record.need("currency"), "currency", row=record.row)


def _amount(record: Record, name: str, currency: Asset, layout: ManagerLayout) -> Amount:
    units = minor_units(f"{number_of(record, name, layout):f}", currency, name, row=record.row)
    if units < 0:
        raise Wrong(name, "malformed", "It is negative.", row=record.row)
    return Amount(units, currency)


def _positive(record: Record, name: str, layout: ManagerLayout) -> Decimal:
    value = number_of(record, name, layout)
    if value <= 0:
        raise Wrong(name, "malformed", "It is not more than zero.", row=record.row)
    return value


def _check_once(values: Sequence[tuple[str, int]], field: str) -> None:
    seen: set[str] = set()
    for value, row in values:
        if value in seen:
            raise Wrong(field, "repeated", row=row)
        seen.add(value)


def read_holdings(raw: bytes, name: str, layout: ManagerLayout) -> HoldingsFile:
    """Return the holdings of the one account that a file is about; FileRefused if it cannot be read whole."""
    try:
        file = read_envelope(raw, layout, FileKind.HOLDINGS)
        account = _only_account(file)
        holdings = tuple(
            Holding(row=one.row, fund_code=one.need("fund"), units=number_of(one, "units", layout))
            for one in file.records
        )
        _check_once([(one.fund_code, one.row) for one in holdings], "fund")
    except Wrong as wrong:
        raise wrong.refused(name) from wrong
    return HoldingsFile(
        name=name, sha256=sha256_of(raw), account=account, day=file.day, holdings=holdings, sequence=file.sequence
    )


def _only_account(file: Envelope) -> str:
    if not file.records:
        raise Wrong("record", "no-content")
    accounts = {record.need("account"): record.row for record in file.records}
    if len(accounts) > 1:
        raise Wrong("account", "contradiction", "Records are of two accounts.", row=max(accounts.values()))
    return next(iter(accounts))


def read_prices(raw: bytes, name: str, day: date | None, layout: ManagerLayout, manager_code: str) -> PriceFile:
    """Return a file's official prices of `day`, else of the day in its header.

    Raises:
        PriceFileRefused: it cannot be read whole, has no price of the day, or one fund has two prices.

    """
    try:
        file = read_envelope(raw, layout, FileKind.PRICES)
        own_day = day or file.day
        read = [_price(record, own_day, layout, manager_code) for record in file.records]
        if all(isinstance(one, RefusedRow) and one.reason == "another-day" for one in read):
            detail = f"Its day is {own_day}."
            raise PriceFileRefused(file=name, row=None, field="price_on", reason="no-row-of-the-day", detail=detail)
        prices = [one for one in read if isinstance(one, PublishedPrice)]
    except Wrong as wrong:
        raise PriceFileRefused(
            file=name, row=wrong.row, field=wrong.field, reason=wrong.reason, detail=wrong.detail
        ) from wrong
    _check_one_price(prices, name)
    return PriceFile(
        name=name,
        sha256=sha256_of(raw),
        day=own_day,
        prices=tuple({one.fund_code: one for one in reversed(prices)}.values())[::-1],
        refused=tuple(one for one in read if isinstance(one, RefusedRow)),
        is_correction=file.function == layout.replaces,
        sequence=file.sequence,
    )


def _check_one_price(prices: Sequence[PublishedPrice], name: str) -> None:
    known: dict[str, Decimal] = {}
    for one in prices:
        if known.setdefault(one.fund_code, one.price) != one.price:
            detail = f"{one.fund_code} on {one.price_on}."
            raise PriceFileRefused(file=name, row=one.row, field="price", reason="two-prices", detail=detail)


def _price(record: Record, day: date, layout: ManagerLayout, manager_code: str) -> PublishedPrice | RefusedRow:
    fund_code = record.need("fund")
    try:
        fault, value = _priced(record, day, layout)
    except Wrong as wrong:
        fault, value = (wrong.field, wrong.reason), Decimal(0)
    if fault is not None:
        return RefusedRow(record.row, *fault, fund_code[:ROW_TEXT_MAX])
    return PublishedPrice(
        fund_code=fund_code,
        manager_code=manager_code,
        name=record.get("name"),
        price_on=day,
        price=value,
        row=record.row,
    )


def _priced(record: Record, day: date, layout: ManagerLayout) -> tuple[tuple[str, str] | None, Decimal]:
    """Return the field and the reason for which a record gives no price to deal at, and the price."""
    if day_of(record, "price_on", layout) != day:
        return ("price_on", "another-day"), Decimal(0)
    value = number_of(record, "price", layout)
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)
    status = record.get("status")
    if value <= 0:
        return ("price", "price-not-positive"), value
    if -exponent > MAX_PRICE_SCALE:
        return ("price", "too-many-decimals"), value
    if status in layout.estimated:
        return ("status", "not-official"), value
    if status and status not in layout.official:
        return ("status", "not-listed"), value
    return None, value
