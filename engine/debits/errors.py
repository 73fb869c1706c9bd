"""Refusals of direct debits."""

from engine.kernel.errors import Invalid, NotFound, Refused
from engine.kernel.text import N_


class MandateHeld(Refused):
    """The member has a mandate for the product already, or the reference is another mandate's."""

    code = "debits.mandate-held"
    message = N_("There is such a mandate already; end it first.")


class UnknownMandate(NotFound):
    """The member has no mandate for the product."""

    code = "debits.unknown-mandate"
    message = N_("There is no such mandate.")


class UnknownDebits(NotFound):
    """There is no such file of debits."""

    code = "debits.unknown-file"
    message = N_("There is no such file of direct debits.")


class DebitsDecided(Refused):
    """A file of debits is decided on already."""

    code = "debits.decided"
    message = N_("These direct debits are decided on already ({state}).")


class DebitsChanged(Refused):
    """What would be collected is not what was seen, or a mandate of it ended since."""

    code = "debits.changed"
    message = N_("These direct debits are not the ones that you saw; look at them again.")


class UnreadableDebitReport(Invalid):
    """A bank's report on debits cannot be taken as it is; nothing of it was used."""

    code = "debits.unreadable-report"
    message = N_("{file}, row {row}, {field}: {reason}.")
