"""Reading what operators send: JSON that may not be JSON, keys in any case, numbers that may be text. Pure."""

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import phonenumbers

from engine.kernel.transport import WireResponse

SERVER_ERROR = 500
TEXT_MAX = 200


def read_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object in `body`, numbers with a point as Decimal; an empty one if it is none.

    Gateways answer with HTML, with half a body, and with nothing.
    """
    try:
        value = json.loads(body, parse_float=Decimal)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def text_of(value: object) -> str:
    """Return a JSON value as text: operators write a code or an amount now as text, now as a number."""
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        return ""
    text = format(value, "f") if isinstance(value, Decimal) else str(value)
    return text.strip()[:TEXT_MAX]


def child(value: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the object under `name`, an empty one if there is none."""
    found = value.get(name)
    return found if isinstance(found, dict) else {}


def code_of(response: WireResponse, code: str = "") -> str:
    """Return the operator's own code, or the status where there is none."""
    return code or f"HTTP {response.status}"


def digits_of(msisdn: str) -> str:
    """Return an E.164 number without its plus."""
    return msisdn.removeprefix("+")


def national_number(msisdn: str) -> str:
    """Return an E.164 number without its country code."""
    return phonenumbers.national_significant_number(phonenumbers.parse(msisdn))


def words(text: str, longest: int) -> str:
    """Return letters, digits and single spaces of `text` alone, cut to `longest`: operators refuse # and '."""
    return " ".join(re.sub(r"[^A-Za-z0-9 .,-]+", " ", text).split())[:longest].strip()


def letters_and_digits(text: str, longest: int) -> str:
    """Return letters and digits of `text` alone, cut to `longest`."""
    return re.sub(r"[^A-Za-z0-9]+", "", text)[:longest]
