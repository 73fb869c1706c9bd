"""A described HTTP gateway, answering the engine's port for messages."""

from collections.abc import Mapping

from engine.kernel.transport import Transport, WireRequest, WireResponse
from engine.notices.ports import DeliveryHint, MessageAnswer, OutgoingMessage
from integrations.messaging.http_gateway import wire
from integrations.messaging.http_gateway.description import Gateway, description_problems


class HttpGateway:
    """Sends messages by one gateway. `secrets` are filled into its description and stand nowhere else."""

    def __init__(
        self,
        transport: Transport,
        gateway: Gateway,
        secrets: Mapping[str, str],
        *,
        base_url: str,
        report_url: str = "",
    ) -> None:
        """Raise ValueError, with everything that is wrong, if the description cannot be used."""
        problems = description_problems(gateway, secrets)
        if problems:
            raise ValueError("; ".join(problems))
        self._transport = transport
        self._gateway = gateway
        self._secrets = secrets
        self._base_url = base_url
        self._report_url = report_url

    async def send(self, message: OutgoingMessage) -> MessageAnswer:
        """Ask for one message to one number."""
        request = wire.send_request(
            message, self._gateway, self._secrets, base_url=self._base_url, report_url=self._report_url
        )
        return wire.read_answer(await self._transport.send(request), message, self._gateway.answers)

    def read_report(self, report: WireRequest) -> tuple[DeliveryHint, ...]:
        """Return the one hint of a report, if its token or signature is true where the gateway has one."""
        return wire.read_report(report, self._gateway, self._secrets)

    def answer_handshake(self, request: WireRequest) -> WireResponse | None:  # noqa: ARG002 - none is described
        """Return None: these gateways report without asking first."""
        return None
