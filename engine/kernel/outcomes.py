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

    `state` is PENDING where the counterparty has taken the request or cannot say yet. `provider_ref` is the
    counterparty's own id of the transaction, once there is one; `amount` its decimal text and `currency`, where the
    counterparty states them; `code` is its own word for the outcome, kept as it came.
    """

    state: RequestState
    reason: Reason | None = None
    provider_ref: str = ""
    amount: str = ""
    currency: str = ""
    code: str = ""
