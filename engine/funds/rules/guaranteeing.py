"""Guarantees: what a member gets at least, who tops it up, and whose the excess is. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from engine.funds.errors import NoGuarantee
from engine.funds.rules.examples import Given, in_major
from engine.funds.rules.interest import (
    Benchmark,
    Movement,
    earning_until,
    interest_postings,
    interest_total,
    rates_of,
)
from engine.kernel.amounts import Amount
from engine.kernel.rules import Rule
from engine.kernel.series import Figure, Figures, SeriesCode
from engine.kernel.tables import LookupTable
from engine.tenancy.rules.books import InForce
from engine.tenancy.rules.manifest import Code
from engine.tenancy.rules.proving import ScenarioContext


class GuaranteeRule(Rule, tag="guarantee", frozen=True, kw_only=True):
    """The least that a member's money is worth on an occasion, and who pays what the fund lacks (R3).

    APY needs it (the corpus of its table at 60, topped up by the state; a higher return gives a higher benefit) and
    PM-SYM (the higher of the fund's and savings-bank interest on leaving). `at_least` is what is guaranteed: the
    contributions themselves, the contributions with interest at `benchmark`, an `amount`, or what stands in the `column` of
    a `table` whose keys the case gives. `tops_up` is the role that pays the difference; `excess` says whose the rest is
    where the fund has more. Occasions are the grounds of retirement ("retirement") and of leaving, "exit" for any of
    those, and "death".
    """

    many: ClassVar[bool] = True
    one_for: ClassVar[tuple[str, ...]] = ("occasions",)
    occasions: Annotated[tuple[Code, ...], Meta(min_length=1, description="a list of at least one occasion, as codes")]
    at_least: Literal["contributions", "contributions-with-interest", "amount", "table"]
    benchmark: Benchmark | None = None
    amount: Figure | None = None
    table: SeriesCode | None = None
    column: str | None = None
    tops_up: Code
    excess: Literal["member", "guarantor"]

    def __post_init__(self) -> None:
        """Check that what is guaranteed is said, and nothing beside it."""
        needed = {
            "contributions": set[str](),
            "contributions-with-interest": {"benchmark"},
            "amount": {"amount"},
            "table": {"table", "column"},
        }[self.at_least]
        said = {name for name in ("benchmark", "amount", "table", "column") if getattr(self, name) is not None}
        if said != needed:
            wanted = " and ".join(sorted(needed)) or "none of benchmark, amount, table, column"
            raise ValueError(f'at_least = "{self.at_least}" needs {wanted}')


@dataclass(frozen=True, slots=True, kw_only=True)
class GuaranteeCase:
    """A member's contributions (out: negative) up to the occasion's day, and the keys of the guarantee's table."""

    on: date
    contributions: tuple[Movement, ...] = ()
    keys: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Guaranteed:
    """What is paid, smallest units: `paid` = `from_fund` + `top_up`; `to_guarantor` is fund money that goes there."""

    paid_minor: int
    from_fund_minor: int
    top_up_minor: int
    topped_up_by: str
    to_guarantor_minor: int
    rules: tuple[str, ...]


def guaranteed_minor(
    rule: GuaranteeRule, case: GuaranteeCase, figures: Figures, tables: Mapping[str, LookupTable]
) -> int:
    """Return the least that a member is to get, smallest units.

    Raises:
        SeriesValueMissing: the benchmark or the amount's series has no value.
        TableValueMissing: the table has no such row.
    """
    if rule.amount is not None:
        return figures.amount(rule.amount, case.on).units
    if rule.table is not None and rule.column is not None:
        return Amount.parse(tables[rule.table].text(rule.column, **(case.keys or {})), figures.asset).units
    paid = sum(one.minor for one in case.contributions)
    if rule.benchmark is None:
        return paid
    return paid + benchmark_interest(rule.benchmark, case.contributions, case.on, figures)


def benchmark_interest(
    benchmark: Benchmark, contributions: tuple[Movement, ...], left_on: date, figures: Figures
) -> int:
    """Return the interest that contributions would have earned at a benchmark until `left_on`, smallest units.

    Postings are counted from the day of the first contribution.
    """
    if not contributions:
        return 0
    since = min(one.on for one in contributions)
    until = max(earning_until(left_on, benchmark.interest), since)
    rates = rates_of(figures, benchmark.series, since, until)
    return interest_total(interest_postings(contributions, rates, benchmark.interest, since=since, until=until))


def apply_guarantee(found: InForce[GuaranteeRule], fund_minor: int, least_minor: int) -> Guaranteed:
    """Return who pays what, given what the fund holds for the member (>= 0) and what is guaranteed."""
    top_up = max(least_minor - fund_minor, 0)
    excess = max(fund_minor - least_minor, 0) if found.rule.excess == "guarantor" else 0
    return Guaranteed(
        paid_minor=fund_minor - excess + top_up,
        from_fund_minor=fund_minor - excess,
        top_up_minor=top_up,
        topped_up_by=found.rule.tops_up if top_up else "",
        to_guarantor_minor=excess,
        rules=(found.ref,),
    )


def run_guarantee(context: ScenarioContext) -> Mapping[str, str]:
    """Decide a pack's example of a guarantee.

    Given the `occasion`, what the `fund` holds, `contributions = [{ on, amount }]` and the table's `keys`, returns
    `guaranteed`, `paid`, `top_up`, `topped_up_by` and `to_guarantor` of the guarantee for that occasion.

    Raises:
        NoGuarantee: nothing is guaranteed on this occasion.
    """
    given, asset = Given.of(context), context.asset
    occasion = given.text("occasion")
    found = next((one for one in context.rules(GuaranteeRule) if occasion in one.rule.occasions), None)
    if found is None:
        raise NoGuarantee(occasion=occasion)
    case = GuaranteeCase(
        on=context.on,
        contributions=tuple(Movement(one.day("on"), one.minor("amount")) for one in given.rows("contributions")),
        keys=given.table("keys"),
    )
    least = guaranteed_minor(found.rule, case, context.figures, context.pack.tables)
    context.compare(found, "at_least", given.minor("fund"), least)
    paid = apply_guarantee(found, given.minor("fund"), least)
    return {
        "guaranteed": in_major(least, asset),
        "paid": in_major(paid.paid_minor, asset),
        "top_up": in_major(paid.top_up_minor, asset),
        "topped_up_by": paid.topped_up_by,
        "to_guarantor": in_major(paid.to_guarantor_minor, asset),
    }
