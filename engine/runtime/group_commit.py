"""Group commit without a timer: what arrived while the last batch was being written goes into the next."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")
Lane = tuple[int, int]  # tenant, posting lane


@dataclass(slots=True)
class GroupSizes:
    """How many batches were written and how many items they held."""

    batches: int = 0
    items: int = 0

    @property
    def mean(self) -> float:
        """Return the mean number of items a batch; 0 before the first."""
        return self.items / self.batches if self.batches else 0.0


class GroupCommit(Generic[Item, Answer]):
    """Gathers items by lane and hands each lane's waiting items, as one batch, to `write`.

    A lane writes one batch at a time, so two batches of one lane never overlap. `write` answers every item in order;
    what it raises fails the items of that batch alone.
    """

    def __init__(
        self, write: Callable[[Lane, Sequence[Item]], Awaitable[Sequence[Answer]]], *, most: int = 1000
    ) -> None:
        """Hold at most `most` items in one batch."""
        self._write = write
        self._most = most
        self._waiting: dict[Lane, list[tuple[Item, asyncio.Future[Answer]]]] = defaultdict(list)
        self._writers: dict[Lane, asyncio.Task[None]] = {}
        self.sizes = GroupSizes()

    async def submit(self, lane: Lane, item: Item) -> Answer:
        """Return what became of `item` once the batch that holds it is committed."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[lane].append((item, future))
        if lane not in self._writers:
            self._writers[lane] = asyncio.create_task(self._drain(lane))
        # A caller who hangs up does not take the item back: it stays in its batch, and only the answer is dropped.
        return await future

    async def drained(self) -> None:
        """Wait until nothing is waiting; for an orderly stop."""
        while self._writers:
            await asyncio.gather(*self._writers.values(), return_exceptions=True)

    async def _drain(self, lane: Lane) -> None:
        try:
            while waiting := self._waiting.pop(lane, None):
                batch, rest = waiting[: self._most], waiting[self._most :]
                if rest:
                    self._waiting[lane] = rest
                self.sizes.batches += 1
                self.sizes.items += len(batch)
                await self._write_one(lane, batch)
        finally:
            del self._writers[lane]

    async def _write_one(self, lane: Lane, batch: list[tuple[Item, asyncio.Future[Answer]]]) -> None:
        try:
            answers = await self._write(lane, [item for item, _ in batch])
            assert len(answers) == len(batch), (len(answers), len(batch))
        except BaseException as error:
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
                    future.exception()  # the caller may have hung up: then nobody else looks at it
            if not isinstance(error, Exception):
                raise
            return
        for (_, future), answer in zip(batch, answers, strict=True):
            if not future.done():
                future.set_result(answer)
