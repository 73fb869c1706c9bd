"""How the fees of many members are counted at once: each fee as whole numbers that a statement multiplies and divides.

`engine.benefits.rules.fees` says what one member is charged; this says the same as terms that a run notes when it begins. Pure.
"""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from fractions import Fraction
from math import lcm
from typing import Literal

from msgspec import Struct

from engine.benefits.errors import FeeKeyMissing
from engine.benefits.rules.fees import PART_OF_YEAR, PERIODS, FeeCapRule, FeeCase, FeeRule, below_with_vat, cap_minor
from engine.kernel.months import months_after
from engine.kernel.rounding import Rounding
from engine.kernel.series import Figure, Figures
from engine.kernel.tables import LookupTable
from engine.tenancy.rules.books import InForce

SERVED = (*PERIODS, "opening", "contribution", "withdrawal")
"""What a run charges for; the rest is charged where the act is done."""
Base = Literal["assets", "asset-days", "transaction"]


class FeeStep(Struct, frozen=True, kw_only=True):
    """What is charged from a base on: `flat` smallest units, or `numerator` ÷ the fee's denominator of the base."""

    start: int
    flat: int
    numerator: int


class YearCap(Struct, frozen=True, kw_only=True):
    """The most that some fees may be in a scheme year together, smallest units; with the tax on them or without."""

    fees: tuple[str, ...]
    most: int
    includes_vat: bool


class FeeTerms(Struct, frozen=True, kw_only=True):
    """A fee as a run charges it, for the days from `since` up to and without `until`. Limits are smallest units.

    The charge on a base is that of the last step it reaches, or where `slices` the sum of what each step's slice is charged.
    `charge_most` is the cap of each charge before tax; tax is `vat_numerator` ÷ `vat_denominator` of the fee. It is of those
    alone who joined from `joined_from` to `joined_until`, where these are there; others may be charged by another version.
    `keys` say in which rows of the pack's tables its caps stood, where it was asked with any.
    """

    fee: str
    payee: str
    rules: tuple[str, ...]
    charged: str
    rank: int
    since: date
    until: date
    base: Base
    steps: tuple[FeeStep, ...]
    denominator: int
    slices: bool
    least: int | None
    most: int | None
    waived_up_to: int | None
    waived_months: int
    part_period: Literal["whole", "days", "nothing"]
    charge_most: int | None
    year_caps: tuple[YearCap, ...]
    vat_numerator: int
    vat_denominator: int
    rounding: Rounding
    taken_from: Literal["cash", "units", "billed"]
    pots: tuple[str, ...]
    pots_by: Literal["in-order", "pro-rata"]
    origins: tuple[str, ...]
    origins_by: Literal["in-order", "pro-rata"]
    may_empty: bool
    when_short: Literal["take-what-is-there", "waive", "owe"]
    joined_from: date | None = None
    joined_until: date | None = None
    keys: Mapping[str, str] = {}

    @property
    def needs_assets(self) -> bool:
        """Return whether what a member has decides anything."""
        by_assets = self.base != "transaction" and any(step.numerator or step.start for step in self.steps)
        return by_assets or self.waived_up_to is not None


