"""Verification of an export by the engine's own rules; the stand-alone `package/verify.py` does the same without them."""

import csv
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import file_digest
from pathlib import Path
from typing import Any

from engine.audit.rules.leaves import Rendered, canonical, decimal_text, transfer_leaf
from engine.audit.rules.merkle import (
    HASH_BYTES,
    BadProof,
    Frontier,
    Node,
    leaf_hash,
    range_root,
    root_of,
    verify_consistency,
    verify_inclusion,
)
from engine.audit.rules.notes import (
    BadNote,
    Checkpoint,
    VerifierKey,
    open_checkpoint,
    open_note,
    parse_consistency_file,
    parse_proof_file,
)
from engine.audit.rules.tables import BALANCES, CONTROL_TOTALS, EVENTS, NO_ASSET, TRANSFERS, ExportTable, unguarded
from engine.audit.rules.tiles import (
    WIDTH,
    BadTile,
    Tile,
    bundles_of,
    node_in,
    split_hashes,
    tile_of,
    tiles_of,
    unbundle,
)
from engine.audit.service.exporter import PACKAGE_NOTE
from engine.audit.service.package_folder import SUMS

_KEY, _CHECKPOINT, _DESCRIPTION = "keys/log.vkey", "log/checkpoint", "datapackage.json"
_SUM_LINE = re.compile(r"([0-9a-f]{64})  (\S.*)")
_AMOUNT = re.compile(r"-?[0-9]+(?:\.([0-9]+))?")
_PLACED = re.compile(r"proofs/[0-9]+\.(?:tlog-proof|checkpoint|consistency)")
_ANYWHERE = frozenset({SUMS, _KEY, _CHECKPOINT, _DESCRIPTION, PACKAGE_NOTE, "books.journal", "verify.py"})
_EARLY, _LATE = "0000-00-00", "9999-99-99"


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong: in which file, at which row, entry, hash or line of it, and how."""

    file: str
    item: str
    what: str

    def __str__(self) -> str:
        return f"{self.file}{', ' if self.item else ''}{self.item}: {self.what}"


@dataclass(frozen=True, slots=True)
class Report:
    """What verification found; `problems` has the first bad item first, and is empty where all is well."""

    origin: str = ""
    size: int = 0
    root: bytes = b""
    problems: tuple[Problem, ...] = ()

    @property
    def is_ok(self) -> bool:
        """Whether the package proves itself."""
        return not self.problems


class _Bad(Exception):
    """The first thing that is wrong. Two files may contradict each other: `other` is the second one's side of it."""

    def __init__(self, file: str, item: str, what: str, other: Problem | None = None) -> None:
        super().__init__(file, item, what)
        self.problem = Problem(file, item, what)
        self.other = other


def verify_package(path: Path, *, vkey: str | None = None, previous: str | None = None) -> Report:
    """Return whether the package at `path` proves itself, and what the first thing is that is wrong.

    Args:
        path: the folder.
        vkey: the log's key as it was had out of band; without it the one in the package is believed.
        previous: an earlier checkpoint of the log, as a note: the package must extend it.

    """
    package = _Package(path)
    try:
        key = _read_key(package, vkey)
    except _Bad as bad:
        return Report(problems=(bad.problem,))
    sums, is_trusted = _check_sums(package, key)
    checkpoint = Checkpoint(key.name, 0, b"")
    found: tuple[Problem, ...] = ()
    try:
        checkpoint = _read_checkpoint(package, key)
        _check_log_and_books(package, checkpoint)
        _check_previous(package, key, checkpoint, previous)
        _check_proofs(package, key, checkpoint)
        _check_description(package, checkpoint)
    except _Bad as bad:
        found = (bad.problem,)
        blamed = {problem.file for problem in sums}
        if bad.other is not None and bad.other.file in blamed and bad.problem.file not in blamed:
            found = (bad.other,)
    # Signed sums tell which file was changed; the checks of its content tell where in it.
    if found and sums and is_trusted and found[0].file != sums[0].file:
        problems = (*sums, *found)
    else:
        problems = (*found, *(problem for problem in sums if not found or problem.file != found[0].file))
    return Report(checkpoint.origin, checkpoint.size, checkpoint.root, problems)


