"""What one contribution may be: free within limits, one of several tiers, whole instalments, or a share of an income."""

from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Annotated, ClassVar

from msgspec import Meta

from engine.contributions.errors import AboveMaximum, BelowMinimum, NotAMultiple, NotATier, NotTheInstalment
from engine.kernel.amounts import Amount
from engine.kernel.rounding import Rounding, rounded
from engine.kernel.rules import Rule
from engine.kernel.series import Figure, Figures


class AmountRule(Rule, tag="contribution-amount", frozen=True, kw_only=True):
    """What one contribution may be (C1): at least, at most, a multiple of, or one of several tiers; in major units.

    EjoHeza and Haba Haba take any amount, NPS-Lite a least one, Hifadhi one of two tiers.
    """

    minimum: Figure
    maximum: Figure | None = None
    multiple_of: Figure | None = None
    tiers: tuple[Figure, ...] = ()


class DeclaredIncomeRule(Rule, tag="declared-income", frozen=True, kw_only=True):
    """Contributions as a share of an income that the member declares, changed at most so often a scheme year (E9).

    Ghana's SEED: 13.5 % of a declared monthly income, adjustable once a year.
    """

    is_carried_out: ClassVar[bool] = False

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


def check_instalment(paid: Amount, instalment: Amount, takes: str) -> int:
    """Return how many whole instalments a payment is.

    Raises:
        NotTheInstalment: the scheme takes one, or whole ones, and this is neither.
    """
    whole, part = divmod(paid.units, instalment.units)
    if (takes == "one" and paid != instalment) or (takes == "whole-instalments" and (part or not whole)):
        raise NotTheInstalment(instalment=str(instalment.decimal()))
    return whole


def declared_contribution(rule: DeclaredIncomeRule, income: Amount) -> Amount:
    """Return the contribution due on a declared income."""
    return Amount(rounded(Fraction(income.units * rule.share_bp, 10_000), rule.rounding), income.asset)
