"""What the ledger refuses."""

from engine.kernel.errors import Refused, Unavailable
from engine.kernel.text import N_


class Overdrawn(Refused):
    """The posting would take more from a member's account than it holds."""

    code = "ledger.overdrawn"
    message = N_("The account {account} does not hold that much.")


class Contended(Unavailable):
    """A batch lost every race it was allowed; nothing of it was written."""

    code = "ledger.contended"
    message = N_("Too many requests touched the same records at once. Send the same request again.")
