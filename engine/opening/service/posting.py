"""Deciding on staged opening balances, and posting them by ranges of members."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial

import msgspec
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncSession

from engine.access.rules import checked_by_other
from engine.enrolment import service as enrolment
from engine.enrolment.rules import Application
from engine.enrolment.service import Legacy
from engine.funds import service as funds
from engine.identity import service as identity
from engine.kernel.clock import business_date
from engine.kernel.errors import EngineError
from engine.kernel.ids import house_member
from engine.kernel.series import Figures
from engine.ledger import service as ledger
from engine.ledger.rules import Account, Entry, EventKind, Transfer
from engine.opening import queries
from engine.opening.errors import OpeningChanged, OpeningDecided, OpeningOutdated, UnknownOpening
from engine.opening.queries import OpeningRow
from engine.opening.rules import opens_on
from engine.runtime.database import Database, retry_transaction
from engine.runtime.jobs import promise
from engine.runtime.key_file import FileKeyStore
from engine.runtime.sealing import unseal
from engine.tenancy import service as tenancy
from engine.tenancy.service import Tenant

SEALED = "opening_members"
"""The table whose documents are sealed."""

_MOST_OPENINGS = 1_000
_OF_THE_BALANCES = frozenset({EventKind.OPENING_APPROVED, EventKind.OPENING_POSTED})


class Personal(Struct, frozen=True, array_like=True):
    """What is sealed of a staged member."""

    old_number: str
    application: Application
    earlier_numbers: tuple[str, ...] = ()


async def list_openings(session: AsyncSession, *, most: int = 100) -> list[OpeningRow]:
    """Return what was staged, the newest first."""
    return await queries.list_openings(session, most=most)


async def find_opening(session: AsyncSession, opening_no: int) -> OpeningRow:
    """Return an opening.

    Raises:
        UnknownOpening: there is none of that number.
    """
    found = await queries.find_opening(session, opening_no)
    if found is None:
        raise UnknownOpening
    return found


@dataclass(frozen=True, slots=True)
class Control:
    """What an account of the scheme's side begins with: smallest units, of which one has `scale` decimals."""

    account: Account
    scale: int
    amount: int


async def list_controls(session: AsyncSession, opening_no: int) -> list[Control]:
    """Return what the scheme's side of an opening begins with, by account."""
    chart = await ledger.accounts_by_code(session)
    return [
        Control(chart[code], scale, amount) for code, scale, amount in await queries.control_scales(session, opening_no)
    ]


async def approve_opening(db: Database, tenant: Tenant, opening_no: int, *, digest: str, actor: str) -> OpeningRow:
    """Let staged balances be posted, as a second person who saw what `digest` is of; the scheme's side is booked at once.

    Dr collections / Cr opening for the scheme's cash; Dr units-issued / Cr opening for what fund managers hold; what of it
    is no member's, Dr opening / Cr residue. Members' ranges follow in the background.

    Raises:
        UnknownOpening, OpeningDecided, OpeningChanged, OpeningOutdated, SamePerson: see there.
    """

    async def once() -> OpeningRow:
        async with db.unit_of_work(tenant.tenant_id) as session:
            found = await _decidable(session, opening_no, digest, actor)
            if found.pack != tenant.pack_id:
                raise OpeningOutdated
            chart = await ledger.accounts_by_code(session)
            transfers = [
                Transfer(amount, opening, code) if chart[code].kind == "residue" else Transfer(amount, code, opening)
                for code, opening, amount in await queries.controls(session, opening_no)
            ]
            event = await note(session, tenant, EventKind.OPENING_APPROVED, found, actor, transfers=transfers)
            await _decide(session, found, "approved", actor, event)
            await promise(session, "opening.post_openings", tenant_id=tenant.tenant_id)
            return await find_opening(session, opening_no)

    return await retry_transaction(once)


async def reject_opening(db: Database, tenant: Tenant, opening_no: int, *, digest: str, actor: str) -> OpeningRow:
    """Refuse staged balances, as a second person; their persons and numbers are free again, and what is personal is destroyed.

    Raises:
        UnknownOpening, OpeningDecided, OpeningChanged, SamePerson: see there.
    """
    async with db.unit_of_work(tenant.tenant_id) as session:
        found = await _decidable(session, opening_no, digest, actor)
        await identity.release(session, await queries.members_of(session, opening_no))
        await queries.forget(session, opening_no)
        event = await note(session, tenant, EventKind.OPENING_REJECTED, found, actor)
        await _decide(session, found, "rejected", actor, event)
        return await find_opening(session, opening_no)


async def post_openings(db: Database, keys: FileKeyStore, tenant: Tenant, *, actor: str) -> list[OpeningRow]:
    """Enrol the members of approved openings and post what they held, by ranges; may be stopped anywhere and run twice at once.

    Returns the openings that were not finished before.

    Raises:
        EngineError: the rules refuse a member whom they took when the files were staged; ranges before stay posted.
    """
    async with db.unit_of_work(tenant.tenant_id) as session:
        approved = [one for one in await queries.list_openings(session, most=_MOST_OPENINGS) if one.state == "approved"]
        figures = await tenancy.figures_for(session, tenant)
        ranges = {one.opening_no: await queries.open_ranges(session, one.opening_no) for one in approved}
    found = []
    for one in reversed(approved):
        for number in ranges[one.opening_no]:
            await retry_transaction(partial(_post_range, db, keys, tenant, figures, one, number, actor))
        found.append(await retry_transaction(partial(_finish, db, tenant, one, actor)))
    return found


