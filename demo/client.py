"""How the demo talks to the deployment: plain HTTP over kept-alive connections, as a partner and as a member of staff."""

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.cookies import SimpleCookie
from typing import Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

Item = TypeVar("Item")
Result = TypeVar("Result")
_PATIENCE = 60.0


class DemoFailed(Exception):
    """The deployment did something else than it should; the message says what."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        """Return the body's JSON."""
        return json.loads(self.body)


class Site:
    """One tenant's face of a running server: reached on this machine's loopback, named by the tenant's host."""

    def __init__(self, address: str, port: int, host: str) -> None:
        self._address, self._port, self._host = address, port, host
        self._local = threading.local()

    @property
    def url(self) -> str:
        """Return the address for people's browsers."""
        return f"http://{self._host}:{self._port}"

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """Send one request over this thread's connection, once more where the server has closed it meanwhile."""
        named = {"Host": f"{self._host}:{self._port}"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        for is_last in (False, True):
            connection = self._connection(is_fresh=is_last)
            try:
                connection.request(method, path, body, named)
                response = connection.getresponse()
                return Answer(response.status, response.headers, response.read())
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError) as error:
                if is_last:
                    raise DemoFailed(f"{method} {path.partition('?')[0]}: {error}") from error
            except OSError as error:
                raise DemoFailed(f"{method} {path.partition('?')[0]}: {error}") from error
        raise AssertionError

    def _connection(self, *, is_fresh: bool) -> http.client.HTTPConnection:
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is None or is_fresh:
            if connection is not None:
                connection.close()
            connection = http.client.HTTPConnection(self._address, self._port, timeout=_PATIENCE)
            self._local.connection = connection
        return connection


@dataclass(frozen=True, slots=True)
class Credentials:
    """A partner's client id and secret."""

    client_id: str
    client_secret: str


class Partner:
    """A partner of a tenant: gets tokens, enrols people, sends payments."""

    def __init__(self, site: Site, credentials: Credentials, connections: int) -> None:
        self._site, self._credentials = site, credentials
        self._pool = ThreadPoolExecutor(connections, thread_name_prefix="partner")
        self._lock = threading.Lock()
        self._token, self._good_until = "", 0.0

    def close(self) -> None:
        """Let the connections go."""
        self._pool.shutdown()

    def together(self, do: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """Do something for every item, many at once; return the results in order."""
        return list(self._pool.map(do, items))

    def post(self, path: str, body: object, *, key: str = "") -> Answer:
        """Send JSON."""
        return self._send("POST", path, body, **({"Idempotency_Key": key} if key else {}))

    def put(self, path: str, body: object) -> Answer:
        """Send JSON that is to stand at `path`."""
        return self._send("PUT", path, body)

    def delete(self, path: str) -> Answer:
        """Have what stands at `path` removed."""
        return self._site.ask("DELETE", path, Authorization=f"Bearer {self._current_token()}")

    def _send(self, method: str, path: str, body: object, **extra: str) -> Answer:
        return self._site.ask(
            method,
            path,
            json.dumps(body, separators=(",", ":")).encode(),
            Authorization=f"Bearer {self._current_token()}",
            Content_Type="application/json",
            **extra,
        )

    def get(self, path: str, **query: str) -> Any:
        """Return the JSON of a page that must be there."""
        full = f"{path}?{urlencode(query)}" if query else path
        answer = self._site.ask("GET", full, Authorization=f"Bearer {self._current_token()}")
        return expect(answer, 200, f"GET {path}").json

    def get_bytes(self, path: str) -> bytes:
        """Return a document that must be there."""
        answer = self._site.ask("GET", path, Authorization=f"Bearer {self._current_token()}")
        return expect(answer, 200, f"GET {path}").body

    def _current_token(self) -> str:
        with self._lock:
            if time.monotonic() >= self._good_until:
                form = {
                    "grant_type": "client_credentials",
                    "client_id": self._credentials.client_id,
                    "client_secret": self._credentials.client_secret,
                }
                answer = self._site.ask(
                    "POST",
                    "/oauth/token",
                    urlencode(form).encode(),
                    Content_Type="application/x-www-form-urlencoded",
                )
                granted = expect(answer, 200, "POST /oauth/token").json
                self._token = granted["access_token"]
                self._good_until = time.monotonic() + granted["expires_in"] * 0.8
            return self._token


class Operator:
    """A member of staff who signed in by a one-time link and runs the scheme's day."""

    def __init__(self, site: Site, link: str) -> None:
        self._site = site
        path = urlsplit(link).path
        entered = site.ask("POST", path, b"", Content_Type="application/x-www-form-urlencoded")
        expect(entered, 303, "POST /staff/enter")
        cookie: SimpleCookie = SimpleCookie()
        for value in entered.headers.get_all("set-cookie", []):
            cookie.load(value)
        self._cookie = "; ".join(f"{name}={morsel.value}" for name, morsel in cookie.items())
        session = site.ask("GET", "/v1/operations/session", Cookie=self._cookie)
        self._csrf = expect(session, 200, "GET /v1/operations/session").json["csrf_token"]

    def page(self, path: str) -> str:
        """Return a page as the browser gets it."""
        return expect(
            self._site.ask("GET", path, Cookie=self._cookie, Accept="text/html"), 200, f"GET {path}"
        ).body.decode()

    def get(self, path: str) -> Any:
        """Return the JSON of a page that must be there."""
        return expect(self._site.ask("GET", path, Cookie=self._cookie), 200, f"GET {path}").json

    def post(self, path: str, body: object, *, status: int = 200, key: str = "") -> Any:
        """Send JSON and return the JSON that came back."""
        extra = {"Idempotency_Key": key} if key else {}
        return self._send(path, json.dumps(body).encode(), "application/json", status, **extra)

    def upload(self, path: str, raw: bytes, *, status: int = 200, **query: str) -> Any:
        """Send a file as it is and return the JSON that came back."""
        return self._send(f"{path}?{urlencode(query, quote_via=quote)}", raw, "application/octet-stream", status)

    def _send(self, path: str, raw: bytes, media_type: str, status: int, **extra: str) -> Any:
        answer = self._site.ask(
            "POST",
            path,
            raw,
            Cookie=self._cookie,
            X_CSRF_Token=self._csrf,
            Content_Type=media_type,
            **extra,
        )
        return expect(answer, status, f"POST {path}").json


def expect(answer: Answer, status: int, what: str) -> Answer:
    """Return the answer if it has the status it should have.

    Raises:
        DemoFailed: it has another; the message holds the answer.
    """
    if answer.status != status:
        raise DemoFailed(
            f"{what}: expected {status}, got {answer.status}: {answer.body[:600].decode(errors='replace')}"
        )
    return answer


def chunks(items: Sequence[Item], most: int) -> list[Sequence[Item]]:
    """Cut a sequence into pieces of at most `most`."""
    return [items[start : start + most] for start in range(0, len(items), most)]
