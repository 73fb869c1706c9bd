"""Incomes that members declare, where contributions are a share of them."""

from datetime import date
from typing import Annotated

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import Meta, Struct

from engine.access.rules import Caller
from engine.contributions import errors, service
from engine.enrolment import service as enrolment
from engine.enrolment.errors import ChangedTooOften
from engine.identity.errors import UnknownMember
from engine.kernel.amounts import Amount
from engine.kernel.errors import EngineError
from engine.kernel.permissions import Permission
from engine.kernel.series import SeriesValueMissing
from engine.runtime.database import Database
from engine.runtime.http import refuses
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant

Product = Annotated[
    str, Meta(max_length=40, pattern=r"^[a-z0-9-]*$", description="Without one, the first that was joined.")
]


class IncomeRequest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the member earns a month, in major units, and from which day on that counts: without one, from today on."""

    income: Annotated[str, Meta(max_length=24, pattern=r"^[0-9]+(\.[0-9]+)?$", examples=["1500.00"])]
    from_on: date | None = None
    product: Product = ""


class IncomeItem(Struct, frozen=True, kw_only=True):
    """An income of a month as it was declared, in major units."""

    income: Annotated[str, Meta(examples=["1500.00"])]
    from_on: date
    declared_on: date


class IncomesAnswer(Struct, frozen=True, kw_only=True):
    """What a member declared, oldest first; `contribution` is what it makes due a month by the rules of today, in major units."""

    product: str
    currency: str
    contribution: Annotated[str, Meta(examples=["202.50"])] | None
    declared: tuple[IncomeItem, ...]


class DeclaredIncomeController(Controller):
    """Incomes that members declare."""

    path = "/v1/members/{number:str}/declared-income"
    tags = ("Members",)

    @get(
        operation_id="GetDeclaredIncome",
        opt={"permission": Permission.MEMBERS_READ},
        responses=refuses(UnknownMember, errors.NoDeclaredIncome, SeriesValueMissing),
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
    ) -> IncomesAnswer:
        """Return the incomes that a member declared, and the contribution due."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            member = await enrolment.find_in_product(session, keys, number, product)
            return _shown(tenant, await service.show_declared(session, tenant, member))

    @post(
        operation_id="DeclareIncome",
        status_code=200,
        opt={"permission": Permission.MEMBERS_ENROL},
        responses=refuses(
            UnknownMember,
            errors.NoDeclaredIncome,
            errors.DeclaredFrom,
            errors.AmountNotWhole,
            errors.AmountNotPositive,
            ChangedTooOften,
            SeriesValueMissing,
        ),
    )
    async def declare(
        self,
        number: FromPath[str],
        data: JSONBody[IncomeRequest],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> IncomesAnswer:
        """Declare an income, or change it as far as the scheme lets one; the same income again changes nothing."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            member = await enrolment.find_in_product(session, keys, number, data.product)
            answer = await service.declare_income(
                session, tenant, member, data.income, from_on=data.from_on, actor=caller.actor
            )
        if isinstance(answer, EngineError):
            raise answer
        return _shown(tenant, answer)


def _shown(tenant: Tenant, found: service.Incomes) -> IncomesAnswer:
    def major(amount: Amount) -> str:
        return f"{amount.decimal():.{tenant.asset.scale}f}"

    return IncomesAnswer(
        product=found.product,
        currency=tenant.asset.symbol,
        contribution=None if found.contribution is None else major(found.contribution),
        declared=tuple(
            IncomeItem(income=major(Amount(one.income, tenant.asset)), from_on=one.from_on, declared_on=one.declared_on)
            for one in found.declared
        ),
    )
