"""Moves from one product to another: asked for by a member or enacted for all, approved by a second person, carried out by ranges.

The target's `product-move` rule decides whether, with what and as what. What is on its way finishes under the old product first:
a member moves once no claim, no pension, no order and no sale of theirs is under way there; the others of a run do not wait for them.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import date

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from engine.access.rules import checked_by_other
from engine.benefits.errors import (
    CannotMove,
    LoanRunning,
    MoveChanged,
    MoveDecided,
    MoveNotServed,
    MoveOpen,
    PaymentsSuspended,
    UnknownMove,
)
from engine.benefits.queries import lending, rounds
from engine.benefits.queries import moving as queries
from engine.benefits.queries.moving import Left, MoveRun, MoveRunTerms
from engine.benefits.rules.moves import ProductMoveRule, Standing, move_member
from engine.enrolment import service as enrolment
from engine.enrolment.service import MOST_MOVED, MOVES, MoveTerms
from engine.funds import service as funds
from engine.funds.rules import FundsRule
from engine.identity.rules import MemberRef
from engine.kernel.clock import business_date
from engine.kernel.errors import EngineError
from engine.kernel.ids import house_member
from engine.kernel.rules import Dates
from engine.ledger import service as ledger
from engine.ledger.rules import Entry, EventKind
from engine.runtime.database import Database, retry_transaction
from engine.tenancy import service as tenancy
from engine.tenancy.rules.books import InForce
from engine.tenancy.rules.decided import Determination
from engine.tenancy.service import Tenant

_ACTOR = "system:moves"
_LATE_MONEY = "late-money"
_PERSONS_OWN = ("nominees", "consents")


async def propose_move(
    session: AsyncSession,
    tenant: Tenant,
    *,
    source: str,
    target: str,
    actor: str,
    member: MemberRef | None = None,
    has_consent: bool = False,
) -> MoveRun | EngineError:
    """Propose that a member, or everyone in a product, moves into another; a second person decides on it.

    Asked again for the same, it answers with what is proposed already.

    Args:
        session: the use case's.
        tenant: the scheme.
        source: the product left.
        target: the product moved into.
        actor: who asks, and so may not approve.
        member: as they stand in `source`; None for everyone there, which a re-designation by law alone allows.
        has_consent: whether the member agreed.

    Returns:
        The proposed run, or why the rule refuses, which is on record: CannotMove, ConsentNeeded, LoanRunning, MoveNotServed,
        ProductsDoNotFit, PaymentsSuspended.

    Raises:
        UnknownProduct: the scheme lacks one of the two.
        MoveOpen: another move out of `source` is not over.

    """
    for product in (source, target):
        tenant.product(product)
    await queries.hold_moves(session)
    today = business_date(await ledger.scheme_now(session), tenant.time_zone)
    member_id = member.member_id if member else 0
    earlier = await queries.open_run(session, source, member_id)
    if earlier is not None:
        asked = (earlier.member_id, earlier.target, earlier.has_consent, earlier.maker, earlier.state)
        if asked == (member_id, target, has_consent, actor, "proposed"):
            return earlier
        raise MoveOpen(run=earlier.run_no)
    found = _rule(tenant, source, target, today, member)
    try:
        await _decide(session, tenant, found, source, target, today, member, has_consent=has_consent)
    except EngineError as refusal:
        return await _keep_refusal(session, tenant, found, source, target, member_id, refusal, today)
    assert found is not None, "decided by a rule"
    run = MoveRun(
        run_no=await queries.next_number(session),
        member_id=member_id,
        source=source,
        target=target,
        asked_on=today,
        state="proposed",
        digest="",
        maker=actor,
        checker="",
        has_consent=has_consent,
        members=1 if member else await queries.count_members(session, source),
        moved=0,
        terms=MoveRunTerms(
            act=found.rule.act,
            moves_as=found.rule.moves_as,
            keeps=found.rule.keeps,
            pots=dict(found.rule.pots),
            both_dates=found.rule.both_dates,
            rules=(found.ref,),
            undertaking=found.rule.undertaking,
        ),
    )
    run = replace(run, digest=_digest(run))
    event = await _note(session, tenant, EventKind.MOVE_PROPOSED, run, actor)
    await queries.add_run(session, run, maker=await ledger.actor_id(session, actor), event_id=event)
    return run


async def approve_move(db: Database, tenant: Tenant, run_no: int, *, digest: str, actor: str) -> MoveRun:
    """Let a move be carried out, as a second person who has read what `digest` is of; whoever is ready moves at once.

    Run again, one that stopped half way goes on.

    Raises:
        UnknownMove, MoveDecided, MoveChanged: there is none, it is decided, or `digest` is of another.
        SamePerson: `actor` proposed it.
        NoDealingRule, NoFundChoice: units cannot be sold, or what they bring not invested.
    """
    async with db.unit_of_work(tenant.tenant_id) as session:
        run = await _held(session, run_no, digest, actor, ("proposed", "approved"))
        if run.state == "proposed":
            await _settle(session, tenant, run, actor, EventKind.MOVE_APPROVED, "approved")
    await _carry_on(db, tenant, run_no)
    async with db.unit_of_work(tenant.tenant_id) as session:
        return await find_move(session, run_no)


async def reject_move(session: AsyncSession, tenant: Tenant, run_no: int, *, digest: str, actor: str) -> MoveRun:
    """Give a proposed move up, as a second person; raises as `approve_move` does."""
    run = await _held(session, run_no, digest, actor, ("proposed",))
    await _settle(session, tenant, run, actor, EventKind.MOVE_REJECTED, "rejected")
    return await find_move(session, run_no)


async def find_move(session: AsyncSession, run_no: int) -> MoveRun:
    """Return a move; UnknownMove if there is none of that number."""
    run = await queries.find_run(session, run_no)
    if run is None:
        raise UnknownMove
    return run


async def list_moves(session: AsyncSession, *, most: int = 100) -> list[MoveRun]:
    """Return the newest moves, newest first."""
    return await queries.list_runs(session, most=most)


async def carry_on_moves(db: Database, tenant: Tenant) -> int:
    """Move whoever of approved moves is ready by now; once a day also what came late to products that members left.

    Returns how many members were moved or followed. Range by range, each in a transaction of its own; may be stopped and run again, and run twice at once.
    """
    async with db.unit_of_work(tenant.tenant_id) as session:
        runs = await queries.approved_runs(session)
    done = 0
    for run_no in runs:
        done += await _carry_on(db, tenant, run_no)
    return done + await _follow_late_money(db, tenant)


async def _carry_on(db: Database, tenant: Tenant, run_no: int) -> int:
    """Move the members of an approved run who are ready, by ranges; return how many moved."""
    moved, after = 0, 0
    while True:

        async def range_of(after: int = after) -> tuple[int, int] | None:
            async with db.unit_of_work(tenant.tenant_id) as session:
                run = await queries.find_run(session, run_no, hold=True)
                if run is None or run.state != "approved":
                    return None
                members = await queries.members_in(
                    session, run.source, member_id=run.member_id, after=after, most=MOST_MOVED
                )
                if not members:
                    left = await queries.members_in(session, run.source, member_id=run.member_id, after=0, most=1)
                    await queries.note_moved(session, run_no, 0, is_done=not left)
                    return None
                here = await _move_range(session, tenant, run, members)
                await queries.note_moved(session, run_no, here, is_done=False)
                return here, members[-1]

        done = await retry_transaction(range_of)
        if done is None:
            return moved
        moved, after = moved + done[0], done[1]


async def _move_range(session: AsyncSession, tenant: Tenant, run: MoveRun, members: list[int]) -> int:
    await queries.hold_money(session, members, run.source)
    # Asked once the money is held: a claim of it that ran beside this one has ended.
    bound = await queries.bound_members(session, members, run.source, list(run.terms.pots))
    bound |= await enrolment.suspended(session, members)
    ready = [one for one in members if one not in bound]
    today = business_date(await ledger.scheme_now(session), tenant.time_zone)
    is_in_funds = _deals_in(tenant, run.source, today) is not None
    if is_in_funds and run.terms.moves_as == "money":
        selling = await _put_up(session, tenant, run, ready, today)
        ready = [one for one in ready if one not in selling]
    if is_in_funds:
        unsettled = await queries.unsettled_members(session, ready, run.source)
        ready = [one for one in ready if one not in unsettled]
    buys = run.terms.moves_as == "money" and _deals_in(tenant, run.target, today) is not None
    if buys and not is_in_funds:
        unshown = await queries.unshown_members(session, ready, run.source)
        ready = [one for one in ready if one not in unshown]
    moved = await enrolment.move_members(
        session,
        tenant,
        ready,
        source=run.source,
        target=run.target,
        terms=MoveTerms(
            pots=run.terms.pots,
            keeps=run.terms.keeps,
            both_dates=run.terms.both_dates,
            rules=run.terms.rules,
            run=run.run_no,
        ),
        actor=run.checker,
    )
    if run.terms.undertaking == "carried":
        await enrolment.carry_undertakings(
            session, tenant, sorted(moved.events), source=run.source, target=run.target, actor=run.checker
        )
    if buys:
        find = queries.collected_by if is_in_funds else queries.accounts_paid_by
        await _invest(session, tenant, run.target, moved.events, await find(session, sorted(moved.events), run.source))
    return len(moved.events)


async def _put_up(
    session: AsyncSession, tenant: Tenant, run: MoveRun, members: list[int], today: date
) -> frozenset[int]:
    """Put all units of members into the open dealing of the product they leave, by one event; return whose were put up."""
    chart = await ledger.accounts_by_code(session)
    own = {
        code: one
        for code, one in chart.items()
        if one.kind == "units" and one.product == run.source and one.pot in run.terms.pots
    }
    selling = {code: replace(one, kind="selling", party=MOVES) for code, one in own.items()}
    codes = await ledger.account_codes(session, selling.values())
    numbers = await funds.fund_numbers(session, sorted({one.fund for one in own.values()}))
    ways = {code: (codes[selling[code]], numbers[one.fund]) for code, one in own.items() if one.fund in numbers}
    up = await queries.put_up(session, members, ways) if ways and members else frozenset()
    if up:
        into = await funds.open_for_sale(session, tenant, run.source, today)
        event = await queries.next_event(session)
        await funds.put_up_gathered(session, into, event)
        entry = Entry(
            member_id=house_member(tenant.tenant_id),
            kind=EventKind.UNITS_PUT_UP,
            business_date=today,
            actor=await ledger.actor_id(session, run.checker),
            pack=tenant.pack_id,
            decision=await ledger.decision_id(session, tenancy.trace(run.target, [*run.terms.rules, into.rule])),
            body={"product": run.source, "move": run.run_no, "members": len(up)},
        )
        await queries.write_put_up(session, event, entry)
    return up


async def _invest(
    session: AsyncSession, tenant: Tenant, product: str, events: Mapping[int, int], collected: Mapping[int, int]
) -> None:
    """Put the cash that moved, by the event of each member, into the open dealing of the product moved into."""
    receipts = [funds.ReconciledReceipt(one, events[one], code) for one, code in sorted(collected.items())]
    allocated = await funds.allocate(session, tenant, receipts)
    if allocated.without_choice:
        raise MoveNotServed(reason=f"no-fund-choice in {product}")


async def _follow_late_money(db: Database, tenant: Tenant) -> int:
    """Let what came late to products follow the members who left them, unless it was done this day; return how many members' did."""
    async with db.unit_of_work(tenant.tenant_id) as session:
        today = business_date(await ledger.scheme_now(session), tenant.time_zone)
        done_on = await rounds.hold_round(session, _LATE_MONEY)
        ways = [] if done_on is not None and done_on >= today else await queries.ways_with_late_money(session)
    done = 0
    for way in ways:
        after: int | None = 0
        while after is not None:

            async def range_of(way: Left = way, after: int = after) -> tuple[int, int | None]:
                async with db.unit_of_work(tenant.tenant_id) as session:
                    return await _follow(session, tenant, way, after, today)

            here, after = await retry_transaction(range_of)
            done += here
    async with db.unit_of_work(tenant.tenant_id) as session:
        await rounds.note_round(session, _LATE_MONEY, today)
    return done


