"""SMPP: parts, receipts, sessions that break, and another library as the client of our message centre."""

import asyncio
import json
import struct
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from engine.kernel.outcomes import ExchangeState, Reason
from engine.kernel.transport import Unanswered, Unreachable, WireRequest
from engine.notices.ports import DeliveryState, OutgoingMessage, ReportUnreadable
from integrations.messaging.simulating import Fault
from integrations.messaging.smpp import wire
from integrations.messaging.smpp.adapter import SmppSms
from integrations.messaging.smpp.session import SmppSession
from integrations.messaging.smpp.simulator import SmppSimulator
from tests.integrations.messaging.oracle import run_oracle

SYSTEM, PASSWORD = "umoja", "pa55word"
MESSAGE = OutgoingMessage(reference="m-1", to="+254711000111", text="KES 500.00 received €", sender="UMOJA")
LONG = OutgoingMessage(reference="m-2", to="+254711000111", text="Salio lako ni [KES] 1.000,00 € " * 12, sender="22384")
UCS2 = OutgoingMessage(reference="m-3", to="+254711000111", text="እንኳን ደህና መጡ 🙂 " * 12, sender="+254700000000")


class Received:
    """What came by the session; refuses to store it while `full`."""

    def __init__(self) -> None:
        self.requests: list[WireRequest] = []
        self.full = False

    async def __call__(self, request: WireRequest) -> None:
        if self.full:
            raise OSError("no room")
        self.requests.append(request)


@pytest_asyncio.fixture
async def centre() -> AsyncIterator[SmppSimulator]:
    async with SmppSimulator(system_id=SYSTEM, password=PASSWORD) as found:
        yield found


@pytest_asyncio.fixture
async def received() -> Received:
    return Received()


@pytest_asyncio.fixture
async def session(centre: SmppSimulator, received: Received) -> AsyncIterator[SmppSession]:
    async with SmppSession(
        "127.0.0.1", centre.port, system_id=SYSTEM, password=PASSWORD, receive=received, seconds=1.0
    ) as found:
        yield found


@pytest.mark.parametrize("message", [MESSAGE, LONG, UCS2], ids=["one part", "many in GSM-7", "many in UCS-2"])
async def test_a_text_arrives_whole_by_as_many_parts_as_were_counted(
    centre: SmppSimulator, session: SmppSession, message: OutgoingMessage
) -> None:
    answer = await SmppSms(session).send(message)

    (sent,) = centre.sent
    assert (answer.state, answer.parts) == (ExchangeState.ACCEPTED, len(message.pieces))
    assert (sent.text, sent.to, sent.sender, sent.parts) == (
        message.text, "254711000111", message.sender.removeprefix("+"), len(message.pieces),
    )  # fmt: skip


async def test_one_receipt_for_a_message_of_many_parts(
    centre: SmppSimulator, session: SmppSession, received: Received
) -> None:
    adapter = SmppSms(session)
    answer = await adapter.send(LONG)
    await centre.report()

    hints = [hint for request in received.requests for hint in adapter.read_report(request)]
    assert [(hint.provider_ref, hint.state) for hint in hints] == [
        (answer.provider_ref, DeliveryState.UNDER_WAY), (answer.provider_ref, DeliveryState.DELIVERED),
    ]  # fmt: skip


async def test_a_receipt_that_we_could_not_store_is_to_be_brought_again(
    centre: SmppSimulator, session: SmppSession, received: Received
) -> None:
    received.full = True
    await SmppSms(session).send(MESSAGE)
    await centre.report()

    assert centre.receipts_answered == [0x64, 0x64]


@pytest.mark.parametrize(
    ("ending", "state", "reason", "code"),
    [
        ("0011", ExchangeState.REJECTED, Reason.INVALID_REQUEST, "0x0000000b"),
        ("0088", ExchangeState.REJECTED, Reason.LIMIT, "0x00000058"),
        ("0020", ExchangeState.REJECTED, Reason.LIMIT, "0x00000014"),
        ("0400", ExchangeState.UNKNOWN, Reason.AMBIGUOUS, "0x00000400"),
    ],
)
async def test_statuses(session: SmppSession, ending: str, state: ExchangeState, reason: Reason, code: str) -> None:
    message = OutgoingMessage(reference="m", to=f"+25471100{ending}", text="x")
    answer = await SmppSms(session).send(message)

    assert (answer.state, answer.reason, answer.code) == (state, reason, code)


async def test_a_wrong_password_is_a_refusal_and_nothing_is_sent(centre: SmppSimulator, received: Received) -> None:
    async with SmppSession("127.0.0.1", centre.port, system_id="umoja", password="wrong", receive=received) as session:
        answer = await SmppSms(session).send(MESSAGE)

    assert (answer.state, answer.reason) == (ExchangeState.REJECTED, Reason.AUTH)
    assert centre.sent == []


async def test_a_name_too_long_is_refused_here(session: SmppSession) -> None:
    message = OutgoingMessage(reference="m", to="+254711000111", text="x", sender="UMOJA PENSION")

    assert (await SmppSms(session).send(message)).reason is Reason.INVALID_REQUEST


