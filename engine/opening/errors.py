"""What the taking over of a scheme refuses. No refusal repeats what a file says of a person."""

from engine.kernel.errors import Invalid, NotFound, Refused
from engine.kernel.text import N_


class UnreadableOpening(Invalid):
    """The manifest or a file that it names cannot be read; nothing of it was kept."""

    code = "opening.unreadable"
    message = N_("{file} cannot be read: {reason}.")


class UnknownOpening(NotFound):
    """The scheme has no opening of that number."""

    code = "opening.unknown"


class OpeningDecided(Refused):
    """The opening was approved or rejected before."""

    code = "opening.decided"
    message = N_("These opening balances are {state} already.")


class OpeningChanged(Refused):
    """The digest is of other files than those that were staged."""

    code = "opening.changed"
    message = N_(
        "The digest is not that of the files that were staged. Look at them again, and decide on what you see."
    )


class OpeningOutdated(Refused):
    """The scheme's rules have changed since the files were checked by them."""

    code = "opening.outdated"
    message = N_("The scheme's rules changed after these files were checked. Reject them and stage them again.")
