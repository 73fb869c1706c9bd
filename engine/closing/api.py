"""Closed days for staff: what each ended with, opening them again by two people, and what background work has put aside."""

from datetime import date, datetime
from typing import Annotated

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Meta, Struct

from engine.access.errors import SamePerson
from engine.access.rules import Caller
from engine.closing import errors, service
from engine.closing.service import DayReport, Reopening
from engine.kernel.permissions import Permission
from engine.runtime import quarantine
from engine.runtime.database import Database
from engine.runtime.http import refuses
from engine.tenancy.service import Tenant


class ReopeningRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """A wish to open every closed day from a day on again. The reason names nobody."""

    from_day: Annotated[date, Meta(examples=["2026-03-31"])]
    reason: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{2,59}$", examples=["late-price-correction"])]


class ReopeningDecision(Struct, frozen=True, forbid_unknown_fields=True):
    """A decision on exactly what the digest is of."""

    digest: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$", examples=["0" * 64])]


class ReopeningItem(Struct, frozen=True):
    """A wish to open closed days again, and what became of it."""

    number: int
    from_day: date
    reason: str
    state: str
    proposed_by: str
    proposed_at: datetime
    decided_by: str
    digest: str


class ReopeningList(Struct, frozen=True):
    """What was asked for, the newest first; at most 100."""

    items: list[ReopeningItem]


class QuarantineItem(Struct, frozen=True):
    """A piece of background work that failed on one account: why, whose it is to look at, since when, tried how often."""

    number: int
    task: str
    subject: str
    reason: str
    owner: str
    since: datetime
    seen_at: datetime
    tries: int


class QuarantineList(Struct, frozen=True):
    """What is put aside, the oldest first; at most 1,000."""

    items: list[QuarantineItem]


class Released(Struct, frozen=True):
    """A piece of work that is tried again."""

    number: int


def _item(one: Reopening) -> ReopeningItem:
    return ReopeningItem(
        one.number, one.from_day, one.reason, one.state, one.proposed_by, one.proposed_at, one.decided_by, one.digest
    )


def _number(number: int) -> int:
    """Return a number that the database can be asked for; 0, which nothing has, for one that it cannot."""
    return number if 0 < number < 2**31 else 0


class ClosingController(Controller):
    """Closed days."""

    path = "/v1"
    tags = ("Close of business",)

    @get(
        "/closings/{day:date}",
        operation_id="GetClosing",
        opt={"permission": Permission.OPERATIONS_READ},
        responses=refuses(errors.DayNotClosed),
    )
    async def closing(
        self, day: FromPath[date], tenant: NamedDependency[Tenant], db: NamedDependency[Database]
    ) -> DayReport:
        """Tell what a closed day began with, moved and ended with, and what each step of its closing said."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return await service.day_report(session, day)

    @get("/reopenings", operation_id="ListReopenings", opt={"permission": Permission.OPERATIONS_READ})
    async def reopenings(self, tenant: NamedDependency[Tenant], db: NamedDependency[Database]) -> ReopeningList:
        """List the wishes to open closed days again, the newest first."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return ReopeningList([_item(one) for one in await service.list_reopenings(session)])

    @post(
        "/reopenings",
        operation_id="ProposeReopening",
        opt={"permission": Permission.DAYS_REOPEN},
        responses=refuses(errors.DayNotClosed),
    )
    async def propose(
        self,
        data: JSONBody[ReopeningRequest],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> ReopeningItem:
        """Ask that every closed day from a day on be opened again; a second person decides."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            found = await service.propose_reopening(session, tenant, data.from_day, data.reason, actor=caller.actor)
        return _item(found)

    @post(
        "/reopenings/{reopening:int}/approval",
        operation_id="ApproveReopening",
        opt={"permission": Permission.DAYS_APPROVE},
        status_code=200,
        responses=refuses(errors.UnknownReopening, errors.ReopeningDecided, SamePerson),
    )
    async def approve(
        self,
        reopening: FromPath[int],
        data: JSONBody[ReopeningDecision],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> ReopeningItem:
        """Open the days again, as a second person; the next close of business closes them anew."""
        found = await service.approve_reopening(db, tenant, _number(reopening), digest=data.digest, actor=caller.actor)
        return _item(found)

    @post(
        "/reopenings/{reopening:int}/rejection",
        operation_id="RejectReopening",
        opt={"permission": Permission.DAYS_APPROVE},
        status_code=200,
        responses=refuses(errors.UnknownReopening, errors.ReopeningDecided, SamePerson),
    )
    async def reject(
        self,
        reopening: FromPath[int],
        data: JSONBody[ReopeningDecision],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> ReopeningItem:
        """Leave the days closed, as a second person."""
        found = await service.reject_reopening(db, tenant, _number(reopening), digest=data.digest, actor=caller.actor)
        return _item(found)

    @get("/quarantine", operation_id="ListQuarantine", opt={"permission": Permission.OPERATIONS_READ})
    async def quarantined(self, tenant: NamedDependency[Tenant], db: NamedDependency[Database]) -> QuarantineList:
        """List what background work has put aside, the oldest first."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return QuarantineList(
                [
                    QuarantineItem(
                        one.number, one.task, one.subject, one.reason, one.owner, one.since, one.seen_at, one.tries
                    )
                    for one in await quarantine.waiting(session)
                ]
            )

    @post(
        "/quarantine/{piece:int}/release",
        operation_id="ReleaseFromQuarantine",
        opt={"permission": Permission.QUARANTINE_RELEASE},
        status_code=200,
        responses=refuses(errors.NotInQuarantine),
    )
    async def release(
        self,
        piece: FromPath[int],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> Released:
        """Let the work try a piece again, once its cause is gone."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            if not await quarantine.release(session, _number(piece), caller.actor):
                raise errors.NotInQuarantine
        return Released(piece)
