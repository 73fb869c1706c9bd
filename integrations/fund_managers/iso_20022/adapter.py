"""ISO 20022's messages of fund dealing, answering the engine's port for managers that orders are sent to."""

from collections.abc import Sequence
from datetime import date

from engine.kernel.files import NamedFile
from engine.kernel.fund_orders import CancellationFile, ConfirmationFile, HoldingsFile, OrderFile, StatusFile
from engine.kernel.price_files import PriceFile
from integrations.fund_managers.iso_20022 import confirmations, holdings, orders, prices, statuses


class Iso20022Manager:
    """Speaks setr, reda and semt with one fund manager. Holds no state, does no I/O."""

    def __init__(self, manager_code: str = "") -> None:
        """Take prices to be those of `manager_code` where a report does not name the manager."""
        self.manager_code = manager_code

    def read(self, raw: bytes, name: str, day: date | None) -> PriceFile:
        """Return a price report's prices of `day`, else of its one day; PriceFileRefused if it is refused."""
        return prices.read_prices(raw, name, day, self.manager_code)

    def write_orders(self, file: OrderFile) -> Sequence[NamedFile]:
        """Return a message of subscriptions, one of redemptions, or both; ValueError where there is none to place."""
        return orders.write_orders(file)

    def read_confirmations(self, raw: bytes, name: str) -> ConfirmationFile:
        """Return what a message confirms; FileRefused if it is refused."""
        return confirmations.read_confirmations(raw, name)

    def read_holdings(self, raw: bytes, name: str) -> HoldingsFile:
        """Return what is held for us; FileRefused if the report is refused."""
        return holdings.read_holdings(raw, name)

    def write_cancellation(self, file: CancellationFile) -> NamedFile:
        """Return the message that asks for an order to be cancelled."""
        return orders.write_cancellation(file)

    def read_statuses(self, raw: bytes, name: str) -> StatusFile:
        """Return how far the manager says orders are; FileRefused if the report is refused."""
        return statuses.read_statuses(raw, name)
