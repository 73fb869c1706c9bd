"""IDA's side: opens what partners seal, checks signature, digest and clock, and compares with its own residents."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from msgspec import Struct

from engine.kernel.transport import WireRequest, WireResponse
from integrations.identity.mosip_ida import sealing

CLOCKS_APART = timedelta(minutes=3)


class Resident(Struct, frozen=True, kw_only=True):
    """Somebody invented, as the register has them; `born_on` with slashes."""

    name: str
    born_on: str
    gender: str = "Female"
    phone: str = ""
    one_time_code: str = ""
    is_deactivated: bool = False


class IdaSimulator:
    """One IDA; to be served by `integrations.messaging.simulating.HttpServer`."""

    def __init__(
        self,
        private_key: RSAPrivateKey,
        certificate: x509.Certificate,
        partner_certificate: x509.Certificate,
        residents: Mapping[str, Resident],
    ) -> None:
        """Open with `private_key` what is sealed for `certificate`; know one partner and the residents by number."""
        self.certificate = certificate
        self.seals_for = partner_certificate
        self.repeats: bytes = b""
        self._private, self._partner = private_key, partner_certificate
        self._residents = residents

    async def __call__(self, request: WireRequest) -> WireResponse:
        """Answer one request."""
        kind = request.url.split("/")[3] if request.url.startswith("/idauthentication/v1/") else ""
        if kind not in ("auth", "kyc") or request.method != "POST":
            return WireResponse(status=404)
        if self.repeats:
            return _json(self.repeats)
        body = _compact(self._decide(kind, request))
        return _json(body)

    def _decide(self, kind: str, request: WireRequest) -> dict[str, Any]:
        outer = json.loads(request.body)
        answer: dict[str, Any] = {
            "id": f"mosip.identity.{kind}",
            "version": "1.0",
            "transactionID": outer["transactionID"],
            "responseTime": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.000}Z",
        }
        try:
            inner = self._open(outer, request)
        except sealing.Unsealable:
            return {**answer, **_refused("IDA-MPA-001")}
        resident = self._residents.get(outer["individualId"])
        code = _fault(outer, inner, resident)
        if code or resident is None:
            return {**answer, **_refused(code)}
        said: dict[str, Any] = {"authStatus": True, "authToken": f"token-{outer['individualId'][-4:]}"}
        if kind == "kyc":
            shown = {
                "name": [{"language": "eng", "value": resident.name}],
                "dob": resident.born_on,
                "gender": [{"language": "eng", "value": resident.gender}],
                "phoneNumber": resident.phone,
            }
            sealed = sealing.seal(_compact(shown), self.seals_for)
            said = {
                "kycStatus": True,
                "authToken": said["authToken"],
                "identity": sealed.text,
                "sessionKey": sealed.session_key,
                "thumbprint": sealed.thumbprint,
            }
        return {**answer, "response": said, "errors": None}

    def _open(self, outer: Mapping[str, Any], request: WireRequest) -> dict[str, Any]:
        if not sealing.is_signed(request.headers.get("signature", ""), request.body, self._partner):
            raise sealing.Unsealable
        if outer["thumbprint"].rstrip("=") != sealing.thumbprint(self.certificate):
            raise sealing.Unsealable
        plain = sealing.unseal(outer["request"], outer["requestSessionKey"], self._private, outer["requestHMAC"])
        opened: dict[str, Any] = json.loads(plain)
        return opened


def _fault(outer: Mapping[str, Any], inner: Mapping[str, Any], resident: Resident | None) -> str:
    """Return the code of what is wrong, "" if nothing is."""
    if abs(datetime.fromisoformat(outer["requestTime"]) - datetime.now(UTC)) > CLOCKS_APART:
        return "IDA-MLC-001"
    if resident is None:
        return "IDA-MLC-002"
    if resident.is_deactivated:
        return "IDA-MLC-003"
    if not any(outer["requestedAuth"].values()):
        return "IDA-MLC-008"
    if outer["requestedAuth"]["otp"] and inner.get("otp") != resident.one_time_code:
        return "IDA-OTA-004"
    said = inner["demographics"]
    names = [one["value"].casefold() for one in said.get("name", [])]
    fits = (
        all(name == resident.name.casefold() for name in names)
        and said.get("dob", resident.born_on) == resident.born_on
    )
    return "" if fits else "IDA-DEA-001"


def _refused(code: str) -> dict[str, Any]:
    return {"response": {"authStatus": False}, "errors": [{"errorCode": code, "errorMessage": "", "actionMessage": ""}]}


def _json(body: bytes) -> WireResponse:
    return WireResponse(status=200, headers={"content-type": "application/json"}, body=body)


def _compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
