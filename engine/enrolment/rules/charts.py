"""Instalments that schemes publish by chart or work out by formula: by entry age, by slab, by frequency. Pure."""

from collections.abc import Mapping
from fractions import Fraction
from typing import Annotated, Literal

from msgspec import Meta

from engine.kernel.amounts import Amount, Asset
from engine.kernel.rounding import Rounding, rounded
from engine.kernel.rules import Rule
from engine.kernel.series import Figure, SeriesCode
from engine.kernel.tables import LookupTable, TableValueMissing

Frequency = Literal["daily", "weekly", "monthly", "quarterly", "half-yearly", "yearly", "seasonal"]
MONTHS_OF: Mapping[str, int] = {"monthly": 1, "quarterly": 3, "half-yearly": 6, "yearly": 12}
Column = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,39}$", description="a column of the table")]


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


def formula_instalment(rule: InstalmentFormulaRule, monthly: Amount, frequency: Frequency, step: Amount) -> Amount:
    """Return the instalment of another frequency that a monthly one is worth, rounded to `step` as the rule says."""
    v = 1 / (1 + Fraction(rule.yearly_rate) / 12)
    worth = monthly.units * sum((v**month for month in range(MONTHS_OF[frequency])), Fraction(0))
    return Amount(rounded(worth, rule.rounding, step=step.units), monthly.asset)
