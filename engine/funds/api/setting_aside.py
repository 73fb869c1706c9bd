"""Breaks of confirmations over HTTP: one person proposes to set what a manager said aside, another approves it."""

from typing import Annotated

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Meta, Struct

from engine.access.errors import SamePerson
from engine.access.rules import Caller
from engine.funds import errors, service
from engine.funds.api.correcting import Digest
from engine.funds.service import Cause, SettingAside
from engine.kernel.permissions import Permission
from engine.runtime.database import Database
from engine.runtime.http import refuses
from engine.tenancy.service import Tenant

LAST_PROPOSAL = 2**31 - 1


class SettingAsideRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """The break, by its place in its file of confirmations, and why what the manager said is to go."""

    file: Annotated[int, Meta(ge=1, le=2**53)]
    place: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    cause: Cause


class SettingAsideDecision(Struct, frozen=True, forbid_unknown_fields=True):
    """The digest of the proposal that you have read."""

    digest: Digest


class SettingAsideController(Controller):
    """Breaks of confirmations that people end."""

    path = "/v1/confirmation-proposals"
    tags = ("Dealings",)

    @get(operation_id="ListSettingsAside", opt={"permission": Permission.OPERATIONS_READ})
    async def list_all(self, tenant: NamedDependency[Tenant], db: NamedDependency[Database]) -> list[SettingAside]:
        """Return the newest 100 proposals."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return await service.list_settings_aside(session)

    @post(
        operation_id="ProposeSettingAside",
        opt={"permission": Permission.BREAKS_PROPOSE},
        responses=refuses(errors.UnknownBreak, errors.SettingAsideDecided),
    )
    async def propose(
        self,
        data: JSONBody[SettingAsideRequest],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> SettingAside:
        """Propose to end a break: what the manager said is of no order. No price and no unit changes."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return await service.propose_setting_aside(
                session, data.file, data.place, cause=data.cause, actor=caller.actor
            )

    @post(
        "/{proposal:int}/approve",
        operation_id="ApproveSettingAside",
        status_code=200,
        opt={"permission": Permission.BREAKS_APPROVE},
        responses=refuses(
            errors.UnknownSettingAside, errors.SettingAsideDecided, errors.SettingAsideDiffers, SamePerson
        ),
    )
    async def approve(
        self,
        proposal: FromPath[int],
        data: JSONBody[SettingAsideDecision],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> SettingAside:
        """Set a break aside that another person proposed to: exactly what the digest is of."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return await service.approve_setting_aside(
                session, tenant, _number(proposal), digest=data.digest, actor=caller.actor
            )

    @post(
        "/{proposal:int}/reject",
        operation_id="RejectSettingAside",
        status_code=200,
        opt={"permission": Permission.BREAKS_APPROVE},
        responses=refuses(
            errors.UnknownSettingAside, errors.SettingAsideDecided, errors.SettingAsideDiffers, SamePerson
        ),
    )
    async def reject(
        self,
        proposal: FromPath[int],
        data: JSONBody[SettingAsideDecision],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> SettingAside:
        """Leave a break as it is."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return await service.reject_setting_aside(
                session, tenant, _number(proposal), digest=data.digest, actor=caller.actor
            )


def _number(proposal: int) -> int:
    """Return a proposal's number, 0 where none can have it."""
    return proposal if 0 < proposal <= LAST_PROPOSAL else 0
