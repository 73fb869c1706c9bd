"""Figures that arrive over time: declared returns, indices, factors, rates, statutory amounts. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Annotated

from msgspec import Meta, Struct

from engine.kernel.amounts import Amount, Asset
from engine.kernel.errors import Refused
from engine.kernel.months import months_after
from engine.kernel.rounding import Rounding, rounded
from engine.kernel.rules import Confidence
from engine.kernel.text import N_

SeriesCode = Annotated[
    str, Meta(pattern=r"^[a-z][a-z0-9-]{0,39}$", description="a series' short name of lower-case letters, digits and -")
]
Money = Annotated[
    str,
    Meta(pattern=r"^[0-9]{1,15}(\.[0-9]{1,4})?$", description='an amount in major units in quotes, such as "500.00"'),
]
Factor = Annotated[str, Meta(pattern=r"^[0-9]{1,9}(\.[0-9]{1,12})?$", description='a number in quotes, such as "2.5"')]


class SeriesValueMissing(Refused):
    """A reference series has no value for a day, as far as was known."""

    code = "engine.series-value-missing"
    message = N_("The figure {series} has no value for {day} yet.")


@dataclass(frozen=True, slots=True)
class SeriesPoint:
    """One value of a series: in force from `effective_from`, known from `published_on`. A later publication revises it."""

    effective_from: date
    published_on: date
    value: Decimal
    source: str
    confidence: Confidence = "high"


@dataclass(frozen=True, slots=True)
class Series:
    """A reference series, its points in any order. `unit` says what a value counts: "percent-a-year", "index", "money"."""

    code: str
    unit: str
    points: tuple[SeriesPoint, ...]

    def point(self, on: date, *, known_on: date | None = None) -> SeriesPoint | None:
        """Return the point in force on a day, as far as it was known on `known_on` (None: all that is known now).

        Of the points that begin by `on` the latest to begin counts; of its publications the latest one known.
        """
        known = [
            one
            for one in self.points
            if one.effective_from <= on and (known_on is None or one.published_on <= known_on)
        ]
        return max(known, key=lambda one: (one.effective_from, one.published_on), default=None)

    def with_points(self, points: Iterable[SeriesPoint]) -> "Series":
        """Return the series with more points."""
        return Series(self.code, self.unit, (*self.points, *points))


class MultipleOf(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An amount said as a multiple of a reference series: `times` × the value `lag_months` before, rounded to `step`."""

    series: SeriesCode
    times: Factor = "1"
    lag_months: Annotated[int, Meta(ge=0, le=120)] = 0
    rounding: Rounding = "half-up"
    step: Money | None = None


Figure = Money | MultipleOf
"""An amount in a pack: written out, or a multiple of a reference series."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What figures of a pack are worth on a day: the scheme's money, its series, and how much of them was known.

    `accepted` counts the points that came after the pack: it tells apart what one pack's figures were at two times.
    """

    asset: Asset
    series: Mapping[str, Series] = field(default_factory=dict)
    known_on: date | None = None
    accepted: int = 0

    def value(self, code: str, on: date, *, lag_months: int = 0) -> Decimal:
        """Return the value of a series in force `lag_months` before `on`.

        Raises:
            SeriesValueMissing: there is no such series, or it had no value then, as far as was known.
        """
        day = months_after(on, -lag_months)
        found = self.series[code].point(day, known_on=self.known_on) if code in self.series else None
        if found is None:
            raise SeriesValueMissing(series=code, day=day.isoformat())
        return found.value

    def amount(self, figure: Figure, on: date) -> Amount:
        """Return what an amount of a pack is on a day.

        Raises:
            SeriesValueMissing: it is a multiple of a series without a value then.
        """
        if isinstance(figure, str):
            return Amount.parse(figure, self.asset)
        value = self.value(figure.series, on, lag_months=figure.lag_months) * Decimal(figure.times)
        step = Amount.parse(figure.step, self.asset).units if figure.step else 1
        return Amount(rounded(value.scaleb(self.asset.scale), figure.rounding, step=step), self.asset)
