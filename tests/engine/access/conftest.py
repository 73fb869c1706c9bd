"""A small application behind the guard, and a clock that the test sets."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from litestar import Litestar, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.testing import AsyncTestClient

from engine.access.api import StaffController, TokenController, authorize, provide_caller
from engine.access.rules import Caller
from engine.access.service import Gate, Tokens
from engine.kernel.clock import FixedClock
from engine.kernel.permissions import Permission
from engine.runtime.database import Database
from engine.runtime.http import exception_handlers


@get("/who", opt={"permission": Permission.MEMBERS_READ})
async def who(caller: NamedDependency[Caller]) -> dict[str, Any]:
    return {"tenant": caller.tenant_id, "actor": caller.actor, "kind": caller.kind, "csrf": caller.csrf}


@post("/change", opt={"permission": Permission.OPERATIONS_READ})
async def change(caller: NamedDependency[Caller]) -> str:
    return caller.actor


@get("/open", opt={"permission": Permission.PUBLIC})
async def open_to_all(caller: NamedDependency[Caller]) -> str:
    return caller.kind


@get("/forgotten")
async def forgotten() -> str:
    return "never"


@get("/misspelt", opt={"permission": "public"})
async def misspelt() -> str:
    return "never"


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(datetime(2026, 3, 2, 9, 0, tzinfo=UTC))


@pytest.fixture
def gate(db: Database, clock: FixedClock) -> Gate:
    tokens = Tokens(Ed25519PrivateKey.generate(), issuer="https://akiba.example", clock=clock)
    return Gate(db, tokens, clock, home="/operator")


@pytest_asyncio.fixture
async def client(gate: Gate) -> AsyncIterator[AsyncTestClient[Litestar]]:
    app = Litestar(
        [who, change, open_to_all, forgotten, misspelt, TokenController, StaffController],
        guards=[authorize],
        dependencies={"caller": Provide(provide_caller)},
        state=State({"gate": gate}),
        exception_handlers=exception_handlers(lambda _request, message: message),
        openapi_config=None,
    )
    async with AsyncTestClient(app, base_url="http://akiba.example") as client:
        yield client
