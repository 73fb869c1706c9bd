"""What members undertake to pay, where instalments are read from a chart."""

from datetime import date
from typing import Annotated

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import Meta, Struct

from engine.access.rules import Caller
from engine.enrolment import errors, service
from engine.enrolment.rules import Frequency, UndertakingGiven
from engine.kernel.errors import EngineError
from engine.kernel.permissions import Permission
from engine.kernel.tables import TableValueMissing
from engine.runtime.database import Database
from engine.runtime.http import refuses
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant

Product = Annotated[
    str, Meta(max_length=40, pattern=r"^[a-z0-9-]*$", description="Without one, the first that was joined.")
]


class UndertakingRequest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The slab of the scheme's chart, where it has several, and how often one pays."""

    frequency: Annotated[Frequency, Meta(examples=["monthly"])]
    slab: Annotated[str, Meta(max_length=40, examples=["1000"])] = ""
    product: Product = ""


class UndertakingAnswer(Struct, frozen=True, kw_only=True):
    """What a member undertook last: it counts from `from_on` on; `instalment` is in major units, by the rules of today."""

    product: str
    slab: str
    frequency: str
    from_on: date
    instalment: Annotated[str, Meta(examples=["42.00"])]
    currency: str


class UndertakingController(Controller):
    """What members undertake to pay."""

    path = "/v1/members/{number:str}/undertaking"
    tags = ("Members",)

    @get(
        operation_id="GetUndertaking",
        opt={"permission": Permission.MEMBERS_READ},
        responses=refuses(errors.UnknownMember, errors.NoUndertaking, TableValueMissing),
    )
    async def show(
        self,
        number: FromPath[str],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
        product: Annotated[
            str, QueryParameter(max_length=40, description="Without one, the first that was joined.")
        ] = "",
    ) -> UndertakingAnswer:
        """Return what a member undertook to pay last."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            member = await service.find_in_product(session, keys, number, product)
            return _shown(await service.show_undertaking(session, tenant, member))

    @post(
        operation_id="Undertake",
        status_code=200,
        opt={"permission": Permission.MEMBERS_ENROL},
        responses=refuses(
            errors.UnknownMember,
            errors.NoUndertaking,
            errors.UnknownSlab,
            errors.UnknownFrequency,
            errors.UndertakingFixed,
            errors.ChangedTooOften,
            TableValueMissing,
        ),
    )
    async def give(
        self,
        number: FromPath[str],
        data: JSONBody[UndertakingRequest],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> UndertakingAnswer:
        """Undertake to pay, or change it as far as the scheme lets one; the same again changes nothing.

        A change counts from the first period that has not begun.
        """
        given = UndertakingGiven(slab=data.slab, frequency=data.frequency)
        async with db.unit_of_work(tenant.tenant_id) as session:
            member = await service.find_in_product(session, keys, number, data.product)
            answer = await service.undertake(session, tenant, member, given, actor=caller.actor)
        if isinstance(answer, EngineError):
            raise answer
        return _shown(answer)


def _shown(one: service.Undertaking) -> UndertakingAnswer:
    money = one.instalment
    return UndertakingAnswer(
        product=one.product,
        slab=one.slab,
        frequency=one.frequency,
        from_on=one.from_on,
        instalment=f"{money.decimal():.{money.asset.scale}f}",
        currency=money.asset.symbol,
    )
