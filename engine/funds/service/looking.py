"""Looking at prices and dealings."""

from collections.abc import Sequence
from datetime import date
from itertools import groupby

from sqlalchemy.ext.asyncio import AsyncSession

from engine.funds.queries import dealings as queries
from engine.funds.queries import prices as price_queries
from engine.funds.queries import sales as sale_queries
from engine.funds.queries.dealings import DealingRow
from engine.funds.queries.prices import StoredPrice
from engine.funds.queries.sales import SaleOrder


async def list_prices(
    session: AsyncSession,
    *,
    fund: str | None = None,
    first: date | None = None,
    last: date | None = None,
    state: str | None = None,
    most: int = 100,
) -> list[StoredPrice]:
    """Return prices, the newest day first: of one fund or all, from `first` to `last`, in one state or any."""
    return await price_queries.list_prices(session, fund=fund, first=first, last=last, state=state, most=most)


async def list_dealings(
    session: AsyncSession, *, before: int | None = None, most: int = 50
) -> list[Sequence[DealingRow]]:
    """Return dealings, the newest first, below number `before`: for each a row an order, or one row without order."""
    rows = await queries.list_dealings(session, before=before, most=most)
    return [tuple(one) for _, one in groupby(rows, key=lambda row: row.dealing_id)]


async def list_sale_orders(session: AsyncSession, dealings: Sequence[int]) -> dict[int, list[SaleOrder]]:
    """Return by dealing the orders by which dealings sell units, by fund."""
    orders = await sale_queries.orders_of(session, dealings)
    return {number: list(found) for number, found in groupby(orders, key=lambda order: order.dealing_id)}
