"""A connection to a mail server, one a message, by the standard library in a thread of its own."""

import asyncio
import contextlib
import smtplib
import ssl
from dataclasses import dataclass

from engine.kernel.transport import Unanswered, Unreachable
from integrations.messaging.smtp.link import MailReply, Stage

_OK = range(200, 300)


@dataclass(frozen=True, slots=True)
class Login:
    """Name and password at the server."""

    name: str
    password: str

    def __repr__(self) -> str:
        """Return what may be logged."""
        return f"Login(name={self.name!r})"


class SmtpSubmission:
    """Speaks to one server. STARTTLS is required; `tls` decides which certificates are good."""

    def __init__(
        self, host: str, port: int = 587, *, tls: ssl.SSLContext, login: Login | None = None, seconds: float = 20.0
    ) -> None:
        self._host = host
        self._port = port
        self._tls = tls
        self._login = login
        self._seconds = seconds

    async def deliver(self, sender: str, recipient: str, content: bytes) -> MailReply:
        """Return the server's decisive reply to one message."""
        return await asyncio.to_thread(self._deliver, sender, recipient, content)

    def _deliver(self, sender: str, recipient: str, content: bytes) -> MailReply:
        try:
            server = smtplib.SMTP(self._host, self._port, timeout=self._seconds)
        except smtplib.SMTPConnectError as error:
            return _reply(Stage.GREETING, error.smtp_code, error.smtp_error)
        except (OSError, smtplib.SMTPException) as error:
            raise Unreachable from error
        try:
            refusal = self._secure(server) or self._log_in(server) or self._address(server, sender, recipient)
        except (OSError, smtplib.SMTPException) as error:
            server.close()
            raise Unreachable from error
        if refusal is not None:
            self._leave(server)
            return refusal
        try:
            reply = _reply(Stage.CONTENT, *server.data(content))
        except smtplib.SMTPDataError as error:
            reply = _reply(Stage.CONTENT, error.smtp_code, error.smtp_error)
        except (OSError, smtplib.SMTPException) as error:
            server.close()
            raise Unanswered from error
        self._leave(server)
        return reply

    def _secure(self, server: smtplib.SMTP) -> MailReply | None:
        """Begin TLS; return the refusal, None if there is none. A false certificate is an OSError, nothing was sent."""
        server.ehlo_or_helo_if_needed()
        try:
            code, text = server.starttls(context=self._tls)
        except smtplib.SMTPNotSupportedError:
            return MailReply(stage=Stage.TLS, code=502, text="the server offers no STARTTLS")
        return None if code in _OK else _reply(Stage.TLS, code, text)

    def _log_in(self, server: smtplib.SMTP) -> MailReply | None:
        server.ehlo_or_helo_if_needed()
        if self._login is None:
            return None
        try:
            server.login(self._login.name, self._login.password)
        except smtplib.SMTPAuthenticationError as error:
            return _reply(Stage.LOGIN, error.smtp_code, b"")  # a server may repeat the name
        return None

    def _address(self, server: smtplib.SMTP, sender: str, recipient: str) -> MailReply | None:
        code, text = server.mail(sender)
        if code not in _OK:
            return _reply(Stage.SENDER, code, text)
        code, text = server.rcpt(recipient)
        return None if code in _OK else _reply(Stage.RECIPIENT, code, text)

    def _leave(self, server: smtplib.SMTP) -> None:
        """Say good-bye; what goes wrong now changes nothing."""
        with contextlib.suppress(OSError, smtplib.SMTPException):
            server.quit()
        server.close()


def _reply(stage: Stage, code: int, text: bytes | str) -> MailReply:
    return MailReply(stage=stage, code=code, text=text.decode("utf-8", "replace") if isinstance(text, bytes) else text)
