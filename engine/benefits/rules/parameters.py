"""Parameters that rules of benefits share, and the arithmetic of shares. Pure."""

from fractions import Fraction
from typing import Annotated, Literal

from msgspec import Meta

from engine.kernel.rounding import Rounding, rounded

WHOLE_BP = 10_000

Bp = Annotated[int, Meta(ge=0, le=WHOLE_BP, description="a share in basis points from 0 to 10000")]
Months = Annotated[int, Meta(ge=0, le=1200, description="a number of months from 0 to 1200")]
Years = Annotated[int, Meta(ge=0, le=120, description="a number of years from 0 to 120")]
Days = Annotated[int, Meta(ge=0, le=3660, description="a number of days from 0 to 3660")]
Count = Annotated[int, Meta(ge=1, le=1000, description="a number from 1 to 1000")]
EveryMonths = Literal[1, 2, 3, 6, 12]
"""How many months lie between two payments."""
Origin = Literal["own", "employer", "state-match", "gift", "insurer", "operator"]
ClockTime = Annotated[str, Meta(pattern=r"^([01]\d|2[0-3]):[0-5]\d$", description="a time of day as HH:MM")]
Percent = Annotated[
    str,
    Meta(
        pattern=r"^[0-9]{1,3}(\.[0-9]{1,8})?$",
        description='a number of percent in quotes, such as "1.25"; five percent is "5"',
    ),
]
MonthDay = Annotated[
    str, Meta(pattern=r"^(0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])$", description="a day that every year has, as MM-DD")
]


def share_of(minor: int, share_bp: int, rounding: Rounding) -> int:
    """Return `share_bp` basis points of smallest units, rounded as said."""
    return rounded(Fraction(minor * share_bp, WHOLE_BP), rounding)


def percent_of(minor: int, percent: str) -> Fraction:
    """Return `percent` percent of smallest units, exactly."""
    return Fraction(percent) * minor / 100
