"""DCI's envelope, questions and records. Pure."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import Key, KeySet
from msgspec import Struct

from engine.identity.ports import DeathNotice, NotProven, RegistryAnswer, SocialClass
from engine.kernel.outcomes import Reason
from engine.kernel.transport import WireRequest, WireResponse

SIGNED_BY = ("RS256", "PS256", "ES256")
VERSION = "1.0.0"
LEEWAY = timedelta(minutes=5)


class Registry(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One register and what it knows us by; data of a pack.

    `record_kind` is the register's name for the number of a death's record. `class_field` names the field of a social
    register's record that holds the class, `as_of_field` the one that says since when. A message is as old as `age_max_hours` at most.
    """

    base_url: str
    sender_id: str
    receiver_id: str
    reg_type: str
    record_type: str = "spdci-extensions-dci:Person"
    record_kind: str = "DRN"
    class_field: str = "class"
    as_of_field: str = "registration_date"
    age_max_hours: int = 24


class _Signed(jws.JWSRegistry):
    max_payload_length = 8_000_000

    def __init__(self) -> None:
        super().__init__(algorithms=SIGNED_BY)


def envelope(
    registry: Registry,
    key: Key,
    *,
    action: str,
    message: Mapping[str, Any],
    now: datetime,
    message_id: UUID,
    total: int,
    status: str = "",
) -> bytes:
    """Return a signed message; what a register sends has a `status`, what it is asked has none."""
    header: dict[str, Any] = {
        "version": VERSION,
        "message_id": str(message_id),
        "message_ts": now.astimezone(UTC).isoformat(timespec="milliseconds"),
        "action": action,
        "sender_id": registry.sender_id,
        "receiver_id": registry.receiver_id,
        "total_count": total,
        "is_msg_encrypted": False,
    }
    if status:
        header["status"] = status
    signed = {"header": header, "message": message}
    protected = {"alg": str(key.alg or "RS256"), "kid": key.kid}
    return compact(
        {"signature": jws.serialize_compact(protected, compact(signed), key, algorithms=SIGNED_BY), **signed}
    )


def search(
    registry: Registry, key: Key, kind: str, numbers: Sequence[str], *, now: datetime, message_id: UUID
) -> WireRequest:
    """Return the question for the holders of numbers of one kind; the reference of each is its place, from 0."""
    at = now.astimezone(UTC).isoformat(timespec="milliseconds")
    asked = [
        {
            "reference_id": f"{message_id}-{place}",
            "timestamp": at,
            "search_criteria": {
                "version": VERSION,
                "reg_type": registry.reg_type,
                "reg_record_type": registry.record_type,
                "query_type": "idtype-value",
                "query": {"type": kind, "value": number},
            },
        }
        for place, number in enumerate(numbers)
    ]
    message = {"transaction_id": str(message_id), "search_request": asked}
    body = envelope(registry, key, action="search", message=message, now=now, message_id=message_id, total=len(asked))
    return WireRequest(
        method="POST",
        url=f"{registry.base_url}/registry/sync/search",
        headers={"content-type": "application/json"},
        body=body,
        is_secret=True,  # the numbers of people
    )


