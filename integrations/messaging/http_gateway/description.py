"""What can be said of a gateway, as data: where it is, what it wants, how its answers and reports are read.

Texts may hold `{reference}`, `{to}`, `{to_digits}` (without +), `{text}`, `{sender}`, `{coding}` (0 for GSM-7, 2 for UCS-2),
`{report_url}` and the names of secrets, which are given beside the description and never in it.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from engine.kernel.outcomes import Reason
from engine.notices.ports import DeliveryState

FILLED = frozenset({"reference", "to", "to_digits", "text", "sender", "coding", "report_url"})
PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
Path = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$")]
"""Where a value stands in JSON: names and places joined by dots, such as `messages.0.id`; in a form, a field."""


class BasicAuth(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """HTTP Basic authentication; both are names of secrets."""

    username: str
    password: str


class ReadFields(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where the values of an answer or report stand; None where it has no such value."""

    outcome: Path
    provider_ref: Path | None = None
    reference: Path | None = None
    cost: Path | None = None
    currency: Path | None = None
    parts: Path | None = None


class Answers(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How an answer is read: JSON by paths, or text by a pattern whose named groups are the fields.

    An outcome that is neither accepted nor rejected here is unknown. `statuses` are HTTP statuses whose body is read
    though they are no success.
    """

    format: Literal["json", "text"]
    accepted: tuple[str, ...]
    rejected: Mapping[str, Reason] = {}
    read: ReadFields | None = None
    pattern: str | None = None
    statuses: tuple[int, ...] = ()
    currency: str = ""


class Reports(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a delivery report is read. Outcomes that are not named mean that the message is under way.

    `token` is the field or header in which the gateway sends back the secret `report_token`; `signature` the header
    with the hex HMAC-SHA256 of the raw body under the secret `report_key`. With neither, reports are hints by anyone.
    """

    format: Literal["form", "json", "query"]
    read: ReadFields
    outcomes: Mapping[str, DeliveryState]
    reasons: Mapping[str, Reason] = {}
    token: str | None = None
    signature: str | None = None


class Gateway(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A gateway. `path` follows the address it has for one tenant."""

    path: Annotated[str, Meta(pattern=r"^/")]
    format: Literal["form", "json", "query"]
    fields: Mapping[str, str]
    answers: Answers
    reports: Reports
    headers: Mapping[str, str] = {}
    basic: BasicAuth | None = None


def decode_gateway(content: bytes) -> Gateway:
    """Return the gateway that TOML in UTF-8 describes.

    Raises:
        ValueError: it is no TOML, or not of this form; the message says where.

    """
    return msgspec.toml.decode(content, type=Gateway)


def description_problems(gateway: Gateway, secrets: Mapping[str, str]) -> list[str]:
    """Return what is wrong with a description, given the secrets that stand beside it."""
    known = FILLED | secrets.keys()
    texts = {"path": gateway.path, **gateway.fields, **gateway.headers}
    found = [
        f"{name} has {{{missing}}}, which is neither a value of a message nor a secret"
        for name, text in texts.items()
        for missing in PLACEHOLDER.findall(text)
        if missing not in known
    ]
    needed = [
        *((gateway.basic.username, gateway.basic.password) if gateway.basic else ()),
        *(("report_token",) if gateway.reports.token else ()),
        *(("report_key",) if gateway.reports.signature else ()),
    ]
    found += [f"the secret {name} is missing" for name in needed if name not in secrets]
    answers = gateway.answers
    if (answers.format == "json") != (answers.read is not None) or (answers.format == "text") != bool(answers.pattern):
        found.append("answers in json need read, answers in text a pattern, and neither the other's")
    if answers.pattern:
        found += _pattern_problems(answers.pattern)
    return found


def _pattern_problems(pattern: str) -> list[str]:
    try:
        groups = re.compile(pattern).groupindex
    except re.error as error:
        return [f"the pattern of the answers is not one: {error}"]
    return [] if "outcome" in groups else ["the pattern of the answers has no group named outcome"]
