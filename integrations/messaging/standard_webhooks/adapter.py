"""Standard Webhooks, answering the engine's port for what partners are told."""

from collections.abc import Sequence

from engine.kernel.transport import Transport
from engine.webhooks.ports import WebhookAnswer, WebhookMessage
from integrations.messaging.standard_webhooks import wire


class StandardWebhooks:
    """Tells partners' endpoints; the transport must follow no redirect."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def deliver(self, message: WebhookMessage, secrets: Sequence[str]) -> WebhookAnswer:
        """Send one message, signed by every secret."""
        return wire.read_answer(await self._transport.send(wire.write_request(message, secrets)))
