"""The recordkeeper's daily price files, answering the engine's port for published prices."""

from collections.abc import Sequence
from datetime import date

from engine.kernel.price_files import PriceFile, PublishedPrice
from integrations.fund_managers.cra_files.wire import read_price_file, write_price_file


class CraFiles:
    """Reads and writes the daily price file of the NPS central recordkeeper. Holds no state, does no I/O."""

    def read(self, raw: bytes, name: str, day: date | None) -> PriceFile:
        """Return the file's prices of `day`, else of the day in its name; PriceFileRefused if it is refused."""
        return read_price_file(raw, name=name, day=day)

    def write(self, prices: Sequence[PublishedPrice], day: date) -> bytes:
        """Return a file of these prices of `day` in the recordkeeper's present layout."""
        return write_price_file(prices, day)