class _Package:
    """The files of a package."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files = sorted(
            Path(folder, name).relative_to(path).as_posix() for folder, _, names in os.walk(path) for name in names
        )

    def read(self, name: str) -> bytes:
        """Return a file's bytes."""
        try:
            return (self.path / name).read_bytes()
        except OSError:
            raise _Bad(name, "", "is missing or cannot be read") from None

    def text(self, name: str) -> str:
        """Return a file's text."""
        try:
            return self.read(name).decode()
        except UnicodeDecodeError as error:
            raise _Bad(name, f"byte {error.start}", "is not UTF-8") from None

    def rows(self, table: ExportTable) -> Iterator[tuple[str, list[str]]]:
        """Yield each row of a table with its number, the heading being row 1."""
        name = f"data/{table.name}.csv"
        number = 1
        try:
            with (self.path / name).open(encoding="utf-8", newline="") as file:
                reader = csv.reader(file, strict=True)
                if next(reader, None) != [column.name for column in table.columns]:
                    raise _Bad(name, "row 1", "does not name the columns")
                for number, row in enumerate(reader, 2):
                    if len(row) != len(table.columns):
                        raise _Bad(name, f"row {number}", f"has {len(row)} columns, not {len(table.columns)}")
                    yield f"row {number}", row
        except OSError:
            raise _Bad(name, "", "is missing or cannot be read") from None
        except (UnicodeDecodeError, csv.Error):
            raise _Bad(name, f"row {number + 1}", "cannot be read") from None


def _read_key(package: _Package, vkey: str | None) -> VerifierKey:
    try:
        key = VerifierKey.parse(package.text(_KEY).removesuffix("\n") if vkey is None else vkey.strip())
    except BadNote as error:
        raise _Bad(_KEY if vkey is None else "the key you gave", "", str(error)) from None
    if package.text(_KEY) != f"{key}\n":
        raise _Bad(_KEY, "", "is not the key you gave")
    return key


def _check_sums(package: _Package, key: VerifierKey) -> tuple[list[Problem], bool]:
    """Return what differs from SHA256SUMS, and whether SHA256SUMS is what was signed."""
    try:
        raw = package.read(SUMS)
        text = open_note(package.text(PACKAGE_NOTE), key)
    except _Bad as bad:
        return [bad.problem], False
    except BadNote as error:
        return [Problem(PACKAGE_NOTE, "", str(error))], False
    signed = text.split("\n")
    if len(signed) != 3 or signed[0] != f"{key.name}/export":
        return [Problem(PACKAGE_NOTE, "", "is not the note of an export")], False
    with (package.path / SUMS).open("rb") as file:
        is_trusted = file_digest(file, "sha256").hexdigest() == signed[1]
    listed: dict[str, str] = {}
    differing: list[Problem] = []
    lines = raw.decode("utf-8", "replace").split("\n")
    for number, line in enumerate(lines[:-1], 1):
        found = _SUM_LINE.fullmatch(line)
        if found is None or found[2] in listed:
            return [Problem(SUMS, f"line {number}", "is malformed")], False
        listed[found[2]] = found[1]
        differs = _differs(package, found[2], found[1])
        if differs:
            differing.append(Problem(found[2], "", differs) if is_trusted else Problem(SUMS, f"line {number}", differs))
    if not is_trusted:
        differing.append(Problem(SUMS, "", "is not the one that was signed"))
    differing += [
        Problem(name, "", f"is not listed in {SUMS}")
        for name in package.files
        if name not in listed and name not in (SUMS, PACKAGE_NOTE)
    ]
    return differing, is_trusted


def _differs(package: _Package, name: str, digest: str) -> str:
    """Return how a file differs from its line in SHA256SUMS, "" where it doesn't."""
    place = package.path / name
    if name not in package.files:
        return f"{name} is missing"
    if place.is_symlink():
        return f"{name} is a link"
    with place.open("rb") as file:
        is_same = file_digest(file, "sha256").hexdigest() == digest
    return "" if is_same else f"the SHA-256 of {name} is another one"


