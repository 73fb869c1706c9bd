"""A member's products: joining another, and moving from one to another with all that belongs to it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy.ext.asyncio import AsyncSession

from engine.enrolment import queries
from engine.enrolment.errors import AlreadyMember, NotInProduct, ProductsDoNotFit
from engine.enrolment.queries import Membership
from engine.enrolment.rules import Application, rejoin
from engine.enrolment.service.undertakings import undertake_at_joining
from engine.identity import service as identity
from engine.identity.rules import MemberRef
from engine.kernel.clock import business_date
from engine.kernel.ids import claim_digest
from engine.ledger import service as ledger
from engine.ledger.rules import Account, Entry, EventKind, Outcome
from engine.runtime.key_file import FileKeyStore
from engine.tenancy import service as tenancy
from engine.tenancy.service import Tenant

MOST_MOVED = 4_000
"""Members moved by one statement: each has an event, and a batch holds 4,096."""


@dataclass(frozen=True, slots=True)
class Moved:
    """What became of members to be moved: those moved, by event, and those whose money is still on its way into funds."""

    events: Mapping[int, int]
    waiting: tuple[int, ...]


async def memberships_of(session: AsyncSession, member_ids: Sequence[int]) -> dict[int, tuple[Membership, ...]]:
    """Return the products each member is in, the first joined first; products they moved out of are left out."""
    return await queries.memberships(session, member_ids)


async def in_their_products(
    session: AsyncSession, members: Mapping[str, MemberRef], *, product: str = ""
) -> dict[str, MemberRef]:
    """Return the members as they stand in one product; who is not in it is left out.

    Args:
        session: the tenant's.
        members: by number, as identity knows them: with the product they enrolled in, which they may have left.
        product: "" is the first they joined, which is where money sent to them goes.

    """
    held = await memberships_of(session, [one.member_id for one in members.values()])
    return {
        number: replace(member, product=one.product, joined_on=one.joined_on, group_code=one.group_code)
        for number, member in members.items()
        for one in [one for one in held.get(member.member_id, ()) if product in ("", one.product)][:1]
    }


async def products_behind(session: AsyncSession, member_id: int, product: str) -> list[str]:
    """Return the product and those that the member moved out of into it: their history is its own."""
    return await queries.products_behind(session, member_id, product)


async def join_product(
    session: AsyncSession,
    tenant: Tenant,
    keys: FileKeyStore,
    member: MemberRef,
    product: str,
    *,
    actor: str,
    answers: Application | None = None,
) -> Membership:
    """Let a member join another product of the scheme; nominees, consents and documents are the person's and stay.

    Args:
        session: the tenant's.
        tenant: the scheme.
        keys: where the scheme's keys are.
        member: who joins.
        product: what they join.
        actor: on whose behalf; nothing personal.
        answers: what the product asks beside (class, income, declarations, proof of a group, channel), and what they
            undertake to pay; the rest of it, such as names and documents, is the vault's.

    Raises:
        UnknownProduct, NotOpen, ClosedToJoining: there is none of that code, or not yet, or not any more.
        AlreadyMember: they are in it, or were and moved on.
        EngineError: what the product's rules refuse; see `rules.rejoin`.
    """
    now = await ledger.scheme_now(session)
    today = business_date(now, tenant.time_zone)
    held = (await memberships_of(session, [member.member_id])).get(member.member_id, ())
    if any(one.product == product for one in held):
        raise AlreadyMember(product=product)
    people = await identity.read_people(session, keys, [member.member_id], actor=actor, reason="product-joined")
    figures = await tenancy.figures_for(session, tenant)
    checked = rejoin(tenant.pack, people[member.member_id], product, today, figures, answers)
    entry = Entry(
        member_id=member.member_id,
        kind=EventKind.PRODUCT_JOINED,
        business_date=today,
        actor=await ledger.actor_id(session, actor),
        pack=tenant.pack_id,
        decision=await ledger.decision_id(session, checked.terms.trace()),
        body={"product": product},
        claims=(claim_digest(tenant.tenant_id, f"product:{member.member_id}", product),),
    )
    (fate,) = await ledger.post(session, [entry])
    if fate.outcome is not Outcome.POSTED:
        raise AlreadyMember(product=product)
    joined = Membership(
        member.member_id,
        product,
        today,
        today,
        member.group_code,
        checked.age,
        checked.completes_on,
        checked.person_class,
        checked.level,
    )
    await queries.add_memberships(session, [(joined, fate.event_id)])
    if checked.undertaking is not None:
        undertaken = {member.member_id: checked.undertaking}
        await undertake_at_joining(session, tenant, undertaken, today=today, actor=actor)
    return joined


async def move_members(
    session: AsyncSession,
    tenant: Tenant,
    member_ids: Sequence[int],
    *,
    source: str,
    target: str,
    pots: Mapping[str, str] | None = None,
    actor: str,
) -> Moved:
    """Move members from one product into another, by one statement: every unit and every franc, none on its way.

    Joining date, origin and pot of all money, nominees and consents are kept; contributions, first and last, keep
    their own events. Who is in the target already is merged into it, with the earlier of the two joining dates. Members
    whose money is still on its way into a fund wait: orders in flight finish under the old product's book.

    Args:
        session: the tenant's.
        tenant: the scheme.
        member_ids: at most MOST_MOVED members, each in `source`.
        source: the product they leave.
        target: the product they come into.
        pots: where the money of each pot goes; a pot left out keeps its name.
        actor: on whose behalf; nothing personal.

    Raises:
        UnknownProduct: the scheme lacks one of the two.
        NotInProduct: one of them is not in `source`.
        ProductsDoNotFit: a pot or an origin of `source` has no place in `target`.
    """
    assert len(member_ids) <= MOST_MOVED, len(member_ids)
    tenant.product(source)
    now = await ledger.scheme_now(session)
    today = business_date(now, tenant.time_zone)
    codes = await _codes(session, tenant, source, target, pots or {})
    held = await memberships_of(session, member_ids)
    if any(all(one.product != source for one in held.get(member_id, ())) for member_id in member_ids):
        raise NotInProduct(product=source)
    waiting = await queries.with_money_on_its_way(session, member_ids, source)
    ready = sorted(set(member_ids) - waiting)
    events = await queries.move_members(
        session,
        ready,
        codes,
        source=source,
        target=target,
        recorded_at=now,
        business_date=today,
        actor=await ledger.actor_id(session, actor),
        pack=tenant.pack_id,
        decision=await ledger.decision_id(session, tenancy.trace(target, ())),
    )
    if events:
        await queries.carry_joinings(session, sorted(events), source, target)
    return Moved(events, tuple(sorted(waiting)))


async def _codes(
    session: AsyncSession, tenant: Tenant, source: str, target: str, pots: Mapping[str, str]
) -> list[tuple[int, int]]:
    """Return (from, to) of every members' code of `source`: the same asset, origin and fund in the target's pot."""
    into = tenant.product(target)
    chart = await ledger.accounts_by_code(session)
    pairs: dict[int, Account] = {}
    for code, account in chart.items():
        if not account.is_members or account.product != source:
            continue
        pot = pots.get(account.pot, account.pot)
        if pot not in into.pot_codes or account.origin not in into.origins:
            raise ProductsDoNotFit(source=source, target=target, pot=account.pot, origin=account.origin)
        pairs[code] = Account(account.kind, account.asset, target, pot, account.origin, account.fund, account.party)
    found = await ledger.account_codes(session, pairs.values())
    return [(code, found[account]) for code, account in sorted(pairs.items())]
