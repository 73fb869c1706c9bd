"""A mail server on this machine (aiosmtpd), with STARTTLS and a login; it bounces as real ones do.

What an address begins with decides: `unknown` 550, `full` 452, `later` 451, `spam` 554 after the content, `absent` taken and
then bounced. `report` brings the notifications that wait, as mails, to `receive`.
"""

import asyncio
import email
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from email.policy import default
from types import TracebackType
from typing import Any, Self

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from engine.kernel.transport import WireRequest
from integrations.messaging.simulating import HOST, Fault, Faults

RECIPIENTS = {
    "unknown": "550 5.1.1 No such user here",
    "full": "452 4.2.2 Mailbox full",
    "later": "451 4.7.1 Try again later",
}
_GARBAGE = "HTTP/1.1 502 Bad Gateway"
_NOTICE = """\
From: MAILER-DAEMON@{host} (Mail Delivery System)
To: {sender}
Subject: {subject}
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b0undary/1"

This is a MIME-encapsulated message.

--b0undary/1
Content-Description: Notification
Content-Type: text/plain; charset=us-ascii

This is the mail system at host {host}.

--b0undary/1
Content-Description: Delivery report
Content-Type: message/delivery-status

Reporting-MTA: dns; {host}
Arrival-Date: Fri, 27 Nov 2026 10:15:00 +0000 (UTC)

Final-Recipient: rfc822; {recipient}
Action: {action}
Status: {status}
Diagnostic-Code: smtp; {diagnostic}

--b0undary/1
Content-Description: Message headers
Content-Type: text/rfc822-headers

Message-ID: {message_id}
Subject: {about}

--b0undary/1--
"""


@dataclass(frozen=True, slots=True)
class SentMail:
    """What the server took."""

    to: str
    sender: str
    subject: str
    text: str
    message_id: str
    content: bytes


class SmtpSimulator:
    """Serves until it is left."""

    def __init__(
        self,
        *,
        tls: ssl.SSLContext | None,
        name: str,
        password: str,
        receive: Callable[[WireRequest], Awaitable[None]] | None = None,
        port: int = 0,
        faults: Faults | None = None,
    ) -> None:
        self.faults = faults or Faults()
        self.sent: list[SentMail] = []
        self._tls = tls
        self._account = (name, password)
        self._receive = receive
        self._port = port
        self._server: asyncio.Server | None = None
        self._notices: list[bytes] = []

    @property
    def port(self) -> int:
        """Return the port it listens on."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def __aenter__(self) -> Self:
        self._server = await asyncio.get_running_loop().create_server(self._converse, HOST, self._port)
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()

    async def report(self) -> None:
        """Bring the notifications that wait, faults included."""
        assert self._receive is not None
        notices, self._notices = self._notices, []
        if self.faults.strikes(Fault.REPORTS_REORDERED):
            notices.reverse()
        for notice in notices:
            if self.faults.strikes(Fault.REPORT_DROPPED):
                continue
            if self.faults.strikes(Fault.REPORT_LATE):
                await asyncio.sleep(self.faults.seconds_late)
            for _ in range(2 if self.faults.strikes(Fault.REPORT_TWICE) else 1):
                await self._receive(WireRequest(method="MAIL", url="mailto:", body=notice))

    def _converse(self) -> SMTP:
        return SMTP(
            self,
            hostname="mail.simulator.example",
            tls_context=self._tls,
            require_starttls=self._tls is not None,
            auth_required=self._tls is not None,
            authenticator=self._authenticate,
            ident="simulator",
        )

    def _authenticate(self, _server: SMTP, _session: Session, _envelope: Envelope, _how: str, told: Any) -> AuthResult:
        right = isinstance(told, LoginPassword) and (told.login.decode(), told.password.decode()) == self._account
        return AuthResult(success=right, handled=right)

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """Answer MAIL FROM."""
        if self.faults.strikes(Fault.UNAVAILABLE):
            return "451 4.3.2 Service not available now"
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """Answer RCPT TO."""
        for beginning, refusal in RECIPIENTS.items():
            if address.startswith(beginning):
                return refusal
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - its name
        """Take the mail, or answer as a fault says."""
        to = envelope.rcpt_tos[0]
        if to.startswith("spam"):
            return "554 5.7.1 Message refused"
        self._take(to, envelope)
        fault = self.faults.strikes(Fault.LATE, Fault.DROPPED, Fault.HTML_PAGE, Fault.HALF_A_BODY)
        if fault is Fault.LATE:
            await asyncio.sleep(self.faults.seconds_late)
        if fault is Fault.HTML_PAGE:
            return _GARBAGE
        if fault in (Fault.DROPPED, Fault.HALF_A_BODY):
            transport = server.transport
            assert isinstance(transport, asyncio.Transport)
            transport.write(b"25" if fault is Fault.HALF_A_BODY else b"")
            transport.close()
        return "250 2.0.0 OK: queued as 4F2A"

    def _take(self, to: str, envelope: Envelope) -> None:
        content = envelope.content
        assert isinstance(content, bytes)
        mail = email.message_from_bytes(content, policy=default)
        body = mail.get_body(("plain",))
        assert body is not None
        sent = SentMail(
            to=to,
            sender=str(envelope.mail_from),
            subject=mail["Subject"],
            text="\n".join(body.get_content().splitlines()),
            message_id=mail["Message-ID"],
            content=content,
        )
        self.sent.append(sent)
        if to.startswith("absent"):
            self._notices += [_notice(sent, "delayed", "4.4.1"), _notice(sent, "failed", "5.1.1")]
        else:
            self._notices += [_notice(sent, "relayed", "2.0.0"), _notice(sent, "delivered", "2.0.0")]


def _notice(sent: SentMail, action: str, status: str) -> bytes:
    return _NOTICE.format(
        host="mail.simulator.example",
        sender=sent.sender,
        subject="Delivery Status Notification",
        recipient=sent.to,
        action=action,
        status=status,
        diagnostic=f"{status.replace('.', '')} {status}",
        message_id=sent.message_id,
        about=sent.subject,
    ).encode()
