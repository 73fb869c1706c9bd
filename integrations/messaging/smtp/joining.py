"""How a mail server is joined: its table in the secrets file, and the port it answers."""

from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import replace

from engine.kernel.joining import Given, Means
from engine.kernel.transport import Transport, WireRequest, WireResponse
from engine.notices.ports import DeliveryHint, MessageAnswer, OutgoingMessage
from integrations.messaging.certificates import trusting
from integrations.messaging.smtp.adapter import Email
from integrations.messaging.smtp.link import MailLink, MailReply, Stage
from integrations.messaging.smtp.submission import Login, SmtpSubmission


class Credentials(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which server takes our mails, whom they are from, and what a reader's address is made of.

    Members have telephones: `readers` is the address of a gateway that hands mails on to them, {digits} being the number
    without its +. `ca_file` names the server's authority where it is none of the machine's.
    """

    host: Given
    port: Annotated[int, Meta(ge=1, le=65_535)] = 587
    username: Given
    password: Given
    sender: Given
    readers: Annotated[str, Meta(pattern=r"^[^{}\s@]*\{digits\}[^{}\s@]*@[A-Za-z0-9.-]+$")]
    ca_file: str = ""

    def __repr__(self) -> str:
        return "Credentials(...)"


class _Server:
    """The mail server as a transport: a mail goes out as the body of a request, its decisive reply comes as an answer."""

    def __init__(self, link: MailLink) -> None:
        self._link = link

    async def send(self, request: WireRequest) -> WireResponse:
        reply = await self._link.deliver(request.headers["from"], request.headers["to"], request.body)
        return WireResponse(status=reply.code, headers={"stage": reply.stage.value}, body=reply.text.encode())


class _Link:
    """What the adapter sends by: the server behind whatever keeps its mails."""

    def __init__(self, transport: Transport, url: str) -> None:
        self._transport, self._url = transport, url

    async def deliver(self, sender: str, recipient: str, content: bytes) -> MailReply:
        headers = {"from": sender, "to": recipient}
        answer = await self._transport.send(WireRequest(method="MAIL", url=self._url, headers=headers, body=content))
        return MailReply(stage=Stage(answer.headers["stage"]), code=answer.status, text=answer.body.decode())


class MailToTelephones:
    """Answers the engine's port for messages: numbers are written to at the gateway's addresses."""

    def __init__(self, mails: Email, readers: str) -> None:
        self._mails, self._readers = mails, readers

    async def send(self, message: OutgoingMessage) -> MessageAnswer:
        """Hand one mail to the server."""
        return await self._mails.send(
            replace(message, to=self._readers.format(digits=message.to.removeprefix("+")), sender="")
        )

    def read_report(self, report: WireRequest) -> tuple[DeliveryHint, ...]:
        """Return what a delivery status notification says, which a mail server hands to our address for reports."""
        return self._mails.read_report(report)

    def answer_handshake(self, request: WireRequest) -> WireResponse | None:
        """Return None: a mail server tests no address."""
        return self._mails.answer_handshake(request)


class JoinsMessaging:
    """Answers `Joins` for messages."""

    credentials = Credentials

    def join(self, credentials: Credentials, means: Means) -> MailToTelephones:
        """Return the adapter; ValueError if the sender is no plain address."""
        login = Login(credentials.username, credentials.password)
        tls = trusting(credentials.ca_file)
        server = _Server(SmtpSubmission(credentials.host, credentials.port, tls=tls, login=login))
        link = _Link(means.recorded(server), f"smtp://{credentials.host}:{credentials.port}")
        return MailToTelephones(Email(link, sender=credentials.sender, clock=means.clock), credentials.readers)
