"""SWIFT's customer statements, answering the engine's port for statements."""

from engine.kernel.statements import StatementFile
from integrations.banking.mt940.wire import read_statements


class MT940Statements:
    """Reads MT940 statements, one or more a file, in one or more pages each. Holds no state, does no I/O."""

    def read(self, raw: bytes, name: str) -> StatementFile:
        """Return the file's statements; FileRefused if it is refused."""
        return read_statements(raw, name)
