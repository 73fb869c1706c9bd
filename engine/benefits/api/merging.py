"""Two records of one person made one, over HTTP: proposed by one person, approved by another."""

from datetime import date
from typing import Annotated

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Meta, Struct

from engine.access.errors import SamePerson
from engine.access.rules import Caller
from engine.benefits import errors, service
from engine.enrolment import service as enrolment
from engine.enrolment.errors import UnknownMember as NotAMember
from engine.identity.errors import UnknownMember
from engine.kernel.permissions import Permission
from engine.runtime.database import Database
from engine.runtime.http import refuses
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant

LAST_MERGE = 2**31 - 1

Number = Annotated[str, Meta(min_length=1, max_length=40)]


class MergeRequest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The number of the record that stays."""

    into: Annotated[Number, Meta(examples=["500000000017"])]


class MergeDecision(Struct, frozen=True, forbid_unknown_fields=True):
    """The digest of the merging that you have read."""

    digest: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]


class MergeItem(Struct, frozen=True, kw_only=True):
    """A merging of two records, by their pseudonyms: the one that goes, and the one that stays. Approval names the `digest`."""

    merge: str
    goes: str
    stays: str
    asked_on: date
    state: str
    digest: str
    maker: str
    checker: str


class MergesAnswer(Struct, frozen=True):
    """Mergings, newest first."""

    items: list[MergeItem]


def shown(merge: service.Merge) -> MergeItem:
    """Return a merging as the API and the command line show it."""
    return MergeItem(
        merge=str(merge.merge_no),
        goes=f"{merge.goes:x}",
        stays=f"{merge.stays:x}",
        asked_on=merge.asked_on,
        state=merge.state,
        digest=merge.digest,
        maker=merge.maker,
        checker=merge.checker,
    )


def _number(merge: int) -> int:
    return merge if 0 < merge <= LAST_MERGE else 0


class MemberMergeController(Controller):
    """What is proposed of a member's record."""

    path = "/v1/members/{number:str}/merging"
    tags = ("Members",)

    @post(
        operation_id="ProposeMerge",
        opt={"permission": Permission.IDENTITY_DECIDE},
        responses=refuses(NotAMember, errors.CannotMerge),
    )
    async def propose(
        self,
        number: FromPath[str],
        data: JSONBody[MergeRequest],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> MergeItem:
        """Propose that the record of this number is merged into another one of the same person; a second person decides on it."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            goes = await enrolment.find_member(session, keys, number)
            stays = await enrolment.find_member(session, keys, data.into)
            return shown(await service.propose_merge(session, tenant, goes=goes, stays=stays, actor=caller.actor))


class MergeController(Controller):
    """Mergings, and their approval."""

    path = "/v1/record-merges"
    tags = ("Members",)

    @get(operation_id="ListMerges", opt={"permission": Permission.IDENTITY_DECIDE})
    async def list_merges(self, tenant: NamedDependency[Tenant], db: NamedDependency[Database]) -> MergesAnswer:
        """Return the newest mergings, newest first."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return MergesAnswer([shown(one) for one in await service.list_merges(session)])

    @get(
        "/{merge:int}",
        operation_id="GetMerge",
        opt={"permission": Permission.IDENTITY_DECIDE},
        responses=refuses(errors.UnknownMerge),
    )
    async def find(
        self, merge: FromPath[int], tenant: NamedDependency[Tenant], db: NamedDependency[Database]
    ) -> MergeItem:
        """Return a merging."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return shown(await service.find_merge(session, _number(merge)))

    @post(
        "/{merge:int}/approval",
        operation_id="ApproveMerge",
        status_code=200,
        opt={"permission": Permission.IDENTITY_DECIDE},
        responses=refuses(
            errors.UnknownMerge, errors.MergeDecided, errors.MergeDiffers, errors.CannotMerge, UnknownMember, SamePerson
        ),
    )
    async def approve(
        self,
        merge: FromPath[int],
        data: JSONBody[MergeDecision],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> MergeItem:
        """Merge two records, as a second person: all at once, or not at all. The number of the one that goes answers for the other from then on."""
        return shown(
            await service.approve_merge(db, keys, tenant, _number(merge), digest=data.digest, actor=caller.actor)
        )

    @post(
        "/{merge:int}/rejection",
        operation_id="RejectMerge",
        status_code=200,
        opt={"permission": Permission.IDENTITY_DECIDE},
        responses=refuses(errors.UnknownMerge, errors.MergeDecided, errors.MergeDiffers, SamePerson),
    )
    async def reject(
        self,
        merge: FromPath[int],
        data: JSONBody[MergeDecision],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> MergeItem:
        """Give a proposed merging up, as a second person."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return shown(
                await service.reject_merge(session, tenant, _number(merge), digest=data.digest, actor=caller.actor)
            )
