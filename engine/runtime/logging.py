"""Logs as JSON lines, from which personal data stay out by an allow-list.

A line holds only keys on the list below, each a plain value; any other key is left out and its name is kept under
`withheld`, so a forgotten name costs a figure and never a person's data. `event` is a constant sentence: what
varies goes into keys. Lines of other libraries are logged as their template, without the values put into it. What
looks like an e-mail address or a long number is masked wherever text gets through. An exception is logged as its
type and the places it passed, without local variables, and without its message unless `with_messages` asks for it
(a message often quotes what was entered).
"""

import logging
import re
import sys
from collections.abc import Iterable, Mapping, MutableMapping
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any, TextIO
from uuid import UUID

import msgspec
import structlog
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict, Processor, WrappedLogger

ALLOWED_KEYS = frozenset(
    """
    event level timestamp logger exception withheld
    tenant tenant_id pack pack_version product fund dealing_id period kind code status_code status reason_code
    request_id trace_id event_id batch_id sequence log_size order_id statement_id route method duration_ms
    job job_id queue attempt attempts delay_ms count posted refused folded rows size_bytes
    adapter port_name exchange_id outcome problem sqlstate
    host port pid version database folder file command profile url_scheme
    """.split()
)
_PLAIN = (str, int, float, bool, Decimal, date, UUID, Path, Enum, type(None))
_LONGEST_TEXT = 500
_EMAIL = re.compile(r"[^\s@<>()\"']+@[^\s@<>()\"']+")
_LONG_NUMBER = re.compile(r"(?<![\w-])(?!\d{4}-\d\d-\d\d(?!\d))\+?\(?\d(?:[ ()./-]{0,2}\d){6,}(?![\w-])")
_DEEPEST_CAUSE = 5


def configure_logging(
    level: str = "info",
    *,
    stream: TextIO | None = None,
    with_messages: bool = False,
    extra_keys: Iterable[str] = (),
) -> None:
    """Send all logs of the process, other libraries' included, as JSON lines to one stream.

    Args:
        level: `debug`, `info`, `warning` or `error`: the least that is logged.
        stream: standard error by default.
        with_messages: log exceptions' messages too, masked; for development with invented people only.
        extra_keys: further keys that hold no personal data.

    """
    allowed = ALLOWED_KEYS | frozenset(extra_keys)
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        _add_timestamp,
    ]
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=[_take_template, *shared],
            processors=[
                ProcessorFormatter.remove_processors_meta,
                _ExceptionWithoutValues(with_messages=with_messages),
                _AllowList(allowed),
                structlog.processors.JSONRenderer(serializer=_to_json),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return the logger of a module; call it with a constant sentence and keys from the list."""
    return structlog.stdlib.get_logger(name)


def mask(text: str) -> str:
    """Return the text with e-mail addresses and numbers of seven digits or more replaced by `***`."""
    return _LONG_NUMBER.sub("***", _EMAIL.sub("***", text))


class _AllowList:
    """Keeps the keys on the list and their plain values; notes the names of the others."""

    def __init__(self, allowed: frozenset[str]) -> None:
        self._allowed = allowed

    def __call__(self, _logger: WrappedLogger, _method: str, entry: EventDict) -> Mapping[str, Any]:
        kept: dict[str, Any] = {}
        withheld: list[str] = []
        for key, value in entry.items():
            if key == "exception":
                kept[key] = value
            elif key in self._allowed and isinstance(value, _PLAIN):
                kept[key] = _masked(key, value)
            else:
                withheld.append(mask(str(key))[:50])
        if withheld:
            kept["withheld"] = sorted(withheld)
        return kept


class _ExceptionWithoutValues:
    """Renders an exception and its causes as types and places in the code."""

    def __init__(self, *, with_messages: bool) -> None:
        self._with_messages = with_messages

    def __call__(self, _logger: WrappedLogger, _method: str, entry: EventDict) -> EventDict:
        info = entry.pop("exc_info", None)
        entry.pop("exception", None)
        entry.pop("stack_info", None)
        error = info[1] if isinstance(info, tuple) else sys.exception() if info is True else info
        if isinstance(error, BaseException):
            entry["exception"] = self._describe(error)
        return entry

    def _describe(self, error: BaseException) -> list[dict[str, Any]]:
        described: list[dict[str, Any]] = []
        current: BaseException | None = error
        while current is not None and len(described) < _DEEPEST_CAUSE:
            kind = type(current)
            one: dict[str, Any] = {"type": f"{kind.__module__}.{kind.__qualname__}", "frames": _frames(current)}
            for name in ("sqlstate", "code"):
                if isinstance(value := getattr(current, name, None), str):
                    one[name] = mask(value)[:50]
            if self._with_messages:
                one["message"] = mask(str(current))[:_LONGEST_TEXT]
            described.append(one)
            current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
        return described


def _frames(error: BaseException) -> list[str]:
    frames: list[str] = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        frames.append(f"{code.co_filename}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return frames


def _masked(key: str, value: object) -> object:
    if isinstance(value, str) and not isinstance(value, Enum):
        return value if key == "timestamp" else mask(value)[:_LONGEST_TEXT]
    return value


def _take_template(_logger: WrappedLogger, _method: str, entry: EventDict) -> EventDict:
    """Log another library's line as it is written in its code, before values are put into it."""
    record: logging.LogRecord = entry["_record"]
    entry["event"] = str(record.msg) if isinstance(record.msg, str) else type(record.msg).__name__
    return entry


def _add_timestamp(_logger: WrappedLogger, _method: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Add when it was logged, RFC 3339 in UTC to the millisecond."""
    now = datetime.now(UTC)
    entry["timestamp"] = now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return entry


def _to_json(entry: Mapping[str, Any], **_options: object) -> str:
    return msgspec.json.encode(entry, enc_hook=str).decode()
