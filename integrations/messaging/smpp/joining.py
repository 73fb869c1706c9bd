"""How a message centre is joined: its table in the secrets file, and the port it answers."""

from typing import Annotated

from msgspec import Meta, Struct

from engine.kernel.joining import Given, Means
from engine.kernel.transport import Callback, Transport, WireRequest, WireResponse
from integrations.messaging.certificates import trusting
from integrations.messaging.smpp.adapter import SmppSms
from integrations.messaging.smpp.session import SmppSession


class Credentials(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where the centre is and what we bind as. Without `tls` the way there must be private; `ca_file` names its authority."""

    host: Given
    port: Annotated[int, Meta(ge=1, le=65_535)] = 2775
    system_id: Annotated[str, Meta(min_length=1, max_length=15)]
    password: Annotated[str, Meta(min_length=1, max_length=8)]
    tls: bool = True
    ca_file: str = ""

    def __repr__(self) -> str:
        return "Credentials(...)"


class _Centre:
    """The session as a transport: a protocol data unit goes out as the body of a request, its response comes as that of an answer."""

    def __init__(self, session: SmppSession) -> None:
        self._session = session

    async def send(self, request: WireRequest) -> WireResponse:
        return WireResponse(status=200, body=await self._session.exchange(request.body))


class _Link:
    """What the adapter sends by: the session behind whatever keeps its messages."""

    def __init__(self, transport: Transport, url: str) -> None:
        self._transport, self._url = transport, url

    async def exchange(self, pdu: bytes) -> bytes:
        return (await self._transport.send(WireRequest(method="SUBMIT_SM", url=self._url, body=pdu))).body


class JoinsMessaging:
    """Answers `Joins` for messages; the session opens when the first one is sent."""

    credentials = Credentials

    def join(self, credentials: Credentials, means: Means) -> SmppSms:
        """Return the adapter."""

        async def receive(report: WireRequest) -> None:
            await means.received(Callback(method=report.method, body=report.body))

        session = SmppSession(
            credentials.host,
            credentials.port,
            system_id=credentials.system_id,
            password=credentials.password,
            receive=receive,
            tls=trusting(credentials.ca_file) if credentials.tls else None,
        )
        means.leaving.push_async_exit(session)
        return SmppSms(_Link(means.recorded(_Centre(session)), f"smpp://{credentials.host}:{credentials.port}"))
