"""When a counterparty is called, and how often: waits with jitter, a rate, a breaker.

A library that retries inside one call forgets on a crash what it was doing. Here the next attempt is a row's due time,
so what is left to decide is a wait, and whether to call at all.
"""

import secrets
import time
from collections.abc import Callable

from msgspec import Struct

_random = secrets.SystemRandom()


class Pace(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How one counterparty is called. Times are in seconds.

    `lease` is longer than any call takes; a call that lasts longer is taken from whoever makes it. `breaks_after`
    failures in a row stop all calls for `breaks_for`; then one is tried. `answer_seconds` is for one request and its
    whole answer: some operators take 20 seconds.
    """

    first_wait: float = 2
    longest_wait: float = 3600
    lease: float = 180
    at_once: int = 10
    per_second: float = 20
    breaks_after: int = 5
    breaks_for: float = 30
    answer_seconds: float = 35


def wait_after(pace: Pace, calls: int) -> float:
    """Return how long to wait after the `calls`-th call: twice as long each time, up to a limit, less up to half of it."""
    longest = min(pace.longest_wait, pace.first_wait * 2 ** min(calls - 1, 40))
    return _random.uniform(longest / 2, longest)


class Gate:
    """Says how many calls to one counterparty may begin now, in this process."""

    def __init__(self, pace: Pace, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin closed to nobody; `clock` only goes forward."""
        self._pace, self._clock = pace, clock
        self._allowed, self._counted_at = max(1.0, pace.per_second), clock()
        self._failures, self._open_until = 0, 0.0

    def admit(self) -> int:
        """Return how many calls may begin; one alone while it is tried whether the counterparty is back."""
        now = self._clock()
        if self._failures >= self._pace.breaks_after:
            return 1 if now >= self._open_until else 0
        burst = max(1.0, self._pace.per_second)
        self._allowed = min(burst, self._allowed + (now - self._counted_at) * self._pace.per_second)
        self._counted_at = now
        return min(self._pace.at_once, int(self._allowed))

    def began(self, calls: int) -> None:
        """Count calls that begin."""
        self._allowed = max(0.0, self._allowed - calls)

    def ended(self, *, is_down: bool) -> None:
        """Count a call that ended; `is_down`: nothing came of it, for want of the counterparty."""
        self._failures = self._failures + 1 if is_down else 0
        if self._failures >= self._pace.breaks_after:
            self._open_until = self._clock() + self._pace.breaks_for

    @property
    def is_open(self) -> bool:
        """Return whether calls are stopped."""
        return self._failures >= self._pace.breaks_after and self._clock() < self._open_until
