"""Who pays, under which reference, in which money, and how cash or goods that an agent takes become a contribution."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct

from engine.contributions.errors import (
    CollectedLater,
    CollectionNotTaken,
    CollectionReceiptNeeded,
    CurrencyNotTaken,
    GoodsWorthOtherwise,
    PayerNotTaken,
    QuantityWanted,
)
from engine.kernel.amounts import Amount, Asset
from engine.kernel.rounding import Rounding, rounded
from engine.kernel.rules import AppliesBy, Rule
from engine.kernel.series import Figures, SeriesCode

Origin = Literal["own", "employer", "state-match", "gift", "insurer", "operator"]
PayerKind = Literal["member", "employer", "relative", "diaspora", "partner", "state", "merchant"]
ReferenceKind = Literal["member-number", "national-id", "phone", "virtual-number"]


class ContributorsRule(Rule, tag="contributors", frozen=True, kw_only=True):
    """Who may pay for a member, and the origin their money keeps to the end (C8).

    A kind of payer that is not listed is not taken; who pays and does not say what they are is the member. Gift-a-pension,
    employers, cashback of a partner wallet.
    """

    origins: Annotated[Mapping[PayerKind, Origin], Meta(min_length=1)]


class ReferenceRule(Rule, tag="payment-reference", frozen=True, kw_only=True):
    """What may stand as account reference of a payment (C9), in the order in which it is looked up.

    Mbao: the national ID number; the engine's own is the member number with its check digit. `national-id` is the number of
    any identity document of the product, in any of its formats; a number of several people is nobody's. Never a name, and
    nothing is matched approximately: what is found under no kind goes to suspense. The engine keeps no index of telephone and
    virtual numbers: what is paid under those waits in suspense.
    """

    accepts: Annotated[tuple[ReferenceKind, ...], Meta(min_length=1)]


class ForeignMoneyRule(Rule, tag="foreign-money", frozen=True, kw_only=True):
    """A currency that contributions are taken in beside the scheme's own (C10), and at which rate they count.

    The rate is the series' value in force on the payment's value date or on the day it was received, `lag_days` before. A
    payment is converted once, as it comes, whether its member is known or not; without a rate for the day it is not taken.
    """

    many: ClassVar[bool] = True
    one_for: ClassVar[tuple[str, ...]] = ("currency",)
    currency: Annotated[str, Meta(pattern=r"^[A-Z]{3}$")]
    series: SeriesCode
    rate_of: Literal["value-date", "received-date"]
    lag_days: Annotated[int, Meta(ge=0, le=31)] = 0
    rounding: Rounding


class AgentCollectionRule(Rule, tag="agent-collection", frozen=True, kw_only=True):
    """Cash or goods that an agent takes for a member (C13): the receipt given, and from when the money counts.

    `counts_from` is the day of the receipt or that of the deposit, which is the day of the payment; a deposit is due within
    so many days, and one that comes later is taken and said to be late. Goods count at the price of `price_series` on the
    day they are taken, and so much must be deposited for them. AgroCenta's agents collect cash or commodities.
    """

    many: ClassVar[bool] = True
    one_for: ClassVar[tuple[str, ...]] = ("takes",)
    may_apply_by: ClassVar[tuple[AppliesBy, ...]] = ("event", "joining")
    takes: Literal["cash", "goods"]
    receipt: Literal["required", "none"]
    counts_from: Literal["receipt", "deposit"]
    deposit_within_days: Annotated[int, Meta(ge=0, le=60)]
    price_series: SeriesCode | None = None
    rounding: Rounding = "down"

    def __post_init__(self) -> None:
        """Check that goods have a price."""
        if (self.takes == "goods") != (self.price_series is not None):
            raise ValueError("goods need a price_series, and a price_series needs goods")


class AgentCollected(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What an agent took for a member: cash or goods of some quantity, on which day, under the number of which receipt."""

    takes: Literal["cash", "goods"]
    collected_on: date
    receipt: Annotated[str, Meta(max_length=64, pattern=r"^[\x21-\x7e]*$")] = ""
    quantity: Annotated[str, Meta(pattern=r"^([0-9]{1,9}(\.[0-9]{1,6})?)?$", examples=["12.5"])] = ""


@dataclass(frozen=True, slots=True)
class CollectionCounted:
    """From when what an agent took counts, until when it was to be deposited, and by how many days that was missed."""

    counts_on: date
    deposit_due: date
    days_late: int


