"""Use cases of opening balances: stage the files of another scheme, decide on them, post them by ranges."""

from engine.opening.service.comparing import Compared
from engine.opening.service.posting import (
    Control,
    approve_opening,
    find_opening,
    list_controls,
    list_openings,
    post_openings,
    reject_opening,
)
from engine.opening.service.staging import OpeningReport, Refusal, stage_opening

__all__ = [
    "Compared",
    "Control",
    "OpeningReport",
    "Refusal",
    "approve_opening",
    "find_opening",
    "list_controls",
    "list_openings",
    "post_openings",
    "reject_opening",
    "stage_opening",
]
