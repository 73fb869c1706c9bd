"""Africa's Talking, answering the engine's ports for messages and for USSD."""

from engine.kernel.transport import Transport, WireRequest, WireResponse
from engine.notices.ports import DeliveryHint, MessageAnswer, OutgoingMessage, UssdEnd, UssdRequest, UssdScreen
from integrations.messaging.africas_talking import wire

PRODUCTION = "https://api.africastalking.com"
SANDBOX = "https://api.sandbox.africastalking.com"


class AfricasTalkingSms:
    """Sends short messages. Reports and requests of this provider carry no signature: the path they come by is secret."""

    def __init__(self, transport: Transport, *, username: str, api_key: str, base_url: str = PRODUCTION) -> None:
        self._transport = transport
        self._username = username
        self._api_key = api_key
        self._base_url = base_url

    async def send(self, message: OutgoingMessage) -> MessageAnswer:
        """Ask for one message to one number."""
        request = wire.send_request(message, base_url=self._base_url, username=self._username, api_key=self._api_key)
        return wire.read_answer(await self._transport.send(request), message)

    def read_report(self, report: WireRequest) -> tuple[DeliveryHint, ...]:
        """Return the one hint of a delivery report."""
        return wire.read_report(report)

    def answer_handshake(self, request: WireRequest) -> WireResponse | None:  # noqa: ARG002 - it never tests an address
        """Return None: this provider reports without asking first."""
        return None


class AfricasTalkingUssd:
    """Reads the gateway's requests for screens and writes the screens."""

    def read(self, request: WireRequest) -> UssdRequest:
        """Return the step a screen is asked for."""
        return wire.read_step(request)

    def write(self, screen: UssdScreen) -> WireResponse:
        """Return the screen after CON or END."""
        return wire.write_screen(screen)

    def read_end(self, request: WireRequest) -> UssdEnd:
        """Return what is told of a session that is over."""
        return wire.read_end(request)
