"""Check an export of the books: `python verify.py [DIR] [--vkey KEY] [--since CHECKPOINT]`.

Needs Python 3.11 and `cryptography`, nothing else. Exit status 0: the package proves itself; 1: the first thing that is
wrong is named; 2: wrong usage. Whoever made the package made this copy too: a careful reader keeps one of their own,
gives the log's key as it came to them by another way (--vkey, a key or a file), and the last checkpoint they were
given (--since, a file), which this one must extend.

What is checked: the signature under the checkpoint; the hash of every entry of the log, all the way up to the signed
root (RFC 6962, C2SP tlog-tiles); that data/events.csv and data/transfers.csv give every entry of the period, byte for
byte, and nothing else; that balances and control totals follow from the transfers; the proofs; and the signed sums of
all files. books.journal, Parquet and tables of other sources (members, prices) are covered by the signed sums alone.
"""
# ruff: noqa: D103, INP001, T201, TRY301

import argparse
import base64
import csv
import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

TEXTS = ("event", "kind", "member", "business_date", "recorded_at", "actor", "pack", "decision", "body")
COLUMNS = {
    "events": ["index", *TEXTS, "transfers", "transfers_root"],
    "transfers": ["event", "line", "member", "debit", "credit", "asset", "amount"],
    "balances": ["account", "asset", "opening", "debits", "credits", "balance"],
    "control_totals": ["kind", "asset", "events", "transfers", "amount"],
}
NOTE, SUMS, CHECKPOINT, ABOUT = "proofs/package.note", "SHA256SUMS", "log/checkpoint", "datapackage.json"
PROOF = re.compile(r"proofs/([0-9]+)\.(tlog-proof|checkpoint|consistency)")
Rows = dict[str, Iterator[tuple[str, list[str]]]]
KNOWN = {SUMS, NOTE, CHECKPOINT, ABOUT, "keys/log.vkey", "books.journal", "verify.py"}


class Bad(Exception):
    """The first thing that is wrong: (file, item, what), and the same from the side of a file that contradicts it."""

    def __init__(self, file: str, item: str, what: str, other: tuple[str, str, str] | None = None) -> None:
        super().__init__(file, item, what)
        self.found, self.other = (file, item, what), other


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def mth(hashes: list[bytes]) -> bytes:
    """Return the RFC 6962 root over hashes of equal subtrees, the last of which may be smaller."""
    if len(hashes) < 2:
        return hashes[0] if hashes else sha256(b"")
    k = 1 << ((len(hashes) - 1).bit_length() - 1)
    return sha256(b"\x01" + mth(hashes[:k]) + mth(hashes[k:]))


def canonical(value: object) -> bytes:
    """Return RFC 8785 JSON; our entries hold no fractions."""

    def ordered(part: object) -> object:
        if isinstance(part, dict):
            return {key: ordered(part[key]) for key in sorted(part, key=lambda k: k.encode("utf-16-be"))}
        if isinstance(part, list):
            return [ordered(item) for item in part]
        if isinstance(part, float) or (isinstance(part, int) and abs(part) >= 1 << 53):
            raise ValueError(part)
        return part

    return json.dumps(ordered(value), ensure_ascii=False, separators=(",", ":")).encode()


def tile_path(level: str, index: int, width: int) -> str:
    number = f"{index % 1000:03d}"
    while index := index // 1000:
        number = f"x{index % 1000:03d}/{number}"
    return f"log/tile/{level}/{number}" + (f".p/{width}" if width < 256 else "")


def read_key(vkey: str, where: str) -> tuple[str, bytes, bytes]:
    """Return (name, key id, public key) of a vkey."""
    try:
        name, key_id, encoded = vkey.split("+", 2)
        raw = base64.b64decode(encoded, validate=True)
        right = sha256(name.encode() + b"\n" + raw)[:4].hex()
        if key_id != right or raw[0] != 1 or len(raw) != 33 or base64.b64encode(raw).decode() != encoded:
            raise ValueError
    except (ValueError, IndexError):
        raise Bad(where, "", "is not an Ed25519 key") from None
    return name, bytes.fromhex(key_id), raw[1:]


