"""Some of the routes over HTTP, for whoever a request says that it is: `X-Actor` names a person, who holds every permission."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from litestar import Controller, Litestar, Request
from litestar.di import Provide
from litestar.testing import AsyncTestClient

from engine.access.rules import Caller
from engine.kernel.permissions import Permission
from engine.runtime.database import Database
from engine.runtime.http import exception_handlers
from engine.tenancy.service import Tenant


def _always(value: object) -> Provide:
    async def provide() -> Any:
        return value

    return Provide(provide)


@asynccontextmanager
async def routes(
    tenant: Tenant, db: Database, *controllers: type[Controller], partner_id: int | None = None, **given: object
) -> AsyncIterator[AsyncTestClient[Litestar]]:
    """Serve controllers of one tenant; `given` are other dependencies, by name."""

    async def caller(request: Request[Any, Any, Any]) -> Caller:
        return Caller(
            tenant.tenant_id,
            request.headers.get("X-Actor", "staff:1"),
            frozenset(Permission),
            "staff" if partner_id is None else "partner",
            partner_id=partner_id,
        )

    app = Litestar(
        list(controllers),
        dependencies={
            "caller": Provide(caller),
            "tenant": _always(tenant),
            "db": _always(db),
            **{name: _always(one) for name, one in given.items()},
        },
        exception_handlers=exception_handlers(lambda _request, message: message),
    )
    async with AsyncTestClient(app) as client:
        yield client
