"""The most that counts for a scheme year, asked of each contribution: by a statement or two, however many there are."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from engine.contributions.errors import CapReached
from engine.contributions.queries import capping as queries
from engine.contributions.queries.capping import YearAsked
from engine.contributions.rules import AnnualCapRule, Capped, apply_cap, carried_into, counted_on
from engine.contributions.service.rules_of import products_with, rule_of
from engine.identity.rules import MemberRef
from engine.kernel.amounts import Amount
from engine.kernel.errors import EngineError
from engine.kernel.series import Figures
from engine.tenancy.rules.books import InForce
from engine.tenancy.service import Tenant


@dataclass(frozen=True, slots=True)
class Counting:
    """A contribution of a member, as they stand in its product; `value_on` is its value date, `received_on` the day it came."""

    member: MemberRef
    value_on: date
    received_on: date
    amount: Amount


@dataclass(frozen=True, slots=True)
class CappedNow:
    """What of a contribution counts for its year, or why it is refused, and by which rules."""

    answer: Capped | EngineError
    rules: tuple[str, ...]
    most: Amount


def capped_products(tenant: Tenant) -> frozenset[str]:
    """Return the products in which contributions of a year ever have a most."""
    return products_with(tenant, AnnualCapRule)


async def cap_contributions(
    session: AsyncSession, tenant: Tenant, figures: Figures, counting: Sequence[Counting], *, today: date
) -> list[CappedNow | None]:
    """Return what of each contribution counts for its year, in their order; None where there is no most.

    Those before count in those after. Nothing is read where no product of theirs has a most.
    """
    rules = [_rule(tenant, one) for one in counting]
    stretches: dict[tuple[int, str, str, date], list[YearAsked]] = {}
    for one, rule in zip(counting, rules, strict=True):
        if rule is not None:
            stretches.setdefault(_year(tenant, one, rule.rule), _stretches(tenant, one, rule.rule))
    asked = [stretch for many in stretches.values() for stretch in many]
    sums = iter(await queries.contributed(session, asked, today=today, zone=tenant.time_zone))
    paid = {year: [next(sums) for _ in many] for year, many in stretches.items()}
    found: list[CappedNow | None] = []
    in_year: dict[tuple[int, str, str, date], int] = {}
    for one, rule in zip(counting, rules, strict=True):
        if rule is None:
            found.append(None)
            continue
        year, most = _year(tenant, one, rule.rule), figures.amount(rule.rule.most, _day(one, rule.rule))
        try:
            if year not in in_year:
                earlier = [
                    (units, figures.amount(rule.rule.most, stretch.since).units)
                    for units, stretch in zip(paid[year][:-1], stretches[year][:-1], strict=True)
                ]
                in_year[year] = paid[year][-1] + carried_into(rule.rule, earlier)
            before = Amount(in_year[year], one.amount.asset)
            answer = apply_cap(rule.rule, one.amount, before, figures, _day(one, rule.rule))
        except EngineError as refusal:
            found.append(CappedNow(refusal, (rule.ref,), most))
        else:
            in_year[year] += one.amount.units - answer.refunded.units
            found.append(CappedNow(answer, (rule.ref,), most))
    return found


def whole_counts(cap: CappedNow | None) -> int:
    """Return what of a contribution that must be taken whole is carried into later years, in smallest units.

    Raises:
        CapReached: some of it would be refused or go back.
    """
    if cap is None:
        return 0
    if isinstance(cap.answer, EngineError):
        raise cap.answer
    if cap.answer.refunded.units:
        raise CapReached(most=str(cap.most.decimal()))
    return cap.answer.carried.units


def _day(one: Counting, rule: AnnualCapRule) -> date:
    return counted_on(rule, one.value_on, one.received_on)


def _year(tenant: Tenant, one: Counting, rule: AnnualCapRule) -> tuple[int, str, str, date]:
    product = one.member.product
    return one.member.member_id, product, rule.counted_by, tenant.product(product).scheme_year(_day(one, rule))[0]


def _stretches(tenant: Tenant, one: Counting, rule: AnnualCapRule) -> list[YearAsked]:
    """Return the scheme year of a contribution, and before it the years that may carry something into it, the oldest first."""
    product = tenant.product(one.member.product)
    since, until = product.scheme_year(_day(one, rule))
    years = [(since, until)]
    first = product.scheme_year(one.member.joined_on)[0]
    while rule.carry_years and years[0][0] > first:
        start = product.scheme_year(years[0][0] - timedelta(days=1))[0]
        years.insert(0, (start, years[0][0]))
    return [YearAsked(one.member.member_id, product.code, rule.counted_by, start, end) for start, end in years]


def _rule(tenant: Tenant, one: Counting) -> InForce[AnnualCapRule] | None:
    """Return the rule that caps a contribution: that of the day which puts it into its year."""
    member = one.member
    for day, by_value in ((one.received_on, False), (one.value_on, True)):
        found = rule_of(tenant, AnnualCapRule, product=member.product, on=day, joined_on=member.joined_on)
        if found is not None and (found.rule.counted_by == "value") == by_value:
            return found
    return None
