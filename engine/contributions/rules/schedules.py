"""When contributions are due, which due they pay, and what lateness costs."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from typing import Annotated, Literal

from msgspec import Meta, Struct

from engine.contributions.errors import CapReached
from engine.kernel.amounts import Amount
from engine.kernel.months import months_after, whole_months
from engine.kernel.rounding import Rounding, rounded
from engine.kernel.rules import Rule
from engine.kernel.series import Figure, Figures


class ArrearsRule(Rule, tag="arrears", frozen=True, kw_only=True):
    """Which due a payment pays, and when a due is late (C11, C4).

    `grace_days` after the due day a due is not late. Payments go to the oldest due first, to the current one first, or
    to whichever the payer names. What is paid beyond every due is paid ahead up to `ahead_dues` dues; beyond those it is
    refused, refunded or kept as savings of its own.
    """

    grace_days: Annotated[int, Meta(ge=0, le=366)]
    pays_first: Literal["oldest", "current", "named"]
    ahead_dues: Annotated[int, Meta(ge=0, le=1200)]
    beyond: Literal["refuse", "refund", "keep"]


class ChargeBand(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The charge for an instalment of up to `up_to` (None: any larger)."""

    charge: Figure
    up_to: Figure | None = None


class LateChargeRule(Rule, tag="late-charge", frozen=True, kw_only=True):
    """What a late instalment costs (C12): by band, by each hundred or part of it, or by percent a day.

    Counted for each month of lateness, begun or completed, or for each day. It is credited to the member's own account,
    to the fund or to the operator, and is paid before or after the instalment. APY's old rule: 1 / 2 / 5 / 10 rupees a
    month by the size of the instalment, which stays in the member's own corpus.
    """

    method: Literal["band", "per-hundred", "percent-a-day"]
    bands: tuple[ChargeBand, ...] = ()
    per_hundred: Figure | None = None
    percent_a_day: Annotated[str, Meta(pattern=r"^[0-9]{1,2}(\.[0-9]{1,8})?$")] | None = None
    months_counted: Literal["begun", "completed"] = "begun"
    credited_to: Literal["member", "fund", "operator"]
    paid_first: Literal["charge", "instalment"]
    rounding: Rounding

    def __post_init__(self) -> None:
        """Check that the method has its figures, and the bands rise."""
        figure = {"band": self.bands, "per-hundred": self.per_hundred, "percent-a-day": self.percent_a_day}[self.method]
        if not figure:
            raise ValueError(f"the method {self.method} needs its figure")
        if self.bands and self.bands[-1].up_to is not None:
            raise ValueError("the last band has no upper end")


class AnnualCapRule(Rule, tag="annual-cap", frozen=True, kw_only=True):
    """The most that counts for one scheme year (C3), by the day that puts a payment into its year.

    That is the day it was received, its value date, or the day a statement showed it; what no statement has shown yet counts
    in the running year. All of a payment that passes the most is refused; or what is over is owed back to the payer; or it
    is taken and counts in as many later years as `carry_years`, the oldest first, and what these cannot hold is refused.
    """

    most: Figure
    counted_by: Literal["received", "value", "reconciled"]
    excess: Literal["refuse", "refund", "carry-over"]
    carry_years: Annotated[int, Meta(ge=0, le=10)] = 0

    def __post_init__(self) -> None:
        """Check that what is carried over has years to go to."""
        if (self.excess == "carry-over") != bool(self.carry_years):
            raise ValueError("carry-over needs carry_years, and carry_years need it")


@dataclass(frozen=True, slots=True)
class Standing:
    """How a member stands on a day: what is owed, how much of it is late, since when, and what is paid ahead."""

    owed: Amount
    late: Amount
    oldest_late_on: date | None
    ahead: Amount
    beyond: Amount
    paid_by_due: tuple[Amount, ...]


