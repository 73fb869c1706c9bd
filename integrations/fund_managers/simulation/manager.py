"""A fund manager: it takes orders, deals at the day's prices, and writes prices, confirmations and holdings."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from decimal import Decimal

from engine.kernel.amounts import Amount, Asset
from engine.kernel.files import NamedFile, Succession, Wrong, succession
from engine.kernel.fund_orders import OrderConfirmation, OrderSide, OrderStatus, PooledOrder
from integrations.banking.file_drops.sending import Sender
from integrations.banking.file_drops.simulator import DropSite
from integrations.fund_managers.csv_files.layouts import ManagerLayout
from integrations.fund_managers.csv_files.wire import read_orders as read_csv_orders
from integrations.fund_managers.simulation import csv_messages, iso_messages
from integrations.fund_managers.simulation.books import Books, FundPrice


@dataclass
class SimulatedManager:
    """A manager with one account of ours. With a `layout` it speaks CSV by it, without one ISO 20022.

    By ISO 20022 it cancels orders that it has not dealt in, says how far orders are when it is asked to cancel, refuses those
    of `refuses` by a code, and if it `acknowledges`, says that it took the others.
    """

    site: DropSite
    currency: Asset
    name: str = "MGR"
    layout: ManagerLayout | None = None
    account: str = ""
    acknowledges: bool = False
    refuses: dict[str, str] = field(default_factory=dict)
    refused_files: list[str] = field(default_factory=list)
    out_of_sequence: list[tuple[str, Succession]] = field(default_factory=list)
    _read: set[str] = field(default_factory=set)
    _open: dict[str, PooledOrder] = field(default_factory=dict)
    _cancelled: set[str] = field(default_factory=set)
    _last_sequence: int | None = None
    _sent: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.sender = Sender(self.site)
        self.books = Books(currency=self.currency)

    def take_orders(self) -> int:
        """Read every order file that is new; return how many orders were new."""
        new = 0
        for file in self.site.got():
            if file.sha256 + file.name in self._read:
                continue
            self._read.add(file.sha256 + file.name)
            try:
                new += self._take(file)
            except Wrong:
                self.refused_files.append(file.name)
        return new

    def _take(self, file: NamedFile) -> int:
        if self.layout is None:
            try:
                asked = iso_messages.read_cancellations(file.raw)
            except Wrong:
                pass
            else:
                self._send_statuses({one: self._cancel(one) for one in asked})
                return 0
        said: dict[str, tuple[OrderStatus, str]] = {}
        new = 0
        for order in self._orders(file):
            if order.fund_code in self.refuses:
                said[order.reference] = OrderStatus.REJECTED, self.refuses[order.fund_code]
            elif self.books.take(order):
                self._open[order.reference] = order
                new += 1
                if self.acknowledges:
                    said[order.reference] = OrderStatus.ACCEPTED, ""
        if said and self.layout is None:
            self._send_statuses(said)
        return new

    def _cancel(self, reference: str) -> tuple[OrderStatus, str]:
        if self._open.pop(reference, None) is not None:
            self._cancelled.add(reference)
        if reference in self._cancelled:
            return OrderStatus.CANCELLED, "CANO"
        return (OrderStatus.DONE, "") if reference in self.books.taken else (OrderStatus.REJECTED, "ORRF")

    def _send_statuses(self, said: Mapping[str, tuple[OrderStatus, str]]) -> None:
        number = self._number("statuses")
        raw = iso_messages.write_statuses(f"{self.name}-S{number}", datetime.now(UTC).date(), said)
        self.sender.send(f"statuses-{number:04}.xml", raw)

    def deal(self, day: date, prices: Mapping[str, Decimal]) -> list[OrderConfirmation]:
        """Publish the prices of `day`, carry out the open orders in these funds, and write what there is to say of them."""
        priced = {
            code: FundPrice(fund_code=code, name=f"Fund {code}", day=day, price=price) for code, price in prices.items()
        }
        self.sender.day_passes()
        self._send_prices(list(priced.values()))
        deals = self.books.deal(self._open, priced)
        self._open = {key: one for key, one in self._open.items() if one.fund_code not in priced}
        self._send_confirmations(deals)
        self._send_holdings(day)
        return deals

    def correct(self, day: date, prices: Mapping[str, Decimal]) -> None:
        """Publish other prices of a day in place of those that were published."""
        priced = [
            FundPrice(fund_code=code, name=f"Fund {code}", day=day, price=price) for code, price in prices.items()
        ]
        self.sender.send(*self._prices(priced, self._number("prices"), is_correction=True))

    def _orders(self, file: NamedFile) -> Sequence[PooledOrder]:
        if self.layout is None:
            self.account, orders = iso_messages.read_orders(file.raw)
            return orders
        envelope, read = read_csv_orders(file.raw, self.layout)
        number = envelope.sequence.number
        found = succession(self._last_sequence, number)
        if found is not Succession.NEXT:
            self.out_of_sequence.append((file.name, found))
        self._last_sequence = max(number, self._last_sequence or 0)
        self.account = envelope.records[0].get("account") if envelope.records else self.account
        return read

    def _send_prices(self, prices: Sequence[FundPrice]) -> None:
        number = self._number("prices")
        off = [replace(prices[0], price=prices[0].price * 2), *prices[1:]]
        name, raw = self._prices(prices, number)
        self.sender.send(name, raw, wrong=self._prices(off, number)[1])

    def _prices(self, prices: Sequence[FundPrice], number: int, *, is_correction: bool = False) -> tuple[str, bytes]:
        day = prices[0].day
        if self.layout is None:
            raw = iso_messages.write_prices(
                prices, self.currency, f"{self.name}-P{number}", is_correction=is_correction
            )
            return f"prices-{day:%Y%m%d}-{number:04}.xml", raw
        function = self.layout.replaces if is_correction else "NEW"
        header = csv_messages.header_of(self.layout, self.name, number, day, function)
        return f"prices-{day:%Y%m%d}-{number:04}.csv", csv_messages.write_prices(self.layout, header, prices)

    def _send_confirmations(self, deals: Sequence[OrderConfirmation]) -> None:
        groups = (
            [list(deals)]
            if self.layout is not None
            else [[one for one in deals if one.side is side] for side in OrderSide]
        )
        for group in groups:
            if not group:
                continue
            number = self._number("executions")
            amount = group[0].amount
            off = replace(group[0], amount=Amount(amount.units + 1, amount.asset))
            self.sender.send(
                f"executions-{group[0].traded_on:%Y%m%d}-{number:04}.{'xml' if self.layout is None else 'csv'}",
                self._confirm(group, number),
                wrong=self._confirm([off, *group[1:]], number),
                invented=self._confirm([replace(group[0], reference="NEVER-SENT", deal_ref="DEAL-INVENTED")], number),
            )

    def _confirm(self, deals: Sequence[OrderConfirmation], number: int) -> bytes:
        if self.layout is None:
            return iso_messages.write_confirmations(deals[0].side, self.account, deals, f"{self.name}-C{number}")
        header = csv_messages.header_of(self.layout, self.name, number, deals[0].traded_on)
        return csv_messages.write_executions(self.layout, header, deals)

    def _send_holdings(self, day: date) -> None:
        if not self.account or not self.books.holdings:
            return
        number = self._number("holdings")
        if self.layout is None:
            raw = iso_messages.write_holdings(self.account, day, self.books.holdings)
        else:
            header = csv_messages.header_of(self.layout, self.name, number, day)
            raw = csv_messages.write_holdings(self.layout, header, self.account, self.books.holdings)
        self.sender.send(f"holdings-{day:%Y%m%d}-{number:04}.{'xml' if self.layout is None else 'csv'}", raw)

    def _number(self, kind: str) -> int:
        self._sent[kind] += 1
        return self._sent[kind]
