"""Simulated neighbours that the demo itself plays, on an event loop beside its own work: a gateway of messages, a partner's endpoint."""

import asyncio
import logging
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

Result = TypeVar("Result")
_PATIENCE = 120.0


class Neighbours:
    """An event loop on a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="neighbours", daemon=True)

    def do(self, work: Coroutine[Any, Any, Result], *, seconds: float = _PATIENCE) -> Result:
        """Do something on the loop, and return what came of it.

        Raises:
            TimeoutError: it took longer than `seconds`.
        """
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(seconds)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End whatever goes on."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)


@contextmanager
def neighbours() -> Iterator[Neighbours]:
    """Run a loop for as long as the block lasts."""
    logging.getLogger("httpx").setLevel(
        logging.WARNING
    )  # it has a line for each request, and the terminal is the demo's
    found = Neighbours()
    found.start()
    try:
        yield found
    finally:
        found.stop()
