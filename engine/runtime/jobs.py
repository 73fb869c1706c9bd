"""Background work: promised in the transaction that causes it, done after it, at least once.

A capability lists its jobs in `jobs.py` as `JOBS: Jobs`; the worker runs them under their name. Arguments are JSON
and hold nothing personal. Every job can run twice without a second effect.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

Jobs = Mapping[str, Callable[..., Awaitable[object]]]


async def promise(session: AsyncSession, name: str, **arguments: Any) -> int:
    """Queue the job `name` in the session's transaction: if that rolls back, there is no job.

    The same job with the same arguments is not queued a second time while it still waits.

    Returns:
        The job's number.
    """
    encoded = msgspec.json.encode(arguments, order="sorted").decode()
    waiting = await session.scalar(
        text("""select id from procrastinate_jobs
                 where task_name = :name and args = cast(:args as jsonb) and status = 'todo' limit 1"""),
        {"name": name, "args": encoded},
    )
    if waiting is not None:
        return int(waiting)
    number = await session.scalar(
        text("""select (procrastinate_defer_jobs_v1(array[
                  row('default', cast(:name as varchar), 0, null, null, cast(:args as jsonb), null)::procrastinate_job_to_defer_v1
                ]))[1]"""),
        {"name": name, "args": encoded},
    )
    return int(number)
