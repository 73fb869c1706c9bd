"""Use cases of the funds: import and decide prices, allocate reconciled cash, sell units, run a dealing day."""

from engine.funds.queries.sales import UnsettledSale
from engine.funds.rules import ReconciledReceipt
from engine.funds.service.allocating import (
    Allocated,
    AllocationState,
    allocate,
    allocation_state,
    hold_allocating,
    hold_allocation,
    release,
)
from engine.funds.service.crediting import InterestReport, credit_interest
from engine.funds.service.dealing import DealingReport, OrderReport, SaleReport, WaitingCash, price_orders, run_dealing
from engine.funds.service.looking import list_dealings, list_prices, list_sale_orders
from engine.funds.service.pricing import PriceImport, approve_price, import_prices, open_funds, reject_price
from engine.funds.service.selling import (
    Proceeds,
    Sale,
    SaleProgress,
    SaleState,
    Units,
    held_of,
    sale_progress,
    sell,
    settle_sales,
    unsettled_sales,
    withdraw_sale,
)

__all__ = [
    "Allocated",
    "AllocationState",
    "DealingReport",
    "InterestReport",
    "OrderReport",
    "PriceImport",
    "Proceeds",
    "ReconciledReceipt",
    "Sale",
    "SaleProgress",
    "SaleReport",
    "SaleState",
    "Units",
    "UnsettledSale",
    "WaitingCash",
    "allocate",
    "allocation_state",
    "approve_price",
    "credit_interest",
    "held_of",
    "hold_allocating",
    "hold_allocation",
    "import_prices",
    "list_dealings",
    "list_prices",
    "list_sale_orders",
    "open_funds",
    "price_orders",
    "reject_price",
    "release",
    "run_dealing",
    "sale_progress",
    "sell",
    "settle_sales",
    "unsettled_sales",
    "withdraw_sale",
]
