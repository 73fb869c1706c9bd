"""From which day the retirement benefit is due: by sex, by birth cohort, and after years in the scheme. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Annotated, Literal

from msgspec import Meta, Struct

from engine.benefits.errors import BeforeBenefitAge, NoBenefitAge
from engine.benefits.rules.parameters import Years
from engine.funds.rules import Given
from engine.kernel.months import LeapDay, anniversary, month_end, months_after
from engine.kernel.rules import Rule
from engine.tenancy.rules.books import InForce
from engine.tenancy.rules.manifest import Code
from engine.tenancy.rules.proving import ScenarioContext


class AgeOf(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An age in years and months, for a sex and for those born from a day on; the last row that fits counts."""

    sex: Literal["any", "female", "male"]
    born_from: date | None = None
    years: Years
    months: Annotated[int, Meta(ge=0, le=11, description="a number of months from 0 to 11")] = 0


class BenefitAgeRule(Rule, tag="benefit-age", frozen=True, kw_only=True):
    """When the retirement benefit begins: EjoHeza at 55, APY, PM-SYM and NPS-Lite at 60, Nigeria and Haba Haba at 50.

    `ages` are by sex and birth cohort. The benefit begins at the later of the age and `least_years` in the scheme,
    counted from joining or the first contribution; on the birthday, on the first day of the month that follows it, or on
    the last day of its month. On `waived_on` grounds (ill-health, disability) it begins at once.
    """

    ages: Annotated[tuple[AgeOf, ...], Meta(min_length=1)]
    least_years: Years = 0
    counted_from: Literal["joining", "first-contribution"]
    begins: Literal["birthday", "following-month", "month-end"]
    leap_day: LeapDay
    waived_on: tuple[Code, ...] = ()


@dataclass(frozen=True, slots=True)
class BenefitStart:
    """The first day of the benefit, and what decided it."""

    day: date
    reason: Literal["age", "years-in-scheme", "ground"]
    rules: tuple[str, ...]


def benefit_start(
    found: InForce[BenefitAgeRule],
    *,
    born_on: date,
    sex: str,
    counted_from: date,
    on: date,
    ground: str = "",
) -> BenefitStart:
    """Return when a member's benefit begins.

    Args:
        found: the rule.
        born_on: the birth date, or what stands for it.
        sex: "female" and "male" may have ages of their own; any other takes rows for any sex.
        counted_from: the day of joining or of the first contribution, as the rule counts.
        on: the day of the question, on which a waived benefit begins.
        ground: a ground that may waive the age, if any.

    Raises:
        NoBenefitAge: the rule has no age for this sex and cohort.

    """
    rule = found.rule
    if ground and ground in rule.waived_on:
        return BenefitStart(on, "ground", (found.ref,))
    fitting = [
        one for one in rule.ages if one.sex in ("any", sex) and (one.born_from is None or one.born_from <= born_on)
    ]
    if not fitting:
        raise NoBenefitAge
    age = fitting[-1]
    reached = months_after(anniversary(born_on, age.years, rule.leap_day), age.months)
    by_years = anniversary(counted_from, rule.least_years, rule.leap_day)
    later = max(reached, by_years)
    if rule.begins == "following-month":
        day = month_end(later) + timedelta(days=1)
    else:
        day = month_end(later) if rule.begins == "month-end" else later
    return BenefitStart(day, "years-in-scheme" if by_years > reached else "age", (found.ref,))


def check_benefit_age(start: BenefitStart, on: date) -> None:
    """Refuse a benefit before its time; BeforeBenefitAge says from when."""
    if on < start.day:
        raise BeforeBenefitAge(day=start.day.isoformat())


def run_benefit_age(context: ScenarioContext) -> Mapping[str, str]:
    """Decide a pack's example of the benefit age, for a member of the example's `born_on` and `joined_on`.

    Given `sex`, `first_paid_on` and a `ground`, returns `from` and `reason`.

    Raises:
        NoBenefitAge, BeforeBenefitAge: see there.
    """
    given, found = Given.of(context), context.rule(BenefitAgeRule)
    if found is None:
        raise NoBenefitAge
    joined_on = context.joined_on or context.on
    is_by_joining = found.rule.counted_from == "joining"
    start = benefit_start(
        found,
        born_on=context.dates.born_on or given.day("born_on"),
        sex=given.text("sex", ""),
        counted_from=joined_on if is_by_joining else given.day("first_paid_on", joined_on),
        on=context.on,
        ground=given.text("ground", ""),
    )
    if start.reason != "ground":
        name = "ages" if start.reason == "age" else "least_years"
        context.compare(found, name, context.on.toordinal(), start.day.toordinal())
    check_benefit_age(start, context.on)
    return {"from": start.day.isoformat(), "reason": start.reason}
