"""Two gateways over HTTP: one of the Kannel kind, one that speaks JSON. Both keep what they were asked to carry.

What a number ends in decides: 0402 no money (JSON), 0403 not routable, 0404 invalid (JSON), 0503 try later (Kannel), 0999
accepted and then not reached.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from engine.kernel.transport import Transport, WireRequest, WireResponse
from integrations.messaging.simulating import Faults, HttpServer, Reporting

UNDELIVERED = "0999"


@dataclass(frozen=True, slots=True)
class SentMessage:
    """What a gateway was asked to carry."""

    to: str
    text: str
    sender: str


class KannelSimulator:
    """`GET /cgi-bin/sendsms`, answered by a line of text; reports by GET to the `dlr-url` of each message."""

    def __init__(
        self, transport: Transport, *, username: str, password: str, port: int = 0, faults: Faults | None = None
    ) -> None:
        self.faults = faults or Faults()
        self.sent: list[SentMessage] = []
        self.server = HttpServer(self._answer, port=port, faults=self.faults)
        self.reporting = Reporting(transport, "", self.faults)
        self._account = (username, password)

    async def _answer(self, request: WireRequest) -> WireResponse:
        target = urlsplit(request.url)
        query = {name: values[0] for name, values in parse_qs(target.query).items()}
        if (request.method, target.path) != ("GET", "/cgi-bin/sendsms"):
            return _text(404, "Unknown request.")
        if (query.get("username"), query.get("password")) != self._account:
            return _text(403, "Authorization failed for sendsms")
        to = query.get("to", "")
        if not to:
            return _text(400, "Empty receiver number not allowed, rejected")
        if to.endswith("0403"):
            return _text(404, "Not routable. Do not try again.")
        if to.endswith("0503"):
            return _text(503, "Temporal failure, try again later.")
        self.sent.append(SentMessage(to, query.get("text", ""), query.get("from", "")))
        for kind in ("8", "2" if to.endswith(UNDELIVERED) else "1"):
            self.reporting.later(url=query.get("dlr-url", "").replace("%d", kind), method="GET", headers={}, body=b"")
        return _text(202, "0: Accepted for delivery")


class JsonGatewaySimulator:
    """`POST /v1/messages`, answered in JSON; reports are POSTed to `callback` with an HMAC of the raw body."""

    _REFUSED: Mapping[str, tuple[int, str]] = {
        "0402": (402, "insufficient_balance"),
        "0403": (422, "unroutable"),
        "0404": (422, "invalid_number"),
        "0406": (422, "opted_out"),
    }

    def __init__(
        self, transport: Transport, *, api_key: str, report_key: str, port: int = 0, faults: Faults | None = None
    ) -> None:
        self.faults = faults or Faults()
        self.sent: list[SentMessage] = []
        self.server = HttpServer(self._answer, port=port, faults=self.faults)
        self.reporting = Reporting(transport, "", self.faults)
        self._api_key = api_key
        self._report_key = report_key
        self._known: dict[str, WireResponse] = {}

    async def _answer(self, request: WireRequest) -> WireResponse:
        if (request.method, request.url) != ("POST", "/v1/messages"):
            return _json(404, {"status": "not_found"})
        if request.headers.get("authorization") != f"Bearer {self._api_key}":
            return _json(401, {"status": "unauthorised"})
        key = request.headers.get("idempotency-key", "")
        if key not in self._known:
            self._known[key] = self._carry(json.loads(request.body))
        return self._known[key]

    def _carry(self, asked: Mapping[str, str]) -> WireResponse:
        to = asked["to"]
        if to[-4:] in self._REFUSED:
            status, word = self._REFUSED[to[-4:]]
            return _json(status, {"status": word})
        self.sent.append(SentMessage(to, asked["body"], asked.get("from", "")))
        message_id = f"msg_{len(self.sent):08d}"
        for word in ("sent", "undelivered" if to.endswith(UNDELIVERED) else "delivered"):
            event = {"id": message_id, "status": word, "reference": asked["reference"], "price": "0.0105"}
            body = json.dumps({"type": "message", "event": {**event, "currency": "USD"}}).encode()
            signature = hmac.new(self._report_key.encode(), body, hashlib.sha256).hexdigest()
            headers = {"content-type": "application/json", "x-signature": f"sha256={signature}"}
            self.reporting.later(url=asked["callback"], headers=headers, body=body)
        price = {"amount": "0.0105", "currency": "USD"}
        return _json(201, {"id": message_id, "status": "queued", "price": price, "segments": 1})


def _text(status: int, text: str) -> WireResponse:
    return WireResponse(status=status, headers={"content-type": "text/html"}, body=text.encode())


def _json(status: int, value: object) -> WireResponse:
    return WireResponse(status=status, headers={"content-type": "application/json"}, body=json.dumps(value).encode())
