"""Fees over HTTP: a run is proposed by one person and approved by another; what fees ever cost a member."""

from datetime import date
from typing import Annotated

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Meta, Struct

from engine.access.errors import SamePerson
from engine.access.rules import Caller
from engine.benefits import errors, service
from engine.identity import service as identity
from engine.identity.errors import UnknownMember
from engine.kernel.amounts import Amount, Asset
from engine.kernel.permissions import Permission
from engine.kernel.series import SeriesValueMissing
from engine.kernel.tables import TableValueMissing
from engine.runtime.database import Database
from engine.runtime.http import refuses
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.errors import UnknownProduct
from engine.tenancy.rules.assuming import Assumption
from engine.tenancy.service import Tenant

Word = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[\x21-\x7e]+$")]
Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]


class FeesRequest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The product, and the last day of what is charged: the end of a day, month, quarter or scheme year.

    `leaving` is the number of a member who leaves on that day, and alone is charged, by days. `table_keys` say in which rows of the
    scheme's tables caps stand.
    """

    product: Annotated[Word, Meta(examples=["savings"])]
    date: Annotated[date, Meta(examples=["2024-03-31"])]
    leaving: Annotated[Word, Meta(examples=["100000000008"])] | None = None
    table_keys: Annotated[dict[Word, Word], Meta(max_length=20, examples=[{"agency": "protean"}])] = {}


class FeesDecision(Struct, frozen=True, forbid_unknown_fields=True):
    """The digest of the run that you have read."""

    digest: Digest


class RefundRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Why what a run charged is given back, in a word; to one member, or to all."""

    reason: Annotated[Word, Meta(examples=["wrong-rate"])]
    member: Annotated[Word, Meta(examples=["100000000008"])] | None = None


class FeeSum(Struct, frozen=True):
    """What one fee comes to: of how many members, without tax and the tax; `arrears` were owed before. In major units."""

    fee: str
    payee: str
    members: int
    net: str
    vat: str
    arrears: str


class FeeRunItem(Struct, frozen=True):
    """A fee run; amounts in major units, negative where they are given back.

    `net`, `vat` and `arrears` are due by it; once it is approved, that is `taken`, `owed` or `waived`. A run that `corrects`
    another gives back what that one charged. `assumptions` are what the rules assume. Approval names the `digest`.
    """

    run: str
    product: str
    date: date
    state: str
    digest: str
    corrects: str
    reason: str
    members: int
    net: str
    vat: str
    arrears: str
    taken: str
    owed: str
    waived: str
    fees: list[FeeSum]
    rules: list[str]
    assumptions: tuple[Assumption, ...]
    maker: str
    checker: str


class MemberFeeItem(Struct, frozen=True):
    """What a fee of one run cost a member, in major units; negative where it was given back. `vat` is in `taken`."""

    date: date
    fee: str
    payee: str
    run: str
    vat: str
    taken: str
    owed: str


class MemberFees(Struct, frozen=True):
    """What fees ever cost a member: all that was taken less what was given back, and each fee, newest first."""

    member: str
    currency: str
    taken: str
    owed: str
    fees: list[MemberFeeItem]


def shown(run: service.FeeRun, tenant: Tenant) -> FeeRunItem:
    """Return a run as the API and the command line show it."""

    def major(minor: int) -> str:
        return _major(minor, tenant.asset)

    return FeeRunItem(
        run=str(run.run_no),
        product=run.product,
        date=run.charged_on,
        state=run.state,
        digest=run.digest,
        corrects=str(run.corrects or ""),
        reason=run.reason,
        members=run.members,
        net=major(run.net),
        vat=major(run.vat),
        arrears=major(run.arrears),
        taken=major(run.taken),
        owed=major(run.owed),
        waived=major(run.waived),
        fees=[
            FeeSum(one.fee, one.payee, one.members, major(one.net), major(one.vat), major(one.arrears))
            for one in run.by_fee
        ],
        rules=run.rules,
        assumptions=tenant.assumptions(run.product, run.rules),
        maker=run.maker,
        checker=run.checker,
    )


