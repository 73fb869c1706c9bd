"""`/v1/operations/pool-incomes`: what the pools of declared interest earned. One person tells it, another approves it."""

from datetime import date
from decimal import Decimal
from typing import Annotated

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Meta, Struct

from engine.access.errors import SamePerson
from engine.access.rules import Caller
from engine.funds import errors, service
from engine.funds.api.correcting import Digest
from engine.funds.service import PoolIncome
from engine.kernel.amounts import Amount, NotWholeUnits
from engine.kernel.permissions import Permission
from engine.runtime.database import Database
from engine.runtime.http import refuses
from engine.tenancy.errors import UnknownProduct
from engine.tenancy.rules.manifest import Code
from engine.tenancy.service import Tenant

Earned = Annotated[str, Meta(pattern=r"^-?(?!0+(\.0+)?$)[0-9]{1,15}(\.[0-9]{1,8})?$", examples=["125000.00"])]
Reference = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,34}$", examples=["POOL-2023"])]


class PoolIncomeRequest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a pool earned in the scheme year that `on` lies in, in major units, less its costs; below zero for a loss."""

    product: Code
    on: Annotated[date, Meta(examples=["2023-12-31"])]
    amount: Earned
    reference: Reference


class PoolIncomeDecision(Struct, frozen=True, forbid_unknown_fields=True):
    """The digest of the income that you have read."""

    digest: Digest


class PoolIncomeItem(Struct, frozen=True):
    """What a pool earned, in major units. `state`: proposed, rejected, approved. Approval names the `digest`."""

    income: str
    product: str
    year_from: date
    amount: str
    held_by: str
    reference: str
    state: str
    digest: str
    maker: str
    checker: str


def shown(one: PoolIncome, tenant: Tenant) -> PoolIncomeItem:
    """Return an income as the API shows it."""
    return PoolIncomeItem(
        income=str(one.number),
        product=one.product,
        year_from=one.year_from,
        amount=f"{Decimal(one.amount).scaleb(-tenant.asset.scale):f}",
        held_by=one.held_by,
        reference=one.reference,
        state=one.state,
        digest=one.digest,
        maker=one.maker,
        checker=one.checker,
    )


class PoolIncomeController(Controller):
    """What pools of declared interest earned."""

    path = "/v1/operations/pool-incomes"
    tags = ("Interest",)

    @get(operation_id="ListPoolIncomes", opt={"permission": Permission.OPERATIONS_READ})
    async def list_incomes(
        self, tenant: NamedDependency[Tenant], db: NamedDependency[Database]
    ) -> list[PoolIncomeItem]:
        """Return the newest incomes of pools, newest first; at most 100."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return [shown(one, tenant) for one in await service.list_incomes(session)]

    @post(
        operation_id="ProposePoolIncome",
        opt={"permission": Permission.DEALING_RUN},
        responses=refuses(UnknownProduct, errors.PoolIncomeNotWhole, errors.NoPool, errors.PoolReferenceUsed),
    )
    async def propose(
        self,
        data: JSONBody[PoolIncomeRequest],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> PoolIncomeItem:
        """Tell what a pool earned, once for its reference. Nothing is booked yet."""
        try:
            amount = Amount.parse(data.amount, tenant.asset)
        except NotWholeUnits as error:
            raise errors.PoolIncomeNotWhole(field="amount", scale=tenant.asset.scale) from error
        async with db.unit_of_work(tenant.tenant_id) as session:
            one = await service.propose_income(
                session, tenant, data.product, data.on, amount, reference=data.reference, actor=caller.actor
            )
        return shown(one, tenant)

    @post(
        "/{income:int}/approval",
        operation_id="ApprovePoolIncome",
        status_code=200,
        opt={"permission": Permission.PRICES_APPROVE},
        responses=refuses(errors.UnknownPoolIncome, errors.PoolIncomeDecided, errors.PoolIncomeChanged, SamePerson),
    )
    async def approve(
        self,
        income: FromPath[int],
        data: JSONBody[PoolIncomeDecision],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> PoolIncomeItem:
        """Let an income count and book it, as a second person."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            one = await service.approve_income(session, tenant, _number(income), data.digest, actor=caller.actor)
        return shown(one, tenant)

    @post(
        "/{income:int}/rejection",
        operation_id="RejectPoolIncome",
        status_code=200,
        opt={"permission": Permission.PRICES_APPROVE},
        responses=refuses(errors.UnknownPoolIncome, errors.PoolIncomeDecided, errors.PoolIncomeChanged, SamePerson),
    )
    async def reject(
        self,
        income: FromPath[int],
        data: JSONBody[PoolIncomeDecision],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> PoolIncomeItem:
        """Refuse an income, as a second person."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            one = await service.reject_income(session, tenant, _number(income), data.digest, actor=caller.actor)
        return shown(one, tenant)


def _number(income: int) -> int:
    """Return an income's number; one beyond all numbers is nobody's."""
    return income if 0 < income < 2**31 else 0
