"""The way out to addresses that others have named: each name is resolved when it is used, and only the internet is reached.

The connection goes to the very address that was looked at, so that a name cannot lead elsewhere a moment later; it is
never used for another request, since requests to two names at one address must not share what one of them verified.
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from engine.kernel.addresses import is_address_open, is_loopback
from engine.runtime.exchanges.transport import HttpTransport


class PublicTransport(httpx.AsyncHTTPTransport):
    """Connects to hosts of which every address is one of the internet's."""

    def __init__(self, *, is_local_allowed: bool, connections: int) -> None:
        """Allow `connections` at once; `is_local_allowed`: this machine too, where the URL itself spells it."""
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=0)
        super().__init__(limits=limits, trust_env=False)
        self._is_local_allowed = is_local_allowed

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request to the first of its host's addresses.

        Raises:
            httpx.ConnectError: the host has no address, or one that is not the internet's.
        """
        host = request.url.host
        addresses = await _addresses(host, request.url.port or 443)
        is_local = self._is_local_allowed and is_loopback(host)
        if not addresses or not all(is_local or is_address_open(address) for address in addresses):
            raise httpx.ConnectError("the host is not on the internet", request=request)
        request.url = request.url.copy_with(host=addresses[0])
        request.extensions = {**request.extensions, "sni_hostname": host}
        return await super().handle_async_request(request)


async def _addresses(host: str, port: int) -> list[str]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return [str(entry[4][0]) for entry in found]


@asynccontextmanager
async def open_public_transport(
    *, seconds: float, is_local_allowed: bool, connections: int = 50
) -> AsyncIterator[HttpTransport]:
    """Open a transport to the internet that follows no redirect.

    Args:
        seconds: for a whole request and its answer.
        is_local_allowed: this machine may be reached too, where a URL names it.
        connections: at most at once.
    """
    transport = PublicTransport(is_local_allowed=is_local_allowed, connections=connections)
    timeout = httpx.Timeout(seconds, connect=min(seconds, 10))
    async with httpx.AsyncClient(
        transport=transport, timeout=timeout, follow_redirects=False, trust_env=False
    ) as client:
        yield HttpTransport(client, seconds)
