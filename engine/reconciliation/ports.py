"""What reconciliation needs from outside: statements of the accounts that hold the scheme's money."""

from typing import Protocol

from engine.kernel.statements import StatementFile


class StatementSource(Protocol):
    """Reads the statements of banks and wallet operators in one format. Holds no state, does no I/O."""

    def read(self, raw: bytes, name: str) -> StatementFile:
        """Return what the file says. Nothing is guessed, rounded or left out.

        Every statement of kind STATEMENT is whole: its opening balance and its lines make its closing balance.

        Raises:
            FileRefused: the file is refused whole, with the line, the field and the reason; nothing of it may be used.

        """
        ...
