"""The other side of the Cloud API: takes messages over HTTP, sends signed webhooks in batches, tests our address.

What a number ends in decides (`MAGIC_NUMBERS`); to one that ends in 0999 a message is accepted and then fails.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from engine.kernel.transport import Transport, WireRequest, WireResponse
from integrations.messaging.simulating import Faults, HttpServer, Reporting

MAGIC_NUMBERS: Mapping[str, tuple[int, int, str]] = {
    "0026": (400, 131026, "Message undeliverable"),
    "0047": (400, 131047, "Re-engagement message"),
    "0429": (429, 130429, "Rate limit hit"),
    "0500": (500, 131000, "Something went wrong"),
}
UNDELIVERED = "0999"


@dataclass(frozen=True, slots=True)
class SentMessage:
    """What the platform was asked to carry; `text` is the body, or the template's name and values."""

    message_id: str
    to: str
    text: str


class WhatsAppSimulator:
    """`POST /{version}/{phone_number_id}/messages`, and webhooks to `reports_to`, several statuses to a webhook."""

    def __init__(
        self,
        transport: Transport,
        *,
        phone_number_id: str,
        token: str,
        app_secret: str,
        reports_to: str = "",
        port: int = 0,
        faults: Faults | None = None,
    ) -> None:
        self.faults = faults or Faults()
        self.sent: list[SentMessage] = []
        self.server = HttpServer(self._answer, port=port, faults=self.faults)
        self.reporting = Reporting(transport, reports_to, self.faults)
        self._transport = transport
        self._reports_to = reports_to
        self._phone_number_id = phone_number_id
        self._token = token
        self._app_secret = app_secret

    async def test_our_address(self, verify_token: str, challenge: str) -> WireResponse:
        """Send the GET by which the platform tests an address before it reports to it."""
        query = {"hub.mode": "subscribe", "hub.challenge": challenge, "hub.verify_token": verify_token}
        return await self._transport.send(WireRequest(method="GET", url=f"{self._reports_to}?{urlencode(query)}"))

    def report(self, *statuses: Mapping[str, object]) -> None:
        """Keep one webhook that brings all of `statuses`."""
        metadata = {"display_phone_number": "254700000000", "phone_number_id": self._phone_number_id}
        value = {"messaging_product": "whatsapp", "metadata": metadata, "statuses": list(statuses)}
        entry = {"id": "102290129340398", "changes": [{"value": value, "field": "messages"}]}
        body = json.dumps({"object": "whatsapp_business_account", "entry": [entry]}).encode()
        signature = hmac.new(self._app_secret.encode(), body, hashlib.sha256).hexdigest()
        headers = {"content-type": "application/json", "x-hub-signature-256": f"sha256={signature}"}
        self.reporting.later(headers=headers, body=body)

    async def _answer(self, request: WireRequest) -> WireResponse:
        parts = request.url.strip("/").split("/")
        if request.method != "POST" or parts[1:] != [self._phone_number_id, "messages"]:
            return _error(400, 100, "Unsupported post request")
        if request.headers.get("authorization") != f"Bearer {self._token}":
            return _error(401, 190, "Invalid OAuth access token")
        asked = json.loads(request.body)
        text = _text_of(asked)
        if asked.get("messaging_product") != "whatsapp" or not asked.get("to") or text is None:
            return _error(400, 100, "Invalid parameter")
        to = asked["to"].removeprefix("+")
        if to[-4:] in MAGIC_NUMBERS:
            return _error(*MAGIC_NUMBERS[to[-4:]])
        message_id = f"wamid.HBgM{len(self.sent) + 1:024d}"
        self.sent.append(SentMessage(message_id, to, text))
        self._report_fate(message_id, to, asked.get("biz_opaque_callback_data"))
        answer = {
            "messaging_product": "whatsapp",
            "contacts": [{"input": asked["to"], "wa_id": to}],
            "messages": [{"id": message_id, "message_status": "accepted"}],
        }
        return WireResponse(status=200, headers={"content-type": "application/json"}, body=json.dumps(answer).encode())

    def _report_fate(self, message_id: str, to: str, ours: str | None) -> None:
        words = ("sent", "failed") if to.endswith(UNDELIVERED) else ("sent", "delivered", "read")
        statuses = [_status(message_id, to, word, ours, 1795000000 + place) for place, word in enumerate(words)]
        self.report(*statuses[:1])
        self.report(*statuses[1:])


def _status(message_id: str, to: str, word: str, ours: str | None, at: int) -> dict[str, object]:
    found: dict[str, object] = {"id": message_id, "status": word, "timestamp": str(at), "recipient_id": to}
    if ours is not None:
        found["biz_opaque_callback_data"] = ours
    if word == "failed":
        found["errors"] = [{"code": 131026, "title": "Message undeliverable", "message": "Message undeliverable"}]
    else:
        found["pricing"] = {"billable": True, "pricing_model": "PMP", "type": "regular", "category": "utility"}
    return found


def _text_of(asked: Mapping[str, Mapping[str, object]]) -> str | None:
    """Return the text asked for, or a template's name and values; None if there is neither."""
    kind = asked.get("type", "text")
    if kind == "text":
        body = asked.get("text", {}).get("body")
        return body if isinstance(body, str) and 0 < len(body) <= 4096 else None
    if kind != "template" or not asked.get("template", {}).get("name"):
        return None
    return json.dumps(asked["template"], sort_keys=True)


def _error(status: int, code: int, message: str) -> WireResponse:
    error = {"message": f"(#{code}) {message}", "type": "OAuthException", "code": code, "fbtrace_id": "AbCdEf"}
    return WireResponse(
        status=status, headers={"content-type": "application/json"}, body=json.dumps({"error": error}).encode()
    )
