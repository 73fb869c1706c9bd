"""What does not agree between statements and receipts, and what people do about it."""

from datetime import date
from decimal import Decimal
from typing import Annotated

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import Meta, Struct

from engine.access.errors import SamePerson
from engine.access.rules import Caller
from engine.kernel.clock import business_date
from engine.kernel.permissions import Permission
from engine.ledger import service as ledger
from engine.reconciliation import errors, service
from engine.runtime.database import Database
from engine.runtime.http import refuses
from engine.tenancy.service import Tenant

MOST = 500

Statement = Annotated[
    int | None,
    QueryParameter(name="after_statement", ge=0, le=2**53, required=False, description="The last break's statement."),
]
Line = Annotated[
    int | None,
    QueryParameter(name="after_line", ge=0, le=2**31 - 1, required=False, description="The last break's line."),
]


class WaitingItem(Struct, frozen=True):
    """A reconciled receipt whose money is in no dealing yet: "suspended" or "no-fund-choice", and whose turn it is."""

    receipt: str
    account: str
    amount: str
    reason: str
    turn: str


class BreakList(Struct, frozen=True):
    """Breaks by statement and line, at most 500: ask again after the last. Waiting and unshown receipts, the oldest 500."""

    items: list[service.Break]
    waiting: list[WaitingItem]
    unshown: list[service.UnshownReceipt]


class ProposalRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """What to do about a break."""

    resolution: service.Matching | service.Booking | service.Holding


class ProposalSeen(Struct, frozen=True, forbid_unknown_fields=True):
    """The digest of the proposal that is confirmed."""

    digest: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]


class ProposalList(Struct, frozen=True):
    """What was proposed for a break and what became of it, the first first."""

    items: list[service.Proposal]


Day = Annotated[
    date | None, QueryParameter(name="as_of", required=False, description="The business day; today if left out.")
]


class ReconciliationController(Controller):
    """Reconciliation."""

    path = "/v1/reconciliation"
    tags = ("Reconciliation",)

    @get("/breaks", operation_id="ListBreaks", opt={"permission": Permission.OPERATIONS_READ})
    async def list_breaks(
        self,
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        after_statement: Statement,
        after_line: Line,
    ) -> BreakList:
        """List lines that are no receipt's, reconciled receipts that wait for a fund, and receipts that no line shows."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            breaks = await service.list_breaks(
                session, tenant, after=(after_statement or 0, after_line or 0), most=MOST
            )
            waiting = await service.list_waiting(session, most=MOST)
            unshown = await service.list_unshown(session, tenant, most=MOST)
        scale = tenant.asset.scale
        return BreakList(
            items=breaks,
            waiting=[
                WaitingItem(
                    receipt=str(one.event_id),
                    account=one.account,
                    amount=f"{Decimal(one.amount).scaleb(-scale):.{scale}f}",
                    reason=one.reason,
                    turn="operator" if one.reason == "suspended" else "member",
                )
                for one in waiting
            ],
            unshown=unshown,
        )

    @get(
        "/breaks/{statement:int}/{line:int}/proposals",
        operation_id="ListProposals",
        opt={"permission": Permission.OPERATIONS_READ},
    )
    async def list_proposals(
        self,
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        statement: FromPath[int],
        line: FromPath[int],
    ) -> ProposalList:
        """Return the history of a break: every proposal, who made it, who decided it, and the entry that carried it out."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return ProposalList(items=await service.list_proposals(session, tenant, statement, line))

    @post(
        "/breaks/{statement:int}/{line:int}/proposals",
        operation_id="ProposeResolution",
        opt={"permission": Permission.BREAKS_PROPOSE},
        responses=refuses(
            errors.UnknownBreak,
            errors.UnknownCause,
            errors.ManyToMany,
            errors.NotMatchable,
            errors.CauseNeeded,
            errors.CauseDiffers,
            errors.AboveLimit,
            errors.HoldUntil,
        ),
    )
    async def propose(
        self,
        statement: FromPath[int],
        line: FromPath[int],
        data: JSONBody[ProposalRequest],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> service.Proposal:
        """Propose to match a line with receipts, to book it for a cause of the pack, or to hold it for somebody."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return await service.propose_resolution(
                session, tenant, statement, line, data.resolution, actor=caller.actor
            )

    @post(
        "/proposals/{proposal:int}/confirmation",
        operation_id="ConfirmProposal",
        status_code=200,
        opt={"permission": Permission.BREAKS_APPROVE},
        responses=refuses(
            errors.UnknownProposal,
            errors.ProposalDecided,
            errors.ProposalDiffers,
            errors.BreakResolved,
            SamePerson,
        ),
    )
    async def confirm(
        self,
        proposal: FromPath[int],
        data: JSONBody[ProposalSeen],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> service.Proposal:
        """Carry a proposal out, as a second person. Of several for one break the first that is confirmed counts."""
        return await service.confirm_proposal(db, tenant, proposal, digest=data.digest, actor=caller.actor)

    @post(
        "/proposals/{proposal:int}/rejection",
        operation_id="RejectProposal",
        status_code=200,
        opt={"permission": Permission.BREAKS_APPROVE},
        responses=refuses(errors.UnknownProposal, errors.ProposalDecided, SamePerson),
    )
    async def reject(
        self,
        proposal: FromPath[int],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> service.Proposal:
        """Refuse a proposal, as a second person."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return await service.reject_proposal(session, tenant, proposal, actor=caller.actor)

    @get("/proof", operation_id="ProveDay", opt={"permission": Permission.OPERATIONS_READ})
    async def prove(
        self, tenant: NamedDependency[Tenant], db: NamedDependency[Database], as_of: Day = None
    ) -> service.DayProof:
        """Prove a day: bank or wallet against the books, fund manager against the books, every gap by name."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            today = business_date(await ledger.scheme_now(session), tenant.time_zone)
            return await service.prove_day(session, tenant, as_of or today)
