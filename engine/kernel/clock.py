"""Where time comes from. Rules are given dates; only edges ask a clock."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Protocol
from zoneinfo import ZoneInfo


class Clock(Protocol):
    """Tells the instant (aware, UTC)."""

    def now(self) -> datetime:
        """Return the present instant, aware, in UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the machine's instant in UTC."""
        return datetime.now(UTC)


@dataclass(slots=True)
class FixedClock:
    """A clock that stands until it is set; for tests and for schemes whose days an operator advances."""

    instant: datetime

    def now(self) -> datetime:
        """Return the instant it was set to."""
        return self.instant


def business_date(instant: datetime, zone: str) -> date:
    """Return the calendar date of `instant` in the scheme's time zone `zone` (an IANA name)."""
    return instant.astimezone(ZoneInfo(zone)).date()
