"""What one contribution may be: free within limits, one of several tiers, whole instalments, or a share of an income."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from typing import Annotated

from msgspec import Meta

from engine.contributions.errors import (
    AboveMaximum,
    BelowMinimum,
    DeclaredFrom,
    NotAMultiple,
    NotATier,
    NotTheInstalment,
)
from engine.enrolment.errors import ChangedTooOften
from engine.kernel.amounts import Amount
from engine.kernel.rounding import Rounding, rounded
from engine.kernel.rules import Rule
from engine.kernel.series import Figure, Figures

MOST_DAYS_AHEAD = 366
"""How many days after today a declared income may begin to count."""


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

    Ghana's SEED: 13.5 % of a declared monthly income, paid for one month or several at once, adjustable once a year.
    `minimum` and `maximum` are the least and the most of an income that counts. What the member pays is one share, or
    whole ones; what others pay for them is not bound by it, and who declared nothing pays as the other rules let them.
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


def check_instalment(paid: Amount, instalment: Amount, takes: str) -> int:
    """Return how many whole instalments a payment is.

    Raises:
        NotTheInstalment: the scheme takes one, or whole ones, and this is neither.
    """
    whole, part = divmod(paid.units, instalment.units)
    if (takes == "one" and paid != instalment) or (takes == "whole-instalments" and (part or not whole)):
        raise NotTheInstalment(instalment=str(instalment.decimal()))
    return whole


@dataclass(frozen=True, slots=True)
class DeclaredIncome:
    """A monthly income that a member declared on a day, and from which day on it counts; smallest units."""

    income: int
    from_on: date
    declared_on: date


@dataclass(frozen=True, slots=True)
class Declaring:
    """An income that somebody declares, for whom nothing or other incomes were declared before, oldest first."""

    income: Amount
    from_on: date
    today: date
    before: Sequence[DeclaredIncome]

    def check(self, rule: DeclaredIncomeRule, scheme_year: tuple[date, date]) -> None:
        """Refuse what the rule does not let one declare; the first declaration is no change.

        Args:
            rule: in force on `from_on`.
            scheme_year: that `from_on` lies in: its first day, and the first of the next.

        Raises:
            DeclaredFrom: it would count before today, before the last one, or more than a year ahead.
            ChangedTooOften: the income was changed as often as it may be in the year.

        """
        first = max([self.today, *(one.from_on for one in self.before)])
        last = self.today + timedelta(days=MOST_DAYS_AHEAD)
        if not first <= self.from_on <= last:
            raise DeclaredFrom(field="from_on", first=first.isoformat(), last=last.isoformat())
        begins, ends = scheme_year
        changes = sum(begins <= one.from_on < ends for one in self.before[1:])
        if self.before and changes >= rule.changes_a_year:
            raise ChangedTooOften(times=rule.changes_a_year)


def income_on(declared: Sequence[DeclaredIncome], on: date) -> DeclaredIncome | None:
    """Return which of the declared incomes counts on a day, given oldest first; None where none does yet."""
    return next((one for one in reversed(declared) if one.from_on <= on), None)


def income_that_counts(rule: DeclaredIncomeRule, income: Amount, figures: Figures, on: date) -> Amount:
    """Return an income within the least and the most that count on a day.

    Raises:
        SeriesValueMissing: a limit is a multiple of a series without a value then.
    """
    counted = max(income, figures.amount(rule.minimum, on))
    return counted if rule.maximum is None else min(counted, figures.amount(rule.maximum, on))


def declared_contribution(rule: DeclaredIncomeRule, income: Amount) -> Amount:
    """Return the contribution that a month of an income makes due: the share of it, rounded as the rule says."""
    return Amount(rounded(Fraction(income.units * rule.share_bp, 10_000), rule.rounding), income.asset)
