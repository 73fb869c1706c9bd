"""SQL of files that leave and files that come, and their laws."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from engine.ledger.rules import Law
from engine.runtime.database import driver

LAWS: tuple[Law, ...] = (
    Law(
        "files-leave-as-they-were-staged",
        "a file that left, or could not, is told of by one event that names it and its bytes",
        """
        select format('file %s', coalesce(f.name, e.body ->> 'file')), coalesce(f.sha256, 'no such file'),
               coalesce(e.body ->> 'sha256', 'no event')
          from (select * from outgoing_files where decided_event <> 0) f
          full join (select * from events where kind in (311, 312)) e
            on e.event_id = f.decided_event and e.kind = case f.state when 'accepted' then 311 else 312 end
         where f.sha256 is distinct from e.body ->> 'sha256' or f.name is distinct from e.body ->> 'file'
        """,
    ),
    Law(
        "files-that-left-were-asked-to",
        "a file is staged with an exchange that is to leave it, and is decided as the exchange is",
        """
        select format('file %s', f.name), f.state, coalesce(x.outcome, 'no exchange')
          from outgoing_files f left join exchanges x on x.reference = f.reference
         where f.state is distinct from case when x.outcome = 'succeeded' then 'accepted' when x.outcome = 'failed' then 'rejected'
                                             when x.outcome is not null then 'requested' end
        """,
    ),
)


@dataclass(frozen=True, slots=True)
class OutgoingFile:
    """A file of ours and what became of it; `size` in bytes."""

    place: str
    kind: str
    about: str
    attempt: int
    name: str
    sha256: str
    size: int
    state: str
    staged_at: datetime


@dataclass(frozen=True, slots=True)
class IncomingFile:
    """A file that came and what became of it; `size` in bytes. `put-aside`: it could not be read, and waits for a person."""

    file_id: int
    place: str
    name: str
    sha256: str
    size: int
    kind: str
    state: str
    reason: str
    fetched_at: datetime


_OUTGOING = "place, kind, about, attempt, name, sha256, size, state, staged_at"


# -- out


async def hold_files(session: AsyncSession) -> None:
    """Wait until no other transaction stages files."""
    connection = await driver(session)
    await connection.execute("select pg_advisory_xact_lock(7252, %s)", (session.info["tenant_id"],))


async def attempts(session: AsyncSession, kind: str, about: str) -> tuple[int, bool]:
    """Return how often a file was staged, and whether it is to leave, or has left."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select coalesce(max(attempt), 0), coalesce(bool_or(state <> 'rejected'), false) from outgoing_files
            where tenant_id = %s and kind = %s and about = %s""",
        (session.info["tenant_id"], kind, about),
    )
    row = await cursor.fetchone()
    assert row is not None
    return row[0], row[1]


async def find_outgoing(session: AsyncSession, place: str, name: str) -> OutgoingFile | None:
    """Return the file of ours that has a name in a place."""
    connection = await driver(session)
    cursor = await connection.execute(
        f"select {_OUTGOING} from outgoing_files where tenant_id = %s and place = %s and name = %s",
        (session.info["tenant_id"], place, name),
    )
    row = await cursor.fetchone()
    return None if row is None else OutgoingFile(*row)


async def add_outgoing(
    session: AsyncSession,
    reference: UUID,
    *,
    place: str,
    kind: str,
    about: str,
    attempt: int,
    name: str,
    sha256: str,
    size: int,
) -> None:
    """Keep that a file is to leave; files are held."""
    connection = await driver(session)
    await connection.execute(
        """insert into outgoing_files (tenant_id, reference, place, kind, about, attempt, name, sha256, size)
           values (%s, %s, %s, %s, %s, %s, %s, %s, %s)""",
        (session.info["tenant_id"], reference, place, kind, about, attempt, name, sha256, size),
    )


async def hold_outgoing(session: AsyncSession, reference: UUID) -> OutgoingFile:
    """Return the file of an exchange, locked."""
    connection = await driver(session)
    cursor = await connection.execute(
        f"select {_OUTGOING} from outgoing_files where tenant_id = %s and reference = %s for update",
        (session.info["tenant_id"], reference),
    )
    row = await cursor.fetchone()
    assert row is not None, reference
    return OutgoingFile(*row)


async def decide_outgoing(session: AsyncSession, reference: UUID, *, state: str, event_id: int) -> None:
    """Keep what became of a file."""
    connection = await driver(session)
    await connection.execute(
        "update outgoing_files set state = %s, decided_event = %s where tenant_id = %s and reference = %s",
        (state, event_id, session.info["tenant_id"], reference),
    )


async def list_outgoing(session: AsyncSession, *, most: int) -> list[OutgoingFile]:
    """Return files of ours, the newest first."""
    connection = await driver(session)
    cursor = await connection.execute(
        f"select {_OUTGOING} from outgoing_files where tenant_id = %s order by staged_at desc, reference limit %s",
        (session.info["tenant_id"], most),
    )
    return [OutgoingFile(*row) for row in await cursor.fetchall()]


# -- in


async def is_known(session: AsyncSession, place: str, sha256: str) -> bool:
    """Return whether these bytes came from a place before, and were not refused."""
    connection = await driver(session)
    cursor = await connection.execute(
        "select 1 from incoming_files where tenant_id = %s and place = %s and sha256 = %s and state <> 'refused'",
        (session.info["tenant_id"], place, sha256),
    )
    return await cursor.fetchone() is not None


async def add_incoming(
    session: AsyncSession, *, place: str, name: str, sha256: str, size: int, document: bytes
) -> None:
    """Keep a file as it came; one that was refused before is to be looked at again."""
    connection = await driver(session)
    await connection.execute(
        """insert into incoming_files as f (tenant_id, place, name, sha256, size, document) values (%s, %s, %s, %s, %s, %s)
           on conflict (tenant_id, place, sha256) do update set state = 'kept', event_id = 0, kind = '', reason = ''
            where f.state = 'refused'""",
        (session.info["tenant_id"], place, name, sha256, size, document),
    )


async def kept(session: AsyncSession, place: str) -> list[int]:
    """Return the numbers of a place's files that wait to be taken in, the first to come first."""
    connection = await driver(session)
    cursor = await connection.execute(
        "select file_id from incoming_files where tenant_id = %s and place = %s and state = 'kept' order by file_id",
        (session.info["tenant_id"], place),
    )
    return [row[0] for row in await cursor.fetchall()]


