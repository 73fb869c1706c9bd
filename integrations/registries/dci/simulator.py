"""A register's side: answers signed searches from its own records, and tells of deaths."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import msgspec
from joserfc.jwk import Key, KeySet

from engine.identity.ports import NotProven
from engine.kernel.transport import WireRequest, WireResponse
from integrations.registries.dci import wire
from integrations.registries.dci.wire import Registry


class DciSimulator:
    """One register with one client; to be served by `integrations.messaging.simulating.HttpServer`."""

    def __init__(self, registry: Registry, key: Key, client_keys: KeySet, records: Sequence[Mapping[str, Any]]) -> None:
        """Sign by `key`, believe what one of `client_keys` signed; `registry` is as the client has it."""
        self._own = msgspec.structs.replace(registry, sender_id=registry.receiver_id, receiver_id=registry.sender_id)
        self._key, self._client_keys, self.records = key, client_keys, list(records)
        self.repeats: bytes = b""

    async def __call__(self, request: WireRequest) -> WireResponse:
        """Answer one request."""
        if request.url != "/registry/sync/search":
            return WireResponse(status=404)
        now = datetime.now(UTC)
        try:
            _, message = wire.open_envelope(request.body, self._own, self._client_keys, now)
        except NotProven as refused:
            return WireResponse(status=401, body=wire.acknowledgement({}, now=now, refusal=refused.code))
        body = self.repeats or self._envelope("on-search", self._found(message), now)
        return WireResponse(status=200, headers={"content-type": "application/json"}, body=body)

    def notice(self, record: Mapping[str, Any], *, event: str = "spdci-common:RegistryEventType:Death") -> bytes:
        """Return the body that tells of an event."""
        data = {
            "reg_type": self._own.reg_type,
            "reg_event_type": event,
            "reg_record_type": self._own.record_type,
            "reg_records": record,
        }
        event_at = {"reference_id": str(uuid4()), "timestamp": datetime.now(UTC).isoformat(), "data": data}
        told = {"transaction_id": str(uuid4()), "notify_event": [event_at]}
        return self._envelope("notify", told, datetime.now(UTC))

    def _found(self, message: Mapping[str, Any]) -> dict[str, Any]:
        answers = []
        for asked in message["search_request"]:
            query = asked["search_criteria"]["query"]
            wanted = {"identifier_type": query["type"], "identifier_value": query["value"]}
            fitting = [record for record in self.records if wanted in record["identifier"]]
            data = {
                "reg_type": self._own.reg_type,
                "reg_record_type": self._own.record_type,
                "reg_records": fitting,
            }
            named = {name: asked[name] for name in ("reference_id", "timestamp")}
            answers.append({**named, "status": "succ", "data": data})
        return {
            "transaction_id": message["transaction_id"],
            "correlation_id": str(uuid4()),
            "search_response": answers,
        }

    def _envelope(self, action: str, message: Mapping[str, Any], now: datetime) -> bytes:
        return wire.envelope(
            self._own, self._key, action=action, message=message, now=now, message_id=uuid4(), total=1, status="succ"
        )
