"""The one way out: HTTP to a counterparty, certificates verified, no redirect followed, nothing ever sent twice."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from engine.kernel.transport import TooLong, Unanswered, Unreachable, WireRequest, WireResponse

USER_AGENT = "akiba"
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol, httpx.InvalidURL)


class HttpTransport:
    """Sends requests by httpx."""

    def __init__(self, client: httpx.AsyncClient, seconds: float) -> None:
        """Send by `client`, each request answered whole within `seconds`."""
        self._client = client
        self._seconds = seconds

    async def send(self, request: WireRequest) -> WireResponse:
        """Return the answer, whatever its status.

        Raises:
            Unreachable: no connection was made, so nothing was sent.
            Unanswered: the connection broke, the time ran out, or the answer is longer than any that is meant.
        """
        try:
            async with asyncio.timeout(self._seconds):
                return await self._exchange(request)
        except _NOT_SENT as error:
            raise Unreachable(type(error).__name__) from error
        except (httpx.HTTPError, httpx.StreamError, TimeoutError) as error:
            raise Unanswered(type(error).__name__) from error

    def answered_within(self, seconds: float) -> "HttpTransport":
        """Return a transport over the same connections that waits `seconds` for an answer."""
        return HttpTransport(self._client, seconds)

    async def _exchange(self, request: WireRequest) -> WireResponse:
        headers = {"user-agent": USER_AGENT, **{name.lower(): value for name, value in request.headers.items()}}
        async with self._client.stream(
            request.method, request.url, headers=headers, content=request.body or None
        ) as response:
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > request.answer_bytes_max:
                    raise TooLong("the answer is too long")
            return WireResponse(
                status=response.status_code,
                headers={name.lower(): value for name, value in response.headers.items()},
                body=bytes(body),
            )


@asynccontextmanager
async def open_transport(*, seconds: float = 35, connections: int = 20) -> AsyncIterator[HttpTransport]:
    """Open a transport; some operators take 20 seconds to answer, so time-outs are long by default.

    Args:
        seconds: for a whole request and its answer.
        connections: at most at once.
    """
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=5)
    timeout = httpx.Timeout(seconds, connect=min(seconds, 10))
    async with httpx.AsyncClient(timeout=timeout, limits=limits, follow_redirects=False, trust_env=False) as client:
        yield HttpTransport(client, seconds)
