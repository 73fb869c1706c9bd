"""What notices refuse of what comes from outside."""

from typing import ClassVar

from engine.kernel.errors import Malformed


class ReportUnreadable(Malformed):
    """A delivery report, or a gateway's request, does not have the form it must have. Details: `reason`."""

    code = "notices.report-unreadable"


class ReportForged(Malformed):
    """What came does not prove that it comes from the provider: its signature is missing or false. Details: `reason`."""

    code = "notices.report-forged"
    status: ClassVar[int] = 403


class ValueTooLong(Malformed):
    """A value is longer than the message says it may be, and may not be cut. Details: `reason`, without the value."""

    code = "notices.value-too-long"
