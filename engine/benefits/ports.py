"""What benefits need from outside: money paid out to wallets."""

from typing import Protocol
from uuid import UUID

from msgspec import Struct

from engine.kernel.amounts import Amount
from engine.kernel.outcomes import Answer, Hint
from engine.kernel.transport import Callback


class PayoutRequest(Struct, frozen=True, kw_only=True):
    """Money to be sent to a wallet.

    `reference` is ours: random (UUID version 4), stored before it is sent, the same however often it is sent. `msisdn`
    is the payee's number in E.164, with its plus. `amount` is positive. `account` is what the payee sees the money is
    from, `note` a few words; adapters cut both to what their protocol holds.
    """

    reference: UUID
    msisdn: str
    amount: Amount
    account: str
    note: str = ""


class Payouts(Protocol):
    """Sends money to wallets at one counterparty.

    Implementations translate, sign, send and classify. They never retry, never touch a database and never decide by
    time. Two requests with one reference pay once: either the counterparty sees to it, or the implementation never
    answers CREATED once a request may have gone out. `Unreachable` and `Unanswered` pass through: a time-out is no
    failure, and a payout that may have gone out is never FAILED before the counterparty says so. An answer states
    the amount, currency and transaction id that the counterparty stated; to compare them is the caller's. A `callback_url` is ours, cannot
    be guessed and is used for one call; empty, no callback is asked for.
    """

    async def send(self, wanted: PayoutRequest, *, callback_url: str = "") -> Answer:
        """Send the money.

        Raises:
            Unreachable: nothing was sent.
            Unanswered: whether it was sent is unknown.
        """
        ...

    async def enquire(self, wanted: PayoutRequest, last: Answer, *, callback_url: str = "") -> Answer:
        """Return what has become of the payout, as the counterparty says now; `last` is the latest answer to it.

        A counterparty that answers later is asked, and the answer is SENT with the question's own handle:
        `read_enquiry_callback` reads the rest from what comes to `callback_url`. CREATED only where the counterparty says that it has no such payout
        and sending it again cannot pay twice.

        Raises:
            Unreachable, Unanswered: nothing was learned.
        """
        ...

    def read_callback(self, callback: Callback) -> Hint | None:
        """Return what the callback claims, or None if it is none of this counterparty's. Does no I/O, never raises."""
        ...

    def read_enquiry_callback(self, callback: Callback) -> Answer | None:
        """Return the late answer to an enquiry, its `handle` the question's; None if it is none.

        It counts only where it came to the address made for that one question and names the handle that the
        counterparty gave the question. Does no I/O, never raises.
        """
        ...