async def _follow(session: AsyncSession, tenant: Tenant, way: Left, after: int, today: date) -> tuple[int, int | None]:
    """Let a range of members' late money follow; return how many members' did, and the last member, None after the last range."""
    chart = await ledger.accounts_by_code(session)
    dealt = _deals_in(tenant, way.target, today) or frozenset()
    pairs = await enrolment.codes_to_move(session, tenant, way.source, way.target, way.pots)
    if any(chart[code].kind == "units" and chart[code].fund not in dealt for code, _ in pairs):
        return 0, None
    # One range at a time: nobody else lets the same money follow until the session ends.
    await rounds.hold_round(session, _LATE_MONEY)
    codes = [code for code, _ in pairs]
    members = await queries.with_late_money(session, way, codes, after=after, most=MOST_MOVED)
    if not members:
        return 0, None
    await queries.hold_money(session, members, way.source)
    waits = await queries.bound_members(session, members, way.source, list(way.pots))
    waits |= await enrolment.suspended(session, members)
    is_in_funds = _deals_in(tenant, way.source, today) is not None
    if is_in_funds:
        waits |= await queries.unsettled_members(session, members, way.source)
    elif dealt:
        waits |= await queries.unshown_members(session, members, way.source)
    moved = await enrolment.move_members(
        session,
        tenant,
        [one for one in members if one not in waits],
        source=way.source,
        target=way.target,
        terms=MoveTerms(pots=way.pots),
        actor=_ACTOR,
        is_late=True,
    )
    if dealt and not is_in_funds:
        paid_by = await queries.accounts_paid_by(session, sorted(moved.events), way.source)
        await _invest(session, tenant, way.target, moved.events, paid_by)
    return len(moved.events), members[-1]


