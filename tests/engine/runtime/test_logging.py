"""What gets into the log, and above all what does not."""

import io
import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from engine.runtime.logging import configure_logging, get_logger, mask

EMAIL, PHONE, NAME = "amina@example.org", "+254712345678", "Amina Wanjiku"


class Log(io.StringIO):
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.getvalue().splitlines()]


@pytest.fixture
def log() -> Iterator[Log]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    stream = Log()
    configure_logging("info", stream=stream)
    yield stream
    root.handlers[:], root.level = before
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def test_a_line_is_json_with_a_utc_time(log: Log) -> None:
    structlog.contextvars.bind_contextvars(tenant="demo", request_id="r1")
    get_logger("engine.ledger").info("batch posted", count=3, duration_ms=1.5)
    (line,) = log.lines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("timestamp"))
    assert line == {
        "event": "batch posted", "level": "info", "logger": "engine.ledger",
        "tenant": "demo", "request_id": "r1", "count": 3, "duration_ms": 1.5,
    }  # fmt: skip


@pytest.mark.parametrize("key", ["email", "phone", "member_name", "payload", "msisdn"])
def test_an_unlisted_key_is_named_but_its_value_never_appears(log: Log, key: str) -> None:
    get_logger("x").warning("member enrolled", **{key: f"{EMAIL} {PHONE} {NAME}"})
    assert log.lines()[0]["withheld"] == [key]
    for secret in (EMAIL, PHONE, NAME, "254712345678"):
        assert secret not in log.getvalue()


def test_a_listed_key_holds_plain_values_only(log: Log) -> None:
    get_logger("x").info("refused", status={"email": EMAIL}, reason_code=[PHONE], count=1)
    assert log.lines()[0]["withheld"] == ["reason_code", "status"]
    assert EMAIL not in log.getvalue()
    assert PHONE not in log.getvalue()


def test_what_looks_personal_is_masked_under_listed_keys_too(log: Log) -> None:
    get_logger("x").info(f"called {PHONE}", route=f"/members/{EMAIL}", order_id="7f3e9a10-1234-4abc-8def-1234567890ab")
    line = log.lines()[0]
    assert (line["event"], line["route"]) == ("called ***", "***")
    assert line["order_id"] == "7f3e9a10-1234-4abc-8def-1234567890ab"


def test_other_libraries_are_logged_as_their_template(log: Log) -> None:
    logging.getLogger("uvicorn.access").info('%s - "%s %s"', "10.0.0.7", "GET", f"/?phone={PHONE}")
    logging.getLogger("driver").error("failed", extra={"email": EMAIL})
    first, second = log.lines()
    assert first["event"] == '%s - "%s %s"'
    assert first["logger"] == "uvicorn.access"
    assert second["event"] == "failed"
    assert PHONE not in log.getvalue()
    assert EMAIL not in log.getvalue()


def fail(secret_local: str) -> None:
    raise ValueError(f"bad value {secret_local} for {NAME}")


@pytest.mark.parametrize("make", [get_logger, logging.getLogger])
def test_an_exception_shows_where_but_not_what(log: Log, make: Any) -> None:
    try:
        try:
            fail(EMAIL)
        except ValueError as error:
            raise RuntimeError(PHONE) from error
    except RuntimeError:
        make("x").exception("posting failed")
    outer, inner = log.lines()[0]["exception"]
    assert outer["type"] == "builtins.RuntimeError"
    assert inner["type"] == "builtins.ValueError"
    assert inner["frames"][-1].endswith(" fail")
    for secret in (EMAIL, PHONE, NAME):
        assert secret not in log.getvalue()


def test_messages_can_be_asked_for_and_are_masked(log: Log) -> None:
    configure_logging(stream=log, with_messages=True)
    try:
        fail(EMAIL)
    except ValueError:
        get_logger("x").exception("failed")
    assert log.lines()[0]["exception"][0]["message"] == f"bad value *** for {NAME}"


def test_the_level_counts(log: Log) -> None:
    get_logger("x").debug("unseen")
    assert log.lines() == []


@pytest.mark.parametrize("text", ["2026-01-02", "127.0.0.1", "batch 12", "12345678-1234-4abc-8def-1234567890ab"])
def test_leaves_dates_and_ids(text: str) -> None:
    assert mask(text) == text


@pytest.mark.parametrize("text", [EMAIL, PHONE, "0712 345 678", "(0712) 345-678", "119800123456789"])
def test_masks(text: str) -> None:
    assert not re.search(r"\d{3}|@", mask(f"x {text} y"))
