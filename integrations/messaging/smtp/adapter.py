"""E-mail, answering the engine's port for messages."""

from engine.kernel.clock import Clock
from engine.kernel.outcomes import Reason
from engine.kernel.transport import WireRequest, WireResponse
from engine.notices.ports import DeliveryHint, MessageAnswer, OutgoingMessage
from integrations.messaging.answers import rejected
from integrations.messaging.smtp import wire
from integrations.messaging.smtp.link import MailLink


class Email:
    """Sends mails from one address. A mail server states no cost; its refusals after the fact come as mails."""

    def __init__(self, link: MailLink, *, sender: str, clock: Clock) -> None:
        """Raise ValueError if `sender` is no plain address."""
        if not wire.is_address(sender):
            raise ValueError("the sender is no plain address")
        self._link = link
        self._sender = sender
        self._clock = clock

    @property
    def _domain(self) -> str:
        return self._sender.partition("@")[2]

    async def send(self, message: OutgoingMessage) -> MessageAnswer:
        """Hand one mail to the server; its own id of the mail is never needed, ours is what notifications name."""
        sender = message.sender or self._sender
        try:
            content = wire.write_mail(message, sender=sender, domain=self._domain, at=self._clock.now())
        except ValueError:
            return rejected(Reason.INVALID_REQUEST, "address or subject")
        reply = await self._link.deliver(sender, message.to, content)
        return wire.read_reply(reply, wire.message_id(message.reference, self._domain))

    def read_report(self, report: WireRequest) -> tuple[DeliveryHint, ...]:
        """Return what a delivery status notification, whose bytes are the body, says of one of our mails."""
        return wire.read_report(report, self._domain)

    def answer_handshake(self, request: WireRequest) -> WireResponse | None:  # noqa: ARG002 - there is no address
        """Return None: what comes back comes as mail."""
        return None
