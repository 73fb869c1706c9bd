"""Payments and collections as a bank is asked for them in a file, and what it says of them. Pure value types.

Shared by the port that asks for such files and the adapters that write and read them.
"""

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from msgspec import Struct

from engine.kernel.amounts import Amount
from engine.kernel.outcomes import Answer, Reason, RequestState

REFERENCE_MAX = 35


class BankAccount(Struct, frozen=True, kw_only=True):
    """An account at a bank and whose it is: personal data, never shown.

    `number` is an IBAN or the bank's own. `bank` is a BIC, the number a clearing system gave the bank, or "" where the
    account's number says it all.
    """

    holder: str
    number: str
    bank: str = ""

    def __repr__(self) -> str:
        return "BankAccount(...)"


class Transfer(Struct, frozen=True, kw_only=True):
    """Money for one payee. `reference` is ours, at most 35 characters, and comes back in reports and statements."""

    reference: str
    payee: BankAccount
    amount: Amount
    note: str = ""


class TransferFile(Struct, frozen=True, kw_only=True):
    """Transfers from one of our accounts on one day. `message_ref` is ours, one a file, at most 35 characters."""

    message_ref: str
    created_at: datetime
    sender: str
    payer: BankAccount
    execute_on: date
    transfers: tuple[Transfer, ...]


class DebitSequence(StrEnum):
    """Which collection under a mandate it is, in ISO 20022's words."""

    FIRST = "FRST"
    RECURRENT = "RCUR"
    LAST = "FNAL"
    ONCE = "OOFF"


class Debit(Struct, frozen=True, kw_only=True):
    """Money to be collected from one payer under a mandate; `reference` as in `Transfer`."""

    reference: str
    payer: BankAccount
    amount: Amount
    mandate_ref: str
    mandate_signed_on: date
    note: str = ""


class DebitFile(Struct, frozen=True, kw_only=True):
    """Collections into one of our accounts on one day. `creditor_ref` is what our bank or the scheme calls us."""

    message_ref: str
    created_at: datetime
    sender: str
    payee: BankAccount
    creditor_ref: str
    collect_on: date
    sequence: DebitSequence
    debits: tuple[Debit, ...]


class StatusReport(Struct, frozen=True, kw_only=True):
    """What a bank says of a file we sent: of the whole, of its batch and of single payments.

    `message_ref` is that of our file. `whole` is None where the report speaks of single payments alone, or where some
    were taken and some were not; `by_reference` holds those it names. `count` and `total` (in major units) are what it says
    our file held, None where it does not.
    """

    name: str
    sha256: str
    message_ref: str
    whole: Answer | None
    by_reference: Mapping[str, Answer]
    count: int | None = None
    total: Decimal | None = None

    def answer_to(self, reference: str) -> Answer | None:
        """Return what the report says of our payment `reference`; None if it says nothing of it."""
        return self.by_reference.get(reference, self.whole)


def combine(earlier: Answer | None, later: Answer) -> Answer:
    """Return what is known of a payment once another report came: reports come late, twice and out of order.

    What failed or succeeded is not merely pending again. A bank that says now this, now that of what is final is
    believed in neither: the answer is PENDING and ambiguous, and the statement decides.
    """
    if earlier is None or not earlier.state.is_final:
        return later
    if not later.state.is_final or later.state is earlier.state:
        return earlier
    return Answer(state=RequestState.PENDING, reason=Reason.AMBIGUOUS, code=later.code)
