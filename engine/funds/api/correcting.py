"""Prices that were wrong, over HTTP: proposed by one person, decided by another; and their list, member by member."""

from datetime import date
from decimal import Decimal
from typing import Annotated

from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Meta, Struct

from engine.access.errors import SamePerson
from engine.access.rules import Caller
from engine.funds import errors, service
from engine.funds.rules import FundCode
from engine.funds.service import Correction
from engine.kernel.permissions import Permission
from engine.kernel.prices import Price
from engine.runtime.database import Database
from engine.runtime.http import refuses
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant

Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
Word = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[a-z][a-z0-9-]*$")]
MajorPrice = Annotated[str, Meta(pattern=r"^[0-9]{1,9}(\.[0-9]{1,8})?$", examples=["10.1234"])]


class CorrectionRequest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which accepted price was wrong, the right one, the role of the pack that is at fault, and why, in a word."""

    fund: Annotated[FundCode, Meta(examples=["SM001009"])]
    price_on: Annotated[date, Meta(examples=["2024-03-28"])]
    price: MajorPrice
    party: Annotated[Word, Meta(examples=["operator"])]
    reason: Annotated[Word, Meta(examples=["typed-wrong"])]


class CorrectionDecision(Struct, frozen=True, forbid_unknown_fields=True):
    """The digest of the correction that you have read."""

    digest: Digest


class CorrectionItem(Struct, frozen=True):
    """A corrected price. `state`: proposed, rejected, noted (not material: nothing is booked), approved (being booked), done.

    Units `issued` and `taken`, and money `paid`, `owed` by members and `borne` by the party at fault, in major units: what was
    booked so far. Approval names the `digest`.
    """

    correction: str
    fund: str
    price_on: date
    wrong: str
    right: str
    is_material: bool
    state: str
    party: str
    reason: str
    digest: str
    members: int
    issued: str
    taken: str
    paid: str
    owed: str
    borne: str
    rules: list[str]
    maker: str
    checker: str


def shown(one: Correction, tenant: Tenant) -> CorrectionItem:
    """Return a correction as the API and the command line show it."""

    def units(count: int) -> str:
        return f"{Decimal(count).scaleb(-one.unit_scale):f}"

    def money(minor: int) -> str:
        return f"{Decimal(minor).scaleb(-tenant.asset.scale):f}"

    return CorrectionItem(
        correction=str(one.number),
        fund=one.fund,
        price_on=one.price_on,
        wrong=_price(one.wrong),
        right=_price(one.right),
        is_material=one.is_material,
        state=one.state,
        party=one.party,
        reason=one.reason,
        digest=one.digest,
        members=one.members,
        issued=units(one.figures.issued),
        taken=units(one.figures.taken),
        paid=money(one.figures.paid),
        owed=money(one.figures.owed),
        borne=money(one.figures.borne),
        rules=list(one.terms.rules),
        maker=one.maker,
        checker=one.checker,
    )


def _price(price: Price) -> str:
    return f"{price.decimal():.{price.scale}f}"


class CorrectionController(Controller):
    """Corrected prices."""

    path = "/v1/operations/price-corrections"
    tags = ("Prices",)

    @get(operation_id="ListPriceCorrections", opt={"permission": Permission.OPERATIONS_READ})
    async def list_corrections(
        self, tenant: NamedDependency[Tenant], db: NamedDependency[Database]
    ) -> list[CorrectionItem]:
        """Return the newest corrections, newest first; at most 100."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return [shown(one, tenant) for one in await service.list_corrections(session)]

    @post(
        operation_id="ProposePriceCorrection",
        opt={"permission": Permission.PRICES_IMPORT},
        responses=refuses(
            errors.UnknownPrice,
            errors.PriceNotUsable,
            errors.SamePrice,
            errors.UnknownParty,
            errors.NoCorrectionRule,
            errors.OrdersInProgress,
            errors.CorrectionOpen,
        ),
    )
    async def propose(
        self,
        data: JSONBody[CorrectionRequest],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> CorrectionItem:
        """Say that an accepted price was wrong, and count what that did to every account. Nothing is booked yet."""
        one = await service.propose_correction(
            db,
            tenant,
            data.fund,
            data.price_on,
            price=data.price,
            party=data.party,
            reason=data.reason,
            actor=caller.actor,
        )
        return shown(one, tenant)

    @get(
        "/{correction:int}",
        operation_id="GetPriceCorrection",
        opt={"permission": Permission.OPERATIONS_READ},
        responses=refuses(errors.UnknownCorrection),
    )
    async def find(
        self, correction: FromPath[int], tenant: NamedDependency[Tenant], db: NamedDependency[Database]
    ) -> CorrectionItem:
        """Return a correction."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return shown(await service.find_correction(session, _number(correction)), tenant)

    @get(
        "/{correction:int}/members.csv",
        operation_id="GetPriceCorrectionMembers",
        opt={"permission": Permission.STATEMENTS_READ},
        media_type="text/csv",
        responses=refuses(errors.UnknownCorrection),
    )
    async def members(
        self,
        correction: FromPath[int],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> Response[bytes]:
        """Return the list of a correction, member by member, as CSV."""
        number = _number(correction)
        async with db.unit_of_work(tenant.tenant_id) as session:
            raw = await service.correction_file(session, keys, tenant, number, actor=caller.actor)
        headers = {"Content-Disposition": f'attachment; filename="price-correction-{number}.csv"'}
        return Response(raw, media_type="text/csv", headers=headers)

    @post(
        "/{correction:int}/approval",
        operation_id="ApprovePriceCorrection",
        status_code=200,
        opt={"permission": Permission.PRICES_APPROVE},
        responses=refuses(errors.UnknownCorrection, errors.CorrectionDecided, errors.CorrectionChanged, SamePerson),
    )
    async def approve(
        self,
        correction: FromPath[int],
        data: JSONBody[CorrectionDecision],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> CorrectionItem:
        """Let a correction be booked, as a second person. One that stopped while it was booked goes on."""
        found = await service.approve_correction(db, tenant, _number(correction), data.digest, actor=caller.actor)
        return shown(found, tenant)

    @post(
        "/{correction:int}/rejection",
        operation_id="RejectPriceCorrection",
        status_code=200,
        opt={"permission": Permission.PRICES_APPROVE},
        responses=refuses(errors.UnknownCorrection, errors.CorrectionDecided, errors.CorrectionChanged, SamePerson),
    )
    async def reject(
        self,
        correction: FromPath[int],
        data: JSONBody[CorrectionDecision],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> CorrectionItem:
        """Let the price stand, as a second person."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            found = await service.reject_correction(
                session, tenant, _number(correction), data.digest, actor=caller.actor
            )
        return shown(found, tenant)


def _number(correction: int) -> int:
    """Return a correction's number; one beyond all numbers is nobody's."""
    return correction if 0 < correction < 2**31 else 0
