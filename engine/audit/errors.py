"""What the audit log refuses."""

from engine.kernel.errors import EngineError, Invalid, NotFound, Refused
from engine.kernel.text import N_


class EntryTooLarge(EngineError):
    """An event's entry is longer than a log entry may be, so it and all after it cannot enter the log."""

    code = "audit.entry-too-large"
    message = N_("The log entry of event {event_id} has {size} bytes; {most} is the most. The log stands still.")


class LogForked(EngineError):
    """What would be signed does not continue what was signed before. Nothing is signed until a person has looked."""

    code = "audit.log-forked"
    message = N_("The log of {origin} cannot be continued at size {size}: {reason}. Nothing was signed.")


class UnknownName(EngineError):
    """An event names an actor, a pack or a decision that does not exist, so its entry cannot be written."""

    code = "audit.unknown-name"
    message = N_("Event {event_id} names number {number} of {table}, which does not exist. The log stands still.")


class EntryDiffers(EngineError):
    """The rows of an event no longer give the entry that was hashed into the log."""

    code = "audit.entry-differs"
    message = N_("The rows of log entry {index} no longer give the entry that was logged.")


class NothingLogged(Refused):
    """The log has no checkpoint yet."""

    code = "audit.nothing-logged"
    message = N_("The log is empty: nothing has been recorded yet.")


class NotLogged(NotFound):
    """The event is not in the log, or not yet."""

    code = "audit.not-logged"
    message = N_("This event is not in the log yet.")


class FolderInUse(Refused):
    """The folder to export to holds something other than an earlier export."""

    code = "audit.folder-in-use"
    message = N_("{folder} holds files that are not an earlier export; name an empty or a new folder.")


class EmptyPeriod(Invalid):
    """A period ends before it begins."""

    code = "audit.empty-period"
    message = N_("The period from {since} until {until} holds no day.")
