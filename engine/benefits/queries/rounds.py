"""SQL of what is done once a day, by ranges: up to which day it was done."""

from datetime import date

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession


async def hold_round(session: AsyncSession, task: str) -> date | None:
    """Return up to which day a task was done, None for never; nobody else does it until the session ends."""
    await session.execute(
        text("""insert into daily_rounds (tenant_id, task, done_on) values (:t, :task, '-infinity')
                on conflict (tenant_id, task) do nothing"""),
        {"t": session.info["tenant_id"], "task": task},
    )
    found = await session.scalar(
        text("select nullif(done_on, '-infinity') from daily_rounds where task = :task for update"), {"task": task}
    )
    return found if isinstance(found, date) else None


async def note_round(session: AsyncSession, task: str, on: date) -> None:
    """Note that a task was done for a day."""
    await session.execute(text("update daily_rounds set done_on = :on where task = :task"), {"on": on, "task": task})
