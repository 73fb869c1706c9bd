"""What a member may expect at retirement: an illustration under stated assumptions, never shown without them. Pure.

Time runs in whole months from the day of the projection. Pots are calculated by closed form where nothing is rounded on
the way, and month by month where the scheme credits rounded returns; figures are rounded once, last, one by one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Generic, Literal, TypeVar

from engine.benefits.rules.annuities import (
    WHOLE_BP,
    Basis,
    PaymentTerms,
    Rate,
    Rounding,
    Timing,
    accumulated,
    geometric_sum,
    payment,
)
from engine.kernel.months import months_after, whole_months

YEAR = 12
MONTH = Fraction(1, YEAR)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Assumption(Generic[T]):
    """A figure nobody can know, where it is from, how sure that is, and in `words` what is assumed."""

    value: T
    source: str
    confidence: Literal["high", "medium", "low"]
    words: str = ""

    def __post_init__(self) -> None:
        if self.confidence == "low" and not self.words:
            raise ValueError(f"an assumption of low confidence says in words what is assumed ({self.source})")


@dataclass(frozen=True, slots=True)
class Outlook:
    """How savings may do: a yearly return, before charges; `is_real` if it comes on top of inflation."""

    name: Literal["cautious", "expected", "favourable"]
    returns: Assumption[Rate]
    is_real: bool


@dataclass(frozen=True, slots=True)
class Annuity:
    """What the pot is turned into: who it is paid to and for how long, and on what terms."""

    basis: Basis
    terms: PaymentTerms


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumptions:
    """All that a projection assumes.

    A twelfth of `charges_bp` (basis points a year) is taken from the pot at each month's end. Contributions rise by
    `contribution_growth` (1/100 = 1 %, nominal) each year from the day of the projection.
    """

    outlooks: tuple[Outlook, Outlook, Outlook]
    inflation: Assumption[Rate]
    charges_bp: Assumption[int]
    contribution_growth: Assumption[Fraction]
    annuity: Assumption[Annuity]

    def nominal(self, outlook: Outlook) -> Rate:
        """Return the outlook's nominal return before charges."""
        rate = outlook.returns.value
        return rate.above(self.inflation.value) if outlook.is_real else rate

    def net_growth(self, outlook: Outlook) -> "Growth":
        """Return what savings grow by after charges."""
        return Growth.of(self.nominal(outlook), charges_bp=self.charges_bp.value)


@dataclass(frozen=True, slots=True)
class Growth:
    """What 1 becomes in a `month`, and in a `year`; month^12 is the year but for the root's last decimal."""

    month: Fraction
    year: Fraction

    @classmethod
    def of(cls, rate: Rate, *, charges_bp: int = 0) -> "Growth":
        """Return the growth at `rate`, less a twelfth of `charges_bp` of the pot at each month's end."""
        kept = 1 - Fraction(charges_bp, WHOLE_BP * YEAR)
        return cls(rate.growth(MONTH) * kept, rate.growth() * kept**YEAR)

    def over(self, months: int) -> Fraction:
        """Return what 1 becomes in `months`."""
        years, rest = divmod(months, YEAR)
        return self.year**years * self.month**rest


