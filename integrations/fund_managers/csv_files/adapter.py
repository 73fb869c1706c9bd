"""Small managers' CSV files, answering the engine's port for managers that orders are sent to."""

from collections.abc import Sequence
from datetime import date

from engine.kernel.files import NamedFile
from engine.kernel.fund_orders import ConfirmationFile, HoldingsFile, OrderFile
from engine.kernel.price_files import PriceFile
from integrations.fund_managers.csv_files import wire
from integrations.fund_managers.csv_files.layouts import PLAIN, ManagerLayout


class CsvManager:
    """Exchanges CSV files of one layout with one fund manager. Holds no state, does no I/O."""

    def __init__(self, manager_code: str = "", layout: ManagerLayout = PLAIN) -> None:
        """Read and write files of `layout`; prices are those of `manager_code`."""
        self.manager_code = manager_code
        self.layout = layout

    def read(self, raw: bytes, name: str, day: date | None) -> PriceFile:
        """Return a file's prices of `day`, else of the day in its header; PriceFileRefused if it is refused."""
        return wire.read_prices(raw, name, day, self.layout, self.manager_code)

    def write_orders(self, file: OrderFile) -> Sequence[NamedFile]:
        """Return the one file of orders; ValueError where there is none to place."""
        return wire.write_orders(file, self.layout)

    def read_confirmations(self, raw: bytes, name: str) -> ConfirmationFile:
        """Return what a file of executions confirms; FileRefused if it is refused."""
        return wire.read_confirmations(raw, name, self.layout)

    def read_holdings(self, raw: bytes, name: str) -> HoldingsFile:
        """Return what is held for us; FileRefused if the file is refused."""
        return wire.read_holdings(raw, name, self.layout)
