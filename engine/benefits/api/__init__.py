"""Routes of benefits."""

from engine.benefits.api.charging import FeeRunController, MemberFeesController
from engine.benefits.api.claiming import AvailableController, ClaimController
from engine.benefits.api.paying import PayoutController

__all__ = ["AvailableController", "ClaimController", "FeeRunController", "MemberFeesController", "PayoutController"]
