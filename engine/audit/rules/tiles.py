"""Tiles of a log: where a hash lies, what a tile's path is, and how entries are bundled (C2SP tlog-tiles).

A tile of level L holds 256 hashes of nodes of level 8 × L; the last one of a level may hold fewer. Entry bundles lie
beside the tiles of level 0, each entry preceded by its length.
"""

import re
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from engine.audit.rules.merkle import HASH_BYTES, Node, root_of

WIDTH = 256
HEIGHT = 8
MAX_ENTRY_BYTES = 65_535
_LENGTH = struct.Struct(">H")
_PATH = re.compile(
    r"(?P<level>entries|0|[1-9][0-9]?)/(?P<number>(?:x[0-9]{3}/)*[0-9]{3})(?:\.p/(?P<width>[1-9][0-9]{0,2}))?"
)
_LAST_LEVEL = 63


class BadTile(ValueError):
    """The bytes are not a tile, or the path names none."""


@dataclass(frozen=True, slots=True)
class Tile:
    """A tile of hashes, or the bundle of entries beside one (`level` None); `width` is 1 to 256."""

    level: int | None
    index: int
    width: int = WIDTH

    @property
    def path(self) -> str:
        """Return the path under `tile/`: "0/x001/x234/067", "entries/000.p/5"."""
        level = "entries" if self.level is None else str(self.level)
        partial = f".p/{self.width}" if self.width < WIDTH else ""
        return f"{level}/{_number(self.index)}{partial}"

    @classmethod
    def parse(cls, path: str) -> "Tile":
        """Return the tile a path under `tile/` names; each tile has one path alone.

        Raises:
            BadTile: it names none.

        """
        found = _PATH.fullmatch(path)
        if found is None:
            raise BadTile(path)
        level = None if found["level"] == "entries" else int(found["level"])
        tile = cls(level, int(found["number"].replace("x", "").replace("/", "")), int(found["width"] or WIDTH))
        if (level or 0) > _LAST_LEVEL or tile.path != path:
            raise BadTile(path)
        return tile


def _number(index: int) -> str:
    digits = f"{index:03d}"
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[i : i + 3] for i in range(0, len(digits), 3)]
    return "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])


def tiles_of(size: int) -> Iterator[Tile]:
    """Return every tile of hashes of a log of `size` entries, level by level, in order."""
    level = 0
    while size:
        yield from _row(level, size)
        size >>= HEIGHT
        level += 1


def bundles_of(size: int) -> Iterator[Tile]:
    """Return every entry bundle of a log of `size` entries, in order."""
    return _row(None, size)


def _row(level: int | None, count: int) -> Iterator[Tile]:
    for index in range(count // WIDTH):
        yield Tile(level, index)
    if count % WIDTH:
        yield Tile(level, count // WIDTH, count % WIDTH)


def is_published(tile: Tile, size: int) -> bool:
    """Return whether a log of `size` entries has all that `tile` should hold."""
    count = size >> (HEIGHT * (tile.level or 0))
    return tile.index * WIDTH + tile.width <= count


def tile_of(node: Node) -> tuple[int, int]:
    """Return (level, index) of the tile that holds a node's hash, or the hashes it is made of."""
    level, index = node
    return level // HEIGHT, index >> (HEIGHT - level % HEIGHT)


def node_in(hashes: bytes, node: Node) -> bytes:
    """Return a node's hash from the bytes of its tile.

    Raises:
        BadTile: the tile does not reach that far.

    """
    level, index = node
    count = 1 << level % HEIGHT
    start = index * count % WIDTH
    part = split_hashes(hashes[start * HASH_BYTES : (start + count) * HASH_BYTES])
    if len(part) < count:
        raise BadTile(f"the tile does not hold node {node}")
    return root_of(part)


def split_hashes(hashes: bytes) -> list[bytes]:
    """Return the hashes of a tile one by one."""
    return [hashes[i : i + HASH_BYTES] for i in range(0, len(hashes), HASH_BYTES)]


def root_from(size: int, last: Callable[[int, int], bytes]) -> bytes:
    """Return the root of a log of `size` entries from the last, partial tile of each level alone.

    Args:
        size: how many entries.
        last: gives the bytes of the tile of (level, index).

    """
    levels: list[list[bytes]] = []
    level, count = 0, size
    while count:
        width = count % WIDTH
        hashes = split_hashes(last(level, count // WIDTH)[: width * HASH_BYTES]) if width else []
        if len(hashes) != width:
            raise BadTile(f"tile {count // WIDTH} of level {level} is shorter than a log of {size} entries needs")
        levels.append(hashes)
        count >>= HEIGHT
        level += 1
    carried: list[bytes] = []
    for hashes in levels:
        row = [*hashes, *carried]
        carried = [root_of(row)] if row else []
    return carried[0] if carried else root_of([])


@dataclass(slots=True)
class Grown:
    """A tile that an append has made or lengthened, and where its new bytes begin."""

    level: int
    index: int
    hashes: bytes


def grow(size: int, leaves: Sequence[bytes], last: Callable[[int, int], bytes]) -> list[Grown]:
    """Return every tile that changes when a log of `size` entries gains `leaves`, whole as it then stands.

    Args:
        size: the entries there are.
        leaves: the hashes of those that come.
        last: gives the bytes of the partial tile (level, index), b"" where there is none.

    """
    grown: list[Grown] = []
    level, count, new = 0, size, list(leaves)
    while new:
        index = count // WIDTH
        start = count % WIDTH
        row = [*(split_hashes(last(level, index)) if start else []), *new]
        if len(row) != start + len(new):
            raise BadTile(f"tile {index} of level {level} does not hold {start} hashes")
        above = []
        for at in range(0, len(row), WIDTH):
            part = row[at : at + WIDTH]
            grown.append(Grown(level, index + at // WIDTH, b"".join(part)))
            if len(part) == WIDTH:
                above.append(root_of(part))
        level, count, new = level + 1, count // WIDTH, above
    return grown


def bundle(entries: Iterable[bytes]) -> bytes:
    """Return entries as a bundle: each preceded by its length as a big-endian unsigned 16-bit number.

    Raises:
        BadTile: an entry is longer than 65,535 bytes.

    """
    parts: list[bytes] = []
    for entry in entries:
        if len(entry) > MAX_ENTRY_BYTES:
            raise BadTile(f"an entry has {len(entry)} bytes; {MAX_ENTRY_BYTES} is the most")
        parts += (_LENGTH.pack(len(entry)), entry)
    return b"".join(parts)


def unbundle(raw: bytes) -> list[bytes]:
    """Return the entries of a bundle.

    Raises:
        BadTile: it ends in the middle of an entry.

    """
    entries, at = [], 0
    while at < len(raw):
        start = at + _LENGTH.size
        if start > len(raw):
            raise BadTile("the bundle ends in the middle of a length")
        at = start + _LENGTH.unpack_from(raw, at)[0]
        if at > len(raw):
            raise BadTile("the bundle ends in the middle of an entry")
        entries.append(raw[start:at])
    return entries
