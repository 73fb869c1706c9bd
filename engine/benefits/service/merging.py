"""Two records of one person made one: proposed by one person, carried out in one transaction as another approves it.

All that the record that goes holds moves, account by account, to the one that stays; its number answers for it from then on.
What both did counts together: queries read a member's past through `records_of`.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import date

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from engine.access.rules import checked_by_other
from engine.benefits.errors import CannotMerge, MergeDecided, MergeDiffers, UnknownMerge
from engine.benefits.queries import merging as queries
from engine.benefits.queries.merging import Merge
from engine.enrolment import service as enrolment
from engine.funds.rules import FundsRule
from engine.identity import service as identity
from engine.identity.rules import MemberRef, MemberStatus
from engine.kernel.clock import business_date
from engine.kernel.ids import house_member
from engine.kernel.rules import Dates
from engine.ledger import service as ledger
from engine.ledger.rules import Account, Entry, EventKind, Outcome, Transfer
from engine.runtime import quarantine
from engine.runtime.database import Database, retry_transaction
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant

_ACTOR = "system:merges"


async def propose_merge(
    session: AsyncSession, tenant: Tenant, *, goes: MemberRef, stays: MemberRef, actor: str
) -> Merge:
    """Propose that one record is merged into another of the same person; a second person decides on it.

    Asked again for the same by the same person, it answers with what is proposed already.

    Raises:
        CannotMerge: they are one record, one of them was closed or waits to be merged, or something of them runs.
    """
    await queries.hold_merges(session)
    earlier = await queries.open_merge(session, [goes.member_id, stays.member_id])
    if earlier is not None:
        if (earlier.goes, earlier.stays, earlier.maker) == (goes.member_id, stays.member_id, actor):
            return earlier
        raise CannotMerge(reason=f"merging {earlier.merge_no} waits")
    today = await _today(session, tenant)
    await _check(session, tenant, goes.member_id, stays.member_id, today)
    merge = Merge(
        merge_no=await queries.next_number(session),
        goes=goes.member_id,
        stays=stays.member_id,
        asked_on=today,
        state="proposed",
        digest="",
        maker=actor,
        checker="",
    )
    merge = replace(merge, digest=_digest(merge))
    event = await _note(session, tenant, EventKind.MERGE_PROPOSED, merge, actor, today)
    await queries.add_merge(session, merge, maker=await ledger.actor_id(session, actor), event_id=event)
    return merge


async def approve_merge(
    db: Database, keys: FileKeyStore, tenant: Tenant, merge_no: int, *, digest: str, actor: str
) -> Merge:
    """Merge two records, as a second person who has read what `digest` is of; all in one transaction.

    Raises:
        UnknownMerge, MergeDecided, MergeDiffers: there is none, it is decided, or `digest` is of another.
        SamePerson: `actor` proposed it.
        CannotMerge: something of them runs by now.
        UnknownMember: one of them was erased.
    """

    async def once() -> Merge:
        async with db.unit_of_work(tenant.tenant_id) as session:
            await queries.hold_merges(session)
            merge = await _held(session, merge_no, digest, actor)
            await identity.hold_members(session, [merge.goes, merge.stays])
            await queries.hold_money(session, [merge.goes, merge.stays])
            today = await _today(session, tenant)
            # Asked once the money is held: whatever ran beside this has ended.
            await _check(session, tenant, merge.goes, merge.stays, today)
            checker = await ledger.actor_id(session, actor)
            event = await _note(session, tenant, EventKind.MERGE_APPROVED, merge, actor, today)
            await queries.decide_merge(session, merge_no, state="approved", checker=checker, event_id=event)
            left, taken_in = await _hand_over(session, tenant, merge.goes, merge.stays, merge_no, actor, today)
            await enrolment.merge_memberships(session, goes=merge.goes, stays=merge.stays, event_id=taken_in, on=today)
            await queries.carry_choices(session, goes=merge.goes, stays=merge.stays)
            await identity.merge_people(
                session,
                keys,
                goes=merge.goes,
                stays=merge.stays,
                merge_no=merge_no,
                event_id=left,
                into_event=taken_in,
                on=today,
                actor=actor,
            )
            return await find_merge(session, merge_no)

    return await retry_transaction(once)


async def reject_merge(session: AsyncSession, tenant: Tenant, merge_no: int, *, digest: str, actor: str) -> Merge:
    """Give a proposed merging up, as a second person; raises as `approve_merge` does."""
    merge = await _held(session, merge_no, digest, actor)
    event = await _note(session, tenant, EventKind.MERGE_REJECTED, merge, actor, await _today(session, tenant))
    checker = await ledger.actor_id(session, actor)
    await queries.decide_merge(session, merge_no, state="rejected", checker=checker, event_id=event)
    return await find_merge(session, merge_no)


async def find_merge(session: AsyncSession, merge_no: int) -> Merge:
    """Return a merging; UnknownMerge if there is none of that number."""
    merge = await queries.find_merge(session, merge_no)
    if merge is None:
        raise UnknownMerge
    return merge


async def list_merges(session: AsyncSession, *, most: int = 100) -> list[Merge]:
    """Return the newest mergings, newest first."""
    return await queries.list_merges(session, most=most)


async def follow_merged(db: Database, tenant: Tenant) -> int:
    """Let what came to merged records since (interest, state money, a late payment) go to whose they are; return how many.

    Each in a transaction of its own; may be stopped and run again, and run twice at once. One that fails is put aside.
    """
    async with db.unit_of_work(tenant.tenant_id) as session:
        today = await _today(session, tenant)
        waiting = dict(await queries.with_late_money(session, but=_in_funds(tenant, today)))

    async def follow(record: int) -> bool:
        async def once() -> bool:
            async with db.unit_of_work(tenant.tenant_id) as session:
                await queries.hold_merges(session)
                late = dict(await queries.with_late_money(session, but=_in_funds(tenant, today)))
                if record not in late:
                    return False
                await queries.hold_money(session, [record, late[record]])
                await _hand_over(session, tenant, record, late[record], 0, _ACTOR, today)
                return True

        return await retry_transaction(once)

    return await quarantine.each(
        db,
        tenant.tenant_id,
        [(record, record) for record in waiting],
        follow,
        task="benefits.follow_merged",
        owner="contributions-officer",
    )


async def _check(session: AsyncSession, tenant: Tenant, goes: int, stays: int, today: date) -> None:
    if goes == stays:
        raise CannotMerge(reason="one record")
    known = await identity.members_by_id(session, [goes, stays])
    if any(one not in known or known[one].status != MemberStatus.ACTIVE for one in (goes, stays)):
        raise CannotMerge(reason="closed")
    found = await queries.obstacles(session, goes=goes, stays=stays, in_funds=_in_funds(tenant, today))
    if found:
        raise CannotMerge(reason=", ".join(found))


async def _hand_over(
    session: AsyncSession, tenant: Tenant, goes: int, stays: int, merge_no: int, actor: str, today: date
) -> tuple[int, int]:
    """Dr the accounts of the record that goes / Cr merging, and from there the same accounts of the other; return the two events."""
    held = await queries.holdings(session, goes, but=_in_funds(tenant, today))
    chart = await ledger.accounts_by_code(session)
    between = {code: Account("merging", chart[code].asset) for code, _ in held}
    codes = await ledger.account_codes(session, between.values())
    actor_id = await ledger.actor_id(session, actor)
    facts: Mapping[str, object] = {"merge": merge_no}
    entries = [
        Entry(
            member_id=member_id,
            kind=kind,
            business_date=today,
            actor=actor_id,
            pack=tenant.pack_id,
            body={**facts, **said},
            transfers=transfers,
        )
        for member_id, kind, said, transfers in (
            (
                goes,
                EventKind.RECORD_LEFT,
                {"into": f"{stays:x}"},
                [Transfer(amount, code, codes[between[code]]) for code, amount in held],
            ),
            (
                stays,
                EventKind.RECORD_TAKEN_IN,
                {"from": f"{goes:x}"},
                [Transfer(amount, codes[between[code]], code) for code, amount in held],
            ),
        )
    ]
    left, taken_in = await ledger.post(session, entries)
    assert left.outcome is taken_in.outcome is Outcome.POSTED, (left, taken_in)
    return left.event_id, taken_in.event_id


def _in_funds(tenant: Tenant, today: date) -> list[str]:
    """Return the products that deal in funds: their cash is on its way into one."""
    return [
        one.code
        for one in tenant.pack.products
        if tenant.rule(FundsRule, product=one.code, dates=Dates(on=today, joined_on=today)) is not None
    ]


async def _held(session: AsyncSession, merge_no: int, digest: str, actor: str) -> Merge:
    merge = await queries.find_merge(session, merge_no, hold=True)
    if merge is None:
        raise UnknownMerge
    if merge.state != "proposed":
        raise MergeDecided(state=merge.state)
    if merge.digest != digest:
        raise MergeDiffers
    checked_by_other(maker=merge.maker, checker=actor)
    return merge


async def _note(session: AsyncSession, tenant: Tenant, kind: EventKind, merge: Merge, actor: str, today: date) -> int:
    entry = Entry(
        member_id=house_member(tenant.tenant_id),
        kind=kind,
        business_date=today,
        actor=await ledger.actor_id(session, actor),
        pack=tenant.pack_id,
        body={**_facts(merge), "digest": merge.digest},
    )
    (posted,) = await ledger.post(session, [entry])
    return posted.event_id


def _facts(merge: Merge) -> dict[str, object]:
    return {
        "merge": merge.merge_no,
        "goes": f"{merge.goes:x}",
        "stays": f"{merge.stays:x}",
        "on": merge.asked_on.isoformat(),
    }


def _digest(merge: Merge) -> str:
    return hashlib.sha256(msgspec.json.encode(_facts(merge), order="sorted")).hexdigest()


async def _today(session: AsyncSession, tenant: Tenant) -> date:
    return business_date(await ledger.scheme_now(session), tenant.time_zone)
