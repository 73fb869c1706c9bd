"""SQL of benefits, and the laws that they keep."""

from engine.benefits.queries.laws import LAWS

__all__ = ["LAWS"]
