"""New versions of a tenant's pack: put forward by one person, approved by another, in force from a business date."""

from dataclasses import dataclass
from datetime import date

from sqlalchemy.ext.asyncio import AsyncSession

from engine.access.rules import checked_by_other
from engine.kernel.clock import business_date
from engine.kernel.ids import claim_digest, house_member
from engine.ledger import service as ledger
from engine.ledger.rules import Entry, EventKind
from engine.tenancy import queries
from engine.tenancy.errors import CurrencyChanged, PackDecided, PackInForceTooEarly, PackOfOther, UnknownProposal
from engine.tenancy.queries import Proposal
from engine.tenancy.rules.books import page_day
from engine.tenancy.rules.packs import Pack
from engine.tenancy.service.tenants import Tenant, store_pack, stored_files


async def propose_pack(
    session: AsyncSession, tenant: Tenant, pack: Pack, *, in_force_from: date, actor: str
) -> Proposal:
    """Put a checked pack forward for a tenant; it decides nothing before another person has approved it.

    Args:
        session: the tenant's.
        tenant: whose pack it is to be.
        pack: the new version, checked; it is stored whole, so what is approved is exactly what was put forward.
        in_force_from: the first business date it decides on; not before today.
        actor: who puts it forward.

    Raises:
        PackOfOther, CurrencyChanged: it is another scheme's, or counts in another currency than the books.
        PackInForceTooEarly: the date has passed.
    """
    if pack.code != tenant.code:
        raise PackOfOther(pack=pack.code, tenant=tenant.code)
    if pack.currency != tenant.pack.currency:
        raise CurrencyChanged(tenant=pack.code, booked=tenant.pack.currency, currency=pack.currency)
    now = await ledger.scheme_now(session)
    today = business_date(now, tenant.time_zone)
    if in_force_from < today:
        raise PackInForceTooEarly(day=in_force_from.isoformat(), today=today.isoformat())
    pack_id = await store_pack(session, pack)
    maker = await ledger.actor_id(session, actor)
    await _post(session, tenant, EventKind.PACK_PROPOSED, today, maker, pack_id, pack.sha256, in_force_from)
    return await queries.add_proposal(
        session, pack=pack_id, sha256=pack.sha256, in_force_from=in_force_from, proposed_by=maker, proposed_at=now
    )


async def approve_pack(session: AsyncSession, tenant: Tenant, proposal_id: int, *, sha256: str, actor: str) -> Proposal:
    """Let a proposed version decide from its date on, as a second person; `sha256` is what that person has seen.

    Raises:
        UnknownProposal: there is none of that number, or it proposes another version than `sha256`.
        PackDecided: it was decided before.
        PackInForceTooEarly: its date has passed meanwhile: it is to be put forward again.
        SamePerson: `actor` put it forward.
    """
    return await _decide(session, tenant, proposal_id, sha256, actor, state="approved", kind=EventKind.PACK_ACTIVATED)


async def reject_pack(session: AsyncSession, tenant: Tenant, proposal_id: int, *, sha256: str, actor: str) -> Proposal:
    """Refuse a proposed version; raises as `approve_pack` does."""
    return await _decide(session, tenant, proposal_id, sha256, actor, state="rejected", kind=EventKind.PACK_REJECTED)


async def list_proposals(session: AsyncSession) -> list[Proposal]:
    """Return every version ever put forward for the tenant, oldest first."""
    return await queries.proposals(session)


@dataclass(frozen=True, slots=True)
class Reach:
    """How far a pack version reaches back: from which day, and by which pages ("nps-lite/2024-04-01")."""

    since: date
    pages: frozenset[str]


async def reaches_back(session: AsyncSession, tenant: Tenant) -> Reach | None:
    """Return how far back the version now in force has changed decisions that were made before it.

    None where it changes no rules of days before its own first day, or is the tenant's first.
    """
    approved = [one for one in await list_proposals(session) if one.state == "approved"]
    found = next((one for one in reversed(approved) if one.pack == tenant.pack_id), None)
    if found is None:
        return None
    earlier = [one.pack for one in approved if one.proposal_id < found.proposal_id]
    replaced = earlier[-1] if earlier else await queries.last_activated(session)
    before = await stored_files(session, replaced) if replaced is not None else {}
    after = tenant.pack.files
    days = {
        path.replace("/rules/", "/").removesuffix(".toml"): day
        for path in {*before, *after}
        if before.get(path) != after.get(path) and (day := page_day(path)) is not None and day < found.in_force_from
    }
    return Reach(min(days.values()), frozenset(days)) if days else None


async def _decide(
    session: AsyncSession, tenant: Tenant, proposal_id: int, sha256: str, actor: str, *, state: str, kind: EventKind
) -> Proposal:
    found = next((one for one in await queries.proposals(session, hold=True) if one.proposal_id == proposal_id), None)
    if found is None or found.sha256 != sha256:
        raise UnknownProposal
    if found.state != "proposed":
        raise PackDecided(state=found.state)
    checked_by_other(maker=found.proposed_by, checker=actor)
    now = await ledger.scheme_now(session)
    today = business_date(now, tenant.time_zone)
    if state == "approved" and found.in_force_from < today:
        raise PackInForceTooEarly(day=found.in_force_from.isoformat(), today=today.isoformat())
    checker = await ledger.actor_id(session, actor)
    await _post(session, tenant, kind, today, checker, found.pack, found.sha256, found.in_force_from, proposal_id)
    return await queries.decide_proposal(session, proposal_id, state=state, decided_by=checker, decided_at=now)


async def _post(
    session: AsyncSession,
    tenant: Tenant,
    kind: EventKind,
    day: date,
    actor: int,
    pack_id: int,
    sha256: str,
    in_force_from: date,
    proposal_id: int = 0,
) -> None:
    claims = (claim_digest(tenant.tenant_id, "pack-proposal", str(proposal_id)),) if proposal_id else ()
    body = {"pack": tenant.code, "version": sha256, "in_force_from": in_force_from.isoformat()}
    entry = Entry(
        member_id=house_member(tenant.tenant_id),
        kind=kind,
        business_date=day,
        actor=actor,
        pack=pack_id,
        body=body,
        claims=claims,
    )
    await ledger.post(session, [entry])
