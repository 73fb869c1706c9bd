"""ISO 20022's payment files, answering the engine's port for payment files."""

from engine.kernel.payment_files import DebitFile, StatusReport, TransferFile
from integrations.banking.pain import reports, writing
from integrations.banking.pain.writing import BankProfile


class PainFiles:
    """Writes pain.001.001.09 and pain.008.001.08, reads pain.002. Holds no state, does no I/O."""

    def __init__(self, profile: BankProfile = BankProfile()) -> None:  # noqa: B008 - a frozen value
        """Write for a bank with this profile."""
        self.profile = profile

    def write_transfers(self, file: TransferFile) -> bytes:
        """Return a pain.001; ValueError where the file cannot be asked for."""
        return writing.write_transfers(file, self.profile)

    def write_debits(self, file: DebitFile) -> bytes:
        """Return a pain.008; ValueError where the file cannot be asked for."""
        return writing.write_debits(file, self.profile)

    def read_report(self, raw: bytes, name: str) -> StatusReport:
        """Return what a pain.002 says; FileRefused if it cannot be read whole."""
        return reports.read_report(raw, name)
