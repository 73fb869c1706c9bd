"""The other side of a file drop: one pair of folders, shown as they are, over SFTP and over HTTP, on 127.0.0.1.

Whoever simulates a counterparty works on the folders; how we reach them makes no difference to it. The servers can be told to
misbehave: each planned misbehaviour happens once, to the next request that it can happen to.
"""

import asyncio
import base64
import hashlib
import json
import socket
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import asyncssh
import msgspec
import uvicorn

from engine.kernel.file_drops import is_plain_name
from engine.kernel.files import NamedFile
from integrations.banking.file_drops.folder import leave

LOOPBACK = "127.0.0.1"
HTML_ERROR = b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Control = Callable[[Mapping[str, Any]], object]


class Mischief(StrEnum):
    """What a server does to one request."""

    UNAVAILABLE = "503"
    HTML_ERROR = "html-error"
    HALF_A_BODY = "half-a-body"
    OTHER_BYTES = "other-bytes"
    TIMEOUT_AFTER_SUCCESS = "timeout-after-success"


@dataclass
class DropSite:
    """The counterparty's folders: what it has for us, what it got from us, what we took, and what it is told to do wrong."""

    root: Path
    planned: list[Mischief] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        for folder in (self.for_us, self.from_us, self.staged, self.taken):
            folder.mkdir(parents=True, exist_ok=True)

    @property
    def for_us(self) -> Path:
        """Return the folder in which files wait for us."""
        return self.root / "for-us"

    @property
    def from_us(self) -> Path:
        """Return the folder in which our files lie."""
        return self.root / "from-us"

    @property
    def staged(self) -> Path:
        """Return the folder in which files of ours are laid ready, by HTTP, until they are handed over."""
        return self.root / "staged"

    @property
    def taken(self) -> Path:
        """Return the folder for what we took."""
        return self.root / "taken"

    def put(self, name: str, raw: bytes) -> None:
        """Lay a file out for us, whole at once."""
        leave(self.for_us, NamedFile(name, raw))

    def got(self, pattern: str = "*") -> list[NamedFile]:
        """Return our files whose names match, by name."""
        paths = sorted(path for path in self.from_us.glob(pattern) if is_plain_name(path.name))
        return [NamedFile(path.name, path.read_bytes()) for path in paths]

    def will(self, *mischief: Mischief) -> None:
        """Plan misbehaviours, one a request."""
        self.planned += mischief

    def happens(self, possible: Iterable[Mischief]) -> Mischief | None:
        """Return the next planned misbehaviour if it is one of `possible`, and count it."""
        if not self.planned or self.planned[0] not in possible:
            return None
        found = self.planned.pop(0)
        self.counts[found] += 1
        return found


@dataclass(frozen=True)
class _Answer:
    status: int
    body: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = ()


