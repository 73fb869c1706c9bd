"""A real PostgreSQL for every test that touches data: one database a worker, a fresh tenant a test.

`TEST_POSTGRES_URL` (a superuser's URL) runs the same tests on another server; else the embedded one is started.
"""

import os
import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest
import pytest_asyncio
from alembic import command
from alembic.config import Config
from hypothesis import settings
from sqlalchemy import URL, make_url

from engine.runtime.database import Database
from engine.runtime.embedded_postgres import ephemeral_server
from engine.runtime.key_file import FileKeyStore

ROOT = Path(__file__).parent.parent

# Speed is what benchmarks tell: a busy machine fails no test.
settings.register_profile("akiba", parent=settings.default, deadline=None)
settings.load_profile("akiba")


def migrate(owner_url: str, app_url: str) -> None:
    """Bring a database to the newest schema."""
    config = Config(str(ROOT / "alembic.ini"))
    config.attributes["owner_url"] = owner_url
    config.attributes["app_role"] = make_url(app_url).username
    command.upgrade(config, "head")


def create_database(superuser_url: str, name: str) -> tuple[str, str]:
    """Create a database with an owner and an application role of its own; return (app_url, owner_url)."""
    password = secrets.token_urlsafe(18)
    with psycopg.connect(superuser_url, autocommit=True) as connection:
        for role, rights in ((f"{name}_owner", "login createrole"), (f"{name}_app", "login")):
            connection.execute(f"create role {role} {rights} password '{password}'")
        for role in ("akiba_sequencer", "akiba_jobs"):
            connection.execute(
                f"do $$ begin create role {role} nologin; exception when duplicate_object or unique_violation then null; end $$"
            )
            connection.execute(f"grant {role} to {name}_owner with admin true, inherit false, set false")
        connection.execute(f"create database {name} owner {name}_owner")
        connection.execute(f"revoke all on database {name} from public")
        connection.execute(f"grant connect, temporary on database {name} to {name}_app")
    url = make_url(superuser_url)
    return tuple(  # type: ignore[return-value]
        url.set(username=f"{name}_{kind}", password=password, database=name).render_as_string(hide_password=False)
        for kind in ("app", "owner")
    )


@pytest.fixture(scope="session")
def superuser_url() -> Iterator[str]:
    """A superuser's URL of the server the tests run on."""
    given = os.environ.get("TEST_POSTGRES_URL")
    if given:
        yield given
        return
    # Nothing here cuts the power; tests that end a server run one of their own, which flushes to the disk.
    with ephemeral_server({"fsync": "off", "full_page_writes": "off"}) as server:
        yield URL.create(
            "postgresql", "postgres", server.credentials.password("postgres"), "127.0.0.1", server.port, "postgres"
        ).render_as_string(hide_password=False)


@pytest.fixture(scope="session")
def database_urls(superuser_url: str) -> tuple[str, str]:
    """(application's URL, owner's URL) of a migrated database of this worker's own."""
    urls = create_database(superuser_url, f"t{secrets.token_hex(5)}")
    migrate(urls[1], urls[0])
    return urls


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def db(database_urls: tuple[str, str]) -> AsyncIterator[Database]:
    """The application's database."""
    database = Database(database_urls[0])
    yield database
    await database.dispose()


@pytest.fixture
def tenant_id(database_urls: tuple[str, str]) -> int:
    """A tenant of this test's own, with Indian rupees."""
    return new_tenant(database_urls[0])


def new_tenant(app_url: str) -> int:
    """Make a tenant with Indian rupees."""
    with psycopg.connect(app_url) as connection:
        row = connection.execute(
            "insert into tenants (code) values (%s) returning tenant_id", (f"xx-{secrets.token_hex(6)}",)
        ).fetchone()
        assert row is not None
        connection.execute("select set_config('app.tenant', %s, true)", (str(row[0]),))
        connection.execute("insert into assets values (%s, 1, 2, 'INR', 'money')", (row[0],))
    return int(row[0])


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> FileKeyStore:
    """Keys of this session's own."""
    return FileKeyStore(tmp_path_factory.mktemp("keys") / "keys.toml")
