"""What a member is charged: fees, their bands, holidays and caps, and which money pays them. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction
from math import floor
from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct

from engine.benefits.errors import FeeNotCovered, NoSuchRule
from engine.benefits.rules.consuming import (
    Consumed,
    ConsumptionOrder,
    Holding,
    consume,
    holdings_given,
    reachable,
    remaining,
)
from engine.benefits.rules.parameters import Months, Percent, percent_of
from engine.funds.rules import Given, in_major
from engine.kernel.amounts import Amount
from engine.kernel.months import months_after
from engine.kernel.rounding import Rounding, rounded
from engine.kernel.rules import BY_COHORT, AppliesBy, Rule, RuleId
from engine.kernel.series import Figure, Figures, SeriesCode
from engine.kernel.tables import LookupTable
from engine.tenancy.rules.books import InForce
from engine.tenancy.rules.manifest import Code
from engine.tenancy.rules.proving import ScenarioContext

Charged = Literal[
    "opening", "year", "quarter", "month", "day", "contribution", "withdrawal", "switch", "account-check", "exit"
]
Reason = Literal["", "small-balance", "holiday", "part-period", "capped"]
PERIODS = ("year", "quarter", "month", "day")
"""What a fee is charged for where it is charged for a time, not for an act."""
PART_OF_YEAR = {"year": Fraction(1), "quarter": Fraction(1, 4), "month": Fraction(1, 12), "day": Fraction(1, 365)}


class FeeBand(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is charged from a balance on: an amount, or percent."""

    from_balance: Figure
    amount: Figure | None = None
    percent: Percent | None = None

    def __post_init__(self) -> None:
        """Check that one of the two is said."""
        if (self.amount is None) == (self.percent is None):
            raise ValueError("a band has either amount or percent")


class FeeRule(Rule, tag="fee", frozen=True, kw_only=True):
    """A charge on a member (R5), by bands of balance where there are `bands` (R6).

    NPS and APY need it: INR 15 to open and 15 a year, nothing a transaction, nothing of an account without money; NPS
    private charges by band; Mbao takes a small fee on early exit. `percent` is of the transaction, or of the assets: then
    it is a year's, and each charge takes its period's part (a day is 1/365). Bands charge by the band that the balance is
    in ("whole"), or each slice of the balance at its own percent ("slices"). Each charge is at least `least` and at most
    `most`; nothing is due on a balance of `waived_up_to` or less, nor in the first `waived_months` after joining. A first
    period that is not whole is charged whole, by its days, or not. The fee is kept back from the `contribution`, taken
    from `cash`, raised by cancelling `units`, or `billed`; `order` says which pot and origin it consumes first. When
    several fees meet too little money, the lower `rank` goes first, which is no other fee's, and this one takes what is there, is waived, is owed
    whole until there is enough, or stops the act (`when_short`). `assets_on` "each-day" charges what was there at the end
    of each day of the period, a day's part each, rounded once. `vat` is percent of the fee, and comes on top of it.
    Unless it `may_empty` what it is taken from, the last smallest unit of that stays.
    """

    many: ClassVar[bool] = True
    one_for: ClassVar[tuple[str, ...]] = ("rank",)
    may_apply_by: ClassVar[tuple[AppliesBy, ...]] = BY_COHORT
    charged: Charged
    payee: Code
    amount: Figure | None = None
    percent: Percent | None = None
    percent_of: Literal["transaction", "assets"] | None = None
    assets_on: Literal["charge", "each-day"] = "charge"
    bands: tuple[FeeBand, ...] = ()
    banding: Literal["whole", "slices"] | None = None
    vat: Percent | None = None
    least: Figure | None = None
    most: Figure | None = None
    waived_up_to: Figure | None = None
    waived_months: Months = 0
    part_period: Literal["whole", "days", "nothing"]
    taken_from: Literal["contribution", "cash", "units", "billed"]
    order: ConsumptionOrder | None = None
    may_empty: bool = False
    rank: Annotated[int, Meta(ge=1, le=99, description="a number from 1 to 99, the lowest first")]
    when_short: Literal["take-what-is-there", "waive", "owe", "refuse"]
    rounding: Rounding

    def __post_init__(self) -> None:
        """Check that the charge and its way are said once."""
        if sum((self.amount is not None, self.percent is not None, bool(self.bands))) != 1:
            raise ValueError("a fee has one of amount, percent and bands")
        if (self.percent is not None) != (self.percent_of is not None):
            raise ValueError("percent needs percent_of, and that needs it")
        if bool(self.bands) != (self.banding is not None):
            raise ValueError("bands need banding, and that needs them")
        if self.banding == "slices" and any(one.percent is None for one in self.bands):
            raise ValueError('banding = "slices" needs percent in each band')
        if (self.order is not None) != (self.taken_from in ("cash", "units")):
            raise ValueError("order is needed where a fee is taken from cash or units, and nowhere else")
        if self.assets_on == "each-day" and (self.percent_of != "assets" or self.charged not in PERIODS):
            raise ValueError('assets_on = "each-day" needs percent of assets, charged for a period')
        if self.assets_on == "each-day" and self.taken_from == "units":
            raise ValueError('assets_on = "each-day" is not served for money in funds')

    @property
    def vat_share(self) -> Fraction:
        """Return the tax on one unit of the fee."""
        return Fraction(self.vat or "0") / 100


