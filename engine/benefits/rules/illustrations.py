"""What a scheme assumes when it tells a member what to expect, and the figures that follow from it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Annotated, Literal, TypeVar

from msgspec import Meta, Struct

from engine.benefits.errors import NoProjection
from engine.benefits.rules.ages import BenefitAgeRule, benefit_start
from engine.benefits.rules.annuities import (
    WHOLE_BP,
    Basis,
    Certain,
    Joint,
    Life,
    MortalityTable,
    PaymentTerms,
    Rate,
    Rounding,
    Timing,
)
from engine.benefits.rules.parameters import Bp, Percent, Years
from engine.benefits.rules.pensions import PensionCase, PensionRule, pension_payment
from engine.benefits.rules.projection import (
    Annuity,
    Assumption,
    Assumptions,
    Outlook,
    Projection,
    PromisedIncome,
    SavingPlan,
    project,
    promised_income,
)
from engine.funds.rules import Given, in_major
from engine.kernel.months import age_on
from engine.kernel.rules import Rule, RuleId
from engine.kernel.series import Figures, SeriesCode
from engine.kernel.tables import LookupTable
from engine.tenancy.rules.books import InForce
from engine.tenancy.rules.proving import ScenarioContext

T = TypeVar("T")
Frequency = Literal[365, 52, 12, 4, 2, 1]


class AnnuityAssumed(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the rest of the pot buys: paid `payments_a_year` times, `percent` a year, rising by `rise_percent` a year.

    Of basis "certain" for `years` whoever lives; "life" by the deaths of `mortality` (a table of `q` by `age`); "joint" so
    that `to_spouse_bp` goes on for a spouse `spouse_younger_years` younger; for `guaranteed_years` at least.
    """

    basis: Literal["certain", "life", "joint"]
    years: Annotated[int, Meta(ge=1, le=60)] | None = None
    mortality: SeriesCode | None = None
    guaranteed_years: Years = 0
    spouse_younger_years: Annotated[int, Meta(ge=-30, le=30)] | None = None
    to_spouse_bp: Bp | None = None
    percent: Percent
    rise_percent: Percent
    payments_a_year: Literal[1, 2, 4, 6, 12]
    paid: Timing

    def __post_init__(self) -> None:
        """Check that the basis has what it needs, and nothing else."""
        if (self.basis == "certain") != (self.years is not None):
            raise ValueError('basis = "certain" needs years, and that needs it')
        if (self.basis == "certain") == (self.mortality is not None):
            raise ValueError("an annuity on lives needs mortality, and that needs it")
        of_two = (self.spouse_younger_years is not None, self.to_spouse_bp is not None)
        if of_two != (self.basis == "joint",) * 2:
            raise ValueError('basis = "joint" needs spouse_younger_years and to_spouse_bp, and they need it')
        if self.basis == "certain" and self.guaranteed_years:
            raise ValueError("an annuity certain is guaranteed for its years")


