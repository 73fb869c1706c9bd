"""What the pool of a product that declares interest earned: told by one person, approved by another, shared out by the year's final run.

Approved it stands as due from whoever holds the pool: Dr due-to-party / Cr pool-income. The final run of its year takes it from there
into the reserve that interest is paid from.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from engine.access.rules import checked_by_other
from engine.funds.errors import (
    NoPool,
    PoolIncomeChanged,
    PoolIncomeDecided,
    PoolIncomeMissing,
    PoolIncomeShort,
    PoolReferenceUsed,
    UnknownPoolIncome,
)
from engine.funds.queries import interest as interest_queries
from engine.funds.queries import pooling as queries
from engine.funds.queries.interest import Run
from engine.funds.queries.pooling import PoolIncome
from engine.funds.rules import DeclaredReturnRule
from engine.funds.rules.crediting import Weights
from engine.funds.rules.declaring import PoolTerms
from engine.funds.rules.pooling import YearSettled, settle_year
from engine.kernel.amounts import Amount
from engine.kernel.clock import business_date
from engine.kernel.ids import house_member
from engine.ledger import service as ledger
from engine.ledger.rules import Account, Entry, EventKind, Transfer
from engine.tenancy.service import Tenant


@dataclass(frozen=True, slots=True)
class RunPaid:
    """What a final run had to share out, and who gave what; smallest units. `transfers` book it."""

    distributed: int
    settled: YearSettled
    transfers: tuple[Transfer, ...]


async def propose_income(
    session: AsyncSession, tenant: Tenant, product: str, on: date, amount: Amount, *, reference: str, actor: str
) -> PoolIncome:
    """Tell what the pool earned in the scheme year that `on` lies in, once for its reference; below zero for a loss.

    Raises:
        NoPool: no rule of the product says that a pool pays its interest.
        PoolReferenceUsed: something else was told by the reference.
        UnknownProduct: the scheme has no such product.
    """
    year = tenant.product(product).scheme_year(on)
    pool = _pool_of(tenant, product, year)
    await interest_queries.hold_product(session, product)
    said = [product, year[0].isoformat(), amount.units, pool.held_by, reference]
    digest = hashlib.sha256(msgspec.json.encode(said)).hexdigest()
    known = await queries.told_by(session, product, reference)
    if known is not None:
        if known.digest != digest:
            raise PoolReferenceUsed(reference=reference)
        return known
    one = PoolIncome(0, product, year[0], amount.units, pool.held_by, reference, "proposed", digest, actor, "")
    number = await queries.add_income(session, one, await ledger.actor_id(session, actor))
    found = await find_income(session, number)
    event = await _note(session, tenant, EventKind.POOL_INCOME_PROPOSED, found, actor)
    await queries.note_proposed(session, number, event)
    return found


async def approve_income(session: AsyncSession, tenant: Tenant, number: int, digest: str, *, actor: str) -> PoolIncome:
    """Let an income count, as a second person who has seen what `digest` is of: Dr due-to-party / Cr pool-income.

    Raises:
        UnknownPoolIncome, PoolIncomeDecided: there is none of the number, or it was decided before.
        PoolIncomeChanged: `digest` is not of what was proposed.
        SamePerson: `actor` proposed it.
    """
    one = await _held(session, number, digest, actor)
    if one.state == "approved":
        return one
    pool = Account("pool-income", tenant.asset.symbol, one.product)
    holder = Account("due-to-party", tenant.asset.symbol, party=one.held_by)
    codes = await ledger.account_codes(session, {pool, holder})
    sides = (codes[holder], codes[pool]) if one.amount > 0 else (codes[pool], codes[holder])
    event = await _note(
        session, tenant, EventKind.POOL_INCOME_APPROVED, one, actor, [Transfer(abs(one.amount), *sides)]
    )
    return await _decided(session, one, "approved", event, actor)


async def reject_income(session: AsyncSession, tenant: Tenant, number: int, digest: str, *, actor: str) -> PoolIncome:
    """Refuse an income, as a second person; raises as `approve_income` does."""
    one = await _held(session, number, digest, actor)
    if one.state != "proposed":
        raise PoolIncomeDecided(state=one.state)
    event = await _note(session, tenant, EventKind.POOL_INCOME_REJECTED, one, actor)
    return await _decided(session, one, "rejected", event, actor)


async def find_income(session: AsyncSession, number: int) -> PoolIncome:
    """Return an income; UnknownPoolIncome if there is none of the number."""
    one = await queries.find_income(session, number)
    if one is None:
        raise UnknownPoolIncome
    return one


async def list_incomes(session: AsyncSession, *, most: int = 100) -> list[PoolIncome]:
    """Return the newest incomes, the newest first."""
    return await queries.list_incomes(session, most=most)


async def check_covered(
    session: AsyncSession, tenant: Tenant, run: Run, weighed: Sequence[Sequence[Weights]] | None
) -> None:
    """Refuse a final run whose pool does not pay for it, where the rule gives nobody else: counted for all members, or as booked by now.

    Raises:
        PoolIncomeMissing: nothing was told of the year.
        PoolIncomeShort: income and reserve are less than what the year credits.
    """
    pool = run.terms.pool
    if pool is None or not run.is_final:
        return
    if not await queries.has_income(session, run.product, run.year_from):
        raise PoolIncomeMissing(year=run.year_from.isoformat())
    if pool.short != "refused":
        return
    owed = 0
    if weighed is not None:
        for members in await interest_queries.ranges_of(session, run.run_no):
            owed += await interest_queries.foreseen_owed(session, run, members, weighed)
    reserve, _ = await _reserve(session, tenant, run)
    settled = settle_year(
        income=await queries.to_distribute(session, run.product, run.year_from),
        credited=owed,
        reserve=reserve,
        topped_up_before=0,
        tops_up=False,
    )
    if settled.short:
        raise PoolIncomeShort(
            year=run.year_from.isoformat(), lacks=f"{Amount(settled.short, tenant.asset).decimal():f}"
        )


async def pay_for_run(session: AsyncSession, tenant: Tenant, run: Run, credited: int) -> RunPaid:
    """Return what pays for a final run that credited as much, net: Dr pool-income / Cr interest-reserve, and what the sponsor adds or gets back.

    The sponsor's: Dr guarantee-receivable / Cr interest-reserve, or the sides exchanged.
    """
    pool = run.terms.pool
    if pool is None or not run.is_final:
        return RunPaid(0, YearSettled(reserved=0, topped_up=0, short=0), ())
    after, reserve = await _reserve(session, tenant, run)
    income = await queries.to_distribute(session, run.product, run.year_from)
    settled = settle_year(
        income=income,
        credited=credited,
        reserve=after + credited,
        topped_up_before=await queries.topped_up(session, run.product, run.year_from),
        tops_up=pool.tops_up is not None,
    )
    source = Account("pool-income", tenant.asset.symbol, run.product)
    sponsor = Account("guarantee-receivable", tenant.asset.symbol, run.product, party=pool.tops_up or "")
    codes = await ledger.account_codes(session, {source, sponsor} if settled.topped_up else {source})
    transfers = [
        Transfer(abs(minor), *((codes[other], reserve) if minor > 0 else (reserve, codes[other])))
        for minor, other in ((income, source), (settled.topped_up, sponsor))
        if minor
    ]
    return RunPaid(income, settled, tuple(transfers))


async def _reserve(session: AsyncSession, tenant: Tenant, run: Run) -> tuple[int, int]:
    """Return what is in the reserve of a run's product, and its code."""
    account = Account("interest-reserve", tenant.asset.symbol, run.product)
    code = (await ledger.account_codes(session, {account}))[account]
    return await ledger.credit_balance(session, code), code