def open_note(note: str, key: tuple[str, bytes, bytes], where: str) -> str:
    """Return the text of a note that the key signed."""
    name, key_id, public = key
    body, _, lines = note.rpartition("\n\n")
    verified = False
    for line in lines.removesuffix("\n").split("\n"):
        found = re.fullmatch(r"— ([^\s+]+) ([A-Za-z0-9+/]+={0,2})", line)
        if found is None or not lines.endswith("\n"):
            raise Bad(where, "", "is not a signed note")
        try:
            blob = base64.b64decode(found[2], validate=True)
        except ValueError:
            raise Bad(where, "", "a signature is not base64") from None
        if found[1] == name and blob[:4] == key_id and base64.b64encode(blob).decode() == found[2]:
            try:
                Ed25519PublicKey.from_public_bytes(public).verify(blob[4:], (body + "\n").encode())
            except InvalidSignature:
                raise Bad(where, "", f"the signature of {name} does not verify") from None
            verified = True
    if not verified:
        raise Bad(where, "", f"bears no signature of {name}")
    return body + "\n"


def open_checkpoint(note: str, key: tuple[str, bytes, bytes], where: str) -> tuple[int, bytes]:
    """Return (size, root) of a checkpoint of the key's log."""
    found = re.fullmatch(r"(.+)\n(0|[1-9][0-9]*)\n([A-Za-z0-9+/]{43}=)\n", open_note(note, key, where))
    if found is None or found[1] != key[0]:
        raise Bad(where, "", f"is not a checkpoint of {key[0]}")
    return int(found[2]), base64.b64decode(found[3])


def decimal(units: int, scale: int) -> str:
    digits = f"{abs(units):0{scale + 1}d}"
    return ("-" if units < 0 else "") + (f"{digits[:-scale]}.{digits[-scale:]}" if scale else digits)


class Package:
    """A package and all that is learnt of it on the way."""

    def __init__(self, path: Path) -> None:
        self.path = path
        found = (Path(top, name) for top, _, names in os.walk(path) for name in names)
        self.files = sorted(file.relative_to(path).as_posix() for file in found)
        self.scales: dict[str, int] = {}
        self.moved: dict[tuple[str, str], list[int]] = {}
        self.kinds: dict[tuple[str, str], list[int]] = {}
        self.hashes: dict[tuple[int, int], bytes] = {}  # the latest tiles read

    def read(self, name: str) -> bytes:
        try:
            return (self.path / name).read_bytes()
        except OSError:
            raise Bad(name, "", "is missing or cannot be read") from None

    def text(self, name: str) -> str:
        try:
            return self.read(name).decode()
        except UnicodeDecodeError as error:
            raise Bad(name, f"byte {error.start}", "is not UTF-8") from None

    def digest(self, name: str) -> str:
        with (self.path / name).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def rows(self, table: str) -> Iterator[tuple[str, list[str]]]:
        """Yield (item, cells) of a table; an apostrophe that keeps text from being run as a formula is taken off."""
        name, number = f"data/{table}.csv", 1
        try:
            with (self.path / name).open(encoding="utf-8", newline="") as file:
                reader = csv.reader(file, strict=True)
                if next(reader, None) != COLUMNS[table]:
                    raise Bad(name, "row 1", "does not name the columns")
                for number, row in enumerate(reader, 2):
                    if len(row) != len(COLUMNS[table]):
                        raise Bad(name, f"row {number}", f"has {len(row)} columns, not {len(COLUMNS[table])}")
                    yield f"row {number}", [cell.removeprefix("'") for cell in row]
        except OSError:
            raise Bad(name, "", "is missing or cannot be read") from None
        except (UnicodeDecodeError, csv.Error):
            raise Bad(name, f"row {number + 1}", "cannot be read") from None

    def units(self, name: str, item: str, asset: str, amount: str) -> int:
        """Return an amount in its asset's smallest units."""
        found = re.fullmatch(r"-?(?:0|[1-9][0-9]*)(?:\.([0-9]+))?", amount, re.ASCII)
        if found is None or len(found[1] or "") != self.scales.setdefault(asset, len(found[1] or "")):
            raise Bad(name, item, f"{amount!r} is not an amount of {asset}")
        return int(amount.replace(".", ""))


