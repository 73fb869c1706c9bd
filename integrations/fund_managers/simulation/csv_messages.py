"""The other side's files: executions, prices and holdings written by a layout. Pure."""

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal

from engine.kernel.amounts import Amount
from engine.kernel.fund_orders import OrderConfirmation, OrderSide
from integrations.fund_managers.csv_files.envelope import write_envelope
from integrations.fund_managers.csv_files.layouts import FileKind, ManagerLayout
from integrations.fund_managers.simulation.books import FundPrice


def header_of(layout: ManagerLayout, sender: str, sequence: int, day: date, function: str = "NEW") -> dict[str, str]:
    """Return the values of a header."""
    return {
        "sender": sender,
        "sequence": str(sequence),
        "day": day.strftime(layout.day_format),
        "message_ref": f"{sender}-{sequence}",
        "function": function,
    }


def write_executions(
    layout: ManagerLayout, header: Mapping[str, str], confirmations: Sequence[OrderConfirmation]
) -> bytes:
    """Return a file of executions."""
    records = [
        {
            "order_ref": one.reference,
            "deal_ref": one.deal_ref,
            "fund": one.fund_code,
            "side": layout.subscribe if one.side is OrderSide.SUBSCRIBE else layout.redeem,
            "units": f"{one.units:f}",
            "price": f"{one.price:f}",
            "amount": f"{one.amount.decimal():f}",
            "fees": f"{Amount(one.fees, one.amount.asset).decimal():f}",
            "currency": one.amount.asset.symbol,
            "traded_on": one.traded_on.strftime(layout.day_format),
            "settles_on": one.settles_on.strftime(layout.day_format) if one.settles_on else "",
            "extent": (layout.partial if one.is_partial else layout.full)[0],
        }
        for one in confirmations
    ]
    return write_envelope(layout, FileKind.EXECUTIONS, header, records)


def write_prices(
    layout: ManagerLayout, header: Mapping[str, str], prices: Sequence[FundPrice], *, is_official: bool = True
) -> bytes:
    """Return a file of prices."""
    records = [
        {
            "fund": one.fund_code,
            "name": one.name,
            "price_on": one.day.strftime(layout.day_format),
            "price": f"{one.price:f}",
            "status": (layout.official if is_official else layout.estimated)[0],
        }
        for one in prices
    ]
    return write_envelope(layout, FileKind.PRICES, header, records)


def write_holdings(
    layout: ManagerLayout, header: Mapping[str, str], account: str, holdings: Mapping[str, Decimal]
) -> bytes:
    """Return a file of holdings."""
    records = [{"account": account, "fund": code, "units": f"{units:f}"} for code, units in sorted(holdings.items())]
    return write_envelope(layout, FileKind.HOLDINGS, header, records)
