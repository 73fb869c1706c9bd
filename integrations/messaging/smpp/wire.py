"""Messages and receipts of SMPP 3.4. Pure: values to bytes and back.

Source: SMPP Protocol Specification v3.4, 4.4 (submit_sm), 4.6 (deliver_sm), 5.1.3 (command_status), Appendix B (the usual
text of a receipt), and 3GPP TS 23.040, 9.2.3.24.1 for the header of a part. What goes out is built by aiosmpplib.
"""

import hashlib
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from aiosmpplib import NPI, TON, PhoneNumber, SubmitSm
from aiosmpplib.codec import find_codec_info

from engine.kernel.outcomes import ExchangeState, Reason
from engine.kernel.transport import WireRequest
from engine.notices.ports import DeliveryHint, DeliveryState, MessageAnswer, OutgoingMessage, ReportUnreadable
from integrations.messaging.answers import rejected, unknown, word

HEADER_BYTES = 16
PDU_BYTES_MAX = 70_000
SUBMIT_SM_RESP, DELIVER_SM, GENERIC_NACK = 0x80000004, 0x00000005, 0x80000000
STATUSES: Mapping[int, Reason] = {
    0x01: Reason.INVALID_REQUEST,  # message length
    0x04: Reason.AUTH,  # not bound so as to send
    0x05: Reason.AUTH,  # already bound
    0x0A: Reason.INVALID_REQUEST,  # source address
    0x0B: Reason.INVALID_REQUEST,  # destination address
    0x0D: Reason.AUTH,  # bind failed
    0x0E: Reason.AUTH,  # password
    0x0F: Reason.AUTH,  # system id
    0x14: Reason.LIMIT,  # queue full
    0x45: Reason.OTHER,  # submit failed
    0x58: Reason.LIMIT,  # throttled
    0xC2: Reason.INVALID_REQUEST,  # parameter length
}
"""Statuses after which nothing is sent; any other but 0, such as 0x08 (system error) and vendors' own, says nothing."""
RECEIPT_STATES: Mapping[str, tuple[DeliveryState, Reason | None]] = {
    "DELIVRD": (DeliveryState.DELIVERED, None),
    "EXPIRED": (DeliveryState.FAILED, Reason.EXPIRED),
    "DELETED": (DeliveryState.FAILED, Reason.OTHER),
    "UNDELIV": (DeliveryState.FAILED, Reason.PAYER_UNREACHABLE),
    "REJECTD": (DeliveryState.FAILED, Reason.BLOCKED),
}
MESSAGE_STATES = ("", "ENROUTE", "DELIVRD", "EXPIRED", "DELETED", "UNDELIV", "ACCEPTD", "UNKNOWN", "REJECTD")
"""The words of a receipt by the numbers of the parameter message_state, 5.2.28."""

