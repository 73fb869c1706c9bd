"""SQL of the funds: prices and their files, dealings and orders, allocations, and the laws they keep."""

from engine.funds.queries.laws import LAWS

__all__ = ["LAWS"]
