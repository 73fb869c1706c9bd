"""Third parties' clients, each run as a program in an environment of their own, and a place that takes callbacks."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from engine.kernel.transport import Callback
from engine.runtime.exchanges.transport import HttpTransport, open_transport
from integrations.mobile_money.simulation import listening
from tests.conformance.places import node_modules, python_of

CLIENTS = Path(__file__).parent / "clients"
Run = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture
def run_client() -> Run:
    """Run a third party's client by name; it prints one JSON object."""

    async def run(name: str, *arguments: str) -> dict[str, Any]:
        command: list[str | Path] = [python_of("mobile-money"), CLIENTS / f"{name}.py"]
        environment = dict(os.environ)
        if (CLIENTS / f"{name}.cjs").exists():
            node, modules = node_modules()
            command, environment = [node, CLIENTS / f"{name}.cjs"], {"NODE_PATH": str(modules), "NO_PROXY": "*"}
        process = await asyncio.create_subprocess_exec(
            *command, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=environment
        )
        out, err = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 0, err.decode()
        said: dict[str, Any] = json.loads(out)
        return said

    return run


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def transport() -> AsyncIterator[HttpTransport]:
    """The product's own way out, impatient."""
    async with open_transport(seconds=1.5) as opened:
        yield opened


@dataclass
class Inbox:
    """A server that takes callbacks, answers at once, and keeps them in order with the path they came to."""

    url: str = ""
    callbacks: list[tuple[str, Callback]] = field(default_factory=list)

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ) -> None:
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        await self.take(scope["path"], Callback(method=scope["method"], headers=headers, body=body))
        answer = self.answer(scope["path"])
        headers_out = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers_out})
        await send({"type": "http.response.body", "body": answer})

    async def take(self, path: str, callback: Callback) -> None:
        self.callbacks.append((path, callback))

    def answer(self, path: str) -> bytes:  # noqa: ARG002 - a validating server answers by path
        return b'{"ResultCode":0,"ResultDesc":"Accepted"}'

    def to(self, path: str) -> list[Callback]:
        """Return the callbacks that came to one path."""
        return [callback for at, callback in self.callbacks if at == path]


@asynccontextmanager
async def open_inbox(inbox: Inbox) -> AsyncIterator[Inbox]:
    """Serve an inbox on a free port."""
    async with listening(inbox) as inbox.url:
        yield inbox


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def shared_inbox() -> AsyncIterator[Inbox]:
    async with open_inbox(Inbox()) as opened:
        yield opened


@pytest.fixture
def inbox(shared_inbox: Inbox) -> Inbox:
    """A place that takes callbacks, empty."""
    shared_inbox.callbacks.clear()
    return shared_inbox