class ProjectionRule(Rule, tag="projection", frozen=True, kw_only=True):
    """What is assumed when a member is told what to expect at retirement, in money of then and of today.

    Every scheme needs it that tells its savers more than their balance. Three yearly returns, nominal or real (above
    `inflation_percent`), compounded `compounded` times a year; `charges_bp` of the pot a year are taken from them.
    Contributions rise by `contributions_rise_percent` each year, and count from the start or the end of their period;
    `credited` is how the scheme rounds each month's return, where it does. On the benefit's first day `lump_bp` is paid
    at once, and the rest buys an `annuity`. With `pension`, that rule promises a payment, told exactly beside the outlooks.
    """

    cautious_percent: Percent
    expected_percent: Percent
    favourable_percent: Percent
    returns: Literal["nominal", "real"]
    compounded: Literal[1, 2, 4, 12] = 1
    inflation_percent: Percent
    charges_bp: Bp
    contributions_rise_percent: Percent
    contributions: Timing
    credited: Literal["down", "up", "half-up", "half-even"] | None = None
    lump_bp: Bp
    annuity: AnnuityAssumed | None = None
    pension: RuleId | None = None
    rounding: Literal["down", "up", "half-up", "half-even"]

    def __post_init__(self) -> None:
        """Check that the outlooks rise, and that what is not paid at once buys something."""
        rates = [Fraction(one) for one in (self.cautious_percent, self.expected_percent, self.favourable_percent)]
        if sorted(rates) != rates:
            raise ValueError(
                "cautious_percent, expected_percent and favourable_percent must rise or stay the same, in this order; they "
                f"are {self.cautious_percent}, {self.expected_percent} and {self.favourable_percent}"
            )
        if (self.annuity is None) != (self.lump_bp == WHOLE_BP):
            raise ValueError("a lump_bp below 10000 needs an annuity, and that needs it")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prospect:
    """What a member's projection begins with: who they are, what is there, what they pay and what is added each year.

    Money in smallest units. `match` is by year of the projection; `keys` are those of the promised pension's table.
    """

    on: date
    born_on: date
    sex: str
    counted_from: date
    balance: int
    contribution: int
    times_a_year: Frequency
    match: Sequence[int] = ()
    keys: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Illustrated:
    """A projection under a scheme's assumptions, and the promised pension, where the scheme promises one."""

    projection: Projection
    promised: PromisedIncome | None
    rules: tuple[str, ...]

    @property
    def benefit_on(self) -> date:
        """Return the day on which the benefit begins."""
        return self.projection.plan.benefit_on


def benefit_begins(age: InForce[BenefitAgeRule], prospect: Prospect) -> date:
    """Return the day on which a member's benefit begins; today, where that has passed.

    Raises:
        NoBenefitAge: the rule has no age for them.
    """
    start = benefit_start(
        age, born_on=prospect.born_on, sex=prospect.sex, counted_from=prospect.counted_from, on=prospect.on
    )
    return max(start.day, prospect.on)


def illustrate(
    found: InForce[ProjectionRule],
    age: InForce[BenefitAgeRule],
    pension: InForce[PensionRule] | None,
    prospect: Prospect,
    figures: Figures,
    tables: Mapping[str, LookupTable],
) -> Illustrated:
    """Return what a member may expect, under the assumptions of a rule.

    Args:
        found: the assumptions.
        age: from when the benefit is due; contributions are paid until then.
        pension: the pension that `found` names, if it names one.
        prospect: the member's.
        figures: what the scheme's figures are worth.
        tables: the scheme's tables: of deaths, and the pension's.

    Raises:
        NoBenefitAge, TableValueMissing, SeriesValueMissing: the rules have nothing for this member.
    """
    rule = found.rule
    begins = benefit_begins(age, prospect)
    plan = SavingPlan(
        starts_on=prospect.on,
        contributions_until=begins,
        benefit_on=begins,
        balance=prospect.balance,
        contribution=prospect.contribution,
        times_a_year=prospect.times_a_year,
        timing=rule.contributions,
        match=tuple(prospect.match),
        lump_bp=rule.lump_bp,
    )
    credited = None if rule.credited is None else Rounding(rule.credited)
    assumptions = _assumptions(found.rule, age_on(prospect.born_on, begins, age.rule.leap_day), tables)
    projection = project(plan, assumptions, rounding=Rounding(rule.rounding), credited=credited)
    if pension is None:
        return Illustrated(projection, None, (found.ref, age.ref))
    case = PensionCase(on=prospect.on, started_on=prospect.on, keys=prospect.keys)
    each = pension_payment(pension, case, figures, tables)
    promised = promised_income(each.paid_minor, plan.months, assumptions.inflation, Rounding(rule.rounding))
    return Illustrated(projection, promised, (found.ref, age.ref, pension.ref))


def _assumptions(rule: ProjectionRule, age: int, tables: Mapping[str, LookupTable]) -> Assumptions:
    def stated(value: T) -> Assumption[T]:
        return Assumption(value, rule.source, rule.confidence, rule.assumption)

    def outlook(name: Literal["cautious", "expected", "favourable"], percent: str) -> Outlook:
        return Outlook(name, stated(Rate(_share(percent), rule.compounded)), rule.returns == "real")

    return Assumptions(
        outlooks=(
            outlook("cautious", rule.cautious_percent),
            outlook("expected", rule.expected_percent),
            outlook("favourable", rule.favourable_percent),
        ),
        inflation=stated(Rate(_share(rule.inflation_percent))),
        charges_bp=stated(rule.charges_bp),
        contribution_growth=stated(_share(rule.contributions_rise_percent)),
        annuity=stated(_annuity(rule.annuity, age, tables)),
    )


