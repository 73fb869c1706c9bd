"""Routes of benefits."""

from engine.benefits.api.annuities import AnnuityController
from engine.benefits.api.charging import FeeRunController, MemberFeesController
from engine.benefits.api.claiming import AvailableController, ClaimController
from engine.benefits.api.covering import CoverFileController
from engine.benefits.api.heirs import HeirController
from engine.benefits.api.insuring import MemberPremiumController, PremiumFileController, PremiumRunController
from engine.benefits.api.lending import LoanController
from engine.benefits.api.merging import MemberMergeController, MergeController
from engine.benefits.api.moving import MemberMoveController, MoveController
from engine.benefits.api.passing_on import PassedOnController
from engine.benefits.api.paying import PayoutController
from engine.benefits.api.payroll import PayrollController
from engine.benefits.api.pensions import PensionController
from engine.benefits.api.recounting import FigureAcceptanceController, RecountController
from engine.benefits.api.splitting import MemberSplitController, SplitController
from engine.benefits.api.standing import StandingController
from engine.benefits.api.transferring import TransferInController, TransferOutController
from engine.benefits.api.unclaimed import ReclaimController, UnclaimedController

__all__ = [
    "AnnuityController",
    "AvailableController",
    "ClaimController",
    "CoverFileController",
    "FeeRunController",
    "FigureAcceptanceController",
    "HeirController",
    "LoanController",
    "MemberFeesController",
    "MemberMergeController",
    "MemberMoveController",
    "MemberPremiumController",
    "MemberSplitController",
    "MergeController",
    "MoveController",
    "PassedOnController",
    "PayoutController",
    "PayrollController",
    "PensionController",
    "PremiumFileController",
    "PremiumRunController",
    "ReclaimController",
    "RecountController",
    "SplitController",
    "StandingController",
    "TransferInController",
    "TransferOutController",
    "UnclaimedController",
]
