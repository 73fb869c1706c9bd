"""Opening balances for staff: what was staged, and a second person's decision on it."""

from datetime import date, datetime
from typing import Annotated

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Meta, Struct

from engine.access.errors import SamePerson
from engine.access.rules import Caller
from engine.kernel.permissions import Permission
from engine.opening import errors, service
from engine.opening.queries import OpeningRow
from engine.runtime.database import Database
from engine.runtime.http import refuses
from engine.tenancy.service import Tenant


class OpeningItem(Struct, frozen=True):
    """A scheme that is taken over: of its `ranges` of members `posted` are in the books."""

    opening: int
    state: str
    source: str
    as_of: date
    digest: str
    members: int
    staged_at: datetime
    staged_by: str
    decided_by: str
    ranges: int
    posted: int


class OpeningList(Struct, frozen=True):
    """What was staged, the newest first; at most 100."""

    items: list[OpeningItem]


class OpeningDecision(Struct, frozen=True, forbid_unknown_fields=True):
    """A decision on exactly those files that the digest is of."""

    digest: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$", examples=["0" * 64])]


def shown(row: OpeningRow) -> OpeningItem:
    """Return an opening as it is answered."""
    return OpeningItem(
        opening=row.opening_no,
        state=row.state,
        source=row.source,
        as_of=row.as_of,
        digest=row.digest,
        members=row.members,
        staged_at=row.staged_at,
        staged_by=row.staged_by,
        decided_by=row.decided_by or "",
        ranges=row.ranges,
        posted=row.done,
    )


def _number(opening: int) -> int:
    """Return a number that the database can be asked for; 0, which no opening has, for one that it cannot."""
    return opening if 0 < opening < 2**31 else 0


class OpeningController(Controller):
    """Opening balances."""

    path = "/v1/openings"
    tags = ("Opening balances",)

    @get(operation_id="ListOpenings", opt={"permission": Permission.OPERATIONS_READ})
    async def list_openings(self, tenant: NamedDependency[Tenant], db: NamedDependency[Database]) -> OpeningList:
        """List the schemes whose balances were staged, the newest first."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return OpeningList([shown(row) for row in await service.list_openings(session)])

    @post(
        "/{opening:int}/approval",
        operation_id="ApproveOpening",
        opt={"permission": Permission.OPENINGS_APPROVE},
        status_code=200,
        responses=refuses(
            errors.UnknownOpening, errors.OpeningDecided, errors.OpeningChanged, errors.OpeningOutdated, SamePerson
        ),
    )
    async def approve(
        self,
        opening: FromPath[int],
        data: JSONBody[OpeningDecision],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> OpeningItem:
        """Let staged balances be posted, as a second person; members follow in the background."""
        row = await service.approve_opening(db, tenant, _number(opening), digest=data.digest, actor=caller.actor)
        return shown(row)

    @post(
        "/{opening:int}/rejection",
        operation_id="RejectOpening",
        opt={"permission": Permission.OPENINGS_APPROVE},
        status_code=200,
        responses=refuses(errors.UnknownOpening, errors.OpeningDecided, errors.OpeningChanged, SamePerson),
    )
    async def reject(
        self,
        opening: FromPath[int],
        data: JSONBody[OpeningDecision],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> OpeningItem:
        """Refuse staged balances, as a second person; what was kept of the people is destroyed."""
        row = await service.reject_opening(db, tenant, _number(opening), digest=data.digest, actor=caller.actor)
        return shown(row)
