"""Use cases of contributions: receive payments one by one, many at once or from files; suspense."""

from engine.contributions.service.files import ImportReport, import_file, read_rows
from engine.contributions.service.receiving import CHUNK, Answer, Intake, receive
from engine.contributions.service.recomputing import Recomputed, recompute, resplit
from engine.contributions.service.suspense import list_suspense, resolve_suspense
from engine.contributions.service.terms import terms_for

__all__ = [
    "CHUNK",
    "Answer",
    "ImportReport",
    "Intake",
    "Recomputed",
    "import_file",
    "list_suspense",
    "read_rows",
    "receive",
    "recompute",
    "resolve_suspense",
    "resplit",
    "terms_for",
]
