"""What a published price file says once it was read: its prices, and each row that was refused and why.

Pure value types shared by the ports that ask for price files and the adapters that read them.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from types import MappingProxyType

from engine.kernel.files import REASONS as FILE_REASONS
from engine.kernel.files import FileRefused, Sequence
from engine.kernel.text import N_

ROW_TEXT_MAX = 200

REASONS = MappingProxyType(
    {
        **FILE_REASONS,
        # of a row
        "another-day": N_("The row is of another day than the file."),
        "blank-price": N_("The price is blank."),
        "date-malformed": N_("The date is not a day of the calendar from 2000 to 2099."),
        "dates-differ": N_("The row bears two different dates."),
        "exponent-price": N_("The price is written with an exponent."),
        "manager-code-unclear": N_("The row bears more than one fund manager code."),
        "no-date": N_("The row has no date that can be recognised."),
        "no-manager-code": N_("The row has no fund manager code."),
        "no-price": N_("The row has no price after its scheme code."),
        "no-scheme-code": N_("The row has no scheme code."),
        "not-official": N_("The price is an estimate; the official one is still to come."),
        "not-ascii-digits": N_("The price is written with other digits than 0 to 9."),
        "price-malformed": N_("The price is not a decimal number."),
        "price-not-positive": N_("The price is zero or negative."),
        "price-too-large": N_("The price is too large to be one."),
        "price-unclear": N_("More than one price could be read from the row."),
        "quotes-unclear": N_("A quotation mark of the row opens or closes where none can."),
        "repeated-row": N_("An earlier row gives the same price of the same scheme."),
        "row-too-long": N_("The row is too long to be a price."),
        "suspended": N_("Dealing in the fund is suspended, so the price is none to deal at."),
        "scheme-code-unclear": N_("The row bears more than one scheme code."),
        "too-many-decimals": N_("The price has more decimals than a price may have."),
        # of a whole file
        "day-unclear": N_("The file's name can mean more than one day; give the day with --date."),
        "empty-file": N_("The file is empty."),
        "no-day-in-name": N_("The file's name holds no date; give the day with --date."),
        "no-row-of-the-day": N_("The file has no row of its day."),
        "not-text": N_("The file is not text in UTF-8 or Windows-1252."),
        "nul-byte": N_("The file holds NUL bytes, so it is not a text file or is damaged."),
        "too-large": N_("The file is larger than a price file may be."),
        "too-many-rows": N_("The file has more rows than a price file may have."),
        "two-prices": N_("The file gives two different prices for one scheme and day."),
    }
)
"""Each reason for refusing a row or a file, and the sentence that tells a person. Codes are stable."""


@dataclass(frozen=True, slots=True)
class PublishedPrice:
    """The price per unit of one scheme on one day, as one row of a file gives it.

    `price` is in major currency units, positive, with the decimals the file wrote; `row` counts from 1.
    `name` and `manager_name` are the file's own words for the scheme and its manager, "" where it has none.
    """

    fund_code: str
    manager_code: str
    name: str
    price_on: date
    price: Decimal
    row: int
    manager_name: str = ""


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A row that gives no price: which one, which field is at fault, and why.

    `reason` is a key of REASONS; `text` is the beginning of the raw row, at most ROW_TEXT_MAX characters.
    """

    row: int
    field: str
    reason: str
    text: str

    @property
    def sentence(self) -> str:
        """Return the reason as an English sentence, also the key of its translations."""
        return REASONS[self.reason]


@dataclass(frozen=True, slots=True)
class SkippedRow:
    """A row that is not about a price: `kind` is "header" or "trailer"."""

    row: int
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class PriceFile:
    """A price file that was read: every row that is not blank is in `prices`, `refused` or `skipped`.

    `sha256` is that of the raw bytes, in hexadecimal. All `prices` are of `day`, at most one a scheme. `is_correction` says
    that the sender replaces prices it gave before; `sequence` is its number for the file, None where it has none.
    """

    name: str
    sha256: str
    day: date
    prices: tuple[PublishedPrice, ...]
    refused: tuple[RefusedRow, ...]
    skipped: tuple[SkippedRow, ...] = ()
    is_correction: bool = False
    sequence: Sequence | None = None


class PriceFileRefused(FileRefused):
    """A price file is refused whole: nothing of it may be used. `reason` is a key of REASONS."""

    @property
    def sentence(self) -> str:
        """Return the reason as an English sentence, also the key of its translations."""
        return REASONS[self.reason]