class FeeCapRule(Rule, tag="fee-cap", frozen=True, kw_only=True):
    """The most that a regulator allows some fees to be, for each charge or all of them in a scheme year (R5).

    The recordkeeping fees of NPS need it, capped from 1 October 2025. `most` says it, or the `column` of a `table` whose
    keys the case gives (which agency keeps the account). What is above the cap is not charged. Where it `includes_vat`, what
    is charged and the tax on it stay below it together.
    """

    many: ClassVar[bool] = True
    may_apply_by: ClassVar[tuple[AppliesBy, ...]] = BY_COHORT
    fees: Annotated[tuple[RuleId, ...], Meta(min_length=1)]
    per: Literal["charge", "scheme-year"]
    most: Figure | None = None
    table: SeriesCode | None = None
    column: str | None = None
    includes_vat: bool = False

    def __post_init__(self) -> None:
        """Check that the cap is said once."""
        if (self.most is None) == (self.table is None) or (self.table is None) != (self.column is None):
            raise ValueError("a cap has either most, or table and column")


@dataclass(frozen=True, slots=True, kw_only=True)
class FeeCase:
    """What a fee is charged on, smallest units; `period_from` begins the period that is charged, where there is one.

    `asset_days` is the sum of what was there at the end of each of its days. `left_on` is the first day that the member no
    longer belonged to the scheme. `charged_in_year` is without the tax on it, which is in `vat_in_year`.
    """

    on: date
    joined_on: date
    left_on: date | None = None
    transaction_minor: int = 0
    assets_minor: int = 0
    asset_days: int = 0
    period_from: date | None = None
    period_until: date | None = None
    charged_in_year: Mapping[str, int] = field(default_factory=dict)
    vat_in_year: Mapping[str, int] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FeeDue:
    """A fee and what is due of it with its tax, smallest units; where that is less than the charge, why."""

    found: InForce[FeeRule]
    minor: int
    reason: Reason
    rules: tuple[str, ...]
    vat_minor: int = 0


@dataclass(frozen=True, slots=True)
class FeeTaken:
    """What was taken of a fee that was due, what is still owed, and the money that paid it."""

    due: FeeDue
    minor: int
    owed_minor: int
    parts: tuple[Holding, ...]


def fee_due(
    found: InForce[FeeRule],
    case: FeeCase,
    figures: Figures,
    *,
    caps: Sequence[InForce[FeeCapRule]] = (),
    tables: Mapping[str, LookupTable] | None = None,
) -> FeeDue:
    """Return what is due of a fee, rounded once as the fee says, after its limits and before its caps; tax on what is left.

    Tax is rounded as the fee is. A cap that includes it leaves the most whole fee that stays below it with its tax.
    """
    return fees_due(found, (case,), figures, caps=caps, tables=tables)


def fees_due(
    found: InForce[FeeRule],
    cases: Sequence[FeeCase],
    figures: Figures,
    *,
    caps: Sequence[InForce[FeeCapRule]] = (),
    tables: Mapping[str, LookupTable] | None = None,
) -> FeeDue:
    """Return what is due of a fee for several acts of a scheme year: each is rounded on its own, tax once on all of them."""
    rule = found.rule
    own = [cap for cap in caps if rule.id in cap.rule.fees]

    def room(case: FeeCase, per: str) -> int | None:
        rooms = [
            below_with_vat(left, rule.vat_share) if cap.rule.includes_vat else left
            for cap in own
            if cap.rule.per == per
            for left in [cap_minor(cap.rule, case, figures, tables or {}) - _charged_before(cap.rule, case)]
        ]
        return max(min(rooms), 0) if rooms else None

    net, reasons = 0, set[Reason]()
    for case in cases:
        due, reason = _due(rule, case, figures)
        most = room(case, "charge") if due else None
        capped = most is not None and due > most
        net += most if most is not None and capped else due
        reasons.add("capped" if capped else reason)
    most = room(cases[-1], "scheme-year") if net else None
    if most is not None and net > most:
        net, reasons = most, {"capped"}
    vat = rounded(net * rule.vat_share, rule.rounding)
    refs = (found.ref, *(cap.ref for cap in own)) if reasons <= {"", "part-period", "capped"} else (found.ref,)
    return FeeDue(found, net + vat, reasons.pop() if len(reasons) == 1 else "", refs, vat)


