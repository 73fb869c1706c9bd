"""Payments that no member has been found for: what lies there, and giving one to whom it belongs."""

from dataclasses import dataclass
from datetime import date

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from engine.contributions import queries
from engine.contributions.errors import AlreadyResolved, GoesBack, UnknownSuspense
from engine.contributions.queries import SuspenseRow
from engine.contributions.rules import (
    LOAN_REPAYMENT,
    Payment,
    Receipt,
    Suspended,
    loan_number,
    split_contribution,
    split_over_pots,
)
from engine.contributions.service.capping import Counting, cap_contributions, whole_counts
from engine.contributions.service.incoming import receipt_of
from engine.contributions.service.passing import Deducting, deduct_from, passed_account, share_payment
from engine.contributions.service.terms import figures_now, origin_for, payer_rules, terms_for
from engine.contributions.service.undertaken import decide_contribution
from engine.enrolment import service as enrolment
from engine.identity import service as identity
from engine.identity.rules import MemberRef
from engine.kernel.amounts import Amount
from engine.kernel.clock import business_date
from engine.kernel.errors import EngineError, NotFound
from engine.kernel.ids import claim_digest, house_member
from engine.ledger import service as ledger
from engine.ledger.rules import Account, Entry, EventKind, Outcome, Transfer
from engine.runtime.jobs import promise
from engine.runtime.key_file import FileKeyStore
from engine.runtime.sealing import unseal
from engine.tenancy import service as tenancy
from engine.tenancy.service import Tenant

WRONG_MEMBER = "wrong-member"


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


async def references_in_suspense(
    session: AsyncSession, keys: FileKeyStore, tenant: Tenant, receipt: int
) -> frozenset[str]:
    """Return what a suspended payment is called, in lower case: by its payer, and by who brought it. Nothing of none."""
    row = await queries.find_suspense(session, receipt)
    if row is None:
        return frozenset()
    payment = msgspec.json.decode(unseal(keys, tenant.tenant_id, "suspense", receipt, row.document), type=Payment)
    return frozenset(name.strip().casefold() for name in (payment.member, payment.reference) if name.strip())


async def end_in_suspense(
    session: AsyncSession, tenant: Tenant, receipt: int, *, event_id: int, member_id: int
) -> None:
    """Note that a held payment was given to a member, by an event that moved it out of suspense."""
    await queries.add_resolution(session, receipt, resolved_event=event_id, member_id=member_id)
    # The payment may be matched already: then its cash goes into the open dealing.
    await promise(session, "reconciliation.match_statements", tenant_id=tenant.tenant_id)


async def list_suspense(session: AsyncSession, tenant: Tenant, *, after: int = 0, most: int = 100) -> list[Suspended]:
    """Return the unresolved payments in suspense after receipt `after`, oldest first, with their age in days."""
    asset = tenant.asset
    today = business_date(await ledger.scheme_now(session), tenant.time_zone)
    return [
        Suspended(
            receipt=str(row.event_id),
            reason=row.reason,
            amount=Amount(row.amount, asset).decimal(),
            channel=row.channel,
            received_on=row.received_on,
            age_days=(today - row.received_on).days,
        )
        for row in await queries.list_suspense(session, after=after, most=most)
    ]


async def resolve_suspense(
    session: AsyncSession, keys: FileKeyStore, tenant: Tenant, receipt: int, *, member: str, actor: str
) -> Receipt:
    """Give a suspended payment to a member, by a new event that names the one it resolves; once.

    It goes to the product that it names if the member is in it, else to the first that they joined.

    Raises:
        UnknownSuspense, AlreadyResolved, NotFound (no such member), GoesBack, and whatever the member's terms refuse.
    """
    row = await queries.hold_suspense(session, receipt)
    if row is None:
        raise UnknownSuspense
    if row.resolved:
        raise AlreadyResolved
    if row.of is not None and row.reason != WRONG_MEMBER:
        raise GoesBack
    payment = msgspec.json.decode(unseal(keys, tenant.tenant_id, "suspense", receipt, row.document), type=Payment)
    numbers = await identity.members_by_number(session, keys, [member])
    found = await enrolment.in_their_products(session, numbers, product=payment.product)
    if member not in found:  # whoever gives it to them knows better than the payer
        found = await enrolment.in_their_products(session, numbers)
    if member not in found:
        raise NotFound
    return await give_suspended(session, tenant, row, payment, found[member], actor=actor)


