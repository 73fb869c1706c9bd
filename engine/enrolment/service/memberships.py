"""A member's products: joining another, and moving from one to another with all that belongs to it."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

from engine.enrolment import queries
from engine.enrolment.errors import AlreadyMember, NotInProduct, ProductsDoNotFit, UnknownMember
from engine.enrolment.queries import Membership, MoveInto
from engine.enrolment.rules import Application, rejoin, rules_of_joining
from engine.enrolment.service.undertakings import undertake_at_joining
from engine.identity import service as identity
from engine.identity.rules import MemberRef
from engine.kernel.clock import business_date
from engine.kernel.errors import EngineError
from engine.kernel.ids import claim_digest
from engine.ledger import service as ledger
from engine.ledger.rules import Account, Entry, EventKind, Outcome
from engine.runtime.key_file import FileKeyStore
from engine.tenancy import service as tenancy
from engine.tenancy.rules.decided import Determination
from engine.tenancy.service import Tenant

Reference = TypeVar("Reference", bound=Hashable)
MOST_MOVED = 4_000
"""Members moved by one statement: each has an event, and a batch holds 4,096."""


KEPT = ("joining-date", "first-contribution", "last-withdrawal", "cost-basis", "nominees", "consents")
MOVES = "moves"
"""The party of accounts of units that are sold for a move, and of what they bring."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveTerms:
    """What moves along: which pot each old one becomes, which facts are kept, whose dates count where a member has both.

    `rules` are the rule versions that say so; `run` is the run by which two people stand for it, 0 for none.
    """

    pots: Mapping[str, str]
    keeps: tuple[str, ...] = KEPT
    both_dates: str = "earlier"
    rules: tuple[str, ...] = ()
    run: int = 0


@dataclass(frozen=True, slots=True)
class Moved:
    """What became of members to be moved: those moved, by event, and those whose money is still on its way into funds."""

    events: Mapping[int, int]
    waiting: tuple[int, ...]


async def memberships_of(session: AsyncSession, member_ids: Sequence[int]) -> dict[int, tuple[Membership, ...]]:
    """Return the products each member is in, the first joined first; products they moved out of are left out."""
    return await queries.memberships(session, member_ids)


async def antedate(session: AsyncSession, member_id: int, product: str, *, joined_on: date) -> None:
    """Let a member of a product count as having joined on an earlier day, of a scheme that their savings came from."""
    await queries.antedate(session, member_id, product, joined_on)


async def leave_scheme(session: AsyncSession, member_ids: Sequence[int]) -> None:
    """Let members who are handed over to another scheme be in no product here any more; they are found as before."""
    await queries.end_memberships(session, member_ids)
    await identity.note_handed_over(session, member_ids)


