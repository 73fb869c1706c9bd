"""SQL of reconciliation: statements, their lines, matches, what is held, proofs, and the laws they keep."""

from engine.reconciliation.queries.laws import LAWS

__all__ = ["LAWS"]
