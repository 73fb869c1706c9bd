"""Recounts: what was posted to all members, and by law that reaches back, a revised figure or a corrected price would come out otherwise.

Found by comparing what stands with what the rules and figures in force give. Another person lets it be counted again: interest
is credited or taken back by its difference at once; a claim of state money is prepared for the difference, a fee run is given
back and proposed anew, and each of these waits for a second person of its own. Nothing that was posted is edited.
"""

import hashlib
from dataclasses import dataclass
from datetime import date

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from engine.access.rules import checked_by_other
from engine.benefits.errors import FeeKeyMissing, FeeRunOpen, NoFeeDue, RecountChanged
from engine.benefits.queries import charging as fee_queries
from engine.benefits.queries import recounting as queries
from engine.benefits.queries.recounting import Recount, RecountItem
from engine.benefits.service.charging import propose_fees, propose_refund, runs_to_charge_again
from engine.contributions import service as contributions
from engine.contributions.errors import ClaimPrepared, MatchNotDue, NoMatch
from engine.funds import service as funds
from engine.kernel.clock import business_date
from engine.kernel.ids import house_member
from engine.ledger import service as ledger
from engine.ledger.rules import Entry, EventKind
from engine.runtime.database import Database
from engine.tenancy import service as tenancy
from engine.tenancy.queries import StoredPoint
from engine.tenancy.service import Tenant, figures_for

_ACTOR = "system:rules"


@dataclass(frozen=True, slots=True)
class FigureAccepted:
    """A figure that counts now, and what of what was posted would come out otherwise: the recounts that wait or are carried out."""

    point: StoredPoint
    recounts: tuple[Recount, ...]


async def find_recount(db: Database, tenant: Tenant) -> Recount | None:
    """Look once by each pack version, its figures and each corrected price for what would come out otherwise; return what waits."""
    async with db.unit_of_work(tenant.tenant_id) as session:
        # Figures accepted and prices corrected only ever grow, so that their sum tells every state of both from those before.
        accepted = (await figures_for(session, tenant)).accepted + await queries.prices_corrected(session)
        if await queries.is_known(session, tenant.pack_id, accepted):
            return None
    to_claim = await contributions.years_to_claim_again(db, tenant)
    async with db.unit_of_work(tenant.tenant_id) as session:
        await queries.hold(session)
        if await queries.is_known(session, tenant.pack_id, accepted):
            return None
        items = (
            *(_year("interest", *one) for one in await funds.years_to_credit_again(session, tenant)),
            *(_year("state-money", *one) for one in to_claim),
            *(
                RecountItem(what="fees", product=one.product, day=one.charged_on.isoformat(), run=one.run_no)
                for one in await runs_to_charge_again(session, tenant)
            ),
        )
        number = await queries.add(
            session,
            items,
            pack=tenant.pack_id,
            accepted=accepted,
            digest=hashlib.sha256(msgspec.json.encode(items)).hexdigest(),
            maker=await ledger.actor_id(session, _ACTOR),
        )
        if not items:
            return None
        found = next(one for one in await queries.recounts(session) if one.recount_no == number)
        event = await _note(session, tenant, EventKind.RECOUNT_PROPOSED, found, _ACTOR)
        await queries.note_proposed(session, number, event)
        return found


def _year(what: str, product: str, day: date) -> RecountItem:
    return RecountItem(what=what, product=product, day=day.isoformat())


async def accept_figure(db: Database, tenant: Tenant, point_id: int, *, actor: str) -> FigureAccepted:
    """Let a proposed figure count, as a second person, and look at once for what it changes of what was posted.

    While a recount that was approved is carried out, nothing further is looked for; `find_recount` tells it afterwards.

    Raises:
        UnknownFigure, FigureDecided: there is none of that number, or it was decided before.
        SamePerson: `actor` proposed it.
    """
    async with db.unit_of_work(tenant.tenant_id) as session:
        point = await tenancy.accept_figure(session, tenant, point_id, actor=actor)
    await find_recount(db, tenant)
    async with db.unit_of_work(tenant.tenant_id) as session:
        found = await queries.recounts(session)
    return FigureAccepted(point, tuple(one for one in found if one.state in ("proposed", "approved")))


async def list_recounts(session: AsyncSession) -> list[Recount]:
    """Return the newest recounts, newest first."""
    return await queries.recounts(session)


async def approve_recount(db: Database, tenant: Tenant, recount_no: int, digest: str, *, actor: str) -> Recount:
    """Let everything in a recount be counted again, as a person who has seen the list that `digest` is of; `carry_on_recounts` does it.

    Raises:
        RecountChanged: no such recount waits.
        SamePerson: `actor` proposed it.
    """
    return await _decide(db, tenant, recount_no, digest, actor, "approved", EventKind.RECOUNT_APPROVED)