_RECEIPTED_MESSAGE_ID, _MESSAGE_STATE, _MESSAGE_PAYLOAD = 0x001E, 0x0427, 0x0424
_KIND, _RECEIPT = 0b00111100, 0b00000100
_WANTS_RECEIPT, _HAS_HEADER = 0b00000001, 0b01000000
_PHONE = re.compile(r"\+[0-9]{5,15}")
_RECEIPT_ID = re.compile(r"\bid:(\S+)", re.IGNORECASE)
_RECEIPT_STATE = re.compile(r"\bstat:([A-Z]+)", re.IGNORECASE)
_RECEIPT_ERROR = re.compile(r"\berr:(\w+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Head:
    """The four numbers that every PDU begins with."""

    length: int
    command: int
    status: int
    sequence: int


def read_head(pdu: bytes) -> Head:
    """Return the head of a PDU; ValueError if its first sixteen bytes cannot be one."""
    if len(pdu) < HEADER_BYTES:
        raise ValueError(len(pdu))
    head = Head(*struct.unpack_from("!IIII", pdu))
    if not HEADER_BYTES <= head.length <= PDU_BYTES_MAX:
        raise ValueError(head.length)
    return head


def numbered(pdu: bytes, sequence: int) -> bytes:
    """Return `pdu` with another sequence number."""
    return pdu[:12] + struct.pack("!I", sequence) + pdu[HEADER_BYTES:]


def write_message(message: OutgoingMessage) -> tuple[bytes, ...]:
    """Return a submit_sm for each part, in order; a receipt is asked for with the last, whose id is the message's.

    Parts of one message have the same number, made from our reference: sent again, they are the same parts.

    Raises:
        ValueError: the number or the sender has not the form that the protocol can carry.

    """
    if not _PHONE.fullmatch(message.to):
        raise ValueError("it is no number in E.164")
    codec = find_codec_info("gsm0338" if message.encoding == "gsm-7" else "ucs2", None)
    pieces = message.pieces
    number = hashlib.sha256(message.reference.encode()).digest()[0]
    found = []
    for place, piece in enumerate(pieces, 1):
        header = struct.pack("!BBBBBB", 5, 0, 3, number, len(pieces), place) if len(pieces) > 1 else b""
        submit = SubmitSm(
            short_message=piece or " ",
            source=_source(message.sender),
            destination=PhoneNumber(message.to.removeprefix("+"), TON.INTERNATIONAL, NPI.ISDN),
            esm_class=_HAS_HEADER if header else 0,
            registered_delivery=_WANTS_RECEIPT if place == len(pieces) else 0,
            encoding=None if message.encoding == "gsm-7" else "ucs2",
        )
        submit.set_encoded_message(header + codec.encode(piece or " ", "strict")[0])
        found.append(submit.pdu())
    return tuple(found)


def read_answer(pdu: bytes, parts: int) -> MessageAnswer:
    """Return what the response to the last part says of a message of `parts` parts."""
    head = read_head(pdu)
    if head.command not in (SUBMIT_SM_RESP, GENERIC_NACK):
        return unknown(Reason.AMBIGUOUS)
    code = f"0x{head.status:08x}"
    if head.status in STATUSES:
        return rejected(STATUSES[head.status], code)
    if head.status or head.command == GENERIC_NACK:
        return unknown(Reason.PROVIDER_DOWN if head.status == 0x08 else Reason.AMBIGUOUS, code)
    message_id = pdu[HEADER_BYTES:].partition(b"\0")[0]
    if not message_id.isascii():
        return unknown(Reason.AMBIGUOUS, code)
    return MessageAnswer(state=ExchangeState.ACCEPTED, provider_ref=message_id.decode(), parts=parts, code=code)


def read_report(report: WireRequest) -> tuple[DeliveryHint, ...]:
    """Return what a deliver_sm says, whose bytes are the body; nothing if it is a message by somebody.

    Raises:
        ReportUnreadable: it is no deliver_sm, or a receipt without id or state.

    """
    esm_class, text, options = _deliver(report.body)
    if esm_class & _KIND != _RECEIPT:
        return ()
    message_id = options.get(_RECEIPTED_MESSAGE_ID, b"").rstrip(b"\0").decode("latin-1") or _first(_RECEIPT_ID, text)
    stat = _first(_RECEIPT_STATE, text).upper() or _numbered_state(options.get(_MESSAGE_STATE, b""))
    if not message_id or not stat:
        raise ReportUnreadable(reason="a receipt has an id and a state")
    told, reason = RECEIPT_STATES.get(stat, (DeliveryState.UNDER_WAY, None))
    error = _first(_RECEIPT_ERROR, text) if told is DeliveryState.FAILED else ""
    return (DeliveryHint(provider_ref=message_id, state=told, reason=reason, code=word(stat, error)),)


def _deliver(pdu: bytes) -> tuple[int, str, dict[int, bytes]]:
    """Return (esm_class, text, parameters by tag) of a deliver_sm, 4.6.1.

    Read here, since aiosmpplib refuses a receipt without text and one with a parameter of an unexpected length.
    """
    try:
        return _read_deliver(pdu)
    except (ValueError, IndexError, struct.error):
        raise ReportUnreadable(reason="it is no well-formed deliver_sm") from None


def _read_deliver(pdu: bytes) -> tuple[int, str, dict[int, bytes]]:
    head = read_head(pdu)
    if head.command != DELIVER_SM or head.length != len(pdu):
        raise ValueError(head.command)
    at = pdu.index(b"\0", HEADER_BYTES) + 1  # after service_type
    for _ in range(2):  # source and destination: type, plan, address
        at = pdu.index(b"\0", at + 2) + 1
    esm_class = pdu[at]
    at = pdu.index(b"\0", at + 3) + 1  # after protocol, priority, schedule_delivery_time
    at = pdu.index(b"\0", at) + 1  # after validity_period
    length = pdu[at + 4]  # after registered_delivery, replace_if_present, data_coding, sm_default_msg_id
    text, at = pdu[at + 5 : at + 5 + length], at + 5 + length
    options: dict[int, bytes] = {}
    while at < len(pdu):
        tag, length = struct.unpack_from("!HH", pdu, at)
        options[tag] = pdu[at + 4 : at + 4 + length]
        at += 4 + length
    if at != len(pdu):
        raise ValueError(at)
    return esm_class, (text or options.get(_MESSAGE_PAYLOAD, b"")).decode("latin-1"), options


def _numbered_state(value: bytes) -> str:
    return MESSAGE_STATES[value[0]] if len(value) == 1 and value[0] < len(MESSAGE_STATES) else ""


def _source(sender: str) -> PhoneNumber:
    """Return a sender by its kind: a number in E.164, a short code of digits, or a name of eleven letters at most."""
    if not sender:
        return PhoneNumber("")
    if sender.startswith("+"):
        return PhoneNumber(sender[1:], TON.INTERNATIONAL, NPI.ISDN)
    if sender.isdecimal():
        return PhoneNumber(sender, TON.NETWORK_SPECIFIC, NPI.UNKNOWN)
    if len(sender) > 11 or not sender.isascii():
        raise ValueError("a sender's name has eleven letters at most")
    return PhoneNumber(sender, TON.ALPHANUMERIC, NPI.UNKNOWN)


def _first(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    return match[1] if match else ""
