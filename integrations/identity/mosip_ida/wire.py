"""What goes to IDA and what its answers mean. IDA answers 200 also when it refuses. Pure."""

import json
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from msgspec import Struct

from engine.identity.ports import AssertedPerson, IdentityAnswer, IdentityState, NotProven, VerifiedPerson
from engine.kernel.outcomes import Reason
from engine.kernel.transport import WireRequest, WireResponse
from integrations.identity.mosip_ida import sealing
from integrations.identity.reading import (
    child,
    children,
    day_of,
    instant_of,
    judge_status,
    read_object,
    sex_of,
    text_of,
)

_SEXES = {"female": "Female", "male": "Male", "other": "Other"}
_CODES: Mapping[str, tuple[IdentityState, Reason | None]] = {
    "IDA-MLC-001": (IdentityState.REFUSED, Reason.INVALID_REQUEST),  # clocks differ
    "IDA-MLC-002": (IdentityState.UNKNOWN_NUMBER, None),
    "IDA-MLC-003": (IdentityState.BLOCKED, Reason.BLOCKED),  # deactivated: also how a death shows
    "IDA-MLC-004": (IdentityState.UNKNOWN_NUMBER, None),
    "IDA-MLC-008": (IdentityState.REFUSED, Reason.INVALID_REQUEST),
    "IDA-MLC-010": (IdentityState.UNKNOWN_NUMBER, None),
    "IDA-MLC-012": (IdentityState.REFUSED, Reason.INVALID_REQUEST),
    "IDA-MLC-019": (IdentityState.BLOCKED, Reason.BLOCKED),
    "IDA-MLC-022": (IdentityState.BLOCKED, Reason.BLOCKED),
    "IDA-MLC-023": (IdentityState.UNKNOWN_NUMBER, Reason.EXPIRED),
    "IDA-OTA-001": (IdentityState.REFUSED, Reason.LIMIT),
    "IDA-OTA-003": (IdentityState.REFUSED, Reason.EXPIRED),
    "IDA-OTA-004": (IdentityState.MISMATCH, None),
    "IDA-OTA-006": (IdentityState.BLOCKED, Reason.LIMIT),
    "IDA-OTA-007": (IdentityState.BLOCKED, Reason.LIMIT),
    "IDA-DEA-001": (IdentityState.MISMATCH, None),
    "IDA-MPA-001": (IdentityState.REFUSED, Reason.AUTH),
}
"""IDA's codes (IdAuthenticationErrorConstants of mosip/id-authentication)."""


class Partner(Struct, frozen=True, kw_only=True):
    """What IDA knows us by. `id_type` is UIN or VID; `language` the ISO 639-3 code of names that we send."""

    base_url: str
    license_key: str
    partner_id: str
    api_key: str
    domain_uri: str
    environment: str
    language: str
    ida_certificate: x509.Certificate
    certificate: x509.Certificate
    private_key: RSAPrivateKey
    id_type: str = "UIN"
    authority: str = "mosip"

    def __repr__(self) -> str:
        return f"Partner({self.partner_id})"


def request(partner: Partner, asked: AssertedPerson, *, kind: str, now: datetime, transaction: str) -> WireRequest:
    """Return a signed question; `kind` is "auth" or "kyc", `transaction` ten digits."""
    at = f"{now.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03d}Z"
    said: dict[str, Any] = {}
    if asked.full_name:
        said["name"] = [{"language": partner.language, "value": asked.full_name}]
    if asked.born_on is not None:
        said["dob"] = f"{asked.born_on:%Y/%m/%d}"
    if asked.sex in _SEXES:
        said["gender"] = [{"language": partner.language, "value": _SEXES[asked.sex]}]
    inner: dict[str, Any] = {"timestamp": at, "biometrics": [], "demographics": said}
    if asked.one_time_code:
        inner["otp"] = asked.one_time_code
    sealed = sealing.seal(_compact(inner), partner.ida_certificate)
    body = _compact(
        {
            "id": f"mosip.identity.{kind}",
            "version": "1.0",
            "specVersion": "1.0",
            "individualId": asked.number,
            "individualIdType": partner.id_type,
            "transactionID": transaction,
            "requestTime": at,
            "thumbprint": sealed.thumbprint,
            "domainUri": partner.domain_uri,
            "env": partner.environment,
            "requestedAuth": {"demo": bool(said), "pin": False, "otp": bool(asked.one_time_code), "bio": False},
            "consentObtained": True,
            "request": sealed.text,
            "requestSessionKey": sealed.session_key,
            "requestHMAC": sealed.digest,
            "metadata": {},
        }
    )
    path = f"idauthentication/v1/{kind}/{partner.license_key}/{partner.partner_id}/{partner.api_key}"
    return WireRequest(
        method="POST",
        url=f"{partner.base_url.rstrip('/')}/{path}",
        headers={
            "content-type": "application/json",
            "signature": sealing.sign(body, partner.private_key, partner.certificate),
        },
        body=body,
        is_secret=True,
    )


