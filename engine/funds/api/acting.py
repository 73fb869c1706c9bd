"""`/v1/operations/fund-actions`: splits of funds and the income that they pay. One person proposes, another approves."""

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
from engine.funds.api.correcting import Digest, MajorPrice
from engine.funds.rules import FundCode, SplitSide
from engine.funds.service import FundAction
from engine.kernel.permissions import Permission
from engine.runtime.database import Database
from engine.runtime.http import refuses
from engine.tenancy.errors import UnknownProduct
from engine.tenancy.rules.manifest import Code
from engine.tenancy.service import Tenant

Stated = Annotated[str, Meta(pattern=r"^[0-9]{1,9}(\.[0-9]{1,8})?$", examples=["1234.56"])]
Reference = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,34}$", examples=["DIV-2024-03"])]


class SplitRequest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """From which day on there are how many `new` units of a fund for how many `old` ones."""

    fund: Annotated[FundCode, Meta(examples=["SM001009"])]
    on: Annotated[date, Meta(examples=["2024-04-01"])]
    new: SplitSide
    old: SplitSide


class DistributionRequest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What income a fund pays on each unit that members of a product had at the end of the day `on`.

    `stated` is what its manager states that it pays, money or units; `price` that at which it reinvests, where the rules
    pay in units; `reference` what its payment bears, where they pay in cash.
    """

    fund: Annotated[FundCode, Meta(examples=["SM001009"])]
    product: Code
    on: Annotated[date, Meta(examples=["2024-03-28"])]
    per_unit: MajorPrice
    stated: Stated
    reference: Reference
    price: MajorPrice | None = None


class ActionDecision(Struct, frozen=True, forbid_unknown_fields=True):
    """The digest of the split or distribution that you have read, and to approve a split the first price of the new units."""

    digest: Digest
    price: MajorPrice | None = None


class FundActionItem(Struct, frozen=True):
    """A split or distribution. `kind`: split, income-in-units, income-in-cash. `state`: proposed, rejected, approved, done.

    `had` are the units that its accounts had, `got` what they got, units or money, both in major units, as far as it is known:
    of a split as it is booked, of income from its proposal on. `residue` is what became no member's. Approval names the `digest`.
    """

    action: str
    kind: str
    fund: str
    product: str
    on: date
    said: dict[str, str]
    stated: str
    reference: str
    state: str
    digest: str
    members: int
    had: str
    got: str
    residue: str
    rules: list[str]
    maker: str
    checker: str


def shown(one: FundAction, tenant: Tenant) -> FundActionItem:
    """Return an action as the API shows it."""
    paid = tenant.asset.scale if one.kind == "income-in-cash" else one.unit_scale

    def major(smallest: int, scale: int = paid) -> str:
        return f"{Decimal(smallest).scaleb(-scale):f}"

    return FundActionItem(
        action=str(one.number),
        kind=one.kind,
        fund=one.fund,
        product=one.product,
        on=one.on,
        said=dict(one.terms.said),
        stated=major(one.stated) if one.product else "",
        reference=one.reference,
        state=one.state,
        digest=one.digest,
        members=one.members,
        had=major(one.had, one.unit_scale),
        got=major(one.got),
        residue=major(one.residue),
        rules=list(one.terms.rules),
        maker=one.maker,
        checker=one.checker,
    )


class FundActionController(Controller):
    """Splits of funds and the income that they pay."""

    path = "/v1/operations/fund-actions"
    tags = ("Prices",)

    @get(operation_id="ListFundActions", opt={"permission": Permission.OPERATIONS_READ})
    async def list_actions(
        self, tenant: NamedDependency[Tenant], db: NamedDependency[Database]
    ) -> list[FundActionItem]:
        """Return the newest splits and distributions, newest first; at most 100."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return [shown(one, tenant) for one in await service.list_actions(session)]

    @post(
        "/splits",
        operation_id="ProposeSplit",
        opt={"permission": Permission.PRICES_IMPORT},
        responses=refuses(
            errors.UnknownFund, errors.ActionOpen, errors.PricedSince, errors.HistoricPricing, errors.NoDealingRule
        ),
    )
    async def propose_split(
        self,
        data: JSONBody[SplitRequest],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> FundActionItem:
        """Propose a split: prices of its day and later wait until it is booked. Nothing is booked yet."""
        one = await service.propose_split(
            db, tenant, data.fund, data.on, new=data.new, old=data.old, actor=caller.actor
        )
        return shown(one, tenant)

    @post(
        "/distributions",
        operation_id="ProposeDistribution",
        opt={"permission": Permission.PRICES_IMPORT},
        responses=refuses(
            UnknownProduct,
            errors.UnknownFund,
            errors.NoDistributionRule,
            errors.NoDealingRule,
            errors.PriceNotUsable,
            errors.DayNotReached,
            errors.ActionOpen,
            errors.SplitSince,
            errors.OrdersInProgress,
            errors.NoUnits,
            errors.StatedTooFine,
            errors.ReferenceTaken,
            errors.NotAsStated,
        ),
    )
    async def propose_distribution(
        self,
        data: JSONBody[DistributionRequest],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> FundActionItem:
        """Propose income that a fund pays, and count what every account gets. Nothing is booked yet."""
        one = await service.propose_distribution(
            db,
            tenant,
            data.fund,
            data.product,
            data.on,
            per_unit=data.per_unit,
            price=data.price or "",
            stated=data.stated,
            reference=data.reference,
            actor=caller.actor,
        )
        return shown(one, tenant)

    @get(
        "/{action:int}",
        operation_id="GetFundAction",
        opt={"permission": Permission.OPERATIONS_READ},
        responses=refuses(errors.UnknownAction),
    )
    async def find(
        self, action: FromPath[int], tenant: NamedDependency[Tenant], db: NamedDependency[Database]
    ) -> FundActionItem:
        """Return a split or distribution."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return shown(await service.find_action(session, _number(action)), tenant)

    @post(
        "/{action:int}/approval",
        operation_id="ApproveFundAction",
        status_code=200,
        opt={"permission": Permission.PRICES_APPROVE},
        responses=refuses(
            errors.UnknownAction,
            errors.ActionDecided,
            errors.ActionChanged,
            errors.DayNotReached,
            errors.PricesUndecided,
            errors.FirstPriceMissing,
            errors.PriceNotUsable,
            errors.OrdersInProgress,
            SamePerson,
        ),
    )
    async def approve(
        self,
        action: FromPath[int],
        data: JSONBody[ActionDecision],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> FundActionItem:
        """Let it be booked, as a second person; a split with the price that waits for it. Income in cash is booked once the manager's money has come."""
        one = await service.approve_action(
            db, tenant, _number(action), data.digest, price=data.price or "", actor=caller.actor
        )
        return shown(one, tenant)

    @post(
        "/{action:int}/rejection",
        operation_id="RejectFundAction",
        status_code=200,
        opt={"permission": Permission.PRICES_APPROVE},
        responses=refuses(errors.UnknownAction, errors.ActionDecided, errors.ActionChanged, SamePerson),
    )
    async def reject(
        self,
        action: FromPath[int],
        data: JSONBody[ActionDecision],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> FundActionItem:
        """Refuse it, as a second person."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            one = await service.reject_action(session, tenant, _number(action), data.digest, actor=caller.actor)
        return shown(one, tenant)


def _number(action: int) -> int:
    """Return an action's number; one beyond all numbers is nobody's."""
    return action if 0 < action < 2**31 else 0
