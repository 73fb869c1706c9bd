"""Prices and dealings for partners and staff: reading them, and deciding on prices that wait for a second person."""

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter
from msgspec import Struct

from engine.access.errors import SamePerson
from engine.access.rules import Caller
from engine.funds import errors, service
from engine.funds.queries.dealings import DealingRow
from engine.funds.queries.ordering import OrderFileRow
from engine.funds.queries.prices import StoredPrice
from engine.funds.queries.sales import SaleOrder
from engine.funds.rules.confirming import ConfirmationState
from engine.kernel.permissions import Permission
from engine.runtime.database import Database
from engine.runtime.http import refuses
from engine.tenancy.service import Tenant

MOST_PRICES = 1000
MOST_FILES = 100
MOST_CONFIRMATIONS = 500

Fund = Annotated[str | None, QueryParameter(name="fund", max_length=24, description="A fund's code.", required=False)]
First = Annotated[date | None, QueryParameter(name="from", description="The first day.", required=False)]
Last = Annotated[date | None, QueryParameter(name="until", description="The last day.", required=False)]
Before = Annotated[
    int | None,
    QueryParameter(
        name="before", ge=1, le=2**31 - 1, required=False, description="Only dealings below this number: the next page."
    ),
]


BeforeFile = Annotated[
    int | None,
    QueryParameter(
        name="before", ge=1, le=2**31 - 1, required=False, description="Only files below this number: the next page."
    ),
]
OfState = Annotated[
    ConfirmationState | None, QueryParameter(name="state", required=False, description="All if left out.")
]
AfterFile = Annotated[
    int | None,
    QueryParameter(name="after_file", ge=0, le=2**53, required=False, description="The last one's file."),
]
AfterPlace = Annotated[
    int | None,
    QueryParameter(name="after_place", ge=0, le=2**31 - 1, required=False, description="The last one's place in it."),
]


class PriceItem(Struct, frozen=True):
    """A published price per unit of a fund, in major units of the scheme's currency."""

    fund: str
    price_on: date
    price: str
    state: str
    held_for: str
    file: str


class PriceList(Struct, frozen=True):
    """Prices, the newest day first; at most 1,000."""

    items: list[PriceItem]


class OrderItem(Struct, frozen=True):
    """What a dealing put into one fund. Price and units are there once it is priced."""

    fund: str
    amount: str
    state: str
    price_on: date | None
    price: str | None
    units: str | None
    residue: str | None


class SaleItem(Struct, frozen=True):
    """What a dealing sells of one fund. Price and amount, what the manager pays, are there once it is priced."""

    fund: str
    units: str
    state: str
    price_on: date | None
    price: str | None
    amount: str | None
    residue: str | None
    is_settled: bool


class DealingItem(Struct, frozen=True):
    """A dealing: open while it gathers reconciled cash, closed at its cut-off, priced when every order is."""

    dealing: int
    product: str
    state: str
    opened_on: date
    cut_off_on: date | None
    orders: list[OrderItem]
    sales: list[SaleItem]


class DealingList(Struct, frozen=True):
    """Dealings, the newest first; at most 50."""

    items: list[DealingItem]


class OrderFileItem(Struct, frozen=True):
    """A file of orders for a fund manager: "requested", "accepted" once it lies in the manager's place, "rejected", or "unknown"."""

    number: int
    manager: str
    name: str
    message_ref: str
    sha256: str
    cut_off_on: date
    side: str
    orders: int
    confirmed: int
    state: str
    made_at: datetime


class OrderFileList(Struct, frozen=True):
    """Files of orders, the newest first; at most 100."""

    items: list[OrderFileItem]


class ConfirmationList(Struct, frozen=True):
    """What fund managers said they did, as it came; at most 500: ask again after the last."""

    items: list[service.Confirmation]


def _file_item(row: OrderFileRow) -> OrderFileItem:
    return OrderFileItem(
        number=row.file_id,
        manager=row.counterparty,
        name=row.name,
        message_ref=row.message_ref,
        sha256=row.sha256,
        cut_off_on=row.cut_off_on,
        side=row.side,
        orders=row.orders,
        confirmed=row.confirmed,
        state=row.state,
        made_at=row.made_at,
    )


def _price_item(price: StoredPrice) -> PriceItem:
    return PriceItem(
        fund=price.fund,
        price_on=price.price_on,
        price=_fixed(price.price.digits, price.price.scale),
        state=price.state,
        held_for=price.held_for,
        file=price.file,
    )


def _order_item(row: DealingRow, money_scale: int) -> OrderItem:
    assert row.fund is not None, row
    assert row.unit_scale is not None, row
    assert row.amount is not None, row
    is_priced = row.order_state == "priced"
    return OrderItem(
        fund=row.fund,
        amount=_fixed(row.amount, money_scale),
        state=row.order_state or "",
        price_on=row.price_on,
        price=None if row.digits is None or row.scale is None else _fixed(row.digits, row.scale),
        units=_fixed(row.units_confirmed or 0, row.unit_scale) if is_priced else None,
        residue=_fixed(row.residue_units or 0, row.unit_scale) if is_priced else None,
    )