async def test_nobody_there_is_unreachable(received: Received) -> None:
    async with SmppSession("127.0.0.1", 1, system_id=SYSTEM, password=PASSWORD, receive=received) as session:
        with pytest.raises(Unreachable):
            await SmppSms(session).send(MESSAGE)


@pytest.mark.parametrize("fault", [Fault.DROPPED, Fault.HTML_PAGE, Fault.HALF_A_BODY])
async def test_a_session_that_broke_is_opened_again(centre: SmppSimulator, session: SmppSession, fault: Fault) -> None:
    adapter = SmppSms(session)
    centre.faults.plan(fault)
    with pytest.raises(Unanswered):
        await adapter.send(MESSAGE)

    assert (await adapter.send(MESSAGE)).state is ExchangeState.ACCEPTED
    assert centre.binds == 2
    assert len(centre.sent) == 2  # the first was taken too: unanswered is not undone


async def test_a_late_answer_is_no_answer_to_the_next_question(centre: SmppSimulator, session: SmppSession) -> None:
    centre.faults.seconds_late = 1.2
    centre.faults.plan(Fault.LATE)
    adapter = SmppSms(session)
    with pytest.raises(Unanswered):
        await adapter.send(MESSAGE)
    second = await adapter.send(MESSAGE)

    assert second.provider_ref == "sim-00000002"


async def test_a_message_whose_second_part_fails_is_unknown(session: SmppSession) -> None:
    class SecondRefused:
        async def exchange(self, pdu: bytes) -> bytes:
            self.asked = getattr(self, "asked", 0) + 1
            if self.asked == 1:
                return await session.exchange(pdu)
            raise Unreachable

    with pytest.raises(Unanswered):
        await SmppSms(SecondRefused()).send(LONG)


async def test_many_at_once_each_get_their_own_answer(centre: SmppSimulator, session: SmppSession) -> None:
    adapter = SmppSms(session)
    messages = [OutgoingMessage(reference=f"m-{n}", to=f"+2547110{n:05d}", text=f"text {n}") for n in range(1000, 1050)]
    answers = await asyncio.gather(*map(adapter.send, messages))

    assert centre.binds == 1
    by_ref = dict(zip([f"sim-{n:08x}" for n in range(1, 51)], centre.sent, strict=True))
    assert [by_ref[answer.provider_ref].text for answer in answers] == [one.text for one in messages]


async def test_the_link_is_asked_to_show_that_it_lives(centre: SmppSimulator, received: Received) -> None:
    async with SmppSession(
        "127.0.0.1",
        centre.port,
        system_id=SYSTEM,
        password=PASSWORD,
        receive=received,
        seconds=1.0,
        enquire_seconds=0.05,
    ) as session:
        await SmppSms(session).send(MESSAGE)
        await asyncio.sleep(0.3)
        assert (await SmppSms(session).send(MESSAGE)).state is ExchangeState.ACCEPTED


def deliver(text: str, esm_class: int = 4, options: bytes = b"") -> WireRequest:
    body = (
        b"\0\x01\x01254711000111\0\x05\0UMOJA\0" + bytes([esm_class]) + b"\0\0\0\0\0\0\0\0"
        + bytes([len(text)]) + text.encode() + options
    )  # fmt: skip
    return WireRequest(method="DELIVER_SM", url="smpp://x", body=struct.pack("!IIII", 16 + len(body), 5, 0, 9) + body)


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        pytest.param(deliver("id:7a sub:001 dlvrd:001 submit date:2611271015 done date:2611271016 stat:DELIVRD err:000 text:"),
                     [("7a", DeliveryState.DELIVERED, None, "DELIVRD")], id="delivered"),
        pytest.param(deliver("id:7a stat:UNDELIV err:0A1"), [("7a", DeliveryState.FAILED, Reason.PAYER_UNREACHABLE, "UNDELIV 0A1")],
                     id="an error that is no number"),
        pytest.param(deliver("id:7a stat:EXPIRED"), [("7a", DeliveryState.FAILED, Reason.EXPIRED, "EXPIRED")], id="expired"),
        pytest.param(deliver("id:7a stat:NEWWORD"), [("7a", DeliveryState.UNDER_WAY, None, "NEWWORD")], id="a new word"),
        pytest.param(deliver("", options=b"\x00\x1e\x00\x037b\0\x04\x27\x00\x01\x02"), [("7b", DeliveryState.DELIVERED, None, "DELIVRD")],
                     id="by parameters alone"),
        pytest.param(deliver("STOP", esm_class=0), [], id="a message by somebody"),
    ],
)  # fmt: skip
def test_receipts(request_: WireRequest, told: list[tuple[str, DeliveryState, Reason | None, str]]) -> None:
    found = wire.read_report(request_)

    assert [(hint.provider_ref, hint.state, hint.reason, hint.code) for hint in found] == told