async def in_their_products(
    session: AsyncSession, members: Mapping[Reference, MemberRef], *, product: str = ""
) -> dict[Reference, MemberRef]:
    """Return the members as they stand in one product; who is not in it is left out.

    Args:
        session: the tenant's.
        members: by their number or another reference, as identity knows them: with the product they enrolled in, which they may have left.
        product: "" is the first they joined, which is where money sent to them goes.

    """
    held = await memberships_of(session, [one.member_id for one in members.values()])
    return {
        reference: replace(member, product=one.product, joined_on=one.joined_on, group_code=one.group_code)
        for reference, member in members.items()
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
) -> Membership | EngineError:
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

    Returns:
        The membership, or what the product's rules refuse, which is on record: see `rules.rejoin`.

    Raises:
        UnknownProduct: there is none of that code.
        UnknownMember: they were erased.
        AlreadyMember: they are in it, or were and moved on.
    """
    tenant.product(product)
    now = await ledger.scheme_now(session)
    today = business_date(now, tenant.time_zone)
    if await queries.was_ever_in(session, member.member_id, product):
        raise AlreadyMember(product=product)
    people = await identity.read_people(session, keys, [member.member_id], actor=actor, reason="product-joined")
    if member.member_id not in people:
        raise UnknownMember
    known = people[member.member_id]
    figures = await tenancy.figures_for(session, tenant)
    try:
        checked = rejoin(tenant.pack, known, product, today, figures, answers)
    except EngineError as refusal:
        rules = rules_of_joining(
            tenant.pack,
            product,
            today,
            known.person.born_on,
            undertakes=answers is not None and answers.undertaking is not None,
        )
        return await _keep_refusal(session, tenant, member.member_id, product, refusal, rules, today)
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


async def _keep_refusal(
    session: AsyncSession,
    tenant: Tenant,
    member_id: int,
    product: str,
    refusal: EngineError,
    rules: Sequence[str],
    today: date,
) -> EngineError:
    """Put on record that a member may not join, and why; return the refusal with its number."""
    determination = Determination(
        kind="joining",
        product=product,
        decided_on=today,
        rules=tuple(rules),
        member_id=member_id,
        code=refusal.code,
        inputs={},
    )
    (number,) = await tenancy.record(session, tenant, [determination])
    refusal.details = {**refusal.details, "decision": str(number)}
    return refusal


async def move_members(
    session: AsyncSession,
    tenant: Tenant,
    member_ids: Sequence[int],
    *,
    source: str,
    target: str,
    terms: MoveTerms | None = None,
    actor: str,
    is_late: bool = False,
) -> Moved:
    """Move members from one product into another, by one statement: all cash and units, none on its way.

    What is payable to them already, and what is being sold, stays where it is; what units put up for moves have brought is
    cash in the target. Nominees and consents are the person's; origins stay. Who is in the target already is merged into it.
    Members whose money is still on its way into a fund wait: orders in flight finish under the old product's book.

    Args:
        session: the tenant's.
        tenant: the scheme.
        member_ids: at most MOST_MOVED members, each in `source`.
        source: the product they leave.
        target: the product they come into.
        terms: what the rule says; without one all is kept, each pot keeps its name, and the earlier joining date counts.
        actor: on whose behalf; nothing personal.
        is_late: they moved before, and what came late to `source` follows them.

    Raises:
        UnknownProduct: the scheme lacks one of the two.
        NotInProduct: one of them is not in `source`.
        ProductsDoNotFit: a pot or an origin of `source` has no place in `target`.
    """
    assert len(member_ids) <= MOST_MOVED, len(member_ids)
    tenant.product(source)
    terms = terms or MoveTerms(pots={one: one for one in tenant.product(source).pot_codes})
    now = await ledger.scheme_now(session)
    today = business_date(now, tenant.time_zone)
    codes = await codes_to_move(session, tenant, source, target, terms.pots)
    if not is_late:
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
        facts={
            "keeps": list(terms.keeps),
            "pots": terms.pots,
            "both_dates": terms.both_dates,
            **({"run": terms.run} if terms.run else {}),
        },
        is_late=is_late,
        recorded_at=now,
        business_date=today,
        actor=await ledger.actor_id(session, actor),
        pack=tenant.pack_id,
        decision=await ledger.decision_id(session, tenancy.trace(target, terms.rules)),
    )
    if events and not is_late:
        await queries.carry_joinings(session, sorted(events), source, target)
    return Moved(events, tuple(sorted(waiting)))


async def codes_to_move(
    session: AsyncSession, tenant: Tenant, source: str, target: str, pots: Mapping[str, str]
) -> list[tuple[int, int]]:
    """Return (from, to) of members' codes of `source`: the same asset, origin and fund in the target's pot; cash of what was sold for moves.

    Pots that are not in `pots` are left out.

    Raises:
        UnknownProduct, ProductsDoNotFit: see `move_members`.
    """
    into = tenant.product(target)
    chart = await ledger.accounts_by_code(session)
    pairs: dict[int, Account] = {}
    for code, account in chart.items():
        is_moved = (account.kind, account.party) in (("cash", ""), ("units", ""), ("payable", MOVES))
        if not is_moved or account.product != source or account.pot not in pots:
            continue
        pot = pots[account.pot]
        if pot not in into.pot_codes or account.origin not in into.origins:
            raise ProductsDoNotFit(source=source, target=target, pot=account.pot, origin=account.origin)
        kind = "units" if account.kind == "units" else "cash"
        pairs[code] = Account(kind, account.asset, target, pot, account.origin, account.fund)
    found = await ledger.account_codes(session, pairs.values())
    return [(code, found[account]) for code, account in sorted(pairs.items())]


async def merge_memberships(session: AsyncSession, *, goes: int, stays: int, event_id: int, on: date) -> None:
    """Give the record that stays, by an event of a day, the places in products of the one that is merged into it."""
    await queries.merge_memberships(session, goes=goes, stays=stays, event_id=event_id, on=on)


async def moves_of(session: AsyncSession, member_id: int) -> list[MoveInto]:
    """Return a member's moves between products, the first first."""
    return await queries.moves_of(session, member_id)
