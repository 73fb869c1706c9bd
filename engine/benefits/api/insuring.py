"""Premiums over HTTP: a run is proposed by one person and approved by another; files to insurers, and their answers."""

from datetime import date
from typing import Annotated, Literal

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Meta, Struct

from engine.access.errors import SamePerson
from engine.access.rules import Caller
from engine.benefits import errors, service
from engine.benefits.api.charging import Digest, Word
from engine.benefits.service.covering import MOST_AT_ONCE, CoverAnswer
from engine.identity import service as identity
from engine.identity.errors import UnknownMember
from engine.kernel.amounts import Amount, Asset
from engine.kernel.permissions import Permission
from engine.kernel.series import SeriesValueMissing
from engine.runtime.database import Database
from engine.runtime.http import refuses
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.errors import UnknownProduct
from engine.tenancy.rules.assuming import Assumption
from engine.tenancy.service import Tenant


class PremiumsRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """The product, and a day of the periods that premiums are asked for."""

    product: Annotated[Word, Meta(examples=["savings"])]
    date: Annotated[date, Meta(examples=["2024-03-01"])]


class PremiumsDecision(Struct, frozen=True, forbid_unknown_fields=True):
    """The digest of the run that you have read."""

    digest: Digest


class PremiumRunItem(Struct, frozen=True):
    """A run over premiums: how many are due and what they come to, and what of it was paid; amounts in major units.

    `assumptions` are what the rules assume. Approval names the `digest`.
    """

    run: str
    product: str
    date: date
    state: str
    digest: str
    premiums: int
    due: str
    premiums_paid: int
    paid: str
    rules: list[str]
    assumptions: tuple[Assumption, ...]
    maker: str
    checker: str


class PremiumFileRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Whose premiums are put into a file: of which product, to which insurer, as the rule names them."""

    product: Word
    insurer: Word


class PremiumFileItem(Struct, frozen=True):
    """A file of premiums to an insurer; what of its total they refused went back. In major units."""

    file: int
    product: str
    insurer: str
    premiums: int
    total: str
    made_on: date
    answered: int
    refused: str


class PremiumAnswerItem(Struct, frozen=True, forbid_unknown_fields=True):
    """What was answered to a line; a refusal has a reason."""

    line: Annotated[int, Meta(ge=1, le=10_000)]
    answer: Literal["accepted", "refused"]
    reason: Annotated[str, Meta(max_length=200)] = ""


class PremiumAnswers(Struct, frozen=True, forbid_unknown_fields=True):
    """What was answered to a file."""

    answers: Annotated[list[PremiumAnswerItem], Meta(min_length=1, max_length=MOST_AT_ONCE)]


class PremiumAnswersTaken(Struct, frozen=True):
    """What answers did; `unfit` are lines that are not in the file, or were answered otherwise before."""

    accepted: int
    refused: int
    known: int
    unfit: list[int]


class MemberPremiumItem(Struct, frozen=True):
    """A premium of a member and what became of it, in major units; `paid_by` is a role, or "" where the member pays."""

    cover: str
    period_from: date
    period_until: date
    grace_until: date
    amount: str
    paid_by: str
    paid_on: date | None
    state: str
    reason: str


class PremiumRunController(Controller):
    """Premiums of all members: proposed by one person, approved by another."""

    path = "/v1/operations/premiums"
    tags = ("Cover",)

    @get(operation_id="ListPremiumRuns", opt={"permission": Permission.OPERATIONS_READ})
    async def list_runs(self, tenant: NamedDependency[Tenant], db: NamedDependency[Database]) -> list[PremiumRunItem]:
        """Return the newest runs, newest first; at most 100."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return [premiums_shown(one, tenant) for one in await service.list_premium_runs(session)]

    @post(
        operation_id="ProposePremiums",
        opt={"permission": Permission.FEES_PROPOSE},
        responses=refuses(
            UnknownProduct,
            errors.NoPremiumDue,
            errors.PremiumTooSoon,
            errors.PremiumRunOpen,
            errors.PremiumsOfFunds,
            SeriesValueMissing,
        ),
    )
    async def propose(
        self,
        data: JSONBody[PremiumsRequest],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> PremiumRunItem:
        """Count what covers cost for the periods that a day lies in, and what was asked for before and is not paid."""
        if not 2000 <= data.date.year < 2100:
            raise errors.NoPremiumDue(product=data.product, day=data.date.isoformat())
        run = await service.propose_premiums(db, tenant, data.product, data.date, actor=caller.actor)
        return premiums_shown(run, tenant)

    @get(
        "/{run:int}",
        operation_id="GetPremiumRun",
        opt={"permission": Permission.OPERATIONS_READ},
        responses=refuses(errors.UnknownPremiumRun),
    )
    async def find(
        self, run: FromPath[int], tenant: NamedDependency[Tenant], db: NamedDependency[Database]
    ) -> PremiumRunItem:
        """Return a run."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return premiums_shown(await service.find_premium_run(session, _number(run)), tenant)

    @post(
        "/{run:int}/approval",
        operation_id="ApprovePremiums",
        status_code=200,
        opt={"permission": Permission.FEES_APPROVE},
        responses=refuses(errors.UnknownPremiumRun, errors.PremiumRunDecided, errors.PremiumRunChanged, SamePerson),
    )
    async def approve(
        self,
        run: FromPath[int],
        data: JSONBody[PremiumsDecision],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> PremiumRunItem:
        """Let a run be paid, as a second person. One that stopped while it was paid goes on."""
        found = await service.approve_premiums(db, tenant, _number(run), data.digest, actor=caller.actor)
        return premiums_shown(found, tenant)

    @post(
        "/{run:int}/rejection",
        operation_id="RejectPremiums",
        status_code=200,
        opt={"permission": Permission.FEES_APPROVE},
        responses=refuses(errors.UnknownPremiumRun, errors.PremiumRunDecided, errors.PremiumRunChanged, SamePerson),
    )
    async def reject(
        self,
        run: FromPath[int],
        data: JSONBody[PremiumsDecision],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> PremiumRunItem:
        """Give a proposed run up, as a second person."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            found = await service.reject_premiums(session, tenant, _number(run), data.digest, actor=caller.actor)
        return premiums_shown(found, tenant)


class PremiumFileController(Controller):
    """Premiums that were paid are told to the insurer in files."""

    path = "/v1/premium-files"
    tags = ("Cover",)

    @post(
        operation_id="MakePremiumFile",
        opt={"permission": Permission.FEES_APPROVE},
        responses=refuses(UnknownProduct, errors.NoPremiumPaid),
    )
    async def make(
        self,
        data: JSONBody[PremiumFileRequest],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> PremiumFileItem:
        """Put up to 10,000 premiums that the insurer was not told of into one new file, each once for ever."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            made = await service.make_premium_file(session, tenant, data.product, data.insurer, actor=caller.actor)
        return premium_file_shown(made, tenant.asset)

    @get(operation_id="ListPremiumFiles", opt={"permission": Permission.OPERATIONS_READ})
    async def list_files(self, tenant: NamedDependency[Tenant], db: NamedDependency[Database]) -> list[PremiumFileItem]:
        """Return the newest 100 files."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return [premium_file_shown(one, tenant.asset) for one in await service.list_premium_files(session)]

    @get(
        "/{file:int}/content",
        operation_id="GetPremiumFile",
        opt={"permission": Permission.FEES_APPROVE},
        media_type="text/csv",
        responses=refuses(errors.UnknownPremiumFile),
    )
    async def content(
        self,
        file: FromPath[int],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> bytes:
        """Return a file as the insurer gets it: a line a premium, and a last line with count and total."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return await service.premium_file(session, keys, tenant, _number(file), actor=caller.actor)

    @post(
        "/{file:int}/answers",
        operation_id="TakePremiumAnswers",
        status_code=200,
        opt={"permission": Permission.FEES_APPROVE},
        responses=refuses(errors.UnknownPremiumFile),
    )
    async def answers(
        self,
        file: FromPath[int],
        data: JSONBody[PremiumAnswers],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> PremiumAnswersTaken:
        """Note what was answered: what is refused goes back to whoever paid it. The same answers again change nothing."""
        given = [CoverAnswer(one.line, one.answer, one.reason) for one in data.answers]
        done = await service.take_premium_answers(db, tenant, _number(file), given, actor=caller.actor)
        return PremiumAnswersTaken(done.accepted, done.refused, done.known, list(done.unfit))


class MemberPremiumController(Controller):
    """What covers cost a member, or whoever pays for them."""

    path = "/v1/members/{member:str}/premiums"
    tags = ("Cover",)

    @get(
        operation_id="GetMemberPremiums",
        opt={"permission": Permission.STATEMENTS_READ},
        responses=refuses(UnknownMember),
    )
    async def premiums(
        self,
        member: FromPath[str],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> list[MemberPremiumItem]:
        """Return a member's premiums and what became of each, newest first."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            members = await identity.members_by_number(session, keys, [member])
            if member not in members:
                raise UnknownMember
            found = await service.premiums_of(session, members[member].member_id)
        return [
            MemberPremiumItem(
                one.cover,
                one.period_from,
                one.period_until,
                one.grace_until,
                _major(one.minor, tenant.asset),
                one.paid_by,
                one.paid_on,
                one.state,
                one.reason,
            )
            for one in found
        ]


def premiums_shown(run: service.PremiumRun, tenant: Tenant) -> PremiumRunItem:
    """Return a run as the API and the command line show it."""
    return PremiumRunItem(
        run=str(run.run_no),
        product=run.product,
        date=run.charged_on,
        state=run.state,
        digest=run.digest,
        premiums=run.premiums,
        due=_major(run.due, tenant.asset),
        premiums_paid=run.premiums_paid,
        paid=_major(run.paid, tenant.asset),
        rules=run.rules,
        assumptions=tenant.assumptions(run.product, run.rules),
        maker=run.maker,
        checker=run.checker,
    )


def premium_file_shown(made: service.PremiumFile, asset: Asset) -> PremiumFileItem:
    """Return a file as it is told, in major units."""
    return PremiumFileItem(
        file=made.file_no,
        product=made.product,
        insurer=made.insurer,
        premiums=made.premiums,
        total=_major(made.total, asset),
        made_on=made.made_on,
        answered=made.answered,
        refused=_major(made.refused, asset),
    )


def _number(number: int) -> int:
    """Return a number of a run or file; one beyond all numbers is nobody's."""
    return number if 0 < number < 2**31 else 0


def _major(minor: int, asset: Asset) -> str:
    return f"{Amount(minor, asset).decimal():.{asset.scale}f}"
