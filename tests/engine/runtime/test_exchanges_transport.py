"""The way out against servers that break in every place, and tokens wanted by many at once. Real sockets, real database."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from engine.kernel.tokens import Token, TokenRefused, Tokens
from engine.kernel.transport import TooLong, Unanswered, Unreachable, WireRequest
from engine.runtime.database import Database, driver
from engine.runtime.exchanges.tokens import ProcessTokens, SharedTokens
from engine.runtime.exchanges.transport import open_transport
from engine.runtime.key_file import FileKeyStore

Respond = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
WHOLE = b"HTTP/1.1 200 OK\r\nX-One: 1\r\nContent-Length: 5\r\n\r\nhello"


class Server:
    """A server that reads a request's head and does as it is told."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.url = ""

    @asynccontextmanager
    async def answering(self, *parts: bytes, hold: float = 0) -> AsyncIterator[str]:
        async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                self.heads.append(await reader.readuntil(b"\r\n\r\n"))
                for part in parts:
                    writer.write(part)
                    await writer.drain()
                await asyncio.sleep(hold)
            finally:
                writer.close()

        server = await asyncio.start_server(respond, "127.0.0.1", 0)
        async with server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


async def send(url: str, **values: object) -> object:
    async with open_transport(seconds=0.5) as opened:
        return await opened.send(WireRequest(method="POST", url=url, body=b"x", **values))  # type: ignore[arg-type]


async def test_an_answer_comes_as_it_is() -> None:
    server = Server()
    async with server.answering(WHOLE) as url, open_transport() as opened:
        answer = await opened.send(WireRequest(method="PUT", url=url, headers={"X-Mine": "1"}, body=b"abc"))

    assert (answer.status, answer.body, answer.headers["x-one"]) == (200, b"hello", "1")
    head = server.heads[0].lower()
    assert head.startswith(b"put / http/1.1")
    assert b"x-mine: 1" in head
    assert b"user-agent: akiba\r\n" in head
    assert b"python" not in head


async def test_nobody_there_is_unreachable() -> None:
    async with Server().answering() as url:
        pass
    with pytest.raises(Unreachable):
        await send(url)


@pytest.mark.parametrize("url", ["", "ftp://127.0.0.1/", "http://", "nonsense"])
async def test_no_address_is_unreachable(url: str) -> None:
    with pytest.raises(Unreachable):
        await send(url)


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param([], id="closes without a word"),
        pytest.param([b"HTTP/1.1 200 OK\r\nContent-Le"], id="half a head"),
        pytest.param([b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", b"half"], id="half a body"),
        pytest.param([b"\x00\x01\x02 not HTTP at all\r\n\r\n"], id="not HTTP"),
        pytest.param([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel"], id="half a chunk"),
        pytest.param(
            [b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd"], id="not what it says"
        ),
    ],
)
async def test_a_broken_answer_is_unanswered(parts: list[bytes]) -> None:
    server = Server()
    async with server.answering(*parts) as url:
        with pytest.raises(Unanswered):
            await send(url)

    assert len(server.heads) == 1  # and nothing was sent twice


async def test_no_answer_in_time_is_unanswered() -> None:
    server = Server()
    async with server.answering(hold=5) as url:
        with pytest.raises(Unanswered):
            await send(url)
        assert len(server.heads) == 1


async def test_an_answer_that_drips_is_cut_off() -> None:
    """Each byte comes within the time-out of a read; the whole does not."""

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
        for _ in range(100):
            await asyncio.sleep(0.05)
            writer.write(b".")

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    async with server:
        with pytest.raises(Unanswered):
            await send(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")


async def test_an_answer_without_end_is_unanswered() -> None:
    body = b"x" * 2000
    async with (
        Server().answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + body) as url,
        open_transport() as opened,
    ):
        with pytest.raises(TooLong):
            await opened.send(WireRequest(method="GET", url=url, answer_bytes_max=1000))


async def test_a_redirect_is_an_answer_and_not_followed() -> None:
    server = Server()
    found = b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"
    async with server.answering(found) as url, open_transport() as opened:
        answer = await opened.send(WireRequest(method="POST", url=url))

    assert (answer.status, len(server.heads)) == (302, 1)


# -- tokens


class Issuer:
    """Gives out tokens, and counts."""

    def __init__(self, seconds: int = 3600) -> None:
        self.given, self.at_once, self.most_at_once, self.seconds = 0, 0, 0, seconds
        self.error: Exception | None = None

    async def __call__(self) -> Token:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0.02)
        self.at_once -= 1
        if self.error:
            raise self.error
        self.given += 1
        return Token(value=f"token-{self.given}", seconds=self.seconds)


@pytest.fixture(params=["process", "shared"])
def tokens(request: pytest.FixtureRequest, db: Database, keys: FileKeyStore, tenant_id: int) -> Tokens:
    return ProcessTokens() if request.param == "process" else SharedTokens(db, keys, tenant_id)


async def test_many_at_once_fetch_one(tokens: Tokens) -> None:
    issuer = Issuer()

    values = await asyncio.gather(*(tokens.get("wallet", issuer) for _ in range(30)))

    assert set(values) == {"token-1"}
    assert issuer.given == 1


async def test_a_refused_token_is_replaced_and_a_newer_one_kept(tokens: Tokens) -> None:
    issuer = Issuer()
    await tokens.get("wallet", issuer)
    await tokens.discard("wallet", "token-1")

    assert await tokens.get("wallet", issuer) == "token-2"
    await tokens.discard("wallet", "token-1")
    assert await tokens.get("wallet", issuer) == "token-2"
    assert await tokens.get("another", issuer) == "token-3"


async def test_a_token_is_not_used_to_its_last_second(tokens: Tokens) -> None:
    issuer = Issuer(seconds=0)

    assert await tokens.get("wallet", issuer) == "token-1"
    assert await tokens.get("wallet", issuer) == "token-2"


@pytest.mark.parametrize("error", [Unanswered(), Unreachable(), TokenRefused("no")])
async def test_without_a_token_nothing_was_asked(tokens: Tokens, error: Exception) -> None:
    issuer = Issuer()
    issuer.error = error

    with pytest.raises(Unreachable):
        await tokens.get("wallet", issuer)
    issuer.error = None
    assert await tokens.get("wallet", issuer) == "token-1"


async def test_processes_share_one_token_and_it_lies_sealed(
    db: Database, keys: FileKeyStore, tenant_id: int, database_urls: tuple[str, str]
) -> None:
    """Some operators let only the newest token live: two processes that each fetched one would end each other's."""
    other_db, issuer = Database(database_urls[0]), Issuer()
    processes = [SharedTokens(one, keys, tenant_id) for one in (db, other_db, db, other_db)]

    values = await asyncio.gather(*(process.get("wallet", issuer) for process in processes for _ in range(5)))

    assert set(values) == {"token-1"}
    assert (issuer.given, issuer.most_at_once) == (1, 1)
    async with db.unit_of_work(tenant_id) as session:
        rows = await (await (await driver(session)).execute("select t::text, document from access_tokens t")).fetchall()
    assert len(rows) == 1
    assert b"token-1" not in rows[0][1]
    await other_db.dispose()
