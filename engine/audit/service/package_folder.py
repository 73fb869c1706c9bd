"""The files of an export as they grow: tables in CSV and Parquet, tiles and bundles, and the sums over them all.

Nothing in a file depends on when it was written, so that the same books give the same bytes.
"""

import csv
import hashlib
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from engine.audit.errors import FolderInUse
from engine.audit.rules.merkle import leaf_hash, root_of
from engine.audit.rules.tables import NUMBER_SCALE, ColumnType, ExportTable, guarded
from engine.audit.rules.tiles import WIDTH, Tile, bundle

SUMS = "SHA256SUMS"
_ROWS_AT_ONCE = 50_000
_ARROW: dict[ColumnType, Any] = {
    "string": pa.string(),
    "member": pa.string(),
    "integer": pa.int64(),
    "number": pa.decimal128(38, NUMBER_SCALE),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "datetime": pa.timestamp("us", tz="UTC"),
}


class PackageFolder:
    """A folder that is filled beside its final place and moved there when it is whole."""

    def __init__(self, final: Path) -> None:
        """Prepare to replace `final`.

        Raises:
            FolderInUse: it holds something other than an earlier export.

        """
        if final.exists() and (not final.is_dir() or (any(final.iterdir()) and not (final / SUMS).is_file())):
            raise FolderInUse(folder=str(final))
        self._final = final
        self.path = final.with_name(f".{final.name}.partial")

    def __enter__(self) -> Self:
        if self.path.exists():
            shutil.rmtree(self.path)
        self.path.mkdir(parents=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            replaced = self._final.with_name(f".{self._final.name}.replaced")
            if replaced.exists():
                shutil.rmtree(replaced)
            if self._final.exists():
                self._final.rename(replaced)
            self.path.rename(self._final)
            if replaced.exists():
                shutil.rmtree(replaced)
        else:
            shutil.rmtree(self.path, ignore_errors=True)

    def write(self, path: str, content: str | bytes) -> None:
        """Write a file of the package."""
        place = self.path / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content.encode() if isinstance(content, str) else content)

    def files(self) -> list[str]:
        """Return the paths of all files there are, in order."""
        return sorted(file.relative_to(self.path).as_posix() for file in self.path.rglob("*") if file.is_file())

    def sha256(self, path: str) -> str:
        """Return the SHA-256 of a file in hexadecimal."""
        with (self.path / path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def size_bytes(self, path: str) -> int:
        """Return how long a file is."""
        return (self.path / path).stat().st_size


class TableFile:
    """A table written as CSV (RFC 4180) and Parquet at once, in bounded memory. Values are text; None is a missing one."""

    def __init__(self, folder: PackageFolder, table: ExportTable) -> None:
        self.table = table
        self.rows = 0
        place = folder.path / "data" / f"{table.name}.csv"
        place.parent.mkdir(exist_ok=True)
        self._file = place.open("w", encoding="utf-8", newline="")
        self._csv = csv.writer(self._file)
        self._csv.writerow([column.name for column in table.columns])
        self._texts = [i for i, column in enumerate(table.columns) if column.type == "string"]
        self._schema = pa.schema([pa.field(column.name, _ARROW[column.type]) for column in table.columns])
        self._parquet = pq.ParquetWriter(
            place.with_suffix(".parquet"), self._schema, compression="zstd", store_schema=False
        )
        self._waiting: list[Sequence[str | None]] = []

    def add(self, row: Sequence[str | None]) -> None:
        """Write one row."""
        self._waiting.append(row)
        self.rows += 1
        if len(self._waiting) == _ROWS_AT_ONCE:
            self._flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file, self._parquet:
            if kind is None:
                self._flush()

    def _flush(self) -> None:
        if not self._waiting:
            return
        columns = list(zip(*self._waiting, strict=True))
        self._parquet.write_table(
            pa.table(
                [
                    pa.array(values, pa.string()).cast(field.type)
                    for values, field in zip(columns, self._schema, strict=True)
                ],
                schema=self._schema,
            )
        )
        for i in self._texts:
            columns[i] = tuple(None if value is None else guarded(value) for value in columns[i])
        self._csv.writerows(zip(*columns, strict=True))
        self._waiting.clear()


class TreeFiles:
    """The log's tiles and bundles, written as entries come; holds at most 256 hashes of each level."""

    def __init__(self, folder: PackageFolder) -> None:
        self.size = 0
        self._folder = folder
        self._entries: list[bytes] = []
        self._levels: list[list[bytes]] = [[]]
        self._full: list[int] = [0]

    def add(self, entry: bytes) -> None:
        """Append an entry."""
        self.size += 1
        self._entries.append(entry)
        self._push(0, leaf_hash(entry))

    def _push(self, level: int, hash_: bytes) -> None:
        if level == len(self._levels):
            self._levels.append([])
            self._full.append(0)
        row = self._levels[level]
        row.append(hash_)
        if len(row) == WIDTH:
            self._write(level)
            self._push(level + 1, root_of(row))
            row.clear()

    def _write(self, level: int) -> None:
        row, index = self._levels[level], self._full[level]
        self._folder.write(f"log/tile/{Tile(level, index, len(row)).path}", b"".join(row))
        if level == 0:
            self._folder.write(f"log/tile/{Tile(None, index, len(row)).path}", bundle(self._entries))
            self._entries.clear()
        self._full[level] += 1

    def close(self) -> bytes:
        """Write the partial tiles; return the root."""
        carried: list[bytes] = []
        for level, row in enumerate(self._levels):
            if row:
                self._write(level)
            joined = [*row, *carried]
            carried = [root_of(joined)] if joined else []
        return carried[0] if carried else root_of([])


def sums(pairs: Iterable[tuple[str, str]]) -> str:
    """Return (path, SHA-256) pairs as `sha256sum` writes and checks them."""
    return "".join(f"{digest}  {path}\n" for path, digest in pairs)
