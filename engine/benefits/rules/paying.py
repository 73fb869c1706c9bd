"""What a payout is: whom it pays and out of what, and the digest that two people agree on. Pure."""

import hashlib
from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from uuid import UUID

import msgspec
from msgspec import Struct

from engine.kernel.outcomes import Answer, RequestState

LEAST_MATCH_BP = 9_000
"""How alike names must be where no rule of the product says it: every word of the shorter name has its own in the longer."""

LONGEST_SOURCE = 80
SUSPENSE = "suspense"
ANNUITIES = "annuity-purchases"
PASSED_ON = "passed-on"
"""The kind of account that holds what buys annuities; in a payout to an insurer, instead of an origin of the member's money."""
"""What sources of payouts begin with, and their parts are of, by which money in suspense goes back."""

TRANSFER_SOURCE = "transfer:"
"""What sources of payouts to other schemes begin with; the number of the transfer follows."""

AMOUNT_DIFFERS, CONTRADICTED = "amount-differs", "contradicted"
"""What people must look at: another amount is confirmed than was asked for; who pays, or they and a statement, say both."""


class NameState(StrEnum):
    """What is known of the name on a payee's account."""

    NOT_ASKED = "not-asked"
    WAITING = "waiting"
    AGREES = "agrees"
    DIFFERS = "differs"
    UNKNOWN = "unknown"


class PayoutState(StrEnum):
    """How far a payout has come. From approved on its money is in transit, until a statement shows it gone or it is home."""

    CREATED = "created"
    REFUSED = "refused"
    APPROVED = "approved"
    SENT = "sent"
    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    RETURNED = "returned"


class AccountGiven(Struct, frozen=True, kw_only=True):
    """An account of a payee: a telephone number on the rail of a wallet, else a bank account. Personal data, never logged.

    `holder` is the name it is held under, as far as it was told; `is_verified`, `paid_in` and `documents` are what the
    maker vouches for: it was checked, contributions came from it, proofs that were seen.
    """

    rail: str
    number: str
    bank: str = ""
    holder: str = ""
    is_verified: bool = False
    paid_in: bool = False
    documents: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"AccountGiven(rail={self.rail!r})"


class Payee(Struct, frozen=True, kw_only=True):
    """Who is paid, by one of their accounts; `name` is to be that of the account, the member's own if empty."""

    accounts: tuple[AccountGiven, ...]
    name: str = ""

    def __repr__(self) -> str:
        return f"Payee({len(self.accounts)} accounts)"


class Part(Struct, frozen=True, array_like=True):
    """Smallest units of one pot and origin."""

    pot: str
    origin: str
    amount: int


class Payload(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Exactly what is paid to whom; what two people agree on is its digest. `member` is their number, "" for money in suspense or for others than members.

    An heir is paid what they inherited by a `claim`, out of what is due to the member's heirs. Another scheme is paid what
    the claim `transfer` put in transit to it.
    """

    payout_id: UUID
    member_id: int
    member: str
    product: str
    source: str
    currency: str
    amount: int
    parts: tuple[Part, ...]
    payee_name: str
    account: AccountGiven
    claim: int = 0
    heir: int = 0
    transfer: int = 0

    @property
    def owed_from(self) -> str:
        """Return the kind of the member's account that it is paid from."""
        return "heirs" if self.heir else "payable"

    @property
    def suspended(self) -> int | None:
        """Return the receipt of the suspended payment that goes back; None where a member's money is paid."""
        return None if self.product else int(self.source.removeprefix(f"{SUSPENSE}:"))

    def digest(self) -> str:
        """Return the SHA-256, in hexadecimal, of all of it."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()

    def __repr__(self) -> str:
        return f"Payload({self.payout_id})"


class Payout(Struct, frozen=True, kw_only=True):
    """A payout as those who decide on it see it; amounts in major units, `stays` what the rail cannot pay.

    `digest` is of exactly what would be paid: the approval names it.
    """

    id: UUID
    state: PayoutState
    reason: str
    source: str
    product: str
    rail: str
    currency: str
    amount: str
    digest: str
    name_check: NameState
    maker: str
    checker: str
    made_on: date
    not_before: date | None
    is_settled: bool
    member: str = ""
    stays: str = ""
    payee: str = ""
    holder: str = ""
    number: str = ""
    bank: str = ""
    rules: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Payout({self.id}, {self.state})"


def cut(amounts: Mapping[tuple[str, str], int], paid: int) -> tuple[Part, ...]:
    """Return the parts of `amounts` that make `paid` smallest units, in order of pot and origin; the last is cut short."""
    parts = []
    for (pot, origin), amount in sorted(amounts.items()):
        taken = min(amount, paid)
        if taken:
            parts.append(Part(pot, origin, taken))
            paid -= taken
    assert paid == 0, paid
    return tuple(parts)


def name_state(match_bp: int | None, least_bp: int) -> NameState:
    """Return what follows from how alike the names are, in basis points; None where there was no name to compare."""
    if match_bp is None:
        return NameState.UNKNOWN
    return NameState.AGREES if match_bp >= least_bp else NameState.DIFFERS


def states_other(stated: str, currency: str, *, amount: Decimal, symbol: str) -> bool:
    """Return whether a counterparty states another amount or currency than was asked for; what it does not state agrees."""
    try:
        differs = bool(stated) and Decimal(stated) != amount
    except InvalidOperation:
        return True
    return differs or (bool(currency) and currency != symbol)


def parts_json(parts: Iterable[Part]) -> list[list[str | int]]:
    """Return parts as they are stored."""
    return [[part.pot, part.origin, part.amount] for part in parts]


class AfterReport(Struct, frozen=True, kw_only=True):
    """What a payout is after a report; FAILED brings its money home."""

    state: PayoutState
    reason: str = ""


_UNDER_WAY = frozenset({PayoutState.SENT, PayoutState.PENDING})


def after_report(state: PayoutState, reason: str, said: Answer, *, is_settled: bool) -> AfterReport | None:
    """Return what a payout in a file is once its bank said something of it; None where that changes nothing.

    A refusal brings home what is under way. After a statement has shown the money gone, or the bank itself has said so, a
    refusal moves nothing; nor does a success after the money came home. Who has said both is listened to no more.
    """
    if reason == CONTRADICTED:
        return None
    if said.state is RequestState.FAILED:
        return _after_refusal(state, is_settled=is_settled)
    if said.state is RequestState.SUCCEEDED and state is PayoutState.FAILED:
        return AfterReport(state=state, reason=CONTRADICTED)
    is_news = (state, said.state) != (PayoutState.PENDING, RequestState.PENDING)
    if state in _UNDER_WAY and is_news and said.state in {RequestState.PENDING, RequestState.SUCCEEDED}:
        return AfterReport(state=PayoutState(said.state.value))
    return None


def _after_refusal(state: PayoutState, *, is_settled: bool) -> AfterReport | None:
    if is_settled:
        return AfterReport(state=state, reason=CONTRADICTED)
    if state is PayoutState.SUCCEEDED:
        return AfterReport(state=PayoutState.PENDING, reason=CONTRADICTED)
    return AfterReport(state=PayoutState.FAILED) if state in _UNDER_WAY else None
