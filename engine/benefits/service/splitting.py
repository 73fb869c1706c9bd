"""One record of two persons split: which of its payments are the other person's is proposed by one, approved by another.

Each payment goes the way of one that was posted to a wrong member: taken back at the stage it is at, given to the other person by its true date.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import date

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from engine.access.rules import checked_by_other
from engine.benefits.errors import CannotSplit, MergeDecided, MergeDiffers, UnknownSplit
from engine.benefits.queries import splitting as queries
from engine.benefits.queries.splitting import Split
from engine.contributions import service as contributions
from engine.identity import service as identity
from engine.identity.rules import MemberRef
from engine.kernel.clock import business_date
from engine.kernel.ids import house_member
from engine.ledger import service as ledger
from engine.ledger.rules import Entry, EventKind
from engine.runtime.database import Database, retry_transaction
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant

MOST_RECEIPTS = 500


async def propose_split(
    session: AsyncSession, tenant: Tenant, *, member: MemberRef, to: MemberRef, receipts: Sequence[int], actor: str
) -> Split:
    """Propose that payments of a record are another person's, who is a member; a second person decides on it.

    Asked again for the same by the same person, it answers with what is proposed already.

    Args:
        session: the use case's.
        tenant: the scheme.
        member: whose record it is.
        to: the other person.
        receipts: of the payments, 1 to MOST_RECEIPTS.
        actor: who asks, and so may not approve.

    Raises:
        CannotSplit: another split that waits names one of them, one is named twice, or there are too many.
        UnknownContribution, NothingToMove, MemberClosed, ReversalDecided, AlreadyResolved: see `contributions.movable`.
    """
    await queries.hold_splits(session)
    if not 0 < len(receipts) <= MOST_RECEIPTS:
        raise CannotSplit(reason=f"1 to {MOST_RECEIPTS} receipts")
    amounts = await contributions.movable(session, receipts, holder=member.member_id, to=to)
    named = tuple(sorted(amounts))
    earlier = await queries.open_split(session, named)
    if earlier is not None:
        asked = (member.member_id, to.member_id, named, actor)
        if (earlier.member_id, earlier.to_id, earlier.receipts, earlier.maker) == asked:
            return earlier
        raise CannotSplit(reason=f"split {earlier.split_no} waits")
    if len(named) != len(receipts):
        raise CannotSplit(reason="a receipt twice")
    today = await _today(session, tenant)
    split = Split(
        split_no=await queries.next_number(session),
        member_id=member.member_id,
        to_id=to.member_id,
        receipts=named,
        total=sum(amounts.values()),
        asked_on=today,
        state="proposed",
        digest="",
        maker=actor,
        checker="",
    )
    split = replace(split, digest=_digest(split))
    event = await _note(session, tenant, EventKind.SPLIT_PROPOSED, split, actor, today)
    await queries.add_split(session, split, maker=await ledger.actor_id(session, actor), event_id=event)
    return split


async def approve_split(
    db: Database, keys: FileKeyStore, tenant: Tenant, split_no: int, *, digest: str, actor: str
) -> Split:
    """Split a record, as a second person who has read what `digest` is of; what waits for a price is moved once it has come.

    Raises:
        UnknownSplit, MergeDecided, MergeDiffers: there is none, it is decided, or `digest` is of another.
        SamePerson: `actor` proposed it.
        UnknownContribution, NothingToMove, MemberClosed, ReversalDecided, AlreadyResolved: see `contributions.movable`.
    """

    async def once() -> None:
        async with db.unit_of_work(tenant.tenant_id) as session:
            split = await _held(session, split_no, digest, actor)
            to = (await identity.members_by_id(session, [split.to_id]))[split.to_id]
            await contributions.move_together(
                session, split.receipts, holder=split.member_id, to=to, proposed_by=split.maker, actor=actor
            )
            await _decide(session, tenant, split, actor, "approved")

    await retry_transaction(once)
    await contributions.carry_on_reversals(db, keys, tenant)
    async with db.unit_of_work(tenant.tenant_id) as session:
        return await find_split(session, split_no)


async def reject_split(session: AsyncSession, tenant: Tenant, split_no: int, *, digest: str, actor: str) -> Split:
    """Give a proposed split up, as a second person; raises as `approve_split` does."""
    split = await _held(session, split_no, digest, actor)
    await _decide(session, tenant, split, actor, "rejected")
    return await find_split(session, split_no)


async def find_split(session: AsyncSession, split_no: int) -> Split:
    """Return a split, and how far it has come; UnknownSplit if there is none of that number."""
    split = await queries.find_split(session, split_no)
    if split is None:
        raise UnknownSplit
    return split


async def list_splits(session: AsyncSession, *, most: int = 100) -> list[Split]:
    """Return the newest splits, newest first."""
    return await queries.list_splits(session, most=most)


async def _held(session: AsyncSession, split_no: int, digest: str, actor: str) -> Split:
    split = await queries.find_split(session, split_no, hold=True)
    if split is None:
        raise UnknownSplit
    if split.state != "proposed":
        raise MergeDecided(state=split.state)
    if split.digest != digest:
        raise MergeDiffers
    checked_by_other(maker=split.maker, checker=actor)
    return split


async def _decide(session: AsyncSession, tenant: Tenant, split: Split, actor: str, state: str) -> None:
    decided = replace(split, state=state)
    event = await _note(session, tenant, EventKind.SPLIT_DECIDED, decided, actor, await _today(session, tenant))
    checker = await ledger.actor_id(session, actor)
    await queries.decide_split(session, split.split_no, state=state, checker=checker, event_id=event)


async def _note(session: AsyncSession, tenant: Tenant, kind: EventKind, split: Split, actor: str, today: date) -> int:
    entry = Entry(
        member_id=house_member(tenant.tenant_id),
        kind=kind,
        business_date=today,
        actor=await ledger.actor_id(session, actor),
        pack=tenant.pack_id,
        body={**_facts(split), "state": split.state, "digest": split.digest},
    )
    (posted,) = await ledger.post(session, [entry])
    return posted.event_id


def _facts(split: Split) -> dict[str, object]:
    return {
        "split": split.split_no,
        "member": f"{split.member_id:x}",
        "to": f"{split.to_id:x}",
        "receipts": [str(one) for one in split.receipts],
        "amount": str(split.total),
        "on": split.asked_on.isoformat(),
    }


def _digest(split: Split) -> str:
    return hashlib.sha256(msgspec.json.encode(_facts(split), order="sorted")).hexdigest()


async def _today(session: AsyncSession, tenant: Tenant) -> date:
    return business_date(await ledger.scheme_now(session), tenant.time_zone)
