"""Use cases of the funds: import and decide prices, allocate reconciled cash, run a dealing day."""

from engine.funds.rules import ReconciledReceipt
from engine.funds.service.allocating import Allocated, AllocationState, allocate, allocation_state, release
from engine.funds.service.dealing import DealingReport, OrderReport, WaitingCash, price_orders, run_dealing
from engine.funds.service.looking import list_dealings, list_prices
from engine.funds.service.pricing import PriceImport, approve_price, import_prices, reject_price

__all__ = [
    "Allocated",
    "AllocationState",
    "DealingReport",
    "OrderReport",
    "PriceImport",
    "ReconciledReceipt",
    "WaitingCash",
    "allocate",
    "allocation_state",
    "approve_price",
    "import_prices",
    "list_dealings",
    "list_prices",
    "price_orders",
    "reject_price",
    "release",
    "run_dealing",
]
