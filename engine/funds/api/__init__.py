"""What the funds answer over HTTP: prices and dealings, orders and confirmations, corrected prices, splits, income, switches."""

from engine.funds.api.acting import FundActionController
from engine.funds.api.correcting import CorrectionController
from engine.funds.api.dealing import DealingController, OrderFileController, PriceController
from engine.funds.api.switching import SwitchController

__all__ = [
    "CorrectionController",
    "DealingController",
    "FundActionController",
    "OrderFileController",
    "PriceController",
    "SwitchController",
]
