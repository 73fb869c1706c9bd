"""What contributions need from outside: money collected from a payer's wallet, word of who holds a wallet, and mandates."""

from collections.abc import Sequence
from datetime import date
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from msgspec import Struct

from engine.kernel.amounts import Amount
from engine.kernel.outcomes import Answer, Hint, Reason
from engine.kernel.transport import Callback


class CollectionRequest(Struct, frozen=True, kw_only=True):
    """Money to be asked of a payer's wallet.

    `reference` is ours: random (UUID version 4), stored before it is sent, the same however often it is sent. `msisdn`
    is the payer's number in E.164, with its plus. `amount` is positive. `account` is what the payer sees the money is
    for, a member number, and `note` a few words; adapters cut both to what their protocol holds.
    """

    reference: UUID
    msisdn: str
    amount: Amount
    account: str
    note: str = ""


class Collections(Protocol):
    """Collects money from payers' wallets at one counterparty.

    Implementations translate, sign, send and classify. They never retry, never touch a database and never decide by
    time. Two requests with one reference collect once: either the counterparty sees to it, or the implementation
    never answers CREATED once a request may have gone out. `Unreachable` and `Unanswered` pass through: a time-out is
    no failure. An answer states the amount, currency and transaction id that the counterparty stated, not those that
    were asked for; to compare them is the caller's. A `callback_url` is ours, cannot be guessed and is used for one
    call; empty, no callback is asked for.
    """

    async def request(self, wanted: CollectionRequest, *, callback_url: str = "") -> Answer:
        """Ask for the money.

        Raises:
            Unreachable: nothing was asked.
            Unanswered: whether it was asked is unknown.
        """
        ...

    async def enquire(self, wanted: CollectionRequest, last: Answer, *, callback_url: str = "") -> Answer:
        """Return what has become of the request, as the counterparty says now; `last` is the latest answer to it.

        SUCCEEDED only with the transaction's id; what the counterparty cannot prove yet is PENDING. CREATED only where
        the counterparty says that it has no such request and sending it again cannot collect twice.

        Raises:
            Unreachable, Unanswered: nothing was learned.
        """
        ...

    def read_callback(self, callback: Callback) -> Hint | None:
        """Return what the callback claims, or None if it is none of this counterparty's. Does no I/O, never raises."""
        ...

    def account_of(self, reference: UUID) -> str:
        """Return the account that a payment under this request names where the counterparty tells of it once more.

        Some tell of every payment in, also of those that were asked for; empty where this one does not.
        """
        ...


class PaymentsIn(Protocol):
    """Confirms payments that payers made of their own accord, such as to a pay-bill number.

    What tells us of them is unsigned: the counterparty is asked before a payment counts. Some counterparties ask us
    first whether we would take a payment and wait for the reply a few seconds.
    """

    async def register(self, *, validation_url: str, confirmation_url: str) -> bool:
        """Tell the counterparty where to ask us and where to tell us; returns whether it took that.

        Raises:
            Unreachable, Unanswered: nothing was learned.
        """
        ...

    async def confirm(self, claimed: Answer) -> Answer:
        """Return what the counterparty says of the transaction `claimed.provider_ref`: SUCCEEDED with amount and account.

        PENDING where the counterparty does not show it (yet).

        Raises:
            Unreachable, Unanswered: nothing was learned.
        """
        ...

    async def recent(self) -> Sequence[Answer]:
        """Return the payments in that the counterparty shows now, each as `confirm` returns it.

        Looked at now and then, for those that nobody told us of.

        Raises:
            Unreachable, Unanswered: nothing was learned.
        """
        ...

    def read_callback(self, callback: Callback) -> Hint | None:
        """Return what the callback claims, or None if it is none of this counterparty's. Does no I/O, never raises."""
        ...

    def read_validation(self, callback: Callback) -> Answer | None:
        """Return the payment that the counterparty asks about before it is made, PENDING; None if it asks nothing.

        Does no I/O, never raises.
        """
        ...

    def reply(self, refusal: Reason | None) -> bytes:
        """Return the body that answers a validation or a confirmation: taken, or refused for a reason."""
        ...


