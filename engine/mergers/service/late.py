"""What comes for members who were handed over: money that reached their accounts goes in a round of its own, payments are passed on."""

import csv
import io

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from engine.contributions import service as contributions
from engine.contributions.errors import AlreadyResolved
from engine.identity import service as identity
from engine.kernel.ids import claim_digest, house_member
from engine.ledger import service as ledger
from engine.ledger.rules import Account, EventKind, Transfer
from engine.mergers import queries
from engine.mergers.errors import NothingLate, RoundOpen, UnknownMerger
from engine.mergers.queries import Merger, Round
from engine.mergers.service.proposing import entry, note
from engine.mergers.service.ways import fixed
from engine.runtime.database import Database, retry_transaction
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant

_AT_ONCE = 500
PAYMENT_COLUMNS = ("member", "amount", "currency", "channel", "reference", "paid_on")


async def begin_late_round(session: AsyncSession, tenant: Tenant, merger_no: int, *, actor: str) -> Round:
    """Begin another round, for members to whom something came since (interest, state money, a corrected price), and whoever joined since.

    Raises:
        UnknownMerger: there is no such merger that was approved.
        RoundOpen: the round before is not filed yet.
        NothingLate: nobody holds anything.
    """
    await queries.hold_mergers(session)
    merger = await _approved(session, merger_no)
    earlier = await queries.rounds(session, merger_no)
    last = earlier[-1]
    if last.state in ("open", "closed"):
        raise RoundOpen(round=last.round_no, state=last.state)
    if not await queries.going(session, after=0, most=1):
        raise NothingLate
    facts = {"merger": merger_no, "round": last.round_no + 1}
    await note(session, tenant, EventKind.LATE_ROUND_BEGUN, facts, actor)
    await queries.begin_round(session, merger.merger_no, last.round_no + 1)
    found = await queries.find_round(session, merger_no, last.round_no + 1)
    assert found is not None
    return found


async def forward_payments(db: Database, keys: FileKeyStore, tenant: Tenant, *, actor: str) -> int:
    """Pass on suspended payments of members who were handed over: Dr suspense / Cr due-to-party, the other scheme; return how many.

    Each once, in a transaction of its own. A payment whose reference leads to nobody who was handed over stays in suspense.
    """
    async with db.unit_of_work(tenant.tenant_id) as session:
        merger = await queries.standing(session)
        if merger is None or merger.state != "approved" or not await queries.any_handed(session):
            return 0
    done, after = 0, 0
    while True:
        async with db.unit_of_work(tenant.tenant_id) as session:
            receipts = await queries.waiting_late(session, after=after, most=_AT_ONCE)
            owners = await _owners(session, keys, tenant, receipts)
        if not receipts:
            return done
        for receipt, member_id in owners.items():

            async def once(receipt: int = receipt, member_id: int = member_id) -> bool:
                async with db.unit_of_work(tenant.tenant_id) as session:
                    return await _forward(session, tenant, merger, receipt, member_id, actor)

            done += await retry_transaction(once)
        after = receipts[-1]


async def forwarded_file(
    session: AsyncSession, keys: FileKeyStore, tenant: Tenant, merger_no: int, *, actor: str
) -> bytes:
    """Return all payments that were passed on as a file of payments, which the other scheme imports; taken in twice, they count once.

    Raises:
        UnknownMerger: there is none of that number.
    """
    if await queries.find_merger(session, merger_no) is None:
        raise UnknownMerger
    merger = await _approved(session, merger_no)
    rows = await queries.forwarded(session, merger_no)
    people = await identity.read_people(
        session, keys, sorted({member for _, member, _ in rows}), actor=actor, reason="payments-forwarded"
    )
    payments = await contributions.payments_of(session, keys, tenant, [receipt for receipt, _, _ in rows])
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(PAYMENT_COLUMNS)
    for receipt, member, amount in rows:
        if member not in people:
            continue
        paid = payments[receipt]
        reference = f"{tenant.code}:{receipt}"
        on = paid.paid_on.isoformat() if paid.paid_on else ""
        money = fixed(amount, tenant.asset.scale)
        writer.writerow((people[member].member_number, money, tenant.asset.symbol, merger.terms.channel, reference, on))
    return out.getvalue().encode()


# -- inside


async def _approved(session: AsyncSession, merger_no: int) -> Merger:
    merger = await queries.find_merger(session, merger_no)
    if merger is None or merger.state != "approved":
        raise UnknownMerger
    return merger


async def _owners(session: AsyncSession, keys: FileKeyStore, tenant: Tenant, receipts: list[int]) -> dict[int, int]:
    """Return whose the payments are that name a member who was handed over, by receipt."""
    payments = await contributions.payments_of(session, keys, tenant, receipts)
    found = await identity.members_by_number(session, keys, [one.member for one in payments.values()])
    members = {receipt: found[one.member].member_id for receipt, one in payments.items() if one.member in found}
    handed = await queries.are_handed(session, sorted(set(members.values())))
    return {receipt: member for receipt, member in sorted(members.items()) if member in handed}


async def _forward(
    session: AsyncSession, tenant: Tenant, merger: Merger, receipt: int, member_id: int, actor: str
) -> bool:
    try:
        held = await contributions.hold_in_suspense(session, receipt)
    except AlreadyResolved:  # whoever ran beside this was first
        return False
    if receipt not in await queries.waiting_late(session, after=receipt - 1, most=1):
        return False
    suspense = Account("suspense", tenant.asset.symbol, party=held.channel)
    owed = Account("due-to-party", tenant.asset.symbol, party=merger.terms.owed_to)
    codes = await ledger.account_codes(session, {suspense, owed})
    facts = {
        "merger": merger.merger_no,
        "resolves": str(receipt),
        "amount": str(held.amount),
        "into": merger.terms.into_scheme,
    }
    said = await entry(
        session,
        tenant,
        EventKind.PAYMENT_FORWARDED,
        facts,
        actor,
        transfers=[Transfer(held.amount, codes[suspense], codes[owed])],
    )
    once = claim_digest(tenant.tenant_id, "payment-forwarded", str(receipt))
    (posted,) = await ledger.post(session, [msgspec.structs.replace(said, claims=(once,))])
    await contributions.end_in_suspense(
        session, tenant, receipt, event_id=posted.event_id, member_id=house_member(tenant.tenant_id)
    )
    await queries.add_forwarded(
        session, merger.merger_no, receipt=receipt, member_id=member_id, amount=held.amount, event_id=posted.event_id
    )
    return True
