"""Which funds a member's savings go to by age: a life path. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct

from engine.funds.errors import NoFundChoice
from engine.funds.rules.dealing import WHOLE_BP, FundChoiceRule, Shares
from engine.funds.rules.examples import Given
from engine.kernel.amounts import Amount, Asset
from engine.kernel.months import LeapDay, age_nearest, age_on
from engine.kernel.rules import BY_EVENT, AppliesBy, Rule
from engine.tenancy.rules.books import InForce
from engine.tenancy.rules.proving import ScenarioContext

_BASIS_POINTS = Asset("BP", 0)


class PathStep(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The shares by fund, in basis points, from an age in completed years on."""

    from_age: Annotated[int, Meta(ge=0, le=120, description="an age in years")]
    shares: Shares


class LifePathRule(Rule, tag="life-path", frozen=True, kw_only=True):
    """The funds that savings go to by the member's age (fund choice by age; a glide path).

    Life-cycle funds of NPS and of Nigeria's multi-fund structure are such paths. Between two steps the shares stay
    ("step") or move in a straight line by whole years of age ("linear"), rounded so that they sum to 10,000 basis points
    with the largest remainders first. `age` is that of the last or of the nearest birthday on the day of the dealing, or
    of the last birthday on the first day of the scheme year. `moves` says whether only new money follows the path, or what
    is invested too: once a scheme year what is over goes by switches into what is under. `before_group` says whether the path decides before the choice of the member's group.
    """

    may_apply_by: ClassVar[tuple[AppliesBy, ...]] = BY_EVENT

    steps: Annotated[tuple[PathStep, ...], Meta(min_length=1)]
    between: Literal["step", "linear"]
    age: Literal["last-birthday", "nearest-birthday", "scheme-year-start"]
    leap_day: LeapDay
    moves: Literal["new-money", "all"]
    before_group: bool

    def __post_init__(self) -> None:
        """Check the order of the steps and their sums."""
        ages = [one.from_age for one in self.steps]
        if ages != sorted(set(ages)):
            raise ValueError("the steps must be in the order of their ages, each age once")
        for one in self.steps:
            if sum(one.shares.values()) != WHOLE_BP:
                raise ValueError(f"the shares from age {one.from_age} must sum to {WHOLE_BP} basis points")


@dataclass(frozen=True, slots=True)
class PathShares:
    """The age that counted, and the shares by fund in basis points, which sum to 10,000; funds without any left out.

    `moves` says whether only new money follows them, or what is invested too. Of a choice by group there is no age.
    """

    age: int | None
    shares: Mapping[str, int]
    moves: Literal["new-money", "all"]
    rules: tuple[str, ...]


def age_for(rule: LifePathRule, born_on: date, on: date, scheme_year_from: date) -> int:
    """Return the age in years by which the path is followed."""
    if rule.age == "nearest-birthday":
        return age_nearest(born_on, on, rule.leap_day)
    return age_on(born_on, on if rule.age == "last-birthday" else scheme_year_from, rule.leap_day)


def years_count_until(rule: LifePathRule, on: date, scheme_year_from: date) -> date:
    """Return the day up to which completed years since joining are added to the age at joining.

    Births are sealed where savings are invested: the age that counts there is the age at joining and the completed years since.
    """
    return scheme_year_from if rule.age == "scheme-year-start" else on


def path_shares(found: InForce[LifePathRule], age: int, on: date) -> PathShares:
    """Return the shares by fund for a member of an age on a day.

    Raises:
        NoFundChoice: the member is younger than the path begins.
    """
    rule = found.rule
    reached = [one for one in rule.steps if one.from_age <= age]
    if not reached:
        raise NoFundChoice(day=on.isoformat())
    last, ahead = reached[-1], rule.steps[len(reached) :]
    if rule.between == "step" or not ahead:
        return PathShares(age, dict(last.shares), rule.moves, (found.ref,))
    gone, span = age - last.from_age, ahead[0].from_age - last.from_age
    funds = sorted({*last.shares, *ahead[0].shares})
    weights = [last.shares.get(one, 0) * (span - gone) + ahead[0].shares.get(one, 0) * gone for one in funds]
    parts = Amount(WHOLE_BP, _BASIS_POINTS).share_out(weights)
    shares = {fund: part.units for fund, part in zip(funds, parts, strict=True) if part.units}
    return PathShares(age, shares, rule.moves, (found.ref,))


def member_shares(
    path: InForce[LifePathRule] | None,
    choice: InForce[FundChoiceRule] | None,
    *,
    group: str,
    age: int | None,
    on: date,
) -> PathShares:
    """Return the funds of a member of `group` ("" for none): by the path, or by the choice of the group or the default.

    Where both rules are in force, a path that is not `before_group` leaves the groups named in the choice to it. Where no age
    is known, the choice decides.

    Raises:
        NoFundChoice: neither rule says where the savings go.
    """
    is_by_group = choice is not None and (
        path is None or (not path.rule.before_group and group in choice.rule.by_group)
    )
    if path is not None and age is not None and not is_by_group:
        return path_shares(path, age, on)
    shares = None if choice is None else choice.rule.shares_for(group)
    if choice is None or shares is None:
        raise NoFundChoice(day=on.isoformat())
    return PathShares(None, shares, "new-money", (choice.ref,))


def run_life_path(context: ScenarioContext) -> Mapping[str, str]:
    """Decide a pack's example of fund choice by age, for a member with the example's `born_on`.

    Given their `group`, if any, returns `age` where the path decides, `shares.<fund>` in basis points, and `moves`.

    Raises:
        NoFundChoice: the product has no path, or the member is younger than it begins.
    """
    given, found, choice = Given.of(context), context.rule(LifePathRule), context.rule(FundChoiceRule)
    if found is None:
        raise NoFundChoice(day=context.on.isoformat())
    born_on = context.dates.born_on or given.day("born_on")
    year_from = context.product.scheme_year(context.on)[0]
    age = age_for(found.rule, born_on, context.on, year_from)
    for row, step in enumerate(found.rule.steps, 1):
        context.compare(found, f"steps[{row}].from_age", age, step.from_age)
    path = member_shares(found, choice, group=given.text("group", ""), age=age, on=context.on)
    age_said = {} if path.age is None else {"age": str(path.age)}
    return {**age_said, "moves": path.moves, **{f"shares.{fund}": str(share) for fund, share in path.shares.items()}}