async def reject_recount(db: Database, tenant: Tenant, recount_no: int, digest: str, *, actor: str) -> Recount:
    """Leave everything in a recount as it was posted. Raises as `approve_recount` does."""
    return await _decide(db, tenant, recount_no, digest, actor, "rejected", EventKind.RECOUNT_REJECTED)


async def _decide(
    db: Database, tenant: Tenant, recount_no: int, digest: str, actor: str, state: str, kind: EventKind
) -> Recount:
    async with db.unit_of_work(tenant.tenant_id) as session:
        await queries.hold(session)
        asked = (recount_no, digest, "proposed")
        found = next(
            (one for one in await queries.recounts(session) if (one.recount_no, one.digest, one.state) == asked), None
        )
        if found is None:
            raise RecountChanged
        checked_by_other(maker=found.maker, checker=actor)
        event = await _note(session, tenant, kind, found, actor)
        checker = await ledger.actor_id(session, actor)
        await queries.decide(session, recount_no, state=state, checker=checker, event_id=event)
        return next(one for one in await queries.recounts(session) if one.recount_no == recount_no)


async def carry_on_recounts(db: Database, tenant: Tenant) -> int:
    """Do what can be done of an approved recount; return how many items wait for a second person or for a claim to end.

    May be stopped and run again, and run twice at once: interest is credited by its difference, and whether the rest was
    proposed is asked of the books.
    """
    async with db.unit_of_work(tenant.tenant_id) as session:
        open_ones = [one for one in await queries.recounts(session) if one.state == "approved"]
    waiting = 0
    for one in open_ones:
        for item in one.items:
            if item.what == "interest":
                day = date.fromisoformat(item.day)
                await funds.credit_interest(db, tenant, item.product, day, one.checker, again=True)
        waits = [
            not await _claimed_again(db, tenant, item) for item in one.items if item.what == "state-money"
        ] + await _charged_again(db, tenant, one)
        waiting += sum(waits)
        if not any(waits):
            async with db.unit_of_work(tenant.tenant_id) as session:
                await queries.hold(session)
                held = next(two for two in await queries.recounts(session) if two.recount_no == one.recount_no)
                if held.state == "approved":
                    event = await _note(session, tenant, EventKind.RECOUNT_DONE, held, held.checker)
                    await queries.finish(session, one.recount_no, event)
    return waiting


async def _claimed_again(db: Database, tenant: Tenant, item: RecountItem) -> bool:
    """Prepare a claim for a year's difference, unless one was; return whether that is done."""
    async with db.unit_of_work(tenant.tenant_id) as session:
        try:
            await contributions.prepare_claim(session, tenant, item.product, date.fromisoformat(item.day), actor=_ACTOR)
        except ClaimPrepared:
            return False
        except (MatchNotDue, NoMatch):
            return True
    return True


async def _charged_again(db: Database, tenant: Tenant, one: Recount) -> list[bool]:
    """Give back the fee runs of a recount, and propose them anew once all are given back; return which still wait.

    A product has one open run at a time: the next one begins once the other has been decided on.
    """
    runs = [item for item in one.items if item.what == "fees"]
    waits: list[bool] = []
    for item in reversed(runs):
        async with db.unit_of_work(tenant.tenant_id) as session:
            refund = await fee_queries.refund_of(session, item.run)
        if refund is None:
            try:
                reason = f"recount {one.recount_no}"
                refund = await propose_refund(db, tenant, item.run, reason=reason, actor=_ACTOR)
            except FeeRunOpen:
                refund = None
        waits.append(refund is None or refund.state not in ("done", "empty"))
    if any(waits):
        return waits
    for item in runs:
        day = date.fromisoformat(item.day)
        async with db.unit_of_work(tenant.tenant_id) as session:
            refund = await fee_queries.refund_of(session, item.run)
            run = await fee_queries.find_run(session, item.run)
            assert refund is not None, item
            assert run is not None, item
            is_done = await fee_queries.charged_since(session, item.product, day, refund.run_no)
        if not is_done:
            try:
                await propose_fees(db, tenant, item.product, day, keys=run.keys, actor=_ACTOR)
                is_done = True
            except NoFeeDue:
                is_done = True
            except (FeeRunOpen, FeeKeyMissing):
                is_done = False
        waits.append(not is_done)
    return waits


async def _note(session: AsyncSession, tenant: Tenant, kind: EventKind, one: Recount, actor: str) -> int:
    (posted,) = await ledger.post(
        session,
        [
            Entry(
                member_id=house_member(tenant.tenant_id),
                kind=kind,
                business_date=business_date(await ledger.scheme_now(session), tenant.time_zone),
                actor=await ledger.actor_id(session, actor),
                pack=tenant.pack_id,
                body={
                    "recount": one.recount_no, "digest": one.digest, "items": [msgspec.to_builtins(item) for item in one.items],
                },
            )
        ],
    )  # fmt: skip
    return posted.event_id
