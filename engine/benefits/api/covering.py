"""Claims of cover in files over HTTP: to whoever pays the sums, and their answers."""

from datetime import date
from typing import Annotated, Literal

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Meta, Struct

from engine.access.rules import Caller
from engine.benefits import errors, service
from engine.benefits.api.claiming import PAGE, Word, claim_number
from engine.benefits.queries.covering import CoverFile
from engine.benefits.service.covering import MOST_AT_ONCE, CoverAnswer
from engine.kernel.amounts import Amount, Asset
from engine.kernel.permissions import Permission
from engine.runtime.database import Database
from engine.runtime.http import refuses
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.errors import UnknownProduct
from engine.tenancy.service import Tenant

LAST_FILE = 2**31 - 1


class CoverFileRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Whose claims are put into a file: of which product, to which payer, as the rule of the cover names them."""

    product: Word
    payer: Word


class CoverFileItem(Struct, frozen=True):
    """A file of claims to whoever pays, and how many of them are answered; its total in major units."""

    file: int
    product: str
    payer: str
    claims: int
    total: str
    made_on: date
    answered: int


class CoverAnswerItem(Struct, frozen=True, forbid_unknown_fields=True):
    """What was answered of a claim; a refusal has a reason."""

    claim: Annotated[str, Meta(pattern=r"^[0-9]{1,19}$")]
    answer: Literal["accepted", "refused"]
    reason: Annotated[str, Meta(max_length=200)] = ""


class CoverAnswers(Struct, frozen=True, forbid_unknown_fields=True):
    """What was answered to a file."""

    answers: Annotated[list[CoverAnswerItem], Meta(min_length=1, max_length=MOST_AT_ONCE)]


class CoverAnswersTaken(Struct, frozen=True):
    """What answers did; `unfit` are claims that are not in the file, or were answered otherwise before."""

    accepted: int
    refused: int
    known: int
    unfit: list[str]


class CoverFileController(Controller):
    """Claims of cover are asked of whoever pays them."""

    path = "/v1/cover-files"
    tags = ("Cover",)

    @post(
        operation_id="MakeCoverFile",
        opt={"permission": Permission.CLAIMS_APPROVE},
        responses=refuses(UnknownProduct, errors.NoCoverAsked),
    )
    async def make(
        self,
        data: JSONBody[CoverFileRequest],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> CoverFileItem:
        """Put all approved claims that were not asked for into one new file, each once for ever."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            made = await service.make_cover_file(session, tenant, data.product, data.payer, actor=caller.actor)
        return cover_file_shown(made, tenant.asset)

    @get(operation_id="ListCoverFiles", opt={"permission": Permission.CLAIMS_READ})
    async def list_files(self, tenant: NamedDependency[Tenant], db: NamedDependency[Database]) -> list[CoverFileItem]:
        """Return the newest 100 files."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            found = await service.list_cover_files(session, most=PAGE)
        return [cover_file_shown(one, tenant.asset) for one in found]

    @get(
        "/{file:int}/content",
        operation_id="GetCoverFile",
        opt={"permission": Permission.CLAIMS_APPROVE},
        media_type="text/csv",
        responses=refuses(errors.UnknownCoverFile),
    )
    async def content(
        self,
        file: FromPath[int],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> bytes:
        """Return a file as whoever pays gets it: a line a claim, and a last line with count and total."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return await service.cover_file(session, keys, tenant, _number(file), actor=caller.actor)

    @post(
        "/{file:int}/answers",
        operation_id="TakeCoverAnswers",
        status_code=200,
        opt={"permission": Permission.CLAIMS_APPROVE},
        responses=refuses(errors.UnknownCoverFile),
    )
    async def answers(
        self,
        file: FromPath[int],
        data: JSONBody[CoverAnswers],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> CoverAnswersTaken:
        """Do what was answered: what is accepted is payable. The same answers again change nothing."""
        given = [CoverAnswer(claim_number(int(one.claim)), one.answer, one.reason) for one in data.answers]
        done = await service.take_cover_answers(db, tenant, _number(file), given, actor=caller.actor)
        return CoverAnswersTaken(done.accepted, done.refused, done.known, [str(one) for one in done.unfit])


def cover_file_shown(made: CoverFile, asset: Asset) -> CoverFileItem:
    """Return a file as it is told, in major units."""
    return CoverFileItem(
        file=made.file_no,
        product=made.product,
        payer=made.payer,
        claims=made.claims,
        total=f"{Amount(made.total, asset).decimal():.{asset.scale}f}",
        made_on=made.made_on,
        answered=made.answered,
    )


def _number(file: int) -> int:
    return file if 0 < file <= LAST_FILE else 0
