"""Payments that no member has been found for: what lies there, for how long, and what becomes of it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from engine.contributions import queries
from engine.contributions.errors import AlreadyResolved, UnknownSuspense
from engine.contributions.queries import suspense as owning
from engine.contributions.queries.suspense import Lying
from engine.contributions.rules import (
    GO_BACK,
    LOAN_REPAYMENT,
    Payment,
    PoolRule,
    Suspended,
    SuspenseFigures,
    SuspenseOf,
    goes_back,
    loan_number,
)
from engine.contributions.service.rules_of import rules_of
from engine.kernel.amounts import Amount
from engine.kernel.clock import business_date
from engine.kernel.ids import house_member
from engine.ledger import service as ledger
from engine.runtime.jobs import promise
from engine.runtime.key_file import FileKeyStore
from engine.runtime.sealing import unseal
from engine.tenancy.rules.books import InForce
from engine.tenancy.service import Tenant

WRONG_MEMBER = "wrong-member"
"""Why a payment that was posted to a wrong member lies in suspense, until it is given to the right one."""
_OLDEST = 100_000
AGES = ((0, 7), (8, 30), (31, 90), (91, 365), (366, _OLDEST))
"""Stretches of days since a payment was received, first and last included."""


@dataclass(frozen=True, slots=True)
class Held:
    """A payment in suspense: smallest units, the channel that it came by, and the day.

    `receipt` is the receipt, as (member_id, event_id), whose money it is: its own, or that of the payment it is a part of.
    """

    amount: int
    channel: str
    receipt: tuple[int, int]
    received_on: date


async def hold_in_suspense(session: AsyncSession, receipt: int) -> Held:
    """Return a suspended payment that nobody has got; until the transaction ends, nobody else decides on it.

    Raises:
        UnknownSuspense, AlreadyResolved (given to a member, taken back, or sent back).
    """
    row = await queries.hold_suspense(session, receipt)
    if row is None:
        raise UnknownSuspense
    if row.resolved:
        raise AlreadyResolved
    house = house_member(session.info["tenant_id"])
    return Held(row.amount, row.channel, row.of or (house, receipt), row.received_on)


async def begin_refund(session: AsyncSession, receipt: int, event_id: int) -> None:
    """Note that a held payment goes back to whoever paid it, by an event."""
    await queries.add_refund(session, receipt, refunded_event=event_id)


async def end_refund(session: AsyncSession, receipt: int, event_id: int) -> None:
    """Note that what went back came home, by an event: it lies in suspense again."""
    await queries.end_refund(session, receipt, home_event=event_id)


async def payments_to_loans(
    session: AsyncSession, keys: FileKeyStore, tenant: Tenant, *, after: int, most: int
) -> list[tuple[int, int]]:
    """Return (receipt, the loan it names) of held payments after receipt `after` that name a loan, oldest first."""
    rows = await queries.list_suspense(session, after=after, most=most, reason=LOAN_REPAYMENT)
    found = []
    for row in rows:
        raw = unseal(keys, tenant.tenant_id, "suspense", row.event_id, row.document)
        found.append((row.event_id, loan_number(msgspec.json.decode(raw, type=Payment).member) or 0))
    return found


async def payments_of(
    session: AsyncSession, keys: FileKeyStore, tenant: Tenant, receipts: Sequence[int]
) -> dict[int, Payment]:
    """Return suspended payments as they came, resolved or not, by receipt."""
    return {
        row.event_id: msgspec.json.decode(
            unseal(keys, tenant.tenant_id, "suspense", row.event_id, row.document), type=Payment
        )
        for row in await queries.find_suspended(session, receipts)
    }


async def references_in_suspense(
    session: AsyncSession, keys: FileKeyStore, tenant: Tenant, receipts: Sequence[int]
) -> dict[int, frozenset[str]]:
    """Return what suspended payments are called, in lower case: by their payer, and by who brought them."""
    found = {}
    for receipt, payment in (await payments_of(session, keys, tenant, receipts)).items():
        names = (name.strip().casefold() for name in (payment.member, payment.reference))
        found[receipt] = frozenset(name for name in names if name)
    return found


async def end_in_suspense(
    session: AsyncSession, tenant: Tenant, receipt: int, *, event_id: int, member_id: int, earned_event: int = 0
) -> None:
    """Note that a held payment was given to a member, by an event that moved it out of suspense; and what it earned, by another."""
    await queries.add_resolution(
        session, receipt, resolved_event=event_id, member_id=member_id, earned_event=earned_event
    )
    # The payment may be matched already: then its cash goes into the open dealing.
    await promise(session, "reconciliation.match_statements", tenant_id=tenant.tenant_id)


async def list_suspense(session: AsyncSession, tenant: Tenant, *, after: int = 0, most: int = 100) -> list[Suspended]:
    """Return the unresolved payments in suspense after receipt `after`, oldest first, with their age in days."""
    today = business_date(await ledger.scheme_now(session), tenant.time_zone)
    return [suspended(tenant, row, today) for row in await queries.list_suspense(session, after=after, most=most)]


def suspended(tenant: Tenant, row: queries.SuspenseRow, today: date) -> Suspended:
    """Return a payment in suspense as it is told on a day."""
    pool = pool_of(tenant, tenant.pack.products[0].code, row.reason, row.received_on)
    return Suspended(
        receipt=str(row.event_id),
        reason=row.reason,
        amount=Amount(row.amount, tenant.asset).decimal(),
        channel=row.channel,
        received_on=row.received_on,
        age_days=(today - row.received_on).days,
        is_owed_back=goes_only_back(row) or (pool is not None and goes_back(pool.rule, row.received_on, today)),
    )


def goes_only_back(row: queries.SuspenseRow) -> bool:
    """Return whether a suspended payment is beyond what the scheme takes, so that it is nobody's but the payer's."""
    return row.of is not None and row.reason != WRONG_MEMBER


def pool_of(
    tenant: Tenant, product: str, reason: str, received_on: date, joined_on: date | None = None
) -> InForce[PoolRule] | None:
    """Return the rule of what a payment earns while it waits, and how it is credited; None where there is none.

    Money of who is no member at all waits in the product's `transitional` pool if it has one; any other, and without one, in
    that of suspense, or in what it calls uncredited.

    Args:
        tenant: the scheme.
        product: which the payment is, or may be, for.
        reason: why it lies in suspense.
        received_on: the day it was received.
        joined_on: when its owner joined; that day where nobody knows.

    """
    rules = rules_of(tenant, PoolRule, product=product, on=received_on, joined_on=joined_on or received_on)
    by_pool = {one.rule.pool: one for one in rules}
    wanted = (*(["transitional"] if reason == "unknown-member" else []), "suspense", "uncredited")
    return next((by_pool[pool] for pool in wanted if pool in by_pool), None)


async def suspense_figures(session: AsyncSession, tenant: Tenant) -> SuspenseFigures:
    """Return what lies in suspense today, as it may be published: how much, how old, and why."""
    today = business_date(await ledger.scheme_now(session), tenant.time_zone)
    lying = await owning.what_lies(session)
    product = tenant.pack.products[0].code

    def told(code: str, chosen: Iterable[Lying]) -> SuspenseOf:
        found = list(chosen)
        return SuspenseOf(code, sum(one.count for one in found), fixed(tenant, sum(one.amount for one in found)))

    def is_owed_back(one: Lying) -> bool:
        pool = pool_of(tenant, product, one.reason, one.received_on)
        return one.reason in GO_BACK or (pool is not None and goes_back(pool.rule, one.received_on, today))

    whole = told("", lying)
    return SuspenseFigures(
        as_of=today,
        currency=tenant.asset.symbol,
        count=whole.count,
        amount=whole.amount,
        oldest_on=min((one.received_on for one in lying), default=None),
        owed_back=told("owed-back", filter(is_owed_back, lying)),
        by_reason=tuple(
            told(reason, (one for one in lying if one.reason == reason))
            for reason in sorted({one.reason for one in lying})
        ),
        by_age=tuple(
            told(
                f"{first}-{last if last < _OLDEST else ''}",
                (one for one in lying if first <= max((today - one.received_on).days, 0) <= last),
            )
            for first, last in AGES
        ),
    )


def fixed(tenant: Tenant, minor: int) -> str:
    """Return smallest units in major units, with all their decimals."""
    return f"{Amount(minor, tenant.asset).decimal():.{tenant.asset.scale}f}"
