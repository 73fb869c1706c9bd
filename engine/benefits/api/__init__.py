"""Routes of benefits."""

from engine.benefits.api.charging import FeeRunController, MemberFeesController
from engine.benefits.api.claiming import AvailableController, ClaimController
from engine.benefits.api.heirs import HeirController
from engine.benefits.api.moving import MemberMoveController, MoveController
from engine.benefits.api.paying import PayoutController
from engine.benefits.api.payroll import PayrollController
from engine.benefits.api.pensions import PensionController
from engine.benefits.api.recounting import RecountController
from engine.benefits.api.standing import StandingController

__all__ = [
    "AvailableController",
    "ClaimController",
    "FeeRunController",
    "HeirController",
    "MemberFeesController",
    "MemberMoveController",
    "MoveController",
    "PayoutController",
    "PayrollController",
    "PensionController",
    "RecountController",
    "StandingController",
]