def new_transaction() -> str:
    """Return ten digits that nobody can guess."""
    return f"{secrets.randbelow(10**10):010d}"


def read_answer(response: WireResponse, partner: Partner, *, transaction: str, now: datetime) -> IdentityAnswer:
    """Return what IDA said.

    Raises:
        NotProven: "replayed", it is the answer to another question; "unreadable", its e-KYC is not sealed for us.
    """
    failed = judge_status(response)
    if failed is not None:
        return failed
    said = read_object(response.body)
    errors = children(said, "errors")
    if errors:
        code = text_of(errors[0].get("errorCode"))[:80]
        state, reason = _CODES.get(code, (IdentityState.REFUSED, Reason.OTHER))
        if code.startswith("IDA-BIA-"):
            state, reason = IdentityState.MISMATCH, None
        return IdentityAnswer(state=state, reason=reason, code=code)
    inner = child(said, "response")
    if response.status != 200 or not inner:
        return IdentityAnswer(state=IdentityState.UNKNOWN, reason=Reason.AMBIGUOUS, code=f"HTTP {response.status}")
    if said.get("transactionID") != transaction:
        raise NotProven("replayed")
    status = inner.get("kycStatus", inner.get("authStatus"))
    if status is not True:
        return IdentityAnswer(state=IdentityState.MISMATCH, code="authStatus")
    identity = _identity(inner, partner)
    phone, mail = text_of(identity.get("phoneNumber")), text_of(identity.get("emailId"))
    return IdentityAnswer(
        state=IdentityState.VERIFIED,
        person=VerifiedPerson(
            authority=partner.authority,
            as_of=instant_of(said.get("responseTime")) or now,
            subject=text_of(inner.get("authToken")),
            names=tuple(dict.fromkeys(_values(identity, "name"))),
            born_on=day_of(identity.get("dob")),
            sex=sex_of(next(iter(_values(identity, "gender")), "")),
            phone=phone,
            email=mail,
            address=", ".join(value for part in (1, 2, 3) for value in _values(identity, f"addressLine{part}")[:1]),
            evidence=transaction,
        ),
    )


def _identity(inner: Mapping[str, Any], partner: Partner) -> dict[str, Any]:
    """Return what an e-KYC answer holds of the person; nothing where only yes was said."""
    sealed = text_of_any(inner.get("identity"))
    if not sealed:
        return {}
    try:
        plain = sealing.unseal(sealed, text_of_any(inner.get("sessionKey")), partner.private_key)
    except sealing.Unsealable as error:
        raise NotProven("unreadable") from error
    found = read_object(plain)
    if not found:
        raise NotProven("unreadable")
    return found


def _values(identity: Mapping[str, Any], name: str) -> list[str]:
    """Return an attribute's values: one text, or one a language, in lists or in keys such as "name_eng"."""
    found = [text_of(one.get("value")) for one in children(identity, name)]
    found += [text_of(value) for key, value in identity.items() if key == name or key.startswith(f"{name}_")]
    return [value for value in found if value]


def text_of_any(value: object) -> str:
    """Return a text however long, "" for anything else."""
    return value if isinstance(value, str) else ""


def _compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
