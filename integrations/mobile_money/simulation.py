"""What every simulator of a wallet operator shares: an HTTP server, how it misbehaves, and the callbacks it sends.

A simulator is the other side: it keeps its own books, in memory, and can be told over HTTP to misbehave:

    POST /simulator/misbehave   {"how": "late", "times": 2}
    GET  /simulator/movements   every movement of money, as the operator's own books have it
    GET  /simulator/counts      how often it has misbehaved, by how
    POST /simulator/holders     {"+250780000001": "Given Family"}: whose accounts these are, where it tells

`times` counts requests that move money, or callbacks, whichever the misbehaviour is about.
"""

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from enum import StrEnum
from typing import Any

import msgspec
import uvicorn
from msgspec import Struct

from engine.kernel.transport import Transport, Unanswered, Unreachable, WireRequest

HTML_ERROR = b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
HOLD_SECONDS = 60
LATE_SECONDS = 0.3

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class Misbehaviour(StrEnum):
    """What the outside does to us. The first seven are about callbacks, the others about answers."""

    LATE = "late"
    TWICE = "twice"
    REORDERED = "reordered"
    DROPPED = "dropped"
    WRONG_AMOUNT = "wrong-amount"
    FORGED = "forged"
    GARBLED = "garbled"
    TIMEOUT_AFTER_SUCCESS = "timeout-after-success"
    UNAVAILABLE = "503"
    HTML_ERROR = "html-error"
    HALF_A_BODY = "half-a-body"

    @property
    def is_of_callbacks(self) -> bool:
        """Return whether it happens to a callback and not to an answer."""
        return list(Misbehaviour).index(self) < list(Misbehaviour).index(Misbehaviour.TIMEOUT_AFTER_SUCCESS)


class Movement(Struct, frozen=True, kw_only=True):
    """Money that moved at the operator: `reference` is the partner's, `transaction` the operator's own id."""

    kind: str
    transaction: str
    reference: str
    msisdn: str
    amount: str
    currency: str
    account: str = ""


class Call(Struct, frozen=True, kw_only=True):
    """A request to the simulator; header names in lower case, `path` what the route's pattern named."""

    headers: Mapping[str, str]
    body: bytes
    path: Mapping[str, str]
    query: str = ""

    def json(self) -> Any:
        """Return the body's JSON, or None if it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


class Reply(Struct, frozen=True, kw_only=True):
    """An answer of the simulator."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"

    @classmethod
    def of(cls, value: object, status: int = 200) -> "Reply":
        """Return `value` as JSON."""
        return cls(status=status, body=msgspec.json.encode(value))


Answering = Callable[[Call], Reply]


class Outgoing(Struct, frozen=True, kw_only=True):
    """A callback to be sent; `wrong` and `forged` are the bodies it has where it lies."""

    request: WireRequest
    wrong: bytes
    forged: bytes