def _rule(
    tenant: Tenant, source: str, target: str, today: date, member: MemberRef | None
) -> InForce[ProductMoveRule] | None:
    year_from, _ = tenant.product(target).scheme_year(today)
    joined_on = member.joined_on if member else today
    dates = Dates(on=today, joined_on=joined_on, tranche_on=today, scheme_year_from=year_from)
    rules = tenant.rules(ProductMoveRule, product=target, dates=dates)
    return next((one for one in rules if one.rule.from_product == source), None)


async def _decide(
    session: AsyncSession,
    tenant: Tenant,
    found: InForce[ProductMoveRule] | None,
    source: str,
    target: str,
    today: date,
    member: MemberRef | None,
    *,
    has_consent: bool,
) -> None:
    """Refuse a move that the rule or the books do not allow; see `propose_move`."""
    if found is None:
        raise CannotMove(pots=source)
    rule, member_id = found.rule, member.member_id if member else 0
    if member is None and rule.act != "re-designation":
        raise MoveNotServed(reason="every member has to ask")
    left_behind = [one for one in _PERSONS_OWN if one not in rule.keeps]
    if left_behind:
        raise MoveNotServed(reason=f"{', '.join(left_behind)} cannot be left behind")
    homeless = await queries.homeless_pots(session, source, member_id, list(rule.pots))
    if member is None and homeless:
        raise CannotMove(pots=", ".join(homeless))
    if member is not None:
        if await enrolment.suspended(session, [member_id]):
            raise PaymentsSuspended
        if await lending.running_loans(session, member_id, [source]):
            raise LoanRunning
        held = (await enrolment.memberships_of(session, [member_id])).get(member_id, ())
        new = next((one for one in held if one.product == target), None)
        if rule.act == "merge" and new is None:
            raise MoveNotServed(reason=f"not a member of {target}")
        old = Standing(joined_on=member.joined_on, money=homeless, cost={})
        into = None if new is None else Standing(joined_on=new.joined_on, money={}, cost={})
        move_member(found, old, into, on=today, has_consent=has_consent)
    await enrolment.codes_to_move(session, tenant, source, target, rule.pots)
    here, there = _deals_in(tenant, source, today), _deals_in(tenant, target, today)
    if here is None and there is not None and rule.moves_as == "units":
        raise MoveNotServed(reason=f"{source} has no units, and its money does not move as money")
    if here is not None and rule.moves_as == "units":
        strange = await queries.funds_held(session, source, member_id) - (there or frozenset())
        if strange or there is None:
            raise CannotMove(pots=", ".join(sorted(strange)) or target)


