"""Proposing that a scheme goes into another, and deciding on it: by two people, over exactly the terms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncSession

from engine.access.rules import checked_by_other
from engine.kernel.clock import business_date
from engine.kernel.ids import house_member
from engine.ledger import service as ledger
from engine.ledger.rules import Entry, EventKind, Transfer
from engine.mergers import queries
from engine.mergers.errors import MergerChanged, MergerDecided, MergerOpen, UnknownMerger, UnusableTerms
from engine.mergers.queries import Merger, Round
from engine.mergers.rules import MergerTerms, terms_digest
from engine.mergers.service.ways import fixed, opened_ways
from engine.tenancy.service import Tenant


class Reconciled(Struct, frozen=True):
    """What members hold in one account, and where it goes; decimal strings, what is left of rounding beside it."""

    account: str
    into: str
    members: int
    amount: str
    new_amount: str


class MergerReport(Struct, frozen=True):
    """What terms come to as the books stand: everybody, each account, what must end first, and what has no place.

    `waiting` counts members by what runs of them; they are handed over once it has ended. `no_place` counts members by the account.
    """

    members: int
    accounts: tuple[Reconciled, ...]
    waiting: dict[str, int]
    no_place: dict[str, int]


@dataclass(frozen=True, slots=True)
class MergerView:
    """A merger with its rounds."""

    merger: Merger
    rounds: Sequence[Round]


async def report_terms(session: AsyncSession, tenant: Tenant, terms: MergerTerms) -> MergerReport:
    """Return what terms come to now; changes nothing that anybody sees.

    Raises:
        UnusableTerms: they name what the scheme has not, or leave out a product or pot of it.
    """
    ways = await opened_ways(session, tenant, terms)
    chart = await ledger.accounts_by_code(session)
    found = []
    for one in await queries.holdings(session, ways):
        account = chart[one.code]
        place = ways.codes[one.code][0]
        scale, new_scale = tenant.asset.scale, tenant.asset.scale
        if account.fund:
            scale = ways.decimals[account.fund]
            new_scale = next(fund.decimals for fund in terms.funds if fund.fund == account.fund)
        found.append(
            Reconciled(
                account.name,
                " ".join(part for part in (place.product, place.pot, place.origin, place.fund) if part),
                one.members,
                fixed(one.amount, scale),
                fixed(one.new_amount, new_scale),
            )
        )
    return MergerReport(
        members=await queries.count_members(session),
        accounts=tuple(found),
        waiting=await queries.count_obstacles(session, ways),
        no_place=await queries.places_used(session, ways),
    )


async def propose_merger(session: AsyncSession, tenant: Tenant, terms: MergerTerms, *, actor: str) -> Merger:
    """Propose that the scheme goes into another; asked again for the same by the same person, it answers with what is proposed.

    Args:
        session: the use case's.
        tenant: the scheme that goes.
        terms: what it comes to.
        actor: who proposes, and so may not approve.

    Raises:
        UnusableTerms: they name what the scheme has not, leave out a product or pot, or what members hold has no place.
        MergerOpen: the scheme goes into another already, or that is proposed.
    """
    if terms.into_scheme == tenant.code:
        raise UnusableTerms(reason="a scheme goes into another, not into itself")
    await queries.hold_mergers(session)
    digest = terms_digest(tenant.code, terms)
    earlier = await queries.standing(session)
    if earlier is not None:
        if (earlier.digest, earlier.maker, earlier.state) == (digest, actor, "proposed"):
            return earlier
        raise MergerOpen(merger=earlier.merger_no, state=earlier.state)
    report = await report_terms(session, tenant, terms)
    if report.no_place:
        raise UnusableTerms(reason=f"what members hold has no place: {', '.join(report.no_place)}")
    facts = {"into": terms.into_scheme, "effective_on": terms.effective_on.isoformat(), "digest": digest}
    event = await note(session, tenant, EventKind.MERGER_PROPOSED, facts, actor)
    number = await queries.add_merger(
        session, digest=digest, terms=terms, maker=await ledger.actor_id(session, actor), event_id=event
    )
    return (await find_merger(session, number)).merger


async def approve_merger(session: AsyncSession, tenant: Tenant, merger_no: int, *, digest: str, actor: str) -> Merger:
    """Let the scheme go, as a second person who has read what `digest` is of; members follow in the background from the day on.

    Raises:
        UnknownMerger, MergerDecided, MergerChanged: there is none, it is decided, or `digest` is of other terms.
        SamePerson: `actor` proposed it.
    """
    merger = await _decidable(session, merger_no, digest, actor)
    await _decide(session, tenant, merger, EventKind.MERGER_APPROVED, "approved", actor)
    await queries.begin_round(session, merger_no, 1)
    return (await find_merger(session, merger_no)).merger


async def reject_merger(session: AsyncSession, tenant: Tenant, merger_no: int, *, digest: str, actor: str) -> Merger:
    """Give a proposed merger up, as a second person; raises as `approve_merger` does."""
    merger = await _decidable(session, merger_no, digest, actor)
    await _decide(session, tenant, merger, EventKind.MERGER_REJECTED, "rejected", actor)
    return (await find_merger(session, merger_no)).merger


async def find_merger(session: AsyncSession, merger_no: int) -> MergerView:
    """Return a merger with its rounds; UnknownMerger if there is none of that number."""
    merger = await queries.find_merger(session, merger_no)
    if merger is None:
        raise UnknownMerger
    return MergerView(merger, await queries.rounds(session, merger_no))


async def list_mergers(session: AsyncSession) -> list[MergerView]:
    """Return all mergers with their rounds, newest first."""
    return [
        MergerView(one, await queries.rounds(session, one.merger_no)) for one in await queries.list_mergers(session)
    ]


# -- inside


async def note(
    session: AsyncSession,
    tenant: Tenant,
    kind: EventKind,
    facts: Mapping[str, object],
    actor: str,
    *,
    transfers: Sequence[Transfer] = (),
) -> int:
    """Post an event of the house about a merger; return its number."""
    (posted,) = await ledger.post(session, [await entry(session, tenant, kind, facts, actor, transfers=transfers)])
    return posted.event_id


async def entry(
    session: AsyncSession,
    tenant: Tenant,
    kind: EventKind,
    facts: Mapping[str, object],
    actor: str,
    *,
    transfers: Sequence[Transfer] = (),
) -> Entry:
    """Return an event of the house about a merger, of today."""
    return Entry(
        member_id=house_member(tenant.tenant_id),
        kind=kind,
        business_date=await today(session, tenant),
        actor=await ledger.actor_id(session, actor),
        pack=tenant.pack_id,
        body=facts,
        transfers=transfers,
    )


async def today(session: AsyncSession, tenant: Tenant) -> date:
    """Return the scheme's business day."""
    return business_date(await ledger.scheme_now(session), tenant.time_zone)


async def _decidable(session: AsyncSession, merger_no: int, digest: str, actor: str) -> Merger:
    merger = await queries.find_merger(session, merger_no, hold=True)
    if merger is None:
        raise UnknownMerger
    if merger.state != "proposed":
        raise MergerDecided(state=merger.state)
    if merger.digest != digest:
        raise MergerChanged
    checked_by_other(maker=merger.maker, checker=actor)
    return merger


async def _decide(
    session: AsyncSession, tenant: Tenant, merger: Merger, kind: EventKind, state: str, actor: str
) -> None:
    event = await note(session, tenant, kind, {"merger": merger.merger_no, "digest": merger.digest}, actor)
    await queries.decide_merger(
        session, merger.merger_no, state=state, checker=await ledger.actor_id(session, actor), event_id=event
    )
