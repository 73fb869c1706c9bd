"""Banks' and wallet operators' tables, answering the engine's port for statements."""

from engine.kernel.statements import StatementFile
from engine.kernel.table_layouts import Layout
from integrations.banking.tabular.layouts import GENERIC
from integrations.banking.tabular.operators import MPESA, MTN_MOMO
from integrations.banking.tabular.wire import read_statement


class TabularStatements:
    """Reads CSV and Excel statements of one layout. Holds no state, does no I/O."""

    def __init__(self, layout: Layout = GENERIC) -> None:
        """Read tables of `layout`; Akiba's own plain one if none is given."""
        self.layout = layout

    def by(self, layout: Layout) -> "TabularStatements":
        """Return what reads tables of another layout."""
        return TabularStatements(layout)

    def read(self, raw: bytes, name: str) -> StatementFile:
        """Return the table's statement; FileRefused if it is refused."""
        return read_statement(raw, name, self.layout)


class MpesaStatements(TabularStatements):
    """Reads an organisation's statement as the M-PESA organisation portal exports it."""

    def __init__(self, layout: Layout = MPESA) -> None:
        super().__init__(layout)


class MtnMomoStatements(TabularStatements):
    """Reads a partner's statement as MTN's Mobile Money portal exports it."""

    def __init__(self, layout: Layout = MTN_MOMO) -> None:
        super().__init__(layout)
