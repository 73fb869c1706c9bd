"""Contributions that are a share of an income that members declare: what they declared, and what it makes of a payment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy.ext.asyncio import AsyncSession

from engine.contributions.errors import AmountNotPositive, AmountNotWhole, NoDeclaredIncome
from engine.contributions.queries import declared as queries
from engine.contributions.rules import (
    MOST_UNITS,
    OWN,
    DeclaredIncome,
    DeclaredIncomeRule,
    Declaring,
    check_instalment,
    declared_contribution,
    income_on,
    income_that_counts,
)
from engine.contributions.service.rules_of import products_with, rule_of
from engine.contributions.service.terms import figures_now
from engine.contributions.service.undertaken import Paying
from engine.identity import service as identity
from engine.identity.rules import MemberRef
from engine.kernel.amounts import Amount, NotWholeUnits
from engine.kernel.clock import business_date
from engine.kernel.errors import EngineError
from engine.kernel.series import Figures
from engine.ledger import service as ledger
from engine.ledger.rules import Entry, EventKind, Outcome
from engine.tenancy import service as tenancy
from engine.tenancy.rules.books import InForce
from engine.tenancy.rules.decided import Determination
from engine.tenancy.service import Tenant


@dataclass(frozen=True, slots=True)
class Incomes:
    """What a member declared in a product, oldest first, and the monthly contribution that it makes due today, if any."""

    product: str
    declared: tuple[DeclaredIncome, ...]
    contribution: Amount | None


@dataclass(frozen=True, slots=True)
class AsDeclared:
    """How many whole contributions a payment is of what its member's income makes due, or why it is refused, and by which rule."""

    due: Amount
    answer: int | EngineError
    rules: tuple[str, ...]

    @property
    def facts(self) -> Mapping[str, str]:
        """Return what the event of the contribution says of it; amounts in smallest units."""
        if isinstance(self.answer, EngineError):
            return {}
        return {"instalment": str(self.due.units), "instalments": str(self.answer)}


async def declare_income(
    session: AsyncSession, tenant: Tenant, member: MemberRef, income: str, *, from_on: date | None, actor: str
) -> Incomes | EngineError:
    """Take down what a member earns a month from a day on; the same income again changes nothing.

    Args:
        session: the tenant's.
        tenant: the scheme.
        member: as they stand in the product.
        income: of a month, in major units.
        from_on: from which day on it counts; None: from today on.
        actor: on whose behalf; nothing personal.

    Returns:
        What the member declared, or why it was refused, which is on record: NoDeclaredIncome, AmountNotPositive, and see
        `rules.Declaring.check`.

    Raises:
        AmountNotWhole: the income is no number, or has more decimals than the currency.

    """
    product, today = member.product, business_date(await ledger.scheme_now(session), tenant.time_zone)
    begins = from_on or today
    try:
        earned = Amount.parse(income, tenant.asset)
    except NotWholeUnits as error:
        raise AmountNotWhole(field="income", scale=tenant.asset.scale) from error
    await identity.hold_members(session, [member.member_id])
    before = (await queries.declared_incomes(session, [(member.member_id, product)])).get(
        (member.member_id, product), ()
    )
    figures = await figures_now(session, tenant)
    rule = rule_of(tenant, DeclaredIncomeRule, product=product, on=begins, joined_on=member.joined_on)
    if rule is not None and before and before[-1].income == earned.units:
        return _standing(tenant, figures, member, before, today)
    try:
        if rule is None:
            raise NoDeclaredIncome(product=product)
        Declaring(earned, begins, today, before).check(rule.rule, tenant.product(product).scheme_year(begins))
        due = _due(rule.rule, earned, figures, begins)
        if not (0 < earned.units <= MOST_UNITS and due.units):
            raise AmountNotPositive(field="income")
    except EngineError as refusal:
        return await _keep_refusal(session, tenant, member, rule, begins, refusal, today)
    new = DeclaredIncome(earned.units, begins, today)
    entry = Entry(
        member_id=member.member_id,
        kind=EventKind.INCOME_DECLARED,
        business_date=today,
        actor=await ledger.actor_id(session, actor),
        pack=tenant.pack_id,
        decision=await ledger.decision_id(session, tenancy.trace(product, (rule.ref,))),
        body={"product": product, "from": begins.isoformat(), "contribution": str(due.units)},
    )
    (fate,) = await ledger.post(session, [entry])
    assert fate.outcome is Outcome.POSTED, fate
    await queries.add_declared_income(session, member.member_id, fate.event_id, product, new, contribution=due.units)
    return _standing(tenant, figures, member, (*before, new), today)


