"""Money that nobody claims: found by the legal clock, its owners looked for and told, handed over whole, and reclaimed."""

import csv
import hashlib
import io
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Literal

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from engine.access.rules import checked_by_other
from engine.benefits.errors import (
    HandOverDecided,
    HandOverDiffers,
    HandOverOpen,
    NothingUnclaimed,
    NoUnclaimedRule,
    UnknownHandOver,
)
from engine.benefits.queries import unclaimed as queries
from engine.benefits.queries.unclaimed import Case, HandOverRun, Line
from engine.benefits.rules.unclaimed import UnclaimedRule, check_reclaim, hand_over_by, presumed_by
from engine.funds.rules import FundsRule
from engine.identity import service as identity
from engine.kernel.amounts import Amount
from engine.kernel.clock import business_date
from engine.kernel.ids import claim_digest, house_member
from engine.kernel.rules import Dates
from engine.ledger import service as ledger
from engine.ledger.rules import Account, Entry, EventKind, Outcome, Transfer
from engine.runtime.database import Database, retry_transaction
from engine.runtime.key_file import FileKeyStore
from engine.tenancy import service as tenancy
from engine.tenancy.rules.books import InForce
from engine.tenancy.service import Tenant, figures_for

Means = Literal["sms", "phone", "letter", "visit", "register", "publication"]
SearchOutcome = Literal["told", "found", "no-answer", "not-found"]
_PEOPLE_AT_ONCE = 1000


async def find_unclaimed(session: AsyncSession, tenant: Tenant, product: str, *, actor: str) -> tuple[int, int]:
    """Look for all money of a product that is presumed unclaimed by now; return how many cases were opened, and ended.

    A case ends with the next thing its owner does. Who has a claim, a payout, a pension or a loan under way is not asked
    about. Run again it changes nothing.

    Raises:
        UnknownProduct, NoUnclaimedRule: there is no such product, or nothing of it is handed over.
    """
    today = await _today(session, tenant)
    found = _rule(tenant, product, today)
    await queries.hold_product(session, product)
    ended = await queries.end_heard(session, product, found.rule.counted_from)
    opened = await queries.open_cases(
        session,
        product,
        found.rule.counted_from,
        rule=found.rule.id,
        counted_by=presumed_by(found.rule, today),
        least=await _least(session, tenant, found.rule, today),
        event_id=await queries.next_event(session),
    )
    if opened or ended:
        body = {"step": "presumed", "opened": opened, "ended": ended}
        await _note(session, tenant, product, actor, body, rules=(found.ref,))
    return opened, ended


async def list_unclaimed(
    session: AsyncSession, product: str, *, state: str = "", after: int = 0, most: int = 100
) -> list[Case]:
    """Return cases of a product after member `after`, by member."""
    return await queries.list_cases(session, product, state=state, after=after, most=most)


async def note_search(
    session: AsyncSession,
    tenant: Tenant,
    product: str,
    *,
    means: Means,
    outcome: SearchOutcome,
    actor: str,
    member_id: int = 0,
) -> int:
    """Note how owners of unclaimed money were looked for; return of how many. From the day they are told their notice runs.

    Args:
        session: the use case's.
        tenant: whose scheme.
        product: whose money.
        means: by what.
        outcome: with what success.
        actor: who looked.
        member_id: the owner; 0 for all at once, as a publication tells those who were not told yet.

    Raises:
        NothingUnclaimed: there is no such case.
    """
    today = await _today(session, tenant)
    await queries.hold_product(session, product)
    body = {"step": "searched", "means": means, "outcome": outcome}
    event_id = await _note(session, tenant, product, actor, body, member_id=member_id)
    found = await queries.note_searches(
        session, product, event_id, means=means, outcome=outcome, on=today, member_id=member_id
    )
    if not found:
        raise NothingUnclaimed
    return found