class FeeRunController(Controller):
    """Fees of all members: proposed by one person, approved by another."""

    path = "/v1/operations/fees"
    tags = ("Fees",)

    @get(operation_id="ListFeeRuns", opt={"permission": Permission.OPERATIONS_READ})
    async def list_runs(self, tenant: NamedDependency[Tenant], db: NamedDependency[Database]) -> list[FeeRunItem]:
        """Return the newest runs, newest first; at most 100."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return [shown(one, tenant) for one in await service.list_fee_runs(session)]

    @post(
        operation_id="ProposeFees",
        opt={"permission": Permission.FEES_PROPOSE},
        responses=refuses(
            UnknownProduct,
            UnknownMember,
            errors.NoFeeDue,
            errors.FeeTooSoon,
            errors.FeeRunOpen,
            errors.NoPriceYet,
            errors.FeeKeyMissing,
            SeriesValueMissing,
            TableValueMissing,
        ),
    )
    async def propose(
        self,
        data: JSONBody[FeesRequest],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> FeeRunItem:
        """Count what members are due by the fees whose period ends that day, less what was charged for it before."""
        if not 2000 <= data.date.year < 2100:
            raise errors.NoFeeDue(product=data.product, day=data.date.isoformat())
        leaving = 0 if data.leaving is None else await _member(db, tenant, keys, data.leaving)
        run = await service.propose_fees(
            db, tenant, data.product, data.date, actor=caller.actor, leaving=leaving, keys=data.table_keys
        )
        return shown(run, tenant)

    @get(
        "/{run:int}",
        operation_id="GetFeeRun",
        opt={"permission": Permission.OPERATIONS_READ},
        responses=refuses(errors.UnknownFeeRun),
    )
    async def find(
        self, run: FromPath[int], tenant: NamedDependency[Tenant], db: NamedDependency[Database]
    ) -> FeeRunItem:
        """Return a run."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return shown(await service.find_fee_run(session, _number(run)), tenant)

    @post(
        "/{run:int}/approval",
        operation_id="ApproveFees",
        status_code=200,
        opt={"permission": Permission.FEES_APPROVE},
        responses=refuses(errors.UnknownFeeRun, errors.FeeRunDecided, errors.FeeRunChanged, SamePerson),
    )
    async def approve(
        self,
        run: FromPath[int],
        data: JSONBody[FeesDecision],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> FeeRunItem:
        """Let a run be taken, as a second person. One that stopped while it was taken goes on."""
        found = await service.approve_fees(db, tenant, _number(run), data.digest, actor=caller.actor)
        return shown(found, tenant)

    @post(
        "/{run:int}/rejection",
        operation_id="RejectFees",
        status_code=200,
        opt={"permission": Permission.FEES_APPROVE},
        responses=refuses(errors.UnknownFeeRun, errors.FeeRunDecided, errors.FeeRunChanged, SamePerson),
    )
    async def reject(
        self,
        run: FromPath[int],
        data: JSONBody[FeesDecision],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> FeeRunItem:
        """Give a proposed run up, as a second person."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            found = await service.reject_fees(session, tenant, _number(run), data.digest, actor=caller.actor)
        return shown(found, tenant)

    @post(
        "/{run:int}/refund",
        operation_id="ProposeFeeRefund",
        opt={"permission": Permission.FEES_PROPOSE},
        responses=refuses(errors.UnknownFeeRun, errors.FeeRunDecided, errors.FeeRunOpen, UnknownMember),
    )
    async def refund(
        self,
        run: FromPath[int],
        data: JSONBody[RefundRequest],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> FeeRunItem:
        """Propose to give back what a run charged; a second person approves it as any run."""
        member = 0 if data.member is None else await _member(db, tenant, keys, data.member)
        found = await service.propose_refund(
            db, tenant, _number(run), reason=data.reason, actor=caller.actor, member_id=member
        )
        return shown(found, tenant)


class MemberFeesController(Controller):
    """What fees cost a member."""

    path = "/v1/members/{member:str}/fees"
    tags = ("Fees",)

    @get(
        operation_id="GetMemberFees",
        opt={"permission": Permission.STATEMENTS_READ},
        responses=refuses(UnknownMember),
    )
    async def fees(
        self,
        member: FromPath[str],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> MemberFees:
        """Return all that fees ever took of a member, tax included, less what was given back; and each of them."""
        member_id = await _member(db, tenant, keys, member)
        async with db.unit_of_work(tenant.tenant_id) as session:
            found = await service.fees_of(session, member_id)

        def major(minor: int) -> str:
            return _major(minor, tenant.asset)

        return MemberFees(
            member=member,
            currency=tenant.asset.symbol,
            taken=major(sum(one.taken for one in found)),
            owed=major(sum(one.net + one.vat - one.taken for one in found)),
            fees=[
                MemberFeeItem(
                    one.charged_on, one.fee, one.payee, str(one.run_no), major(one.vat), major(one.taken), major(one.owed)
                )
                for one in found
            ],
        )  # fmt: skip


async def _member(db: Database, tenant: Tenant, keys: FileKeyStore, number: str) -> int:
    async with db.unit_of_work(tenant.tenant_id) as session:
        members = await identity.members_by_number(session, keys, [number])
    if number not in members:
        raise UnknownMember
    return members[number].member_id


def _number(run: int) -> int:
    """Return a run's number; one beyond all numbers is nobody's."""
    return run if 0 < run < 2**31 else 0


def _major(minor: int, asset: Asset) -> str:
    return f"{Amount(minor, asset).decimal():f}"