def _due(rule: FeeRule, case: FeeCase, figures: Figures) -> tuple[int, Reason]:
    """Return what one act or period is charged before caps and tax, and why it is not the whole charge."""
    if rule.waived_up_to is not None and case.assets_minor <= figures.amount(rule.waived_up_to, case.on).units:
        return 0, "small-balance"
    if rule.waived_months and case.on < months_after(case.joined_on, rule.waived_months):
        return 0, "holiday"
    part = _part_of_period(rule, case)
    if part == 0:
        return 0, "part-period"
    exact = _charge(rule, case, figures) * part
    if rule.least is not None:
        exact = max(exact, Fraction(figures.amount(rule.least, case.on).units))
    if rule.most is not None:
        exact = min(exact, Fraction(figures.amount(rule.most, case.on).units))
    return rounded(exact, rule.rounding), "part-period" if part < 1 else ""


def below_with_vat(minor: int, vat_share: Fraction) -> int:
    """Return the most whole fee that, with tax of `vat_share` on one unit however rounded, is at most `minor`."""
    return floor(minor / (1 + vat_share))


def cap_minor(rule: FeeCapRule, case: FeeCase, figures: Figures, tables: Mapping[str, LookupTable]) -> int:
    """Return the cap in smallest units; TableValueMissing where the table has no such row."""
    if rule.most is not None:
        return figures.amount(rule.most, case.on).units
    assert rule.table is not None and rule.column is not None, rule
    return Amount.parse(tables[rule.table].text(rule.column, **case.keys), figures.asset).units


def take_fees(
    dues: Sequence[FeeDue], holdings: Sequence[Holding], *, contribution_minor: int = 0
) -> tuple[tuple[FeeTaken, ...], int]:
    """Take fees in the order of their ranks.

    Args:
        dues: fees that are due.
        holdings: what the member has, in cash or in what units are worth.
        contribution_minor: the contribution from which fees may be kept back, >= 0.

    Returns:
        What became of each fee, and what is left of the contribution. No holding goes below zero.

    Raises:
        FeeNotCovered: there is too little for a fee that stops the act.

    """
    taken: list[FeeTaken] = []
    for due in sorted(dues, key=lambda one: (one.found.rule.rank, one.found.rule.id)):
        rule = due.found.rule
        if rule.taken_from == "billed":
            taken.append(FeeTaken(due, 0, due.minor, ()))
            continue
        if rule.order is None:
            there = Consumed((), max(due.minor - contribution_minor, 0))
            paid = min(due.minor, contribution_minor)
        else:
            room = max(reachable(holdings, rule.order) - (not rule.may_empty), 0)
            there = consume(min(due.minor, room), holdings, rule.order)
            paid = there.minor
        if paid < due.minor and rule.when_short != "take-what-is-there":
            if rule.when_short == "refuse":
                raise FeeNotCovered(fee=rule.id)
            taken.append(FeeTaken(due, 0, due.minor if rule.when_short == "owe" else 0, ()))
            continue
        contribution_minor -= paid if rule.order is None else 0
        holdings = remaining(holdings, there)
        taken.append(FeeTaken(due, paid, 0, there.parts))
    return tuple(taken), contribution_minor


def _charge(rule: FeeRule, case: FeeCase, figures: Figures) -> Fraction:
    """Return the charge of a whole period or act, before limits."""
    if rule.amount is not None:
        return Fraction(figures.amount(rule.amount, case.on).units)
    if rule.percent is not None and rule.percent_of == "transaction":
        return percent_of(case.transaction_minor, rule.percent)
    if rule.percent is not None and rule.assets_on == "each-day":
        return percent_of(case.asset_days, rule.percent) * PART_OF_YEAR["day"]
    yearly = Fraction(0)
    if rule.percent is not None:
        yearly = percent_of(case.assets_minor, rule.percent)
    starts = [(figures.amount(one.from_balance, case.on).units, one) for one in rule.bands]
    reached = sorted((pair for pair in starts if pair[0] <= case.assets_minor), key=lambda pair: pair[0])
    if reached and rule.banding == "whole":
        band = reached[-1][1]
        if band.amount is not None:
            return Fraction(figures.amount(band.amount, case.on).units)
        yearly = percent_of(case.assets_minor, band.percent or "0")
    elif reached:
        ends = [*(start for start, _ in reached[1:]), case.assets_minor]
        slices = zip(reached, ends, strict=True)
        yearly = sum((percent_of(end - start, one.percent or "0") for (start, one), end in slices), Fraction(0))
    return yearly * PART_OF_YEAR.get(rule.charged, Fraction(1))


