"""Runs the benchmarks by name."""

from collections.abc import Callable, Mapping
from typing import Any

from benchmarks import allotment, charging, deciding, http, lives, matching, payroll, posting, previewing, storage
from engine.runtime.settings import Settings

BENCHMARKS: Mapping[str, Callable[[Settings, float], dict[str, Any]]] = {
    "posting": posting.measure,
    "deciding": deciding.measure,
    "previewing": previewing.measure,
    "http": http.measure,
    "allotment": allotment.measure,
    "fees": charging.measure,
    "matching": matching.measure,
    "payroll": payroll.measure,
    "storage": storage.measure,
}
LIVES = "lives"
"""Forty years take hours: they run when they are named, and only then."""


def run(settings: Settings, *, name: str | None, scale: float, years: int = lives.YEARS) -> dict[str, Any]:
    """Run one benchmark, or all but lives; `scale` 1 is the full size, and `years` are what lives last. Returns what each measured.

    Raises:
        KeyError: there is none of that name.
    """
    if name == LIVES:
        return {LIVES: lives.measure(settings, scale, years)}
    names = [name] if name else list(BENCHMARKS)
    return {one: BENCHMARKS[one](settings, scale) for one in names}
