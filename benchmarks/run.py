"""Runs the benchmarks by name."""

from collections.abc import Callable, Mapping
from typing import Any

from benchmarks import allotment, charging, deciding, http, matching, payroll, posting, previewing, storage
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


def run(settings: Settings, *, name: str | None, scale: float) -> dict[str, Any]:
    """Run one benchmark, or all; `scale` 1 is the full size. Returns what each measured.

    Raises:
        KeyError: there is none of that name.
    """
    names = [name] if name else list(BENCHMARKS)
    return {one: BENCHMARKS[one](settings, scale) for one in names}