def _pool_of(tenant: Tenant, product: str, year: tuple[date, date]) -> PoolTerms:
    for _, found in tenant.book(product).in_force_by_joining(DeclaredReturnRule, year):
        if found.rule.pool is not None:
            return found.rule.pool
    raise NoPool(product=product, day=year[0].isoformat())


async def _held(session: AsyncSession, number: int, digest: str, actor: str) -> PoolIncome:
    one = await queries.find_income(session, number, hold=True)
    if one is None:
        raise UnknownPoolIncome
    if one.digest != digest:
        raise PoolIncomeChanged
    checked_by_other(maker=one.maker, checker=actor)
    if one.state == "rejected":
        raise PoolIncomeDecided(state=one.state)
    return one


async def _decided(session: AsyncSession, one: PoolIncome, state: str, event: int, actor: str) -> PoolIncome:
    await queries.decide(
        session, one.number, state=state, checker=await ledger.actor_id(session, actor), event_id=event
    )
    return await find_income(session, one.number)


async def _note(
    session: AsyncSession,
    tenant: Tenant,
    kind: EventKind,
    one: PoolIncome,
    actor: str,
    transfers: Sequence[Transfer] = (),
) -> int:
    (posted,) = await ledger.post(
        session,
        [
            Entry(
                member_id=house_member(tenant.tenant_id),
                kind=kind,
                business_date=business_date(await ledger.scheme_now(session), tenant.time_zone),
                actor=await ledger.actor_id(session, actor),
                pack=tenant.pack_id,
                body={
                    "income": str(one.number),
                    "product": one.product,
                    "year_from": one.year_from.isoformat(),
                    "amount": str(one.amount),
                    "held_by": one.held_by,
                    "reference": one.reference,
                },
                transfers=transfers,
            )
        ],
    )
    return posted.event_id