@given(st.binary(max_size=200) | st.integers(0, 60).map(lambda n: deliver("id:7a stat:DELIVRD").body[:n]))
def test_what_is_no_receipt_is_unreadable(body: bytes) -> None:
    with pytest.raises(ReportUnreadable):
        wire.read_report(WireRequest(method="DELIVER_SM", url="smpp://x", body=body))


@pytest.mark.parametrize("more", [b"\0", b"\x00\x1e\x00\x02b\0"], ids=["a byte", "a parameter"])
def test_more_than_the_length_says_is_unreadable(more: bytes) -> None:
    body = deliver("id:7a stat:DELIVRD").body
    with pytest.raises(ReportUnreadable):
        wire.read_report(WireRequest(method="DELIVER_SM", url="smpp://x", body=body + more))


@given(st.integers(16, 60), st.integers(0, 255))
def test_a_changed_byte_is_read_or_refused_and_nothing_else(place: int, value: int) -> None:
    body = bytearray(deliver("id:7a stat:DELIVRD err:000").body)
    body[place % len(body)] = value
    try:
        wire.read_report(WireRequest(method="DELIVER_SM", url="smpp://x", body=bytes(body)))
    except ReportUnreadable:
        return


# --- another library is the client of our message centre ---

CLIENT = """
import sys, json, smpplib.client, smpplib.consts, smpplib.gsm
port = int(sys.argv[1])
text = sys.argv[2]
client = smpplib.client.Client("127.0.0.1", port, allow_unknown_opt_params=True, timeout=3)
ids, receipts = [], []
client.set_message_sent_handler(lambda pdu: ids.append(pdu.message_id.decode()))
client.set_message_received_handler(lambda pdu: receipts.append(pdu.short_message.decode()))
client.connect()
client.bind_transceiver(system_id="umoja", password="pa55word")
parts, coding, flag = smpplib.gsm.make_parts(text)
for part in parts:
    client.send_message(source_addr_ton=5, source_addr="UMOJA", dest_addr_ton=1, dest_addr_npi=1,
        destination_addr="254711000111", short_message=part, data_coding=coding, esm_class=flag, registered_delivery=True)
    client.read_once()
print(json.dumps(ids), flush=True)
client.unbind()
client.disconnect()
"""


@pytest.mark.artefact("smpplib")
@pytest.mark.parametrize("text", ["Habari €", "Salio lako " * 30, "እንኳን " * 20], ids=["one", "parts", "UCS-2 parts"])
async def test_another_client_sends_by_our_message_centre(centre: SmppSimulator, text: str) -> None:
    ids = json.loads(await run_oracle(CLIENT, str(centre.port), text))

    assert [(one.text, one.sender, one.to) for one in centre.sent] == [(text, "UMOJA", "254711000111")]
    assert ids == [f"sim-{n:08x}" for n in range(1, centre.sent[0].parts + 1)]


READS = """
import sys, json, smpplib.smpp, smpplib.client
client = smpplib.client.Client("127.0.0.1", 1, allow_unknown_opt_params=True)
found = []
for raw in sys.argv[1:]:
    pdu = smpplib.smpp.parse_pdu(bytes.fromhex(raw), client=client, allow_unknown_opt_params=True)
    found.append([pdu.command, pdu.source_addr.decode(), pdu.source_addr_ton, pdu.destination_addr.decode(),
        pdu.dest_addr_ton, pdu.esm_class, pdu.data_coding, pdu.registered_delivery, pdu.short_message.hex()])
print(json.dumps(found))
"""


@pytest.mark.artefact("smpplib")
async def test_another_library_reads_our_parts() -> None:
    pdus = [pdu.hex() for message in (MESSAGE, LONG) for pdu in wire.write_message(message)]
    one, *parts = json.loads(await run_oracle(READS, *pdus))

    assert one == ["submit_sm", "UMOJA", 5, "254711000111", 1, 0, 0, 1, (b"KES 500.00 received \x1be").hex()]
    assert [part[1:3] for part in parts] == [["22384", 3]] * len(LONG.pieces)
    assert [part[7] for part in parts] == [0] * (len(parts) - 1) + [1]
    headers = [bytes.fromhex(part[8])[:6] for part in parts]
    assert [header[:3] + header[4:] for header in headers] == [
        bytes([5, 0, 3, len(parts), n]) for n in range(1, len(parts) + 1)
    ]
    assert len({header[3] for header in headers}) == 1


@pytest.mark.artefact("smpplib", breaks=True)
@pytest.mark.parametrize(
    ("place", "value"), [(7, 0x77), (17, 0xFF), (30, 0x41)], ids=["command", "type of number", "no end"]
)
async def test_another_library_sees_when_one_byte_is_broken(place: int, value: int) -> None:
    (pdu,) = wire.write_message(MESSAGE)
    right = json.loads(await run_oracle(READS, pdu.hex()))
    broken = bytearray(pdu)
    broken[place] = value
    try:
        read = json.loads(await run_oracle(READS, broken.hex()))
    except AssertionError:
        return  # it refuses to read it
    assert read != right
