"""Money that is nobody's yet: what it earns while it waits, and at which day's price it is credited in the end (R8)."""

from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from engine.funds.rules import FundsRule
from engine.kernel.amounts import Amount
from engine.kernel.rounding import Rounding, rounded
from engine.kernel.rules import Rule
from engine.kernel.series import Figures, SeriesCode
from engine.tenancy.errors import PackProblem
from engine.tenancy.rules.packs import Pack


class PoolRule(Rule, tag="unallocated-pool", frozen=True, kw_only=True):
    """What money without an owner earns, and how it is credited once it has one (R8, and two precedence questions).

    `earns` nothing, or simple interest at a yearly series in percent, from the day it was received to that on which somebody
    proposes its owner. Money matched later buys at the price of the day it was received or of the day it was matched, that of the
    dealing then open; the first only in products that deal in no funds, since a rule does not say who would bear the difference.
    What it earned goes along to the member, out of the product's interest reserve, or stays with the scheme. After
    `return_after_days` it is owed back to the payer (0: never). Money of who is no member waits in the pool `transitional`, any other
    in `suspense`, or in `uncredited` where there is none. Nigeria's reconciliation account, EjoHeza's pooling account.
    """

    many: ClassVar[bool] = True
    one_for: ClassVar[tuple[str, ...]] = ("pool",)
    pool: Literal["suspense", "uncredited", "transitional"]
    earns: Literal["nothing", "simple-interest"]
    series: SeriesCode | None = None
    days_in_year: Literal[360, 365] = 365
    price_of: Literal["received", "matched"]
    return_goes_to: Literal["member", "scheme"]
    return_after_days: Annotated[int, Meta(ge=0, le=3660)]
    rounding: Rounding = "down"

    def __post_init__(self) -> None:
        """Check that interest has its series."""
        if (self.earns == "simple-interest") != (self.series is not None):
            raise ValueError("simple-interest needs a series, and a series needs it")


@dataclass(frozen=True, slots=True)
class Credited:
    """How matched suspense is credited: the day whose price it takes, and what it earned that goes to the member."""

    price_on: date
    earned: Amount
    to_member: Amount


def price_problems(pack: Pack) -> list[PackProblem]:
    """Return each rule that lets money buy at the price of the day it was received in a product that deals in funds."""
    return [
        PackProblem(
            f"{code}/rules/{version.page or version.effective_from.isoformat()}.toml",
            f"{version.rule.id}.price_of",
            'must be "matched" in a product that deals in funds: the fund sells units at the price of the day on which they are'
            " ordered, and the rule does not say who bears the difference",
        )
        for code, book in pack.books.items()
        if any(isinstance(version.rule, FundsRule) for version in book.versions())
        for version in book.versions()
        if isinstance(version.rule, PoolRule) and version.rule.price_of == "received"
    ]


def credit_matched(rule: PoolRule, amount: Amount, received_on: date, matched_on: date, figures: Figures) -> Credited:
    """Return how money that waited from `received_on` to `matched_on` is credited.

    Interest is simple, for the days between, at the series' value on the day it was received; rounded once.
    """
    earned = Amount(0, amount.asset)
    if rule.series is not None:
        rate = Fraction(figures.value(rule.series, received_on)) / 100
        exact = amount.units * rate * (matched_on - received_on).days / rule.days_in_year
        earned = Amount(rounded(exact, rule.rounding), amount.asset)
    price_on = received_on if rule.price_of == "received" else matched_on
    to_member = earned if rule.return_goes_to == "member" else Amount(0, amount.asset)
    return Credited(price_on, earned, to_member)


def goes_back(rule: PoolRule, received_on: date, on: date) -> bool:
    """Return whether money still without an owner is owed back to its payer on a day."""
    return bool(rule.return_after_days) and (on - received_on).days >= rule.return_after_days