def origin_of(rule: ContributorsRule | None, payer: str) -> str:
    """Return the origin that money of a kind of payer keeps; without a rule all money is the member's own.

    Raises:
        PayerNotTaken: the product takes nothing from such payers.
    """
    if rule is None:
        return "own"
    for kind, origin in rule.origins.items():
        if kind == payer:
            return origin
    raise PayerNotTaken(field="payer", payer=payer, allowed=", ".join(sorted(rule.origins)))


def looked_up(rule: ReferenceRule | None, reference: str, kinds: Mapping[str, bool]) -> str:
    """Return as what a reference is looked up: the first kind accepted whose form it has; "" for none.

    Args:
        rule: the product's; without one only member numbers are accepted.
        reference: as the payer gave it.
        kinds: for each kind, whether the reference has its form.

    """
    accepts: Sequence[str] = rule.accepts if rule else ("member-number",)
    return next((kind for kind in accepts if reference and kinds.get(kind, False)), "")


def converted(
    rule: ForeignMoneyRule | None, amount: Amount, into: Asset, *, value_on: date, received_on: date, figures: Figures
) -> Amount:
    """Return an amount of foreign money in the scheme's, at the rate (scheme's units for one of the foreign) of its day.

    Raises:
        CurrencyNotTaken: there is no rule for the currency.
        SeriesValueMissing: there is no rate for the day.
    """
    if rule is None or rule.currency != amount.asset.symbol:
        raise CurrencyNotTaken(currency=amount.asset.symbol)
    rate = figures.value(rule.series, rate_day(rule, value_on, received_on))
    exact = Fraction(amount.decimal()) * Fraction(rate) * 10**into.scale
    return Amount(rounded(exact, rule.rounding), into)


def rate_day(rule: ForeignMoneyRule, value_on: date, received_on: date) -> date:
    """Return the day whose rate counts for a payment of a value date that was received on a day."""
    return (value_on if rule.rate_of == "value-date" else received_on) - timedelta(days=rule.lag_days)


def counts_on(rule: AgentCollectionRule, received_on: date, deposited_on: date | None) -> date | None:
    """Return the day from which an agent's collection counts; None while it waits for its deposit."""
    return received_on if rule.counts_from == "receipt" else deposited_on


def deposit_due(rule: AgentCollectionRule, received_on: date) -> date:
    """Return the last day on which the agent may deposit what was taken."""
    return received_on + timedelta(days=rule.deposit_within_days)


def count_collection(
    rule: AgentCollectionRule | None, collected: AgentCollected, amount: Amount, deposited_on: date, figures: Figures
) -> CollectionCounted:
    """Return how a deposit of an agent counts for the member it was collected for.

    Args:
        rule: the product's for what was taken, in force on the day it was; None: it has none.
        collected: what the agent says of it.
        amount: what was deposited.
        deposited_on: when.
        figures: give the price of goods on the day they were taken.

    Raises:
        CollectionNotTaken, CollectionReceiptNeeded, CollectedLater, QuantityWanted, GoodsWorthOtherwise: see there.
        SeriesValueMissing: the goods have no price for the day.
    """
    if rule is None:
        raise CollectionNotTaken(field="collected.takes", takes=collected.takes)
    if rule.receipt == "required" and not collected.receipt:
        raise CollectionReceiptNeeded(field="collected.receipt")
    taken_on = collected.collected_on
    if taken_on > deposited_on:
        raise CollectedLater(
            field="collected.collected_on", collected_on=taken_on.isoformat(), deposited_on=deposited_on.isoformat()
        )
    if (collected.takes == "goods") != bool(Fraction(collected.quantity or "0")):
        raise QuantityWanted(field="collected.quantity")
    if collected.takes == "goods":
        worth = goods_value(rule, collected.quantity, taken_on, figures)
        if worth != amount:
            told = f"{worth.decimal():.{worth.asset.scale}f}"
            raise GoodsWorthOtherwise(field="amount", amount=told, collected_on=taken_on.isoformat())
    counted = counts_on(rule, taken_on, deposited_on)
    assert counted is not None, "what was deposited counts"
    due = deposit_due(rule, taken_on)
    return CollectionCounted(counted, due, max((deposited_on - due).days, 0))


def goods_value(rule: AgentCollectionRule, quantity: str, on: date, figures: Figures) -> Amount:
    """Return what a quantity of goods counts for, at the price a unit of its series on the day."""
    assert rule.price_series is not None
    exact = Fraction(quantity) * Fraction(figures.value(rule.price_series, on)) * 10**figures.asset.scale
    return Amount(rounded(exact, rule.rounding), figures.asset)
