"""What goes on of a pension after the pensioner's death: the spouse's pension, what is guaranteed to the heirs, and the corpus."""

from datetime import date

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from engine.benefits.errors import PayoutUnderWay
from engine.benefits.queries import schedules as queries
from engine.benefits.queries.claiming import ClaimRow
from engine.benefits.queries.schedules import ScheduleRow, Survivor
from engine.benefits.rules import GuaranteePeriodRule, SpouseRule, life_proven
from engine.benefits.rules.estates import Entitled, Pensioned, share_parts
from engine.benefits.rules.parameters import share_of
from engine.benefits.rules.schedules import SchedulePlan, ScheduleTerms
from engine.benefits.service.living import Stop, life_rule
from engine.benefits.service.scheduling import note
from engine.kernel.clock import business_date
from engine.kernel.rules import Dates
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
    first = _first_from(pension, stops_on)
    return msgspec.structs.replace(
        plan,
        terms=ScheduleTerms(form="fixed", order=plan.terms.order, pension=plan.terms.pension),
        rules=(rule.ref, *plan.rules),
        lead_months=plan.lead_months + (first - 1) * plan.every_months,
        amount=share_of(amount, found.pension_bp, rule.rule.rounding),
        guaranteed_until=None,
    )


async def begin_guaranteed(session: AsyncSession, tenant: Tenant, row: ClaimRow, *, actor: str) -> None:
    """Let the heirs of a death's claim have what is guaranteed of the pension after it, once: each a share of every payment.

    Each payment is the rule's share of the member's, divided by the claim's shares with nothing lost (largest remainders), and
    is paid by payrolls out of the pool, to the last one before the guarantee ends. A pension that the member's own pot pays
    has no more to give than that pot, which the heirs inherit whole; one that follows an index has no amount to divide.
    """
    pension = await queries.pension_of(session, row.member_id, row.product)
    if pension is None or pension.stops_on is None or pension.plan.reserve is None:
        return
    begun = [
        one for one in await queries.guaranteed_of(session, pension.claim_id) if one.stops_on != one.plan.due_on(1)
    ]
    if begun:
        return
    survivor = await queries.survivor_of(session, pension.claim_id)
    after = pension.stops_on
    if survivor is not None and survivor.stops_on is not None:
        after = max(after, survivor.stops_on)
    await _guarantee(session, tenant, row, pension, after, actor)


async def share_guaranteed_anew(session: AsyncSession, tenant: Tenant, row: ClaimRow, *, actor: str) -> None:
    """Divide what is still guaranteed of a pension by the new shares of a death's claim, from the next payment on.

    Raises:
        PayoutUnderWay: a payroll that waits counts on the shares before.
    """
    pension = await queries.pension_of(session, row.member_id, row.product)
    if pension is None:
        return
    begun = [
        one for one in await queries.guaranteed_of(session, pension.claim_id) if one.stops_on != one.plan.due_on(1)
    ]
    if not begun:
        return
    after = max(one.plan.due_on(one.number + 1) for one in begun)
    if await queries.cut_short(session, [one.claim_id for one in begun], after):
        raise PayoutUnderWay
    await _guarantee(session, tenant, row, pension, after, actor)


async def _guarantee(
    session: AsyncSession, tenant: Tenant, row: ClaimRow, pension: ScheduleRow, after: date, actor: str
) -> None:
    """Begin the heirs' shares of the payments from a day on that are guaranteed."""
    plan, until = pension.plan, pension.plan.guaranteed_until
    weights = {int(heir): weight for heir, weight in row.estate.shares.items()} if row.estate else {}
    if until is None or not sum(weights.values()) or plan.due_on(first := _first_from(pension, after)) >= until:
        return
    if plan.terms.pension is None or plan.terms.form == "drawdown" or plan.terms.pension.indexed_by is not None:
        return
    begun = Dates(
        on=plan.started_on, joined_on=plan.started_on, born_on=plan.started_on, tranche_on=plan.started_on,
        scheme_year_from=plan.started_on, benefit_from=plan.started_on, died_on=row.estate.died_on if row.estate else None,
    )  # fmt: skip
    rule = tenant.rule(GuaranteePeriodRule, product=row.product, dates=begun)
    amount = plan.amount_of(1, await tenancy.figures_for(session, tenant), tenant.pack.tables)
    if rule is None or amount is None:
        return
    amount = share_of(amount, rule.rule.share_bp, rule.rule.rounding)
    place = (plan.terms.order.pots[0], plan.terms.order.origins[0])
    money, order = tenant.asset.symbol, plan.terms.order
    due_to = [Account("heirs", money, row.product, pot, origin) for pot in order.pots for origin in order.origins]
    codes = await ledger.account_codes(session, set(due_to))
    for heir, parts in sorted(share_parts({place: amount}, weights).items()):
        share = msgspec.structs.replace(
            plan,
            terms=ScheduleTerms(form="fixed", order=order, pension=plan.terms.pension),
            rules=(rule.ref, *plan.rules),
            lead_months=plan.lead_months + (first - 1) * plan.every_months,
            amount=sum(parts.values()),
            guaranteed_until=None,
        )
        if not share.amount:
            continue
        trace = {**tenancy.trace(row.product, share.rules), "terms": queries.stored(share.terms)}
        body = {
            "to": str(row.claim_id), "heir": str(heir), "amount": str(share.amount),
            "first_due_on": share.due_on(1).isoformat(), "until": until.isoformat(),
        }  # fmt: skip
        event = await note(session, tenant, EventKind.GUARANTEED_BEGUN, pension, actor, body)
        await queries.add_schedule(
            session,
            member_id=row.member_id,
            claim_id=event,
            product=row.product,
            plan=share,
            decision=await ledger.decision_id(session, trace),
            event_id=event,
            cash=pension.cash,
            payable=[codes[one] for one in due_to],
            life_until=None,
            survivor=Survivor(heir, pension.claim_id, 0, share.due_on(1), row.claim_id),
            stops_on=until,
        )


def _first_from(pension: ScheduleRow, day: date) -> int:
    return next(number for number in range(1, pension.number + 10_000) if pension.plan.due_on(number) >= day)


def pensioned(row: ScheduleRow) -> Pensioned:
    """Return what a corpus by a table is worked out from once a pension has ended."""
    reserve, order = row.plan.reserve, row.plan.terms.order
    return Pensioned(
        keys=row.plan.keys,
        reserve=reserve.minor if reserve else 0,
        role=reserve.role if reserve else "",
        place=(order.pots[0], order.origins[0]),
    )