async def give_suspended(
    session: AsyncSession, tenant: Tenant, row: SuspenseRow, payment: Payment, ref: MemberRef, *, actor: str
) -> Receipt:
    """Give a suspended payment, which nobody else can decide on, to a member by the terms of the day it came.

    What was posted to a wrong member before is booked by that day too; the rest by today.

    Raises:
        AlreadyResolved, and whatever the member's terms refuse, by which nothing is written.
    """
    receipt = row.event_id
    await identity.hold_members(session, [ref.member_id])
    asset = tenant.asset
    figures = await figures_now(session, tenant)
    terms = terms_for(tenant, figures, ref.product, row.received_on, ref.joined_on)
    origin = origin_for(tenant, ref.product, row.received_on, ref.joined_on, payment.payer)
    shared = share_payment(tenant, figures, ref, row.channel, row.received_on, Amount(row.amount, asset))
    parts = split_contribution(shared.contribution, terms)
    decided = await decide_contribution(session, tenant, figures, ref, row.received_on, shared.contribution)
    now = await ledger.scheme_now(session)
    today = business_date(now, tenant.time_zone)
    came_on = await queries.suspended_on(session, row.of[1] if row.of else receipt, zone=tenant.time_zone)
    counting = Counting(ref, row.received_on, came_on, shared.contribution)
    (cap,) = await cap_contributions(session, tenant, figures, [counting], today=today)
    carried = whole_counts(cap)
    (taken,) = await deduct_from(session, tenant, figures, [Deducting(ref, row.received_on, shared.contribution)])
    if taken is not None:
        if isinstance(taken.answer, EngineError):
            raise taken.answer
        parts = split_over_pots(taken.answer[1], terms) if taken.answer[1].units else ()
    others = [*shared.others, *(taken.parts if taken else ())]
    passed = {party: passed_account(asset.symbol, ref.product, party) for party, _ in others}
    cash = {pot: Account("cash", asset.symbol, product=ref.product, pot=pot, origin=origin) for pot, _ in parts}
    suspense = Account("suspense", asset.symbol, party=row.channel)
    codes = await ledger.account_codes(session, {suspense, *cash.values(), *passed.values()})
    entry = Entry(
        member_id=ref.member_id,
        kind=EventKind.SUSPENSE_RESOLVED,
        business_date=row.received_on if row.reason == WRONG_MEMBER else today,
        actor=await ledger.actor_id(session, actor),
        pack=tenant.pack_id,
        decision=await ledger.decision_id(
            session,
            tenancy.trace(
                ref.product,
                (
                    *terms.rules,
                    *shared.rules,
                    *(payer_rules(tenant, ref, row.received_on) if payment.payer else ()),
                    *(decided.rules if decided else ()),
                    *(cap.rules if cap else ()),
                    *(taken.rules if taken else ()),
                ),
            ),
        ),
        body={
            "amount": str(row.amount),
            "channel": row.channel,
            "resolves": str(receipt),
            **shared.facts,
            **(decided.facts if decided else {}),
            **(taken.facts if taken else {}),
            **({"carried": str(carried)} if carried else {}),
        },
        claims=(claim_digest(tenant.tenant_id, "resolve", str(receipt)),),
        transfers=(
            *(Transfer(part.units, codes[suspense], codes[cash[pot]]) for pot, part in parts),
            *(Transfer(part.units, codes[suspense], codes[passed[party]]) for party, part in others),
        ),
    )
    (fate,) = await ledger.post(session, [entry])
    if fate.outcome is not Outcome.POSTED:
        raise AlreadyResolved
    await end_in_suspense(session, tenant, receipt, event_id=fate.event_id, member_id=ref.member_id)
    return receipt_of(
        fate.event_id,
        payment,
        Amount(row.amount, asset),
        entry.business_date,
        parts,
        None,
        origin=origin,
        others=others,
    )
