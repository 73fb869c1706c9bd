"""E-mail: what is written, what a real mail server says, what bounces, and what must never go out."""

import asyncio
import email
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from email.policy import default

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from engine.kernel.clock import FixedClock
from engine.kernel.outcomes import ExchangeState, Reason
from engine.kernel.transport import Unanswered, Unreachable, WireRequest
from engine.notices.ports import DeliveryState, OutgoingMessage, ReportUnreadable
from integrations.messaging.simulating import Fault
from integrations.messaging.smtp import wire
from integrations.messaging.smtp.adapter import Email
from integrations.messaging.smtp.link import MailReply, Stage
from integrations.messaging.smtp.simulator import SmtpSimulator
from integrations.messaging.smtp.submission import Login, SmtpSubmission
from tests.integrations.messaging.certificates import Tls

CLOCK = FixedClock(datetime(2026, 11, 27, 10, 15, tzinfo=UTC))
LOGIN = Login("umoja", "s3cret")
SENDER = "no-reply@umoja.example"
MESSAGE = OutgoingMessage(
    reference="m-1", to="amina@mail.example", subject="Risiti ya Novemba – KES 500", text="Habari Ọlá,\n.\nKES 500.00\n"
)


@pytest_asyncio.fixture
async def server(tls: Tls) -> AsyncIterator[SmtpSimulator]:
    async with SmtpSimulator(tls=tls.server, name=LOGIN.name, password=LOGIN.password) as found:
        yield found


def mailer(server: SmtpSimulator, tls: Tls, *, login: Login = LOGIN, seconds: float = 5.0) -> Email:
    link = SmtpSubmission("127.0.0.1", server.port, tls=tls.client, login=login, seconds=seconds)
    return Email(link, sender=SENDER, clock=CLOCK)


async def test_a_mail_arrives_as_it_was_written(server: SmtpSimulator, tls: Tls) -> None:
    answer = await mailer(server, tls).send(MESSAGE)

    assert (answer.state, answer.provider_ref, answer.parts) == (ExchangeState.ACCEPTED, "<m-1@umoja.example>", 1)
    (sent,) = server.sent
    assert (sent.to, sent.sender, sent.subject) == (MESSAGE.to, SENDER, MESSAGE.subject)
    assert sent.text == MESSAGE.text.rstrip("\n")
    mail = email.message_from_bytes(sent.content, policy=default)
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Date"] == "Fri, 27 Nov 2026 10:15:00 +0000"
    assert mail["From"] == SENDER


@pytest.mark.parametrize(
    ("to", "reason", "code"),
    [
        ("unknown@mail.example", Reason.NOT_REGISTERED, "recipient 550"),
        ("full@mail.example", Reason.LIMIT, "recipient 452"),
        ("later@mail.example", Reason.PROVIDER_DOWN, "recipient 451"),
        ("spam@mail.example", Reason.BLOCKED, "content 554"),
    ],
)
async def test_refusals(server: SmtpSimulator, tls: Tls, to: str, reason: Reason, code: str) -> None:
    answer = await mailer(server, tls).send(OutgoingMessage(reference="m", to=to, subject="x", text="x"))

    assert (answer.state, answer.reason, answer.code) == (ExchangeState.REJECTED, reason, code)
    assert server.sent == []


async def test_a_wrong_password_is_a_refusal(server: SmtpSimulator, tls: Tls) -> None:
    answer = await mailer(server, tls, login=Login("umoja", "guess")).send(MESSAGE)

    assert (answer.state, answer.reason) == (ExchangeState.REJECTED, Reason.AUTH)
    assert "s3cret" not in repr(LOGIN)


async def test_nothing_goes_out_in_the_clear(tls: Tls) -> None:
    async with SmtpSimulator(tls=None, name="", password="") as plain:
        answer = await mailer(plain, tls).send(MESSAGE)

    assert (answer.state, answer.reason, answer.code) == (ExchangeState.REJECTED, Reason.AUTH, "tls 502")
    assert plain.sent == []


async def test_a_server_whose_certificate_is_not_trusted_gets_nothing(server: SmtpSimulator, tls: Tls) -> None:
    link = SmtpSubmission("127.0.0.1", server.port, tls=tls.stranger, login=LOGIN)
    with pytest.raises(Unreachable):
        await Email(link, sender=SENDER, clock=CLOCK).send(MESSAGE)

    assert server.sent == []


async def test_nobody_there_is_unreachable(tls: Tls) -> None:
    with pytest.raises(Unreachable):
        await Email(SmtpSubmission("127.0.0.1", 1, tls=tls.client), sender=SENDER, clock=CLOCK).send(MESSAGE)


@pytest.mark.parametrize("fault", [Fault.DROPPED, Fault.LATE])
async def test_content_without_an_answer_is_unanswered(server: SmtpSimulator, tls: Tls, fault: Fault) -> None:
    server.faults.seconds_late = 1.0
    server.faults.plan(fault)
    with pytest.raises(Unanswered):
        await mailer(server, tls, seconds=0.5).send(MESSAGE)

    assert len(server.sent) == 1


