"""Routes of benefits."""

from engine.benefits.api.claiming import AvailableController, ClaimController
from engine.benefits.api.paying import PayoutController

__all__ = ["AvailableController", "ClaimController", "PayoutController"]
