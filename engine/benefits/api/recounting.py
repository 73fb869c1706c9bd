"""Recounts over HTTP: what changed rules and figures change of what was posted, for a second person."""

from collections.abc import Sequence
from datetime import date

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Struct, structs

from engine.access.errors import SamePerson
from engine.access.rules import Caller
from engine.benefits import errors, service
from engine.benefits.api.charging import Digest
from engine.kernel.permissions import Permission
from engine.runtime.database import Database
from engine.runtime.http import refuses
from engine.tenancy.api import DECISIONS, FigureItem, figure_item
from engine.tenancy.service import Tenant


class RecountedItem(Struct, frozen=True):
    """What is counted again: `what` is "interest" or "state-money" of the scheme year from `date` on, or "fees" charged on it by a run."""

    what: str
    product: str
    date: date
    run: int


class RecountAnswer(Struct, frozen=True):
    """What was posted to all members and would come out otherwise now, and what became of it."""

    recount: int
    state: str
    digest: str
    items: Sequence[RecountedItem]


class FigureAnswer(FigureItem, frozen=True, kw_only=True):
    """A figure that counts now, and what of what was posted would come out otherwise: recounts that wait or are carried out.

    While one that was approved is carried out, nothing further is looked for.
    """

    recounts: Sequence[RecountAnswer]


class RecountSeen(Struct, frozen=True, forbid_unknown_fields=True):
    """The digest of the list that you have read."""

    digest: Digest


def _told(one: service.Recount) -> RecountAnswer:
    items = [RecountedItem(item.what, item.product, date.fromisoformat(item.day), item.run) for item in one.items]
    return RecountAnswer(one.recount_no, one.state, one.digest, items)


class FigureAcceptanceController(Controller):
    """Figures that count from now on."""

    path = "/v1/figures/{figure:int}/accept"
    tags = ("Rules",)

    @post(
        operation_id="AcceptFigure",
        opt={"permission": Permission.FIGURES_APPROVE},
        status_code=200,
        responses=refuses(*DECISIONS),
    )
    async def accept(
        self,
        figure: FromPath[int],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> FigureAnswer:
        """Let a figure count, as a second person; the answer lists what it changes of what was posted."""
        found = await service.accept_figure(db, tenant, figure, actor=caller.actor)
        told = [_told(one) for one in found.recounts]
        return FigureAnswer(**structs.asdict(figure_item(found.point)), recounts=told)


class RecountController(Controller):
    """What law that reaches back and revised figures change of what was posted."""

    path = "/v1/recounts"
    tags = ("Rules",)

    @get(operation_id="ListRecounts", opt={"permission": Permission.OPERATIONS_READ})
    async def list(self, tenant: NamedDependency[Tenant], db: NamedDependency[Database]) -> list[RecountAnswer]:
        """List the newest recounts with all they affect, newest first."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return [_told(one) for one in await service.list_recounts(session)]

    @post(
        "/{recount:int}/approve",
        operation_id="ApproveRecount",
        opt={"permission": Permission.PACKS_APPROVE},
        status_code=200,
        responses=refuses(errors.RecountChanged, SamePerson),
    )
    async def approve(
        self,
        recount: FromPath[int],
        data: JSONBody[RecountSeen],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> RecountAnswer:
        """Let all of a recount be counted again, in the background; differences are new events."""
        return _told(await service.approve_recount(db, tenant, recount, data.digest, actor=caller.actor))

    @post(
        "/{recount:int}/reject",
        operation_id="RejectRecount",
        opt={"permission": Permission.PACKS_APPROVE},
        status_code=200,
        responses=refuses(errors.RecountChanged, SamePerson),
    )
    async def reject(
        self,
        recount: FromPath[int],
        data: JSONBody[RecountSeen],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> RecountAnswer:
        """Leave all of a recount as it was posted."""
        return _told(await service.reject_recount(db, tenant, recount, data.digest, actor=caller.actor))
