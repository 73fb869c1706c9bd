"""Amounts and assets: whole numbers of smallest units; the two functions that decide every rounding question.

Currency scales are ISO 4217's (list one of 2026-01-01, as published by SIX), not CLDR's: the two disagree for several
currencies, and money is counted by the first and shown by the second.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Self

# Exponents of ISO 4217 that are not 2.
_SCALES = {
    **dict.fromkeys(
        ("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV", "XAF",
         "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
    **dict.fromkeys(("CLF", "UYW"), 4),
}  # fmt: skip
_TWO_DECIMALS = frozenset(
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CNY COP CRC CUP "
    "CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES "
    "KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK "
    "NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB "
    "TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VES WST XCD YER ZAR ZMW ZWG".split()
)


@dataclass(frozen=True, slots=True)
class Asset:
    """Something counted in whole smallest units: a currency, or the units of a fund. `scale` is its decimals."""

    symbol: str
    scale: int

    @classmethod
    def currency(cls, code: str) -> Self:
        """Return the currency with ISO 4217 code `code`; KeyError if there is none of that name."""
        if code in _SCALES:
            return cls(code, _SCALES[code])
        if code not in _TWO_DECIMALS:
            raise KeyError(code)
        return cls(code, 2)


class NotWholeUnits(ValueError):
    """A decimal has digits below the asset's smallest unit, or is no finite number."""


@dataclass(frozen=True, slots=True)
class Amount:
    """`units` smallest units of `asset`, of either sign."""

    units: int
    asset: Asset

    @classmethod
    def parse(cls, text: str, asset: Asset) -> Self:
        """Return the amount written in `text` in major units ("12.50"); nothing is ever rounded.

        Raises:
            NotWholeUnits: not a plain finite decimal, or finer than the smallest unit.
        """
        try:
            scaled = Decimal(text).scaleb(asset.scale)
        except InvalidOperation as error:
            raise NotWholeUnits(text) from error
        if not scaled.is_finite() or scaled != scaled.to_integral_value():
            raise NotWholeUnits(text)
        return cls(int(scaled), asset)

    def decimal(self) -> Decimal:
        """Return the amount in major units, exactly."""
        return Decimal(self.units).scaleb(-self.asset.scale)

    def __add__(self, other: Self) -> Self:
        return type(self)(self.units + self._same(other), self.asset)

    def __sub__(self, other: Self) -> Self:
        return type(self)(self.units - self._same(other), self.asset)

    def __lt__(self, other: Self) -> bool:
        return self.units < self._same(other)

    def __le__(self, other: Self) -> bool:
        return self.units <= self._same(other)

    def _same(self, other: Self) -> int:
        assert other.asset == self.asset, (self, other)
        return other.units

    def share_out(self, weights: Sequence[int]) -> tuple[Self, ...]:
        """Divide a non-negative amount in proportion to `weights` (>= 0, not all 0), losing nothing.

        Each part is rounded down; the smallest units left over go one each to the parts with the largest
        remainders, the earlier part first on a tie (Hamilton's method of largest remainders).
        """
        total = sum(weights)
        assert self.units >= 0 and total > 0 and min(weights) >= 0, (self, weights)
        parts = [self.units * weight // total for weight in weights]
        by_remainder = sorted(range(len(weights)), key=lambda i: (-(self.units * weights[i] % total), i))
        for index in by_remainder[: self.units - sum(parts)]:
            parts[index] += 1
        return tuple(type(self)(part, self.asset) for part in parts)
