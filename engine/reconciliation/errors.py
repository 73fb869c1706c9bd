"""What reconciliation refuses."""

from engine.kernel.errors import Invalid, NotFound, Refused
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


class UnknownBreak(NotFound):
    """There is no such line, or it waits for nothing any more."""

    code = "reconciliation.unknown-break"
    message = N_("There is no such break, or it is resolved.")


class UnknownProposal(NotFound):
    """Nobody made such a proposal."""

    code = "reconciliation.unknown-proposal"
    message = N_("There is no such proposal.")


class ProposalDecided(Refused):
    """Somebody has decided the proposal already."""

    code = "reconciliation.proposal-decided"
    message = N_("The proposal is {state} already.")


class ProposalDiffers(Refused):
    """What is confirmed is not what was proposed."""

    code = "reconciliation.proposal-differs"
    message = N_("What you confirm is not what was proposed. Look at it again.")


class BreakResolved(Refused):
    """Another proposal, or matching itself, has resolved the break in between."""

    code = "reconciliation.break-resolved"
    message = N_("The break was resolved in between. Nothing was changed.")


class NotMatchable(Refused):
    """A receipt is unknown, booked into another account, or shown by another line; or a line is money that went out."""

    code = "reconciliation.not-matchable"
    message = N_("The receipt {receipt} is not one that these lines can show.")


class ManyToMany(Invalid):
    """Several lines and several receipts are to be matched at once."""

    code = "reconciliation.many-to-many"
    message = N_("Match one line with several receipts, or several lines with one.")


class UnknownCause(Invalid):
    """The pack names no such cause."""

    code = "reconciliation.unknown-cause"
    message = N_("There is no cause {cause}. The scheme has: {allowed}.")


class CauseNeeded(Refused):
    """The lines and the receipts differ, and no cause is given."""

    code = "reconciliation.cause-needed"
    message = N_("The amounts differ. Say for which cause the difference is booked.")


class CauseDiffers(Refused):
    """The cause is of money that moves the other way, or there is nothing to be booked."""

    code = "reconciliation.cause-differs"
    message = N_("Nothing of this can be booked for the cause {cause}.")


class AboveLimit(Refused):
    """The amount is more than the pack lets be booked for the cause."""

    code = "reconciliation.above-limit"
    message = N_("The amount is more than may be booked for the cause {cause}.")


class HoldUntil(Invalid):
    """A break is held until a day that has passed, or for longer than 366 days."""

    code = "reconciliation.hold-until"
    message = N_("A break is held until a day to come, at most a year away.")
