"""Giving a suspended payment to its owner: proposed by one person, carried out once another has confirmed exactly that.

What is proposed is the member, the product, how the payment is credited and what it earned while it waited. If any of it would
be otherwise when it is confirmed, nothing is posted.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

import msgspec
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncSession

from engine.access.rules import checked_by_other
from engine.contributions import queries
from engine.contributions.errors import (
    AlreadyResolved,
    GoesBack,
    OwnerDecided,
    OwnerDiffers,
    OwnerProposed,
    UnknownOwner,
    UnknownSuspense,
)
from engine.contributions.queries import SuspenseRow
from engine.contributions.queries import suspense as owning
from engine.contributions.queries.suspense import ProposalRow
from engine.contributions.rules import Payment, Receipt, credit_matched, split_contribution, split_over_pots
from engine.contributions.service.capping import Counting, cap_contributions, whole_counts
from engine.contributions.service.declared import decide_by_income
from engine.contributions.service.incoming import receipt_of
from engine.contributions.service.passing import Deducting, deduct_from, passed_account, share_payment
from engine.contributions.service.suspense import WRONG_MEMBER, end_in_suspense, fixed, goes_only_back, pool_of
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
from engine.runtime.database import Database, retry_transaction
from engine.runtime.key_file import FileKeyStore
from engine.runtime.sealing import unseal
from engine.tenancy import service as tenancy
from engine.tenancy.service import Tenant


class OwnerPart(Struct, frozen=True):
    """What of the payment goes where, in major units: to a pot of the member ("cash"), or held for a party ("passed-on")."""

    to: str
    name: str
    amount: str


class OwnerProposal(Struct, frozen=True, kw_only=True):
    """Whose a suspended payment is, as somebody proposes, and what became of it; amounts in major units.

    `state` is proposed, rejected or confirmed. `earned` is what the member gets on top, for the time until `matched_on`. `digest`
    stands for all of it, and is sent back to confirm it. `event` carried it out.
    """

    proposal: int
    receipt: str
    member: str
    product: str
    amount: str
    earned: str
    matched_on: date
    parts: tuple[OwnerPart, ...]
    state: str
    digest: str
    proposed_by: str
    decided_by: str | None
    event: str | None


async def propose_owner(
    session: AsyncSession, keys: FileKeyStore, tenant: Tenant, receipt: int, *, member: str, actor: str
) -> OwnerProposal:
    """Propose whose a suspended payment is; nothing moves until another person has confirmed it.

    It goes to the product that it names if the member is in it, else to the first that they joined.

    Raises:
        UnknownSuspense, AlreadyResolved, NotFound (no such member), GoesBack, OwnerProposed (another proposal waits), and
        whatever the member's terms refuse.
    """
    row = await _held(session, receipt)
    payment = _payment(keys, tenant, row)
    numbers = await identity.members_by_number(session, keys, [member])
    found = await enrolment.in_their_products(session, numbers, product=payment.product)
    if member not in found:  # whoever gives it to them knows better than the payer
        found = await enrolment.in_their_products(session, numbers)
    if member not in found:
        raise NotFound
    ref = found[member]
    now = await ledger.scheme_now(session)
    today = business_date(now, tenant.time_zone)
    credit = await _credit(session, tenant, row, payment, ref, today)
    maker = await ledger.actor_id(session, actor)
    proposal = ProposalRow(
        proposal_id=0,
        event_id=receipt,
        member_id=ref.member_id,
        product=ref.product,
        amount=row.amount,
        earned=credit.earned.units,
        matched_on=today,
        parts=credit.told,
        state="proposed",
        proposed_by=actor,
        proposed_at=now,
        decided_by=None,
        resolved_event=0,
    )
    number = await owning.add_proposal(session, proposal, by=maker)
    if number is None:
        raise OwnerProposed
    proposal = replace(proposal, proposal_id=number)
    await _note(session, tenant, EventKind.SUSPENSE_PROPOSED, proposal, maker, today)
    return _told(tenant, proposal, member)


async def list_owner_proposals(
    session: AsyncSession,
    keys: FileKeyStore,
    tenant: Tenant,
    *,
    receipt: int = 0,
    state: str = "",
    after: int = 0,
    most: int = 100,
    actor: str,
) -> list[OwnerProposal]:
    """Return what was proposed after a proposal, the first first; of one receipt or state if given. Whose it is, is read by `actor`."""
    rows = await owning.list_proposals(session, receipt=receipt, state=state, after=after, most=most)
    return await _known(session, keys, tenant, rows, actor)


async def find_owner_proposal(
    session: AsyncSession, keys: FileKeyStore, tenant: Tenant, proposal: int, *, actor: str
) -> OwnerProposal:
    """Return a proposal; UnknownOwner if nobody made it. Whose it is, is read by `actor`."""
    row = await owning.find_proposal(session, proposal)
    if row is None:
        raise UnknownOwner
    (found,) = await _known(session, keys, tenant, [row], actor)
    return found


async def reject_owner(
    session: AsyncSession, keys: FileKeyStore, tenant: Tenant, proposal: int, *, actor: str
) -> OwnerProposal:
    """Refuse a proposal, as a second person.

    Raises:
        UnknownOwner, OwnerDecided, SamePerson (`actor` made it).
    """
    row = await _proposed(session, proposal, actor)
    checker = await ledger.actor_id(session, actor)
    now = await ledger.scheme_now(session)
    await owning.decide_proposal(session, proposal, state="rejected", by=checker, at=now)
    row = replace(row, state="rejected", decided_by=actor)
    await _note(session, tenant, EventKind.SUSPENSE_REJECTED, row, checker, business_date(now, tenant.time_zone))
    (found,) = await _known(session, keys, tenant, [row], actor)
    return found


async def confirm_owner(
    db: Database, keys: FileKeyStore, tenant: Tenant, proposal: int, *, digest: str, actor: str
) -> Receipt:
    """Give a suspended payment to its owner, as a second person: by a new event that names the one it resolves; once.

    Raises:
        UnknownOwner, OwnerDecided, SamePerson: as for `reject_owner`.
        OwnerDiffers: `digest` is not that of the proposal, or it would be credited otherwise now.
        AlreadyResolved: it was taken back or sent back since.
        EngineError: whatever the member's terms refuse now.
    """

    async def once() -> Receipt:
        async with db.unit_of_work(tenant.tenant_id) as session:
            return await _confirm(session, keys, tenant, proposal, digest, actor)

    return await retry_transaction(once)


async def _confirm(
    session: AsyncSession, keys: FileKeyStore, tenant: Tenant, proposal: int, digest: str, actor: str
) -> Receipt:
    known = await owning.find_proposal(session, proposal)
    if known is None:
        raise UnknownOwner
    # The payment first, then what is proposed of it: whoever takes it back or sends it back waits for the payment alone.
    suspended = await queries.hold_suspense(session, known.event_id)
    row = await _proposed(session, proposal, actor)
    if digest != _digest(row):
        raise OwnerDiffers
    if suspended is None or suspended.resolved:
        raise AlreadyResolved
    payment = _payment(keys, tenant, suspended)
    people = await identity.members_by_id(session, [row.member_id])
    members = {str(one.member_id): one for one in people.values()}
    found = await enrolment.in_their_products(session, members, product=row.product)
    if str(row.member_id) not in found:
        raise OwnerDiffers
    ref = found[str(row.member_id)]
    credit = await _credit(session, tenant, suspended, payment, ref, row.matched_on)
    if (credit.earned.units, credit.told) != (row.earned, row.parts):
        raise OwnerDiffers
    now = await ledger.scheme_now(session)
    checker = await ledger.actor_id(session, actor)
    entries = await _entries(
        session, tenant, suspended, row, ref, credit, checker, business_date(now, tenant.time_zone)
    )
    fate, *others = await ledger.post(session, entries)
    if fate.outcome is not Outcome.POSTED:
        raise AlreadyResolved
    earned_event = others[0].event_id if others else 0
    await end_in_suspense(
        session, tenant, row.event_id, event_id=fate.event_id, member_id=ref.member_id, earned_event=earned_event
    )
    await owning.decide_proposal(session, proposal, state="confirmed", by=checker, at=now, resolved_event=fate.event_id)
    return receipt_of(
        fate.event_id,
        payment,
        Amount(row.amount, tenant.asset),
        entries[0].business_date,
        credit.parts,
        None,
        origin=credit.origin,
        others=credit.others,
    )


async def give_suspended(
    session: AsyncSession, tenant: Tenant, row: SuspenseRow, payment: Payment, ref: MemberRef, *, actor: str
) -> None:
    """Give a payment that was posted to a wrong member, which nobody else can decide on, to the right one: two people stand for that already.

    By the terms of the day it came, and booked by that day.

    Raises:
        AlreadyResolved, and whatever the member's terms refuse, by which nothing is written.
    """
    assert row.reason == WRONG_MEMBER, row
    credit = await _credit(session, tenant, row, payment, ref, row.received_on)
    today = business_date(await ledger.scheme_now(session), tenant.time_zone)
    entries = await _entries(session, tenant, row, None, ref, credit, await ledger.actor_id(session, actor), today)
    (fate,) = await ledger.post(session, entries)
    if fate.outcome is not Outcome.POSTED:
        raise AlreadyResolved
    await end_in_suspense(session, tenant, row.event_id, event_id=fate.event_id, member_id=ref.member_id)


@dataclass(frozen=True, slots=True)
class _Credit:
    """How a payment is credited to a member: its pots and what others get of it, what it earned, and by which rules."""

    parts: tuple[tuple[str, Amount], ...]
    others: tuple[tuple[str, Amount], ...]
    origin: str
    earned: Amount
    earned_parts: tuple[tuple[str, Amount], ...]
    rules: tuple[str, ...]
    facts: dict[str, object]

    @property
    def told(self) -> tuple[tuple[str, str, int], ...]:
        """Return how it is credited, as a proposal keeps it."""
        return (
            *(("cash", pot, part.units) for pot, part in self.parts),
            *(("passed-on", party, part.units) for party, part in self.others),
        )


async def _credit(
    session: AsyncSession, tenant: Tenant, row: SuspenseRow, payment: Payment, ref: MemberRef, matched_on: date
) -> _Credit:
    """Return how a payment that was matched on a day is credited now; the member is held until the transaction ends."""
    await identity.hold_members(session, [ref.member_id])
    amount = Amount(row.amount, tenant.asset)
    figures = await figures_now(session, tenant)
    terms = terms_for(tenant, figures, ref.product, row.received_on, ref.joined_on)
    origin = origin_for(tenant, ref.product, row.received_on, ref.joined_on, payment.payer)
    shared = share_payment(tenant, figures, ref, row.channel, row.received_on, amount)
    parts = split_contribution(shared.contribution, terms)
    decided = await decide_contribution(session, tenant, figures, ref, row.received_on, shared.contribution)
    by_income = await decide_by_income(
        session, tenant, figures, ref, row.received_on, shared.contribution, origin=origin
    )
    today = business_date(await ledger.scheme_now(session), tenant.time_zone)
    came_on = await queries.suspended_on(session, row.of[1] if row.of else row.event_id, zone=tenant.time_zone)
    counting = Counting(ref, row.received_on, came_on, shared.contribution)
    (cap,) = await cap_contributions(session, tenant, figures, [counting], today=today)
    carried = whole_counts(cap)
    (taken,) = await deduct_from(session, tenant, figures, [Deducting(ref, row.received_on, shared.contribution)])
    if taken is not None:
        if isinstance(taken.answer, EngineError):
            raise taken.answer
        parts = split_over_pots(taken.answer[1], terms) if taken.answer[1].units else ()
    pool = pool_of(tenant, ref.product, row.reason, row.received_on, ref.joined_on)
    if row.reason == WRONG_MEMBER:  # it did not wait without an owner: it was another member's
        pool = None
    earned = Amount(0, tenant.asset)
    if pool is not None:
        worth = figures if pool.rule.series is None else await tenancy.figures_for(session, tenant)
        earned = credit_matched(pool.rule, amount, row.received_on, matched_on, worth).to_member
    return _Credit(
        parts=parts,
        others=(*shared.others, *(taken.parts if taken else ())),
        origin=origin,
        earned=earned,
        earned_parts=split_over_pots(earned, terms) if earned.units else (),
        rules=(
            *terms.rules,
            *shared.rules,
            *(payer_rules(tenant, ref, row.received_on) if payment.payer else ()),
            *(decided.rules if decided else ()),
            *(by_income.rules if by_income else ()),
            *(cap.rules if cap else ()),
            *(taken.rules if taken else ()),
            *([pool.ref] if pool else ()),
        ),
        facts={
            **shared.facts,
            **(decided.facts if decided else {}),
            **(by_income.facts if by_income else {}),
            **(taken.facts if taken else {}),
            **({"carried": str(carried)} if carried else {}),
        },
    )


async def _entries(
    session: AsyncSession,
    tenant: Tenant,
    row: SuspenseRow,
    proposal: ProposalRow | None,
    ref: MemberRef,
    credit: _Credit,
    checker: int,
    today: date,
) -> list[Entry]:
    """Return what gives the payment to the member: Dr suspense / Cr cash and passed-on; and Dr interest-reserve / Cr cash."""
    symbol = tenant.asset.symbol
    passed = {party: passed_account(symbol, ref.product, party) for party, _ in credit.others}
    pots = {pot for pot, _ in (*credit.parts, *credit.earned_parts)}
    cash = {pot: Account("cash", symbol, product=ref.product, pot=pot, origin=credit.origin) for pot in sorted(pots)}
    suspense = Account("suspense", symbol, party=row.channel)
    reserve = Account("interest-reserve", symbol, product=ref.product)
    reserves = {reserve} if credit.earned_parts else set()
    codes = await ledger.account_codes(session, {suspense, *cash.values(), *passed.values(), *reserves})
    decision = await ledger.decision_id(session, tenancy.trace(ref.product, credit.rules))
    given = Entry(
        member_id=ref.member_id,
        kind=EventKind.SUSPENSE_RESOLVED,
        business_date=row.received_on if row.reason == WRONG_MEMBER else today,
        actor=checker,
        pack=tenant.pack_id,
        decision=decision,
        body={
            "amount": str(row.amount),
            "channel": row.channel,
            "resolves": str(row.event_id),
            **({"proposal": proposal.proposal_id} if proposal else {}),
            **credit.facts,
        },
        claims=(claim_digest(tenant.tenant_id, "resolve", str(row.event_id)),),
        transfers=(
            *(Transfer(part.units, codes[suspense], codes[cash[pot]]) for pot, part in credit.parts),
            *(Transfer(part.units, codes[suspense], codes[passed[party]]) for party, part in credit.others),
        ),
    )
    if proposal is None or not credit.earned_parts:
        return [given]
    earned = Entry(
        member_id=ref.member_id,
        kind=EventKind.SUSPENSE_EARNED,
        business_date=today,
        actor=checker,
        pack=tenant.pack_id,
        decision=decision,
        body={
            "amount": str(credit.earned.units),
            "receipt": str(row.event_id),
            "from": row.received_on.isoformat(),
            "until": proposal.matched_on.isoformat(),
        },
        transfers=tuple(Transfer(part.units, codes[reserve], codes[cash[pot]]) for pot, part in credit.earned_parts),
    )
    return [given, earned]


async def _held(session: AsyncSession, receipt: int) -> SuspenseRow:
    row = await queries.hold_suspense(session, receipt)
    if row is None:
        raise UnknownSuspense
    if row.resolved:
        raise AlreadyResolved
    if goes_only_back(row):
        raise GoesBack
    return row


def _payment(keys: FileKeyStore, tenant: Tenant, row: SuspenseRow) -> Payment:
    raw = unseal(keys, tenant.tenant_id, "suspense", row.event_id, row.document)
    return msgspec.json.decode(raw, type=Payment)


async def _proposed(session: AsyncSession, proposal: int, actor: str) -> ProposalRow:
    row = await owning.hold_proposal(session, proposal)
    if row is None:
        raise UnknownOwner
    if row.state != "proposed":
        raise OwnerDecided(state=row.state)
    checked_by_other(maker=row.proposed_by, checker=actor)
    return row


def _digest(row: ProposalRow) -> str:
    said = {
        "proposal": row.proposal_id,
        "receipt": row.event_id,
        "member": str(row.member_id),
        "product": row.product,
        "amount": row.amount,
        "earned": row.earned,
        "matched_on": row.matched_on,
        "parts": row.parts,
    }
    return hashlib.sha256(msgspec.json.encode(said, order="sorted")).hexdigest()


async def _note(
    session: AsyncSession, tenant: Tenant, kind: EventKind, row: ProposalRow, actor: int, today: date
) -> None:
    body = {
        "receipt": str(row.event_id),
        "proposal": row.proposal_id,
        "amount": str(row.amount),
        "earned": str(row.earned),
    }
    entry = Entry(
        member_id=house_member(tenant.tenant_id),
        kind=kind,
        business_date=today,
        actor=actor,
        pack=tenant.pack_id,
        body=body,
    )
    await ledger.post(session, [entry])


async def _known(
    session: AsyncSession, keys: FileKeyStore, tenant: Tenant, rows: Sequence[ProposalRow], actor: str
) -> list[OwnerProposal]:
    """Return proposals with the numbers of their members; of who was erased, none."""
    members = sorted({row.member_id for row in rows})
    people = await identity.read_people(session, keys, members, actor=actor, reason="suspense")
    numbers = {member_id: known.member_number for member_id, known in people.items()}
    return [_told(tenant, row, numbers.get(row.member_id, "")) for row in rows]


def _told(tenant: Tenant, row: ProposalRow, member: str) -> OwnerProposal:
    return OwnerProposal(
        proposal=row.proposal_id,
        receipt=str(row.event_id),
        member=member,
        product=row.product,
        amount=fixed(tenant, row.amount),
        earned=fixed(tenant, row.earned),
        matched_on=row.matched_on,
        parts=tuple(OwnerPart(kind, name, fixed(tenant, amount)) for kind, name, amount in row.parts),
        state=row.state,
        digest=_digest(row),
        proposed_by=row.proposed_by,
        decided_by=row.decided_by,
        event=str(row.resolved_event) if row.resolved_event else None,
    )
