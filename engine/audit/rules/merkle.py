"""RFC 6962 Merkle trees over SHA-256: hashes, roots, inclusion and consistency proofs.

A node is (level, index): level 0 are leaf hashes, node (l, i) covers the leaves i × 2^l up to (i + 1) × 2^l.
Proofs are first planned as ranges of leaves, so that a caller reads only the nodes they need.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

Node = tuple[int, int]
Range = tuple[int, int]

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()
"""The root of a tree without leaves (RFC 6962, 2.1)."""


class BadProof(ValueError):
    """A proof does not prove what it should."""


def leaf_hash(entry: bytes) -> bytes:
    """Return SHA-256(0x00 || entry) (RFC 6962, 2.1)."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return SHA-256(0x01 || left || right) (RFC 6962, 2.1)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_of(hashes: Sequence[bytes]) -> bytes:
    """Return the root over leaf hashes, or over the roots of equal complete subtrees and a smaller last one.

    Neighbours are paired level by level and an odd last one is carried up as it is: the same tree as splitting at the
    largest power of two below n.
    """
    if not hashes:
        return EMPTY_ROOT
    sha256 = hashlib.sha256
    level = list(hashes)
    while len(level) > 1:
        odd = level[-1:] if len(level) % 2 else []
        level = [sha256(b"\x01" + level[i] + level[i + 1]).digest() for i in range(0, len(level) - 1, 2)] + odd
    return level[0]


@dataclass(slots=True)
class Frontier:
    """The root of a growing sequence of leaves, in memory that grows with the logarithm of their number."""

    size: int = 0
    _peaks: list[bytes] = field(default_factory=list)

    def add(self, leaf: bytes) -> None:
        """Append a leaf hash."""
        peaks, size = self._peaks, self.size
        while size & 1:
            leaf = node_hash(peaks.pop(), leaf)
            size >>= 1
        peaks.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        """Return the root over all leaves so far."""
        if not self._peaks:
            return EMPTY_ROOT
        root = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            root = node_hash(peak, root)
        return root


def subtrees(leaves: Range) -> list[Node]:
    """Return the complete subtrees that make up a range of leaves which the tree has as one node, left to right."""
    start, end = leaves
    nodes = []
    while start < end:
        level = (end - start).bit_length() - 1
        nodes.append((level, start >> level))
        start += 1 << level
    return nodes


def range_root(leaves: Range, read: Callable[[Node], bytes]) -> bytes:
    """Return the hash of a range of leaves that is one node of the tree; `read` gives complete subtrees."""
    hashes = [read(node) for node in subtrees(leaves)]
    if not hashes:
        return EMPTY_ROOT
    root = hashes[-1]
    for left in reversed(hashes[:-1]):
        root = node_hash(left, root)
    return root


def plan_inclusion(index: int, size: int) -> list[Range]:
    """Return the ranges whose hashes prove that leaf `index` is in the tree of `size`, nearest first (RFC 6962, 2.1.1).

    Raises:
        BadProof: there is no such leaf in that tree.

    """
    if not 0 <= index < size:
        raise BadProof(f"there is no leaf {index} in a tree of {size}")
    return _inclusion(index, 0, size)


def _inclusion(index: int, start: int, end: int) -> list[Range]:
    if end - start == 1:
        return []
    middle = start + _split(end - start)
    if index < middle:
        return [*_inclusion(index, start, middle), (middle, end)]
    return [*_inclusion(index, middle, end), (start, middle)]


def plan_consistency(old: int, new: int) -> list[Range]:
    """Return the ranges whose hashes prove that the tree of `new` extends that of `old` (RFC 6962, 2.1.2).

    Raises:
        BadProof: `old` is larger than `new`.

    """
    if not 0 <= old <= new:
        raise BadProof(f"a tree of {new} does not extend one of {old}")
    if old in (0, new):
        return []
    return _consistency(old, 0, new, whole=True)


def _consistency(old: int, start: int, end: int, *, whole: bool) -> list[Range]:
    if old == end:
        return [] if whole else [(start, end)]
    middle = start + _split(end - start)
    if old <= middle:
        return [*_consistency(old, start, middle, whole=whole), (middle, end)]
    return [*_consistency(old, middle, end, whole=False), (start, middle)]


def verify_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> None:
    """Return if `proof` leads from leaf hash `leaf` at `index` to `root` (RFC 9162, 2.1.3.2).

    Raises:
        BadProof: it does not.

    """
    if not 0 <= index < size:
        raise BadProof(f"there is no leaf {index} in a tree of {size}")
    node, last, found = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise BadProof("the proof is too long")
        if node & 1 or node == last:
            found = node_hash(sibling, found)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            found = node_hash(found, sibling)
        node, last = node >> 1, last >> 1
    if last or found != root:
        raise BadProof(f"the proof of leaf {index} does not lead to the root")


def verify_consistency(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Return if `proof` shows the tree of `new` to extend that of `old` (RFC 9162, 2.1.4.2).

    Raises:
        BadProof: it does not.

    """
    if not 0 <= old <= new:
        raise BadProof(f"a tree of {new} does not extend one of {old}")
    if old in (0, new):
        if proof or (old == new and old_root != new_root) or (old == 0 and old_root != EMPTY_ROOT):
            raise BadProof("the trees differ")
        return
    path = list(proof)
    if old & (old - 1) == 0:
        path.insert(0, old_root)
    if not path:
        raise BadProof("the proof is empty")
    node, last = old - 1, new - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    found_old = found_new = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise BadProof("the proof is too long")
        if node & 1 or node == last:
            found_old, found_new = node_hash(sibling, found_old), node_hash(sibling, found_new)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            found_new = node_hash(found_new, sibling)
        node, last = node >> 1, last >> 1
    if last or found_old != old_root or found_new != new_root:
        raise BadProof(f"the tree of {new} does not extend that of {old}")


def _split(size: int) -> int:
    """Return the largest power of two below `size`, which is at least 2."""
    return 1 << ((size - 1).bit_length() - 1)
