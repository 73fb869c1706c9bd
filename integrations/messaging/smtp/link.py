"""What an adapter needs of a mail server: one message handed over, its last reply back."""

from enum import StrEnum
from typing import Protocol

from msgspec import Struct


class Stage(StrEnum):
    """How far the conversation came. Before CONTENT, not one byte of the message was sent."""

    GREETING = "greeting"
    TLS = "tls"
    LOGIN = "login"
    SENDER = "sender"
    RECIPIENT = "recipient"
    CONTENT = "content"


class MailReply(Struct, frozen=True, kw_only=True):
    """The reply that decided: the first that is no success, else the one to the content. `code` is -1 if it is none."""

    stage: Stage
    code: int
    text: str = ""


class MailLink(Protocol):
    """Hands messages to one server, each once. It checks the server's certificate and never sends in the clear."""

    async def deliver(self, sender: str, recipient: str, content: bytes) -> MailReply:
        """Return the server's decisive reply.

        Raises:
            Unreachable: no connection, or it ended before the content.
            Unanswered: the content went out, at least in part, and no reply came.
        """
        ...
