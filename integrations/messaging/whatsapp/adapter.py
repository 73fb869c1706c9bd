"""WhatsApp Cloud API, answering the engine's port for messages."""

from engine.kernel.transport import Transport, WireRequest, WireResponse
from engine.notices.ports import DeliveryHint, MessageAnswer, OutgoingMessage
from integrations.messaging.whatsapp import wire

GRAPH = "https://graph.facebook.com"
VERSION = "v23.0"


class WhatsAppCloud:
    """Sends texts and templates from one number; its reports are signed with the app's secret.

    The platform has no key against sending twice: after UNKNOWN only a webhook, which brings our reference, tells.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        phone_number_id: str,
        token: str,
        app_secret: str,
        verify_token: str,
        base_url: str = GRAPH,
        version: str = VERSION,
    ) -> None:
        self._transport = transport
        self._phone_number_id = phone_number_id
        self._token = token
        self._app_secret = app_secret
        self._verify_token = verify_token
        self._base_url = base_url
        self._version = version

    async def send(self, message: OutgoingMessage) -> MessageAnswer:
        """Ask for one message to one number."""
        request = wire.send_request(
            message,
            base_url=self._base_url,
            version=self._version,
            phone_number_id=self._phone_number_id,
            token=self._token,
        )
        return wire.read_answer(await self._transport.send(request))

    def read_report(self, report: WireRequest) -> tuple[DeliveryHint, ...]:
        """Return what a signed webhook says of messages of this number."""
        return wire.read_report(report, app_secret=self._app_secret, phone_number_id=self._phone_number_id)

    def answer_handshake(self, request: WireRequest) -> WireResponse | None:
        """Return the platform's challenge, if it knows the token agreed upon."""
        return wire.answer_handshake(request, verify_token=self._verify_token)