def _sale_item(order: SaleOrder, money_scale: int) -> SaleItem:
    confirmed = order.amount_confirmed if order.state == "priced" else None
    return SaleItem(
        fund=order.fund,
        units=_fixed(order.units, order.unit_scale),
        state=order.state,
        price_on=order.price_on,
        price=None if order.price is None else _fixed(order.price.digits, order.price.scale),
        amount=None if confirmed is None else _fixed(confirmed, money_scale),
        residue=None if confirmed is None else _fixed(confirmed - (order.amount_due or 0), money_scale),
        is_settled=order.settled_event != 0,
    )


def _fixed(smallest: int, scale: int) -> str:
    return f"{Decimal(smallest).scaleb(-scale):.{scale}f}"


class PriceController(Controller):
    """Prices."""

    path = "/v1/prices"
    tags = ("Prices",)

    @get(operation_id="ListPrices", opt={"permission": Permission.OPERATIONS_READ})
    async def list_prices(
        self, tenant: NamedDependency[Tenant], db: NamedDependency[Database], fund: Fund, first: First, last: Last
    ) -> PriceList:
        """List prices, the newest day first, whatever their state."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            found = await service.list_prices(session, fund=fund, first=first, last=last, most=MOST_PRICES)
        return PriceList([_price_item(price) for price in found])

    @post(
        "/{fund:str}/{price_on:date}/approve",
        operation_id="ApprovePrice",
        opt={"permission": Permission.PRICES_APPROVE},
        status_code=200,
        responses=refuses(errors.UnknownPrice, errors.PriceDecided, errors.ActionOpen, SamePerson),
    )
    async def approve(
        self,
        fund: FromPath[str],
        price_on: FromPath[date],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> PriceItem:
        """Let a held price count, as a second person; the orders that waited for it are allotted soon after."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            price = await service.approve_price(session, tenant, fund, price_on, caller.actor)
        return _price_item(price)

    @post(
        "/{fund:str}/{price_on:date}/reject",
        operation_id="RejectPrice",
        opt={"permission": Permission.PRICES_APPROVE},
        status_code=200,
        responses=refuses(errors.UnknownPrice, errors.PriceDecided, errors.ActionOpen, SamePerson),
    )
    async def reject(
        self,
        fund: FromPath[str],
        price_on: FromPath[date],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> PriceItem:
        """Refuse a held price, as a second person; another may then come for its day."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            price = await service.reject_price(session, tenant, fund, price_on, caller.actor)
        return _price_item(price)


class DealingController(Controller):
    """Dealings."""

    path = "/v1/dealings"
    tags = ("Dealings",)

    @get(operation_id="ListDealings", opt={"permission": Permission.OPERATIONS_READ})
    async def list_dealings(
        self, tenant: NamedDependency[Tenant], db: NamedDependency[Database], before: Before
    ) -> DealingList:
        """List dealings with their orders, the newest first."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            found = await service.list_dealings(session, before=before)
            sales = await service.list_sale_orders(session, [rows[0].dealing_id for rows in found])
        scale = tenant.asset.scale
        return DealingList(
            [
                DealingItem(
                    dealing=rows[0].dealing_id,
                    product=rows[0].product,
                    state=rows[0].state,
                    opened_on=rows[0].opened_on,
                    cut_off_on=rows[0].cut_off_on,
                    orders=[_order_item(row, scale) for row in rows if row.fund is not None],
                    sales=[_sale_item(order, scale) for order in sales.get(rows[0].dealing_id, ())],
                )
                for rows in found
            ]
        )


class OrderFileController(Controller):
    """Orders to fund managers, and what they say they did."""

    path = "/v1"
    tags = ("Dealings",)

    @get("/order-files", operation_id="ListOrderFiles", opt={"permission": Permission.OPERATIONS_READ})
    async def list_order_files(
        self, tenant: NamedDependency[Tenant], db: NamedDependency[Database], before: BeforeFile
    ) -> OrderFileList:
        """List files of orders, the newest first."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            found = await service.list_order_files(session, before=before, most=MOST_FILES)
        return OrderFileList([_file_item(row) for row in found])

    @get("/confirmations", operation_id="ListConfirmations", opt={"permission": Permission.OPERATIONS_READ})
    async def list_confirmations(
        self,
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        wanted: OfState,
        after_file: AfterFile,
        after_place: AfterPlace,
    ) -> ConfirmationList:
        """List what fund managers said they did with orders, and what became of it; breaks with whose turn it is."""
        after = (after_file or 0, after_place or 0)
        async with db.unit_of_work(tenant.tenant_id) as session:
            found = await service.list_confirmations(
                session, tenant, state=wanted, after=after, most=MOST_CONFIRMATIONS
            )
        return ConfirmationList(found)
