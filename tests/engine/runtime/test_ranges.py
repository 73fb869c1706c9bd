"""Ranges are worked on few at once; the first that fails stops the others."""

import asyncio

import pytest

from engine.runtime.database import MOST_AT_ONCE, Database
from engine.runtime.ranges import beside_each_other

_URL = "postgresql://nobody@127.0.0.1:1/none"


class _Work:
    """Ranges that say when they are begun, given up and done."""

    def __init__(self, fails: int = -1) -> None:
        self.begun: list[int] = []
        self.done: list[int] = []
        self.stopped: list[int] = []
        self.most_at_once = 0
        self._fails = fails

    async def __call__(self, number: int) -> None:
        self.begun.append(number)
        self.most_at_once = max(self.most_at_once, len(self.begun) - len(self.done) - len(self.stopped))
        try:
            await asyncio.sleep(0 if number == self._fails else 0.01)
        except asyncio.CancelledError:
            self.stopped.append(number)
            raise
        if number == self._fails:
            raise LookupError(number)
        self.done.append(number)


async def test_every_range_is_worked_on_once_and_few_at_a_time() -> None:
    work = _Work()
    await beside_each_other(Database(_URL), range(7), work)
    assert work.begun == list(range(7))
    assert sorted(work.done) == list(range(7))
    assert work.most_at_once == MOST_AT_ONCE > 1


@pytest.mark.parametrize("pool_size", [1, 2, 7])
async def test_a_small_pool_is_not_taken_whole(pool_size: int) -> None:
    work = _Work()
    await beside_each_other(Database(_URL, pool_size=pool_size), range(3), work)
    assert (work.done, work.most_at_once) == ([0, 1, 2], 1)


async def test_the_first_that_fails_stops_the_others_and_is_what_is_raised() -> None:
    work = _Work(fails=1)
    with pytest.raises(LookupError):
        await beside_each_other(Database(_URL), range(9), work)
    assert work.begun == [0, 1]
    assert work.stopped == [0]
    assert not work.done


async def test_nothing_to_do_is_done_at_once() -> None:
    work = _Work()
    await beside_each_other(Database(_URL), (), work)
    assert not work.begun
