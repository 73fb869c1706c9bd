"""Statements of ISO 20022, answering the engine's port for statements."""

from engine.kernel.statements import StatementFile
from integrations.banking.camt.wire import read_statements


class CamtStatements:
    """Reads camt.053, camt.052 and camt.054, versions 01 to 14. Holds no state, does no I/O."""

    def read(self, raw: bytes, name: str) -> StatementFile:
        """Return the document's statements; FileRefused if it is refused."""
        return read_statements(raw, name)
