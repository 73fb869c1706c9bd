"""What goes on of a pension after the pensioner's death: the spouse's pension begins, and the corpus is what is left of it."""

from datetime import date

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from engine.benefits.queries import schedules as queries
from engine.benefits.queries.claiming import ClaimRow
from engine.benefits.queries.schedules import ScheduleRow, Survivor
from engine.benefits.rules import SpouseRule, life_proven
from engine.benefits.rules.estates import Entitled, Pensioned
from engine.benefits.rules.parameters import share_of
from engine.benefits.rules.schedules import SchedulePlan, ScheduleTerms
from engine.benefits.service.living import Stop, life_rule
from engine.benefits.service.scheduling import note
from engine.kernel.clock import business_date
from engine.ledger import service as ledger
from engine.ledger.rules import Account, EventKind
from engine.tenancy import service as tenancy
from engine.tenancy.rules.books import InForce
from engine.tenancy.service import Tenant


async def end_at_death(
    session: AsyncSession, tenant: Tenant, member_id: int, product: str, died_on: date
) -> ScheduleRow | None:
    """End the pension of a member who has died, once, and return it; None where they had none.

    What their own pot holds is free to be claimed then.
    """
    row = await queries.pension_of(session, member_id, product)
    if row is None:
        return None
    await Stop(died_on)(session, tenant, row)
    return await queries.pension_of(session, member_id, product)


async def end_survivors(session: AsyncSession, tenant: Tenant, row: ClaimRow, heir_no: int, died_on: date) -> None:
    """End the pension of a survivor who has died, or renounces it."""
    pension = await queries.pension_of(session, row.member_id, row.product)
    survivor = None if pension is None else await queries.survivor_of(session, pension.claim_id)
    if survivor is not None and survivor.heir_no == heir_no:
        await Stop(died_on)(session, tenant, survivor)


async def begin_survivors(
    session: AsyncSession, tenant: Tenant, row: ClaimRow, found: Entitled, rule: InForce[SpouseRule], *, actor: str
) -> SchedulePlan | None:
    """Begin the pension of a member's spouse, once, with the first payment that is not the member's any more; return it.

    It is the rule's share of the member's, by the same calendar and out of the same pot and pools. None where the member's is
    no amount that is fixed for good: an index, or what is left of a pot, has no share.
    """
    pension = await queries.pension_of(session, row.member_id, row.product)
    if pension is None or pension.stops_on is None:
        return None
    begun = await queries.survivor_of(session, pension.claim_id)
    if begun is not None and begun.stops_on is None:
        return begun.plan
    plan = await _plan_of(session, tenant, pension, found, rule)
    if plan is None:
        return None
    today = business_date(await ledger.scheme_now(session), tenant.time_zone)
    money, order = tenant.asset.symbol, plan.terms.order
    due_to = [Account("heirs", money, row.product, pot, origin) for pot in order.pots for origin in order.origins]
    codes = await ledger.account_codes(session, set(due_to))
    life = life_rule(tenant, row.product, today, plan.started_on)
    trace = {**tenancy.trace(row.product, plan.rules), "terms": queries.stored(plan.terms)}
    decision = await ledger.decision_id(session, trace)
    body = {
        "after": str(pension.claim_id), "to": str(row.claim_id), "amount": str(plan.amount),
        "first_due_on": plan.due_on(1).isoformat(),
    }  # fmt: skip
    event = await note(session, tenant, EventKind.SURVIVOR_PENSION_BEGUN, pension, actor, body)
    await queries.add_schedule(
        session,
        member_id=row.member_id,
        claim_id=row.claim_id,
        product=row.product,
        plan=plan,
        decision=decision,
        event_id=event,
        cash=pension.cash,
        payable=[codes[one] for one in due_to],
        life_until=life_proven(life.rule, today).until if life else None,
        survivor=Survivor(found.survivor, pension.claim_id, rule.rule.set_off_bp, today),
    )
    return plan


async def _plan_of(
    session: AsyncSession, tenant: Tenant, pension: ScheduleRow, found: Entitled, rule: InForce[SpouseRule]
) -> SchedulePlan | None:
    plan, stops_on = pension.plan, pension.stops_on
    if plan.terms.pension is None or plan.terms.form == "drawdown" or plan.terms.pension.indexed_by is not None:
        return None
    assert stops_on is not None, pension
    amount = plan.amount_of(1, await tenancy.figures_for(session, tenant), tenant.pack.tables)
    assert amount is not None, pension
    first = next(number for number in range(1, pension.number + 10_000) if plan.due_on(number) >= stops_on)
    return msgspec.structs.replace(
        plan,
        terms=ScheduleTerms(form="fixed", order=plan.terms.order, pension=plan.terms.pension),
        rules=(rule.ref, *plan.rules),
        lead_months=plan.lead_months + (first - 1) * plan.every_months,
        amount=share_of(amount, found.pension_bp, rule.rule.rounding),
        guaranteed_until=None,
    )


def pensioned(row: ScheduleRow) -> Pensioned:
    """Return what a corpus by a table is worked out from once a pension has ended."""
    reserve, order = row.plan.reserve, row.plan.terms.order
    return Pensioned(
        keys=row.plan.keys,
        reserve=reserve.minor if reserve else 0,
        role=reserve.role if reserve else "",
        place=(order.pots[0], order.origins[0]),
    )
