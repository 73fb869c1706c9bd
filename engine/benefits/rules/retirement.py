"""How a benefit may be taken: by the size of the balance, as a lump sum, instalments, an annuity or drawn down. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct

from engine.benefits.errors import LumpSumOutOfRange, NoSuchRule, OptionNotOpen, RestTooSmall, YearsOutOfRange
from engine.benefits.rules.consuming import ConsumptionOrder, holdings_given, reachable
from engine.benefits.rules.parameters import WHOLE_BP, Bp, EveryMonths, Years, share_of
from engine.funds.rules import Given, in_major
from engine.kernel.months import months_after
from engine.kernel.rounding import Rounding, rounded
from engine.kernel.rules import Rule
from engine.kernel.series import Figure, Figures, SeriesCode
from engine.tenancy.rules.books import InForce
from engine.tenancy.rules.manifest import Code
from engine.tenancy.rules.proving import ScenarioContext


class InstalmentTerms(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Instalments over a number of years that the member chooses between `least_years` and `most_years`.

    `amount` is fixed at the start (and then follows the index `indexed_by`, as of `index_lag_months` before each
    payment), or is each time what is unpaid divided by the instalments that are left. `unpaid_earns` says whether the
    unpaid balance goes on earning. The last instalment takes what rounding left.
    """

    least_years: Years
    most_years: Years
    every_months: EveryMonths
    amount: Literal["fixed", "unpaid-over-left"]
    indexed_by: SeriesCode | None = None
    index_lag_months: int = 0
    unpaid_earns: bool
    first_due: Literal["at-once", "after-one-period"]
    rounding: Rounding

    def __post_init__(self) -> None:
        """Check the years, and that only a fixed amount is indexed."""
        if not 1 <= self.least_years <= self.most_years:
            raise ValueError("least_years is 1 or more and not above most_years")
        if self.indexed_by is not None and self.amount != "fixed":
            raise ValueError("indexed_by raises a fixed amount; what is unpaid over what is left follows the balance")


class RetirementOptionRule(Rule, tag="retirement-option", frozen=True, kw_only=True):
    """One way to take the benefit, open to balances of some size (W6) on some grounds.

    EjoHeza needs it: RWF 4,000,000 or more gives a quarter at once and the rest monthly over 20 years, indexed; less gives
    all at once, or instalments as the member chooses. NPS-Lite: 60 % at most at once, the rest an annuity; Nigeria: all at
    once below NGN 500,000, else programmed withdrawal or annuity; Ghana's retirement account: monthly or quarterly only;
    Mbao: all, or half and the rest monthly. It is open from `from_balance` on and below `below_balance`, of the money that
    `order` reaches. The lump sum is between `least_lump_bp` and `most_lump_bp`; the `rest` is taken as said. A rest that
    gives less a period than `least_periodic` refuses the choice. `documents`, such as a spouse's consent, must be there
    before it is decided; for `cooling_off_days` days after that the member may still change the choice. A fixed pension
    is paid from the member's own pot, or from the pension pool of the role `pooled_with`, which gets the whole rest at the
    choice, units sold for it (APY, whose state guarantees what the pool lacks). An annuity is bought from the role `insurer`,
    who gets the whole rest; without one the rest stays where it is, for the member to take elsewhere.
    """

    many: ClassVar[bool] = True
    grounds: tuple[Code, ...]
    order: ConsumptionOrder
    from_balance: Figure | None = None
    below_balance: Figure | None = None
    least_lump_bp: Bp
    most_lump_bp: Bp
    lump_rounding: Rounding
    rest: Literal["none", "instalments", "annuity", "programmed-withdrawal", "fixed-pension"]
    instalments: InstalmentTerms | None = None
    pooled_with: Code | None = None
    insurer: Code | None = None
    least_periodic: Figure | None = None
    documents: tuple[Code, ...] = ()
    cooling_off_days: Annotated[int, Meta(ge=1, le=366, description="days, from 1 to 366")] | None = None

    def __post_init__(self) -> None:
        """Check that the shares leave a rest where there is one."""
        if self.least_lump_bp > self.most_lump_bp:
            raise ValueError("least_lump_bp is above most_lump_bp")
        if (self.rest == "none") != (self.least_lump_bp == WHOLE_BP):
            raise ValueError('rest = "none" is an option of one lump sum: least_lump_bp = 10000')
        if (self.rest == "instalments") != (self.instalments is not None):
            raise ValueError('rest = "instalments" needs instalments, and they need it')
        if self.pooled_with is not None and self.rest != "fixed-pension":
            raise ValueError('pooled_with needs rest = "fixed-pension": what the pool pays does not follow the balance')
        if self.insurer is not None and self.rest != "annuity":
            raise ValueError('insurer needs rest = "annuity"')
        if self.least_periodic is not None and self.instalments is None:
            raise ValueError("least_periodic needs instalments; other forms have limits of their own")


