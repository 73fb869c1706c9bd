"""A transport to this machine alone."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.integrations.messaging.certificates import Tls, make_tls
from tests.integrations.messaging.wire_transport import LoopbackTransport


@pytest_asyncio.fixture
async def transport() -> AsyncIterator[LoopbackTransport]:
    async with LoopbackTransport() as found:
        yield found


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    return make_tls(tmp_path_factory.mktemp("tls"))
