"""A DCI register, answering the ports of civil and of social registers."""

from collections.abc import Sequence
from datetime import datetime
from uuid import uuid4

from joserfc.jwk import Key, KeySet

from engine.identity.ports import DeathNotice, NotProven, RegistryAnswer
from engine.kernel.clock import Clock
from engine.kernel.outcomes import Reason
from engine.kernel.transport import Callback, Transport
from integrations.registries.dci import wire
from integrations.registries.dci.wire import Registry


class DciRegistry:
    """One register; see `engine.identity.ports.CivilRegistry` and `SocialRegistry`."""

    def __init__(self, transport: Transport, registry: Registry, key: Key, its_keys: KeySet, clock: Clock) -> None:
        """Ask `registry`, signing by `key`, and believe what one of `its_keys` signed."""
        self._transport, self._registry, self._clock = transport, registry, clock
        self._key, self._its_keys = key, its_keys

    async def deaths_of(self, kind: str, numbers: Sequence[str]) -> RegistryAnswer:
        """Return the deaths of the holders of those numbers; also raises NotProven."""
        return await self._search(kind, numbers)

    async def classes_of(self, kind: str, numbers: Sequence[str]) -> RegistryAnswer:
        """Return the classes of the holders of those numbers; also raises NotProven."""
        return await self._search(kind, numbers)

    async def _search(self, kind: str, numbers: Sequence[str]) -> RegistryAnswer:
        asked, now = uuid4(), self._clock.now()
        request = wire.search(self._registry, self._key, kind, numbers, now=now, message_id=asked)
        response = await self._transport.send(request)
        failed = wire.read_failure(response)
        if failed is not None:
            return failed
        if not response.body.lstrip().startswith(b"{"):
            return RegistryAnswer(was_searched=False, reason=Reason.PROVIDER_DOWN, code="no JSON")
        header, message = wire.open_envelope(response.body, self._registry, self._its_keys, now)
        return wire.read_search(header, message, self._registry, asked)

    def read_notice(self, callback: Callback, now: datetime) -> tuple[DeathNotice, ...]:
        """Return the deaths that a notice tells of."""
        _, message = wire.open_envelope(callback.body, self._registry, self._its_keys, now)
        return wire.read_notice(message, self._registry)

    def acknowledge(self, callback: Callback, now: datetime, *, refusal: str = "") -> bytes:
        """Return the body that answers a notice."""
        try:
            _, message = wire.open_envelope(callback.body, self._registry, self._its_keys, now)
        except NotProven:
            message = {}
        return wire.acknowledgement(message, now=now, refusal=refusal)