async def propose_hand_over(session: AsyncSession, tenant: Tenant, product: str, *, actor: str) -> HandOverRun:
    """Count what is due to be handed over by the last day of handing over, of all owners at once; it waits for a second person.

    Raises:
        UnknownProduct, NoUnclaimedRule: there is no such product, or nothing of it is handed over.
        HandOverOpen: another one of the product is not done.
        NothingUnclaimed: nothing is due.
    """
    today = await _today(session, tenant)
    found = _rule(tenant, product, today)
    await queries.hold_product(session, product)
    run = await queries.open_run(session, product)
    if run is not None:
        raise HandOverOpen(run=run.run_no)
    await queries.end_heard(session, product, found.rule.counted_from)
    number = await queries.propose_run(
        session,
        product,
        found.rule.counted_from,
        hand_over_by(found.rule, today),
        rule=found.rule.id,
        handed_to=found.rule.handed_to,
        least=await _least(session, tenant, found.rule, today),
        maker=await ledger.actor_id(session, actor),
    )
    if not number:
        raise NothingUnclaimed
    run = await _found(session, number)
    event_id = await _note(session, tenant, product, actor, _facts(run, "proposed"), rules=(found.ref,))
    await queries.note_proposed(session, number, event_id)
    return run


async def approve_hand_over(db: Database, tenant: Tenant, run_no: int, digest: str, *, actor: str) -> HandOverRun:
    """Hand over what was proposed, as a second person who has seen what `digest` is of; one that stopped goes on.

    Dr member cash or payable / Cr due-to-party, whom the rule names; by ranges of members, one event each. Who was heard
    of in between, or has less by now, keeps all of it.

    Raises:
        UnknownHandOver, HandOverDecided, HandOverDiffers: there is none, it is done or rejected, or its lines are others.
        SamePerson: `actor` proposed it.
    """
    async with db.unit_of_work(tenant.tenant_id) as session:
        run = await _found(session, run_no, hold=True)
        if run.state not in ("proposed", "approved"):
            raise HandOverDecided(state=run.state)
        _check(run, digest, actor)
        if run.state == "proposed":
            event_id = await _note(session, tenant, run.product, actor, _facts(run, "approved"))
            checker = await ledger.actor_id(session, actor)
            await queries.decide_run(session, run_no, state="approved", checker=checker, event_id=event_id)

    async def step() -> bool:
        async with db.unit_of_work(tenant.tenant_id) as session:
            held = await _found(session, run_no, hold=True)
            members = await queries.next_members(session, run_no)
            if held.state == "done":
                return False
            if members is None:
                event_id = await _note(session, tenant, held.product, actor, _facts(held, "done"))
                await queries.finish_run(session, run_no, event_id)
                return False
            await _hand_over(session, tenant, held, members, actor)
            return True

    while await retry_transaction(step):
        pass
    async with db.unit_of_work(tenant.tenant_id) as session:
        return await _found(session, run_no)


async def reject_hand_over(
    session: AsyncSession, tenant: Tenant, run_no: int, digest: str, *, actor: str
) -> HandOverRun:
    """Give a proposed handing over up, as a second person; raises as `approve_hand_over` does."""
    run = await _found(session, run_no, hold=True)
    if run.state != "proposed":
        raise HandOverDecided(state=run.state)
    _check(run, digest, actor)
    event_id = await _note(session, tenant, run.product, actor, _facts(run, "rejected"))
    checker = await ledger.actor_id(session, actor)
    await queries.decide_run(session, run_no, state="rejected", checker=checker, event_id=event_id)
    return await _found(session, run_no)


async def receipt_hand_over(
    session: AsyncSession, tenant: Tenant, run_no: int, *, receipt: str, actor: str
) -> HandOverRun:
    """Note the number that whoever took the money gave for it, once.

    Raises:
        UnknownHandOver, HandOverDecided: there is none, or it is not done, or has another receipt.
    """
    run = await _found(session, run_no, hold=True)
    if run.receipt == receipt:
        return run
    if run.state != "done" or run.receipt:
        raise HandOverDecided(state="receipted" if run.receipt else run.state)
    await _note(session, tenant, run.product, actor, {**_facts(run, "receipted"), "receipt": receipt})
    await queries.note_receipt(session, run_no, receipt, await _today(session, tenant))
    return await _found(session, run_no)


async def find_hand_over(session: AsyncSession, run_no: int) -> HandOverRun:
    """Return a handing over; UnknownHandOver if there is none."""
    return await _found(session, run_no)


