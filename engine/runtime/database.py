"""The database of one process: one tenant and one transaction a session, and when to try again."""

import asyncio
import contextlib
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import Any, TypeVar

import msgspec
import psycopg
from psycopg import generators
from psycopg.pq import ExecStatus, TransactionStatus
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, create_async_engine

_Result = TypeVar("_Result")

MOST_AT_ONCE = 2
"""Transactions that one piece of bulk work has open at most: the rest of a pool is for who waits for an answer."""

_RETRIED = frozenset({"40001", "40P01"})  # serialization failure, deadlock
_UNIQUE_VIOLATION = "23505"
_FIRST_WAIT_SECONDS = 0.005
_LONGEST_WAIT_SECONDS = 1.0
_DRIVER = "driver"
_random = secrets.SystemRandom()


class Role(StrEnum):
    """The group roles a transaction can take on; the migrations make them and grant them to the application."""

    SEQUENCER = "akiba_sequencer"  # alone deletes from the queue of the audit log
    JOBS = "akiba_jobs"  # alone deletes deltas and allocations


class Database:
    """A pool of connections under the application's role."""

    def __init__(self, url: str, *, pool_size: int = 10, pool_timeout_seconds: float = 10.0) -> None:
        """Describe the pool; connections are made at first use.

        Args:
            url: `postgresql://...` of the application's role.
            pool_size: connections at most, each lent to one session at a time.
            pool_timeout_seconds: how long a session waits for one.

        """
        self.at_once = min(MOST_AT_ONCE, max(pool_size // 4, 1))
        self._engine = create_async_engine(
            driver_url(url),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=pool_timeout_seconds,
            pool_recycle=1800,
            pool_use_lifo=True,
            json_serializer=lambda value: msgspec.json.encode(value).decode(),
            json_deserializer=msgspec.json.decode,
            connect_args={
                "application_name": "akiba",
                "connect_timeout": 5,
                "options": "-c timezone=UTC -c idle_in_transaction_session_timeout=300000",
            },
        )

    @asynccontextmanager
    async def unit_of_work(
        self, tenant_id: int | None, *, role: Role | None = None, first: Sequence[str] = ()
    ) -> AsyncIterator[AsyncSession]:
        """Open the only kind of session that capabilities receive: one tenant, one transaction.

        Commits when the block ends, rolls back when it raises. Capabilities never commit.

        Args:
            tenant_id: whose rows can be seen and written; None sees none of any tenant's.
            role: a group role to act as until the end of the transaction.
            first: constant statements to run in the same round trip as BEGIN; the one value that the last of them
                selects stands in `session.info["first"]`, as text.

        """
        connection, raw, value = await self._begin(_opening(tenant_id, role, first))
        info = {"tenant_id": tenant_id, _DRIVER: raw, "first": value}
        session = AsyncSession(connection, expire_on_commit=False, info=info)
        try:
            yield session
            # The driver began the transaction and ends it: twice as fast as through the session, which holds no objects.
            assert not session.new, "there are no mapped objects to flush"
            await raw.commit()
        except BaseException:
            with contextlib.suppress(psycopg.Error):
                await raw.rollback()
            raise
        finally:
            await session.close()
            await connection.close()

    async def dispose(self) -> None:
        """Close the connections that are not in use."""
        await self._engine.dispose()

    async def _begin(self, opening: bytes) -> "_Opened":
        """Take a connection and begin its transaction; once more if it broke while it lay in the pool."""
        try:
            return await self._open(opening)
        except psycopg.OperationalError:
            await self._engine.dispose()  # after a restart of the server every other one is broken too
        return await self._open(opening)

    async def _open(self, opening: bytes) -> "_Opened":
        connection = await self._engine.connect()
        try:
            raw = await _driver(connection)
            return connection, raw, await _send(raw, opening)
        except psycopg.OperationalError:
            await connection.invalidate()
            await connection.close()
            raise
        except BaseException:
            await connection.close()
            raise


_Opened = tuple[AsyncConnection, psycopg.AsyncConnection[Any], str | None]


async def driver(session: AsyncSession) -> psycopg.AsyncConnection[Any]:
    """Return the psycopg connection of this session's transaction, for hand-written SQL, pipelines and COPY.

    It is the session's own transaction: never commit it, nor use it after the session's end.
    """
    connection: psycopg.AsyncConnection[Any] = session.info[_DRIVER]
    return connection


async def retry_transaction(
    run: Callable[[], Awaitable[_Result]], attempts: int = 8, *, retry_unique: bool = False
) -> _Result:
    """Await `run()`, a whole transaction, and again after a deadlock or a serialization failure.

    Waits a random time between attempts, longer each time. A lost connection is not retried: whether the
    transaction was committed is then unknown, and only the caller can tell.

    Args:
        run: opens its own unit of work, and changes nothing else that a second run would do twice.
        attempts: how often it runs at most; >= 1.
        retry_unique: also try again when another transaction has just taken a unique key.

    Raises:
        Exception: whatever the last attempt raised.

    """
    assert attempts >= 1, attempts
    retried = _RETRIED | {_UNIQUE_VIOLATION} if retry_unique else _RETRIED
    for attempt in range(1, attempts):
        try:
            return await run()
        except (DBAPIError, psycopg.Error) as error:
            if sqlstate(error) not in retried:
                raise
        longest = min(_LONGEST_WAIT_SECONDS, _FIRST_WAIT_SECONDS * 2**attempt)
        await asyncio.sleep(_random.uniform(longest / 4, longest))
    return await run()


def sqlstate(error: BaseException) -> str | None:
    """Return PostgreSQL's five-character code of an error of SQLAlchemy or psycopg, if it has one."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return cause.sqlstate if isinstance(cause, psycopg.Error) else None


def connect_owner(url: str, *, autocommit: bool = False) -> psycopg.Connection[Any]:
    """Connect as the owner, for migrations; nothing else may use it."""
    return psycopg.connect(
        re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql://", url),
        autocommit=autocommit,
        application_name="akiba-migrations",
        options="-c timezone=UTC",
    )


def driver_url(url: str) -> str:
    """Return the URL in SQLAlchemy's spelling, which names the driver."""
    return re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql+psycopg://", url)


def _opening(tenant_id: int | None, role: Role | None, first: Sequence[str]) -> bytes:
    statements = ["begin isolation level read committed"]
    if tenant_id is not None:
        assert isinstance(tenant_id, int), tenant_id
        statements.append(f"select set_config('app.tenant', '{int(tenant_id)}', true)")
    if role is not None:
        statements.append(f"set local role {Role(role).value}")
    return "; ".join([*statements, *first]).encode()


async def _send(connection: psycopg.AsyncConnection[Any], statements: bytes) -> str | None:
    """Send several statements in one round trip, and return the last one's value; psycopg would spend one more on BEGIN."""
    if connection.pgconn.transaction_status != TransactionStatus.IDLE:
        raise psycopg.OperationalError("the connection is broken or inside a transaction")
    async with connection.lock:
        connection.pgconn.send_query(statements)
        results = await connection.wait(generators.execute(connection.pgconn))
    for result in results:
        if result.status == ExecStatus.FATAL_ERROR:
            raise psycopg.errors.error_from_result(result)
    value = results[-1].get_value(0, 0) if results[-1].ntuples else None
    return None if value is None else value.decode()


async def _driver(connection: AsyncConnection) -> psycopg.AsyncConnection[Any]:
    raw = (await connection.get_raw_connection()).driver_connection
    assert isinstance(raw, psycopg.AsyncConnection), raw
    return raw


async def put_role_down(session: AsyncSession) -> None:
    """Go on as the application itself, in a transaction that another role was taken for."""
    await (await driver(session)).execute("set local role none")
