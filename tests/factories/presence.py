"""People at work: a suite takes longer than a session may idle, and whoever works in it is never away for that long."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

EVERY = 240.0  # seconds; staff are signed out after a quarter of an hour


@contextmanager
def present(look: Callable[[], object]) -> Iterator[None]:
    """Let somebody look at a page every few minutes for as long as this lasts."""
    gone = threading.Event()

    def stay() -> None:
        while not gone.wait(EVERY):
            look()

    thread = threading.Thread(target=stay, daemon=True)
    thread.start()
    try:
        yield
    finally:
        gone.set()
        thread.join(30)
