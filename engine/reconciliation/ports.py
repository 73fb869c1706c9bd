"""What reconciliation needs from outside: statements of the accounts that hold the scheme's money, files for its banks."""

from typing import Protocol

from engine.kernel.fund_orders import HoldingsFile
from engine.kernel.payment_files import DebitFile, StatusReport, TransferFile
from engine.kernel.statements import StatementFile
from engine.kernel.table_layouts import Layout


class StatementSource(Protocol):
    """Reads the statements of banks and wallet operators in one format. Holds no state, does no I/O."""

    def read(self, raw: bytes, name: str) -> StatementFile:
        """Return what the file says. Nothing is guessed, rounded or left out.

        Every statement of kind STATEMENT is whole: its opening balance and its lines make its closing balance.

        Raises:
            FileRefused: the file is refused whole, with the line, the field and the reason; nothing of it may be used.

        """
        ...


class TableSource(StatementSource, Protocol):
    """Reads statements that come as tables, of a layout of its own or of a pack's."""

    def by(self, layout: Layout) -> StatementSource:
        """Return what reads tables of a layout."""
        ...


class HoldingsSource(Protocol):
    """Reads what fund managers and custodians say they hold. Holds no state, does no I/O."""

    def read_holdings(self, raw: bytes, name: str) -> HoldingsFile:
        """Return what the file says.

        Raises:
            FileRefused: the file is refused whole; nothing of it may be used.

        """
        ...


class PaymentFiles(Protocol):
    """Writes the files that ask a bank to pay and to collect, and reads its reports on them. Does no I/O.

    The same values give the same bytes, so that a file sent again is the same file. A bank that refuses a file because it
    has it already has said nothing of the payments: what became of them is in the reports on the first.
    """

    def write_transfers(self, file: TransferFile) -> bytes:
        """Return the file that asks for transfers.

        Raises:
            ValueError: there is none, two have one reference, an amount is not positive, or currencies differ.

        """
        ...

    def write_debits(self, file: DebitFile) -> bytes:
        """Return the file that asks for collections; raises as `write_transfers`."""
        ...

    def read_report(self, raw: bytes, name: str) -> StatusReport:
        """Return what the bank says of a file.

        Raises:
            FileRefused: it is no report that can be read whole.

        """
        ...