async def find_kept(session: AsyncSession, file_id: int) -> tuple[str, str, bytes] | None:
    """Return a file's name, SHA-256 and sealed bytes, or None if it does not wait to be taken in any more."""
    connection = await driver(session)
    cursor = await connection.execute(
        "select name, sha256, document from incoming_files where tenant_id = %s and file_id = %s and state = 'kept'",
        (session.info["tenant_id"], file_id),
    )
    row: tuple[str, str, bytes] | None = await cursor.fetchone()
    return row


async def hold_kept(session: AsyncSession, file_id: int) -> bool:
    """Lock a file; False if it is not waiting any more."""
    connection = await driver(session)
    cursor = await connection.execute(
        "select 1 from incoming_files where tenant_id = %s and file_id = %s and state = 'kept' for update",
        (session.info["tenant_id"], file_id),
    )
    return await cursor.fetchone() is not None


async def decide_incoming(
    session: AsyncSession, file_id: int, *, kind: str, reason: str, event_id: int, sender: str, number: int | None
) -> None:
    """Keep what became of a file, and what its sender calls it; refused where there is a `reason`."""
    connection = await driver(session)
    await connection.execute(
        """update incoming_files set state = %s, kind = %s, reason = %s, event_id = %s, sender = %s, number = %s
            where tenant_id = %s and file_id = %s""",
        ("refused" if reason else "taken", kind, reason, event_id, sender, number, session.info["tenant_id"], file_id),
    )


@dataclass(frozen=True, slots=True)
class MissingFile:
    """A file that did not come: one with a lower number and one with a higher did."""

    place: str
    sender: str
    number: int


async def missing_files(session: AsyncSession, *, most: int) -> list[MissingFile]:
    """Return files between those that came, by the numbers that their senders give them; at most 100 of each gap."""
    connection = await driver(session)
    cursor = await connection.execute(
        """with came as (
             select distinct place, sender, number from incoming_files where tenant_id = %s and number is not null),
           gaps as (
             select place, sender, number, lead(number) over (partition by place, sender order by number) as following from came)
           select place, sender, g.number from gaps
            cross join lateral generate_series(gaps.number + 1, least(following - 1, gaps.number + 100)) g(number)
            where following is not null
            order by place, sender, g.number limit %s""",
        (session.info["tenant_id"], most),
    )
    return [MissingFile(*row) for row in await cursor.fetchall()]


async def list_incoming(session: AsyncSession, task: str, *, most: int) -> list[IncomingFile]:
    """Return files that came, the newest first; `task` is what puts aside the ones that cannot be read."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select f.file_id, f.place, f.name, f.sha256, f.size, f.kind, case when q.subject is null then f.state else 'put-aside' end,
                  coalesce(q.reason, f.reason), f.fetched_at
             from incoming_files f
             left join quarantine q on q.tenant_id = f.tenant_id and q.task = %s and q.subject = f.file_id::text
                                   and q.released_at is null and f.state = 'kept'
            where f.tenant_id = %s order by f.file_id desc limit %s""",
        (task, session.info["tenant_id"], most),
    )
    return [IncomingFile(*row) for row in await cursor.fetchall()]
