"""The rules' way in over HTTP: figures and pack versions that wait for a second person."""

from collections.abc import Sequence
from datetime import date
from typing import Annotated, Any

from litestar import Controller, Request, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import Meta, Struct

from engine.access.errors import SamePerson
from engine.access.rules import Caller
from engine.kernel.permissions import Permission
from engine.runtime.database import Database
from engine.runtime.http import FileOperation, refuses
from engine.tenancy import errors, service
from engine.tenancy.queries import Proposal, StoredPoint
from engine.tenancy.service import Tenant

DECISIONS = (errors.UnknownFigure, errors.FigureDecided, SamePerson)
_VERSIONS = (errors.UnknownProposal, errors.PackDecided, errors.PackInForceTooEarly, SamePerson)


class FigureItem(Struct, frozen=True):
    """A point of a reference series: in force from a day, known from another, and what became of it."""

    figure: int
    series: str
    effective_from: date
    published_on: date
    value: str
    source: str
    confidence: str
    state: str


class FiguresAnswer(Struct, frozen=True):
    """The numbers of the points put forward, and how many of the file stood already."""

    series: str
    proposed: Sequence[int]
    known: int


class ProposalItem(Struct, frozen=True):
    """A pack version put forward: its hash, the first day it would decide, and what became of it."""

    proposal: int
    sha256: str
    in_force_from: date
    state: str


class VersionSeen(Struct, frozen=True, forbid_unknown_fields=True):
    """The hash of the version that whoever decides has seen."""

    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]


def figure_item(point: StoredPoint) -> FigureItem:
    """Return a point as it is shown."""
    return FigureItem(
        figure=point.point_id,
        series=point.series,
        effective_from=point.effective_from,
        published_on=point.published_on,
        value=f"{point.value:f}",
        source=point.source,
        confidence=point.confidence,
        state=point.state,
    )


def _proposal(one: Proposal) -> ProposalItem:
    return ProposalItem(one.proposal_id, one.sha256, one.in_force_from, one.state)


class FigureController(Controller):
    """Figures that arrive over time."""

    path = "/v1/figures"
    tags = ("Rules",)

    @get(operation_id="ListFigures", opt={"permission": Permission.OPERATIONS_READ})
    async def list(self, tenant: NamedDependency[Tenant], db: NamedDependency[Database]) -> list[FigureItem]:
        """List the points of reference series that came after the pack."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return [figure_item(one) for one in await service.list_figures(session)]

    @post(
        "/{series:str}",
        operation_id="ProposeFigures",
        opt={"permission": Permission.FIGURES_PROPOSE},
        operation_class=FileOperation,
        responses=refuses(errors.UnknownSeries, errors.FiguresUnreadable, errors.FigureStands),
    )
    async def propose(
        self,
        request: Request[Any, Any, Any],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        series: FromPath[str],
        name: Annotated[str, QueryParameter(min_length=1, max_length=200, description="The file's name.")],
    ) -> FiguresAnswer:
        """Put the points of a CSV file forward: effective_from, published_on, value, source, confidence."""
        raw = await request.body()
        async with db.unit_of_work(tenant.tenant_id) as session:
            found = await service.propose_figures(session, tenant, series, raw, name=name, actor=caller.actor)
        return FiguresAnswer(found.series, found.proposed, found.known)

    @post(
        "/{figure:int}/reject",
        operation_id="RejectFigure",
        opt={"permission": Permission.FIGURES_APPROVE},
        status_code=200,
        responses=refuses(*DECISIONS),
    )
    async def reject(
        self,
        figure: FromPath[int],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> FigureItem:
        """Refuse a figure, as a second person."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return figure_item(await service.reject_figure(session, tenant, figure, actor=caller.actor))


class PackVersionController(Controller):
    """Versions of the rules that wait for a second person."""

    path = "/v1/pack-versions"
    tags = ("Rules",)

    @get(operation_id="ListPackVersions", opt={"permission": Permission.OPERATIONS_READ})
    async def list(self, tenant: NamedDependency[Tenant], db: NamedDependency[Database]) -> list[ProposalItem]:
        """List the versions ever put forward, oldest first."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return [_proposal(one) for one in await service.list_proposals(session)]

    @post(
        "/{proposal:int}/approve",
        operation_id="ApprovePackVersion",
        opt={"permission": Permission.PACKS_APPROVE},
        status_code=200,
        responses=refuses(*_VERSIONS),
    )
    async def approve(
        self,
        proposal: FromPath[int],
        data: JSONBody[VersionSeen],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> ProposalItem:
        """Let exactly the version of this hash decide from its date on, as a second person."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return _proposal(
                await service.approve_pack(session, tenant, proposal, sha256=data.sha256, actor=caller.actor)
            )

    @post(
        "/{proposal:int}/reject",
        operation_id="RejectPackVersion",
        opt={"permission": Permission.PACKS_APPROVE},
        status_code=200,
        responses=refuses(*_VERSIONS),
    )
    async def reject(
        self,
        proposal: FromPath[int],
        data: JSONBody[VersionSeen],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> ProposalItem:
        """Refuse a version, as a second person."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return _proposal(
                await service.reject_pack(session, tenant, proposal, sha256=data.sha256, actor=caller.actor)
            )
