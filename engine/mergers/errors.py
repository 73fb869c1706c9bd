"""What mergers of schemes refuse."""

from engine.kernel.errors import Invalid, NotFound, Refused
from engine.kernel.text import N_


class UnknownMerger(NotFound):
    """The scheme has no merger of that number, or no such round of it."""

    code = "mergers.unknown"


class UnusableTerms(Invalid):
    """The terms name something that the scheme has not, or leave something without a place."""

    code = "mergers.unusable-terms"
    message = N_("These terms cannot be carried out: {reason}.")


class MergerOpen(Refused):
    """The scheme goes into another already, or that is proposed."""

    code = "mergers.open"
    message = N_("Merger {merger} is {state}. A scheme goes into another once.")


class MergerDecided(Refused):
    """The merger was approved or rejected before."""

    code = "mergers.decided"
    message = N_("This merger is {state} already.")


class MergerChanged(Refused):
    """The digest is of other terms than those that were proposed."""

    code = "mergers.changed"
    message = N_(
        "The digest is not that of the terms that were proposed. Look at them again, and decide on what you see."
    )


class RoundOpen(Refused):
    """A round of the merger is not closed, not filed, or nothing came late."""

    code = "mergers.round-open"
    message = N_("Round {round} is {state}.")


class NothingLate(Refused):
    """Nothing came for members who were handed over that a round could bring."""

    code = "mergers.nothing-late"
    message = N_("Nothing came late for members who were handed over.")


class ReceiptDiffers(Refused):
    """The other scheme's receipt is not of what was handed over."""

    code = "mergers.receipt-differs"
    message = N_("The receipt is not of what was handed over: {what}.")


class UnreadableHandOver(Invalid):
    """What should be a hand-over is none, is for another scheme, or was changed."""

    code = "mergers.unreadable"
    message = N_("{file} cannot be read: {reason}.")


class NotTakenIn(Refused):
    """The opening is not posted to its end, so nothing can be said to have been taken in."""

    code = "mergers.not-taken-in"
    message = N_("Opening {opening} is {state}; there is a receipt once it is finished.")
