"""What waits for a second person: one list of every kind, each in full, and approved or rejected as it was read."""

from collections.abc import Mapping
from typing import Annotated, Literal
from uuid import UUID

from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, URLEncodedBody
from litestar.response import Redirect
from msgspec import Meta

from engine.access.errors import MissingPermission
from engine.access.rules import Caller
from engine.benefits import service as benefits
from engine.benefits.service import Payers
from engine.contributions import service as contributions
from engine.funds import service as funds
from engine.kernel.errors import NotFound
from engine.kernel.permissions import Permission
from engine.kernel.text import N_
from engine.reconciliation import service as reconciliation
from engine.reports.api import LAST_DECISION
from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore
from engine.runtime.settings import Settings
from engine.tenancy.service import Tenant
from engine.web.frame import Frame, HTTPRequest
from engine.web.in_full import READERS, Reading, Verdict
from engine.web.staff import NONE, staff_page
from engine.web.waiting import KINDS, Waiting, find_waiting, list_waiting, readable

MOST = 500
Event = Annotated[int, Meta(ge=1, le=LAST_DECISION)]
Serial = Annotated[int, Meta(ge=1, le=2**31 - 1)]
QUEUE = "/staff/waiting"


DONE: Mapping[str, str] = {"approve": N_("It was approved."), "reject": N_("It was rejected.")}


