"""A transport to this machine alone."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.integrations.messaging.wire_transport import LoopbackTransport


@pytest_asyncio.fixture
async def transport() -> AsyncIterator[LoopbackTransport]:
    async with LoopbackTransport() as found:
        yield found