def standing(
    rule: ArrearsRule,
    dues: Sequence[date],
    instalment: Amount,
    paid: Amount,
    *,
    on: date,
    ahead_dues: Sequence[date] = (),
) -> Standing:
    """Return how a member stands who has paid `paid` in all, where payments go to the oldest due first.

    Args:
        rule: the arrears' rule.
        dues: the due days up to and with `on`.
        instalment: what each due is.
        paid: all that was paid, net of what was taken back.
        on: the day.
        ahead_dues: the due days after `on` that may be paid ahead.

    """
    left, shares = paid.units, []
    for _ in dues:
        part = min(left, instalment.units)
        shares.append(Amount(part, paid.asset))
        left -= part
    short = [(day, instalment.units - part.units) for day, part in zip(dues, shares, strict=True)]
    late = [(day, lacking) for day, lacking in short if lacking and day + timedelta(days=rule.grace_days) < on]
    room = instalment.units * min(rule.ahead_dues, len(ahead_dues) or rule.ahead_dues)
    ahead = min(left, room)
    return Standing(
        owed=Amount(sum(lacking for _, lacking in short), paid.asset),
        late=Amount(sum(lacking for _, lacking in late), paid.asset),
        oldest_late_on=late[0][0] if late else None,
        ahead=Amount(ahead, paid.asset),
        beyond=Amount(left - ahead, paid.asset),
        paid_by_due=tuple(shares),
    )


def late_charge(rule: LateChargeRule, instalment: Amount, due_on: date, paid_on: date, figures: Figures) -> Amount:
    """Return what paying an instalment late costs; nothing where it is not late."""
    if paid_on <= due_on:
        return Amount(0, instalment.asset)
    if rule.method == "percent-a-day":
        assert rule.percent_a_day is not None
        days = (paid_on - due_on).days
        exact = Fraction(rule.percent_a_day) * instalment.units * days / 100
        return Amount(rounded(exact, rule.rounding), instalment.asset)
    months = whole_months(due_on, paid_on)
    if rule.months_counted == "begun" and months_after(due_on, months) < paid_on:
        months += 1
    if rule.method == "band":
        band = next(one for one in rule.bands if one.up_to is None or instalment <= figures.amount(one.up_to, paid_on))
        each = figures.amount(band.charge, paid_on)
    else:
        assert rule.per_hundred is not None
        hundred = 100 * 10**instalment.asset.scale
        parts = -(-instalment.units // hundred)
        each = Amount(figures.amount(rule.per_hundred, paid_on).units * parts, instalment.asset)
    return Amount(each.units * months, instalment.asset)


@dataclass(frozen=True, slots=True)
class Capped:
    """What of a payment counts for its year, and what becomes of the rest."""

    counted: Amount
    refunded: Amount
    carried: Amount


def apply_cap(rule: AnnualCapRule, paid: Amount, in_year: Amount, figures: Figures, on: date) -> Capped:
    """Return what of a payment counts for the scheme year in which `in_year` counts already.

    Raises:
        CapReached: the year's most is passed, and the rule refuses what is over, or the years it is carried to are full.
    """
    most = figures.amount(rule.most, on)
    room = max(most.units - in_year.units, 0)
    counted = min(paid.units, room)
    over = paid.units - counted
    waiting = max(in_year.units - most.units, 0) + over
    if over and (rule.excess == "refuse" or (rule.excess == "carry-over" and waiting > most.units * rule.carry_years)):
        raise CapReached(most=str(most.decimal()))
    none = Amount(0, paid.asset)
    rest = Amount(over, paid.asset)
    carried = rule.excess == "carry-over"
    return Capped(Amount(counted, paid.asset), none if carried else rest, rest if carried else none)


def counted_on(rule: AnnualCapRule, value_on: date, received_on: date) -> date:
    """Return the day that puts a payment into its scheme year as it comes; no statement can have shown it before."""
    return value_on if rule.counted_by == "value" else received_on


def carried_into(rule: AnnualCapRule, years: Sequence[tuple[int, int]]) -> int:
    """Return what earlier years carry into the one that follows them, in smallest units.

    Args:
        rule: the cap; nothing is carried unless it says so.
        years: what was paid in each earlier scheme year and the most of it, the oldest first, without gaps.

    """
    waiting: list[tuple[int, int]] = []
    for year, (paid, most) in enumerate([*years, (0, 0)]):
        waiting = [(since, units) for since, units in waiting if year - since <= rule.carry_years]
        if year == len(years):
            break
        left, room = [], most
        for since, units in (*waiting, (year, paid)):
            used = min(units, room)
            room -= used
            if units > used:
                left.append((since, units - used))
        waiting = left
    return sum(units for _, units in waiting)
