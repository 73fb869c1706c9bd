"""One session with a message centre: opened when something is to be sent, kept open, opened again after it broke."""

import asyncio
import contextlib
import itertools
import ssl
import struct
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from aiosmpplib import BindTransceiver, EnquireLink, Unbind

from engine.kernel.transport import Unanswered, Unreachable, WireRequest
from integrations.messaging.smpp.link import BindRefused
from integrations.messaging.smpp.wire import DELIVER_SM, GENERIC_NACK, HEADER_BYTES, numbered, read_head

_RESPONSE = 0x80000000
_BIND_RESP, _ENQUIRE_LINK, _UNBIND = 0x80000009, 0x00000015, 0x00000006
_OK, _UNKNOWN_COMMAND, _TEMPORARY = 0x00, 0x03, 0x64
Receive = Callable[[WireRequest], Awaitable[None]]


class SmppSession:
    """A transceiver session. `async with` closes it; it opens by itself.

    `receive` is given each deliver_sm, whole, as the body of a request; only when it has returned is the message
    centre told that we have it. If it raises, the centre is told to bring it again.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        system_id: str,
        password: str,
        receive: Receive,
        tls: ssl.SSLContext | None = None,
        seconds: float = 10.0,
        enquire_seconds: float = 30.0,
    ) -> None:
        """Raise ValueError if the name has more than 15 letters or the password more than 8, which no bind can carry."""
        self._address = (host, port)
        self._bind = BindTransceiver(system_id=system_id, password=password).pdu()
        self._receive = receive
        self._tls = tls
        self._seconds = seconds
        self._enquire_seconds = enquire_seconds
        self._opening = asyncio.Lock()
        self._writer: asyncio.StreamWriter | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._waiting: dict[int, asyncio.Future[bytes]] = {}
        self._numbers = itertools.cycle(range(1, 0x7FFFFFFF))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            with contextlib.suppress(Unanswered, Unreachable):
                await self._ask(Unbind().pdu())
        tasks = self._tasks
        self._break()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def exchange(self, pdu: bytes) -> bytes:
        """Return the response to `pdu`, after the session is open."""
        async with self._opening:
            if self._writer is None:
                await self._open()
        return await self._ask(pdu)

    async def _open(self) -> None:
        try:
            async with asyncio.timeout(self._seconds):
                reader, self._writer = await asyncio.open_connection(*self._address, ssl=self._tls)
        except (OSError, TimeoutError) as error:
            raise Unreachable from error
        self._tasks = [asyncio.create_task(self._read(reader, self._writer))]
        try:
            response = await self._ask(self._bind)
        except Unanswered as error:
            self._break()
            raise Unreachable from error
        head = read_head(response)
        if head.command != _BIND_RESP or head.status:
            self._break()
            raise BindRefused(head.status)
        self._tasks.append(asyncio.create_task(self._keep_alive(self._writer)))

    async def _ask(self, pdu: bytes) -> bytes:
        writer = self._writer
        if writer is None:
            raise Unreachable
        number = next(self._numbers)
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            writer.write(numbered(pdu, number))
            async with asyncio.timeout(self._seconds):
                await writer.drain()
                return await answer
        except (OSError, TimeoutError) as error:
            raise Unanswered from error
        finally:
            self._waiting.pop(number, None)

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Give each response to who waits for it and answer each request, until the connection ends or is garbled."""
        try:
            while True:
                start = await reader.readexactly(HEADER_BYTES)
                head = read_head(start)
                pdu = start + await reader.readexactly(head.length - HEADER_BYTES)
                if head.command & _RESPONSE:
                    waiting = self._waiting.get(head.sequence)
                    if waiting is not None and not waiting.done():
                        waiting.set_result(pdu)
                else:
                    writer.write(await self._respond(pdu))
                    await writer.drain()
                    if head.command == _UNBIND:
                        return
        except (OSError, asyncio.IncompleteReadError, ValueError):
            return
        finally:
            if self._writer is writer:
                self._break()

    async def _respond(self, pdu: bytes) -> bytes:
        head = read_head(pdu)
        if head.command in (_ENQUIRE_LINK, _UNBIND):
            return struct.pack("!IIII", HEADER_BYTES, head.command | _RESPONSE, _OK, head.sequence)
        if head.command != DELIVER_SM:
            return struct.pack("!IIII", HEADER_BYTES, GENERIC_NACK, _UNKNOWN_COMMAND, head.sequence)
        try:
            await self._receive(WireRequest(method="DELIVER_SM", url=f"smpp://{self._address[0]}", body=pdu))
            status = _OK
        except Exception:  # noqa: BLE001 - whatever kept us from storing it, the centre must bring it again
            status = _TEMPORARY
        # Its body is one unused field, an empty C-octet string.
        return struct.pack("!IIII", HEADER_BYTES + 1, DELIVER_SM | _RESPONSE, status, head.sequence) + b"\0"

    async def _keep_alive(self, writer: asyncio.StreamWriter) -> None:
        while self._writer is writer:
            await asyncio.sleep(self._enquire_seconds)
            try:
                await self._ask(EnquireLink().pdu())
            except (Unanswered, Unreachable):
                writer.close()
                return

    def _break(self) -> None:
        """Forget the connection: who waits does not know what became of the request."""
        if self._writer is not None:
            self._writer.close()
        self._writer = None
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            if task is not asyncio.current_task():
                task.cancel()
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(ConnectionResetError())
