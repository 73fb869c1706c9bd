"""What insurance costs, who pays for it and when, and from when up to when who pays for it is insured. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from typing import Annotated, Literal

from msgspec import Meta, Struct

from engine.benefits.rules.parameters import Days, Origin, Percent
from engine.kernel.rounding import Rounding, rounded
from engine.kernel.series import Figure
from engine.tenancy.rules.manifest import Code

NotInsured = Literal["not-insured", "not-begun", "lapsed"]


class Premium(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a cover costs for each month, quarter or scheme year that it runs, paid ahead.

    `amount` for each member, or `percent` of all sums of the cover together. It goes to the role `insurer`. Out of `pots` and
    `origins`, each in order, where the member pays; else the role `paid_by` does. A member's premium is paid whole or not at
    all. One that is not paid within `grace_days` of the first day of what it is for ends the cover, `grace_days` after that day;
    until then it stays. Cover begins with the premium, `begins_after_days` after it, and is taken up anew in the same way
    within `reinstated_within_days` of its end, never where that is 0.
    """

    insurer: Code
    amount: Figure | None = None
    percent: Percent | None = None
    rounding: Rounding
    every: Literal["month", "quarter", "year"]
    paid_by: Code | None = None
    pots: tuple[Code, ...] = ()
    origins: tuple[Origin, ...] = ()
    grace_days: Annotated[int, Meta(ge=0, le=366, description="a number of days from 0 to 366")] = 0
    begins_after_days: Days = 0
    reinstated_within_days: Days = 0

    def __post_init__(self) -> None:
        """Check that one price and one payer are said."""
        if (self.amount is None) == (self.percent is None):
            raise ValueError("say one of amount and percent")
        if bool(self.pots) != bool(self.origins) or bool(self.pots) == (self.paid_by is not None):
            raise ValueError("say paid_by, or pots and origins")
        if self.paid_by is not None and (self.grace_days or self.begins_after_days or self.reinstated_within_days):
            raise ValueError("grace, waits and taking up anew are of premiums that members pay")

    def minor_of(self, amount_minor: int | None, sums_minor: int) -> int:
        """Return the premium, smallest units: the amount, or the percentage of the sums, rounded."""
        if self.percent is None:
            assert amount_minor is not None, self
            return amount_minor
        return rounded(Fraction(self.percent) * sums_minor / 100, self.rounding)


@dataclass(frozen=True, slots=True)
class Insured:
    """From when up to and without when a member's premiums insured them; `until` is None while they do."""

    cover: str
    since: date
    until: date | None


@dataclass(frozen=True, slots=True)
class Unpaid:
    """A premium that was asked for and is not paid: it may be paid, and insures, up to and without `grace_until`."""

    cover: str
    grace_until: date


@dataclass(frozen=True, slots=True)
class Insurance:
    """What premiums a member paid for their covers, and did not pay."""

    stretches: tuple[Insured, ...] = ()
    unpaid: tuple[Unpaid, ...] = ()


UNINSURED = Insurance()
"""Of a member who has no cover that is paid for."""


def insured_on(insurance: Insurance, cover: str, on: date) -> Insured | NotInsured:
    """Return what insures a member on a day, or why nothing does; whether a lapse was noted by then makes no difference."""
    stretches = sorted((one for one in insurance.stretches if one.cover == cover), key=lambda one: one.since)
    begun = [one for one in stretches if one.since <= on]
    if not begun:
        return "not-begun" if stretches else "not-insured"
    last = begun[-1]
    until = last.until
    if until is None:
        until = min((one.grace_until for one in insurance.unpaid if one.cover == cover), default=None)
    return last if until is None or on < until else "lapsed"


@dataclass(frozen=True, slots=True)
class AskedPremium:
    """A premium for days from `since` on that a member was first asked for on a day, and the day that it was paid, if it was."""

    since: date
    asked_on: date
    paid_on: date | None


def insurance_by(cover: str, premium: Premium, asked: Sequence[AskedPremium]) -> Insurance:
    """Return what a member is insured by the premiums that they were asked for; one never paid lapses as its grace ends."""
    stretches: list[Insured] = []
    for one in sorted(asked, key=lambda one: one.since):
        until = grace_until(premium, one.since, one.asked_on)
        last = stretches[-1] if stretches else None
        if last is not None and last.until is None:
            if one.paid_on is not None and one.paid_on < until:
                continue
            last = stretches[-1] = Insured(cover, last.since, max(last.since, until))
        if one.paid_on is not None and (last is None or _again(premium, last, one.paid_on)):
            stretches.append(Insured(cover, begins_on(one.since, one.paid_on, premium.begins_after_days), None))
    return Insurance(tuple(stretches))


def grace_until(premium: Premium, since: date, asked_on: date) -> date:
    """Return the day from which a premium that is not paid insures no more."""
    return max(since, asked_on) + timedelta(days=premium.grace_days)


def _again(premium: Premium, last: Insured, paid_on: date) -> bool:
    assert last.until is not None, last
    days = premium.reinstated_within_days
    return days > 0 and paid_on <= last.until + timedelta(days=days)


def covered_days(stretch: Insured, unpaid: Sequence[Unpaid]) -> tuple[date, date]:
    """Return a stretch as it stands: up to its end, to the end of grace of what is not paid, else to the end of time."""
    open_until = min((one.grace_until for one in unpaid if one.cover == stretch.cover), default=date.max)
    return stretch.since, stretch.until or open_until


def begins_on(premium_from: date, paid_on: date, after_days: int) -> date:
    """Return the day from which a first premium, or one after a lapse, insures."""
    return max(premium_from, paid_on) + timedelta(days=after_days)