async def show_declared(session: AsyncSession, tenant: Tenant, member: MemberRef) -> Incomes:
    """Return what a member declared in a product.

    Raises:
        NoDeclaredIncome: that is nothing.
    """
    key = (member.member_id, member.product)
    declared = (await queries.declared_incomes(session, [key])).get(key, ())
    if not declared:
        raise NoDeclaredIncome(product=member.product)
    today = business_date(await ledger.scheme_now(session), tenant.time_zone)
    return _standing(tenant, await figures_now(session, tenant), member, declared, today)


def declared_products(tenant: Tenant) -> frozenset[str]:
    """Return the products in which contributions are ever a share of a declared income."""
    return products_with(tenant, DeclaredIncomeRule)


async def declared_by(
    session: AsyncSession, tenant: Tenant, members: Sequence[MemberRef]
) -> dict[tuple[int, str], tuple[DeclaredIncome, ...]]:
    """Return what members declared, by (member_id, product); nothing is read where no product asks for it."""
    asking = declared_products(tenant)
    asked = sorted({(one.member_id, one.product) for one in members if one.product in asking})
    return await queries.declared_incomes(session, asked)


def decide_declared(
    tenant: Tenant,
    figures: Figures,
    known: Mapping[tuple[int, str], tuple[DeclaredIncome, ...]],
    paying: Sequence[Paying],
) -> list[AsDeclared | None]:
    """Return what each payment of members' own money is of what their income makes due, in their order; None where none counts."""
    return [_decide(tenant, figures, one, known.get((one.member.member_id, one.member.product), ())) for one in paying]


async def decide_by_income(
    session: AsyncSession,
    tenant: Tenant,
    figures: Figures,
    member: MemberRef,
    on: date,
    amount: Amount,
    *,
    origin: str = OWN,
) -> AsDeclared | None:
    """Return what one contribution would be of what its member's income makes due; None where none counts.

    Raises:
        NotTheInstalment: it is no whole number of contributions.
    """
    if origin != OWN:
        return None
    known = await declared_by(session, tenant, [member])
    (decided,) = decide_declared(tenant, figures, known, [Paying(member, on, amount)])
    if decided is not None and isinstance(decided.answer, EngineError):
        raise decided.answer
    return decided


def _decide(tenant: Tenant, figures: Figures, one: Paying, declared: Sequence[DeclaredIncome]) -> AsDeclared | None:
    member, counts = one.member, income_on(declared, one.on)
    rule = rule_of(tenant, DeclaredIncomeRule, product=member.product, on=one.on, joined_on=member.joined_on)
    if counts is None or rule is None:
        return None
    due = _due(rule.rule, Amount(counts.income, tenant.asset), figures, one.on)
    if not due.units:
        return None
    try:
        return AsDeclared(due, check_instalment(one.amount, due, "whole-instalments"), (rule.ref,))
    except EngineError as refusal:
        return AsDeclared(due, refusal, (rule.ref,))


def _due(rule: DeclaredIncomeRule, income: Amount, figures: Figures, on: date) -> Amount:
    return declared_contribution(rule, income_that_counts(rule, income, figures, on))


def _standing(
    tenant: Tenant, figures: Figures, member: MemberRef, declared: tuple[DeclaredIncome, ...], today: date
) -> Incomes:
    counts = income_on(declared, today)
    rule = rule_of(tenant, DeclaredIncomeRule, product=member.product, on=today, joined_on=member.joined_on)
    due = None
    if counts is not None and rule is not None:
        due = _due(rule.rule, Amount(counts.income, tenant.asset), figures, today)
    return Incomes(member.product, declared, due)


async def _keep_refusal(
    session: AsyncSession,
    tenant: Tenant,
    member: MemberRef,
    rule: InForce[DeclaredIncomeRule] | None,
    from_on: date,
    refusal: EngineError,
    today: date,
) -> EngineError:
    """Put on record what was refused and why, without the income; return the refusal with its number."""
    determination = Determination(
        kind="declared-income",
        product=member.product,
        decided_on=today,
        rules=(rule.ref,) if rule else (),
        member_id=member.member_id,
        code=refusal.code,
        inputs={"from": from_on.isoformat()},
        outcome=refusal.details,
    )
    (number,) = await tenancy.record(session, tenant, [determination])
    tenancy.tell_refusal(refusal, tenant, number, determination)
    return refusal
