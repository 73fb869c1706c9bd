"""How a received payment is checked and split. Pure: no clock, no database."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Annotated, ClassVar
from uuid import UUID
from zlib import crc32

from msgspec import Meta, Struct

from engine.contributions.errors import (
    AboveMaximum,
    AmountNotPositive,
    AmountNotWhole,
    BelowMinimum,
    NotAMultiple,
    NoTerms,
    PaidInFuture,
    UnknownChannel,
    WrongCurrency,
)
from engine.identity.rules import compact_reference
from engine.kernel.amounts import Amount, Asset, NotWholeUnits
from engine.kernel.ids import body_digest, claim_digest
from engine.kernel.rules import Rule
from engine.tenancy.rules.proving import ScenarioContext

Money = Annotated[str, Meta(pattern=r"^[0-9]{1,15}(\.[0-9]{1,4})?$")]
MOST_UNITS = 10**15  # no single payment is larger; keeps every sum of a batch inside 64 bits
OWN = "own"
LANES = 2  # posting lanes a tenant: batches of one member never overlap, since a member is always in one lane


class AmountRule(Rule, tag="contribution-amount", frozen=True, kw_only=True):
    """What one contribution may be, in major units of the scheme's currency."""

    minimum: Money
    maximum: Money | None = None
    multiple_of: Money | None = None


class SplitPart(Struct, frozen=True, forbid_unknown_fields=True):
    """A pot and its share in basis points."""

    pot: str
    share_bp: Annotated[int, Meta(ge=1, le=10_000)]


class SplitRule(Rule, tag="contribution-split", frozen=True, kw_only=True):
    """How one contribution is split over pots; shares sum to 10,000 basis points."""

    parts: Annotated[tuple[SplitPart, ...], Meta(min_length=1)]

    def __post_init__(self) -> None:
        if sum(part.share_bp for part in self.parts) != 10_000:
            raise ValueError("the shares of the parts must sum to 10000 basis points")
        if len({part.pot for part in self.parts}) != len(self.parts):
            raise ValueError("each pot may stand once")


RULE_KINDS: tuple[type[Rule], ...] = (AmountRule, SplitRule)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContributionTerms:
    """A product's contribution terms as in force for one member on one date, and the rules they are from."""

    minimum: Amount
    maximum: Amount | None
    multiple_of: Amount | None
    pots: tuple[str, ...]
    shares: tuple[int, ...]
    rules: tuple[str, ...]

    @classmethod
    def of(cls, amount: AmountRule, split: SplitRule, asset: Asset, rules: tuple[str, ...]) -> "ContributionTerms":
        """Return the terms that two rules say, in `asset`."""
        return cls(
            minimum=Amount.parse(amount.minimum, asset),
            maximum=None if amount.maximum is None else Amount.parse(amount.maximum, asset),
            multiple_of=None if amount.multiple_of is None else Amount.parse(amount.multiple_of, asset),
            pots=tuple(part.pot for part in split.parts),
            shares=tuple(part.share_bp for part in split.parts),
            rules=rules,
        )


class Payment(Struct, frozen=True, kw_only=True):
    """A payment as a channel reports it: already collected, so it is posted or suspended, or refused and owed back."""

    member: str
    amount: str
    currency: str
    channel: str
    reference: str
    sent_by: str
    key: str | None = None
    paid_on: date | None = None

    def digest(self) -> int:
        """Return what tells a retry from another payment: everything but who sent it under which key."""
        return body_digest(
            self.member, _plain(self.amount), self.currency, self.channel, self.reference, self.paid_on or ""
        )

    def claims(self, tenant_id: int) -> tuple[UUID, ...]:
        """Return what this payment claims for ever: its provider's transaction, and its sender's key."""
        provider = claim_digest(tenant_id, f"provider:{self.channel}", self.reference)
        if self.key is None or self.key == self.reference:
            return (provider,)
        return (provider, claim_digest(tenant_id, f"key:{self.sent_by}", self.key))


def _plain(amount: str) -> str:
    """Return "50" for "50.00": the same money written otherwise is the same payment."""
    return amount.rstrip("0").rstrip(".") if "." in amount else amount


def lane_of(member: str) -> int:
    """Return the posting lane of whoever pays under this member reference."""
    return crc32(compact_reference(member).encode()) % LANES