async def list_hand_overs(session: AsyncSession, *, most: int = 100) -> list[HandOverRun]:
    """Return the newest handings over, newest first."""
    return await queries.list_runs(session, most=most)


async def hand_over_file(
    session: AsyncSession, keys: FileKeyStore, tenant: Tenant, run_no: int, *, actor: str
) -> bytes:
    """Return a handing over as the file that goes with the money: a line an owner, and a last line with count, digest and total.

    Amounts in major units. Of who is erased nothing but the amount is known. Whose line it is, is read under the vault's log.

    Raises:
        UnknownHandOver: there is none of that number.
    """
    run = await _found(session, run_no)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(["line", "member", "full_name", "born_on", "address", "last_heard_of", "amount"])
    number, total = 0, 0
    waiting: list[Line] = []

    async def write() -> None:
        nonlocal number, total
        ids = [one.member_id for one in waiting]
        people = await identity.read_people(session, keys, ids, actor=actor, reason="hand-over of unclaimed money")
        for one in waiting:
            number, total = number + 1, total + one.minor
            known = people.get(one.member_id)
            who = (
                ["", "", "", ""]
                if known is None
                else [
                    known.member_number,
                    known.person.full_name,
                    known.person.born_on.isoformat(),
                    known.person.address,
                ]
            )
            writer.writerow([number, *who, one.counted_from.isoformat(), _major(tenant, one.minor)])
        waiting.clear()

    async for line in queries.lines_of(session, run_no):
        waiting.append(line)
        if len(waiting) == _PEOPLE_AT_ONCE:
            await write()
    await write()
    writer.writerow(
        ["total", number, run.handed_to, run.handed_over_on.isoformat(), run.digest, "", _major(tenant, total)]
    )
    return out.getvalue().encode()


async def propose_reclaim(
    session: AsyncSession, tenant: Tenant, member_id: int, product: str, *, documents: Mapping[str, str], actor: str
) -> Case:
    """Ask back what was handed over of a member, with the documents that say who they are; it waits for a second person.

    Raises:
        UnknownProduct, NothingUnclaimed: nothing of theirs was handed over, or it was reclaimed.
        ReclaimTooLate: the rule's time is over.
    """
    case = await _handed_over(session, tenant, member_id, product)
    body = {"step": "reclaimed", "documents": dict(documents), "amount": str(case.handed_over)}
    event_id = await _note(session, tenant, product, actor, body, member_id=member_id)
    said = {"member": member_id, "case": case.opened_event, "event": event_id, **body}
    digest = hashlib.sha256(msgspec.json.encode(said, order="sorted")).hexdigest()
    await queries.propose_reclaim(session, case, by=await ledger.actor_id(session, actor), digest=digest)
    return await _handed_over(session, tenant, member_id, product)


async def approve_reclaim(
    session: AsyncSession, tenant: Tenant, member_id: int, product: str, *, digest: str, actor: str
) -> Case:
    """Give back what was handed over, as a second person, to the accounts it came from: Dr due-to-party / Cr member cash or payable.

    It can be claimed, or paid, as before; what whoever took it pays back is booked to the same party.

    Raises:
        UnknownProduct, NothingUnclaimed, ReclaimTooLate: as `propose_reclaim`.
        HandOverDiffers: nobody asked for it, or `digest` is another's.
        SamePerson: `actor` asked for it.
    """
    case = await _handed_over(session, tenant, member_id, product)
    if not case.digest or digest != case.digest:
        raise HandOverDiffers
    checked_by_other(maker=case.reclaim_by, checker=actor)
    run = await _found(session, case.run_no)
    taken_by = await _party(session, tenant, run.handed_to)
    lines = await queries.handed_over_lines(session, case)
    event_id = await _post(
        session,
        tenant,
        Entry(
            member_id=member_id,
            kind=EventKind.UNCLAIMED_RECLAIMED,
            business_date=await _today(session, tenant),
            actor=await ledger.actor_id(session, actor),
            pack=tenant.pack_id,
            body={"product": product, "run": run.run_no, "amount": str(case.handed_over)},
            claims=(claim_digest(tenant.tenant_id, "reclaim", f"{member_id}:{product}:{case.opened_event}"),),
            transfers=[Transfer(minor, taken_by, code) for code, minor in lines],
        ),
    )
    await queries.reclaim(session, case, event_id)
    found = await queries.hold_case(session, member_id, product, ["reclaimed"])
    assert found is not None, case
    return found


