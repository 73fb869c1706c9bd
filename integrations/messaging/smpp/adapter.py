"""SMPP, answering the engine's port for messages."""

from engine.kernel.outcomes import ExchangeState, Reason
from engine.kernel.transport import Unanswered, Unreachable, WireRequest, WireResponse
from engine.notices.ports import DeliveryHint, MessageAnswer, OutgoingMessage
from integrations.messaging.answers import rejected, unknown
from integrations.messaging.smpp import wire
from integrations.messaging.smpp.link import BindRefused, SmppLink


class SmppSms:
    """Sends short messages by a session with a message centre. A centre states no cost."""

    def __init__(self, link: SmppLink) -> None:
        self._link = link

    async def send(self, message: OutgoingMessage) -> MessageAnswer:
        """Ask for each part of a message, one after the other; the last part's answer is the message's.

        Where a part is taken and a later one is not, the reader may get a fragment: that is UNKNOWN, never refused.
        """
        try:
            pdus = wire.write_message(message)
        except ValueError:
            return rejected(Reason.INVALID_REQUEST, "number or sender")
        answer = await self._submit(pdus[0], parts=len(pdus))
        for place, pdu in enumerate(pdus[1:], 2):
            if answer.state is not ExchangeState.ACCEPTED:
                break
            try:
                answer = await self._submit(pdu, parts=len(pdus))
            except Unreachable as error:
                raise Unanswered from error
            if answer.state is not ExchangeState.ACCEPTED:
                return unknown(Reason.AMBIGUOUS, f"part {place}: {answer.code}")
        return answer

    async def _submit(self, pdu: bytes, *, parts: int) -> MessageAnswer:
        try:
            response = await self._link.exchange(pdu)
        except BindRefused as refusal:
            return rejected(wire.STATUSES.get(refusal.status, Reason.PROVIDER_DOWN), str(refusal))
        return wire.read_answer(response, parts)

    def read_report(self, report: WireRequest) -> tuple[DeliveryHint, ...]:
        """Return what a deliver_sm says."""
        return wire.read_report(report)

    def answer_handshake(self, request: WireRequest) -> WireResponse | None:  # noqa: ARG002 - there is no address
        """Return None: what comes in comes by the session."""
        return None
