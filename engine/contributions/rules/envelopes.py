"""What the sender of many payments says of them all: how many they are and what they add up to. Pure."""

import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Annotated

from msgspec import Meta, Struct

from engine.contributions.errors import EnvelopeDiffers

TRAILER = "#count"
"""What the last row of a file of contributions begins with that says how many rows came before it, and their sum."""

_AMOUNT = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,4})?")
Total = Annotated[str, Meta(pattern=r"^[0-9]{1,18}(\.[0-9]{1,4})?$", examples=["1500.00"])]


class Envelope(Struct, frozen=True, forbid_unknown_fields=True):
    """How many payments were sent, and the sum of their amounts in major units of the scheme's currency."""

    count: Annotated[int, Meta(ge=0, le=10**9, examples=[3])]
    total: Total

    def check(self, name: str, amounts: Iterable[str]) -> None:
        """Refuse payments that are others than was said; an amount that is none adds nothing.

        Args:
            name: what they came in, for the refusal.
            amounts: every payment's amount as it came, also of those that cannot be taken.

        Raises:
            EnvelopeDiffers: they are more, fewer or of another sum.

        """
        sent = list(amounts)
        total = sum((Decimal(one) for one in sent if _AMOUNT.fullmatch(one)), Decimal(0))
        if len(sent) != self.count or total != Decimal(self.total):
            raise EnvelopeDiffers(
                file=name, declared=f"{self.count} / {self.total}", found=f"{len(sent)} / {total:f}", field="declared"
            )


def read_trailer(cells: Sequence[str]) -> Envelope | None:
    """Return what a file's last row says after its mark, None where it is no count and total."""
    match [cell.strip() for cell in cells if cell.strip()]:
        case [str(count), str(total)] if re.fullmatch(r"[0-9]{1,9}", count) and re.fullmatch(
            r"[0-9]{1,18}(\.[0-9]{1,4})?", total
        ):
            return Envelope(int(count), total)
    return None
