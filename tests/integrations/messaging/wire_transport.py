"""A transport over real sockets for the tests: to this machine alone, without retries."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from engine.kernel.transport import Unanswered, Unreachable, WireRequest, WireResponse

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self


class LoopbackTransport:
    """Sends requests to 127.0.0.1 and keeps what was sent."""

    def __init__(self, *, seconds: float = 5.0) -> None:
        self.sent: list[WireRequest] = []
        self._client = httpx.AsyncClient(timeout=seconds, trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def send(self, request: WireRequest) -> WireResponse:
        url = httpx.URL(request.url)
        assert url.host == "127.0.0.1", f"tests send traffic nowhere else: {url.host}"
        self.sent.append(request)
        try:
            answer = await self._client.request(
                request.method, url, headers=dict(request.headers), content=request.body
            )
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise Unreachable from error
        except httpx.TransportError as error:
            raise Unanswered from error
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return WireResponse(status=answer.status_code, headers=headers, body=answer.content)
