"""What dealing needs from outside: the prices that fund managers publish, orders to them and their confirmations."""

from collections.abc import Sequence
from datetime import date
from typing import Protocol, runtime_checkable

from engine.kernel.files import NamedFile
from engine.kernel.fund_orders import CancellationFile, ConfirmationFile, HoldingsFile, OrderFile, StatusFile
from engine.kernel.price_files import PriceFile


class FundManager(Protocol):
    """Reads the price files of fund managers or their recordkeeper. Does no I/O."""

    def read(self, raw: bytes, name: str, day: date | None) -> PriceFile:
        """Return what the file says for `day`, else for the day in its name.

        Raises:
            PriceFileRefused: the file is refused whole and nothing of it may be used.
        """
        ...


class DealingManager(FundManager, Protocol):
    """A fund manager that orders are sent to: files out, files back. Does no I/O.

    The same orders give the same bytes, so that a file sent again is the same file.
    """

    def write_orders(self, file: OrderFile) -> Sequence[NamedFile]:
        """Return the files that place the orders, in the order in which they are to be sent: one or more.

        Raises:
            ValueError: there is no order, or two have one reference.

        """
        ...

    def read_confirmations(self, raw: bytes, name: str) -> ConfirmationFile:
        """Return what the manager says it did. Whether we sent such orders is for the caller to see.

        Raises:
            FileRefused: the file is refused whole and nothing of it may be used.

        """
        ...

    def read_holdings(self, raw: bytes, name: str) -> HoldingsFile:
        """Return what the manager says it holds for us; raises as `read_confirmations`."""
        ...


@runtime_checkable
class CancellingManager(DealingManager, Protocol):
    """A fund manager that also says how far orders are, and may be asked to cancel one. Does no I/O."""

    def write_cancellation(self, file: CancellationFile) -> NamedFile:
        """Return the file that asks for an order to be cancelled; the same request gives the same bytes."""
        ...

    def read_statuses(self, raw: bytes, name: str) -> StatusFile:
        """Return how far the manager says orders are; raises as `read_confirmations`."""
        ...
