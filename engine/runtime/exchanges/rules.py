"""What an answer changes in an exchange. Pure."""

from enum import StrEnum

import msgspec
from msgspec import Struct

from engine.kernel.outcomes import Answer, ExchangeState, Reason, RequestState


class Purpose(StrEnum):
    """What a call is for, and an address."""

    REQUEST = "request"
    ENQUIRY = "enquiry"
    STANDING = "standing"


class Standing(Struct, frozen=True, kw_only=True):
    """What is known of an exchange: of the call, of what it asks for, and the latest answer."""

    state: ExchangeState
    outcome: RequestState
    answer: Answer

    @property
    def is_final(self) -> bool:
        """Return whether nothing is left to ask."""
        return self.outcome.is_final


TWICE_CLAIMED = "twice-claimed"
"""The code of what a counterparty proves by a transaction that is another request's."""

OPENED = Standing(
    state=ExchangeState.REQUESTED, outcome=RequestState.CREATED, answer=Answer(state=RequestState.CREATED)
)


def next_purpose(outcome: RequestState, *, is_sent: bool) -> Purpose:
    """Return what to do next: what may have gone out is asked after, never sent again unseen."""
    return Purpose.ENQUIRY if is_sent or outcome is not RequestState.CREATED else Purpose.REQUEST


def after_request(known: Standing, said: Answer) -> Standing:
    """Return what is known after asking; a callback may have told the request's name before a lost answer could."""
    if known.is_final:
        return known
    said = msgspec.structs.replace(said, handle=said.handle or known.answer.handle)
    if said.state is RequestState.SUCCEEDED and not said.provider_ref:
        said = msgspec.structs.replace(said, state=RequestState.PENDING, reason=Reason.AMBIGUOUS)
    states = {
        RequestState.CREATED: ExchangeState.REQUESTED,
        RequestState.SENT: ExchangeState.UNKNOWN,
        RequestState.FAILED: ExchangeState.REJECTED,
    }
    return Standing(state=states.get(said.state, ExchangeState.ACCEPTED), outcome=said.state, answer=said)


def after_enquiry(known: Standing, said: Answer) -> Standing:
    """Return what is known after asking what has become of it.

    What was final stays so. What was taken cannot become unheard of: a counterparty that says so contradicts itself,
    and is asked again. The name that the counterparty gave the request is kept, whatever the question was called.
    """
    if known.is_final or said.state is RequestState.SENT:
        return known
    if said.state is RequestState.CREATED:
        return OPENED if known.outcome in {RequestState.CREATED, RequestState.SENT} else known
    if said.state is RequestState.SUCCEEDED and not said.provider_ref:
        said = msgspec.structs.replace(said, state=RequestState.PENDING, reason=Reason.AMBIGUOUS)
    answer = msgspec.structs.replace(said, handle=known.answer.handle or said.handle)
    return Standing(state=ExchangeState.ACCEPTED, outcome=said.state, answer=answer)


def after_hint(known: Standing, hinted: Answer) -> Standing:
    """Return what is known after a callback: nothing more, but for the request's name where its answer was lost."""
    if known.is_final or known.answer.handle or not hinted.handle:
        return known
    return msgspec.structs.replace(known, answer=msgspec.structs.replace(known.answer, handle=hinted.handle))


def twice_claimed(standing: Standing) -> Standing:
    """Return what is known where the transaction that proves a success is another request's: nothing, until people look."""
    answer = msgspec.structs.replace(
        standing.answer, state=RequestState.SENT, reason=Reason.DUPLICATE, code=TWICE_CLAIMED
    )
    return Standing(state=ExchangeState.UNKNOWN, outcome=RequestState.SENT, answer=answer)