def http_app(site: DropSite, token: str) -> App:
    """Return an ASGI application that serves the site to whoever bears `token`."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        mischief = site.happens((Mischief.UNAVAILABLE, Mischief.HTML_ERROR))
        if mischief is not None:
            await _send(send, _Answer(503 if mischief is Mischief.UNAVAILABLE else 200, HTML_ERROR))
            return
        if headers.get("authorization") != f"Bearer {token}":
            await _send(send, _Answer(401))
            return
        answer = _answer(site, scope["method"], unquote(scope["path"]), headers, body)
        mischief = site.happens((Mischief.HALF_A_BODY, Mischief.OTHER_BYTES, Mischief.TIMEOUT_AFTER_SUCCESS))
        if mischief is Mischief.OTHER_BYTES:
            answer = _Answer(answer.status, answer.body[::-1], answer.headers)
        await _send(send, answer, cut=mischief in (Mischief.HALF_A_BODY, Mischief.TIMEOUT_AFTER_SUCCESS))

    return app


def with_control(app: App, routes: Mapping[tuple[str, str], Control]) -> App:
    """Return `app` with routes by which a simulator is steered: each is given the JSON it was sent, and answers with JSON.

    The routes are for whoever runs the simulator and are not part of what the counterparty speaks.
    """

    async def steered(scope: Scope, receive: Receive, send: Send) -> None:
        control = routes.get((scope.get("method", ""), scope.get("path", "")))
        if control is None:
            await app(scope, receive, send)
            return
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        try:
            answer = _Answer(200, msgspec.json.encode(control(json.loads(body or b"{}"))))
        except (KeyError, ValueError, TypeError) as error:
            answer = _Answer(422, msgspec.json.encode({"error": str(error)}))
        await _send(send, answer)

    return steered


async def _send(send: Send, answer: _Answer, *, cut: bool = False) -> None:
    """Send an answer; cut, the connection ends before the answer does."""
    length = len(answer.body) + (10 if cut else 0)
    headers = [(b"content-length", str(length).encode()), *answer.headers]
    if answer.status == 204 and not cut:
        headers = [*answer.headers]
    await send({"type": "http.response.start", "status": 200 if cut else answer.status, "headers": headers})
    if cut:
        await send({"type": "http.response.body", "body": answer.body[: len(answer.body) // 2], "more_body": True})
        raise ConnectionAbortedError
    await send({"type": "http.response.body", "body": answer.body})


def _digest(raw: bytes) -> bytes:
    return b"sha-256=:" + base64.b64encode(hashlib.sha256(raw).digest()) + b":"


def _answer(site: DropSite, method: str, path: str, headers: dict[str, str], body: bytes) -> _Answer:
    _, folder, *rest = path.split("/")
    name = rest[0] if rest else ""
    if (method, folder, name) == ("GET", "inbox", ""):
        waiting = sorted(one for one in site.for_us.iterdir() if is_plain_name(one.name))
        listed = [{"name": one.name, "sha256": hashlib.sha256(one.read_bytes()).hexdigest()} for one in waiting]
        return _Answer(200, json.dumps(listed).encode())
    if is_plain_name(name) and (method, folder) == ("PUT", "outbox"):
        return _put(site.from_us, name, headers, body)
    if is_plain_name(name) and folder == "staged":
        return _stage(site, method, name, headers, body)
    there = site.for_us / name
    if not is_plain_name(name) or folder != "inbox" or not there.is_file():
        return _Answer(404)
    raw = there.read_bytes()
    if method == "DELETE":
        return _take(site, there, raw, headers)
    return _Answer(200, raw, ((b"repr-digest", _digest(raw)),))


def _take(site: DropSite, there: Path, raw: bytes, headers: dict[str, str]) -> _Answer:
    sha256 = hashlib.sha256(raw).hexdigest()
    if headers.get("if-match") != f'"{sha256}"':
        return _Answer(412)
    there.rename(site.taken / f"{sha256[:16]}-{there.name}")
    return _Answer(204)


def _stage(site: DropSite, method: str, name: str, headers: dict[str, str], body: bytes) -> _Answer:
    staged = site.staged / name
    if method == "PUT":
        if headers.get("repr-digest", "").encode() != _digest(body):
            return _Answer(400)
        is_new = not staged.exists()
        staged.write_bytes(body)
        return _Answer(201 if is_new else 204)
    own = unquote(headers.get("destination", "").rpartition("/outbox/")[2])
    if method != "MOVE" or not is_plain_name(own) or headers.get("overwrite") != "F":
        return _Answer(400)
    return _hand_over(staged, site.from_us / own)


def _hand_over(staged: Path, there: Path) -> _Answer:
    if not staged.exists():
        return _Answer(404)
    if there.exists():
        if there.read_bytes() != staged.read_bytes():
            return _Answer(412)
        staged.unlink()
        return _Answer(204)
    staged.rename(there)
    return _Answer(201)


def _put(folder: Path, name: str, headers: dict[str, str], body: bytes) -> _Answer:
    if headers.get("repr-digest", "").encode() != _digest(body):
        return _Answer(400)
    there = folder / name
    if there.exists():
        return _Answer(204 if there.read_bytes() == body else 412)
    leave(folder, NamedFile(name, body))
    return _Answer(201)


@asynccontextmanager
async def serving_http(app: App, *, certificate: tuple[Path, Path] | None = None) -> AsyncIterator[str]:
    """Serve an application on a free port of 127.0.0.1, with a certificate and its key by TLS; yield its address."""
    listening = socket.create_server((LOOPBACK, 0))
    config = uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=1)
    if certificate is not None:
        config.ssl_certfile, config.ssl_keyfile = certificate
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve([listening]))  # noqa: SLF001 - serve() takes over the process's signals
    try:
        yield f"{'http' if certificate is None else 'https'}://{LOOPBACK}:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


@asynccontextmanager
async def serving_sftp(site: DropSite, host_key: asyncssh.SSHKey, client_key: str) -> AsyncIterator[int]:
    """Serve the site's folders by SFTP on a free port of 127.0.0.1 to whoever has the private key of `client_key`."""

    class Partners(asyncssh.SSHServer):
        def begin_auth(self, username: str) -> bool:
            del username
            return True

        def public_key_auth_supported(self) -> bool:
            return True

        def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
            return username == "akiba" and key == asyncssh.import_public_key(client_key)

    class Files(asyncssh.SFTPServer):
        def __init__(self, channel: asyncssh.SSHServerChannel[bytes]) -> None:
            super().__init__(channel, chroot=str(site.root).encode())

        def rename(self, oldpath: bytes, newpath: bytes) -> None:
            mischief = site.happens((Mischief.UNAVAILABLE, Mischief.TIMEOUT_AFTER_SUCCESS))
            if mischief is Mischief.UNAVAILABLE:
                raise asyncssh.SFTPFailure("not now")
            old, new = Path(self.map_path(oldpath).decode()), Path(self.map_path(newpath).decode())
            if new.exists():
                raise asyncssh.SFTPFailure("there is such a file")
            old.rename(new)
            if mischief is Mischief.TIMEOUT_AFTER_SUCCESS:
                self.channel.get_connection().abort()

    server = await asyncssh.create_server(
        Partners, LOOPBACK, 0, server_host_keys=[host_key], sftp_factory=Files, allow_scp=False, config=[]
    )
    try:
        yield server.get_port()
    finally:
        server.close()
        await server.wait_closed()
