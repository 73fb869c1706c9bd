"""What the closing and reopening of days refuses."""

from engine.kernel.errors import NotFound, Refused
from engine.kernel.text import N_


class DayNotClosed(Refused):
    """The day is not closed, or a reopening waits for its decision."""

    code = "closing.not-closed"
    message = N_("The day {day} is not closed, or another one after it is asked for already.")


class UnknownReopening(NotFound):
    """Nobody asked for such a reopening."""

    code = "closing.unknown-reopening"


class ReopeningDecided(Refused):
    """The reopening was approved or rejected before."""

    code = "closing.decided"
    message = N_("This was decided already.")


class NotInQuarantine(NotFound):
    """Nothing of that number is put aside."""

    code = "closing.not-in-quarantine"
