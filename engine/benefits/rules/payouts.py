"""On which rail a payout goes, how much of it, and whether the account is the right person's. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Annotated, ClassVar, Literal, Self

from msgspec import Meta

from engine.benefits.errors import AccountNotChecked, DocumentsNeeded, NameDiffers, NoRail
from engine.benefits.rules.parameters import Bp
from engine.funds.rules import Given, in_major
from engine.kernel.rules import BY_EVENT, AppliesBy, Rule
from engine.kernel.series import Figure, Figures
from engine.tenancy.rules.books import InForce
from engine.tenancy.rules.manifest import Code
from engine.tenancy.rules.proving import ScenarioContext


class PayoutRouteRule(Rule, tag="payout-route", frozen=True, kw_only=True):
    """A rail by which benefits are paid, for amounts of some size (W11).

    SmartLife needs it (mobile money below UGX 3,000,000, a verified bank account from there) and APY (the same bank account
    that paid, another only with proof; a penny-drop check of the name). It takes amounts from `from_amount` on and below
    `below_amount`; of several the lowest `rank` that the payee has an account for. The rail pays no less than
    `least_payable` and whole `step`s only: what it cannot pay stays the member's. Before paying, the account's name is
    compared with the member's: they must agree to `least_match_bp` of the check's score. `account` may have to be the one
    that contributions came from, unless `exception_documents` are there. Where a payee was paid to another account before,
    a new one is paid no sooner than `cooling_off_days` days after it was first named.
    """

    many: ClassVar[bool] = True
    may_apply_by: ClassVar[tuple[AppliesBy, ...]] = BY_EVENT
    rail: Code
    rank: Annotated[int, Meta(ge=1, le=99, description="a number from 1 to 99, the lowest first")]
    from_amount: Figure | None = None
    below_amount: Figure | None = None
    least_payable: Figure | None = None
    step: Figure | None = None
    name_check: Literal["none", "before-first-payment", "before-each-payment"]
    least_match_bp: Bp | None = None
    account: Literal["any", "verified", "that-paid-in"]
    exception_documents: tuple[Code, ...] = ()
    cooling_off_days: Annotated[int, Meta(ge=1, le=366, description="days, from 1 to 366")] | None = None

    def __post_init__(self) -> None:
        """Check that a check of the name has its measure, and exceptions their rule."""
        if (self.name_check != "none") != (self.least_match_bp is not None):
            raise ValueError("least_match_bp is needed where the name is checked, and nowhere else")
        if self.exception_documents and self.account != "that-paid-in":
            raise ValueError('exception_documents need account = "that-paid-in"')

    def overlaps(self, other: Self) -> bool:
        """Return whether both could be the first to take an amount: of one rank, for amounts that meet or are not written out."""

        def ends(first: Figure | None, second: Figure | None) -> bool:
            return isinstance(first, str) and isinstance(second, str) and Decimal(first) <= Decimal(second)

        meet = not ends(self.below_amount, other.from_amount) and not ends(other.below_amount, self.from_amount)
        return self.rank == other.rank and meet


@dataclass(frozen=True, slots=True, kw_only=True)
class PayeeAccount:
    """An account of the payee on a rail, and what is known of it. `match_bp` is the name check's score, if it was made."""

    rail: str
    is_verified: bool = False
    paid_in: bool = False
    was_paid_before: bool = False
    match_bp: int | None = None
    documents: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Route:
    """The rail, what it pays, and what stays the member's because the rail cannot pay it; smallest units."""

    rail: str
    paid_minor: int
    stays_minor: int
    reason: Literal["", "below-least-payable", "not-whole-steps"]
    rules: tuple[str, ...]


