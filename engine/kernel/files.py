"""What files from outside have in common: why one is refused, whether it follows the one before, and its place. Pure."""

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from engine.kernel.text import N_

REASONS = MappingProxyType(
    {
        # of a whole file
        "document-type": N_("The file has a document type definition or entities, which none of these files may have."),
        "empty-file": N_("The file is empty."),
        "not-text": N_("The file is not text in the encoding it must be in."),
        "not-xml": N_("The file is not whole XML."),
        "not-workbook": N_("The file is no Excel workbook, or a damaged one."),
        "too-large": N_("The file is larger than a file of its kind may be."),
        "too-many-rows": N_("The file has more rows than a file of its kind may have."),
        "unknown-message": N_("The file is a message, or a version of one, that is not read here."),
        "unknown-layout": N_("The file does not have the columns of its layout."),
        "no-content": N_("The file holds nothing of what it is for."),
        "checksum-differs": N_("The file is not the one its checksum was made of."),
        "no-trailer": N_("The file ends before its trailer: part of it is missing."),
        "count-differs": N_("The file holds another number of records than it says."),
        "total-differs": N_("The records of the file add up to another total than it says."),
        "sequence-gap": N_("A file between the last one and this one is missing."),
        "sequence-repeated": N_("A file of this number came before."),
        "not-final": N_("The file is a report of the day under way, not the final statement; that will follow."),
        "another-account": N_("The file is of another account."),
        "in-future": N_("The day has not come yet."),
        # of one field
        "missing": N_("A value that must be there is missing."),
        "malformed": N_("The value does not have the form it must have."),
        "not-listed": N_("The value is none of those that can stand here."),
        "repeated": N_("The value stands where another one stands already."),
        "contradiction": N_("Two values of the file contradict each other."),
        "currency-unknown": N_("There is no such currency."),
        "currency-differs": N_("The currency is not that of the account."),
        "too-many-decimals": N_("The amount has more decimals than its currency."),
        "date-malformed": N_("The value is no day of the calendar in the form it must have."),
        "chain-broken": N_("The balances do not follow from one another by the amounts between them."),
        "out-of-order": N_("The value is out of order."),
    }
)
"""Each reason for refusing a file or a record, and the sentence that tells a person. Codes are stable."""


class FileRefused(Exception):
    """A file is refused whole: nothing of it may be used.

    `row` is the line of the file (or the row of a sheet) from 1, None where it is about the whole; `field` is the field's
    name in the file's own words; `reason` a key of REASONS. `detail` says what was found and holds no personal data.
    `others` are further values that are wrong, where a reader went on to look for them.
    """

    def __init__(
        self,
        *,
        file: str,
        row: int | None,
        field: str,
        reason: str,
        detail: str = "",
        others: tuple["FileRefused", ...] = (),
    ) -> None:
        super().__init__(file, row, field, reason)
        self.file = file
        self.row = row
        self.field = field
        self.reason = reason
        self.detail = detail
        self.others = others

    @property
    def sentence(self) -> str:
        """Return the reason as an English sentence, also the key of its translations."""
        return REASONS[self.reason]

    def __str__(self) -> str:
        """Return file, row, field, reason and what was found, for logs and the command line."""
        place = self.file if self.row is None else f"{self.file}, row {self.row}"
        return f"{place}, {self.field}: {self.reason}: {self.sentence} {self.detail}".rstrip()


class Wrong(Exception):
    """A value of a file cannot be accepted. Readers raise it where they do not know the file's name; see `refused`."""

    def __init__(self, field: str, reason: str, detail: str = "", *, row: int | None = None) -> None:
        super().__init__(field, reason, detail, row)
        assert reason in REASONS, reason
        self.field = field
        self.reason = reason
        self.detail = detail
        self.row = row
        self.others: tuple[Wrong, ...] = ()

    def refused(self, file: str, *, row: int | None = None) -> FileRefused:
        """Return the refusal of the whole `file` for this; `row` where the value itself did not know its own."""
        found = self.row if self.row is not None else row
        others = tuple(one.refused(file) for one in self.others)
        return FileRefused(
            file=file, row=found, field=self.field, reason=self.reason, detail=self.detail, others=others
        )


@dataclass(frozen=True, slots=True)
class NamedFile:
    """A file to be sent, or one that came: its name, without a folder, and its bytes."""

    name: str
    raw: bytes = field(repr=False)

    @property
    def sha256(self) -> str:
        """Return the SHA-256 of the bytes, in hexadecimal."""
        return hashlib.sha256(self.raw).hexdigest()


class Succession(StrEnum):
    """How a file follows the last one of the same sender, by the numbers both bear."""

    NEXT = "next"
    REPEATED = "repeated"
    GAP = "gap"


@dataclass(frozen=True, slots=True)
class Sequence:
    """The sender's name in a file and the number it gave the file: from 1, one more each time."""

    sender: str
    number: int


def succession(last: int | None, number: int) -> Succession:
    """Return how a file of `number` follows the sender's last one; `last` is None if none came before.

    The first file to come may have any number: a sender does not begin at 1 when it begins with us.
    """
    if last is None or number == last + 1:
        return Succession.NEXT
    return Succession.REPEATED if number <= last else Succession.GAP
