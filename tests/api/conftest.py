"""One server for the tests of the API: two Indian schemes side by side, one that the fuzzing has to itself, and another country's."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant
from tests.api.site import Served, Site, listening, open_site
from tests.factories.presence import present
from tests.factories.schemes import serve
from tests.factories.wallets import write_counterparties

SILENT = {
    "base_url": "http://127.0.0.1:9",
    "token_url": "http://127.0.0.1:9",
    **dict.fromkeys(("client_id", "client_secret", "api_key", "account"), "invented"),
}


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def served_tenants(db: Database, tmp_path_factory: pytest.TempPathFactory) -> tuple[Tenant, ...]:
    folder = tmp_path_factory.mktemp("packs")
    account = 'account = "NPS TRUST COLLECTION UPI"\n'
    indian = [await serve(db, folder, changes={account: f'{account}adapter = "gsma"\n'}) for _ in range(4)]
    return (*indian, await serve(db, folder, "rw-ejoheza"))


@pytest.fixture(scope="session")
def served(
    database_urls: tuple[str, str],
    keys: FileKeyStore,
    served_tenants: tuple[Tenant, ...],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Served]:
    folder: Path = tmp_path_factory.mktemp("serving")
    # Joined to an operator that nobody calls: no worker runs here.
    write_counterparties(folder, {tenant.code: {"upi": SILENT} for tenant in served_tenants[:4]})
    with listening(database_urls[0], keys, served_tenants, folder) as address:
        yield Served(address, served_tenants)


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def site(served: Served, db: Database, keys: FileKeyStore) -> AsyncIterator[Site]:
    """The scheme that calls."""
    site = await open_site(db, keys, served.tenants[0], served.address)
    with present(site.look):
        yield site


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def neighbour(served: Served, db: Database, keys: FileKeyStore) -> AsyncIterator[Site]:
    """Another scheme of the same country in the same deployment."""
    site = await open_site(db, keys, served.tenants[1], served.address)
    with present(site.look):
        yield site


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def fuzzed(served: Served, db: Database, keys: FileKeyStore) -> AsyncIterator[Site]:
    """A scheme to which anything may be done."""
    site = await open_site(db, keys, served.tenants[2], served.address)
    with present(site.look):
        yield site


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def guest(served: Served, db: Database, keys: FileKeyStore) -> AsyncIterator[Site]:
    """A third scheme of that country, which calls by its neighbour's address."""
    site = await open_site(db, keys, served.tenants[3], served.address)
    with present(site.look):
        yield site