class Simulator:
    """An ASGI application that answers by routes, after the manner of one operator."""

    def __init__(self, callbacks: Transport, *, settle_seconds: float = 0.05) -> None:
        """Begin with no money moved.

        Args:
            callbacks: what callbacks are sent by.
            settle_seconds: how long a payer or the operator takes to decide.
        """
        self.movements: list[Movement] = []
        self.counts: Counter[Misbehaviour] = Counter()
        self.holders: dict[str, str] = {}
        self.settle_seconds = settle_seconds
        self._callbacks = callbacks
        self._planned: list[Misbehaviour] = []
        self._held: list[Outgoing] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._routes: list[tuple[str, re.Pattern[str], Answering, bool]] = []
        self.route("POST", "/simulator/misbehave", self._misbehave)
        self.route("POST", "/simulator/holders", self._name_holders)
        self.route("GET", "/simulator/movements", lambda _: Reply.of(self.movements))
        self.route("GET", "/simulator/counts", lambda _: Reply.of(self.counts))

    # -- routes

    def route(self, method: str, path: str, answer: Answering, *, moves_money: bool = False) -> None:
        """Answer requests to `path`, in which {name} stands for one segment; money routes can misbehave."""
        pattern = re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path))
        self._routes.append((method, pattern, answer, moves_money))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI)."""
        if scope["type"] != "http":
            return
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        for method, pattern, answer, moves_money in self._routes:
            match = pattern.fullmatch(scope["path"])
            if match and method == scope["method"]:
                query = scope["query_string"].decode()
                call = Call(headers=headers, body=body, path=match.groupdict(), query=query)
                await self._answer(call, answer, receive, send, moves_money=moves_money)
                return
        await _send(send, self.unknown_path())

    def unknown_path(self) -> Reply:
        """Return what the operator says to a path that it does not have."""
        return Reply(status=404)

    async def _answer(self, call: Call, answer: Answering, receive: Receive, send: Send, *, moves_money: bool) -> None:
        how = self._next(of_callbacks=False) if moves_money else None
        if how is Misbehaviour.UNAVAILABLE:
            await _send(send, Reply(status=503, body=b"Service Unavailable", content_type="text/plain"))
            return
        reply = answer(call)
        if how is Misbehaviour.TIMEOUT_AFTER_SUCCESS:
            await _hold(receive)
        elif how is Misbehaviour.HTML_ERROR:
            await _send(send, Reply(status=502, body=HTML_ERROR, content_type="text/html"))
        elif how is Misbehaviour.HALF_A_BODY:
            await _send(send, reply, missing=max(1, len(reply.body) // 2))
        else:
            await _send(send, reply)

    # -- misbehaviour

    def misbehave(self, how: Misbehaviour, times: int = 1) -> None:
        """Misbehave so at the next `times` occasions."""
        self._planned += [how] * times

    def _misbehave(self, call: Call) -> Reply:
        wanted = call.json()
        try:
            self.misbehave(Misbehaviour(wanted["how"]), int(wanted.get("times", 1)))
        except (KeyError, TypeError, ValueError):
            return Reply.of({"how": list(Misbehaviour), "times": "how often"}, 400)
        return Reply.of({"planned": self._planned})

    def _name_holders(self, call: Call) -> Reply:
        said = call.json()
        if not isinstance(said, dict):
            return Reply.of({"+250780000001": "Given Family"}, 400)
        self.holders |= {str(number).lstrip("+"): str(name) for number, name in said.items()}
        return Reply.of({"holders": len(self.holders)})

    def holder(self, msisdn: str) -> tuple[str, str]:
        """Return (given, family) name of whose account a number is; the number may lack its country's code."""
        name = next((name for number, name in self.holders.items() if number.endswith(msisdn)), "Sand Box")
        given, _, family = name.partition(" ")
        return given, family

    def _next(self, *, of_callbacks: bool) -> Misbehaviour | None:
        how = next((one for one in self._planned if one.is_of_callbacks is of_callbacks), None)
        if how is not None:
            self._planned.remove(how)
            self.counts[how] += 1
        return how

    # -- what happens later

    def later(self, seconds: float, act: Callable[[], Awaitable[None]]) -> None:
        """Do `act` after `seconds`."""

        async def wait() -> None:
            await asyncio.sleep(seconds)
            await act()

        task = asyncio.create_task(wait())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def call_back(self, outgoing: Outgoing) -> None:
        """Send a callback, or do to it what was planned."""
        how = self._next(of_callbacks=True)
        if how is Misbehaviour.DROPPED:
            return
        if how is Misbehaviour.REORDERED:
            self._held.append(outgoing)
            return
        if how is Misbehaviour.LATE:
            await asyncio.sleep(LATE_SECONDS)
        await self._deliver(_changed(outgoing, how))
        if how is Misbehaviour.TWICE:
            await self._deliver(outgoing.request)
        held, self._held = self._held, []
        for one in held:
            await self._deliver(one.request)

    async def _deliver(self, request: WireRequest) -> None:
        """Send once; operators do not care whether it arrived."""
        if request.url:
            try:
                await self._callbacks.send(request)
            except (Unreachable, Unanswered):
                return

    async def settle(self) -> None:
        """Wait until all that was begun has happened."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def stop(self) -> None:
        """Let nothing more happen."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class JoinedSimulator:
    """A simulator that the product is joined to; each adapter's `Sandbox` is one, and says by which credentials."""

    simulator: Simulator

    def serve(self, port: int = 0) -> AbstractAsyncContextManager[str]:
        """Serve the simulator on 127.0.0.1, by default on a free port; yields its base URL."""
        return serving(self.simulator, port)


def _changed(outgoing: Outgoing, how: Misbehaviour | None) -> WireRequest:
    bodies = {
        Misbehaviour.WRONG_AMOUNT: outgoing.wrong,
        Misbehaviour.FORGED: outgoing.forged,
        Misbehaviour.GARBLED: outgoing.request.body[: len(outgoing.request.body) // 2],
    }
    body = outgoing.request.body if how is None else bodies.get(how, outgoing.request.body)
    return msgspec.structs.replace(outgoing.request, body=body)


async def _send(send: Send, reply: Reply, *, missing: int = 0) -> None:
    """Send an answer; with `missing` bytes fewer than it promises, and the connection then ends."""
    length = str(len(reply.body) + (1 if missing and not reply.body else 0)).encode()
    headers = [(b"content-type", reply.content_type.encode()), (b"content-length", length)]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    kept = reply.body[: len(reply.body) - missing] if missing else reply.body
    await send({"type": "http.response.body", "body": kept, "more_body": bool(missing)})


async def _hold(receive: Receive) -> None:
    """Answer nothing until the caller gives up."""

    async def gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    try:
        await asyncio.wait_for(gone(), HOLD_SECONDS)
    except TimeoutError:
        return


@asynccontextmanager
async def listening(application: Application, port: int = 0) -> AsyncIterator[str]:
    """Serve an ASGI application on 127.0.0.1, by default on a free port; yields its base URL."""
    config = uvicorn.Config(application, host="127.0.0.1", port=port, log_config=None, access_log=False, lifespan="off")
    server = uvicorn.Server(config)
    running = asyncio.create_task(server._serve())  # noqa: SLF001 - without its signal handlers
    while not server.started:
        if running.done():
            running.result()
        await asyncio.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        for one in server.servers:
            one.close()
        for connection in list(server.server_state.connections):
            connection.transport.abort()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@asynccontextmanager
async def serving(simulator: Simulator, port: int = 0) -> AsyncIterator[str]:
    """Serve the simulator on 127.0.0.1, by default on a free port; yields its base URL."""
    async with listening(simulator, port) as url:
        try:
            yield url
        finally:
            await simulator.stop()
