"""What dealing needs from outside: the prices that fund managers publish."""

from datetime import date
from typing import Protocol

from engine.kernel.price_files import PriceFile


class FundManager(Protocol):
    """Reads the price files of fund managers or their recordkeeper. Does no I/O."""

    def read(self, raw: bytes, name: str, day: date | None) -> PriceFile:
        """Return what the file says for `day`, else for the day in its name.

        Raises:
            PriceFileRefused: the file is refused whole and nothing of it may be used.
        """
        ...
