"""Shared words of the engine: amounts, prices, clock, ids, errors, permissions. Pure; no I/O."""
