"""One record of two persons split, over HTTP: proposed by one person, approved by another."""

from datetime import date
from typing import Annotated

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Meta, Struct

from engine.access.errors import SamePerson
from engine.access.rules import Caller
from engine.benefits import errors, service
from engine.contributions.errors import (
    AlreadyResolved,
    MemberClosed,
    NothingToMove,
    ReversalDecided,
    UnknownContribution,
)
from engine.enrolment import service as enrolment
from engine.enrolment.errors import UnknownMember as NotAMember
from engine.kernel.amounts import Amount
from engine.kernel.permissions import Permission
from engine.runtime.database import Database
from engine.runtime.http import refuses
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant

LAST_SPLIT = 2**31 - 1
LAST_RECEIPT = 2**63 - 1

Number = Annotated[str, Meta(min_length=1, max_length=40)]
Receipt = Annotated[str, Meta(pattern=r"^[0-9]{1,19}$")]


class RecordSplitRequest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The other person's number, and the receipts of the payments that are theirs."""

    to: Annotated[Number, Meta(examples=["500000000017"])]
    receipts: Annotated[list[Receipt], Meta(min_length=1, max_length=500)]


class RecordSplitDecision(Struct, frozen=True, forbid_unknown_fields=True):
    """The digest of the split that you have read."""

    digest: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]


class RecordSplitItem(Struct, frozen=True, kw_only=True):
    """A split of a record, by pseudonyms; `amount` in major units. Approval names the `digest`.

    Of the receipts, `moved` are with the other person, and `refused` lie in suspense because their terms did not take them.
    """

    split: str
    member: str
    to: str
    receipts: list[str]
    amount: str
    asked_on: date
    state: str
    digest: str
    moved: int
    refused: int
    maker: str
    checker: str


class RecordSplitsAnswer(Struct, frozen=True):
    """Splits, newest first."""

    items: list[RecordSplitItem]


def shown(split: service.Split, tenant: Tenant) -> RecordSplitItem:
    """Return a split as the API and the command line show it."""
    return RecordSplitItem(
        split=str(split.split_no),
        member=f"{split.member_id:x}",
        to=f"{split.to_id:x}",
        receipts=[str(one) for one in split.receipts],
        amount=f"{Amount(split.total, tenant.asset).decimal():.{tenant.asset.scale}f}",
        asked_on=split.asked_on,
        state=split.state,
        digest=split.digest,
        moved=split.moved,
        refused=split.refused,
        maker=split.maker,
        checker=split.checker,
    )


def _number(split: int) -> int:
    return split if 0 < split <= LAST_SPLIT else 0


_NOT_MOVED = (UnknownContribution, NothingToMove, MemberClosed, ReversalDecided, AlreadyResolved)


class MemberSplitController(Controller):
    """What is proposed of a member's record."""

    path = "/v1/members/{number:str}/split"
    tags = ("Members",)

    @post(
        operation_id="ProposeRecordSplit",
        opt={"permission": Permission.REVERSALS_PROPOSE},
        responses=refuses(NotAMember, errors.CannotSplit, *_NOT_MOVED),
    )
    async def propose(
        self,
        number: FromPath[str],
        data: JSONBody[RecordSplitRequest],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> RecordSplitItem:
        """Propose that payments of this record are another person's, who is a member; a second person decides on it."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            member = await enrolment.find_member(session, keys, number)
            to = await enrolment.find_member(session, keys, data.to)
            split = await service.propose_split(
                session,
                tenant,
                member=member,
                to=to,
                receipts=[min(int(one), LAST_RECEIPT) for one in data.receipts],
                actor=caller.actor,
            )
        return shown(split, tenant)


class SplitController(Controller):
    """Splits, and their approval."""

    path = "/v1/record-splits"
    tags = ("Members",)

    @get(operation_id="ListRecordSplits", opt={"permission": Permission.CONTRIBUTIONS_READ})
    async def list_splits(self, tenant: NamedDependency[Tenant], db: NamedDependency[Database]) -> RecordSplitsAnswer:
        """Return the newest splits, newest first."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return RecordSplitsAnswer([shown(one, tenant) for one in await service.list_splits(session)])

    @get(
        "/{split:int}",
        operation_id="GetRecordSplit",
        opt={"permission": Permission.CONTRIBUTIONS_READ},
        responses=refuses(errors.UnknownSplit),
    )
    async def find(
        self, split: FromPath[int], tenant: NamedDependency[Tenant], db: NamedDependency[Database]
    ) -> RecordSplitItem:
        """Return a split, and how many of its payments were moved."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return shown(await service.find_split(session, _number(split)), tenant)

    @post(
        "/{split:int}/approval",
        operation_id="ApproveRecordSplit",
        status_code=200,
        opt={"permission": Permission.REVERSALS_APPROVE},
        responses=refuses(errors.UnknownSplit, errors.MergeDecided, errors.MergeDiffers, *_NOT_MOVED, SamePerson),
    )
    async def approve(
        self,
        split: FromPath[int],
        data: JSONBody[RecordSplitDecision],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> RecordSplitItem:
        """Split a record, as a second person: each payment moves as soon as its stage allows."""
        found = await service.approve_split(db, keys, tenant, _number(split), digest=data.digest, actor=caller.actor)
        return shown(found, tenant)

    @post(
        "/{split:int}/rejection",
        operation_id="RejectRecordSplit",
        status_code=200,
        opt={"permission": Permission.REVERSALS_APPROVE},
        responses=refuses(errors.UnknownSplit, errors.MergeDecided, errors.MergeDiffers, SamePerson),
    )
    async def reject(
        self,
        split: FromPath[int],
        data: JSONBody[RecordSplitDecision],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> RecordSplitItem:
        """Give a proposed split up, as a second person."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            found = await service.reject_split(session, tenant, _number(split), digest=data.digest, actor=caller.actor)
        return shown(found, tenant)