def _part_of_period(rule: FeeRule, case: FeeCase) -> Fraction:
    """Return what part of the charged period the member belonged to the scheme, as far as the fee asks for it."""
    if case.period_from is None or case.period_until is None:
        return Fraction(1)
    since, until = max(case.joined_on, case.period_from), min(case.left_on or case.period_until, case.period_until)
    if rule.part_period == "whole" or (since, until) == (case.period_from, case.period_until):
        return Fraction(1)
    # What is charged for each day's assets is charged for the days there were.
    if rule.part_period == "nothing" or rule.assets_on == "each-day":
        return Fraction(rule.part_period == "days")
    return Fraction(max((until - since).days, 0), (case.period_until - case.period_from).days)


def _charged_before(rule: FeeCapRule, case: FeeCase) -> int:
    if rule.per == "charge":
        return 0
    net = sum(case.charged_in_year.get(one, 0) for one in rule.fees)
    return net + sum(case.vat_in_year.get(one, 0) for one in rule.fees) if rule.includes_vat else net


def run_fees(context: ScenarioContext) -> Mapping[str, str]:
    """Decide a pack's example of fees, for a member who joined on the example's `joined_on`.

    Given the ids of the `fees`, `transaction`, `assets`, `asset_days`, `contribution`, `period_from`, `period_until` and
    `left_on`, `charged_in_year` and `vat_in_year` by fee, the caps' `keys` and `holdings = [{ pot, origin, amount }]`,
    returns for each fee `<fee>.due`, of which `<fee>.vat`, `<fee>.taken`, `<fee>.owed`, `<fee>.reason`,
    `<fee>.parts.<pot>.<origin>`, and `contribution` as left.

    Raises:
        NoSuchRule: there is no such fee.
        FeeNotCovered: see there.
    """
    given, figures, asset = Given.of(context), context.figures, context.asset
    case = FeeCase(
        on=context.on,
        joined_on=context.joined_on or context.on,
        transaction_minor=given.minor("transaction", 0),
        assets_minor=given.minor("assets", 0),
        asset_days=given.minor("asset_days", 0),
        left_on=given.maybe_day("left_on"),
        period_from=given.maybe_day("period_from"),
        period_until=given.maybe_day("period_until"),
        charged_in_year=given.amounts("charged_in_year"),
        vat_in_year=given.amounts("vat_in_year"),
        keys=given.table("keys"),
    )
    rules = {one.rule.id: one for one in context.rules(FeeRule)}
    caps = [one for one in context.rules(FeeCapRule) if set(one.rule.fees) & set(given.texts("fees"))]
    dues = []
    for fee in given.texts("fees"):
        if fee not in rules:
            raise NoSuchRule(rule=fee)
        _compare_thresholds(context, rules[fee], case)
        dues.append(fee_due(rules[fee], case, figures, caps=caps, tables=context.pack.tables))
    holdings = holdings_given(given)
    taken, left = take_fees(dues, holdings, contribution_minor=given.minor("contribution", 0))
    outcome = {"contribution": in_major(left, asset)}
    for one in taken:
        fee = one.due.found.rule.id
        outcome |= {
            f"{fee}.due": in_major(one.due.minor, asset),
            f"{fee}.vat": in_major(one.due.vat_minor, asset),
            f"{fee}.taken": in_major(one.minor, asset),
            f"{fee}.owed": in_major(one.owed_minor, asset),
            f"{fee}.reason": one.due.reason,
            **{f"{fee}.parts.{part.pot}.{part.origin}": in_major(part.minor, asset) for part in one.parts},
        }
    return outcome


def _compare_thresholds(context: ScenarioContext, found: InForce[FeeRule], case: FeeCase) -> None:
    rule, figures = found.rule, context.figures
    if rule.waived_up_to is not None:
        limit = figures.amount(rule.waived_up_to, case.on).units
        if limit:
            context.compare(found, "waived_up_to", case.assets_minor, limit)
    if rule.waived_months:
        ends = months_after(case.joined_on, rule.waived_months)
        context.compare(found, "waived_months", case.on.toordinal(), ends.toordinal())
    for row, band in enumerate(rule.bands, 1):
        start = figures.amount(band.from_balance, case.on).units
        if start:
            context.compare(found, f"bands[{row}].from_balance", case.assets_minor, start)
    charge = rounded(_charge(rule, case, figures), rule.rounding)
    for name, limit_figure in (("least", rule.least), ("most", rule.most)):
        if limit_figure is not None:
            context.compare(found, name, charge, figures.amount(limit_figure, case.on).units)
