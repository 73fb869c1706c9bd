"""What every simulator of this folder has in common: a real HTTP server on this machine, and how it misbehaves."""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from enum import StrEnum
from types import TracebackType
from typing import Self

import h11

from engine.kernel.transport import Transport, Unanswered, Unreachable, WireRequest, WireResponse

HOST = "127.0.0.1"
CONTROL_PATH = "/simulator/misbehave"
_READ_BYTES = 65_536
_HTML = b"<!DOCTYPE html><html><head><title>502</title></head><body><h1>Bad Gateway</h1></body></html>"
Answering = Callable[[WireRequest], Awaitable[WireResponse]]


class Fault(StrEnum):
    """What goes wrong once. The first five at an answer, the others at the reports that follow it."""

    LATE = "late"
    DROPPED = "dropped"
    UNAVAILABLE = "503"
    HTML_PAGE = "html-page"
    HALF_A_BODY = "half-a-body"
    REPORT_TWICE = "report-twice"
    REPORTS_REORDERED = "reports-reordered"
    REPORT_DROPPED = "report-dropped"
    REPORT_LATE = "report-late"


class Faults:
    """The faults still to come, each so many times, and how often each has happened."""

    def __init__(self, *, seconds_late: float = 3.0) -> None:
        self.seconds_late = seconds_late
        self.happened: Counter[Fault] = Counter()
        self._waiting: Counter[Fault] = Counter()

    def plan(self, fault: Fault, times: int = 1) -> None:
        """Let `fault` happen at the next `times` occasions."""
        self._waiting[fault] += times

    def strikes(self, *faults: Fault) -> Fault | None:
        """Return the first of `faults` that is planned, which has then happened; None if none is."""
        for fault in faults:
            if self._waiting[fault] > 0:
                self._waiting[fault] -= 1
                self.happened[fault] += 1
                return fault
        return None


class HttpServer:
    """Serves HTTP/1.1 on a port of this machine until it is left; each request goes to `answering`, errors become 500."""

    def __init__(self, answering: Answering, *, port: int = 0, faults: Faults | None = None) -> None:
        self.faults = faults or Faults()
        self._answering = answering
        self._port = port
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Return the address without a path or a final slash."""
        assert self._server is not None
        return f"http://{HOST}:{self._server.sockets[0].getsockname()[1]}"

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

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            with contextlib.suppress(ConnectionError, h11.RemoteProtocolError, asyncio.CancelledError):
                await self._converse(reader, writer)
        finally:
            self._open.discard(task)
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.SERVER)
        while True:
            request = await _read_request(connection, reader)
            if request is None:
                return
            whole = await self._answer(request, connection, writer)
            if not whole or connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
                return
            connection.start_next_cycle()

    async def _answer(self, request: WireRequest, connection: h11.Connection, writer: asyncio.StreamWriter) -> bool:
        """Send the answer, or what a fault leaves of it; return whether it went out whole."""
        if request.url == CONTROL_PATH:
            return await _send(self._control(request), connection, writer)
        if self.faults.strikes(Fault.UNAVAILABLE):
            return await _send(WireResponse(status=503, body=b"Service Unavailable"), connection, writer)
        answer = await self._answering(request)
        fault = self.faults.strikes(Fault.LATE, Fault.DROPPED, Fault.HTML_PAGE, Fault.HALF_A_BODY)
        if fault is Fault.DROPPED:
            return False
        if fault is Fault.LATE:
            await asyncio.sleep(self.faults.seconds_late)
        if fault is Fault.HTML_PAGE:
            answer = WireResponse(status=answer.status, headers={"content-type": "text/html"}, body=_HTML)
        return await _send(answer, connection, writer, half=fault is Fault.HALF_A_BODY)

    def _control(self, request: WireRequest) -> WireResponse:
        """Plan a fault that is asked for over HTTP: `{"fault": "late", "times": 2}`."""
        try:
            asked = json.loads(request.body)
            self.faults.plan(Fault(asked["fault"]), int(asked.get("times", 1)))
        except (ValueError, KeyError, TypeError):
            return WireResponse(status=422, body=f"faults: {', '.join(Fault)}".encode())
        return WireResponse(status=204)


class Reporting:
    """Sends what a provider tells later, by itself, to one address of ours, faults included."""

    def __init__(self, transport: Transport, url: str, faults: Faults) -> None:
        self._transport = transport
        self._url = url
        self._faults = faults
        self._waiting: list[WireRequest] = []

    def later(self, *, headers: dict[str, str], body: bytes, url: str = "", method: str = "POST") -> None:
        """Keep a report to be sent, to `url` if it names an address of its own; in this order, but for faults."""
        self._waiting.append(WireRequest(method=method, url=url or self._url, headers=headers, body=body))

    async def send(self) -> list[int]:
        """Send the reports that wait; return the status of each that was answered."""
        reports, self._waiting = self._waiting, []
        if self._faults.strikes(Fault.REPORTS_REORDERED):
            reports.reverse()
        statuses = []
        for report in (one for one in reports if one.url):
            if self._faults.strikes(Fault.REPORT_DROPPED):
                continue
            if self._faults.strikes(Fault.REPORT_LATE):
                await asyncio.sleep(self._faults.seconds_late)
            for _ in range(2 if self._faults.strikes(Fault.REPORT_TWICE) else 1):
                with contextlib.suppress(Unreachable, Unanswered):
                    statuses.append((await self._transport.send(report)).status)
        return statuses


async def _read_request(connection: h11.Connection, reader: asyncio.StreamReader) -> WireRequest | None:
    head: h11.Request | None = None
    body = b""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(_READ_BYTES))
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            return WireRequest(
                method=head.method.decode(),
                url=head.target.decode(),
                headers={name.decode().lower(): value.decode("latin-1") for name, value in head.headers},
                body=body,
            )
        else:
            return None


async def _send(
    answer: WireResponse, connection: h11.Connection, writer: asyncio.StreamWriter, *, half: bool = False
) -> bool:
    bodiless = answer.status == 204
    headers = [*answer.headers.items(), *([] if bodiless else [("content-length", str(len(answer.body)))])]
    head = connection.send(h11.Response(status_code=answer.status, headers=headers))
    sent = answer.body[: len(answer.body) // 2] if half else answer.body
    writer.write((head or b"") + (connection.send(h11.Data(data=sent)) or b""))
    if not half:
        writer.write(connection.send(h11.EndOfMessage()) or b"")
    await writer.drain()
    return not half