@dataclass(frozen=True, slots=True, kw_only=True)
class RetirementPlan:
    """A choice worked out, smallest units: `lump` + `rest` = the balance; instalments where the rest is paid so."""

    lump_minor: int
    rest_minor: int
    rest: str
    instalments: int
    instalment_minor: int
    first_due_on: date | None
    rules: tuple[str, ...]


def is_open(rule: RetirementOptionRule, balance_minor: int, ground: str, figures: Figures, on: date) -> bool:
    """Return whether an option is open to a balance on a ground."""
    enough = rule.from_balance is None or balance_minor >= figures.amount(rule.from_balance, on).units
    small = rule.below_balance is None or balance_minor < figures.amount(rule.below_balance, on).units
    return enough and small and ground in rule.grounds


def plan_retirement(
    found: InForce[RetirementOptionRule],
    balance_minor: int,
    figures: Figures,
    *,
    on: date,
    ground: str,
    lump_bp: int,
    years: int = 0,
) -> RetirementPlan:
    """Return what an option pays, if it is open and the member's choice lies within it.

    Args:
        found: the option chosen.
        balance_minor: the money it is taken from, smallest units.
        figures: what the option's amounts are worth.
        on: the first day of the benefit.
        ground: why it is taken: "retirement", "disability".
        lump_bp: the share chosen as a lump sum, basis points.
        years: over how many years instalments are chosen.

    Raises:
        OptionNotOpen, LumpSumOutOfRange, YearsOutOfRange, RestTooSmall: see there.

    """
    rule, terms = found.rule, found.rule.instalments
    if not is_open(rule, balance_minor, ground, figures, on):
        raise OptionNotOpen(option=rule.id)
    if not rule.least_lump_bp <= lump_bp <= rule.most_lump_bp:
        raise LumpSumOutOfRange(least_bp=rule.least_lump_bp, most_bp=rule.most_lump_bp)
    lump = share_of(balance_minor, lump_bp, rule.lump_rounding)
    rest = balance_minor - lump
    if terms is None:
        return RetirementPlan(
            lump_minor=lump, rest_minor=rest, rest=rule.rest, instalments=0, instalment_minor=0, first_due_on=None,
            rules=(found.ref,),
        )  # fmt: skip
    if not terms.least_years <= years <= terms.most_years:
        raise YearsOutOfRange(least=terms.least_years, most=terms.most_years)
    each = instalment_of(rest, terms, years)
    if rule.least_periodic is not None and each < figures.amount(rule.least_periodic, on).units:
        raise RestTooSmall(least=str(figures.amount(rule.least_periodic, on).decimal()))
    return RetirementPlan(
        lump_minor=lump,
        rest_minor=rest,
        rest=rule.rest,
        instalments=years * 12 // terms.every_months,
        instalment_minor=each,
        first_due_on=on if terms.first_due == "at-once" else months_after(on, terms.every_months),
        rules=(found.ref,),
    )


def instalment_of(rest_minor: int, terms: InstalmentTerms, years: int) -> int:
    """Return the first instalment of a rest paid over some years (> 0), rounded as the terms say."""
    return rounded(Fraction(rest_minor * terms.every_months, years * 12), terms.rounding)


@dataclass(frozen=True, slots=True)
class InstalmentPaid:
    """One instalment: what is due, what the unpaid balance pays of it, and what it lacks."""

    due_minor: int
    paid_minor: int
    lacking_minor: int