def _read_checkpoint(package: _Package, key: VerifierKey) -> Checkpoint:
    try:
        return open_checkpoint(package.text(_CHECKPOINT), key)
    except BadNote as error:
        raise _Bad(_CHECKPOINT, "", str(error)) from None


def _period(package: _Package) -> tuple[str, str]:
    try:
        period = json.loads(package.text(_DESCRIPTION))["period"]
        since, until = period["since"] or _EARLY, period["until"] or _LATE
        assert isinstance(since, str), since
        assert isinstance(until, str), until
    except (ValueError, TypeError, KeyError, AssertionError):
        raise _Bad(_DESCRIPTION, "period", "cannot be read") from None
    return since, until


def _check_log_and_books(package: _Package, checkpoint: Checkpoint) -> None:
    """Go through the log once, with the rows of events and transfers beside it; then check what sums them up."""
    books = _Books(package, *_period(package))
    expected = [f"log/tile/{tile.path}" for tile in (*bundles_of(checkpoint.size), *tiles_of(checkpoint.size))]
    missing = sorted(set(expected) - set(package.files))
    if missing:
        raise _Bad(missing[0], "", "is missing")
    levels: list[list[bytes]] = [[]]
    for tile in bundles_of(checkpoint.size):
        name = f"log/tile/{tile.path}"
        entries = _entries(package, name, tile)
        hashes = [leaf_hash(entry) for entry in entries]
        _compare_tile(package, Tile(0, tile.index, tile.width), hashes, name)
        for at, entry in enumerate(entries):
            books.take(tile.index * WIDTH + at, entry, name)
        if tile.width == WIDTH:
            _carry(package, levels, 0, tile.index, root_of(hashes))
        else:
            levels[0] = hashes
    carried: list[bytes] = []
    for level, row in enumerate(levels):
        if level and row:
            index = (checkpoint.size >> (8 * level)) // WIDTH
            _compare_tile(package, Tile(level, index, len(row)), row, "")
        joined = [*row, *carried]
        carried = [root_of(joined)] if joined else []
    if (carried[0] if carried else root_of([])) != checkpoint.root:
        raise _Bad(_CHECKPOINT, f"size {checkpoint.size}", "the entries give another root than the one signed")
    for name in package.files:
        if name.startswith("log/") and name != _CHECKPOINT and name not in set(expected):
            raise _Bad(name, "", f"does not belong to a log of {checkpoint.size} entries")
    books.finish()


def _entries(package: _Package, name: str, tile: Tile) -> list[bytes]:
    try:
        entries = unbundle(package.read(name))
    except BadTile as error:
        raise _Bad(name, "", str(error)) from None
    if len(entries) != tile.width:
        raise _Bad(name, "", f"holds {len(entries)} entries, not {tile.width}")
    return entries


def _compare_tile(package: _Package, tile: Tile, hashes: Sequence[bytes], bundle: str) -> None:
    """Raise unless a tile holds these hashes. Where they come from entries, the fault may be in either file."""
    name = f"log/tile/{tile.path}"
    found = split_hashes(package.read(name))
    for at in range(max(len(found), len(hashes))):
        if found[at : at + 1] != list(hashes[at : at + 1]):
            here = Problem(name, f"hash {at}", "is not that of what it covers")
            if bundle:
                index = tile.index * WIDTH + at
                raise _Bad(bundle, f"entry {index}", f"does not have the hash that {name} holds", here)
            raise _Bad(here.file, here.item, here.what)


