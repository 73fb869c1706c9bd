"""Bulk work by ranges of members: few transactions beside each other, each a range of its own."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from engine.runtime.database import Database

_Item = TypeVar("_Item")


async def beside_each_other(db: Database, ranges: Iterable[_Item], run: Callable[[_Item], Awaitable[None]]) -> None:
    """Await `run` for each range, as many at once as the pool may spare for one piece of work.

    The first that fails stops the others, whose transactions roll back; what was committed before stays.

    Args:
        db: whose connections are used.
        ranges: begun in their order.
        run: works on one, in a transaction of its own; two of them touch no row that the other changes.

    Raises:
        Exception: whatever the first that failed raised.
    """
    waiting = iter(ranges)

    async def work() -> None:
        for one in waiting:
            await run(one)

    tasks = [asyncio.create_task(work()) for _ in range(db.at_once)]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
