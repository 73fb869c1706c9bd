"""A payment as a channel reports it: how it is checked, answered, and read from a file. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, ClassVar, Literal, Self
from uuid import UUID
from zlib import crc32

from msgspec import Meta, Struct

from engine.contributions.errors import (
    AmountNotPositive,
    AmountNotWhole,
    PaidInFuture,
    UnknownChannel,
    WrongCurrency,
)
from engine.contributions.rules.payers import AgentCollected, PayerKind
from engine.identity.rules import compact_reference
from engine.kernel.amounts import Amount, Asset, NotWholeUnits
from engine.kernel.ids import body_digest, claim_digest
from engine.tenancy.errors import UnknownProduct
from engine.tenancy.rules.packs import Pack

Money = Annotated[str, Meta(pattern=r"^[0-9]{1,15}(\.[0-9]{1,4})?$")]
MOST_UNITS = 10**15  # no single payment is larger; keeps every sum of a batch inside 64 bits
OWN = "own"
LOAN_REPAYMENT = "loan-repayment"
"""Why a payment that names a loan lies in suspense, until it is given to the loan."""
ABOVE_CAP = "above-cap"
"""Why a part of a payment lies in suspense that is beyond the most of its scheme year: it goes back to the payer."""
ABOVE_DUE = "above-due"
"""Likewise of a part that is beyond every instalment that may be paid."""
GO_BACK = (ABOVE_CAP, ABOVE_DUE)
LANES = 2  # posting lanes a tenant: batches of one member never overlap, since a member is always in one lane


class Payment(Struct, frozen=True, kw_only=True):
    """A payment as a channel reports it: already collected, so it is posted or suspended, or refused and owed back.

    `is_held`: it is known to lie in the scheme's own account, so what the member's terms do not take is suspended.
    `product` is what it is for; "" is the first that the member joined. `collection` is the reference of the request that
    it answers, "" where nobody asked for it. `payer` is the kind of who pays; "" is the member. `paid_from` is whom the channel
    had it from, a telephone number or an account; `batch` the reference by which the bank pays it together with others.
    Neither is part of what tells a retry from another payment. `collected` is what an agent took for the member, of which this
    is the deposit.
    """

    member: str
    amount: str
    currency: str
    channel: str
    reference: str
    sent_by: str
    key: str | None = None
    paid_on: date | None = None
    is_held: bool = False
    product: str = ""
    collection: str = ""
    payer: PayerKind | Literal[""] = ""
    paid_from: str = ""
    collected: AgentCollected | None = None
    batch: str = ""

    def digest(self) -> int:
        """Return what tells a retry from another payment: what was paid to whom, when and by which transaction."""
        named = (self.product,) if self.product else ()
        payer = (f"payer:{self.payer}",) if self.payer else ()
        agent: tuple[str | date, ...] = ()
        if self.collected is not None:
            one = self.collected
            agent = (f"agent:{one.takes}", one.collected_on, one.receipt, _plain(one.quantity))
        return body_digest(
            self.member,
            _plain(self.amount),
            self.currency,
            self.channel,
            self.reference,
            self.paid_on or "",
            *named,
            *payer,
            *agent,
        )

    def batch_digest(self, tenant_id: int) -> UUID:
        """Return what a statement's line that pays the payment's batch is known by, as it is by a payment's reference."""
        return claim_digest(tenant_id, f"provider:{self.channel}", self.batch)

    def claims(self, tenant_id: int) -> tuple[UUID, ...]:
        """Return what this payment claims for ever: its provider's transaction, its sender's key, and the agent's receipt."""
        claims = [claim_digest(tenant_id, f"provider:{self.channel}", self.reference)]
        if self.key is not None and self.key != self.reference:
            claims.append(claim_digest(tenant_id, f"key:{self.sent_by}", self.key))
        if self.collected is not None and self.collected.receipt:
            claims.append(claim_digest(tenant_id, f"collected:{self.sent_by}", self.collected.receipt))
        return tuple(claims)


def loan_number(reference: str) -> int | None:
    """Return the number of the loan that a payment's reference names: "L" and its digits; None of any other reference."""
    found = re.fullmatch(r"[Ll]-?([0-9]{1,19})", reference.strip())
    return int(found[1]) if found else None


def _plain(amount: str) -> str:
    """Return "50" for "50.00": the same money written otherwise is the same payment."""
    return amount.rstrip("0").rstrip(".") if "." in amount else amount


def lane_of(member: str) -> int:
    """Return the posting lane of whoever pays under this member reference."""
    return crc32(compact_reference(member).encode()) % LANES


@dataclass(frozen=True, slots=True)
class Scheme:
    """What of a tenant the checks need: its money, its channels and its products."""

    asset: Asset
    channels: frozenset[str]
    products: tuple[str, ...]

    @classmethod
    def of(cls, pack: Pack) -> Self:
        """Return what a pack says."""
        channels, products = ([one.code for one in named] for named in (pack.channels, pack.products))
        return cls(pack.asset, frozenset(channels), tuple(products))


def check_payment(payment: Payment, scheme: Scheme, *, today: date) -> tuple[Amount, date]:
    """Return the payment's amount and business date.

    Raises:
        WrongCurrency, AmountNotWhole, AmountNotPositive, UnknownChannel, PaidInFuture, UnknownProduct.
    """
    if payment.currency != scheme.asset.symbol:
        raise WrongCurrency(field="currency", currency=payment.currency, allowed=scheme.asset.symbol)
    if payment.channel not in scheme.channels:
        raise UnknownChannel(field="channel", channel=payment.channel, allowed=", ".join(sorted(scheme.channels)))
    if payment.product and payment.product not in scheme.products:
        raise UnknownProduct(field="product", product=payment.product, allowed=", ".join(scheme.products))
    try:
        amount = Amount.parse(payment.amount, scheme.asset)
    except NotWholeUnits as error:
        raise AmountNotWhole(field="amount", scale=scheme.asset.scale) from error
    if not 0 < amount.units <= MOST_UNITS:
        raise AmountNotPositive(field="amount")
    if payment.paid_on is not None and payment.paid_on > today:
        raise PaidInFuture(field="paid_on", paid_on=payment.paid_on.isoformat(), today=today.isoformat())
    return amount, payment.paid_on or today


