"""Whole columns as PostgreSQL arrays in binary, packed in one stroke: the money path sends a dozen a batch.

psycopg renders an array element by element in Python; that was half of the time a posting batch took. The layout is
PostgreSQL's `array_send`: dimensions, a null flag, the element type, length and lower bound, then length and bytes of
each element.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import ClassVar
from uuid import UUID

import psycopg
from psycopg.adapt import Dumper
from psycopg.pq import Format

_EPOCH = date(2000, 1, 1).toordinal()


@dataclass(frozen=True, slots=True)
class Column:
    """Values of one type, to be sent as an array of it."""

    values: Sequence[object]
    element: ClassVar[int]
    array: ClassVar[int]

    def body(self) -> bytes:
        """Return the elements as PostgreSQL's wire has them."""
        raise NotImplementedError


class _Packed(Column):
    """A column of fixed-width values."""

    code: ClassVar[str]
    width: ClassVar[int]

    def packed(self) -> Sequence[object]:
        """Return the values as `struct` takes them."""
        return self.values

    def body(self) -> bytes:
        fields: list[object] = [self.width] * (2 * len(self.values))
        fields[1::2] = self.packed()
        return struct.pack(">" + f"i{self.code}" * len(self.values), *fields)


class SmallInts(_Packed):
    """A column of smallint."""

    element, array, code, width = 21, 1005, "h", 2


class Ints(_Packed):
    """A column of int."""

    element, array, code, width = 23, 1007, "i", 4


class BigInts(_Packed):
    """A column of bigint."""

    element, array, code, width = 20, 1016, "q", 8


class Dates(_Packed):
    """A column of date."""

    element, array, code, width = 1082, 1182, "i", 4

    def packed(self) -> Sequence[object]:
        return [value.toordinal() - _EPOCH for value in self.values if isinstance(value, date)]


class UUIDs(_Packed):
    """A column of uuid."""

    element, array, code, width = 2950, 2951, "16s", 16

    def packed(self) -> Sequence[object]:
        return [value.bytes for value in self.values if isinstance(value, UUID)]


class JSONs(Column):
    """A column of jsonb, given as encoded JSON."""

    element, array = 3802, 3807

    def body(self) -> bytes:
        # The leading 1 is the version of jsonb's binary form.
        return b"".join(
            struct.pack(">ib", len(value) + 1, 1) + value for value in self.values if isinstance(value, bytes)
        )


class _ColumnDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: Column) -> bytes:
        count = len(obj.values)
        if not count:
            return struct.pack(">iii", 0, 0, obj.element)
        return struct.pack(">iiiii", 1, 0, obj.element, count, 1) + obj.body()


for _kind in (SmallInts, Ints, BigInts, Dates, UUIDs, JSONs):
    psycopg.adapters.register_dumper(_kind, type(f"_{_kind.__name__}Dumper", (_ColumnDumper,), {"oid": _kind.array}))
