"""Use cases of closing: close the days that are over, open closed ones again by two people, look at what was put aside."""

from engine.closing.service.closing import ClosingReport, DayReport, close_business, day_report, is_begun
from engine.closing.service.reopening import (
    Reopening,
    approve_reopening,
    list_reopenings,
    propose_reopening,
    reject_reopening,
)

__all__ = [
    "ClosingReport",
    "DayReport",
    "Reopening",
    "approve_reopening",
    "close_business",
    "day_report",
    "is_begun",
    "list_reopenings",
    "propose_reopening",
    "reject_reopening",
]
