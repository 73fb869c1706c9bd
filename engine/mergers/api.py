"""Mergers of schemes, for staff: proposed by one person, decided by another, and how far they are. Files travel by the command line."""

from datetime import date
from typing import Annotated

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Meta, Struct

from engine.access.errors import SamePerson
from engine.access.rules import Caller
from engine.kernel.permissions import Permission
from engine.mergers import errors, service
from engine.mergers.queries import Round
from engine.mergers.rules import MergerReceipt, MergerTerms
from engine.mergers.service import MergerReport, MergerView
from engine.runtime.database import Database
from engine.runtime.http import refuses
from engine.tenancy.service import Tenant


class RoundItem(Struct, frozen=True):
    """A round: the first hands everybody over, later ones what came late. `digest` stands for its files, "" until they are made."""

    round: int
    state: str
    members: int
    closed_on: date | None
    digest: str


class MergerItem(Struct, frozen=True):
    """A merger: its terms, for whose digest two people stand, and its rounds."""

    merger: int
    state: str
    digest: str
    maker: str
    checker: str
    terms: MergerTerms
    rounds: list[RoundItem]


class MergerList(Struct, frozen=True):
    """Mergers, newest first: at most one that was not rejected."""

    items: list[MergerItem]


class MergerDecision(Struct, frozen=True, forbid_unknown_fields=True):
    """A decision on exactly those terms that the digest is of."""

    digest: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$", examples=["0" * 64])]


def round_shown(one: Round) -> RoundItem:
    """Return a round as it is answered."""
    return RoundItem(one.round_no, one.state, one.members, one.closed_on, one.digest)


def shown(view: MergerView) -> MergerItem:
    """Return a merger as it is answered."""
    one = view.merger
    return MergerItem(
        one.merger_no,
        one.state,
        one.digest,
        one.maker,
        one.checker,
        one.terms,
        [round_shown(each) for each in view.rounds],
    )


def _number(number: int) -> int:
    """Return a number that the database can be asked for; 0, which nothing has, for one that it cannot."""
    return number if 0 < number < 2**31 else 0


class MergerController(Controller):
    """Mergers of schemes."""

    path = "/v1/mergers"
    tags = ("Mergers",)

    @get(operation_id="ListMergers", opt={"permission": Permission.OPERATIONS_READ})
    async def list_mergers(self, tenant: NamedDependency[Tenant], db: NamedDependency[Database]) -> MergerList:
        """List the mergers by which this scheme goes into another, the newest first."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return MergerList([shown(one) for one in await service.list_mergers(session)])

    @get(
        "/{merger:int}",
        operation_id="GetMerger",
        opt={"permission": Permission.OPERATIONS_READ},
        responses=refuses(errors.UnknownMerger),
    )
    async def find(
        self, merger: FromPath[int], tenant: NamedDependency[Tenant], db: NamedDependency[Database]
    ) -> MergerItem:
        """Return a merger."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return shown(await service.find_merger(session, _number(merger)))

    @get(
        "/{merger:int}/report",
        operation_id="ReportMerger",
        opt={"permission": Permission.OPERATIONS_READ},
        responses=refuses(errors.UnknownMerger, errors.UnusableTerms),
    )
    async def report(
        self, merger: FromPath[int], tenant: NamedDependency[Tenant], db: NamedDependency[Database]
    ) -> MergerReport:
        """Return what the terms come to as the books stand now: each account and where it goes, who waits and why."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            view = await service.find_merger(session, _number(merger))
            return await service.report_terms(session, tenant, view.merger.terms)

    @post(
        operation_id="ProposeMerger",
        opt={"permission": Permission.MERGERS_PROPOSE},
        responses=refuses(errors.UnusableTerms, errors.MergerOpen),
    )
    async def propose(
        self,
        data: JSONBody[MergerTerms],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> MergerItem:
        """Propose that the scheme goes into another; a second person decides on it."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            one = await service.propose_merger(session, tenant, data, actor=caller.actor)
            return shown(await service.find_merger(session, one.merger_no))

    @post(
        "/{merger:int}/approval",
        operation_id="ApproveMerger",
        opt={"permission": Permission.MERGERS_APPROVE},
        status_code=200,
        responses=refuses(errors.UnknownMerger, errors.MergerDecided, errors.MergerChanged, SamePerson),
    )
    async def approve(
        self,
        merger: FromPath[int],
        data: JSONBody[MergerDecision],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> MergerItem:
        """Let the scheme go, as a second person; members are handed over in the background from the day on, each as they are ready."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            number = _number(merger)
            await service.approve_merger(session, tenant, number, digest=data.digest, actor=caller.actor)
            return shown(await service.find_merger(session, number))

    @post(
        "/{merger:int}/rejection",
        operation_id="RejectMerger",
        opt={"permission": Permission.MERGERS_APPROVE},
        status_code=200,
        responses=refuses(errors.UnknownMerger, errors.MergerDecided, errors.MergerChanged, SamePerson),
    )
    async def reject(
        self,
        merger: FromPath[int],
        data: JSONBody[MergerDecision],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> MergerItem:
        """Give a proposed merger up, as a second person."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            number = _number(merger)
            await service.reject_merger(session, tenant, number, digest=data.digest, actor=caller.actor)
            return shown(await service.find_merger(session, number))

    @post(
        "/{merger:int}/late-rounds",
        operation_id="BeginLateRound",
        opt={"permission": Permission.MERGERS_PROPOSE},
        responses=refuses(errors.UnknownMerger, errors.RoundOpen, errors.NothingLate),
    )
    async def late(
        self,
        merger: FromPath[int],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> RoundItem:
        """Begin another round by the same terms, for what came to members since they were handed over."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            one = await service.begin_late_round(session, tenant, _number(merger), actor=caller.actor)
            return round_shown(one)

    @post(
        "/{merger:int}/rounds/{round_no:int}/receipt",
        operation_id="AcknowledgeHandOver",
        opt={"permission": Permission.MERGERS_APPROVE},
        status_code=200,
        responses=refuses(errors.UnknownMerger, errors.RoundOpen, errors.ReceiptDiffers),
    )
    async def acknowledge(
        self,
        merger: FromPath[int],
        round_no: FromPath[int],
        data: JSONBody[MergerReceipt],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> RoundItem:
        """Take the other scheme's receipt of a round: it must be of all that was handed over, to the last unit."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            one = await service.acknowledge(
                session, tenant, _number(merger), _number(round_no), data, actor=caller.actor
            )
            return round_shown(one)
