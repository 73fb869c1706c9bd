"""Putting reconciled cash into open dealings, and taking it out again before they close."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from engine.funds.errors import NoFundChoice
from engine.funds.queries import dealings as queries
from engine.funds.queries import prices as price_queries
from engine.funds.queries.dealings import Cohort, Share
from engine.funds.rules import (
    DealingRule,
    FundChoiceRule,
    FundsRule,
    LifePathRule,
    PathShares,
    ReconciledReceipt,
    dealing_day,
    member_shares,
    years_count_until,
)
from engine.kernel.clock import business_date
from engine.kernel.rules import Dates
from engine.ledger import service as ledger
from engine.runtime.logging import get_logger
from engine.tenancy.rules.books import InForce
from engine.tenancy.service import Tenant

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Allocated:
    """What went into dealings: the sum in smallest units of money, and the rules that said where.

    `without_choice` names the receipts, as (member_id, event_id), whose members no rule gives a fund: try them again.
    Receipts of products that deal in no fund are in neither.
    """

    amount: int = 0
    without_choice: tuple[tuple[int, int], ...] = ()
    rules: tuple[str, ...] = ()


class AllocationState(StrEnum):
    """How far a receipt's cash has come; derived, never stored."""

    ALLOCATED = "allocated"
    ORDERED = "ordered"
    PRICED = "priced"


async def allocate(session: AsyncSession, tenant: Tenant, receipts: Sequence[ReconciledReceipt]) -> Allocated:
    """Put the cash of reconciled receipts into the open dealings of their products, in the caller's transaction.

    Each cash account's amount is split over the funds that the member has chosen, or that the rules choose by age, by the
    member's group or for everybody: each share rounded down, the rest
    to the first fund by code. Call it once for each receipt: a second time is an error of the database.

    Args:
        session: of the application's or the jobs role; the dealings stay open until it ends.
        tenant: whose receipts they are.
        receipts: at most some 20,000, each with cash transfers of its own member.

    """
    if not receipts:
        return Allocated()
    await queries.stage_receipts(session, receipts)
    return await allocate_staged(session, tenant)


async def stage_nothing(session: AsyncSession) -> None:
    """Make an empty table `staged_receipts` (member_id, event_id, collected) of this transaction, for `allocate_staged`."""
    await queries.stage_receipts(session)


async def allocate_staged(session: AsyncSession, tenant: Tenant) -> Allocated:
    """Put the cash of the receipts in `staged_receipts` into the open dealings of their products, as `allocate`."""
    now = await ledger.scheme_now(session)
    today = business_date(now, tenant.pack.time_zone)
    by_joining = [product.code for product in tenant.pack.products if _goes_by_joining(tenant, product.code)]
    paths = {product.code: path for product in tenant.pack.products if (path := _path(tenant, product.code, today))}
    by_age = {
        code: years_count_until(path.rule, today, tenant.product(code).scheme_year(today)[0])
        for code, path in paths.items()
    }
    by_choice = [product.code for product in tenant.pack.products if _members_choose(tenant, product.code)]
    shares: list[Share] = []
    unchosen_products: set[str] = set()
    rules: set[str] = set()
    dealings: dict[str, tuple[int, date]] = {}
    for cohort in await queries.cohorts(session, by_joining=by_joining, by_age=by_age, by_choice=by_choice):
        funds = tenant.rule(FundsRule, product=cohort.product, dates=Dates(on=today, joined_on=cohort.joined_on))
        dealing = tenant.rule(DealingRule, product=cohort.product, dates=Dates(on=today))
        if funds is None:
            continue
        choice = tenant.rule(FundChoiceRule, product=cohort.product, dates=Dates(on=today, joined_on=cohort.joined_on))
        found = _chosen(cohort, paths.get(cohort.product), choice, {fund.code for fund in funds.rule.funds}, today)
        if dealing is None or found is None:
            unchosen_products.add(cohort.product)
            continue
        chosen = found.shares
        if not chosen.keys() <= {fund.code for fund in funds.rule.funds}:
            _log.error("a fund was chosen that the product does not deal in", tenant=tenant.code, code=found.rules[0])
            unchosen_products.add(cohort.product)
            continue
        rules.update((funds.ref, *found.rules))
        numbers = await price_queries.intern_funds(session, [funds.rule.fund(code) for code in chosen])
        if cohort.product not in dealings:
            day = dealing_day(now, tenant.pack.time_zone, dealing.rule.cut_off)
            dealings[cohort.product] = (await queries.open_dealing(session, cohort.product, day), day)
        number, day = dealings[cohort.product]
        shares.extend(
            Share(cohort, numbers[code], share, code == min(chosen), number, day) for code, share in chosen.items()
        )
    amount, without = await queries.allocate(session, shares, waiting=sorted(unchosen_products))
    return Allocated(amount, tuple(without), tuple(sorted(rules)))


def _path(tenant: Tenant, product: str, today: date) -> InForce[LifePathRule] | None:
    return tenant.rule(LifePathRule, product=product, dates=Dates(on=today))


def _chosen(
    cohort: Cohort,
    path: InForce[LifePathRule] | None,
    choice: InForce[FundChoiceRule] | None,
    dealt: Collection[str],
    today: date,
) -> PathShares | None:
    """Return where a cohort's money goes: by its own choice, as long as the product deals in all of it; else by the rules."""
    own: Mapping[str, int] = msgspec.json.decode(cohort.chosen, type=dict[str, int]) if cohort.chosen else {}
    if choice is not None and choice.rule.members_choose and own and own.keys() <= set(dealt):
        return PathShares(None, own, "new-money", (choice.ref,))
    try:
        return member_shares(path, choice, group=cohort.group, age=cohort.age, on=today)
    except NoFundChoice:
        return None


def _members_choose(tenant: Tenant, product: str) -> bool:
    return any(
        isinstance(version.rule, FundChoiceRule) and version.rule.members_choose
        for version in tenant.book(product).versions()
    )


def _goes_by_joining(tenant: Tenant, product: str) -> bool:
    return any(
        isinstance(version.rule, FundChoiceRule) and version.rule.applies_by == "joining"
        for version in tenant.book(product).versions()
    )


async def hold_allocating(session: AsyncSession) -> None:
    """Wait until no other transaction puts receipts into dealings or takes them back; keep others waiting until this ends."""
    await queries.hold_allocating(session)


async def release(session: AsyncSession, receipts: Sequence[tuple[int, int]]) -> int:
    """Take the cash of receipts, as (member_id, event_id), out of open dealings; needs the jobs role.

    Returns the sum released, in smallest units of money. The database refuses it for a dealing that was closed.
    """
    return await queries.release(session, receipts)


async def allocation_state(session: AsyncSession, member_id: int, event_id: int) -> AllocationState | None:
    """Return how far a receipt's cash has come, or None if it is in no dealing: not reconciled, suspended, or not dealt."""
    found = await queries.allocation_state(session, member_id, event_id)
    if found is None:
        return None
    allocated, ordered, priced = found
    if priced == allocated:
        return AllocationState.PRICED
    return AllocationState.ORDERED if ordered else AllocationState.ALLOCATED


async def hold_allocation(session: AsyncSession, member_id: int, event_id: int) -> AllocationState | None:
    """Return how far a receipt's cash has come, as `allocation_state`; an open dealing stays open until the session ends."""
    await queries.hold_dealing_of(session, member_id, event_id)
    return await allocation_state(session, member_id, event_id)
