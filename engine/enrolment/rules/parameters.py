"""Parameters that rules of enrolment share. Pure."""

from collections.abc import Iterable
from typing import Annotated

from msgspec import Meta

OLDEST = 120

Age = Annotated[int, Meta(ge=0, le=OLDEST)]
Months = Annotated[int, Meta(ge=0, le=1200, description="a number of months from 0 to 1200")]
Days = Annotated[int, Meta(ge=0, le=3660, description="a number of days from 0 to 3660")]
Code = Annotated[
    str, Meta(pattern=r"^[a-z][a-z0-9-]{0,39}$", description="a short name of lower-case letters, digits and -")
]
Name = Annotated[str, Meta(min_length=1, max_length=120, description="text of 1 to 120 characters")]


def listed(names: Iterable[str]) -> str:
    """Return names for people to choose from, in order of the alphabet; "none" where there is none."""
    return ", ".join(sorted(names)) or "none"
