"""Pensioners who prove to be alive, and pensions that a death ends: what was paid for time after is owed back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy.ext.asyncio import AsyncSession

from engine.benefits.errors import NoSuchRule, UnknownPension
from engine.benefits.queries import schedules as queries
from engine.benefits.queries.schedules import ScheduleRow
from engine.benefits.rules import ProofOfLifeRule, check_life_proof, ends_on, life_proven
from engine.benefits.service.scheduling import find_pension, note
from engine.kernel.clock import business_date
from engine.kernel.rules import Dates
from engine.ledger import service as ledger
from engine.ledger.rules import Account, EventKind, Transfer
from engine.runtime.database import Database, retry_transaction
from engine.tenancy.rules.books import InForce
from engine.tenancy.service import Tenant, figures_for

_ACTOR = "system:pensions"


async def prove_life(
    session: AsyncSession, tenant: Tenant, claim_id: int, *, seen_on: date, source: str, actor: str
) -> ScheduleRow:
    """Record that a pensioner was seen alive; what was held back is paid by the next payroll.

    Raises:
        UnknownPension: the claim pays nothing over time.
        NoSuchRule: nobody has to prove to be alive.
        LifeProofNotTaken: its source is not one of the rule's, or its day has not come.
    """
    row = await queries.find_schedule(session, claim_id, hold=True)
    if row is None:
        raise UnknownPension
    today = business_date(await ledger.scheme_now(session), tenant.time_zone)
    found = life_rule(tenant, row.product, today, row.plan.started_on)
    if found is None:
        raise NoSuchRule(rule="proof-of-life")
    check_life_proof(found, seen_on, source, today)
    event = await note(
        session, tenant, EventKind.LIFE_PROVEN, row, actor, {"seen_on": seen_on.isoformat(), "source": source}
    )
    await queries.add_proof(session, row, event, seen_on, source, life_proven(found.rule, seen_on).until)
    return await find_pension(session, claim_id)


def life_rule(tenant: Tenant, product: str, on: date, started_on: date) -> InForce[ProofOfLifeRule] | None:
    """Return the rule on proofs of life that is in force for a pension."""
    dates = Dates(
        on=on, joined_on=started_on, born_on=started_on, tranche_on=on, scheme_year_from=on, benefit_from=started_on
    )
    return tenant.rule(ProofOfLifeRule, product=product, dates=dates)


async def stop_pensions(db: Database, tenant: Tenant, product: str) -> int:
    """End pensions of who died, let go on those of who did not, and take back what came home; return how many changed.

    Of what was posted for time after the death, what is still payable goes back to the pot and the pools, and so does its
    tax; what was paid stands as a receivable, Dr overpayment-receivable, until it comes home, or is set off against what a
    survivor gets. What is still payable for time before goes over to the survivor, Dr payable / Cr heirs. Each in a
    transaction of its own.
    """
    async with db.unit_of_work(tenant.tenant_id) as session:
        died = await queries.died(session, product)
        again = await queries.alive_again(session, product)
    done = 0
    for claim_id, died_on in died:
        done += await _each(db, tenant, claim_id, Stop(died_on))
    for claim_id in again:
        done += await _each(db, tenant, claim_id, _Resume())
    async with db.unit_of_work(tenant.tenant_id) as session:
        back = await queries.recoverable(session, product)
    for claim_id, _, _ in back:
        done += await _each(db, tenant, claim_id, _Recover())
    async with db.unit_of_work(tenant.tenant_id) as session:
        owed = await queries.to_pass_on(session, product)
    for claim_id, _ in owed:
        done += await _each(db, tenant, claim_id, _PassOn())
    return done


class Stop:
    """End a pension at the day that the rule says; one that never began to be due, a survivor's of who lives, as a `whole`."""

    def __init__(self, died_on: date, *, whole: bool = False) -> None:
        self.died_on, self.whole = died_on, whole

    async def __call__(self, session: AsyncSession, tenant: Tenant, row: ScheduleRow) -> bool:
        if row.stops_on is not None and not self.whole:
            return False
        rule = life_rule(tenant, row.product, self.died_on, row.plan.started_on)
        stops_on = row.plan.due_on(1) if self.whole else ends_on(rule.rule if rule else None, self.died_on)
        late = await queries.posted_after(session, row.claim_id, stops_on)
        before = await queries.find_schedule(session, row.after_claim, hold=True) if row.after_claim else None
        home = late.brought if self.whole else [0] * len(late.brought)
        back = [net + one for net, one in zip(late.net, home, strict=True)]
        source = await queries.payable_codes(session, row.after_claim) if any(home) else []
        await ledger.hold_balances(session, row.member_id, [*late.cash, *late.payable, *source])
        money = tenant.asset.symbol
        tax = Account("tax-withheld", money, row.product)
        receivable = Account("overpayment-receivable", money, row.product)
        codes = await ledger.account_codes(session, {tax, receivable})
        unpaid = [min(minor, max(left, 0)) for minor, left in zip(back, late.unpaid, strict=True)]
        overpaid = [minor - left for minor, left in zip(back, unpaid, strict=True)]
        transfers = paired(
            [
                *zip(late.payable, unpaid, strict=True),
                (codes[receivable], sum(overpaid) + late.recovered),
                (codes[tax], late.tax),
            ],
            [*zip(late.cash, late.taken, strict=True), *late.pooled.items(), *zip(source, home, strict=False)],
        )
        body: Mapping[str, object] = {"stops_on": stops_on.isoformat(), "overpaid": str(sum(overpaid))}
        event = await note(session, tenant, EventKind.PENSION_STOPPED, row, _ACTOR, body, transfers)
        await queries.stop(session, row, event, stops_on, overpaid)
        if before is not None and late.recovered:
            await queries.owe_again(session, before, late.recovered)
        if before is not None and any(home):
            await queries.pass_on(session, before, row, [-one for one in home])
        return True


