"""E-mails written, replies and delivery status notifications read. Pure: values to bytes and back.

Source: RFC 5321, 4.2 (replies), RFC 3463 (status codes), RFC 3464 (delivery status notifications), RFC 5322 (Message-ID),
RFC 3834 (Auto-Submitted).
"""

import email
import hashlib
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from email.errors import MessageError
from email.message import EmailMessage, Message
from email.policy import SMTP, default
from email.utils import format_datetime

from engine.kernel.outcomes import ExchangeState, Reason
from engine.kernel.transport import WireRequest
from engine.notices.ports import DeliveryHint, DeliveryState, MessageAnswer, OutgoingMessage, ReportUnreadable
from integrations.messaging.answers import rejected, unknown
from integrations.messaging.smtp.link import MailReply, Stage

NOTICE_BYTES_MAX = 1_048_576
REFUSED_CODES: Mapping[int, Reason] = {
    421: Reason.PROVIDER_DOWN,
    450: Reason.PROVIDER_DOWN,
    451: Reason.PROVIDER_DOWN,
    452: Reason.LIMIT,
    454: Reason.PROVIDER_DOWN,
    530: Reason.AUTH,
    534: Reason.AUTH,
    535: Reason.AUTH,
    550: Reason.NOT_REGISTERED,
    551: Reason.NOT_REGISTERED,
    552: Reason.LIMIT,
    553: Reason.INVALID_REQUEST,
    554: Reason.BLOCKED,
}
ACTIONS: Mapping[str, DeliveryState] = {
    "failed": DeliveryState.FAILED,
    "delivered": DeliveryState.DELIVERED,
    "delayed": DeliveryState.UNDER_WAY,
    "relayed": DeliveryState.UNDER_WAY,
    "expanded": DeliveryState.UNDER_WAY,
}

_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")
_PLAIN_REFERENCE = re.compile(r"[A-Za-z0-9_-]{1,64}(\.[A-Za-z0-9_-]{1,64})*")
_STATUS = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}")


def message_id(reference: str, domain: str) -> str:
    """Return the Message-ID of a reference: always the same one, so that a mail sent twice is one to its reader."""
    plain = reference if _PLAIN_REFERENCE.fullmatch(reference) else hashlib.sha256(reference.encode()).hexdigest()
    return f"<{plain}@{domain}>"


def is_address(text: str) -> bool:
    """Return whether `text` is one plain address, without a name, a comment, or a second one behind it."""
    return len(text) <= 254 and _ADDRESS.fullmatch(text) is not None


def write_mail(message: OutgoingMessage, *, sender: str, domain: str, at: datetime) -> bytes:
    """Return `message` as a mail from the address `sender`.

    Raises:
        ValueError: an address is none, or a header has a character that could begin another one.

    """
    if not is_address(message.to) or not is_address(sender):
        raise ValueError("it is no plain address")
    if _CONTROL.search(message.subject):
        raise ValueError("a subject is one line")
    mail = EmailMessage(policy=SMTP)
    mail["From"] = sender
    mail["To"] = message.to
    mail["Subject"] = message.subject
    mail["Date"] = format_datetime(at)
    mail["Message-ID"] = message_id(message.reference, domain)
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(message.text)
    return mail.as_bytes()


def read_reply(reply: MailReply, provider_ref: str) -> MessageAnswer:
    """Return what a server's reply says of the mail with the id `provider_ref`.

    Before the content, whatever is no success is a refusal: the server has not got the mail.
    """
    word = f"{reply.stage} {reply.code}"
    if reply.stage is Stage.TLS:
        return rejected(Reason.AUTH, word)
    if reply.code in REFUSED_CODES:
        reason = REFUSED_CODES[reply.code]
        refuses_content = reply.stage is Stage.CONTENT and reason is Reason.NOT_REGISTERED
        return rejected(Reason.BLOCKED if refuses_content else reason, word)
    if 500 <= reply.code < 600:
        return rejected(Reason.OTHER, word)
    if 400 <= reply.code < 500 or reply.stage is not Stage.CONTENT:
        return rejected(Reason.PROVIDER_DOWN, word)
    if not 200 <= reply.code < 300:
        return unknown(Reason.AMBIGUOUS, word)
    return MessageAnswer(state=ExchangeState.ACCEPTED, provider_ref=provider_ref, parts=1, code=word)


def read_report(report: WireRequest, domain: str) -> tuple[DeliveryHint, ...]:
    """Return what a mail says of one of ours; nothing if it is no notification, or about another's mail.

    Raises:
        ReportUnreadable: it is a notification without an action, or without the id of the mail it is about.

    """
    if len(report.body) > NOTICE_BYTES_MAX:
        raise ReportUnreadable(reason="it is larger than any notification")
    try:
        mail = email.message_from_bytes(report.body, policy=default)
        if mail.get_content_type() != "multipart/report" or mail.get_param("report-type") != "delivery-status":
            return ()
        return _hints(list(mail.walk()), domain)
    except (MessageError, ValueError, LookupError, AttributeError, TypeError):
        raise ReportUnreadable(reason="it is no well-formed notification") from None


def _hints(parts: list[Message], domain: str) -> tuple[DeliveryHint, ...]:
    about = [part["Message-ID"] for part in parts[1:] if part["Message-ID"]] + list(_ids_in_headers(parts))
    if not about:
        raise ReportUnreadable(reason="a notification has the id of the mail it is about")
    provider_ref = str(about[0]).strip()
    if not provider_ref.endswith(f"@{domain}>"):
        return ()
    told = [part for part in parts if part["Action"]]
    if not told:
        raise ReportUnreadable(reason="a notification has an action")
    return tuple(dict.fromkeys(_hint(part, provider_ref) for part in told))


def _ids_in_headers(parts: list[Message]) -> Iterator[str]:
    """Yield the ids in parts that bring the headers of the mail as text."""
    for part in parts:
        if part.get_content_type() == "text/rfc822-headers":
            payload = part.get_payload(decode=True)
            headers = email.message_from_bytes(payload if isinstance(payload, bytes) else b"")
            if headers["Message-ID"]:
                yield headers["Message-ID"]


def _hint(block: Message, provider_ref: str) -> DeliveryHint:
    action = str(block["Action"]).strip().lower()
    found = _STATUS.match(str(block["Status"] or "").strip())
    status = found[0] if found else ""
    state = ACTIONS.get(action, DeliveryState.UNDER_WAY)
    return DeliveryHint(
        provider_ref=provider_ref,
        state=state,
        reason=_reason(status) if state is DeliveryState.FAILED else None,
        code=f"{action[:20]} {status}".strip(),
    )


def _reason(status: str) -> Reason:
    """Return what an enhanced status code means, RFC 3463, 3."""
    if status.endswith(".4.7"):
        return Reason.EXPIRED
    subject = status.split(".")[1] if status else ""
    return {
        "1": Reason.NOT_REGISTERED,
        "2": Reason.PAYER_UNREACHABLE,
        "4": Reason.PAYER_UNREACHABLE,
        "7": Reason.BLOCKED,
    }.get(subject, Reason.OTHER)
