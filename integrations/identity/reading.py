"""Reading what agencies send: JSON that may be none, days in several customs, words for sexes. Pure."""

import json
from datetime import date, datetime
from typing import Any

from engine.identity.ports import IdentityAnswer, IdentityState, Sex
from engine.kernel.outcomes import Reason
from engine.kernel.transport import WireResponse

TEXT_MAX = 500
_DAYS = ("%Y/%m/%d", "%Y-%m-%d", "%d-%m-%Y", "%d/%m/%Y")
_SEXES: dict[str, Sex] = {
    "m": "male", "male": "male", "f": "female", "female": "female", "o": "other", "other": "other", "others": "other",
    "t": "other", "transgender": "other", "x": "other",
}  # fmt: skip


def read_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object in `body`, an empty one if it is none: a page of HTML, half a body, nothing."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def child(value: object, name: str) -> dict[str, Any]:
    """Return the object under `name`, an empty one if there is none."""
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def children(value: object, name: str) -> list[dict[str, Any]]:
    """Return the objects in the list under `name`; of other things in it, none."""
    found = value.get(name) if isinstance(value, dict) else None
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def text_of(value: object) -> str:
    """Return a JSON text without blanks around it, "" for anything else."""
    return value.strip()[:TEXT_MAX] if isinstance(value, str) else ""


def day_of(value: object) -> date | None:
    """Return a day, written with slashes or hyphens, from the year or from the day; None if it is none."""
    text = text_of(value)
    for form in _DAYS:
        try:
            return datetime.strptime(text, form).date()  # noqa: DTZ007 - a day has no zone
        except ValueError:
            continue
    return None


def instant_of(value: object) -> datetime | None:
    """Return an instant of ISO 8601 that names its zone; None if it is none."""
    try:
        found = datetime.fromisoformat(text_of(value))
    except ValueError:
        return None
    return found if found.tzinfo else None


def sex_of(value: object) -> Sex:
    """Return a sex, "unstated" for a word that is not known."""
    return _SEXES.get(text_of(value).casefold(), "unstated")


def judge_status(response: WireResponse) -> IdentityAnswer | None:
    """Return what the status alone says, None where the body must say: a success, or a refusal with words."""
    if response.status == 429:
        return IdentityAnswer(state=IdentityState.REFUSED, reason=Reason.LIMIT, code="HTTP 429")
    if response.status >= 500 or (response.status != 200 and not read_object(response.body)):
        return IdentityAnswer(state=IdentityState.UNKNOWN, reason=Reason.PROVIDER_DOWN, code=f"HTTP {response.status}")
    return None
