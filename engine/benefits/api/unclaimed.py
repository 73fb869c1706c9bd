"""Unclaimed money over HTTP: whose it is, how they were looked for, handing it over, and its way back."""

from datetime import date
from typing import Annotated, Literal

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import Meta, Struct

from engine.access.errors import SamePerson
from engine.access.rules import Caller
from engine.benefits import errors, service
from engine.benefits.api.claiming import LAST_CLAIM, PAGE, Digest, Word
from engine.benefits.queries.unclaimed import Case, HandOverRun
from engine.benefits.service.unclaimed import Means, SearchOutcome
from engine.identity import service as identity
from engine.identity.errors import UnknownMember
from engine.kernel.amounts import Amount, Asset
from engine.kernel.permissions import Permission
from engine.runtime.database import Database
from engine.runtime.http import refuses
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.errors import UnknownProduct
from engine.tenancy.service import Tenant

LAST_RUN = 2**31 - 1
CaseState = Literal["presumed", "ended", "handed-over", "reclaimed"]


class UnclaimedItem(Struct, frozen=True):
    """Money of a member that is presumed unclaimed, or was handed over, in major units.

    `held` is what there is now, `handed_over` what was handed over on `handed_over_on` by the handing over `run`. While a
    reclaim waits, its `digest` is sent back to approve it. The member is empty of who was erased.
    """

    after: str
    member: str
    product: str
    state: str
    last_heard_of: date
    told_on: date | None
    held: str
    handed_over: str
    handed_over_on: date | None
    run: int | None
    digest: str


class UnclaimedFound(Struct, frozen=True):
    """How many cases a search of the books opened, and ended, since their owners were heard of."""

    opened: int
    ended: int


class UnclaimedSearch(Struct, frozen=True, forbid_unknown_fields=True):
    """How an owner was looked for, and with what success; without a member it is of all who were not told yet."""

    product: Word
    means: Means
    outcome: SearchOutcome
    member: Word | None = None


class UnclaimedSearched(Struct, frozen=True):
    """Of how many owners it was noted."""

    owners: int


class UnclaimedProduct(Struct, frozen=True, forbid_unknown_fields=True):
    """The product whose money is meant."""

    product: Word


class HandOver(Struct, frozen=True):
    """A handing over, in major units; its digest is of all its lines. `left` owners were heard of in time, or had less."""

    run: int
    product: str
    handed_to: str
    day: date
    state: str
    owners: int
    total: str
    handed_over: str
    left: int
    digest: str
    receipt: str
    received_on: date | None


class HandOverDecision(Struct, frozen=True, forbid_unknown_fields=True):
    """The digest of what you have read."""

    digest: Digest


class HandOverReceipt(Struct, frozen=True, forbid_unknown_fields=True):
    """The number that whoever took the money gave for it."""

    receipt: Word


class ReclaimRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """What is reclaimed of whom; `documents` are the SHA-256 of each document by its kind, which say who they are."""

    product: Word
    documents: Annotated[dict[Word, Digest], Meta(min_length=1, max_length=50)]


class ReclaimDecision(Struct, frozen=True, forbid_unknown_fields=True):
    """The digest of the reclaim that you have read."""

    product: Word
    digest: Digest


