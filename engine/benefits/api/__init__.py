"""Routes of benefits."""

from engine.benefits.api.paying import PayoutController

__all__ = ["PayoutController"]
