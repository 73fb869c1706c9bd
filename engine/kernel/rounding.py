"""Rounding by name: every figure that cannot be whole says which way it goes."""

from decimal import Decimal
from fractions import Fraction
from typing import Literal

Rounding = Literal["down", "up", "half-up", "half-even", "nearest-down"]
"""Towards zero, away from zero, to the nearest with ties away from zero, to even, or towards zero."""


def rounded(value: Decimal | Fraction | int, how: Rounding, *, step: int = 1) -> int:
    """Return `value` as a whole number that `step` (> 0) divides, rounded as `how` says; exact throughout.

    Negative values are rounded like their absolute value: "down" is towards zero.
    """
    assert step > 0, step
    exact = Fraction(value) / step
    whole, rest = divmod(abs(exact.numerator), exact.denominator)
    twice = 2 * rest - exact.denominator
    goes_up = {
        "down": False,
        "up": rest > 0,
        "half-up": twice >= 0 and rest > 0,
        "half-even": twice > 0 or (twice == 0 and whole % 2 == 1),
        "nearest-down": twice > 0,
    }[how]
    size = (whole + goes_up) * step
    return -size if exact < 0 else size