class UnclaimedController(Controller):
    """Money that nobody claims."""

    path = "/v1/unclaimed"
    tags = ("Unclaimed money",)

    @get(operation_id="ListUnclaimed", opt={"permission": Permission.CLAIMS_READ}, responses=refuses(UnknownProduct))
    async def list_cases(
        self,
        product: Annotated[str, QueryParameter(name="product", max_length=64)],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
        in_state: Annotated[CaseState | None, QueryParameter(name="state")] = None,
        after: Annotated[
            int | None,
            QueryParameter(name="after", ge=0, le=LAST_CLAIM, description="`after` of the last of the page before."),
        ] = None,
    ) -> list[UnclaimedItem]:
        """Return up to 100 cases of a product; the reading is noted."""
        tenant.product(product)
        async with db.unit_of_work(tenant.tenant_id) as session:
            cases = await service.list_unclaimed(session, product, state=in_state or "", after=after or 0, most=PAGE)
            ids = [one.member_id for one in cases]
            people = await identity.read_people(session, keys, ids, actor=caller.actor, reason="unclaimed money")
        numbers = {member_id: one.member_number for member_id, one in people.items()}
        return [_item(one, numbers.get(one.member_id, ""), tenant.asset) for one in cases]

    @post(
        "/presumptions",
        operation_id="FindUnclaimed",
        status_code=200,
        opt={"permission": Permission.CLAIMS_OPEN},
        responses=refuses(UnknownProduct, errors.NoUnclaimedRule),
    )
    async def find(
        self,
        data: JSONBody[UnclaimedProduct],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> UnclaimedFound:
        """Look for all money of a product that is presumed unclaimed by now, and end the cases of who was heard of."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            opened, ended = await service.find_unclaimed(session, tenant, data.product, actor=caller.actor)
        return UnclaimedFound(opened, ended)

    @post(
        "/searches",
        operation_id="NoteUnclaimedSearch",
        status_code=200,
        opt={"permission": Permission.CLAIMS_OPEN},
        responses=refuses(UnknownProduct, UnknownMember, errors.NothingUnclaimed),
    )
    async def search(
        self,
        data: JSONBody[UnclaimedSearch],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> UnclaimedSearched:
        """Note how owners were looked for; from the day they are told, their notice runs."""
        tenant.product(data.product)
        async with db.unit_of_work(tenant.tenant_id) as session:
            member_id = 0
            if data.member is not None:
                found = await identity.members_by_number(session, keys, [data.member])
                if data.member not in found:
                    raise UnknownMember
                member_id = found[data.member].member_id
            owners = await service.note_search(
                session,
                tenant,
                data.product,
                means=data.means,
                outcome=data.outcome,
                actor=caller.actor,
                member_id=member_id,
            )
        return UnclaimedSearched(owners)

    @post(
        "/hand-overs",
        operation_id="ProposeHandOver",
        opt={"permission": Permission.CLAIMS_OPEN},
        responses=refuses(UnknownProduct, errors.NoUnclaimedRule, errors.HandOverOpen, errors.NothingUnclaimed),
    )
    async def propose(
        self,
        data: JSONBody[UnclaimedProduct],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> HandOver:
        """Count what is due to be handed over of a product; it waits for another person."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            run = await service.propose_hand_over(session, tenant, data.product, actor=caller.actor)
        return hand_over_shown(run, tenant.asset)

    @get("/hand-overs", operation_id="ListHandOvers", opt={"permission": Permission.CLAIMS_READ})
    async def list_runs(self, tenant: NamedDependency[Tenant], db: NamedDependency[Database]) -> list[HandOver]:
        """Return the newest 100 handings over."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            runs = await service.list_hand_overs(session, most=PAGE)
        return [hand_over_shown(one, tenant.asset) for one in runs]

    @get(
        "/hand-overs/{run:int}/file",
        operation_id="GetHandOverFile",
        opt={"permission": Permission.CLAIMS_APPROVE},
        media_type="text/csv",
        responses=refuses(errors.UnknownHandOver),
    )
    async def file(
        self,
        run: FromPath[int],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> bytes:
        """Return the file that goes with the money: a line an owner, and a last line with count, digest and total."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return await service.hand_over_file(session, keys, tenant, _number(run), actor=caller.actor)

    @post(
        "/hand-overs/{run:int}/approval",
        operation_id="ApproveHandOver",
        status_code=200,
        opt={"permission": Permission.CLAIMS_APPROVE},
        responses=refuses(errors.UnknownHandOver, errors.HandOverDecided, errors.HandOverDiffers, SamePerson),
    )
    async def approve(
        self,
        run: FromPath[int],
        data: JSONBody[HandOverDecision],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> HandOver:
        """Hand over what was proposed, as a second person; one that stopped goes on."""
        done = await service.approve_hand_over(db, tenant, _number(run), data.digest, actor=caller.actor)
        return hand_over_shown(done, tenant.asset)

    @post(
        "/hand-overs/{run:int}/rejection",
        operation_id="RejectHandOver",
        status_code=200,
        opt={"permission": Permission.CLAIMS_APPROVE},
        responses=refuses(errors.UnknownHandOver, errors.HandOverDecided, errors.HandOverDiffers, SamePerson),
    )
    async def reject(
        self,
        run: FromPath[int],
        data: JSONBody[HandOverDecision],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> HandOver:
        """Give a proposed handing over up, as a second person."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            done = await service.reject_hand_over(session, tenant, _number(run), data.digest, actor=caller.actor)
        return hand_over_shown(done, tenant.asset)

    @post(
        "/hand-overs/{run:int}/receipt",
        operation_id="ReceiptHandOver",
        status_code=200,
        opt={"permission": Permission.CLAIMS_OPEN},
        responses=refuses(errors.UnknownHandOver, errors.HandOverDecided),
    )
    async def receipt(
        self,
        run: FromPath[int],
        data: JSONBody[HandOverReceipt],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> HandOver:
        """Note the number that whoever took the money gave for it."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            done = await service.receipt_hand_over(
                session, tenant, _number(run), receipt=data.receipt, actor=caller.actor
            )
        return hand_over_shown(done, tenant.asset)


class ReclaimController(Controller):
    """What was handed over of a member comes back, years later."""

    path = "/v1/members/{member:str}/reclaim"
    tags = ("Unclaimed money",)

    @post(
        operation_id="ReclaimUnclaimed",
        status_code=200,
        opt={"permission": Permission.CLAIMS_OPEN},
        responses=refuses(
            UnknownMember, UnknownProduct, errors.NothingUnclaimed, errors.NoUnclaimedRule, errors.ReclaimTooLate
        ),
    )
    async def propose(
        self,
        member: FromPath[str],
        data: JSONBody[ReclaimRequest],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> UnclaimedItem:
        """Ask back what was handed over, with documents that say who the owner is; it waits for another person."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            found = await identity.members_by_number(session, keys, [member])
            if member not in found:
                raise UnknownMember
            case = await service.propose_reclaim(
                session, tenant, found[member].member_id, data.product, documents=data.documents, actor=caller.actor
            )
        return _item(case, member, tenant.asset)

    @post(
        "/approval",
        operation_id="ApproveReclaim",
        status_code=200,
        opt={"permission": Permission.CLAIMS_APPROVE},
        responses=refuses(
            UnknownMember,
            UnknownProduct,
            errors.NothingUnclaimed,
            errors.NoUnclaimedRule,
            errors.ReclaimTooLate,
            errors.HandOverDiffers,
            SamePerson,
        ),
    )
    async def approve(
        self,
        member: FromPath[str],
        data: JSONBody[ReclaimDecision],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> UnclaimedItem:
        """Give back what was handed over, as a second person: it is in the accounts that it came from, and can be claimed."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            found = await identity.members_by_number(session, keys, [member])
            if member not in found:
                raise UnknownMember
            case = await service.approve_reclaim(
                session, tenant, found[member].member_id, data.product, digest=data.digest, actor=caller.actor
            )
        return _item(case, member, tenant.asset)


def hand_over_shown(run: HandOverRun, asset: Asset) -> HandOver:
    """Return a handing over as it is told, in major units."""
    return HandOver(
        run=run.run_no,
        product=run.product,
        handed_to=run.handed_to,
        day=run.handed_over_on,
        state=run.state,
        owners=run.members,
        total=_major(run.total, asset),
        handed_over=_major(run.handed_over, asset),
        left=run.left,
        digest=run.digest,
        receipt=run.receipt,
        received_on=run.received_on,
    )


def _item(case: Case, member: str, asset: Asset) -> UnclaimedItem:
    return UnclaimedItem(
        after=str(case.member_id),
        member=member,
        product=case.product,
        state=case.state,
        last_heard_of=case.counted_from,
        told_on=case.noticed_on,
        held=_major(case.held, asset),
        handed_over=_major(case.handed_over, asset),
        handed_over_on=case.handed_over_on,
        run=case.run_no or None,
        digest=case.digest,
    )


def _number(run: int) -> int:
    return run if 0 < run <= LAST_RUN else 0


def _major(minor: int, asset: Asset) -> str:
    return f"{Amount(minor, asset).decimal():.{asset.scale}f}"