@dataclass(frozen=True, slots=True, kw_only=True)
class SavingPlan:
    """What a member has and goes on paying. Money in smallest units.

    `contribution` is paid `times_a_year` (365, 52, 12, 4, 2 or 1), up to but not on `contributions_until`. What is paid
    by the day or the week is taken as 365 or 52 equal payments a year, a twelfth of them each month. `timing` says
    whether a payment counts from the start of its month (or quarter, half-year, year) or from its end. `match` is what
    others add for each year of the projection, at the end of that year, or on `benefit_on` if that is sooner. `lump_bp`
    of the pot is paid at once.
    """

    starts_on: date
    contributions_until: date
    benefit_on: date
    balance: int
    contribution: int
    times_a_year: Literal[365, 52, 12, 4, 2, 1]
    timing: Timing
    match: tuple[int, ...] = ()
    lump_bp: int = 0

    def __post_init__(self) -> None:
        if not self.starts_on <= self.contributions_until <= self.benefit_on:
            raise ValueError(
                "the plan starts, then contributions end, then the benefit begins; these dates say otherwise"
            )
        if min(self.balance, self.contribution, *self.match) < 0 or not 0 <= self.lump_bp <= WHOLE_BP:
            raise ValueError("amounts are not negative, and a lump sum is at most the whole pot")
        if len(self.match) > -(-self.months // YEAR):
            raise ValueError(
                f"{len(self.match)} yearly amounts of match are more than the {self.months} months have years"
            )

    @property
    def months(self) -> int:
        """Whole months until the benefit begins."""
        return whole_months(self.starts_on, self.benefit_on)

    @property
    def paying_months(self) -> int:
        """Whole months in which contributions are paid."""
        return whole_months(self.starts_on, self.contributions_until)

    @property
    def gap(self) -> int:
        """Months from one payment to the next; what is paid more often is put together by the month."""
        return max(1, YEAR // self.times_a_year)

    @property
    def each(self) -> Fraction:
        """What is paid every `gap` months of the first year."""
        return self.contribution * Fraction(self.times_a_year * self.gap, YEAR)

    def payments_in(self, months: int) -> int:
        """Return how many payments fall within the first `months` of a year."""
        return months // self.gap if self.timing == "arrears" else -(-months // self.gap)

    def match_months(self) -> Iterator[tuple[int, int]]:
        """Return each year's match with the months after which it is added."""
        for year, amount in enumerate(self.match, start=1):
            yield min(year * YEAR, self.months), amount


@dataclass(frozen=True, slots=True)
class Row:
    """Where a projection stands on a day: all paid in and added by others so far, and the pot, nominal and in today's money."""

    on: date
    paid_in: int
    matched: int
    pot: int
    pot_today: int


@dataclass(frozen=True, slots=True)
class Illustration:
    """One outlook's figures, in smallest units: the pot at retirement, the lump sum, and each payment of the first year.

    `…_today` is the same in the money of the day of the projection. `payments_a_year` says how often `income` is paid.
    """

    outlook: Outlook
    pot: int
    pot_today: int
    lump: int
    lump_today: int
    income: int
    income_today: int
    payments_a_year: int
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Projection:
    """A member's illustrations, cautious to favourable, with all that they assume."""

    plan: SavingPlan
    assumptions: Assumptions
    illustrations: tuple[Illustration, ...]


@dataclass(frozen=True, slots=True)
class PromisedIncome:
    """A pension that a table or formula of the scheme promises: exact, and in today's money under one assumption."""

    amount: int
    amount_today: int
    inflation: Assumption[Rate]


def project(
    plan: SavingPlan, assumptions: Assumptions, *, rounding: Rounding, credited: Rounding | None = None
) -> Projection:
    """Return what `plan` may come to in each outlook.

    Args:
        plan: what is there, what is paid and until when.
        assumptions: all that is assumed.
        rounding: how each figure is rounded for people, after everything else.
        credited: how the scheme rounds each month's return after charges, if it does.

    Every figure is rounded from its exact value, so an illustration's figures need not add up to the last unit.
    """
    shown = tuple(_illustrate(plan, assumptions, outlook, rounding, credited) for outlook in assumptions.outlooks)
    return Projection(plan, assumptions, shown)


def promised_income(amount: int, plan_months: int, inflation: Assumption[Rate], rounding: Rounding) -> PromisedIncome:
    """Return a promised payment of `amount` that begins after `plan_months`, with its worth in today's money."""
    return PromisedIncome(amount, rounding.money(amount / Growth.of(inflation.value).over(plan_months)), inflation)


def _illustrate(
    plan: SavingPlan, assumptions: Assumptions, outlook: Outlook, rounding: Rounding, credited: Rounding | None
) -> Illustration:
    growth, prices = assumptions.net_growth(outlook), Growth.of(assumptions.inflation.value)
    steps = assumptions.contribution_growth.value
    simulated = simulate(plan, growth, steps, credited=credited) if credited else None
    months = [*range(0, plan.months, YEAR), plan.months]
    pots = {at: simulated[at] if simulated else pot_after(plan, growth, steps, at) for at in months}
    rows = tuple(
        Row(
            on=months_after(plan.starts_on, at),
            paid_in=rounding.money(paid_in(plan, steps, at)),
            matched=sum(amount for added_at, amount in plan.match_months() if added_at <= at),
            pot=rounding.money(pots[at]),
            pot_today=rounding.money(pots[at] / prices.over(at)),
        )
        for at in months
    )
    pot, deflator, annuity = pots[plan.months], prices.over(plan.months), assumptions.annuity.value
    lump = pot * plan.lump_bp / WHOLE_BP
    income = payment(pot - lump, annuity.basis, annuity.terms)
    return Illustration(
        outlook=outlook,
        pot=rounding.money(pot),
        pot_today=rounding.money(pot / deflator),
        lump=rounding.money(lump),
        lump_today=rounding.money(lump / deflator),
        income=rounding.money(income),
        income_today=rounding.money(income / deflator),
        payments_a_year=annuity.terms.per_year,
        rows=rows,
    )


def paid_in(plan: SavingPlan, contribution_growth: Fraction, months: int) -> Fraction:
    """Return what the member has paid in by the end of `months`, the balance at the start apart."""
    years, rest = divmod(min(months, plan.paying_months), YEAR)
    rise = 1 + contribution_growth
    whole = plan.payments_in(YEAR) * geometric_sum(rise, years)
    return plan.each * (whole + plan.payments_in(rest) * rise**years)


def pot_after(plan: SavingPlan, growth: Growth, contribution_growth: Fraction, months: int) -> Fraction:
    """Return the pot at the end of `months` by closed form, exactly.

    A year's payments come to c × s at its end (`accumulated`), s for its `gap`s. With Y a year's growth and H that of
    contributions, n whole years of them come to c × s × (Y^n - H^n) ÷ (Y - H), or c × s × n × Y^(n - 1) if Y = H
    (payments in geometric progression: Donald, ch. 4; Bowers, 5.2); a year begun is added, and all grows on to the end.
    """
    paying = min(months, plan.paying_months)
    years, rest = divmod(paying, YEAR)
    rise = 1 + contribution_growth
    rising = growth.year ** (years - 1) * geometric_sum(rise / growth.year, years) if years else Fraction(0)
    total = plan.balance * growth.over(months)
    total += plan.each * rising * _year_comes_to(plan, growth, YEAR) * growth.over(months - years * YEAR)
    total += plan.each * rise**years * _year_comes_to(plan, growth, rest) * growth.over(months - paying)
    return total + sum(amount * growth.over(months - at) for at, amount in plan.match_months() if at <= months)


def _year_comes_to(plan: SavingPlan, growth: Growth, months: int) -> Fraction:
    """Return what payments of 1 within the first `months` of a year come to at the end of those months."""
    count, gap_growth = plan.payments_in(months), growth.month**plan.gap
    after_last = months - count * plan.gap
    return accumulated(count, gap_growth, plan.timing) * growth.month**after_last


def simulate(
    plan: SavingPlan, growth: Growth, contribution_growth: Fraction, *, credited: Rounding | None = None
) -> list[Fraction]:
    """Return the pot at the start and at the end of each month, step by step.

    With `credited`, each month's return after charges is rounded before it is added, as such a scheme's books do.
    """
    pots, added = [Fraction(plan.balance)], list(plan.match_months())
    for month in range(plan.months):
        due = plan.each * (1 + contribution_growth) ** (month // YEAR) if month < plan.paying_months else Fraction(0)
        pot = pots[-1] + (due if plan.timing == "advance" and month % plan.gap == 0 else 0)
        gained = pot * (growth.month - 1)
        pot += credited.apply(gained) if credited else gained
        pot += due if plan.timing == "arrears" and (month + 1) % plan.gap == 0 else 0
        pots.append(pot + sum(amount for at, amount in added if at == month + 1))
    return pots
