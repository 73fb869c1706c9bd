"""A message centre over TCP on this machine: binds, takes messages in parts, brings receipts by the session.

What a number ends in decides: 0011 invalid, 0020 queue full, 0088 throttled, 0400 a status of the vendor's own, 0999 taken
and then not delivered. PDUs are read and written by aiosmpplib, so that our own reading is not its own judge.
"""

import asyncio
import contextlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from aiosmpplib import DeliverSm, SmppMessage, SubmitSm
from aiosmpplib.protocol import MESSAGE_TYPE_MAP, BindTransceiver

from integrations.messaging.simulating import HOST, Fault, Faults

HEADER_BYTES = 16
MAGIC_NUMBERS: Mapping[str, int] = {"0011": 0x0B, "0020": 0x14, "0088": 0x58, "0400": 0x0400}
UNDELIVERED = "0999"
_RESPONSE, _UNBIND = 0x80000000, 0x00000006
_SYSTEM_ERROR, _INVALID_PASSWORD, _NOT_BOUND = 0x08, 0x0E, 0x04
_GARBAGE = b"HTTP/1.1 502 Bad Gateway\r\n\r\n<html>Bad Gateway</html>"


@dataclass(frozen=True, slots=True)
class SentMessage:
    """What the centre was asked to carry, its parts joined."""

    to: str
    text: str
    sender: str
    parts: int


class SmppSimulator:
    """Serves until it is left; `report` brings the receipts that wait to the last session that is bound."""

    def __init__(self, *, system_id: str, password: str, port: int = 0, faults: Faults | None = None) -> None:
        self.faults = faults or Faults()
        self.sent: list[SentMessage] = []
        self.receipts_answered: list[int] = []
        self.binds = 0
        self._account = (system_id, password)
        self._port = port
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()
        self._bound: asyncio.StreamWriter | None = None
        self._taken = 0
        self._parts: dict[tuple[str, int], dict[int, str]] = {}
        self._receipts: list[DeliverSm] = []
        self._answered = asyncio.Condition()

    @property
    def port(self) -> int:
        """Return the port it listens on."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, HOST, self._port)
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def report(self) -> None:
        """Bring the receipts that wait, faults included, and wait until each is answered."""
        receipts, self._receipts = self._receipts, []
        if self.faults.strikes(Fault.REPORTS_REORDERED):
            receipts.reverse()
        for receipt in receipts:
            if self.faults.strikes(Fault.REPORT_DROPPED):
                continue
            if self.faults.strikes(Fault.REPORT_LATE):
                await asyncio.sleep(self.faults.seconds_late)
            for _ in range(2 if self.faults.strikes(Fault.REPORT_TWICE) else 1):
                await self._bring(receipt)

    async def _bring(self, receipt: DeliverSm) -> None:
        assert self._bound is not None, "nobody is bound"
        before = len(self.receipts_answered)
        receipt.sequence_num = before + 1
        receipt.set_encoded_message(b"")
        self._bound.write(receipt.pdu())
        await self._bound.drain()
        async with self._answered:
            await self._answered.wait_for(lambda: len(self.receipts_answered) > before)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while await self._answer_one(reader, writer):
                    pass
        finally:
            self._open.discard(task)
            if self._bound is writer:
                self._bound = None
            writer.close()

    async def _answer_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one PDU; return whether the session goes on."""
        start = await reader.readexactly(HEADER_BYTES)
        header = SmppMessage.parse_header(start)
        pdu = start + await reader.readexactly(header.pdu_length - HEADER_BYTES)
        if header.smpp_command & _RESPONSE:
            async with self._answered:
                self.receipts_answered.append(header.command_status)
                self._answered.notify_all()
            return True
        told = MESSAGE_TYPE_MAP[header.smpp_command].from_pdu(pdu, header, "gsm0338")
        if isinstance(told, BindTransceiver):
            right = (told.system_id, told.password) == self._account
            self._bound = writer if right else None
            self.binds += right
            await self._respond(writer, header.smpp_command, 0 if right else _INVALID_PASSWORD, told, b"SIMULATOR\0")
            return right
        if isinstance(told, SubmitSm):
            return await self._answer_submit(writer, header.smpp_command, told)
        await self._respond(writer, header.smpp_command, 0, told, b"")
        return bool(header.smpp_command != _UNBIND)

    async def _answer_submit(self, writer: asyncio.StreamWriter, command: int, told: SubmitSm) -> bool:
        if self.faults.strikes(Fault.UNAVAILABLE):
            await self._respond(writer, command, _SYSTEM_ERROR, told, b"")
            return True
        status = _NOT_BOUND if self._bound is not writer else MAGIC_NUMBERS.get(told.destination.number[-4:], 0)
        body = b"" if status else f"{self._take(told)}\0".encode()
        fault = self.faults.strikes(Fault.LATE, Fault.DROPPED, Fault.HTML_PAGE, Fault.HALF_A_BODY)
        if fault is Fault.DROPPED:
            return False
        if fault is Fault.LATE:
            await asyncio.sleep(self.faults.seconds_late)
        if fault is Fault.HTML_PAGE:
            writer.write(_GARBAGE)
            await writer.drain()
            return False
        await self._respond(writer, command, status, told, body, half=fault is Fault.HALF_A_BODY)
        return fault is not Fault.HALF_A_BODY

    def _take(self, told: SubmitSm) -> str:
        """Keep a part, and the message when its last part is there; return the part's id."""
        self._taken += 1
        message_id = f"sim-{self._taken:08x}"
        number, place, total = told.get_segmentation_data() if told.is_segmented() else (0, 1, 1)
        to = told.destination.number
        parts = self._parts.setdefault((to, number), {})
        parts[place] = told.short_message or told.message_payload
        if len(parts) == total:
            text = "".join(parts[one] for one in sorted(parts))
            self.sent.append(SentMessage(to, text, told.source.number, total))
            del self._parts[to, number]
        if told.registered_delivery & 1:
            self._receipts += [self._receipt(told, message_id, state) for state in ("ENROUTE", _fate(to))]
        return message_id

    def _receipt(self, told: SubmitSm, message_id: str, state: str) -> DeliverSm:
        day = datetime(2026, 11, 27, 10, 15, tzinfo=UTC)
        text = DeliverSm.encode_receipt(
            {"id": message_id, "sub": 1, "dlvrd": int(state == "DELIVRD"), "submit date": day, "done date": day,
             "stat": state, "err": 0 if state != "UNDELIV" else 11, "text": ""}
        )  # fmt: skip
        return DeliverSm(
            short_message=text, source=told.destination, destination=told.source, esm_class=0b00000100,
            registered_delivery=0,
        )  # fmt: skip

    async def _respond(
        self,
        writer: asyncio.StreamWriter,
        command: int,
        status: int,
        told: SmppMessage,
        body: bytes,
        *,
        half: bool = False,
    ) -> None:
        head = struct.pack("!IIII", HEADER_BYTES + len(body), command | _RESPONSE, status, told.sequence_num)
        pdu = head + body
        writer.write(pdu[: len(pdu) // 2] if half else pdu)
        await writer.drain()


def _fate(number: str) -> str:
    return "UNDELIV" if number.endswith(UNDELIVERED) else "DELIVRD"