def period_of(charged: str, year: tuple[date, date], on: date) -> tuple[date, date]:
    """Return the period of a fee that a day lies in: of the scheme year, its quarters and months; acts by the month."""
    months = {"year": 12, "quarter": 3}.get(charged, 1)
    if charged == "day":
        return on, on + timedelta(days=1)
    since = next(
        start for number in range(12 // months - 1, -1, -1) if (start := months_after(year[0], number * months)) <= on
    )
    return since, months_after(since, months)


def fee_terms(
    found: InForce[FeeRule],
    caps: Sequence[InForce[FeeCapRule]],
    period: tuple[date, date],
    on: date,
    figures: Figures,
    *,
    tables: Mapping[str, LookupTable],
    keys: Mapping[str, str],
) -> FeeTerms:
    """Return a fee as whole numbers, by what figures and caps are on the day it is charged.

    Raises:
        SeriesValueMissing, TableValueMissing: a figure or a cap has no value.
        FeeKeyMissing: a cap stands in a table, and `keys` do not name its row.
    """
    rule = found.rule
    assert rule.taken_from != "contribution" and rule.when_short != "refuse", rule

    def limit(figure: Figure | None) -> int | None:
        return None if figure is None else figures.amount(figure, on).units

    own = [one for one in caps if rule.id in one.rule.fees]
    mosts = [(one.rule, cap_minor(one.rule, _case_of(one.rule, on, tables, keys), figures, tables)) for one in own]
    charge_caps = [
        below_with_vat(most, rule.vat_share) if cap.includes_vat else most for cap, most in mosts if cap.per == "charge"
    ]
    shares = [(limit(start) or 0, limit(flat) or 0, share) for start, flat, share in _shares(rule)]
    denominator = lcm(*(share.denominator for *_, share in shares))

    is_whole = rule.charged not in PERIODS or (rule.assets_on == "each-day" and rule.part_period == "days")
    base: Base = "transaction" if rule.percent_of == "transaction" else "assets"
    return FeeTerms(
        fee=rule.id,
        payee=rule.payee,
        rules=(found.ref, *(one.ref for one in own)),
        keys=dict(keys),
        charged=rule.charged,
        rank=rule.rank,
        since=period[0],
        until=period[1],
        base="asset-days" if rule.assets_on == "each-day" else base,
        steps=tuple(
            FeeStep(start=start, flat=flat, numerator=int(share * denominator))
            for start, flat, share in sorted(shares, key=lambda one: one[0])
        ),
        denominator=denominator,
        slices=rule.banding == "slices",
        least=limit(rule.least),
        most=limit(rule.most),
        waived_up_to=limit(rule.waived_up_to),
        waived_months=rule.waived_months,
        # What is charged for each day's assets is charged for the days there were.
        part_period="whole" if is_whole else rule.part_period,
        charge_most=max(min(charge_caps), 0) if charge_caps else None,
        year_caps=tuple(
            YearCap(fees=cap.fees, most=most, includes_vat=cap.includes_vat)
            for cap, most in mosts
            if cap.per == "scheme-year"
        ),
        vat_numerator=rule.vat_share.numerator,
        vat_denominator=rule.vat_share.denominator,
        rounding=rule.rounding,
        taken_from=rule.taken_from,
        pots=rule.order.pots if rule.order else (),
        pots_by=rule.order.pots_by if rule.order else "in-order",
        origins=rule.order.origins if rule.order else (),
        origins_by=rule.order.origins_by if rule.order else "in-order",
        may_empty=rule.may_empty,
        when_short=rule.when_short,
    )


def _case_of(cap: FeeCapRule, on: date, tables: Mapping[str, LookupTable], keys: Mapping[str, str]) -> FeeCase:
    """Return a case that names the row of the cap's table, where it has one."""
    asked = tables[cap.table].keys if cap.table is not None else ()
    missing = [key for key in asked if key not in keys]
    if missing:
        raise FeeKeyMissing(field="keys", cap=cap.id, key=", ".join(missing))
    return FeeCase(on=on, joined_on=on, keys={key: keys[key] for key in asked})


def _shares(rule: FeeRule) -> list[tuple[Figure | None, Figure | None, Fraction]]:
    """Return (from, flat, share of the base) of each step of a fee."""
    part = PART_OF_YEAR.get(rule.charged, Fraction(1))
    if rule.amount is not None:
        return [(None, rule.amount, Fraction(0))]
    if rule.percent is not None:
        if rule.percent_of == "transaction":
            part = Fraction(1)
        elif rule.assets_on == "each-day":
            part = PART_OF_YEAR["day"]
        return [(None, None, Fraction(rule.percent) / 100 * part)]
    return [
        (one.from_balance, one.amount, Fraction(0) if one.percent is None else Fraction(one.percent) / 100 * part)
        for one in rule.bands
    ]
