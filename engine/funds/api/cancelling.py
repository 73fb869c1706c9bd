"""Orders at their managers over HTTP: how far each is, and asking one back, which one person proposes and another approves."""

from typing import Annotated

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import Meta, Struct

from engine.access.errors import SamePerson
from engine.access.rules import Caller
from engine.funds import errors, service
from engine.funds.api.correcting import Digest
from engine.funds.service import Cancellation, CancelReason, OrderDesk, SentOrderItem
from engine.kernel.fund_orders import REFERENCE_MAX
from engine.kernel.permissions import Permission
from engine.runtime.database import Database
from engine.runtime.http import refuses
from engine.tenancy.service import Tenant

_LAST = 2**31 - 1


class CancellationRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """The order, by the name that its manager knows it by, and why it is to come back."""

    order: Annotated[str, Meta(min_length=1, max_length=REFERENCE_MAX)]
    reason: CancelReason


class CancellationDecision(Struct, frozen=True, forbid_unknown_fields=True):
    """The digest of the proposal that you have read."""

    digest: Digest


class SentOrderController(Controller):
    """Orders at fund managers."""

    path = "/v1"
    tags = ("Dealings",)

    @get("/sent-orders", operation_id="ListSentOrders", opt={"permission": Permission.OPERATIONS_READ})
    async def sent(
        self,
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        before: FromQuery[Annotated[int, Meta(ge=1, le=_LAST)] | None] = None,
    ) -> list[SentOrderItem]:
        """Return at most 100 orders in files below number `before`, the newest first, and how far their managers say they are."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return await service.list_sent_orders(session, tenant, before=before)

    @get("/order-cancellations", operation_id="ListCancellations", opt={"permission": Permission.OPERATIONS_READ})
    async def list_all(self, tenant: NamedDependency[Tenant], db: NamedDependency[Database]) -> list[Cancellation]:
        """Return the newest 100 orders that somebody asked back."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return await service.list_cancellations(session)

    @post(
        "/order-cancellations",
        operation_id="ProposeCancellation",
        opt={"permission": Permission.BREAKS_PROPOSE},
        responses=refuses(
            errors.UnknownSentOrder,
            errors.UnknownManager,
            errors.OrderDone,
            errors.NoCancelling,
            errors.CancelTooLate,
            errors.CancellationDecided,
        ),
    )
    async def propose(
        self,
        data: JSONBody[CancellationRequest],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        order_desk: NamedDependency[OrderDesk],
    ) -> Cancellation:
        """Propose to ask an order back. Members' money and units stay in it; once it is back it leaves again by another name."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return await service.propose_cancellation(
                session, tenant, order_desk, data.order, reason=data.reason, actor=caller.actor
            )

    @post(
        "/order-cancellations/{cancellation:int}/approve",
        operation_id="ApproveCancellation",
        status_code=200,
        opt={"permission": Permission.BREAKS_APPROVE},
        responses=refuses(
            errors.UnknownCancellation,
            errors.CancellationDecided,
            errors.CancellationDiffers,
            SamePerson,
            errors.UnknownSentOrder,
            errors.UnknownManager,
            errors.OrderDone,
            errors.NoCancelling,
            errors.CancelTooLate,
        ),
    )
    async def approve(
        self,
        cancellation: FromPath[int],
        data: JSONBody[CancellationDecision],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        order_desk: NamedDependency[OrderDesk],
    ) -> Cancellation:
        """Ask an order back that another person proposed to: exactly the one that the digest is of."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return await service.approve_cancellation(
                session, tenant, order_desk, _number(cancellation), digest=data.digest, actor=caller.actor
            )

    @post(
        "/order-cancellations/{cancellation:int}/reject",
        operation_id="RejectCancellation",
        status_code=200,
        opt={"permission": Permission.BREAKS_APPROVE},
        responses=refuses(
            errors.UnknownCancellation, errors.CancellationDecided, errors.CancellationDiffers, SamePerson
        ),
    )
    async def reject(
        self,
        cancellation: FromPath[int],
        data: JSONBody[CancellationDecision],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> Cancellation:
        """Leave an order with its manager."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return await service.reject_cancellation(
                session, _number(cancellation), digest=data.digest, actor=caller.actor
            )


def _number(cancellation: int) -> int:
    """Return a proposal's number, 0 where none can have it."""
    return cancellation if 0 < cancellation <= _LAST else 0