class RefundRequest(Struct, frozen=True, kw_only=True):
    """Money that was collected, to be given back whole to whom it came from.

    `reference` is ours, as in `CollectionRequest`; `provider_ref` is the counterparty's id of the collection.
    """

    reference: UUID
    provider_ref: str
    amount: Amount
    note: str = ""


class Refunds(Protocol):
    """Gives collections back at one counterparty; the rules of `engine.benefits.ports.Payouts` hold here too."""

    async def refund(self, wanted: RefundRequest, *, callback_url: str = "") -> Answer:
        """Give the money back; a collection is given back once. Raises as `Collections.request`."""
        ...

    async def enquire(self, wanted: RefundRequest, last: Answer, *, callback_url: str = "") -> Answer:
        """Return whether it was given back; a counterparty may answer later, as in `Payouts.enquire`."""
        ...

    def read_enquiry_callback(self, callback: Callback) -> Answer | None:
        """Return the late answer to an enquiry, as in `Payouts.read_enquiry_callback`."""
        ...

    def read_callback(self, callback: Callback) -> Hint | None:
        """Return what the callback claims, or None if it is none of this counterparty's. Does no I/O, never raises."""
        ...


class HolderState(StrEnum):
    """What a counterparty says of a wallet."""

    ACTIVE = "active"
    INACTIVE = "inactive"
    UNREGISTERED = "unregistered"
    UNKNOWN = "unknown"


class AccountHolder(Struct, frozen=True, kw_only=True):
    """Who holds a wallet. `name` is for matching with the name we hold, and empty where the counterparty says none."""

    state: HolderState
    name: str = ""
    reason: Reason | None = None

    def __repr__(self) -> str:
        return f"AccountHolder(state={self.state}, reason={self.reason})"


class AccountCheck(Protocol):
    """Says whether a wallet can pay and be paid, and whose it is. Asks nothing of the holder and moves nothing."""

    async def holder(self, msisdn: str) -> AccountHolder:
        """Return what the counterparty says of the wallet of `msisdn` (E.164); UNKNOWN where it cannot say now.

        Raises:
            Unreachable, Unanswered: nothing was learned.
        """
        ...


class Frequency(StrEnum):
    """How often a mandate may be drawn."""

    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"
    QUARTERLY = "quarterly"
    HALF_YEARLY = "half-yearly"
    YEARLY = "yearly"


class MandateRequest(Struct, frozen=True, kw_only=True):
    """A payer's standing consent to be asked for money regularly.

    `reference`, `msisdn`, `account` and `note` as in `CollectionRequest`. `limit` is the most that one
    drawing may take. `starts_on` is included, `ends_on` not.
    """

    reference: UUID
    msisdn: str
    limit: Amount
    frequency: Frequency
    starts_on: date
    ends_on: date
    account: str
    note: str = ""


class Mandates(Protocol):
    """Sets up and ends payers' standing consents at one counterparty; the rules of `Collections` hold here too.

    SUCCEEDED means that the payer has consented; `provider_ref` then names the mandate.
    """

    async def create(self, wanted: MandateRequest, *, callback_url: str = "") -> Answer:
        """Ask the payer for consent; raises as `Collections.request`."""
        ...

    async def enquire(self, wanted: MandateRequest, last: Answer, *, callback_url: str = "") -> Answer:
        """Return whether the payer has consented, as the counterparty says now; raises as `Collections.enquire`."""
        ...

    async def cancel(self, wanted: MandateRequest, last: Answer) -> Answer:
        """End the mandate. SUCCEEDED: it is ended, also where it had been before; raises as `Collections.request`."""
        ...

    def read_callback(self, callback: Callback) -> Hint | None:
        """Return what the callback claims, or None if it is none of this counterparty's. Does no I/O, never raises."""
        ...
