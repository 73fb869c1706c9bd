"""What becomes of what we ask the outside to do, in words that every counterparty's codes are translated to."""

from enum import StrEnum

from msgspec import Struct


class ExchangeState(StrEnum):
    """What is known of one call out. Unknown ends only by enquiry or statement, never by time."""

    REQUESTED = "requested"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    UNKNOWN = "unknown"


class RequestState(StrEnum):
    """The life of a collection, payout or order. Succeeded and failed are final."""

    CREATED = "created"
    SENT = "sent"
    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"

    @property
    def is_final(self) -> bool:
        """Return whether nothing changes the state any more."""
        return self in (RequestState.SUCCEEDED, RequestState.FAILED)


class Reason(StrEnum):
    """Why the outside said no, or could not say."""

    INSUFFICIENT_FUNDS = "insufficient-funds"
    PAYER_REJECTED = "payer-rejected"
    PAYER_UNREACHABLE = "payer-unreachable"
    LIMIT = "limit"
    NOT_REGISTERED = "not-registered"
    BLOCKED = "blocked"
    DUPLICATE = "duplicate"
    EXPIRED = "expired"
    INVALID_REQUEST = "invalid-request"
    AUTH = "auth"
    PROVIDER_DOWN = "provider-down"
    AMBIGUOUS = "ambiguous"
    OTHER = "other"


class Answer(Struct, frozen=True, kw_only=True):
    """What one call told us of a request.

    `state` says how far the request is known to have come:

    - CREATED: the counterparty has not acted and will not unless asked again; the same request may be sent again.
    - SENT: whether the counterparty has taken it is not known. Only an enquiry or a statement can tell.
    - PENDING: the counterparty has taken it and has not decided.
    - SUCCEEDED, FAILED: the counterparty has decided, for ever.

    `provider_ref` is the counterparty's own id of the transaction, once there is one; `handle` what an enquiry must
    name the request by, where that is not our reference; `amount` the decimal text and `currency` the code that the
    counterparty states, `account` what the payer said the money is for; `code` its own word for the outcome, as it
    came; `document` what more it stated, as whoever asked keeps it.
    """

    state: RequestState
    reason: Reason | None = None
    provider_ref: str = ""
    handle: str = ""
    amount: str = ""
    currency: str = ""
    account: str = ""
    code: str = ""
    document: str = ""


class Hint(Struct, frozen=True, kw_only=True):
    """What a callback claims. It moves no money: it is a reason to enquire.

    `claimed` is what it says has become of the request it is about; its `handle` and `provider_ref` may be what the
    answer to our request, if it was lost, would have told. `reference` is ours, as it came, where callbacks of all
    requests come to one address.
    """

    claimed: Answer
    reference: str = ""
