"""What one contribution may be: free within limits, one of several tiers, or fixed by a published chart or formula."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Annotated, Literal

from msgspec import Meta

from engine.contributions.errors import AboveMaximum, BelowMinimum, NotAMultiple, NotATier, NotTheInstalment
from engine.kernel.amounts import Amount, Asset
from engine.kernel.rounding import Rounding, rounded
from engine.kernel.rules import Rule
from engine.kernel.series import Figure, Figures, SeriesCode
from engine.kernel.tables import LookupTable, TableValueMissing

Frequency = Literal["daily", "weekly", "monthly", "quarterly", "half-yearly", "yearly", "seasonal"]
MONTHS_OF: Mapping[str, int] = {"monthly": 1, "quarterly": 3, "half-yearly": 6, "yearly": 12}
Column = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,39}$", description="a column of the table")]


class AmountRule(Rule, tag="contribution-amount", frozen=True, kw_only=True):
    """What one contribution may be (C1): at least, at most, a multiple of, or one of several tiers; in major units.

    EjoHeza and Haba Haba take any amount, NPS-Lite a least one, Hifadhi one of two tiers.
    """

    minimum: Figure
    maximum: Figure | None = None
    multiple_of: Figure | None = None
    tiers: tuple[Figure, ...] = ()


class ChartRule(Rule, tag="contribution-chart", frozen=True, kw_only=True):
    """An instalment read from a published chart (C1, T4): by entry age, by slab where there are several, by frequency.

    `columns` names the chart's column for each frequency it is published for. `takes` says what a member may pay:
    exactly one instalment, several at once, or any part of one (C2). APY (age, slab, frequency) and PM-SYM (age).
    """

    table: SeriesCode
    columns: Mapping[Frequency, Column]
    slabs: tuple[str, ...] = ()
    takes: Literal["one", "whole-instalments", "any-part"]


class InstalmentFormulaRule(Rule, tag="instalment-formula", frozen=True, kw_only=True):
    """An instalment worked out from a monthly one by a named formula, for frequencies no chart is published for (T5).

    "advance-annuity": the monthly instalment × (1 + v + … + v^(n-1)), v = 1 / (1 + `yearly_rate` / 12), n the months of
    the frequency: what n instalments paid one by one in advance are worth at the first (Donald, Compound Interest and
    Annuities-Certain, ch. 3). APY's quarterly and half-yearly charts follow it at 8 % in all but one published figure.
    """

    formula: Literal["advance-annuity"]
    yearly_rate: Annotated[str, Meta(pattern=r"^0(\.[0-9]{1,6})?$", description='a rate such as "0.08"')]
    rounding: Rounding
    step: Figure
    frequencies: Annotated[tuple[Frequency, ...], Meta(min_length=1)]

    def __post_init__(self) -> None:
        """Check that every frequency is one of whole months."""
        others = [one for one in self.frequencies if one not in MONTHS_OF]
        if others:
            raise ValueError(f"{', '.join(others)} is not a frequency of whole months")


class DeclaredIncomeRule(Rule, tag="declared-income", frozen=True, kw_only=True):
    """Contributions as a share of an income that the member declares, changed at most so often a scheme year (E9).

    Ghana's SEED: 13.5 % of a declared monthly income, adjustable once a year.
    """

    share_bp: Annotated[int, Meta(ge=1, le=10_000)]
    changes_a_year: Annotated[int, Meta(ge=0, le=12)]
    minimum: Figure
    maximum: Figure | None = None
    rounding: Rounding


@dataclass(frozen=True, slots=True)
class AmountLimits:
    """The limits that an amount rule sets on a day, worked out in the scheme's money."""

    minimum: Amount
    maximum: Amount | None
    multiple_of: Amount | None
    tiers: tuple[Amount, ...]

    @classmethod
    def of(cls, rule: AmountRule, figures: Figures, on: date) -> "AmountLimits":
        """Return the limits of a rule on a day.

        Raises:
            SeriesValueMissing: a limit is a multiple of a series without a value then.
        """
        return cls(
            figures.amount(rule.minimum, on),
            None if rule.maximum is None else figures.amount(rule.maximum, on),
            None if rule.multiple_of is None else figures.amount(rule.multiple_of, on),
            tuple(figures.amount(one, on) for one in rule.tiers),
        )

    def check(self, amount: Amount) -> None:
        """Refuse an amount outside the limits.

        Raises:
            BelowMinimum, AboveMaximum, NotAMultiple, NotATier: see there.
        """
        if amount < self.minimum:
            raise BelowMinimum(minimum=str(self.minimum.decimal()))
        if self.maximum is not None and self.maximum < amount:
            raise AboveMaximum(maximum=str(self.maximum.decimal()))
        if self.multiple_of is not None and amount.units % self.multiple_of.units:
            raise NotAMultiple(multiple=str(self.multiple_of.decimal()))
        if self.tiers and amount not in self.tiers:
            raise NotATier(allowed=", ".join(str(one.decimal()) for one in self.tiers))


def charted_instalment(
    rule: ChartRule, table: LookupTable, *, entry_age: int, slab: str, frequency: Frequency, asset: Asset
) -> Amount:
    """Return the instalment that the chart publishes.

    Args:
        rule: the chart's rule.
        table: its table; its keys are `age`, and `slab` where the rule has slabs.
        entry_age: in years, as the scheme counts it.
        slab: the member's choice; "" where there is none.
        frequency: how often the member pays.
        asset: the scheme's money.

    Raises:
        TableValueMissing: the chart has nothing for these, or the scheme does not offer the slab.
    """
    if rule.slabs and slab not in rule.slabs:
        raise TableValueMissing(table=rule.table, keys=f"slab {slab}")
    keys: dict[str, object] = {"age": entry_age, **({"slab": slab} if rule.slabs else {})}
    return Amount.parse(table.text(rule.columns.get(frequency, frequency), **keys), asset)


def check_instalment(paid: Amount, instalment: Amount, takes: str) -> int:
    """Return how many whole instalments a payment is.

    Raises:
        NotTheInstalment: the scheme takes one, or whole ones, and this is neither.
    """
    whole, part = divmod(paid.units, instalment.units)
    if (takes == "one" and paid != instalment) or (takes == "whole-instalments" and (part or not whole)):
        raise NotTheInstalment(instalment=str(instalment.decimal()))
    return whole


def formula_instalment(rule: InstalmentFormulaRule, monthly: Amount, frequency: Frequency, step: Amount) -> Amount:
    """Return the instalment of another frequency that a monthly one is worth, rounded to `step` as the rule says."""
    v = 1 / (1 + Fraction(rule.yearly_rate) / 12)
    worth = monthly.units * sum((v**month for month in range(MONTHS_OF[frequency])), Fraction(0))
    return Amount(rounded(worth, rule.rounding, step=step.units), monthly.asset)


def declared_contribution(rule: DeclaredIncomeRule, income: Amount) -> Amount:
    """Return the contribution due on a declared income."""
    return Amount(rounded(Fraction(income.units * rule.share_bp, 10_000), rule.rounding), income.asset)
