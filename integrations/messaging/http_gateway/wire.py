"""Requests, answers and reports of a described gateway. Pure: values to bytes and back."""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from engine.kernel.outcomes import ExchangeState, Reason
from engine.kernel.transport import WireRequest, WireResponse
from engine.notices.ports import (
    DeliveryHint,
    DeliveryState,
    MessageAnswer,
    OutgoingMessage,
    ReportForged,
    ReportUnreadable,
)
from integrations.messaging.answers import judge_status, rejected, unknown, word
from integrations.messaging.http_gateway.description import PLACEHOLDER, Answers, Gateway, ReadFields

FORM = "application/x-www-form-urlencoded"
ANSWER_CHARACTERS_MAX = 4_096
REPORT_BYTES_MAX = 65_536

_DECIMAL = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?")
_CURRENCY = re.compile(r"[A-Z]{3}")


def send_request(
    message: OutgoingMessage, gateway: Gateway, secrets: Mapping[str, str], *, base_url: str, report_url: str = ""
) -> WireRequest:
    """Return the request by which this gateway sends `message`. Fields that are empty are left out."""
    values = {
        **secrets,
        "reference": message.reference,
        "to": message.to,
        "to_digits": message.to.removeprefix("+"),
        "text": message.text,
        "sender": message.sender,
        "coding": "0" if message.encoding == "gsm-7" else "2",
        "report_url": report_url,
    }
    url = base_url + _filled(gateway.path, {name: quote(value, safe="") for name, value in values.items()})
    fields = {name: text for name, template in gateway.fields.items() if (text := _filled(template, values))}
    headers = {name: _filled(template, values) for name, template in gateway.headers.items()}
    if gateway.basic:
        pair = f"{secrets[gateway.basic.username]}:{secrets[gateway.basic.password]}"
        headers["authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    if gateway.format == "query":
        return WireRequest(method="GET", url=f"{url}?{urlencode(fields)}", headers=headers, acts=True)
    if gateway.format == "form":
        return WireRequest(
            method="POST", url=url, headers={**headers, "content-type": FORM}, body=urlencode(fields).encode()
        )
    body = json.dumps(fields, ensure_ascii=False).encode()
    return WireRequest(method="POST", url=url, headers={**headers, "content-type": "application/json"}, body=body)


def read_answer(response: WireResponse, message: OutgoingMessage, rules: Answers) -> MessageAnswer:
    """Return what the gateway said of `message`."""
    if response.status not in rules.statuses and (judged := judge_status(response)) is not None:
        return judged
    found = _answer_fields(response, rules)
    outcome = found.get("outcome", "")
    if outcome in rules.rejected:
        return rejected(rules.rejected[outcome], word(outcome))
    if not outcome or outcome not in rules.accepted:
        return unknown(Reason.AMBIGUOUS, word(outcome))
    cost, currency = _cost(found, rules.currency)
    parts = found.get("parts", "")
    return MessageAnswer(
        state=ExchangeState.ACCEPTED,
        provider_ref=found.get("provider_ref", ""),
        cost=cost,
        currency=currency,
        parts=int(parts) if re.fullmatch(r"[1-9][0-9]?", parts) else len(message.pieces),
        code=word(outcome),
    )


def read_report(request: WireRequest, gateway: Gateway, secrets: Mapping[str, str]) -> tuple[DeliveryHint, ...]:
    """Return the one hint of a report.

    Raises:
        ReportForged: its token or signature is missing or false.
        ReportUnreadable: it has no outcome, or names neither the gateway's id nor our reference.

    """
    rules = gateway.reports
    if len(request.body) > REPORT_BYTES_MAX:
        raise ReportUnreadable(reason="it is too large")
    headers = {name.lower(): value for name, value in request.headers.items()}
    if rules.signature is not None:
        expected = hmac.new(secrets["report_key"].encode(), request.body, hashlib.sha256).hexdigest()
        _prove(headers.get(rules.signature.lower(), "").removeprefix("sha256="), expected)
    told = _report_fields(request, rules.format)
    if rules.token is not None:
        _prove(_at(told, rules.token) or headers.get(rules.token.lower(), ""), secrets["report_token"])
    found = _read(told, rules.read)
    if not found.get("outcome") or not (found.get("provider_ref") or found.get("reference")):
        raise ReportUnreadable(reason="a report has an outcome, and an id or a reference")
    outcome = found["outcome"]
    state = rules.outcomes.get(outcome, DeliveryState.UNDER_WAY)
    cost, currency = _cost(found, gateway.answers.currency)
    return (
        DeliveryHint(
            provider_ref=found.get("provider_ref", ""),
            reference=found.get("reference", ""),
            state=state,
            reason=rules.reasons.get(outcome, Reason.OTHER) if state is DeliveryState.FAILED else None,
            cost=cost,
            currency=currency,
            code=word(outcome),
        ),
    )


def _filled(template: str, values: Mapping[str, str]) -> str:
    """Return `template` with each placeholder replaced once: what a value brings is never filled again."""
    return PLACEHOLDER.sub(lambda match: values[match[1]], template)


def _answer_fields(response: WireResponse, rules: Answers) -> dict[str, str]:
    try:
        text = response.body.decode()
        if rules.read is not None:
            return _read(json.loads(text), rules.read)
    except ValueError:
        return {}
    match = re.fullmatch(rules.pattern or "", text[:ANSWER_CHARACTERS_MAX].strip(), re.DOTALL)
    return {name: value for name, value in match.groupdict().items() if value} if match else {}


def _report_fields(request: WireRequest, form: str) -> object:
    try:
        if form == "json":
            return json.loads(request.body)
        text = request.body.decode() if form == "form" else urlsplit(request.url).query
        pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=True, max_num_fields=60, errors="strict")
    except ValueError:
        raise ReportUnreadable(reason=f"it is no well-formed {form}") from None
    if len(dict(pairs)) != len(pairs):
        raise ReportUnreadable(reason="a field stands twice in it")
    return dict(pairs)


def _read(told: object, where: ReadFields) -> dict[str, str]:
    """Return the values that are there, as text, by the names of `ReadFields`."""
    paths = {
        "outcome": where.outcome,
        "provider_ref": where.provider_ref,
        "reference": where.reference,
        "cost": where.cost,
        "currency": where.currency,
        "parts": where.parts,
    }
    return {name: value for name, path in paths.items() if path is not None and (value := _at(told, path))}


def _at(told: object, path: str) -> str:
    """Return the text or whole number at `path`, as text; "" if there is none. Never a float: it has no exact text."""
    for step in path.split("."):
        if isinstance(told, Mapping):
            told = told.get(step)
        elif isinstance(told, list) and step.isdecimal() and int(step) < len(told):
            told = told[int(step)]
        else:
            return ""
    return str(told) if isinstance(told, str | int) and not isinstance(told, bool) else ""


def _cost(found: Mapping[str, str], currency: str) -> tuple[str, str]:
    cost, currency = found.get("cost", ""), found.get("currency", currency)
    return (cost, currency) if _DECIMAL.fullmatch(cost) and _CURRENCY.fullmatch(currency) else ("", "")


def _prove(given: str, expected: str) -> None:
    if not hmac.compare_digest(given.encode(), expected.encode()):
        raise ReportForged(reason="it does not prove that it comes from the gateway")