def check_sums(package: Package, key: tuple[str, bytes, bytes]) -> tuple[list[tuple[str, str, str]], bool]:
    """Return what differs from SHA256SUMS, and whether that file is the one that was signed."""
    try:
        raw, note = package.read(SUMS), open_note(package.text(NOTE), key, NOTE).split("\n")
    except Bad as bad:
        return [bad.found], False
    if len(note) != 3 or note[0] != f"{key[0]}/export":
        return [(NOTE, "", "is not the note of an export")], False
    signed, listed, differing = note[1] == sha256(raw).hex(), set(), []
    for number, line in enumerate(raw.decode("utf-8", "replace").split("\n")[:-1], 1):
        digest, _, name = line.partition("  ")
        if not re.fullmatch("[0-9a-f]{64}", digest) or not name or name in listed:
            return [(SUMS, f"line {number}", "is malformed")], False
        listed.add(name)
        if name not in package.files or (package.path / name).is_symlink() or package.digest(name) != digest:
            what = f"{name} is missing" if name not in package.files else f"the SHA-256 of {name} is another one"
            differing.append((name, "", what) if signed else (SUMS, f"line {number}", what))
    if not signed:
        differing.append((SUMS, "", "is not the one that was signed"))
    for name in package.files:
        if name not in listed and name not in (SUMS, NOTE):
            differing.append((name, "", f"is not listed in {SUMS}"))
    return differing, signed