def _annuity(assumed: AnnuityAssumed | None, age: int, tables: Mapping[str, LookupTable]) -> Annuity:
    if assumed is None:
        return Annuity(Certain(1), PaymentTerms(rate=Rate(Fraction(0)), per_year=1))
    terms = PaymentTerms(
        rate=Rate(_share(assumed.percent)),
        per_year=assumed.payments_a_year,
        timing=assumed.paid,
        indexation=_share(assumed.rise_percent),
    )
    return Annuity(_basis(assumed, age, tables), terms)


def _basis(assumed: AnnuityAssumed, age: int, tables: Mapping[str, LookupTable]) -> Basis:
    if assumed.years is not None:
        return Certain(assumed.years)
    assert assumed.mortality is not None, assumed
    table = _mortality(tables[assumed.mortality])
    if assumed.spouse_younger_years is None or assumed.to_spouse_bp is None:
        return Life(table=table, age=age, guaranteed_years=assumed.guaranteed_years)
    return Joint(
        first=Life(table=table, age=age),
        second=Life(table=table, age=age - assumed.spouse_younger_years),
        to_second_bp=assumed.to_spouse_bp,
        guaranteed_years=assumed.guaranteed_years,
    )


def _mortality(table: LookupTable) -> MortalityTable:
    """Return the deaths of a table with the key `age` and the column `q`, its ages without a gap.

    The pages of a pack are checked before they are served, so a table that is not so is the pack's own mistake.
    """
    by_age = {int(keys[0]): Fraction(row["q"]) for keys, row in table.rows.items()}
    first = min(by_age)
    return MortalityTable(table.code, table.code, first, tuple(by_age[first + years] for years in range(len(by_age))))


def _share(percent: str) -> Fraction:
    return Fraction(percent) / 100


def run_projection(context: ScenarioContext) -> Mapping[str, str]:
    """Decide a pack's example of what a member of the example's `born_on` may expect.

    Given the `balance`, the `contribution` paid `times_a_year`, the `match` added by year, `sex`, and the `keys` of the
    promised pension's table, returns `benefit_on`, `promised`, `promised_today`, and of each outlook its `pot`,
    `pot_today`, `lump`, `lump_today`, `income` and `income_today`.

    Raises:
        NoProjection: the product has no projection, or no benefit age to project to; else as `illustrate`.
    """
    given, asset = Given.of(context), context.asset
    found, age = context.rule(ProjectionRule), context.rule(BenefitAgeRule)
    if found is None or age is None:
        raise NoProjection
    pension = next((one for one in context.rules(PensionRule) if one.rule.id == found.rule.pension), None)
    prospect = Prospect(
        on=context.on,
        born_on=context.dates.born_on or given.day("born_on"),
        sex=given.text("sex", ""),
        counted_from=context.joined_on or context.on,
        balance=given.minor("balance"),
        contribution=given.minor("contribution"),
        times_a_year=_frequency(given.whole("times_a_year")),
        match=tuple(one.minor("amount") for one in given.rows("match")),
        keys=given.table("keys"),
    )
    one = illustrate(found, age, pension, prospect, context.figures, context.pack.tables)
    told = {"benefit_on": one.benefit_on.isoformat()}
    if one.promised is not None:
        told |= {
            "promised": in_major(one.promised.amount, asset),
            "promised_today": in_major(one.promised.amount_today, asset),
        }
    for shown in one.projection.illustrations:
        for name in ("pot", "pot_today", "lump", "lump_today", "income", "income_today"):
            told[f"{shown.outlook.name}.{name}"] = in_major(getattr(shown, name), asset)
    return told


def _frequency(times: int) -> Frequency:
    for known in (365, 52, 12, 4, 2, 1):
        if times == known:
            return known
    raise ValueError(f"contributions are paid 365, 52, 12, 4, 2 or 1 times a year, not {times}")
