"""What the funds answer over HTTP: prices and dealings, orders and confirmations, corrected prices, splits, income, switches, choices."""

from engine.funds.api.acting import FundActionController
from engine.funds.api.cancelling import SentOrderController
from engine.funds.api.choosing import FundChoiceController
from engine.funds.api.correcting import CorrectionController
from engine.funds.api.dealing import DealingController, OrderFileController, PriceController
from engine.funds.api.pooling import PoolIncomeController
from engine.funds.api.setting_aside import SettingAsideController
from engine.funds.api.switching import SwitchController

__all__ = [
    "CorrectionController",
    "DealingController",
    "FundActionController",
    "FundChoiceController",
    "OrderFileController",
    "PoolIncomeController",
    "PriceController",
    "SentOrderController",
    "SettingAsideController",
    "SwitchController",
]
