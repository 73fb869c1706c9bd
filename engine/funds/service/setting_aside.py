"""Breaks of confirmations that people end: what a manager said is set aside by two, and changes no order, price or unit.

An order whose manager's word is set aside stays unconfirmed until the manager's right word comes, by a file of theirs or one that
people import for them.
"""

import hashlib
from typing import Literal

import msgspec
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncSession

from engine.access.rules import checked_by_other
from engine.funds.errors import SettingAsideDecided, SettingAsideDiffers, UnknownBreak, UnknownSettingAside
from engine.funds.queries import setting_aside as queries
from engine.funds.queries.ordering import hold_order_files
from engine.funds.queries.setting_aside import ProposalRow, SaidRow
from engine.kernel.clock import business_date
from engine.kernel.ids import house_member
from engine.ledger import service as ledger
from engine.ledger.rules import Entry, EventKind
from engine.tenancy.service import Tenant

Cause = Literal["sent-in-error", "withdrawn-by-manager", "of-another-scheme", "settled-otherwise"]


class SettingAside(Struct, frozen=True, kw_only=True):
    """A proposal to set a break aside; `digest` stands for exactly what the manager said and why it is to go."""

    proposal: int
    file: int
    place: int
    cause: str
    state: str
    maker: str
    checker: str
    digest: str


async def propose_setting_aside(
    session: AsyncSession, file_id: int, place: int, *, cause: Cause, actor: str
) -> SettingAside:
    """Propose to end a break.

    Raises:
        UnknownBreak: nothing at that place is a break.
        SettingAsideDecided: a proposal for it waits already.
    """
    await hold_order_files(session)
    said = await queries.find_said(session, file_id, place)
    if said is None or said.state != "break":
        raise UnknownBreak
    maker = await ledger.actor_id(session, actor)
    digest = _digest(said, cause)
    number = await queries.add_proposal(session, file_id, place, cause=cause, digest=digest, maker=maker)
    if number is None:
        raise SettingAsideDecided(state="proposed")
    return _told(await _found(session, number))


async def approve_setting_aside(
    session: AsyncSession, tenant: Tenant, proposal: int, *, digest: str, actor: str
) -> SettingAside:
    """Set a break aside, as a second person who saw what `digest` is of.

    Raises:
        UnknownSettingAside, SettingAsideDecided, SettingAsideDiffers, SamePerson: there is none, it is decided, what the manager said has become
            another, or it is the maker's own.
    """
    return await _decide(session, tenant, proposal, digest, actor, is_approved=True)


async def reject_setting_aside(
    session: AsyncSession, tenant: Tenant, proposal: int, *, digest: str, actor: str
) -> SettingAside:
    """Leave a break as it is, as a second person; raises as `approve_setting_aside`."""
    return await _decide(session, tenant, proposal, digest, actor, is_approved=False)


async def list_settings_aside(session: AsyncSession, *, most: int = 100) -> list[SettingAside]:
    """Return proposals, the newest first."""
    return [_told(one) for one in await queries.list_proposals(session, most=most)]


async def _decide(
    session: AsyncSession, tenant: Tenant, proposal: int, digest: str, actor: str, *, is_approved: bool
) -> SettingAside:
    await hold_order_files(session)
    one = await _found(session, proposal)
    if one.state != "proposed":
        raise SettingAsideDecided(state=one.state)
    checked_by_other(maker=one.maker, checker=actor)
    said = await queries.find_said(session, one.file_id, one.place)
    assert said is not None, one
    # A rejection says nothing of the break, which may have ended meanwhile by the manager's own word.
    if digest != one.digest or (is_approved and (said.state != "break" or _digest(said, one.cause) != digest)):
        raise SettingAsideDiffers
    checker = await ledger.actor_id(session, actor)
    event_id = await _record(session, tenant, one, said, checker) if is_approved else 0
    state = "approved" if is_approved else "rejected"
    await queries.decide_proposal(session, one, state=state, checker=checker, event_id=event_id)
    return _told(await _found(session, proposal))


async def _record(session: AsyncSession, tenant: Tenant, one: ProposalRow, said: SaidRow, checker: int) -> int:
    entry = Entry(
        member_id=house_member(tenant.tenant_id),
        kind=EventKind.CONFIRMATION_SET_ASIDE,
        business_date=business_date(await ledger.scheme_now(session), tenant.time_zone),
        actor=checker,
        pack=tenant.pack_id,
        body={
            "file": one.file_id,
            "place": one.place,
            "order": said.reference,
            "reason": said.reason,
            "cause": one.cause,
            "maker": one.maker,
            "digest": one.digest,
        },
    )
    (posted,) = await ledger.post(session, [entry])
    return posted.event_id


async def _found(session: AsyncSession, proposal: int) -> ProposalRow:
    found = await queries.find_proposal(session, proposal)
    if found is None:
        raise UnknownSettingAside
    return found


def _digest(said: SaidRow, cause: str) -> str:
    facts = [
        said.file_id, said.place, said.counterparty, said.reference, said.deal_ref, said.side, said.fund, f"{said.units:f}",
        f"{said.price:f}", said.amount, said.currency, said.traded_on.isoformat(), said.reason, cause,
    ]  # fmt: skip
    return hashlib.sha256(msgspec.json.encode(facts)).hexdigest()


def _told(one: ProposalRow) -> SettingAside:
    return SettingAside(
        proposal=one.proposal_id,
        file=one.file_id,
        place=one.place,
        cause=one.cause,
        state=one.state,
        maker=one.maker,
        checker=one.checker,
        digest=one.digest,
    )