def _carry(package: _Package, levels: list[list[bytes]], below: int, index: int, root: bytes) -> None:
    """Hand the root of a full tile to the level above, whose tile is compared once it is full."""
    level = below + 1
    if level == len(levels):
        levels.append([])
    levels[level].append(root)
    if len(levels[level]) == WIDTH:
        _compare_tile(package, Tile(level, index // WIDTH), levels[level], "")
        above = root_of(levels[level])
        levels[level].clear()
        _carry(package, levels, level, index // WIDTH, above)


@dataclass(slots=True)
class _Books:
    """The rows of events and transfers as the log's entries call for them, and what they sum up to."""

    package: _Package
    since: str
    until: str
    scales: dict[str, int] = field(default_factory=dict)
    moved: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    kinds: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    _events: Iterator[tuple[str, list[str]]] = field(init=False)
    _transfers: Iterator[tuple[str, list[str]]] = field(init=False)

    def __post_init__(self) -> None:
        """Open the tables."""
        self._events, self._transfers = self.package.rows(EVENTS), self.package.rows(TRANSFERS)

    def take(self, index: int, entry: bytes, bundle: str) -> None:
        """Check an entry's form and, if it is of the period, the rows of its event."""
        said: dict[str, Any] = {}
        try:
            said = json.loads(entry)
            is_right = canonical(said) == entry and said["v"] == 1
            day, count = said["business_date"], said["transfers"]["count"]
            texts = (day, said["event"], said["kind"], said["transfers"]["root"])
            is_right &= isinstance(count, int) and all(isinstance(part, str) for part in texts)
        except (ValueError, KeyError, TypeError, RecursionError):
            is_right, day, count = False, "", 0
        if not is_right:
            raise _Bad(bundle, f"entry {index}", "is not a canonical entry of a known version")
        if self.since <= day < self.until:
            self._take_rows(index, entry, said, count)

    def _take_rows(self, index: int, entry: bytes, said: Mapping[str, Any], count: int) -> None:
        item, cells = next(self._events, ("", []))
        if not cells:
            raise _Bad("data/events.csv", "the end", f"entry {index} has no row")
        row = dict(zip((column.name for column in EVENTS.columns), map(unguarded, cells), strict=True))
        place = f"{item} (entry {index})"
        if (row["index"], row["event"]) != (str(index), said["event"]):
            raise _Bad("data/events.csv", place, f"is not event {said['event']} of entry {index}")
        root, totals = self._take_transfers(index, said, count)
        rendered = Rendered(
            **{name: row[name] for name in _EVENT_TEXTS}, count=count, root=root, totals=tuple(sorted(totals.items()))
        )
        if rendered.entry != entry or row["transfers"] != str(count) or row["transfers_root"] != root:
            raise _Bad("data/events.csv", place, f"{_differing(row, said, root)} is not what was logged")
        if not count:
            self.kinds.setdefault((row["kind"], NO_ASSET), [0, 0, 0])[0] += 1

    def _take_transfers(self, index: int, said: Mapping[str, Any], count: int) -> tuple[str, dict[str, str]]:
        name, event, kind = "data/transfers.csv", said["event"], said["kind"]
        frontier = Frontier()
        totals: dict[str, int] = {}
        first = item = ""
        for _ in range(count):
            item, cells = next(self._transfers, ("", []))
            first = first or item
            if not cells:
                raise _Bad(name, "the end", f"transfers of entry {index} have no row")
            of, line, member, debit, credit, asset, amount = map(unguarded, cells)
            if of != event:
                raise _Bad(name, item, f"is not of event {event}, whose transfers come next")
            frontier.add(leaf_hash(transfer_leaf(line, member, debit, credit, asset, amount)))
            units = self._units(name, item, asset, amount)
            if units <= 0 or debit == credit:
                raise _Bad(name, item, "moves nothing")
            self.moved.setdefault((debit, asset), [0, 0])[0] += units
            self.moved.setdefault((credit, asset), [0, 0])[1] += units
            by_kind = self.kinds.setdefault((kind, asset), [0, 0, 0])
            by_kind[0] += asset not in totals
            by_kind[1] += 1
            by_kind[2] += units
            totals[asset] = totals.get(asset, 0) + units
        root = frontier.root().hex()
        if root != said["transfers"].get("root"):
            rows = first if first == item else f"{first} to {item.removeprefix('row ')}"
            raise _Bad(name, f"{rows} (entry {index})", "do not have the root that was logged")
        return root, {asset: decimal_text(units, self.scales[asset]) for asset, units in totals.items()}

    def _units(self, name: str, item: str, asset: str, amount: str) -> int:
        """Return an amount in smallest units; its asset always has the same number of decimals."""
        found = _AMOUNT.fullmatch(amount)
        if found is None or len(found[1] or "") != self.scales.setdefault(asset, len(found[1] or "")):
            raise _Bad(name, item, f"{amount!r} is not an amount of {asset}")
        return int(amount.replace(".", ""))

    def finish(self) -> None:
        """Check that no row is left over, then balances and control totals."""
        for table, rows in ((EVENTS, self._events), (TRANSFERS, self._transfers)):
            item, cells = next(rows, ("", []))
            if cells:
                raise _Bad(f"data/{table.name}.csv", item, "belongs to no entry of the period")
        self._check_balances()
        self._check_totals()

    def _check_balances(self) -> None:
        name, opened, seen = "data/balances.csv", dict.fromkeys(self.scales, 0), set()
        for item, cells in self.package.rows(BALANCES):
            account, asset = unguarded(cells[0]), unguarded(cells[1])
            opening, debits, credits_, balance = (self._units(name, item, asset, text) for text in cells[2:])
            if (account, asset) in seen:
                raise _Bad(name, item, f"repeats {account}")
            seen.add((account, asset))
            if [debits, credits_] != self.moved.pop((account, asset), [0, 0]):
                raise _Bad(name, item, f"{account} did not move by these amounts in the period")
            if balance != opening + debits - credits_ or (self.since == _EARLY and opening):
                raise _Bad(name, item, f"the balance of {account} does not follow from what moved")
            if [decimal_text(n, self.scales[asset]) for n in (opening, debits, credits_, balance)] != cells[2:]:
                raise _Bad(name, item, f"an amount of {account} is not written in its one form")
            opened[asset] = opened.get(asset, 0) + opening
        for account, asset in sorted(self.moved):
            raise _Bad(name, "the end", f"{account} moved {asset} and has no row")
        for asset in sorted(opened):
            if opened[asset]:
                raise _Bad(name, "column opening", f"the opening balances of {asset} do not add up to zero")

    def _check_totals(self) -> None:
        expected = [
            [kind, asset, str(events), str(transfers), decimal_text(units, self.scales.get(asset, 0))]
            for (kind, asset), (events, transfers, units) in sorted(self.kinds.items())
        ]
        rows = self.package.rows(CONTROL_TOTALS)
        for row in expected:
            item, cells = next(rows, ("the end", []))
            if list(map(unguarded, cells)) != row:
                raise _Bad("data/control_totals.csv", item, f"the rows give {', '.join(row)}")
        for item, _ in rows:
            raise _Bad("data/control_totals.csv", item, "no event is of this kind and asset")


_EVENT_TEXTS = ("event", "kind", "member", "business_date", "recorded_at", "actor", "pack", "decision", "body")


def _differing(row: Mapping[str, str], said: Mapping[str, Any], root: str) -> str:
    """Return the name of the first column that differs from the entry."""
    for name in _EVENT_TEXTS:
        logged = said.get(name)
        if row[name] != (logged if isinstance(logged, str) else canonical(logged).decode()):
            return name
    transfers = said["transfers"]
    if row["transfers"] != str(transfers.get("count")) or row["transfers_root"] != root:
        return "the number or root of transfers"
    return "the sum of transfers"


def _check_previous(package: _Package, key: VerifierKey, checkpoint: Checkpoint, previous: str | None) -> None:
    if previous is None:
        return
    try:
        earlier = open_checkpoint(previous, key)
    except BadNote as error:
        raise _Bad("the earlier checkpoint", "", str(error)) from None
    if earlier.size > checkpoint.size:
        raise _Bad(
            _CHECKPOINT, f"size {checkpoint.size}", f"is behind the earlier checkpoint of {earlier.size} entries"
        )
    if _root_at(package, checkpoint.size, earlier.size) != earlier.root:
        raise _Bad(_CHECKPOINT, f"size {checkpoint.size}", f"does not extend the earlier one of {earlier.size} entries")


def _root_at(package: _Package, size: int, earlier: int) -> bytes:
    tiles = {(tile.level, tile.index): tile for tile in tiles_of(size)}

    @lru_cache(maxsize=64)
    def read(level: int, index: int) -> bytes:
        return package.read(f"log/tile/{tiles[level, index].path}")

    def node(node: Node) -> bytes:
        return node_in(read(*tile_of(node)), node)

    return range_root((0, earlier), node)


def _check_proofs(package: _Package, key: VerifierKey, checkpoint: Checkpoint) -> None:
    note = package.text(_CHECKPOINT)
    for name in package.files:
        if not _PLACED.fullmatch(name):
            continue
        stem, _, suffix = name.removeprefix("proofs/").partition(".")
        try:
            if suffix == "tlog-proof":
                index, proof, about = parse_proof_file(package.text(name))
                if about != note or str(index) != stem or index >= checkpoint.size:
                    raise _Bad(name, "", "is not about this checkpoint and the entry it is named for")
                raw = package.read(f"log/tile/{_tile_of_leaf(index, checkpoint.size).path}")
                at = index % WIDTH * HASH_BYTES
                verify_inclusion(index, checkpoint.size, raw[at : at + HASH_BYTES], proof, checkpoint.root)
            elif suffix == "checkpoint":
                earlier = open_checkpoint(package.text(name), key)
                if str(earlier.size) != stem or earlier.size > checkpoint.size:
                    raise _Bad(name, "", "is not the checkpoint it is named for")
                if _root_at(package, checkpoint.size, earlier.size) != earlier.root:
                    raise _Bad(name, "", "is of another log")
            else:
                old, proof, about = parse_consistency_file(package.text(name))
                if about != note or str(old) != stem or old > checkpoint.size:
                    raise _Bad(name, "", "is not about this checkpoint and the one it is named for")
                old_root = _root_at(package, checkpoint.size, old)
                verify_consistency(old, checkpoint.size, old_root, checkpoint.root, proof)
        except (BadNote, BadProof) as error:
            raise _Bad(name, "", str(error)) from None


def _tile_of_leaf(index: int, size: int) -> Tile:
    return Tile(0, index // WIDTH, min(WIDTH, size - index // WIDTH * WIDTH))


def _check_description(package: _Package, checkpoint: Checkpoint) -> None:
    """Check that the description names this log and every table, with the right sums."""
    try:
        described = json.loads(package.text(_DESCRIPTION))
        log = (described["log"]["origin"], described["log"]["size"])
        resources = {item["path"]: (item["bytes"], item["hash"]) for item in described["resources"]}
    except (ValueError, TypeError, KeyError):
        raise _Bad(_DESCRIPTION, "", "cannot be read") from None
    if log != (checkpoint.origin, checkpoint.size):
        raise _Bad(_DESCRIPTION, "log", "is not that of the checkpoint")
    for name, (size, digest) in sorted(resources.items()):
        if name not in package.files:
            raise _Bad(_DESCRIPTION, name, "is missing")
        with (package.path / name).open("rb") as file:
            actual = f"sha256:{file_digest(file, 'sha256').hexdigest()}"
        if size != (package.path / name).stat().st_size or digest != actual:
            other = Problem(name, "", "is not what datapackage.json describes")
            raise _Bad(_DESCRIPTION, name, "is another file than the one described", other)
    for name in package.files:
        if name.startswith("data/") and name.endswith(".csv") and name not in resources:
            raise _Bad(_DESCRIPTION, name, "is not described")
        stray = not name.startswith(("data/", "log/")) and name not in _ANYWHERE and not _PLACED.fullmatch(name)
        if stray or (name.startswith("data/") and f"{name.rpartition('.')[0]}.csv" not in resources):
            raise _Bad(name, "", "does not belong to a package")
