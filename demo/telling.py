"""A partner that is told what became of its requests: its endpoint verifies every message, and some attempts fail first."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from demo.client import DemoFailed, Partner, expect
from demo.neighbours import Neighbours, neighbours
from engine.kernel.transport import WireResponse
from integrations.messaging.standard_webhooks.simulator import PartnerSimulator

_PATIENCE = 120.0
_LOOK_SECONDS = 0.5


@dataclass(slots=True)
class Told:
    """What a partner's endpoint took, by type, once each; how many attempts it were turned down, or came again."""

    taken: dict[str, int] = field(default_factory=dict)
    turned_down: int = 0


class Endpoint:
    """A partner's endpoint, as long as `listening` lasts."""

    def __init__(self, receiver: PartnerSimulator) -> None:
        self._receiver = receiver

    def await_told(self, expected: dict[str, int]) -> Told:
        """Wait until as much of each type was told as is expected; return all that was.

        Payments from just before are told too, if the log had not come to them yet when the endpoint was named.

        Raises:
            DemoFailed: something was not told, or bore a false signature.
        """
        deadline = time.monotonic() + _PATIENCE
        while True:
            taken = Counter(str(one["type"]) for one in list(self._receiver.taken.values()))
            if all(taken[one] >= times for one, times in expected.items()) and not self._receiver.answers:
                break
            if time.monotonic() > deadline:
                raise DemoFailed(f"a partner should be told {expected} and was told {dict(taken)}")
            time.sleep(_LOOK_SECONDS)
        if self._receiver.refused:
            raise DemoFailed(f"messages to a partner bear false signatures: {self._receiver.refused[:3]}")
        return Told(dict(taken), len(self._receiver.attempts) - len(self._receiver.taken))


@contextmanager
def listening(partner: Partner, *, turning_down: int) -> Iterator[Endpoint]:
    """Serve an endpoint and have the partner told there; it turns down the first `turning_down` attempts."""
    receiver = PartnerSimulator()
    receiver.answers += [WireResponse(status=503)] * turning_down
    with neighbours() as loop, _served(loop, receiver):
        named = expect(partner.put("/v1/webhooks", {"url": receiver.url}), 200, "naming an endpoint").json
        receiver.secret = named["secret"]
        receiver.refused.clear()  # what came before we knew the secret comes again
        yield Endpoint(receiver)
        expect(partner.delete("/v1/webhooks"), 200, "an endpoint that goes")


@contextmanager
def _served(loop: Neighbours, receiver: PartnerSimulator) -> Iterator[None]:
    loop.do(receiver.server.__aenter__())
    try:
        yield
    finally:
        loop.do(receiver.server.__aexit__(None, None, None))