def open_envelope(
    body: bytes, registry: Registry, keys: KeySet, now: datetime
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return header and message of what a register signed.

    Raises:
        NotProven: "unreadable", "not-signed", "signer-unknown", "signature-wrong", "from-another", "not-for-us",
            "too-old", "not-yet-valid".
    """
    try:
        said = json.loads(body)
        signature, header, message = said["signature"], said["header"], said["message"]
        sent = datetime.fromisoformat(header["message_ts"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise NotProven("unreadable") from error
    if not isinstance(message, dict) or sent.tzinfo is None:
        raise NotProven("unreadable")
    if not isinstance(signature, str) or signature.count(".") != 2:
        raise NotProven("not-signed")
    try:
        found = jws.extract_compact(signature.encode(), registry=_Signed()).protected
        if found.get("alg") not in SIGNED_BY:
            raise NotProven("not-signed")
        if "kid" in found and all(key.kid != found["kid"] for key in keys.keys):
            raise NotProven("signer-unknown")
        payload = json.loads(jws.deserialize_compact(signature, keys, registry=_Signed()).payload)
    except (JoseError, ValueError, TypeError) as error:
        raise NotProven("signature-wrong") from error
    if payload != {"header": header, "message": message}:
        raise NotProven("signature-wrong")
    if header.get("sender_id") != registry.receiver_id:
        raise NotProven("from-another")
    if header.get("receiver_id") != registry.sender_id:
        raise NotProven("not-for-us")
    if sent > now + LEEWAY:
        raise NotProven("not-yet-valid")
    if now - sent > timedelta(hours=registry.age_max_hours):
        raise NotProven("too-old")
    return header, message


def read_failure(response: WireResponse) -> RegistryAnswer | None:
    """Return what a status says that is no success, None for one."""
    if response.status == 200:
        return None
    reason = {401: Reason.AUTH, 403: Reason.AUTH, 429: Reason.LIMIT}.get(response.status, Reason.PROVIDER_DOWN)
    return RegistryAnswer(was_searched=False, reason=reason, code=f"HTTP {response.status}")


def read_search(
    header: Mapping[str, Any], message: Mapping[str, Any], registry: Registry, asked: UUID
) -> RegistryAnswer:
    """Return the records that a register found: deaths where a record tells of one, classes where it holds one.

    Raises:
        NotProven: "replayed", it answers another question.
    """
    if message.get("transaction_id") != str(asked):
        raise NotProven("replayed")
    answers = _dicts(message.get("search_response"))
    refused = [one for one in answers if one.get("status") == "rjct"]
    if header.get("status") == "rjct" or refused:
        code = str((refused[0] if refused else header).get("status_reason_code") or "rjct")[:80]
        return RegistryAnswer(was_searched=False, reason=Reason.INVALID_REQUEST, code=code)
    records = [record for one in answers for record in _records(one.get("data"))]
    deaths = (_death(record, registry, is_death=False) for record in records)
    classes = (_class(record, registry) for record in records)
    return RegistryAnswer(
        was_searched=True,
        deaths=tuple(one for one in deaths if one is not None),
        classes=tuple(one for one in classes if one is not None),
    )


def read_notice(message: Mapping[str, Any], registry: Registry) -> tuple[DeathNotice, ...]:
    """Return the deaths that a notice tells of.

    Raises:
        NotProven: "incomplete", a death has no record's number or names nobody: the register is to send it whole.
    """
    found = []
    for event in _dicts(message.get("notify_event")):
        data = event.get("data")
        kind = str(data.get("reg_event_type", "") if isinstance(data, dict) else "").rpartition(":")[2].casefold()
        if "death" not in kind:
            continue
        for record in _records(data):
            notice = _death(record, registry, is_death=True)
            if notice is None:
                raise NotProven("incomplete")
            found.append(notice)
    return tuple(found)


def acknowledgement(message: Mapping[str, Any], *, now: datetime, refusal: str) -> bytes:
    """Return the answer to a notice."""
    said: dict[str, Any] = {
        "ack_status": "NACK" if refusal else "ACK",
        "timestamp": now.astimezone(UTC).isoformat(timespec="milliseconds"),
        "correlation_id": str(message.get("transaction_id") or "")[:99],
    }
    if refusal:
        signed = refusal in {"not-signed", "signature-wrong", "signer-unknown"}
        said["error"] = {"code": "err.signature.invalid" if signed else "err.request.bad", "message": refusal}
    return compact({"message": said})


def compact(value: object) -> bytes:
    """Return JSON with sorted keys and no blanks, of which the same value always gives the same bytes."""
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()


def _death(record: Mapping[str, Any], registry: Registry, *, is_death: bool) -> DeathNotice | None:
    numbers = _identifiers(record)
    number = numbers.pop(registry.record_kind, "")
    died_on = _day(record.get("death_date") or record.get("date_of_death"))
    if not number or not numbers or (died_on is None and not is_death):
        return None
    return DeathNotice(
        registry=registry.receiver_id,
        record=number,
        identifiers=numbers,
        names=_names(record),
        born_on=_day(record.get("birth_date")),
        died_on=died_on,
        is_void=str(record.get("registration_status") or "").casefold() in {"void", "cancelled", "revoked"},
    )


def _class(record: Mapping[str, Any], registry: Registry) -> SocialClass | None:
    name, as_of, numbers = (
        record.get(registry.class_field),
        _day(record.get(registry.as_of_field)),
        _identifiers(record),
    )
    if isinstance(name, int) and not isinstance(name, bool):
        name = str(name)
    if not isinstance(name, str) or not name.strip() or as_of is None or not numbers:
        return None
    return SocialClass(registry=registry.receiver_id, identifiers=numbers, name=name.strip()[:80], as_of=as_of)


def _identifiers(record: Mapping[str, Any]) -> dict[str, str]:
    return {
        str(one.get("identifier_type")): str(one["identifier_value"]).strip()
        for one in _dicts(record.get("identifier"))
        if one.get("identifier_type") and one.get("identifier_value")
    }


def _names(record: Mapping[str, Any]) -> tuple[str, ...]:
    whole = []
    for name in _dicts(record.get("name")):
        parts = [name.get(part) for part in ("given_name", "second_name", "surname")]
        whole.append(" ".join(part.strip() for part in parts if isinstance(part, str) and part.strip()))
    return tuple(filter(None, whole))


def _records(data: object) -> list[dict[str, Any]]:
    return _dicts(data.get("reg_records")) if isinstance(data, dict) else []


def _dicts(value: object) -> list[dict[str, Any]]:
    """Return one object or a list of them as a list: registers write both."""
    many = value if isinstance(value, list) else [value]
    return [one for one in many if isinstance(one, dict)]


def _day(value: object) -> date | None:
    try:
        return date.fromisoformat(value[:10]) if isinstance(value, str) else None
    except ValueError:
        return None