async def _handed_over(session: AsyncSession, tenant: Tenant, member_id: int, product: str) -> Case:
    tenant.product(product)
    case = await queries.hold_case(session, member_id, product, ["handed-over"])
    if case is None or case.handed_over_on is None:
        raise NothingUnclaimed
    check_reclaim(_rule(tenant, product, case.handed_over_on).rule, case.handed_over_on, await _today(session, tenant))
    return case


async def _hand_over(
    session: AsyncSession, tenant: Tenant, run: HandOverRun, members: tuple[int, int], actor: str
) -> None:
    today = await _today(session, tenant)
    found = _rule(tenant, run.product, run.handed_over_on)
    event = Entry(
        member_id=house_member(tenant.tenant_id),
        kind=EventKind.UNCLAIMED_HANDED_OVER,
        business_date=today,
        actor=await ledger.actor_id(session, actor),
        pack=tenant.pack_id,
        decision=await ledger.decision_id(session, tenancy.trace(run.product, [found.ref])),
        body={"product": run.product, "run": run.run_no, "handed_to": run.handed_to},
    )
    to = await _party(session, tenant, run.handed_to)
    await queries.take(session, run, members, found.rule.counted_from, to=to, event=event)


async def _party(session: AsyncSession, tenant: Tenant, role: str) -> int:
    account = Account("due-to-party", tenant.asset.symbol, party=role)
    return (await ledger.account_codes(session, [account]))[account]


def _rule(tenant: Tenant, product: str, on: date) -> InForce[UnclaimedRule]:
    tenant.product(product)
    found = tenant.rule(UnclaimedRule, product=product, dates=Dates(on=on, joined_on=on))
    in_funds = tenant.rule(FundsRule, product=product, dates=Dates(on=on, joined_on=on)) is not None
    if found is None or (in_funds and found.rule.counted_from == "last-activity"):
        raise NoUnclaimedRule(product=product)
    return found


async def _least(session: AsyncSession, tenant: Tenant, rule: UnclaimedRule, on: date) -> int:
    return 0 if rule.least is None else (await figures_for(session, tenant)).amount(rule.least, on).units


def _check(run: HandOverRun, digest: str, actor: str) -> None:
    if digest != run.digest:
        raise HandOverDiffers
    checked_by_other(maker=run.maker, checker=actor)


def _facts(run: HandOverRun, step: str) -> dict[str, object]:
    return {
        "step": step,
        "run": run.run_no,
        "handed_to": run.handed_to,
        "day": run.handed_over_on.isoformat(),
        "members": run.members,
        "total": str(run.total),
        "digest": run.digest,
    }


async def _found(session: AsyncSession, run_no: int, *, hold: bool = False) -> HandOverRun:
    run = await queries.find_run(session, run_no, hold=hold)
    if run is None:
        raise UnknownHandOver
    return run


def _major(tenant: Tenant, minor: int) -> str:
    return f"{Amount(minor, tenant.asset).decimal():.{tenant.asset.scale}f}"


async def _today(session: AsyncSession, tenant: Tenant) -> date:
    return business_date(await ledger.scheme_now(session), tenant.time_zone)


async def _note(
    session: AsyncSession,
    tenant: Tenant,
    product: str,
    actor: str,
    body: Mapping[str, object],
    *,
    member_id: int = 0,
    rules: Sequence[str] = (),
) -> int:
    return await _post(
        session,
        tenant,
        Entry(
            member_id=member_id or house_member(tenant.tenant_id),
            kind=EventKind.UNCLAIMED_NOTED,
            business_date=await _today(session, tenant),
            actor=await ledger.actor_id(session, actor),
            pack=tenant.pack_id,
            decision=await ledger.decision_id(session, tenancy.trace(product, rules)) if rules else 0,
            body={"product": product, **body},
        ),
    )


async def _post(session: AsyncSession, tenant: Tenant, entry: Entry) -> int:
    (fate,) = await ledger.post(session, [entry])
    assert fate.outcome is Outcome.POSTED, (tenant.code, entry.kind, fate)
    return fate.event_id