# -- inside


async def _decidable(session: AsyncSession, opening_no: int, digest: str, actor: str) -> OpeningRow:
    found = await queries.find_opening(session, opening_no, hold=True)
    if found is None:
        raise UnknownOpening
    if found.state != "staged":
        raise OpeningDecided(state=found.state)
    if found.digest != digest:
        raise OpeningChanged
    checked_by_other(maker=found.staged_by, checker=actor)
    return found


async def _decide(session: AsyncSession, found: OpeningRow, state: str, actor: str, event: int) -> None:
    await queries.decide_opening(
        session,
        found.opening_no,
        state=state,
        actor=await ledger.actor_id(session, actor),
        at=await ledger.scheme_now(session),
        event_id=event,
    )


async def note(
    session: AsyncSession,
    tenant: Tenant,
    kind: EventKind,
    found: OpeningRow,
    actor: str,
    *,
    transfers: Sequence[Transfer] = (),
) -> int:
    """Post an event about an opening; return its number. What moves balances is of the day they open on."""
    (posted,) = await ledger.post(session, [await _entry(session, tenant, kind, found, actor, transfers)])
    return posted.event_id


async def _entry(
    session: AsyncSession,
    tenant: Tenant,
    kind: EventKind,
    found: OpeningRow,
    actor: str,
    transfers: Sequence[Transfer] = (),
) -> Entry:
    today = business_date(await ledger.scheme_now(session), tenant.time_zone)
    return Entry(
        member_id=house_member(tenant.tenant_id),
        kind=kind,
        business_date=opens_on(found.as_of) if kind in _OF_THE_BALANCES else today,
        actor=await ledger.actor_id(session, actor),
        pack=tenant.pack_id,
        body={"opening": found.opening_no, "as_of": found.as_of.isoformat(), "digest": found.digest},
        transfers=transfers,
    )


async def _post_range(
    db: Database, keys: FileKeyStore, tenant: Tenant, figures: Figures, found: OpeningRow, number: int, actor: str
) -> None:
    async with db.unit_of_work(tenant.tenant_id) as session:
        rows = await queries.hold_range(session, found.opening_no, number)
        if rows is None:
            return
        members = await asyncio.to_thread(
            lambda: [_unsealed(keys, tenant, member, joined, document) for member, joined, _, document in rows]
        )
        known = {member: known_as for member, _, known_as, _ in rows if known_as}
        new = [one for one in members if one.member_id not in known]
        texts = await queries.agreed_texts(session, found.opening_no)
        checked = await enrolment.check_legacy(tenant, figures, new, texts=texts)
        accepted = []
        for member, one in zip(new, checked, strict=True):
            if isinstance(one, EngineError):
                raise one
            accepted.append((member, one))
        await enrolment.admit_legacy(session, tenant, keys, accepted, actor=actor)
        credited = [(known[one.member_id], one) for one in members if one.member_id in known]
        await enrolment.credit_known(session, keys, credited)
        await queries.forget(session, found.opening_no, number)
        entry = await _entry(session, tenant, EventKind.OPENING_POSTED, found, actor)
        event = await queries.post_range(session, found.opening_no, number, entry, {**entry.body, "range": number})
        if event:
            await _offer_cash(session, tenant, found, event)


async def _offer_cash(session: AsyncSession, tenant: Tenant, found: OpeningRow, event: int) -> None:
    """Put members' money into the open dealings of products that deal in funds: who approved it stood for its reconciliation."""
    chart = await ledger.accounts_by_code(session)
    collected = [
        code for code, _, _ in await queries.controls(session, found.opening_no) if chart[code].kind == "collections"
    ]
    if collected:
        members = await queries.with_cash(session, event)
        await funds.allocate(session, tenant, [funds.ReconciledReceipt(one, event, *collected) for one in members])


async def _finish(db: Database, tenant: Tenant, found: OpeningRow, actor: str) -> OpeningRow:
    async with db.unit_of_work(tenant.tenant_id) as session:
        now = await queries.find_opening(session, found.opening_no, hold=True)
        assert now is not None, found
        if now.state == "approved" and now.done == now.ranges:
            event = await note(session, tenant, EventKind.OPENING_FINISHED, now, actor)
            await queries.finish_opening(session, now.opening_no, event)
        return await find_opening(session, found.opening_no)


def _unsealed(keys: FileKeyStore, tenant: Tenant, member_id: int, joined_on: date, document: bytes) -> Legacy:
    raw = unseal(keys, tenant.tenant_id, SEALED, member_id, document)
    known = msgspec.json.decode(raw, type=Personal)
    return Legacy(member_id, known.old_number, joined_on, known.application, known.earlier_numbers)