class _PassOn:
    """Let a survivor have what was payable of a pension for time before the death: Dr payable / Cr heirs."""

    async def __call__(self, session: AsyncSession, tenant: Tenant, row: ScheduleRow) -> bool:
        owed = dict(await queries.to_pass_on(session, row.product)).get(row.claim_id)
        survivor = await queries.survivor_of(session, row.claim_id)
        if owed is None or survivor is None:
            return False
        source, to = [await queries.payable_codes(session, one) for one in (row.claim_id, survivor.claim_id)]
        held = await ledger.hold_balances(session, row.member_id, source)
        owed = [min(minor, held.get(code, 0)) for code, minor in zip(source, owed, strict=True)]
        transfers = [Transfer(minor, one, other) for minor, one, other in zip(owed, source, to, strict=True) if minor]
        if not transfers:
            return False
        body = {"to": str(survivor.claim_id), "amount": str(sum(owed))}
        await note(session, tenant, EventKind.PENSION_PASSED_ON, row, _ACTOR, body, transfers)
        await queries.pass_on(session, row, survivor, owed)
        return True


class _Resume:
    """Let a pension go on whose death was not true; what was reversed falls due anew, and a survivor's pension never was."""

    async def __call__(self, session: AsyncSession, tenant: Tenant, row: ScheduleRow) -> bool:
        if row.stops_on is None:
            return False
        survivor = await queries.survivor_of(session, row.claim_id)
        if survivor is not None and survivor.stops_on != survivor.plan.due_on(1):
            await Stop(row.stops_on, whole=True)(session, tenant, survivor)
        for one in await queries.guaranteed_of(session, row.claim_id):
            if one.stops_on != one.plan.due_on(1):
                await Stop(row.stops_on, whole=True)(session, tenant, one)
        await note(session, tenant, EventKind.PENSION_RESUMED, row, _ACTOR, {})
        await queries.resume(session, row)
        return True


class _Recover:
    """Take back what was overpaid and is payable again: it came home, or fell due after all."""

    async def __call__(self, session: AsyncSession, tenant: Tenant, row: ScheduleRow) -> bool:
        found = {claim_id: (codes, back) for claim_id, codes, back in await queries.recoverable(session, row.product)}
        if row.claim_id not in found:
            return False
        payable, back = found[row.claim_id]
        held = await ledger.hold_balances(session, row.member_id, payable)
        back = [min(minor, held.get(code, 0)) for code, minor in zip(payable, back, strict=True)]
        receivable = Account("overpayment-receivable", tenant.asset.symbol, row.product)
        codes = await ledger.account_codes(session, {receivable})
        transfers = paired(list(zip(payable, back, strict=True)), [(codes[receivable], sum(back))])
        if not transfers:
            return False
        await note(
            session, tenant, EventKind.OVERPAYMENT_RECOVERED, row, _ACTOR, {"recovered": str(sum(back))}, transfers
        )
        await queries.recovered(session, row, back)
        return True


async def _each(db: Database, tenant: Tenant, claim_id: int, act: Stop | _Resume | _Recover | _PassOn) -> bool:
    async def once() -> bool:
        async with db.unit_of_work(tenant.tenant_id) as session:
            row = await queries.find_schedule(session, claim_id, hold=True)
            return row is not None and await act(session, tenant, row)

    return await retry_transaction(once)


def paired(debits: Sequence[tuple[int, int]], credits_: Sequence[tuple[int, int]]) -> list[Transfer]:
    """Return transfers that debit and credit codes by smallest units, each side's in its order; both add up to the same."""
    assert sum(minor for _, minor in debits) == sum(minor for _, minor in credits_), (debits, credits_)
    left, right = ([[code, minor] for code, minor in side if minor] for side in (debits, credits_))
    found = []
    while left and right:
        minor = min(left[0][1], right[0][1])
        found.append(Transfer(minor, left[0][0], right[0][0]))
        for side in (left, right):
            side[0][1] -= minor
            if not side[0][1]:
                side.pop(0)
    return found


@dataclass(frozen=True, slots=True)
class Guaranteed:
    """What is left of a pension's guarantee period: the payments' days, and what each comes to by figures known now.

    Smallest units; `minor` is None where an index says nothing for its day yet.
    """

    number: int
    due_on: date
    minor: int | None


async def remaining_guaranteed(session: AsyncSession, tenant: Tenant, claim_id: int) -> list[Guaranteed]:
    """Return the payments that are guaranteed whether the pensioner lives or not, were not posted and are not their heirs' yet.

    Raises:
        UnknownPension: the claim pays nothing over time.
    """
    row = await find_pension(session, claim_id)
    until = row.plan.guaranteed_until
    shared = await queries.guaranteed_of(session, claim_id)
    if until is None or any(one.stops_on != one.plan.due_on(1) for one in shared):
        return []
    figures = await figures_for(session, tenant)
    found, number = [], row.number + 1
    while row.plan.due_on(number) < until:
        found.append(
            Guaranteed(number, row.plan.due_on(number), row.plan.amount_of(number, figures, tenant.pack.tables))
        )
        number += 1
    return found
