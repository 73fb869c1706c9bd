"""What the command line says of a refusal: a sentence and an exit code, never a traceback."""

import psycopg

from engine.cli_frame import FAILED, USAGE
from engine.kernel.errors import EngineError
from engine.kernel.price_files import PriceFileRefused
from engine.runtime.counterparty_file import CounterpartiesUnavailable
from engine.runtime.embedded_postgres import ServerError
from engine.runtime.key_file import KeysUnavailable
from engine.runtime.settings import SettingsError
from engine.tenancy.errors import PackErrors

_TOLD = (PriceFileRefused, PackErrors, SettingsError, ServerError, KeysUnavailable, CounterpartiesUnavailable)
"""Refusals whose own words are for people."""


def told(error: Exception) -> tuple[str, int] | None:
    """Return what to say of an error and the exit code, or None if it is a defect of ours."""
    match error:
        case EngineError():
            number = error.details.get("decision")
            return (f"{error} (decision {number})" if number else str(error)), FAILED
        case psycopg.OperationalError():
            return f"the database cannot be reached: {str(error).splitlines()[0]}", FAILED
        case FileNotFoundError() | IsADirectoryError() | PermissionError():
            return f"{error.filename}: {error.strerror}", USAGE
        case _:
            return (str(error), FAILED) if isinstance(error, _TOLD) else None