class SecondPersonPages(Controller):
    """What one person has proposed, for another to decide on."""

    path = "/staff"
    include_in_schema = False

    @get("/waiting", operation_id="ListWaitingPage", opt={"permission": Permission.OPERATIONS_READ})
    async def queue(
        self,
        request: HTTPRequest,
        tenant: NamedDependency[Tenant],
        caller: NamedDependency[Caller],
        db: NamedDependency[Database],
        settings: NamedDependency[Settings],
        done: FromQuery[Literal["approve", "reject"] | None] = None,
    ) -> Response[str]:
        """List what waits for a second person, the oldest first, with its age and who proposed it."""
        async with staff_page(request, db, tenant, caller, settings) as (session, frame):
            found = await list_waiting(session, readable(caller), zone=tenant.time_zone, most=MOST + 1)
        say = frame.words.gettext
        assert frame.business_date is not None
        rows = [
            {
                "href": f"{QUEUE}/{one.kind}/{one.item}",
                "what": say(KINDS[one.kind].label),
                "number": one.item,
                "amount": NONE if one.amount is None else frame.money(one.amount),
                "since": frame.day(one.since),
                "age": _age(frame, one),
                "owner": one.owner,
                "mine": one.maker == caller.actor,
            }
            for one in found[:MOST]
        ]
        return frame.page("waiting.html", rows=rows, has_more=len(found) > MOST, notice=say(DONE[done]) if done else "")

    @get(
        "/waiting/{kind:str}/{item:str}", operation_id="ShowWaitingPage", opt={"permission": Permission.OPERATIONS_READ}
    )
    async def show(
        self,
        request: HTTPRequest,
        kind: FromPath[str],
        item: FromPath[str],
        tenant: NamedDependency[Tenant],
        caller: NamedDependency[Caller],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
        settings: NamedDependency[Settings],
    ) -> Response[str]:
        """Show one of them in full, with what approves or rejects it for whoever may."""
        if kind not in KINDS:
            raise NotFound
        if not caller.may(KINDS[kind].read):
            raise MissingPermission(permission=KINDS[kind].read.value)
        async with staff_page(request, db, tenant, caller, settings) as (session, frame):
            one = await find_waiting(session, kind, item, zone=tenant.time_zone)
            if one is None:
                raise NotFound
            found = await READERS[kind](Reading(session, keys, tenant, frame, one, caller.actor))
        say = frame.words.gettext
        facts = [*found.facts, (say(N_("Proposed by")), one.owner), (say(N_("Waiting for")), _age(frame, one))]
        may, is_maker = caller.may(KINDS[kind].decide), one.maker == caller.actor
        return frame.page(
            "decide.html",
            title=say(KINDS[kind].label),
            facts=facts,
            found=found,
            explained=found.decision if caller.may(Permission.DECISIONS_READ) else 0,
            action=f"/staff/decisions/{kind}/{one.item}",
            may_decide=may and not is_maker,
            why_not=say(
                N_("You proposed it; another person decides on it.")
                if is_maker
                else N_("Your role does not decide on it.")
            ),
        )

    @post(
        "/decisions/reversals/{item:int}",
        status_code=303,
        operation_id="DecideReversalPage",
        opt={"permission": Permission.REVERSALS_APPROVE},
    )
    async def reversal(
        self,
        item: FromPath[Event],
        data: URLEncodedBody[Verdict],
        tenant: NamedDependency[Tenant],
        caller: NamedDependency[Caller],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> Redirect:
        """Take a payment back, or leave it."""
        if data.decision == "approve":
            await contributions.confirm_reversal(db, keys, tenant, item, digest=data.digest, actor=caller.actor)
        else:
            async with db.unit_of_work(tenant.tenant_id) as session:
                await contributions.reject_reversal(session, tenant, item, actor=caller.actor)
        return _decided(data)

    @post(
        "/decisions/claims/{item:int}",
        status_code=303,
        operation_id="DecideClaimPage",
        opt={"permission": Permission.CLAIMS_APPROVE},
    )
    async def claim(
        self,
        item: FromPath[Event],
        data: URLEncodedBody[Verdict],
        tenant: NamedDependency[Tenant],
        caller: NamedDependency[Caller],
        db: NamedDependency[Database],
    ) -> Redirect:
        """Let a claim be paid, or refuse it."""
        if data.decision == "approve":
            await benefits.approve_claim(db, tenant, item, digest=data.digest, actor=caller.actor)
        else:
            async with db.unit_of_work(tenant.tenant_id) as session:
                await benefits.reject_claim(session, tenant, item, digest=data.digest, actor=caller.actor)
        return _decided(data)

    @post(
        "/decisions/payouts/{item:uuid}",
        status_code=303,
        operation_id="DecidePayoutPage",
        opt={"permission": Permission.PAYOUTS_APPROVE},
    )
    async def payout(
        self,
        item: FromPath[UUID],
        data: URLEncodedBody[Verdict],
        tenant: NamedDependency[Tenant],
        caller: NamedDependency[Caller],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
        payers: NamedDependency[Payers],
    ) -> Redirect:
        """Pay exactly what was read, or refuse to."""
        async with benefits.approving(db, tenant, item), db.unit_of_work(tenant.tenant_id) as session:
            if data.decision == "approve":
                await benefits.approve(
                    session,
                    keys,
                    tenant,
                    payers,
                    item,
                    digest=data.digest,
                    actor=caller.actor,
                    name_seen=bool(data.name_seen),
                )
            else:
                await benefits.refuse(session, keys, tenant, item, actor=caller.actor)
        return _decided(data)

    @post(
        "/decisions/payrolls/{item:int}",
        status_code=303,
        operation_id="DecidePayrollPage",
        opt={"permission": Permission.PAYROLL_APPROVE},
    )
    async def payroll(
        self,
        item: FromPath[Serial],
        data: URLEncodedBody[Verdict],
        tenant: NamedDependency[Tenant],
        caller: NamedDependency[Caller],
        db: NamedDependency[Database],
    ) -> Redirect:
        """Approve all of a payroll, or refuse it."""
        decide = benefits.approve_payroll if data.decision == "approve" else benefits.reject_payroll
        await decide(db, tenant, item, digest=data.digest, actor=caller.actor)
        return _decided(data)

    @post(
        "/decisions/breaks/{item:int}",
        status_code=303,
        operation_id="DecideBreakPage",
        opt={"permission": Permission.BREAKS_APPROVE},
    )
    async def line(
        self,
        item: FromPath[Serial],
        data: URLEncodedBody[Verdict],
        tenant: NamedDependency[Tenant],
        caller: NamedDependency[Caller],
        db: NamedDependency[Database],
    ) -> Redirect:
        """Carry a proposal for a line out, or reject it."""
        if data.decision == "approve":
            await reconciliation.confirm_proposal(db, tenant, item, digest=data.digest, actor=caller.actor)
        else:
            async with db.unit_of_work(tenant.tenant_id) as session:
                await reconciliation.reject_proposal(session, tenant, item, actor=caller.actor)
        return _decided(data)

    @post(
        "/decisions/state-money/{item:int}",
        status_code=303,
        operation_id="DecideStateMoneyPage",
        opt={"permission": Permission.MATCH_APPROVE},
    )
    async def state_money(
        self,
        item: FromPath[Serial],
        data: URLEncodedBody[Verdict],
        tenant: NamedDependency[Tenant],
        caller: NamedDependency[Caller],
        db: NamedDependency[Database],
    ) -> Redirect:
        """Let a claim go to its funder, or give it up."""
        decide = contributions.send_claim if data.decision == "approve" else contributions.reject_claim
        async with db.unit_of_work(tenant.tenant_id) as session:
            await decide(session, tenant, item, data.digest, actor=caller.actor)
        return _decided(data)

    @post(
        "/decisions/suspense/{item:int}",
        status_code=303,
        operation_id="DecideOwnerPage",
        opt={"permission": Permission.SUSPENSE_APPROVE},
    )
    async def owner_of_payment(
        self,
        item: FromPath[Event],
        data: URLEncodedBody[Verdict],
        tenant: NamedDependency[Tenant],
        caller: NamedDependency[Caller],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> Redirect:
        """Give a payment to its owner, or leave it in suspense."""
        if data.decision == "approve":
            await contributions.confirm_owner(db, keys, tenant, item, digest=data.digest, actor=caller.actor)
        else:
            async with db.unit_of_work(tenant.tenant_id) as session:
                await contributions.reject_owner(session, keys, tenant, item, actor=caller.actor)
        return _decided(data)

    @post(
        "/decisions/fees/{item:int}",
        status_code=303,
        operation_id="DecideFeesPage",
        opt={"permission": Permission.FEES_APPROVE},
    )
    async def fees(
        self,
        item: FromPath[Serial],
        data: URLEncodedBody[Verdict],
        tenant: NamedDependency[Tenant],
        caller: NamedDependency[Caller],
        db: NamedDependency[Database],
    ) -> Redirect:
        """Take fees, or give the run up."""
        if data.decision == "approve":
            await benefits.approve_fees(db, tenant, item, data.digest, actor=caller.actor)
        else:
            async with db.unit_of_work(tenant.tenant_id) as session:
                await benefits.reject_fees(session, tenant, item, data.digest, actor=caller.actor)
        return _decided(data)

    @post(
        "/decisions/moves/{item:int}",
        status_code=303,
        operation_id="DecideMovePage",
        opt={"permission": Permission.CLAIMS_APPROVE},
    )
    async def move(
        self,
        item: FromPath[Serial],
        data: URLEncodedBody[Verdict],
        tenant: NamedDependency[Tenant],
        caller: NamedDependency[Caller],
        db: NamedDependency[Database],
    ) -> Redirect:
        """Move members into another product, or leave them where they are."""
        if data.decision == "approve":
            await benefits.approve_move(db, tenant, item, digest=data.digest, actor=caller.actor)
        else:
            async with db.unit_of_work(tenant.tenant_id) as session:
                await benefits.reject_move(session, tenant, item, digest=data.digest, actor=caller.actor)
        return _decided(data)

    @post(
        "/decisions/price-corrections/{item:int}",
        status_code=303,
        operation_id="DecidePriceCorrectionPage",
        opt={"permission": Permission.PRICES_APPROVE},
    )
    async def correction(
        self,
        item: FromPath[Serial],
        data: URLEncodedBody[Verdict],
        tenant: NamedDependency[Tenant],
        caller: NamedDependency[Caller],
        db: NamedDependency[Database],
    ) -> Redirect:
        """Put a wrong price right, or let it stand."""
        if data.decision == "approve":
            await funds.approve_correction(db, tenant, item, data.digest, actor=caller.actor)
        else:
            async with db.unit_of_work(tenant.tenant_id) as session:
                await funds.reject_correction(session, tenant, item, data.digest, actor=caller.actor)
        return _decided(data)

    @post(
        "/decisions/recounts/{item:int}",
        status_code=303,
        operation_id="DecideRecountPage",
        opt={"permission": Permission.PACKS_APPROVE},
    )
    async def recount(
        self,
        item: FromPath[Serial],
        data: URLEncodedBody[Verdict],
        tenant: NamedDependency[Tenant],
        caller: NamedDependency[Caller],
        db: NamedDependency[Database],
    ) -> Redirect:
        """Let everything in it be counted again, or leave it as it was posted."""
        decide = benefits.approve_recount if data.decision == "approve" else benefits.reject_recount
        await decide(db, tenant, item, data.digest, actor=caller.actor)
        return _decided(data)

    @post(
        "/decisions/merges/{item:int}",
        status_code=303,
        operation_id="DecideMergePage",
        opt={"permission": Permission.IDENTITY_DECIDE},
    )
    async def merge(
        self,
        item: FromPath[Event],
        data: URLEncodedBody[Verdict],
        tenant: NamedDependency[Tenant],
        caller: NamedDependency[Caller],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> Redirect:
        """Merge two records of one person, or leave them."""
        if data.decision == "approve":
            await benefits.approve_merge(db, keys, tenant, item, digest=data.digest, actor=caller.actor)
        else:
            async with db.unit_of_work(tenant.tenant_id) as session:
                await benefits.reject_merge(session, tenant, item, digest=data.digest, actor=caller.actor)
        return _decided(data)


def _decided(data: Verdict) -> Redirect:
    return Redirect(f"{QUEUE}?done={data.decision}", status_code=303)


def _age(frame: Frame, one: Waiting) -> str:
    assert frame.business_date is not None
    days = max((frame.business_date - one.since).days, 0)
    return frame.words.ngettext("{count} day", "{count} days", days).format(count=frame.number(days))
