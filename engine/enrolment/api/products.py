"""A member's products: which they are in, and joining another."""

from datetime import date
from typing import Annotated

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Meta, Struct

from engine.access.rules import Caller
from engine.enrolment import errors, service
from engine.enrolment.queries import Membership
from engine.enrolment.rules import Application, FactDeclared, UndertakingGiven
from engine.kernel.errors import EngineError
from engine.kernel.permissions import Permission
from engine.kernel.tables import TableValueMissing
from engine.runtime.database import Database
from engine.runtime.http import refuses
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.errors import UnknownProduct
from engine.tenancy.service import Tenant


class JoiningRequest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a product asks of a member who joins it; names, documents, nominees and consents are the person's and known."""

    product: Annotated[str, Meta(max_length=40, pattern=r"^[a-z][a-z0-9-]*$", examples=["nps-lite"])]
    person_class: Annotated[str, Meta(max_length=40, pattern=r"^[a-z0-9-]*$", examples=["refugee"])] = ""
    resident_since: date | None = None
    monthly_income: Annotated[
        str,
        Meta(pattern=r"^([0-9]{1,15}(\.[0-9]{1,4})?)?$", description="declared, in major units", examples=["12000.00"]),
    ] = ""
    declared: Annotated[tuple[FactDeclared, ...], Meta(max_length=20)] = ()
    group_proof: Annotated[str, Meta(max_length=40, pattern=r"^[a-z0-9-]*$", examples=["union-letter"])] = ""
    channel: Annotated[
        str, Meta(pattern=r"^([a-z][a-z0-9-]{0,39})?$", description="through which one joins", examples=["agent"])
    ] = ""
    undertaking: UndertakingGiven | None = None


class MembershipItem(Struct, frozen=True, kw_only=True):
    """A member's place in a product: `joined_on` is what rules count from, `from_on` when they came into this one."""

    product: Annotated[str, Meta(examples=["nps-lite"])]
    joined_on: date
    from_on: date
    group: str


class ProductsAnswer(Struct, frozen=True):
    """The products a member is in, the first joined first."""

    items: list[MembershipItem]


class ProductsController(Controller):
    """Products that members are in."""

    path = "/v1/members/{number:str}/products"
    tags = ("Members",)

    @get(
        operation_id="ListProductsOfMember",
        opt={"permission": Permission.MEMBERS_READ},
        responses=refuses(errors.UnknownMember),
    )
    async def list_products(
        self,
        number: FromPath[str],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> ProductsAnswer:
        """Return the products a member is in; those they moved out of are left out."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            member = await service.find_member(session, keys, number)
            held = await service.memberships_of(session, [member.member_id])
        return ProductsAnswer([shown(one) for one in held.get(member.member_id, ())])

    @post(
        operation_id="JoinProduct",
        opt={"permission": Permission.MEMBERS_ENROL},
        responses=refuses(
            UnknownProduct,
            TableValueMissing,
            errors.UnknownMember,
            errors.AlreadyMember,
            errors.NotOpen,
            errors.ClosedToJoining,
            errors.TooYoung,
            errors.TooOld,
            errors.BirthDateImplausible,
            errors.GuardianMissing,
            errors.GuardianNotAccepted,
            errors.DocumentMissing,
            errors.ClassMissing,
            errors.UnknownClass,
            errors.ClassNotShown,
            errors.NotLongEnoughResident,
            errors.IncomeMissing,
            errors.IncomeNotWhole,
            errors.IncomeTooHigh,
            errors.DeclarationMissing,
            errors.Excluded,
            errors.LevelNotReached,
            errors.GroupProofMissing,
            errors.GroupProofNotAccepted,
            errors.NoUndertaking,
            errors.UnknownSlab,
            errors.UnknownFrequency,
        ),
    )
    async def join(
        self,
        number: FromPath[str],
        data: JSONBody[JoiningRequest],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> MembershipItem:
        """Let a member join a further product of the scheme, once.

        What its rules refuse is on record; `decision` in the refusal is the number by which it is explained.
        """
        async with db.unit_of_work(tenant.tenant_id) as session:
            member = await service.find_member(session, keys, number)
            answer = await service.join_product(
                session, tenant, keys, member, data.product, actor=caller.actor, answers=answers_of(data)
            )
        if isinstance(answer, EngineError):
            raise answer
        return shown(answer)


def answers_of(asked: JoiningRequest) -> Application:
    """Return what was answered, as an application; whatever else one holds is the person's, and known."""
    return Application(
        product=asked.product,
        full_name="",
        born_on=date.min,
        person_class=asked.person_class,
        resident_since=asked.resident_since,
        monthly_income=asked.monthly_income,
        declared=asked.declared,
        group_proof=asked.group_proof,
        channel=asked.channel,
        undertaking=asked.undertaking,
    )


def shown(one: Membership) -> MembershipItem:
    """Return a membership as it is answered."""
    return MembershipItem(product=one.product, joined_on=one.joined_on, from_on=one.from_on, group=one.group_code)
