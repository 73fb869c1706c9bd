"""Leaving before the benefit age: what a leaver gets by how long they were in, and what they forfeit. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import ClassVar, Literal, Self

from engine.benefits.errors import NoExit
from engine.benefits.rules.parameters import Bp, Origin, Years, share_of
from engine.funds.rules import Benchmark, Given, Movement, benchmark_interest, in_major
from engine.kernel.months import LeapDay, anniversary
from engine.kernel.rules import Rule
from engine.kernel.series import Figures
from engine.tenancy.rules.books import InForce
from engine.tenancy.rules.manifest import Code
from engine.tenancy.rules.proving import ScenarioContext


class EarlyExitRule(Rule, tag="early-exit", frozen=True, kw_only=True):
    """What whoever leaves early is paid, on a ground and after some years in the scheme (W5).

    PM-SYM needs it: before ten years the own share with savings-bank interest, from ten on with the higher of that and
    the fund's; APY: the own contributions with the fund's income, state money and its income forfeited; NPS-Lite: 80 % at
    least to an annuity. It holds from `from_years` (reached on the anniversary of joining or of the first contribution)
    up to and without `until_years`. Money of the `pays` origins is paid with the income that `income` says: what the fund
    earned, interest at `benchmark`, the higher of the two, or none. All other origins are forfeited with their income to
    the role `forfeited_to`, and so is fund income of the paid origins that is not paid. Where a benchmark gives more than
    the fund holds, `tops_up` pays the difference. `annuity_bp` of what is paid must buy an annuity.
    Two rules that could decide the same leaver are refused.
    """

    many: ClassVar[bool] = True
    ground: Code
    from_years: Years
    until_years: Years | None = None
    counted_from: Literal["joining", "first-contribution"]
    leap_day: LeapDay
    pays: tuple[Origin, ...]
    income: Literal["fund", "benchmark", "higher", "none"]
    benchmark: Benchmark | None = None
    forfeited_to: Code
    tops_up: Code | None = None
    annuity_bp: Bp = 0

    def __post_init__(self) -> None:
        """Check the years, and that a benchmark has who tops up."""
        if self.until_years is not None and self.until_years <= self.from_years:
            raise ValueError(f"until_years {self.until_years} is not above from_years {self.from_years}")
        needs = self.income in ("benchmark", "higher")
        if needs != (self.benchmark is not None) or needs != (self.tops_up is not None):
            raise ValueError('income = "benchmark" and "higher" need benchmark and tops_up, and no other does')

    def overlaps(self, other: Self) -> bool:
        """Return whether a leaver could go by both: one ground, and years that meet or are counted differently."""
        if self.ground != other.ground:
            return False
        if (self.counted_from, self.leap_day) != (other.counted_from, other.leap_day):
            return True
        first, second = sorted((self, other), key=lambda one: one.from_years)
        return first.until_years is None or first.until_years > second.from_years


@dataclass(frozen=True, slots=True)
class OriginMoney:
    """Money of one origin: what was paid in (out: negative), and what the fund holds for it now, smallest units."""

    origin: str
    paid: tuple[Movement, ...]
    fund_minor: int

    @property
    def paid_minor(self) -> int:
        """Return the contributions without income."""
        return sum(one.minor for one in self.paid)


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlyExit:
    """What a leaver is paid: `paid` = `contributions` + `income`; what `fund` money is forfeited; who tops up."""

    contributions_minor: int
    income_minor: int
    basis: Literal["fund", "benchmark", "none"]
    top_up_minor: int
    topped_up_by: str
    forfeited_minor: int
    forfeited_to: str
    annuity_minor: int
    rules: tuple[str, ...]

    @property
    def paid_minor(self) -> int:
        """Return all that the leaver is paid, the part for an annuity included."""
        return self.contributions_minor + self.income_minor


def exit_rule(
    rules: Sequence[InForce[EarlyExitRule]], *, ground: str, joined_on: date, first_paid_on: date, on: date
) -> InForce[EarlyExitRule]:
    """Return the rule by which someone leaves on a ground; NoExit if there is none."""
    for found in rules:
        rule = found.rule
        since = joined_on if rule.counted_from == "joining" else first_paid_on
        is_reached = on >= anniversary(since, rule.from_years, rule.leap_day)
        is_past = rule.until_years is not None and on >= anniversary(since, rule.until_years, rule.leap_day)
        if rule.ground == ground and is_reached and not is_past:
            return found
    raise NoExit(ground=ground)


def leave(found: InForce[EarlyExitRule], money: Sequence[OriginMoney], on: date, figures: Figures) -> EarlyExit:
    """Return what a leaver gets; every smallest unit that the fund holds is either paid or forfeited.

    A fund that lost money pays what it holds; only a benchmark is topped up.
    """
    rule = found.rule
    paid = [one for one in money if one.origin in rule.pays]
    contributions, held = sum(one.paid_minor for one in paid), sum(one.fund_minor for one in paid)
    forfeited = sum(one.fund_minor for one in money) - held
    basis: Literal["fund", "benchmark", "none"] = "none" if rule.income == "none" else "fund"
    worth = held if rule.income != "none" else min(held, contributions)
    if rule.benchmark is not None:
        moved = tuple(movement for one in paid for movement in one.paid)
        benchmark = contributions + benchmark_interest(rule.benchmark, moved, on, figures)
        if rule.income == "benchmark" or benchmark > held:
            basis, worth = "benchmark", benchmark
    return EarlyExit(
        contributions_minor=min(contributions, worth),
        income_minor=max(worth - contributions, 0),
        basis=basis,
        top_up_minor=max(worth - held, 0),
        topped_up_by=(rule.tops_up or "") if worth > held else "",
        forfeited_minor=forfeited + max(held - worth, 0),
        forfeited_to=rule.forfeited_to,
        annuity_minor=share_of(worth, rule.annuity_bp, "up"),
        rules=(found.ref,),
    )


def run_early_exit(context: ScenarioContext) -> Mapping[str, str]:
    """Decide a pack's example of leaving, for a member who joined on the example's `joined_on`.

    Given the `ground` and `money = [{ origin, fund, paid = [{ on, amount }] }]`, returns `paid`, `contributions`, `income`,
    `basis`, `top_up`, `topped_up_by`, `forfeited`, `forfeited_to` and `annuity`.

    Raises:
        NoExit: one cannot leave on this ground now.
    """
    given, asset = Given.of(context), context.asset
    money = [
        OriginMoney(
            row.text("origin"),
            tuple(Movement(one.day("on"), one.minor("amount")) for one in row.rows("paid")),
            row.minor("fund"),
        )
        for row in given.rows("money")
    ]
    joined_on = context.joined_on or context.on
    first_paid_on = min((one.on for row in money for one in row.paid), default=context.on)
    rules = [one for one in context.rules(EarlyExitRule) if one.rule.ground == given.text("ground")]
    for one in rules:
        since = joined_on if one.rule.counted_from == "joining" else first_paid_on
        for name in ("from_years", "until_years"):
            years = getattr(one.rule, name)
            if years:
                reached = anniversary(since, years, one.rule.leap_day).toordinal()
                context.compare(one, name, context.on.toordinal(), reached)
    found = exit_rule(
        rules, ground=given.text("ground"), joined_on=joined_on, first_paid_on=first_paid_on, on=context.on
    )
    left = leave(found, money, context.on, context.figures)
    return {
        "paid": in_major(left.paid_minor, asset),
        "contributions": in_major(left.contributions_minor, asset),
        "income": in_major(left.income_minor, asset),
        "basis": left.basis,
        "top_up": in_major(left.top_up_minor, asset),
        "topped_up_by": left.topped_up_by,
        "forfeited": in_major(left.forfeited_minor, asset),
        "forfeited_to": left.forfeited_to,
        "annuity": in_major(left.annuity_minor, asset),
    }