def route_payout(
    rules: Sequence[InForce[PayoutRouteRule]],
    minor: int,
    accounts: Sequence[PayeeAccount],
    figures: Figures,
    on: date,
) -> Route:
    """Return how an amount (> 0) is paid; `paid` + `stays` = the amount.

    Raises:
        NoRail: no rail takes the amount for which the payee has an account.
        AccountNotChecked: the account is not verified, not the one that paid in, or its name was not compared yet.
        NameDiffers: the account's name is not the member's.
    """
    by_rail = {one.rail: one for one in accounts}
    for found in sorted(rules, key=lambda one: (one.rule.rank, one.rule.id)):
        rule = found.rule
        if rule.rail in by_rail and takes(rule, minor, figures, on):
            _check_account(rule, by_rail[rule.rail])
            return _paid(found, minor, figures, on)
    raise NoRail


def takes(rule: PayoutRouteRule, minor: int, figures: Figures, on: date) -> bool:
    """Return whether a rail takes amounts of this size."""
    enough = rule.from_amount is None or minor >= figures.amount(rule.from_amount, on).units
    return enough and (rule.below_amount is None or minor < figures.amount(rule.below_amount, on).units)


def _check_account(rule: PayoutRouteRule, account: PayeeAccount) -> None:
    if rule.account == "that-paid-in" and not account.paid_in:
        missing = [one for one in rule.exception_documents if one not in account.documents]
        if not rule.exception_documents:
            raise AccountNotChecked(rail=rule.rail)
        if missing:
            raise DocumentsNeeded(missing=", ".join(missing))
    if rule.account == "verified" and not account.is_verified:
        raise AccountNotChecked(rail=rule.rail)
    if rule.name_check == "none" or (rule.name_check == "before-first-payment" and account.was_paid_before):
        return
    if account.match_bp is None:
        raise AccountNotChecked(rail=rule.rail)
    if account.match_bp < (rule.least_match_bp or 0):
        raise NameDiffers(rail=rule.rail)


def _paid(found: InForce[PayoutRouteRule], minor: int, figures: Figures, on: date) -> Route:
    rule = found.rule
    step = figures.amount(rule.step, on).units if rule.step is not None else 1
    paid = minor - minor % step
    if rule.least_payable is not None and paid < figures.amount(rule.least_payable, on).units:
        return Route(rule.rail, 0, minor, "below-least-payable", (found.ref,))
    return Route(rule.rail, paid, minor - paid, "not-whole-steps" if paid < minor else "", (found.ref,))


def run_payout(context: ScenarioContext) -> Mapping[str, str]:
    """Decide a pack's example of a payout: given the `amount` and `accounts = [{ rail, verified, paid_in, … }]`.

    Returns `rail`, `paid`, `stays` and `reason`.

    Raises:
        NoRail, AccountNotChecked, NameDiffers, DocumentsNeeded: see there.
    """
    given, figures, asset = Given.of(context), context.figures, context.asset
    accounts = [
        PayeeAccount(
            rail=one.text("rail"),
            is_verified=one.flag("verified"),
            paid_in=one.flag("paid_in"),
            was_paid_before=one.flag("paid_before"),
            match_bp=one.whole("match_bp") if one.has("match_bp") else None,
            documents=frozenset(one.texts("documents")),
        )
        for one in given.rows("accounts")
    ]
    amount, rules = given.minor("amount"), context.rules(PayoutRouteRule)
    rails = {one.rail: one for one in accounts}
    for found in rules:
        for name in ("from_amount", "below_amount", "least_payable"):
            figure = getattr(found.rule, name)
            if figure is not None and found.rule.rail in rails:
                context.compare(found, name, amount, figures.amount(figure, context.on).units)
        account = rails.get(found.rule.rail)
        if account is not None and account.match_bp is not None and found.rule.least_match_bp is not None:
            context.compare(found, "least_match_bp", account.match_bp, found.rule.least_match_bp)
    route = route_payout(rules, amount, accounts, figures, context.on)
    return {
        "rail": route.rail,
        "paid": in_major(route.paid_minor, asset),
        "stays": in_major(route.stays_minor, asset),
        "reason": route.reason,
    }
