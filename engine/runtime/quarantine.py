"""Background work over accounts, each on its own: what fails on one is put aside for a person, and the others go on."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import psycopg
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from engine.kernel.errors import EngineError
from engine.runtime.database import Database, sqlstate
from engine.runtime.logging import get_logger

_log = get_logger(__name__)
_CONNECTION_LOST = ("08", "53", "57")  # classes: connection, resources, operator's intervention


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A piece of work that failed: on whose account (the house's if on nobody's), why, whose it is to look at, since when."""

    number: int
    task: str
    subject: str
    member_id: int
    reason: str
    owner: str
    since: datetime
    seen_at: datetime
    tries: int


_WAITING = """select quarantine_no, task, subject, member_id, reason, owner, since, seen_at, tries
                from quarantine where released_at is null"""


async def waiting(session: AsyncSession, *, most: int = 1000) -> list[Quarantined]:
    """Return what is put aside, the oldest first."""
    rows = await session.execute(text(f"{_WAITING} order by since, quarantine_no limit :most"), {"most": most})
    return [Quarantined(*row) for row in rows]


async def aside(session: AsyncSession, task: str) -> set[str]:
    """Return the subjects of a piece of work that are put aside."""
    rows = await session.execute(
        text("select subject from quarantine where task = :task and released_at is null"), {"task": task}
    )
    return {row[0] for row in rows}


async def release(session: AsyncSession, number: int, actor: str) -> bool:
    """Let the work try a piece again; return whether it was put aside."""
    found = await session.execute(
        text("""update quarantine set released_at = clock_timestamp(), released_by = :actor
                 where quarantine_no = :n and released_at is null returning 1"""),
        {"n": number, "actor": actor},
    )
    return found.first() is not None


async def each(
    db: Database,
    tenant_id: int,
    subjects: Sequence[tuple[int, int]],
    run: Callable[[int], Awaitable[bool]],
    *,
    task: str,
    owner: str,
) -> int:
    """Run a piece of work for each subject that is not put aside; put aside those it fails on; return how many said True.

    A lost connection or a server that is out of something is nobody's fault: that ends the work, to be tried again whole.

    Args:
        db: the application's database.
        tenant_id: whose.
        subjects: (member_id, subject): a number that names the piece of work in its own table.
        run: the work on one subject, with transactions of its own.
        task: the work's name.
        owner: the role of whoever looks at what it fails on.
    """
    async with db.unit_of_work(tenant_id) as session:
        left_alone = await aside(session, task)
    done = 0
    for member_id, subject in subjects:
        if str(subject) in left_alone:
            continue
        try:
            done += await run(subject)
        except Exception as error:
            if _is_everybodys(error):
                raise
            reason = error.code if isinstance(error, EngineError) else type(error).__name__
            _log.exception("put into quarantine", task=task, kind=reason)
            async with db.unit_of_work(tenant_id) as session:
                await put_aside(session, member_id, task=task, subject=str(subject), reason=reason, owner=owner)
    return done


def _is_everybodys(error: Exception) -> bool:
    if isinstance(error, psycopg.OperationalError | DBAPIError):
        state = sqlstate(error)
        return state is None or state.startswith(_CONNECTION_LOST)
    return False


async def put_aside(session: AsyncSession, member_id: int, *, task: str, subject: str, reason: str, owner: str) -> None:
    """Put a piece of work aside for a person of a role, or note that it failed again; `each` and what works like it leave it alone."""
    await session.execute(
        text("""insert into quarantine (tenant_id, member_id, task, subject, reason, owner, since, seen_at)
                select :t, :m, :task, :subject, :reason, :owner, n, n
                  from (select coalesce(clock_at, clock_timestamp()) as n from tenants where tenant_id = :t) s
                on conflict (tenant_id, task, subject) do update
                  set seen_at = excluded.seen_at, tries = quarantine.tries + 1, reason = excluded.reason,
                      released_at = null, released_by = ''"""),
        {
            "t": session.info["tenant_id"], "m": member_id, "task": task, "subject": subject, "reason": reason, "owner": owner,
        },
    )  # fmt: skip
