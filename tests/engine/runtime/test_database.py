"""Units of work against a real server: tenant, role, commit, rollback, restart, and trying again."""

from collections.abc import AsyncIterator

import psycopg
import pytest
from psycopg.errors import DeadlockDetected, InsufficientPrivilege, UniqueViolation
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from engine.runtime.database import Database, Role, connect_owner, driver, retry_transaction, sqlstate
from engine.runtime.embedded_postgres import EmbeddedServer, provision


@pytest.fixture
async def database(shared_server: EmbeddedServer) -> AsyncIterator[Database]:
    urls = provision(shared_server, "units")
    with connect_owner(urls.owner) as owner:
        owner.execute("drop table if exists walled; create table walled (tenant_id int not null, note text unique)")
        owner.execute("alter table walled enable row level security; alter table walled force row level security")
        owner.execute(
            "create policy wall on walled using "
            "(tenant_id = (select nullif(current_setting('app.tenant', true), '')::int))"
        )
        for role in Role:
            exists = owner.execute("select 1 from pg_roles where rolname = %s", [role.value]).fetchone()
            if not exists:
                owner.execute(f"create role {role.value}")
                owner.execute(f"grant {role.value} to akiba_app with inherit false, set true")
        owner.execute("grant select, insert on walled to akiba_app; grant delete on walled to akiba_jobs")
        owner.execute("grant select on walled to akiba_jobs")
    made = Database(urls.app, pool_size=2)
    yield made
    await made.dispose()


async def notes(database: Database, tenant_id: int | None) -> list[str]:
    async with database.unit_of_work(tenant_id) as session:
        return list(await session.scalars(text("select note from walled order by note")))


async def add(database: Database, tenant_id: int | None, note: str, *, as_tenant: int | None = None) -> None:
    async with database.unit_of_work(tenant_id) as session:
        row = {"tenant": as_tenant if as_tenant is not None else tenant_id, "note": note}
        await session.execute(text("insert into walled values (:tenant, :note)"), row)


async def test_a_tenant_sees_its_own_rows_and_nobody_sees_none(database: Database) -> None:
    await add(database, 1, "ours")
    await add(database, 2, "theirs")
    assert await notes(database, 1) == ["ours"]
    assert await notes(database, 2) == ["theirs"]
    assert await notes(database, None) == []


async def test_a_tenant_cannot_write_into_anothers_books(database: Database) -> None:
    with pytest.raises(DBAPIError, match="row-level security"):
        await add(database, 1, "planted", as_tenant=2)


async def test_the_tenant_does_not_outlive_its_transaction(database: Database) -> None:
    single = Database(database._engine.url.render_as_string(hide_password=False), pool_size=1)
    for tenant_id, seen in ((7, "7"), (None, "")):
        async with single.unit_of_work(tenant_id) as session:
            assert session.info["tenant_id"] == tenant_id
            assert (await session.scalar(text("select coalesce(current_setting('app.tenant', true), '')"))) == seen
    await single.dispose()


async def test_rolls_back_when_the_block_raises(database: Database) -> None:
    async def fail() -> None:
        async with database.unit_of_work(1) as session:
            await session.execute(text("insert into walled values (1, 'lost')"))
            raise KeyError

    with pytest.raises(KeyError):
        await fail()
    assert await notes(database, 1) == []


async def test_the_driver_is_the_sessions_own_transaction(database: Database) -> None:
    async with database.unit_of_work(1) as session:
        connection = await driver(session)
        await connection.execute("insert into walled values (1, 'raw')")
        assert (await session.scalar(text("select count(*) from walled"))) == 1
        assert not connection.autocommit
    assert await notes(database, 1) == ["raw"]


async def test_a_role_lends_what_the_application_lacks(database: Database) -> None:
    await add(database, 1, "done")
    delete = text("delete from walled")
    with pytest.raises(DBAPIError) as refused:
        async with database.unit_of_work(1) as session:
            await session.execute(delete)
    assert isinstance(refused.value.orig, InsufficientPrivilege)
    async with database.unit_of_work(1, role=Role.JOBS) as session:
        await session.execute(delete)
    assert await notes(database, 1) == []


async def test_a_restart_of_the_server_is_not_noticed(database: Database, shared_server: EmbeddedServer) -> None:
    async with database.unit_of_work(1), database.unit_of_work(1):
        pass
    shared_server.stop()
    shared_server.start()
    await add(database, 1, "after")
    await add(database, 1, "again")
    assert await notes(database, 1) == ["after", "again"]


async def test_tells_the_code_of_an_error(database: Database) -> None:
    await add(database, 1, "once")
    with pytest.raises(DBAPIError) as caught:
        await add(database, 1, "once")
    assert sqlstate(caught.value) == "23505"
    assert sqlstate(ValueError()) is None


class Failing:
    def __init__(self, error: Exception, times: int) -> None:
        self.error, self.times, self.runs = error, times, 0

    async def __call__(self) -> str:
        self.runs += 1
        if self.runs <= self.times:
            raise self.error
        return "done"


async def test_tries_again_after_a_deadlock() -> None:
    failing = Failing(DeadlockDetected(), times=3)
    assert await retry_transaction(failing) == "done"
    assert failing.runs == 4


async def test_gives_up_after_so_many_attempts() -> None:
    failing = Failing(DBAPIError("", None, DeadlockDetected()), times=9)
    with pytest.raises(DBAPIError):
        await retry_transaction(failing, attempts=3)
    assert failing.runs == 3


async def test_tries_again_after_a_taken_key_only_when_asked() -> None:
    with pytest.raises(UniqueViolation):
        await retry_transaction(Failing(UniqueViolation(), times=1))
    assert await retry_transaction(Failing(UniqueViolation(), times=1), retry_unique=True) == "done"


async def test_never_tries_again_when_the_outcome_is_unknown() -> None:
    failing = Failing(psycopg.OperationalError("server closed the connection unexpectedly"), times=1)
    with pytest.raises(psycopg.OperationalError):
        await retry_transaction(failing)
    assert failing.runs == 1
