"""Prices per unit: exact decimals, and the one formula that turns money into units."""

from dataclasses import dataclass
from decimal import Decimal

MAX_PRICE_SCALE = 8


@dataclass(frozen=True, slots=True)
class Price:
    """A price per unit as `digits` × 10^-`scale` major currency units: 32.6034 is Price(326034, 4)."""

    digits: int
    scale: int

    @classmethod
    def of(cls, value: Decimal) -> "Price":
        """Return `value` exactly; ValueError if it is not positive and finite or has over eight decimals."""
        if not value.is_finite() or value <= 0:
            raise ValueError(f"a price is a positive number, not {value}")
        exponent = value.as_tuple().exponent
        assert isinstance(exponent, int)
        scale = max(0, -exponent)
        if scale > MAX_PRICE_SCALE:
            raise ValueError(f"a price has at most {MAX_PRICE_SCALE} decimals, not {value}")
        return cls(int(value.scaleb(scale)), scale)

    def decimal(self) -> Decimal:
        """Return the price in major currency units, exactly."""
        return Decimal(self.digits).scaleb(-self.scale)


def units_for(amount: int, *, amount_scale: int, price: Price, unit_scale: int) -> int:
    """Return the smallest units that `amount` smallest money units buy at `price`, rounded down.

    units × 10^-unit_scale = amount × 10^-amount_scale ÷ (digits × 10^-price.scale), so
    units = floor(amount × 10^(unit_scale + price.scale - amount_scale) ÷ digits), in whole numbers throughout.
    """
    assert amount >= 0, amount
    power = unit_scale + price.scale - amount_scale
    return amount * _ten(power) // (price.digits * _ten(-power))


def value_of(units: int, *, amount_scale: int, price: Price, unit_scale: int) -> int:
    """Return what `units` smallest units are worth at `price` in smallest money units, rounded down."""
    assert units >= 0, units
    power = unit_scale + price.scale - amount_scale
    return units * price.digits * _ten(-power) // _ten(power)


def _ten(power: int) -> int:
    return int(10 ** max(0, power))
