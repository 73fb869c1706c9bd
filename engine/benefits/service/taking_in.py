"""Savings that come from another scheme: an advice is checked and approved by two people, then waits for its payment.

The payment lies in suspense until an advice is found that names its reference and its amount to the last smallest unit; then it
is posted by pot and origin, with what was paid in there by its days. Without an advice it stays in suspense, and can go back.
"""

import hashlib

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from engine.access.rules import checked_by_other
from engine.benefits.errors import (
    AdviceDiffers,
    AdviceKnown,
    PaymentDiffers,
    PaymentsSuspended,
    TransferDecided,
    TransferDiffers,
    TransferNotTaken,
    UnknownTransfer,
)
from engine.benefits.queries import transferring as queries
from engine.benefits.queries.transferring import InRow
from engine.benefits.rules.advices import TransferAdvice, check_advice
from engine.benefits.rules.paying import LEAST_MATCH_BP
from engine.benefits.rules.transfers import TransferInRule, joined_after, taken_in
from engine.benefits.service import transits
from engine.benefits.service.claiming import note
from engine.contributions import service as contributions
from engine.contributions.errors import AlreadyResolved
from engine.enrolment import service as enrolment
from engine.identity import service as identity
from engine.identity.errors import UnknownMember
from engine.identity.rules import MemberRef
from engine.identity.rules.names import score
from engine.kernel.clock import business_date
from engine.kernel.ids import claim_digest
from engine.kernel.rules import Dates
from engine.ledger import service as ledger
from engine.ledger.rules import Account, EventKind, Transfer
from engine.runtime import quarantine
from engine.runtime.database import Database, retry_transaction
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant

_ACTOR = "system:transfers"


async def advise_transfer(
    session: AsyncSession, keys: FileKeyStore, tenant: Tenant, member: MemberRef, advice: TransferAdvice, *, actor: str
) -> InRow:
    """Take the advice of another scheme for a member, once for its reference; a second person decides on it.

    Whom it names is compared with the member and not kept: the day of birth must be the same, where both are known, and each
    word of the shorter name stand in the longer.

    Args:
        session: the use case's.
        keys: open who the member is.
        tenant: the scheme.
        member: as they stand in the product that the savings come into.
        advice: what the other scheme says.
        actor: who brings it, and so may not approve it.

    Raises:
        AdviceDiffers: it does not agree with itself, or with the member.
        AdviceKnown: its reference was advised before, otherwise.
        TransferNotTaken, OriginNotTaken, PotNotTaken: the rule does not take it.
        PaymentsSuspended: the member has died.
        UnknownMember: they were erased.

    """
    await queries.hold_reference(session, advice.sender, advice.reference)
    sha256 = hashlib.sha256(msgspec.json.encode(advice, order="sorted")).hexdigest()
    earlier = await queries.find_advised(session, advice.sender, advice.reference)
    if earlier is not None:
        if (earlier.sha256, earlier.member_id, earlier.product) != (sha256, member.member_id, member.product):
            raise AdviceKnown
        return earlier
    today = business_date(await ledger.scheme_now(session), tenant.time_zone)
    dates = Dates(on=today, joined_on=member.joined_on)
    found = tenant.rule(TransferInRule, product=member.product, dates=dates)
    if found is None:
        raise TransferNotTaken
    brought = taken_in(found, check_advice(advice, tenant.asset, today))
    await _check_person(session, keys, member, advice, actor)
    if await enrolment.suspended(session, [member.member_id]):
        raise PaymentsSuspended
    facts = {
        "product": member.product,
        "sender": advice.sender,
        "reference": advice.reference,
        "amount": str(brought.amount),
        "sha256": sha256,
    }
    event = await note(session, tenant, EventKind.TRANSFER_ADVISED, member.member_id, actor, facts, rules=(found.ref,))
    assert event is not None, "an advice without claims is always new"
    joined_on = joined_after(found, member.joined_on, advice.joined_on)
    said = {
        **facts,
        "advice": event,
        "member": f"{member.member_id:x}",
        "joined_on": joined_on.isoformat(),
        "brought": msgspec.to_builtins([brought.parts, brought.payments]),
    }
    row = InRow(
        member_id=member.member_id,
        advice_id=event,
        amount=brought.amount,
        product=member.product,
        sender=advice.sender,
        reference=advice.reference,
        advised_on=today,
        joined_there=advice.joined_on,
        joined_on=joined_on,
        state="staged",
        digest=hashlib.sha256(msgspec.json.encode(said, order="sorted")).hexdigest(),
        sha256=sha256,
        rule=found.ref,
        maker=actor,
        brought=brought,
    )
    await queries.add_in(session, row, maker=await ledger.actor_id(session, actor))
    return row


