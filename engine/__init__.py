"""Akiba: a white-label micro-pension administration engine."""

__version__ = "0.1.0"
