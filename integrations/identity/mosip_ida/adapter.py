"""MOSIP's ID authentication, answering the port of identity agencies."""

from engine.identity.ports import AssertedPerson, IdentityAnswer
from engine.kernel.clock import Clock
from engine.kernel.transport import Transport
from integrations.identity.mosip_ida import wire
from integrations.identity.mosip_ida.wire import Partner


class MosipIda:
    """One partner; see `engine.identity.ports.IdentityAgency`.

    With a one-time code the holder has consented, and e-KYC is asked for; without one, IDA only says yes or no to what we say.
    """

    def __init__(self, transport: Transport, partner: Partner, clock: Clock) -> None:
        """Ask as `partner` by `transport`."""
        self._transport, self._partner, self._clock = transport, partner, clock

    async def verify(self, asked: AssertedPerson) -> IdentityAnswer:
        """Ask once, and return what IDA says; also raises NotProven, see `wire.read_answer`."""
        transaction, now = wire.new_transaction(), self._clock.now()
        kind = "kyc" if asked.one_time_code else "auth"
        request = wire.request(self._partner, asked, kind=kind, now=now, transaction=transaction)
        response = await self._transport.send(request)
        return wire.read_answer(response, self._partner, transaction=transaction, now=now)