async def _check_person(
    session: AsyncSession, keys: FileKeyStore, member: MemberRef, advice: TransferAdvice, actor: str
) -> None:
    people = await identity.read_people(session, keys, [member.member_id], actor=actor, reason="transfer-advice")
    if member.member_id not in people:
        raise UnknownMember
    known, named = people[member.member_id].person, advice.member
    if named.born_on is not None and named.born_on != known.born_on:
        raise AdviceDiffers(field="member.born_on")
    if score(known.full_name, named.full_name) < LEAST_MATCH_BP:
        raise AdviceDiffers(field="member.full_name")


async def approve_advice(session: AsyncSession, tenant: Tenant, advice_id: int, *, digest: str, actor: str) -> InRow:
    """Let savings that were advised come in as soon as their payment is there, as a second person who read what `digest` is of.

    Raises:
        UnknownTransfer, TransferDecided, TransferDiffers: there is none, it is decided, or `digest` is of another.
        SamePerson: `actor` brought it.
    """
    return await _decide(session, tenant, advice_id, digest, actor, EventKind.TRANSFER_APPROVED, "approved")


async def reject_advice(session: AsyncSession, tenant: Tenant, advice_id: int, *, digest: str, actor: str) -> InRow:
    """Refuse savings that were advised, as a second person; raises as `approve_advice` does."""
    return await _decide(session, tenant, advice_id, digest, actor, EventKind.TRANSFER_REJECTED, "rejected")


async def _decide(
    session: AsyncSession, tenant: Tenant, advice_id: int, digest: str, actor: str, kind: EventKind, state: str
) -> InRow:
    row = await _held(session, advice_id, {"staged"})
    checked_by_other(maker=row.maker, checker=actor)
    if digest != row.digest:
        raise TransferDiffers
    await note(session, tenant, kind, row.member_id, actor, _facts(row), rules=(row.rule,))
    await queries.decide_in(session, advice_id, state=state, checker=await ledger.actor_id(session, actor))
    return await find_advice(session, advice_id)


async def withdraw_advice(session: AsyncSession, tenant: Tenant, advice_id: int, *, actor: str) -> InRow:
    """Give up savings whose payment has not come; UnknownTransfer or TransferDecided where there are none such."""
    row = await _held(session, advice_id, {"staged", "approved"})
    await note(session, tenant, EventKind.TRANSFER_WITHDRAWN, row.member_id, actor, _facts(row))
    await queries.decide_in(session, advice_id, state="withdrawn")
    return await find_advice(session, advice_id)


async def find_advice(session: AsyncSession, advice_id: int) -> InRow:
    """Return savings that were advised; UnknownTransfer if there are none of that number."""
    row = await queries.find_in(session, advice_id)
    if row is None:
        raise UnknownTransfer
    return row


async def list_advices(session: AsyncSession, *, after: int = 0, most: int = 100) -> list[InRow]:
    """Return savings that were advised after some, the oldest first."""
    return await queries.list_in(session, after=after, most=most)


