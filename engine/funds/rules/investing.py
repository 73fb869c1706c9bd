"""When received money may be invested, and at which day's price. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from fractions import Fraction
from typing import Annotated, ClassVar, Literal, get_args
from zoneinfo import ZoneInfo

from msgspec import Meta

from engine.funds.errors import NoDealingRule, NotYetPriced, WrongMoneyState
from engine.funds.rules.dealing import DealingRule, FundsRule, cut_off_instant, dealing_day, in_units, price_of
from engine.funds.rules.examples import Given
from engine.kernel.prices import Price
from engine.kernel.rounding import Rounding, rounded
from engine.kernel.rules import BY_EVENT, AppliesBy, Rule
from engine.tenancy.errors import PackProblem
from engine.tenancy.rules.books import InForce
from engine.tenancy.rules.manifest import Code
from engine.tenancy.rules.packs import Pack
from engine.tenancy.rules.proving import ScenarioContext

MoneyState = Literal["received", "matched", "reconciled", "ordered", "priced"]
_STATES: tuple[MoneyState, ...] = get_args(MoneyState)
PricedBy = Literal["forward", "next", "historic"]


class InvestingRule(Rule, tag="investing", frozen=True, kw_only=True):
    """From which state on received money may be ordered into a fund (R4).

    EjoHeza needs it: all money waits in a pooling account, and only what is reconciled is invested. Money goes through
    received, matched (its member is known), reconciled (the bank says the same), ordered and priced. A receipt that is
    taken back after pricing is redeemed at the next price; the gain or loss goes to the role `reversal_difference_to`.
    """

    may_apply_by: ClassVar[tuple[AppliesBy, ...]] = BY_EVENT
    invested_from: Literal["received", "matched", "reconciled"]
    reversal_difference_to: Code


def dealing_problems(pack: Pack) -> list[PackProblem]:
    """Return each product that deals in funds before a rule says who bears what a payment taken back lost or gained there."""
    found = []
    for code, book in pack.books.items():
        dealt = [version for version in book.versions() if isinstance(version.rule, DealingRule)]
        invested = [version for version in book.versions() if isinstance(version.rule, InvestingRule)]
        if not dealt:
            continue
        first = min(dealt, key=lambda version: version.effective_from)
        if not invested or min(version.effective_from for version in invested) > first.effective_from:
            found.append(
                PackProblem(
                    f"{code}/rules/{first.page or first.effective_from.isoformat()}.toml",
                    first.rule.id,
                    f"needs a rule of the kind investing from {first.effective_from} on: without it no payment that was"
                    " invested could be taken back",
                )
            )
    return found


@dataclass(frozen=True, slots=True)
class Investable:
    """Whether money in a state may be ordered; where not, why."""

    may_be_ordered: bool
    reason: Literal["", "not-matched", "not-reconciled", "in-order", "invested"]
    rules: tuple[str, ...]


def next_state(state: MoneyState, to: MoneyState, found: InForce[InvestingRule]) -> MoneyState:
    """Return the state after a step.

    Money goes forward through its states, one at a time; an order may skip those that the rule does not wait for.

    Raises:
        WrongMoneyState: the step goes back, stands still, or leaves out a state that the rule waits for.
    """
    step = _STATES.index(to) - _STATES.index(state)
    is_order = to == "ordered" and investable(state, found).may_be_ordered
    if not is_order and (step != 1 or to == "ordered"):
        raise WrongMoneyState(state=state, next=to)
    return to


def investable(state: MoneyState, found: InForce[InvestingRule]) -> Investable:
    """Return whether money in `state` may be ordered."""
    place, wanted = _STATES.index(state), _STATES.index(found.rule.invested_from)
    if place >= _STATES.index("ordered"):
        return Investable(False, "in-order" if state == "ordered" else "invested", (found.ref,))
    if place < wanted:
        reason: Literal["not-matched", "not-reconciled"] = "not-matched" if state == "received" else "not-reconciled"
        return Investable(False, reason, (found.ref,))
    return Investable(True, "", (found.ref,))


@dataclass(frozen=True, slots=True)
class ReversalAction:
    """What a receipt that is taken back undoes, and the role that bears the difference in price, if there is one."""

    action: Literal["drop-allocation", "await-price", "redeem-units"]
    difference_to: str
    rules: tuple[str, ...]


def on_reversal(state: MoneyState, found: InForce[InvestingRule]) -> ReversalAction:
    """Return what happens to money in `state` whose receipt is taken back.

    Before its order it is simply not ordered; ordered, it waits for its price; priced, the units that it bought are
    redeemed at the next price.
    """
    if state in ("received", "matched", "reconciled"):
        return ReversalAction("drop-allocation", "", (found.ref,))
    action: Literal["await-price", "redeem-units"] = "await-price" if state == "ordered" else "redeem-units"
    return ReversalAction(action, found.rule.reversal_difference_to, (found.ref,))


class UnitPricingRule(Rule, tag="unit-pricing", frozen=True, kw_only=True):
    """Which day's price a dealing gets, and how units are rounded (R1).

    NPS-Lite, APY, Nigeria and Ghana's third tier are unitised. Units are counted to their fund's `unit_scale`, and the
    dealing day ends at the `dealing` rule's cut-off. Forward pricing takes the first price dated on or after the dealing
    day, next pricing the first dated after it, or that of `lag` priced days later; historic pricing takes the last one
    dated before it, or that of `lag` priced days earlier. Forward pricing leaves out a price that was known before the
    cut-off of the dealing day, so that nobody deals at a price that they may have seen. A product without this rule deals at the next price. `bought`
    rounds units that money buys; `sold` units that are cancelled to raise an amount: both to the fund's side, so that no
    dealing takes from those who stay. A dealing keeps the pricing that was in force on the day of its cut-off.
    """

    may_apply_by: ClassVar[tuple[AppliesBy, ...]] = BY_EVENT
    pricing: PricedBy
    lag: Annotated[int, Meta(ge=0, le=10, description="a number of priced days from 0 to 10")]
    bought: Literal["down"]
    sold: Literal["up"]


@dataclass(frozen=True, slots=True)
class Pricing:
    """How a dealing finds its price: by which days, and how many priced days further on."""

    by: PricedBy = "next"
    lag: int = 0

    @classmethod
    def of(cls, rule: UnitPricingRule | None) -> "Pricing":
        """Return the pricing of a rule; without one, that of the next price."""
        return cls() if rule is None else cls(rule.pricing, rule.lag)

    def is_known_too_early(self, known_at: datetime, cut_off_at: datetime) -> bool:
        """Return whether a price that came at `known_at` is none for a dealing that took orders until `cut_off_at`."""
        return self.by == "forward" and known_at < cut_off_at

    def counts(self, dealing_on: date, day: date) -> bool:
        """Return whether a price dated `day` may count for a dealing of `dealing_on`."""
        if self.by == "historic":
            return day < dealing_on
        return day > dealing_on or (day == dealing_on and self.by == "forward")


def pricing_day(dealing_on: date, priced: Iterable[date], pricing: Pricing) -> date | None:
    """Return the day whose price a dealing of `dealing_on` gets, of the days priced so far; None where it is to come."""
    days = sorted((day for day in priced if pricing.counts(dealing_on, day)), reverse=pricing.by == "historic")
    return days[pricing.lag] if len(days) > pricing.lag else None


def units_of(minor: int, *, price: Price, money_scale: int, unit_scale: int, rounding: Rounding) -> int:
    """Return smallest units of a fund for `minor` smallest units of money (>= 0) at `price`, rounded as said."""
    exact = Fraction(minor, 10**money_scale) / Fraction(price.decimal()) * 10**unit_scale
    return rounded(exact, rounding)


def run_investing(context: ScenarioContext) -> Mapping[str, str]:
    """Decide a pack's example of money on its way: given the `steps` it took, returns its `state`, `may_be_ordered` and `reason`.

    `reversal` and `difference_to` say what a reversal would do now.

    Raises:
        WrongMoneyState: a step that money cannot take; or no rule says from when it may be invested.
    """
    found = context.rule(InvestingRule)
    state: MoneyState = "received"
    for step in Given.of(context).texts("steps"):
        to = next((one for one in _STATES if one == step), None)
        if to is None or found is None:
            raise WrongMoneyState(state=state, next=step)
        state = next_state(state, to, found)
    if found is None:
        raise WrongMoneyState(state=state, next="ordered")
    answer = investable(state, found)
    back = on_reversal(state, found)
    return {
        "state": state,
        "may_be_ordered": str(answer.may_be_ordered).lower(),
        "reason": answer.reason,
        "reversal": back.action,
        "difference_to": back.difference_to,
    }


def run_unit_dealing(context: ScenarioContext) -> Mapping[str, str]:
    """Decide a pack's example of a dealing in one `fund`.

    Given the instant `at` that the order is complete, `prices = { "2023-06-15" = "12.5" }` by day, what it `buys` or
    what it `raises` in major units of money, and by day in `known` the instants at which prices came, if that was not after
    the cut-off, returns `dealing_on`, `priced_on` and `units`.

    Raises:
        NoDealingRule: the product has no dealing, pricing or funds rule.
        UnknownFund, NotYetPriced, PriceNotUsable: see there.
    """
    given = Given.of(context)
    found, dealing, funds = context.rule(UnitPricingRule), context.rule(DealingRule), context.rule(FundsRule)
    if found is None or dealing is None or funds is None:
        raise NoDealingRule(product=context.product.code, day=context.on.isoformat())
    fund, zone = funds.rule.fund(given.text("fund")), context.pack.time_zone
    local = given.instant("at").astimezone(ZoneInfo(zone))
    hour, minute = (int(part) for part in dealing.rule.cut_off.split(":"))
    context.compare(dealing, "cut_off", local.hour * 60 + local.minute, hour * 60 + minute)
    dealing_on = dealing_day(local, zone, dealing.rule.cut_off)
    prices = {date.fromisoformat(day): text for day, text in given.table("prices").items()}
    pricing, closes = Pricing.of(found.rule), cut_off_instant(dealing_on, zone, dealing.rule.cut_off)
    known = given.inner("known")
    early = {
        day
        for day in prices
        if known.has(day.isoformat()) and pricing.is_known_too_early(known.instant(day.isoformat()), closes)
    }
    priced_on = pricing_day(dealing_on, prices.keys() - early, pricing)
    if priced_on is None:
        raise NotYetPriced(fund=fund.code, day=dealing_on.isoformat())
    is_purchase = given.has("buys")
    units = units_of(
        given.minor("buys") if is_purchase else given.minor("raises"),
        price=price_of(prices[priced_on]),
        money_scale=context.asset.scale,
        unit_scale=fund.unit_scale,
        rounding=found.rule.bought if is_purchase else found.rule.sold,
    )
    return {
        "dealing_on": dealing_on.isoformat(),
        "priced_on": priced_on.isoformat(),
        "units": in_units(units, fund.unit_scale),
    }