@pytest.mark.parametrize("fault", [Fault.HALF_A_BODY, Fault.HTML_PAGE])
async def test_an_answer_that_is_none_is_unknown(server: SmtpSimulator, tls: Tls, fault: Fault) -> None:
    server.faults.plan(fault)
    answer = await mailer(server, tls).send(MESSAGE)

    assert (answer.state, answer.reason) == (ExchangeState.UNKNOWN, Reason.AMBIGUOUS)
    assert len(server.sent) == 1


HOSTILE = [
    pytest.param({"subject": "Hi\r\nBcc: all@mail.example"}, id="a header in the subject"),
    pytest.param({"subject": "Hi\nBcc: all@mail.example"}, id="with a bare line feed"),
    pytest.param({"subject": "Hi\rBcc: all@mail.example"}, id="with a bare carriage return"),
    pytest.param({"subject": "Hi\x00"}, id="a NUL"),
    pytest.param({"subject": "Hi\u2028Bcc: x"}, id="a line separator"),
    pytest.param({"to": "amina@mail.example\r\nBcc: all@mail.example"}, id="a header in the address"),
    pytest.param({"to": "amina@mail.example, all@mail.example"}, id="two addresses"),
    pytest.param({"to": "<amina@mail.example> NOTIFY=SUCCESS"}, id="a parameter"),
    pytest.param({"to": "Amina <amina@mail.example>"}, id="a name"),
    pytest.param({"to": "amina"}, id="no address"),
    pytest.param({"to": "amina@mail.example\n"}, id="a line feed at the end"),
    pytest.param({"to": "አሚና@mail.example"}, id="letters the server cannot take"),
    pytest.param({"sender": "UMOJA"}, id="a sender that is none"),
    pytest.param({"sender": "a@b.example\r\nRCPT TO:<x@y.example>"}, id="a command in the sender"),
]


@pytest.mark.parametrize("hostile", HOSTILE)
async def test_what_could_begin_another_header_is_refused_before_anything_is_sent(
    server: SmtpSimulator, tls: Tls, hostile: dict[str, str]
) -> None:
    fields = {"reference": "m", "to": "amina@mail.example", "subject": "x", "text": "x", **hostile}
    answer = await mailer(server, tls).send(OutgoingMessage(**fields))  # type: ignore[arg-type]

    assert (answer.state, answer.reason) == (ExchangeState.REJECTED, Reason.INVALID_REQUEST)
    assert server.sent == []


@given(st.text(max_size=80), st.text(max_size=200), st.text(max_size=80))
def test_no_text_adds_a_header_or_a_recipient(subject: str, text: str, reference: str) -> None:
    message = OutgoingMessage(reference=reference, to="amina@mail.example", subject=subject, text=text)
    try:
        content = wire.write_mail(message, sender=SENDER, domain="umoja.example", at=CLOCK.now())
    except ValueError:
        return
    head, _, _ = content.partition(b"\r\n\r\n")
    names = {line.partition(b":")[0].lower() for line in head.split(b"\r\n") if not line[:1].isspace()}
    assert names == {
        b"from", b"to", b"subject", b"date", b"message-id", b"auto-submitted", b"content-type",
        b"content-transfer-encoding", b"mime-version",
    }  # fmt: skip
    assert email.message_from_bytes(content, policy=default)["To"] == "amina@mail.example"


def test_a_reference_is_always_the_same_id() -> None:
    assert wire.message_id("m-1", "umoja.example") == "<m-1@umoja.example>"
    strange = wire.message_id("m 1>\r\n", "umoja.example")
    assert strange == wire.message_id("m 1>\r\n", "umoja.example")
    assert len(strange) == len("<@umoja.example>") + 64


@pytest.mark.parametrize(
    ("reply", "state", "reason"),
    [
        ((Stage.CONTENT, 250), ExchangeState.ACCEPTED, None),
        ((Stage.CONTENT, 451), ExchangeState.REJECTED, Reason.PROVIDER_DOWN),
        ((Stage.CONTENT, 550), ExchangeState.REJECTED, Reason.BLOCKED),
        ((Stage.CONTENT, 599), ExchangeState.REJECTED, Reason.OTHER),
        ((Stage.CONTENT, -1), ExchangeState.UNKNOWN, Reason.AMBIGUOUS),
        ((Stage.CONTENT, 354), ExchangeState.UNKNOWN, Reason.AMBIGUOUS),
        ((Stage.GREETING, 554), ExchangeState.REJECTED, Reason.BLOCKED),
        ((Stage.GREETING, -1), ExchangeState.REJECTED, Reason.PROVIDER_DOWN),
        ((Stage.SENDER, 499), ExchangeState.REJECTED, Reason.PROVIDER_DOWN),
        ((Stage.LOGIN, 535), ExchangeState.REJECTED, Reason.AUTH),
    ],
)
def test_replies(reply: tuple[Stage, int], state: ExchangeState, reason: Reason | None) -> None:
    found = wire.read_reply(MailReply(stage=reply[0], code=reply[1]), "<m@x>")

    assert (found.state, found.reason) == (state, reason)