@dataclass(frozen=True, slots=True)
class Scheme:
    """What of a tenant the checks need: its money and its channels."""

    asset: Asset
    channels: frozenset[str]


def check_payment(payment: Payment, scheme: Scheme, *, today: date) -> tuple[Amount, date]:
    """Return the payment's amount and business date.

    Raises:
        WrongCurrency, AmountNotWhole, AmountNotPositive, UnknownChannel, PaidInFuture.
    """
    if payment.currency != scheme.asset.symbol:
        raise WrongCurrency(field="currency", currency=payment.currency, allowed=scheme.asset.symbol)
    if payment.channel not in scheme.channels:
        raise UnknownChannel(field="channel", channel=payment.channel, allowed=", ".join(sorted(scheme.channels)))
    try:
        amount = Amount.parse(payment.amount, scheme.asset)
    except NotWholeUnits as error:
        raise AmountNotWhole(field="amount", scale=scheme.asset.scale) from error
    if not 0 < amount.units <= MOST_UNITS:
        raise AmountNotPositive(field="amount")
    if payment.paid_on is not None and payment.paid_on > today:
        raise PaidInFuture(field="paid_on", paid_on=payment.paid_on.isoformat(), today=today.isoformat())
    return amount, payment.paid_on or today


def split_contribution(amount: Amount, terms: ContributionTerms) -> tuple[tuple[str, Amount], ...]:
    """Split a payment over the pots of its terms.

    Returns:
        (pot, amount) of every pot that gets anything; the amounts add up to `amount` exactly. Each share is rounded
        down and the smallest units left go to the largest remainders, the earlier pot first on a tie.

    Raises:
        BelowMinimum, AboveMaximum, NotAMultiple: the terms do not take this amount.
    """
    if amount < terms.minimum:
        raise BelowMinimum(minimum=str(terms.minimum.decimal()))
    if terms.maximum is not None and terms.maximum < amount:
        raise AboveMaximum(maximum=str(terms.maximum.decimal()))
    if terms.multiple_of is not None and amount.units % terms.multiple_of.units:
        raise NotAMultiple(multiple=str(terms.multiple_of.decimal()))
    if len(terms.pots) == 1:
        return ((terms.pots[0], amount),)
    parts = amount.share_out(terms.shares)
    return tuple((pot, part) for pot, part in zip(terms.pots, parts, strict=True) if part.units)


class ReceiptPart(Struct, frozen=True):
    """What one pot got, in major units."""

    pot: str
    origin: str
    amount: str


class Receipt(Struct, frozen=True, omit_defaults=True):
    """The answer to a payment. The same for every retry, for ever."""

    receipt: str
    state: str
    member: str
    amount: str
    currency: str
    business_date: date
    parts: tuple[ReceiptPart, ...] = ()
    reason: str | None = None


def run_scenario(context: ScenarioContext) -> Mapping[str, str]:
    """Decide a pack's worked example of a contribution: given `amount`, return each pot's part as "pots.<pot>".

    Raises:
        NoTerms, AmountNotWhole, BelowMinimum, AboveMaximum, NotAMultiple: as the payment would be refused.
    """
    amount, split = context.rule(AmountRule), context.rule(SplitRule)
    if amount is None or split is None:
        raise NoTerms(day=context.on.isoformat())
    terms = ContributionTerms.of(amount.rule, split.rule, context.asset, (amount.ref, split.ref))
    try:
        paid = Amount.parse(context.text("amount"), context.asset)
    except NotWholeUnits as error:
        raise AmountNotWhole(field="amount", scale=context.asset.scale) from error
    if paid.units <= 0:
        raise AmountNotPositive(field="amount")
    return {f"pots.{pot}": _fixed(part) for pot, part in split_contribution(paid, terms)}


def _fixed(amount: Amount) -> str:
    return f"{amount.decimal():.{amount.asset.scale}f}"


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


COLUMNS: Sequence[str] = ("member", "amount", "currency", "channel", "reference", "paid_on")


class Suspended(Struct, frozen=True):
    """A payment in suspense: why, since when, how much; whose it may be is read from the vault apart."""

    receipt: str
    reason: str
    amount: Decimal
    channel: str
    received_on: date
    age_days: int

    reasons: ClassVar[tuple[str, ...]] = ("unknown-member", "bad-check-digit", "member-not-active")