class ReceiptPart(Struct, frozen=True):
    """What one pot got, in major units."""

    pot: str
    origin: str
    amount: str


class PassedPart(Struct, frozen=True):
    """What somebody else than the member got of a payment, in major units."""

    party: str
    amount: str


class PaidAs(Struct, frozen=True):
    """How a payment in another currency was made: its amount in that currency's major units, and the rate of which day."""

    amount: str
    currency: str
    rate: str
    rate_on: date


class Receipt(Struct, frozen=True, omit_defaults=True):
    """The answer to a payment. The same for every retry, for ever.

    `over` is what of the amount is beyond what the scheme takes: it goes back to whoever paid it. `others` is what other
    payees got of it, and what was taken from it before the split. `paid` is how it was made, if in another currency.
    """

    receipt: str
    state: str
    member: str
    amount: str
    currency: str
    business_date: date
    parts: tuple[ReceiptPart, ...] = ()
    reason: str | None = None
    over: str = ""
    others: tuple[PassedPart, ...] = ()
    paid: PaidAs | None = None


class Ask(Struct, frozen=True, kw_only=True):
    """A request that a member be asked for money; `phone` is E.164, or empty for the one on the member's record.

    `product` is what it is for; "" is the first that the member joined.
    """

    member: str
    amount: str
    currency: str
    channel: str
    sent_by: str
    key: str
    phone: str = ""
    product: str = ""

    def digest(self) -> int:
        """Return what tells a retry from another request: everything but who sent it under which key."""
        named = (self.product,) if self.product else ()
        return body_digest(self.member, _plain(self.amount), self.currency, self.channel, self.phone, *named)

    def claim(self, tenant_id: int) -> UUID:
        """Return what this request claims for ever: its sender's key."""
        return claim_digest(tenant_id, f"collect:{self.sent_by}", self.key)


class Collection(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A request for a payment, and what has become of it as far as its counterparty has said.

    `state` is created, sent, pending, succeeded or failed; `reason` why it failed, or why it is not known. `paid` is
    what was truly paid. `receipt` and `receipt_state` say how it was posted; `refusal` why the books do not take it.
    """

    reference: UUID
    member: str
    channel: str
    amount: str
    currency: str
    asked_at: datetime
    product: str = ""
    state: str
    reason: str = ""
    paid: str = ""
    receipt: str = ""
    receipt_state: str = ""
    refusal: str = ""


class Unsettled(Struct, frozen=True, kw_only=True):
    """What people must look at: money that is unknown to have moved, or that the books do not take.

    `why` is `unknown` (nothing certain was learned for long), `twice-claimed` (the counterparty proves it by the
    transaction of another request) or `refused` (confirmed, and `reason` keeps it out of the books).
    """

    reference: UUID
    channel: str
    why: str
    reason: str
    since: datetime


@dataclass(frozen=True, slots=True)
class FileRow:
    """A row of a file of contributions that could be read, with its number (the header is row 1)."""

    row: int
    payment: Payment


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that could not be taken: which field, and why."""

    row: int
    field: str
    reason: str


NEEDED: Sequence[str] = ("member", "amount", "currency", "channel", "reference")
COLUMNS: Sequence[str] = (*NEEDED, "paid_on", "product", "payer", "paid_from", "batch")


class Suspended(Struct, frozen=True):
    """A payment in suspense: why, since when, how much; whose it may be is read from the vault apart.

    `is_owed_back`: it has waited so long that, by the scheme's rule, it goes back to whoever paid it.
    """

    receipt: str
    reason: str
    amount: Decimal
    channel: str
    received_on: date
    age_days: int
    is_owed_back: bool = False

    reasons: ClassVar[tuple[str, ...]] = (
        "unknown-member",
        "bad-check-digit",
        "member-not-active",
        "not-in-product",
        "several-members",
        "not-taken",
        "not-eligible",
        "above-level",
        ABOVE_CAP,
        ABOVE_DUE,
        LOAN_REPAYMENT,
    )


class Reason(Struct, frozen=True):
    """What speaks for a member as the owner of a payment: a code, and in words."""

    sign: str
    says: str


class LikelyOwner(Struct, frozen=True):
    """Somebody whose a payment may be; `score` of 1 to 99 is an order to look in, not a likelihood."""

    member: str
    score: int
    reasons: tuple[Reason, ...]


class Sought(Struct, frozen=True):
    """A payment in suspense and whose it may be, the likeliest first; nobody where nothing speaks for anybody."""

    payment: Suspended
    owners: tuple[LikelyOwner, ...]


class SuspenseOf(Struct, frozen=True):
    """How many payments lie in suspense of one kind, and how much, in major units."""

    code: str
    count: int
    amount: str


class SuspenseFigures(Struct, frozen=True, kw_only=True):
    """What lies in suspense on a day, as it may be published; amounts in major units.

    `by_reason` has the reasons that there are, `by_age` every stretch of days since the payment was received: "0-7", "8-30", "31-90",
    "91-365", "366-". `owed_back` has waited so long that it goes back to whoever paid it.
    """

    as_of: date
    currency: str
    count: int
    amount: str
    oldest_on: date | None
    owed_back: SuspenseOf
    by_reason: tuple[SuspenseOf, ...]
    by_age: tuple[SuspenseOf, ...]