# The form of Postfix' notifications, with its three parts; invented names.
POSTFIX = """\
Return-Path: <>
Received: by mx.mail.example (Postfix) id 4F2A; Fri, 27 Nov 2026 10:15:02 +0000 (UTC)
Date: Fri, 27 Nov 2026 10:15:02 +0000 (UTC)
From: MAILER-DAEMON@mx.mail.example (Mail Delivery System)
Subject: Undelivered Mail Returned to Sender
To: no-reply@umoja.example
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status;
	boundary="4F2A.1795774502/mx.mail.example"
Message-Id: <20261127101502.4F2A@mx.mail.example>

This is a MIME-encapsulated message.

--4F2A.1795774502/mx.mail.example
Content-Description: Notification
Content-Type: text/plain; charset=us-ascii

<amina@mail.example>: host mx2.mail.example said: 552 5.2.2 mailbox full

--4F2A.1795774502/mx.mail.example
Content-Description: Delivery report
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.mail.example
X-Postfix-Queue-ID: 4F2A
Arrival-Date: Fri, 27 Nov 2026 10:15:00 +0000 (UTC)

Final-Recipient: rfc822; amina@mail.example
Original-Recipient: rfc822;amina@mail.example
Action: failed
Status: 5.2.2
Remote-MTA: dns; mx2.mail.example
Diagnostic-Code: smtp; 552 5.2.2 mailbox full

--4F2A.1795774502/mx.mail.example
Content-Description: Undelivered Message
Content-Type: message/rfc822

From: no-reply@umoja.example
To: amina@mail.example
Subject: Risiti
Message-ID: <m-1@umoja.example>

KES 500.00

--4F2A.1795774502/mx.mail.example--
"""


def notice(text: str) -> WireRequest:
    return WireRequest(method="MAIL", url="mailto:", body=text.encode())


@pytest.mark.parametrize(
    ("what", "instead", "told"),
    [
        ("", "", [(DeliveryState.FAILED, Reason.PAYER_UNREACHABLE, "failed 5.2.2")]),
        ("Status: 5.2.2", "Status: 5.1.1", [(DeliveryState.FAILED, Reason.NOT_REGISTERED, "failed 5.1.1")]),
        ("Status: 5.2.2", "Status: 5.7.1", [(DeliveryState.FAILED, Reason.BLOCKED, "failed 5.7.1")]),
        ("Status: 5.2.2", "Status: 4.4.7 (expired)", [(DeliveryState.FAILED, Reason.EXPIRED, "failed 4.4.7")]),
        ("Status: 5.2.2", "Status: nonsense", [(DeliveryState.FAILED, Reason.OTHER, "failed")]),
        ("Action: failed", "Action: delayed", [(DeliveryState.UNDER_WAY, None, "delayed 5.2.2")]),
        ("Action: failed", "Action: Delivered", [(DeliveryState.DELIVERED, None, "delivered 5.2.2")]),
        ("<m-1@umoja.example>", "<m-1@another.example>", []),
        ("report-type=delivery-status", "report-type=disposition-notification", []),
        ("Content-Type: multipart/report;", "Content-Type: multipart/mixed;", []),
    ],
)
def test_notifications(what: str, instead: str, told: list[tuple[DeliveryState, Reason | None, str]]) -> None:
    assert what in POSTFIX
    hints = wire.read_report(notice(POSTFIX.replace(what, instead, 1)), "umoja.example")

    assert [(hint.state, hint.reason, hint.code) for hint in hints] == told
    assert {hint.provider_ref for hint in hints} <= {"<m-1@umoja.example>"}


@pytest.mark.parametrize("what", ["Action: failed\n", "Message-ID: <m-1@umoja.example>\n"])
def test_a_notification_without_its_facts_is_unreadable(what: str) -> None:
    assert what in POSTFIX
    with pytest.raises(ReportUnreadable):
        wire.read_report(notice(POSTFIX.replace(what, "")), "umoja.example")


@given(st.integers(0, len(POSTFIX) - 1), st.binary(max_size=4))
def test_any_bytes_are_read_or_unreadable(place: int, put: bytes) -> None:
    body = POSTFIX.encode()
    for damaged in (body[:place], body[:place] + put + body[place + len(put) :]):
        try:
            wire.read_report(WireRequest(method="MAIL", url="mailto:", body=damaged), "umoja.example")
        except ReportUnreadable:
            continue


async def test_many_at_once(server: SmtpSimulator, tls: Tls) -> None:
    adapter = mailer(server, tls)
    messages = [OutgoingMessage(reference=f"m-{n}", to=f"a{n}@mail.example", subject="x", text="x") for n in range(8)]
    answers = await asyncio.gather(*map(adapter.send, messages))

    assert {answer.provider_ref for answer in answers} == {f"<m-{n}@umoja.example>" for n in range(8)}