def _deals_in(tenant: Tenant, product: str, today: date) -> frozenset[str] | None:
    """Return the funds that a product deals in; None where it is in none."""
    found = tenant.rule(FundsRule, product=product, dates=Dates(on=today, joined_on=today))
    return None if found is None else frozenset(one.code for one in found.rule.funds)


async def _held(session: AsyncSession, run_no: int, digest: str, actor: str, states: tuple[str, ...]) -> MoveRun:
    run = await queries.find_run(session, run_no, hold=True)
    if run is None:
        raise UnknownMove
    if run.state not in states:
        raise MoveDecided(state=run.state)
    if run.digest != digest:
        raise MoveChanged
    checked_by_other(maker=run.maker, checker=actor)
    return run


async def _settle(session: AsyncSession, tenant: Tenant, run: MoveRun, actor: str, kind: EventKind, state: str) -> None:
    event = await _note(session, tenant, kind, run, actor)
    checker = await ledger.actor_id(session, actor)
    await queries.decide_run(session, run.run_no, state=state, checker=checker, event_id=event)


async def _note(session: AsyncSession, tenant: Tenant, kind: EventKind, run: MoveRun, actor: str) -> int:
    entry = Entry(
        member_id=run.member_id or house_member(tenant.tenant_id),
        kind=kind,
        business_date=business_date(await ledger.scheme_now(session), tenant.time_zone),
        actor=await ledger.actor_id(session, actor),
        pack=tenant.pack_id,
        decision=await ledger.decision_id(session, tenancy.trace(run.target, run.terms.rules)),
        body={**_facts(run), "digest": run.digest},
    )
    (posted,) = await ledger.post(session, [entry])
    return posted.event_id


def _facts(run: MoveRun) -> dict[str, object]:
    return {
        "run": run.run_no,
        "from": run.source,
        "to": run.target,
        "on": run.asked_on.isoformat(),
        "consent": run.has_consent,
        "members": run.members,
    }


def _digest(run: MoveRun) -> str:
    facts: Mapping[str, object] = {
        **_facts(run),
        "member": f"{run.member_id:x}",
        "terms": msgspec.to_builtins(run.terms),
    }
    return hashlib.sha256(msgspec.json.encode(facts, order="sorted")).hexdigest()


async def _keep_refusal(
    session: AsyncSession,
    tenant: Tenant,
    found: InForce[ProductMoveRule] | None,
    source: str,
    target: str,
    member_id: int,
    refusal: EngineError,
    today: date,
) -> EngineError:
    """Put on record that a move was refused, and why; return the refusal with its number."""
    determination = Determination(
        kind="product-move",
        product=target,
        decided_on=today,
        rules=() if found is None else (found.ref,),
        member_id=member_id,
        code=refusal.code,
        inputs={"from": source, "to": target},
    )
    (number,) = await tenancy.record(session, tenant, [determination])
    refusal.details = {**refusal.details, "decision": str(number)}
    return refusal
