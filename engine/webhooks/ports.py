"""What webhooks need from outside: somebody who carries a message to a partner's endpoint."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from engine.webhooks.rules import WebhookAnswer, WebhookMessage, WebhookState

__all__ = ["WebhookAnswer", "WebhookMessage", "WebhookState", "Webhooks"]


@runtime_checkable
class Webhooks(Protocol):
    """Tells a partner's endpoint one thing, by one request.

    Implementations must sign with every secret, newest first, so that a partner may verify by any of them while it
    changes one for the other; must not retry; and must say TAKEN for nothing but a whole answer that takes the message.
    """

    async def deliver(self, message: WebhookMessage, secrets: Sequence[str]) -> WebhookAnswer:
        """Send `message` once, and return what the endpoint said.

        Raises:
            Unreachable: nothing was sent.
            Unanswered: it may have been taken; the same message, by the same id, is sent again all the same.
        """
        ...
