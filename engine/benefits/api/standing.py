"""How members who stopped paying stand, over HTTP."""

from datetime import date
from typing import Annotated

from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import FromPath
from msgspec import Meta, Struct

from engine.benefits import service
from engine.enrolment import service as enrolment
from engine.enrolment.errors import UnknownMember as NotAMember
from engine.kernel.permissions import Permission
from engine.runtime.database import Database
from engine.runtime.http import refuses
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant


class StandingItem(Struct, frozen=True, kw_only=True):
    """A member's status in a product, since when, and the day that its months count from."""

    product: str
    status: Annotated[str, Meta(examples=["frozen"])]
    since: date
    counted_from: date


class StandingsAnswer(Struct, frozen=True):
    """Statuses by product; a product in which the member never took a step is left out."""

    items: list[StandingItem]


class StandingController(Controller):
    """Members who stopped paying."""

    path = "/v1/members/{number:str}/standings"
    tags = ("Members",)

    @get(operation_id="ListStandings", opt={"permission": Permission.MEMBERS_READ}, responses=refuses(NotAMember))
    async def list_standings(
        self,
        number: FromPath[str],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> StandingsAnswer:
        """Return how a member stands on the ladders of their products."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            member = await enrolment.find_member(session, keys, number)
            found = await service.standings_of(session, member.member_id)
        return StandingsAnswer(
            [
                StandingItem(product=one.product, status=one.status, since=one.since, counted_from=one.counted_from)
                for one in found
            ]
        )
