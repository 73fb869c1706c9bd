"""Where counterparties call us back: kept as it came and answered at once. Nothing is believed here, and nothing moves."""

from collections.abc import Callable
from typing import Any

from litestar import Controller, MediaType, Request, route
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response.base import ASGIResponse

from engine.kernel.permissions import Permission
from engine.kernel.transport import Callback
from engine.runtime.exchanges import callbacks
from engine.runtime.exchanges.engine import Exchanges
from engine.tenancy.service import Tenants

ExchangesOf = Callable[[int], Exchanges]


class CallbackController(Controller):
    """The addresses that counterparties are given, one a call, and standing ones; nobody can guess one."""

    path = "/callbacks/{scheme:str}/{counterparty:str}/{secret:str}"

    @route(
        http_method=["GET", "POST", "PUT"],
        status_code=200,
        opt={"permission": Permission.PUBLIC},
        include_in_schema=False,
        request_max_body_size=callbacks.BODY_BYTES_MAX,
    )
    async def take(
        self,
        request: Request[Any, Any, Any],
        scheme: FromPath[str],
        counterparty: FromPath[str],
        secret: FromPath[str],
        tenants: NamedDependency[Tenants],
        exchanges_of: NamedDependency[ExchangesOf],
    ) -> ASGIResponse:
        """Keep what came; greet who tests the address and knows the word agreed upon. All others are answered alike."""
        found = next((one for one in tenants if one.code == scheme), None)
        acknowledgement = b""
        if found is not None:
            exchanges = exchanges_of(found.tenant_id)
            callback = Callback(
                method=request.method,
                headers={name.lower(): value for name, value in request.headers.items()},
                body=await request.body(),
                query=request.scope["query_string"].decode("latin-1"),
            )
            known = exchanges.counterparties.get(counterparty)
            greeting = known.greet(callback) if known else None
            if greeting is not None:
                return ASGIResponse(body=greeting, status_code=200, media_type=MediaType.TEXT)
            await callbacks.take(exchanges, found.tenant_id, counterparty, secret, callback)
            acknowledgement = known.acknowledgement if known else b""
        return ASGIResponse(body=acknowledgement, status_code=200, media_type=MediaType.JSON)