def check_log(package: Package, size: int, root: bytes) -> None:
    """Hash every entry up to the root; beside it, take the rows of each entry of the period."""
    try:
        period = json.loads(package.text(ABOUT))["period"]
        since, until = period["since"] or "", period["until"] or "9999-99-99"
        assert isinstance(since, str)
        assert isinstance(until, str)
    except (ValueError, KeyError, TypeError, AssertionError):
        raise Bad(ABOUT, "period", "cannot be read") from None
    rows = {table: package.rows(table) for table in ("events", "transfers")}
    count, level, expected = size, 0, []
    while count:
        for kind in (str(level), "entries") if level == 0 else (str(level),):
            expected += [tile_path(kind, n, min(256, count - n * 256)) for n in range(-(-count // 256))]
        count, level = count >> 8, level + 1
    for name in sorted(set(expected) - set(package.files)):
        raise Bad(name, "", "is missing")
    hashes: list[bytes] = []
    rest: list[bytes] = []
    for n in range(-(-size // 256)):
        width = min(256, size - n * 256)
        name, raw, at, entries = tile_path("entries", n, width), None, 0, []
        raw = package.read(name)
        while at < len(raw):
            end = at + 2 + int.from_bytes(raw[at : at + 2], "big")
            entries.append(raw[at + 2 : end])
            at = end
        if at != len(raw) or len(entries) != width:
            raise Bad(name, "", f"does not hold {width} whole entries")
        leaves = [sha256(b"\x00" + entry) for entry in entries]
        compare_tile(package, tile_path("0", n, width), leaves, name, n * 256)
        for i, entry in enumerate(entries, n * 256):
            take(package, rows, i, entry, name, since, until)
        hashes += [mth(leaves)] if width == 256 else []
        rest = leaves if width < 256 else []
    carried = [mth(rest)] if size % 256 else []
    level = 1
    while hashes:
        for n in range(-(-len(hashes) // 256)):
            compare_tile(package, tile_path(str(level), n, len(hashes[n * 256 :][:256])), hashes[n * 256 :][:256])
        full, rest = len(hashes) // 256, hashes[len(hashes) // 256 * 256 :] + carried
        carried = [mth(rest)] if rest else []
        hashes, level = [mth(hashes[n * 256 :][:256]) for n in range(full)], level + 1
    if mth(carried) != root:
        raise Bad(CHECKPOINT, f"size {size}", "the entries give another root than the one signed")
    for name in package.files:
        if name.startswith("log/") and name != CHECKPOINT and name not in expected:
            raise Bad(name, "", f"does not belong to a log of {size} entries")
    for table, left in rows.items():
        for item, _ in left:
            raise Bad(f"data/{table}.csv", item, "belongs to no entry of the period")
    check_balances(package, is_whole=not since)
    check_totals(package)


def compare_tile(package: Package, name: str, hashes: list[bytes], bundle: str = "", first: int = 0) -> None:
    raw = package.read(name)
    for i in range(max(len(hashes), -(-len(raw) // 32))):
        if [raw[i * 32 : i * 32 + 32]] != hashes[i : i + 1]:
            tile = (name, f"hash {i}", "is not that of what it covers")
            if bundle:
                raise Bad(bundle, f"entry {first + i}", f"does not have the hash that {name} holds", tile)
            raise Bad(*tile)


def take(package: Package, rows: Rows, index: int, entry: bytes, bundle: str, since: str, until: str) -> None:
    """Check one entry and, if it is of the period, that its rows give it again."""
    try:
        said = json.loads(entry)
        moved, day = said["transfers"], said["business_date"]
        count, root, kind, event = moved["count"], moved["root"], said["kind"], said["event"]
        texts = all(isinstance(part, str) for part in (root, kind, event, day))
        right = canonical(said) == entry and said["v"] == 1 and isinstance(count, int) and texts
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Bad(bundle, f"entry {index}", "is not a canonical entry of a known version") from None
    if not right:
        raise Bad(bundle, f"entry {index}", "is not a canonical entry of a known version")
    if not since <= day < until:
        return
    place, cells = next(rows["events"], ("", []))
    if not cells:
        raise Bad("data/events.csv", "the end", f"entry {index} has no row")
    place = f"{place} (entry {index})"
    if cells[:2] != [str(index), event]:
        raise Bad("data/events.csv", place, f"is not event {event} of entry {index}")
    leaves: list[bytes] = []
    totals: dict[str, int] = {}
    first = item = ""
    for _ in range(count):
        item, row = next(rows["transfers"], ("", []))
        first = first or item
        if not row:
            raise Bad("data/transfers.csv", "the end", f"transfers of entry {index} have no row")
        of, line, member, debit, credit, asset, amount = row
        if of != event:
            raise Bad("data/transfers.csv", item, f"is not of event {event}, whose transfers come next")
        text = f'{{"amount":"{amount}","asset":{json.dumps(asset, ensure_ascii=False)},"credit":"{credit}",'
        text += f'"debit":"{debit}","line":{line},"member":"{member}"}}'
        leaves.append(sha256(b"\x00" + text.encode()))
        units = package.units("data/transfers.csv", item, asset, amount)
        if units <= 0 or debit == credit:
            raise Bad("data/transfers.csv", item, "moves nothing")
        package.moved.setdefault((debit, asset), [0, 0])[0] += units
        package.moved.setdefault((credit, asset), [0, 0])[1] += units
        by_kind = package.kinds.setdefault((kind, asset), [0, 0, 0])
        by_kind[:] = by_kind[0] + (asset not in totals), by_kind[1] + 1, by_kind[2] + units
        totals[asset] = totals.get(asset, 0) + units
    if mth(leaves).hex() != root:
        group = first if first == item else f"{first} to {item.removeprefix('row ')}"
        raise Bad("data/transfers.csv", f"{group} (entry {index})", "do not have the root that was logged")
    if not count:
        package.kinds.setdefault((kind, "none"), [0, 0, 0])[0] += 1
    sums = [{"amount": decimal(n, package.scales[asset]), "asset": asset} for asset, n in sorted(totals.items())]
    if moved != {"count": count, "root": root, "totals": sums}:
        raise Bad("data/events.csv", place, "the sum of transfers is not what was logged")
    told = dict(zip(COLUMNS["events"], cells, strict=True))
    for name in TEXTS:
        if told[name] != (said[name] if isinstance(said[name], str) else canonical(said[name]).decode()):
            raise Bad("data/events.csv", place, f"{name} is not what was logged")
    if [told["transfers"], told["transfers_root"]] != [str(count), root] or set(said) != {*TEXTS, "transfers", "v"}:
        raise Bad("data/events.csv", place, "the number or root of transfers is not what was logged")


def check_balances(package: Package, *, is_whole: bool) -> None:
    name, opened, seen = "data/balances.csv", dict.fromkeys(package.scales, 0), set()
    for item, cells in package.rows("balances"):
        account, asset = cells[:2]
        opening, debits, credited, balance = (package.units(name, item, asset, text) for text in cells[2:])
        if (account, asset) in seen:
            raise Bad(name, item, f"repeats {account}")
        seen.add((account, asset))
        if [debits, credited] != package.moved.pop((account, asset), [0, 0]):
            raise Bad(name, item, f"{account} did not move by these amounts in the period")
        if balance != opening + debits - credited or (is_whole and opening):
            raise Bad(name, item, f"the balance of {account} does not follow from what moved")
        opened[asset] = opened.get(asset, 0) + opening
    for account, asset in sorted(package.moved):
        raise Bad(name, "the end", f"{account} moved {asset} and has no row")
    for asset, units in sorted(opened.items()):
        if units:
            raise Bad(name, "column opening", f"the opening balances of {asset} do not add up to zero")


def check_totals(package: Package) -> None:
    rows = package.rows("control_totals")
    for (kind, asset), (events, transfers, units) in sorted(package.kinds.items()):
        expected = [kind, asset, str(events), str(transfers), decimal(units, package.scales.get(asset, 0))]
        item, cells = next(rows, ("the end", []))
        if cells != expected:
            raise Bad("data/control_totals.csv", item, f"the rows give {', '.join(expected)}")
    for item, _ in rows:
        raise Bad("data/control_totals.csv", item, "no event is of this kind and asset")


def range_root(package: Package, size: int, start: int, end: int) -> bytes:
    """Return the hash over a range of leaves that is one node of the tree, from the tiles."""
    count = end - start
    if count == 0:
        return sha256(b"")
    if count & (count - 1) == 0:
        level, index = count.bit_length() - 1, start // count
        height = level // 8
        row, span = index << (level % 8), 1 << (level % 8)
        if (height, row // 256) not in package.hashes:
            if len(package.hashes) > 64:
                package.hashes.clear()
            width = min(256, (size >> 8 * height) - row // 256 * 256)
            package.hashes[height, row // 256] = package.read(tile_path(str(height), row // 256, width))
        raw = package.hashes[height, row // 256]
        return mth([raw[i * 32 : i * 32 + 32] for i in range(row % 256, row % 256 + span)])
    k = 1 << ((count - 1).bit_length() - 1)
    left, right = range_root(package, size, start, start + k), range_root(package, size, start + k, end)
    return sha256(b"\x01" + left + right)


def inclusion(package: Package, size: int, index: int, start: int, end: int) -> list[bytes]:
    if end - start == 1:
        return []
    middle = start + (1 << ((end - start - 1).bit_length() - 1))
    if index < middle:
        return [*inclusion(package, size, index, start, middle), range_root(package, size, middle, end)]
    return [*inclusion(package, size, index, middle, end), range_root(package, size, start, middle)]


def consistency(package: Package, size: int, old: int, start: int, end: int, *, whole: bool) -> list[bytes]:
    if old == end:
        return [] if whole else [range_root(package, size, start, end)]
    middle = start + (1 << ((end - start - 1).bit_length() - 1))
    if old <= middle:
        left = consistency(package, size, old, start, middle, whole=whole)
        return [*left, range_root(package, size, middle, end)]
    return [
        *consistency(package, size, old, middle, end, whole=False),
        range_root(package, size, start, middle),
    ]


def check_proofs(package: Package, key: tuple[str, bytes, bytes], size: int) -> None:
    """Check that each proof is, to the byte, the one there is: there is only one."""
    note = package.text(CHECKPOINT)
    for name in package.files:
        found = PROOF.fullmatch(name)
        if not found:
            continue
        number, text = int(found[1]), package.text(name)
        if number > size or (found[2] == "tlog-proof" and number == size) or str(number) != found[1]:
            raise Bad(name, "", f"is not of a log of {size} entries")
        if found[2] == "checkpoint":
            if open_checkpoint(text, key, name) != (number, range_root(package, size, 0, number)):
                raise Bad(name, "", "is not the checkpoint it is named for")
            continue
        if found[2] == "tlog-proof":
            head, hashes = f"c2sp.org/tlog-proof@v1\nindex {number}\n", inclusion(package, size, number, 0, size)
        else:
            proof = consistency(package, size, number, 0, size, whole=True) if 0 < number < size else []
            head, hashes = f"old {number}\n", proof
        lines = "".join(base64.b64encode(hash_).decode() + "\n" for hash_ in hashes)
        if text != f"{head}{lines}\n{note}":
            raise Bad(name, "", "does not prove what it is named for")


def check_about(package: Package, key: tuple[str, bytes, bytes], size: int) -> None:
    try:
        about = json.loads(package.text(ABOUT))
        log = (about["log"]["origin"], about["log"]["size"])
        resources = {item["path"]: (item["bytes"], item["hash"]) for item in about["resources"]}
    except (ValueError, TypeError, KeyError):
        raise Bad(ABOUT, "", "cannot be read") from None
    if log != (key[0], size):
        raise Bad(ABOUT, "log", "is not that of the checkpoint")
    for name, described in sorted(resources.items()):
        if name not in package.files:
            raise Bad(ABOUT, name, "is missing")
        if described != ((package.path / name).stat().st_size, f"sha256:{package.digest(name)}"):
            other = (name, "", f"is not what {ABOUT} describes")
            raise Bad(ABOUT, name, "is another file than the one described", other)
    for name in package.files:
        if name.startswith("data/") and name.endswith(".csv") and name not in resources:
            raise Bad(ABOUT, name, "is not described")
        stray = not name.startswith(("data/", "log/")) and name not in KNOWN and not PROOF.fullmatch(name)
        if stray or (name.startswith("data/") and f"{name.rpartition('.')[0]}.csv" not in resources):
            raise Bad(name, "", "does not belong to a package")


def verify(path: Path, vkey: str | None, since: str | None) -> tuple[list[tuple[str, str, str]], str]:
    """Return what is wrong, the first thing first, and a line about the log."""
    package, found, about = Package(path), [], ""
    try:
        key = read_key(
            (vkey or package.text("keys/log.vkey")).removesuffix("\n"), "the key" if vkey else "keys/log.vkey"
        )
        if vkey and package.text("keys/log.vkey").removesuffix("\n") != vkey.removesuffix("\n"):
            raise Bad("keys/log.vkey", "", "is not the key you gave")
    except Bad as bad:
        return [bad.found], about
    sums, is_signed = check_sums(package, key)
    try:
        size, root = open_checkpoint(package.text(CHECKPOINT), key, CHECKPOINT)
        about = f"{key[0]}, {size} entries, root {base64.b64encode(root).decode()}"
        check_log(package, size, root)
        if since is not None:
            old, old_root = open_checkpoint(since, key, "the earlier checkpoint")
            if old > size or range_root(package, size, 0, old) != old_root:
                raise Bad(CHECKPOINT, f"size {size}", f"does not extend the earlier checkpoint of {old} entries")
        check_proofs(package, key, size)
        check_about(package, key, size)
    except Bad as bad:
        blamed = {file for file, _, _ in sums}
        use_other = bad.other is not None and bad.other[0] in blamed and bad.found[0] not in blamed
        found = [bad.other if use_other and bad.other else bad.found]
    # Signed sums tell which file was changed; the checks of its content tell where in it.
    if found and sums and is_signed and found[0][0] != sums[0][0]:
        return [*sums, *found], about
    return [*found, *(item for item in sums if not found or item[0] != found[0][0])], about


def main() -> int:
    parser = argparse.ArgumentParser(description="Check an export of the books.")
    parser.add_argument("folder", nargs="?", default=str(Path(__file__).parent), metavar="DIR")
    parser.add_argument("--vkey", help="the log's key as you had it by another way, or a file that holds it")
    parser.add_argument("--since", metavar="CHECKPOINT", help="a file with an earlier checkpoint, to be extended")
    given = parser.parse_args()
    vkey = Path(given.vkey).read_text(encoding="utf-8") if given.vkey and Path(given.vkey).is_file() else given.vkey
    since = Path(given.since).read_text(encoding="utf-8") if given.since else None
    if not Path(given.folder).is_dir():
        parser.error(f"{given.folder} is not a folder")
    problems, about = verify(Path(given.folder), vkey, since)
    for file, item, what in problems:
        print(f"{file}{', ' if item else ''}{item}: {what}")
    print(f"{'NOT VERIFIED' if problems else 'verified'}: {about or given.folder}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
