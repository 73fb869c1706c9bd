"""What reconciliation refuses."""

from engine.kernel.errors import Invalid, NotFound
from engine.kernel.text import N_


class UnreadableStatement(Invalid):
    """A statement cannot be taken as it is; nothing of it was kept. `problems` in the details names every bad row."""

    code = "reconciliation.unreadable-statement"
    message = N_("{file}, row {row}, {field}: {reason}.")


class UnreadableHoldings(Invalid):
    """A file of holdings cannot be taken as it is; nothing of it was kept."""

    code = "reconciliation.unreadable-holdings"
    message = N_("{file}, row {row}, {field}: {reason}.")


class UnknownAccount(Invalid):
    """The scheme collects by no such channel."""

    code = "reconciliation.unknown-account"
    message = N_("There is no collection account {account}. The scheme has: {allowed}.")


class UnknownReceipt(NotFound):
    """There is no such receipt."""

    code = "reconciliation.unknown-receipt"
    message = N_("There is no such receipt.")