def next_instalment(
    terms: InstalmentTerms, plan: RetirementPlan, *, number: int, unpaid_minor: int, index: Fraction = Fraction(1)
) -> InstalmentPaid:
    """Return an instalment of a plan.

    Args:
        terms: the instalments' terms.
        plan: the choice that began them.
        number: which one, from 1.
        unpaid_minor: the balance not paid yet, with what it earned where it earns, >= 0.
        index: the index for this payment over that for the first.

    A fixed amount is due in full even where the balance lacks it: who pays then is for the `payers` rule to say. The last
    instalment of a plan without index is what is left.

    """
    left = plan.instalments - number + 1
    if terms.amount == "unpaid-over-left":
        due = unpaid_minor if left == 1 else rounded(Fraction(unpaid_minor, left), terms.rounding)
    elif left == 1 and terms.indexed_by is None:
        due = unpaid_minor
    else:
        due = rounded(plan.instalment_minor * index, terms.rounding)
    paid = min(due, unpaid_minor)
    return InstalmentPaid(due, paid, due - paid)


def index_ratio(terms: InstalmentTerms, figures: Figures, *, first_on: date, on: date) -> Fraction:
    """Return by how much a payment of `on` is raised over that of `first_on`; 1 where nothing is indexed."""
    if terms.indexed_by is None:
        return Fraction(1)
    lag = terms.index_lag_months
    return Fraction(figures.value(terms.indexed_by, on, lag_months=lag)) / Fraction(
        figures.value(terms.indexed_by, first_on, lag_months=lag)
    )


def run_retirement(context: ScenarioContext) -> Mapping[str, str]:
    """Decide a pack's example of a retirement choice, with the benefit beginning on the example's date.

    Given the `option`, `ground`, `holdings`, the `lump_bp` and `years` chosen; and for a later payment its `number`, `unpaid`
    and the day it is `due_on`, returns `lump`, `rest`, `form`, `pooled_with`, `instalments`, `instalment`, `first_due_on`, or
    `due`, `paid` and `lacking`.

    Raises:
        NoSuchRule: there is no such option; else as `plan_retirement`.
    """
    given, figures, asset = Given.of(context), context.figures, context.asset
    found = next((one for one in context.rules(RetirementOptionRule) if one.rule.id == given.text("option")), None)
    if found is None:
        raise NoSuchRule(rule=given.text("option"))
    rule = found.rule
    holdings = holdings_given(given)
    balance, lump_bp = reachable(holdings, rule.order), given.whole("lump_bp")
    years = given.whole("years", 0)
    _compare_choice(context, found, balance, lump_bp, years)
    plan = plan_retirement(
        found, balance, figures, on=context.on, ground=given.text("ground"), lump_bp=lump_bp, years=years
    )
    if rule.instalments is not None and given.has("number"):
        first_on = plan.first_due_on or context.on
        paid = next_instalment(
            rule.instalments,
            plan,
            number=given.whole("number"),
            unpaid_minor=given.minor("unpaid"),
            index=index_ratio(rule.instalments, figures, first_on=first_on, on=given.day("due_on")),
        )
        parts = {"due": paid.due_minor, "paid": paid.paid_minor, "lacking": paid.lacking_minor}
        return {name: in_major(minor, asset) for name, minor in parts.items()}
    outcome = {
        "lump": in_major(plan.lump_minor, asset),
        "rest": in_major(plan.rest_minor, asset),
        "form": plan.rest,
        "pooled_with": rule.pooled_with or "",
    }
    if plan.first_due_on is not None:
        outcome |= {
            "instalments": str(plan.instalments),
            "instalment": in_major(plan.instalment_minor, asset),
            "first_due_on": plan.first_due_on.isoformat(),
        }
    return outcome


def _compare_choice(
    context: ScenarioContext, found: InForce[RetirementOptionRule], balance: int, lump_bp: int, years: int
) -> None:
    rule, figures = found.rule, context.figures
    for name in ("from_balance", "below_balance"):
        figure = getattr(rule, name)
        if figure is not None:
            context.compare(found, name, balance, figures.amount(figure, context.on).units)
    for name in ("least_lump_bp", "most_lump_bp"):
        if 0 < getattr(rule, name) < WHOLE_BP:
            context.compare(found, name, lump_bp, getattr(rule, name))
    if rule.instalments is not None:
        context.compare(found, "instalments.least_years", years, rule.instalments.least_years)
        context.compare(found, "instalments.most_years", years, rule.instalments.most_years)
        if rule.least_periodic is not None and years:
            least = figures.amount(rule.least_periodic, context.on).units
            rest = balance - share_of(balance, lump_bp, rule.lump_rounding)
            context.compare(found, "least_periodic", instalment_of(rest, rule.instalments, years), least)
