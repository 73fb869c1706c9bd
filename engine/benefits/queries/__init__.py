"""SQL of benefits, and the laws that they keep."""

from engine.benefits.queries.charging_laws import FEE_LAWS
from engine.benefits.queries.laws import LAWS

__all__ = ["FEE_LAWS", "LAWS"]
