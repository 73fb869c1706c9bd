"""The terms in which a statement's table is described. A layout is data: packs bring their own. Pure value types.

Shared by the packs that bring layouts and the adapter that reads tables by them.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

Title = Annotated[str, Meta(min_length=1, max_length=80)]


class Columns(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The titles of the columns, as the header row writes them; compared without case and blanks around them.

    Either `amount`, or `credit` and `debit`. A `balance` is that after the row. A `fee` is money that left beside the amount.
    """

    booked_on: Title
    value_on: Title | None = None
    amount: Title | None = None
    credit: Title | None = None
    debit: Title | None = None
    side: Title | None = None
    fee: Title | None = None
    currency: Title | None = None
    balance: Title | None = None
    account: Title | None = None
    bank_ref: Title | None = None
    end_to_end_id: Title | None = None
    text: Title | None = None
    other_party: Title | None = None
    other_account: Title | None = None
    code: Title | None = None
    status: Title | None = None

    def titles(self) -> dict[str, str]:
        """Return the titles that there are, by what they are of."""
        return {name: title for name in self.__struct_fields__ if (title := getattr(self, name)) is not None}


class Labels(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Words above the table whose value stands in the next cell of the row, or, if that is empty, in the cell below.

    `count` is how many rows the table has, `credits` and `debits` what all of them bring and take: where a table says so and
    has others, it is refused whole.
    """

    account: Title | None = None
    opening: Title | None = None
    closing: Title | None = None
    number: Title | None = None
    count: Title | None = None
    credits: Title | None = None
    debits: Title | None = None


class Sample(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a table that is kept beside the layout says, so that the layout is proven: amounts in major units, net of nothing.

    `lines` counts movements, a fee beside an amount as one of its own; `movement` is their sum, negative where more went out.
    """

    lines: Annotated[int, Meta(ge=1, le=10_000)]
    movement: Annotated[str, Meta(pattern=r"^-?[0-9]{1,15}(\.[0-9]{1,4})?$", description="an amount such as -120.50")]
    opening: Annotated[str, Meta(pattern=r"^-?[0-9]{1,15}(\.[0-9]{1,4})?$")] | None = None
    closing: Annotated[str, Meta(pattern=r"^-?[0-9]{1,15}(\.[0-9]{1,4})?$")] | None = None


class Layout(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How one kind of table says what a statement says.

    `signs` says how the amounts tell which way the money went:

    - "signed": `amount` is negative where money went out; "inverted": where it came in;
    - "by-side": `amount` is positive, and `side` holds a word of `credit_words` or `debit_words`;
    - "two-columns": `credit` or `debit` is filled, of either sign;
    - "credits": `amount` is positive and every row is money that came in.

    `day_formats` are those of strptime, tried in order; what a cell of a workbook holds as a date is one already.
    `booked` are the values of `status` that count, `not_booked` those that do not; any other refuses the file. Without
    a column of currencies the account's is `currency`. `trailer` is the first cell of a row that ends the table: what it has
    under the amounts must be their totals, and under `trailer_count`, the title of a column, the number of rows. A pack names a
    layout by its file, and keeps a `sample` of its tables.
    """

    name: Annotated[str, Meta(pattern=r"^([a-z][a-z0-9-]{1,40})?$")] = ""
    source: str
    columns: Columns
    signs: Literal["signed", "inverted", "by-side", "two-columns", "credits"]
    day_formats: Annotated[tuple[str, ...], Meta(min_length=1)]
    labels: Labels = Labels()
    delimiter: Annotated[str, Meta(min_length=1, max_length=1)] = ","
    encoding: Literal["utf-8", "windows-1252"] = "utf-8"
    sheet: str = ""
    decimal_mark: Literal[".", ","] = "."
    thousands_mark: Literal["", ",", ".", " ", "'"] = ""
    currency: Annotated[str, Meta(pattern=r"^([A-Z]{3})?$")] = ""
    account: str = ""
    credit_words: tuple[str, ...] = ()
    debit_words: tuple[str, ...] = ()
    booked: tuple[str, ...] = ()
    not_booked: tuple[str, ...] = ()
    newest_first: bool = False
    trailer: str = ""
    trailer_count: Title | None = None
    optional: tuple[str, ...] = ()
    sample: Sample | None = None

    def __post_init__(self) -> None:
        columns = self.columns
        if (self.signs == "two-columns") == (columns.amount is not None):
            raise ValueError("name the column amount, or with two-columns credit and debit")
        if self.signs == "two-columns" and (columns.credit is None or columns.debit is None):
            raise ValueError("two-columns needs the columns credit and debit")
        if self.signs == "by-side" and not (columns.side and self.credit_words and self.debit_words):
            raise ValueError("by-side needs the column side, credit_words and debit_words")
        if bool(columns.status) != bool(self.booked):
            raise ValueError("a column status needs the words of booked, and they need it")
        if not columns.currency and not self.currency:
            raise ValueError("name the column currency, or the currency")
        if self.trailer_count is not None and not self.trailer:
            raise ValueError("trailer_count needs a trailer")
        unknown = [one for one in self.optional if one not in columns.titles()]
        if unknown:
            raise ValueError(
                f"optional names {', '.join(unknown)}, which columns does not: {', '.join(columns.titles())}"
            )
        if self.decimal_mark == self.thousands_mark:
            raise ValueError("one mark cannot part both decimals and thousands")


def layout_of(data: Mapping[str, object]) -> Layout:
    """Return the layout that a pack's data describes; msgspec.ValidationError names what is wrong and where."""
    return msgspec.convert(data, Layout)