async def take_in(
    session: AsyncSession, keys: FileKeyStore, tenant: Tenant, advice_id: int, *, receipt: int, actor: str
) -> InRow:
    """Post a payment in suspense as the savings that were advised, once: Dr suspense / Cr transfers-in-transit / Cr member cash by pot and origin.

    Contributions elsewhere count from now on by their own days; where the rule says so, the member has joined as early as
    there. Once the payment is on a statement, its cash goes into the open dealing of a product in funds.

    Raises:
        UnknownSuspense, AlreadyResolved: there is no such payment, or it is another's by now.
        UnknownTransfer, TransferDecided: there are no such savings, or nobody has approved them.
        PaymentDiffers: the payment names another reference, or is of another amount.
        PaymentsSuspended: the member has died since: the payment can go back.
        UnknownMember: they were erased, or left the product.

    """
    held = await contributions.hold_in_suspense(session, receipt)
    row = await _held(session, advice_id, {"approved"})
    names = await contributions.references_in_suspense(session, keys, tenant, [receipt])
    if row.reference.casefold() not in names.get(receipt, ()):
        raise PaymentDiffers(field="reference")
    if held.amount != row.amount:
        raise PaymentDiffers(field="amount")
    if await enrolment.suspended(session, [row.member_id]):
        raise PaymentsSuspended
    held_products = (await enrolment.memberships_of(session, [row.member_id])).get(row.member_id, ())
    if row.product not in {one.product for one in held_products}:
        raise UnknownMember
    money = tenant.asset.symbol
    transit = transits.transit_of(tenant, row.product)
    moves = [transits.arrival(tenant, row.product, held)]
    moves += [
        (one.amount, transit, Account("cash", money, row.product, one.pot, one.origin)) for one in row.brought.parts
    ]
    codes = await ledger.account_codes(session, {one for _, *pair in moves for one in pair})
    event = await note(
        session,
        tenant,
        EventKind.TRANSFER_TAKEN_IN,
        row.member_id,
        actor,
        {**_facts(row), "channel": held.channel, "resolves": str(receipt)},
        rules=(row.rule,),
        claims=(
            claim_digest(tenant.tenant_id, "resolve", str(receipt)),
            claim_digest(tenant.tenant_id, "transfer-in", str(advice_id)),
        ),
        transfers=[Transfer(minor, codes[debit], codes[credit]) for minor, debit, credit in moves],
    )
    if event is None:
        raise AlreadyResolved
    await queries.post_in(session, row, event_id=event, receipt=receipt)
    await enrolment.antedate(session, row.member_id, row.product, joined_on=row.joined_on)
    await contributions.end_in_suspense(session, tenant, receipt, event_id=event, member_id=row.member_id)
    return await find_advice(session, advice_id)


async def take_transfers_in(db: Database, keys: FileKeyStore, tenant: Tenant) -> int:
    """Post the savings whose payment is there by now; return how many. Each in a transaction of its own; may be run twice at once."""
    async with db.unit_of_work(tenant.tenant_id) as session:
        found: dict[int, list[int]] = {}
        candidates = await queries.candidates(session)
        names = await contributions.references_in_suspense(session, keys, tenant, [one.receipt for one in candidates])
        for one in candidates:
            if one.reference.casefold() in names[one.receipt]:
                found.setdefault(one.advice_id, []).append(one.receipt)

    async def post(advice_id: int) -> bool:
        async def once() -> bool:
            async with db.unit_of_work(tenant.tenant_id) as session:
                await take_in(session, keys, tenant, advice_id, receipt=found[advice_id][0], actor=_ACTOR)
                return True

        try:
            return await retry_transaction(once)
        except (AlreadyResolved, TransferDecided, PaymentsSuspended, UnknownMember):
            return False

    subjects = [(-tenant.tenant_id, advice_id) for advice_id in found]
    return await quarantine.each(
        db, tenant.tenant_id, subjects, post, task="benefits.take_transfers_in", owner="claims-officer"
    )


async def _held(session: AsyncSession, advice_id: int, states: set[str]) -> InRow:
    row = await queries.find_in(session, advice_id, hold=True)
    if row is None:
        raise UnknownTransfer
    if row.state not in states:
        raise TransferDecided(state=row.state)
    return row


def _facts(row: InRow) -> dict[str, object]:
    return {
        "advice": str(row.advice_id),
        "product": row.product,
        "sender": row.sender,
        "reference": row.reference,
        "amount": str(row.amount),
    }
