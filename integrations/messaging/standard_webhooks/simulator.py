"""A partner's endpoint over HTTP: it verifies every message and takes each id once."""

import json
import time
from collections.abc import Callable
from typing import Any

from engine.kernel.transport import WireRequest, WireResponse
from integrations.messaging.simulating import Faults, HttpServer
from integrations.messaging.standard_webhooks import wire

PATH = "/akiba"


class PartnerSimulator:
    """`POST /akiba`: 204 for a message it takes or has taken, 401 for a false signature, or what `answers` says first."""

    def __init__(self, secret: str = "", *, port: int = 0, faults: Faults | None = None) -> None:
        self.secret = secret
        self.faults = faults or Faults()
        self.server = HttpServer(self._answer, port=port, faults=self.faults)
        self.taken: dict[str, Any] = {}
        self.attempts: list[str] = []
        self.refused: list[str] = []
        self.answers: list[WireResponse] = []
        self.now: Callable[[], float] = time.time

    @property
    def url(self) -> str:
        """Return the address to tell."""
        return self.server.url + PATH

    async def _answer(self, request: WireRequest) -> WireResponse:
        if (request.method, request.url) != ("POST", PATH):
            return WireResponse(status=404)
        try:
            message_id = wire.verify(request.headers, request.body, self.secret, now=int(self.now()))
        except (wire.SignatureFalse, ValueError) as error:
            self.refused.append(str(error))
            return WireResponse(status=401)
        self.attempts.append(message_id)
        if self.answers:
            return self.answers.pop(0)
        self.taken.setdefault(message_id, json.loads(request.body))
        return WireResponse(status=204)
