"""Attacks on an export: both verifiers, ours and the one that stands alone, refuse each and name the same thing."""

import base64
import csv
import hashlib
import importlib.util
import io
import json
import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from engine.audit import service
from engine.audit.rules.merkle import leaf_hash, root_of
from engine.audit.rules.notes import Checkpoint, sign_note, verifier_key
from engine.audit.rules.tiles import bundle, split_hashes, unbundle
from engine.kernel.ids import new_member_id
from engine.runtime.key_file import FileKeyStore
from tests.engine.audit.conftest import TABLES, VERIFY, Scheme, files_of, run, stand_alone
from tests.engine.audit.test_service import append

TILE, BUNDLE = "log/tile/0/000.p/13", "log/tile/entries/000.p/13"


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("stand_alone_verify", VERIFY)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


ALONE = _load()


@pytest.fixture
async def package(scheme: Scheme, keys: FileKeyStore, tmp_path: Path) -> Path:
    await scheme.year()
    await append(scheme, keys)
    folder = tmp_path / "package"
    await service.export(scheme.db, keys, scheme.tenant_id, folder, tables=TABLES)
    return folder


def first_problem(folder: Path, *, vkey: str | None = None, previous: str | None = None) -> tuple[str, str]:
    """Return (file, item) of what both verifiers name first; ("", "") where both are content."""
    report = service.verify_package(folder, vkey=vkey, previous=previous)
    alone, _ = ALONE.verify(folder, vkey, previous)
    ours = [(problem.file, problem.item) for problem in report.problems]
    theirs = [(file, item) for file, item, _ in alone]
    assert bool(ours) == bool(theirs), (report.problems, alone)
    if not ours:
        return "", ""
    assert ours[0][0] == theirs[0][0], (report.problems, alone)
    assert ours[0] == theirs[0] or not ours[0][1] or not theirs[0][1], (report.problems, alone)
    return ours[0]


def sum_up(folder: Path) -> None:
    """Make description and SHA256SUMS fit the files again: what an attacker does who has no key."""
    described = json.loads((folder / "datapackage.json").read_text())
    for resource in described["resources"]:
        raw = (folder / resource["path"]).read_bytes()
        resource["bytes"], resource["hash"] = len(raw), f"sha256:{hashlib.sha256(raw).hexdigest()}"
    (folder / "datapackage.json").write_text(json.dumps(described, indent=2, ensure_ascii=False) + "\n")
    files = sorted(f.relative_to(folder).as_posix() for f in folder.rglob("*") if f.is_file())
    lines = [
        f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n"
        for name in files
        if name not in ("SHA256SUMS", "proofs/package.note")
    ]
    (folder / "SHA256SUMS").write_text("".join(lines))


def edit_table(folder: Path, table: str, change: Callable[[list[list[str]]], object]) -> None:
    file = folder / f"data/{table}.csv"
    rows = list(csv.reader(io.StringIO(file.read_text(encoding="utf-8"), newline="")))
    change(rows)
    with file.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows(rows)
    sum_up(folder)


def edit_log(folder: Path, change: Callable[[list[bytes]], object], *, tiles: bool = True) -> None:
    """Rewrite the entries of a log of less than 256 and, with `tiles`, the hashes over them."""
    entries = unbundle((folder / BUNDLE).read_bytes())
    change(entries)
    width = len(entries)
    for name in (TILE, BUNDLE):
        (folder / name).unlink()
    (folder / f"log/tile/entries/000.p/{width}").write_bytes(bundle(entries))
    hashes = [leaf_hash(entry) for entry in entries] if tiles else []
    (folder / f"log/tile/0/000.p/{width}").write_bytes(b"".join(hashes) or b"\0" * 32 * width)
    sum_up(folder)


async def test_a_whole_package_proves_itself(package: Path) -> None:
    report = service.verify_package(package)
    assert report.is_ok
    assert report.size == 13
    status, lines = stand_alone(package)
    assert status == 0
    assert lines == [f"verified: {report.origin}, 13 entries, root {base64.b64encode(report.root).decode()}"]


async def test_any_changed_byte_is_found_and_its_file_named(package: Path) -> None:
    seed = random.SystemRandom().randrange(2**32)
    chance = random.Random(seed)
    for name in files_of(package):
        whole = (package / name).read_bytes()
        for _ in range(8):
            at, by = chance.randrange(len(whole)), chance.randrange(1, 256)
            (package / name).write_bytes(whole[:at] + bytes([whole[at] ^ by]) + whole[at + 1 :])
            assert first_problem(package)[0] == name, (seed, name, at, by)
        for cut in (whole[:-1], whole + b"\n", b""):
            (package / name).write_bytes(cut)
            assert first_problem(package)[0] == name, (seed, name)
        (package / name).unlink()
        assert first_problem(package)[0] == name, name
        (package / name).write_bytes(whole)
    assert first_problem(package) == ("", "")


@pytest.mark.parametrize(
    ("name", "old", "new", "item"),
    [
        ("data/transfers.csv", b"100.02", b"100.12", "row 4 (entry 7)"),
        ("data/transfers.csv", b"own:", b"owm:", "row 2 (entry 5)"),
        ("data/events.csv", b"contribution-received", b"contribution-receivec", "row 7 (entry 5)"),
        ("data/events.csv", b"2023-05-02", b"2023-05-03", "row 12 (entry 10)"),
        ("data/balances.csv", b"450.00", b"451.00", "row 2"),
        ("data/control_totals.csv", b"501.15", b"501.16", "row 2"),
        (BUNDLE, b'"upi"', b'"upj"', "entry 5"),
        ("log/checkpoint", b"\n13\n", b"\n12\n", ""),
        ("proofs/7.tlog-proof", b"index 7", b"index 6", ""),
        ("SHA256SUMS", b"  books.journal", b"  books_journal", "line 1"),
    ],
)
async def test_names_the_item(package: Path, name: str, old: bytes, new: bytes, item: str) -> None:
    whole = (package / name).read_bytes()
    assert old in whole
    (package / name).write_bytes(whole.replace(old, new, 1))

    assert first_problem(package) == (name, item)
    status, lines = stand_alone(package)
    assert status == 1
    assert lines[0].startswith(f"{name}, {item}: " if item else f"{name}: ")
    assert lines[-1].startswith("NOT VERIFIED")


async def test_a_changed_hash_of_a_tile_is_named(package: Path) -> None:
    whole = (package / TILE).read_bytes()
    (package / TILE).write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
    assert first_problem(package) == (TILE, "hash 3")


@pytest.mark.parametrize("name", ["data/more.csv", "notes.txt", "log/tile/0/001.p/1", "proofs/99.tlog-proof"])
async def test_a_file_too_many_is_named(package: Path, name: str) -> None:
    (package / name).parent.mkdir(exist_ok=True, parents=True)
    (package / name).write_text("x")
    assert first_problem(package)[0] == name
    sum_up(package)
    assert first_problem(package)[0] in (name, "datapackage.json")


async def test_a_link_is_not_a_file(package: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.copy(package / "books.journal", elsewhere)
    (package / "books.journal").unlink()
    (package / "books.journal").symlink_to(elsewhere)
    assert first_problem(package)[0] == "books.journal"


def swap(items: list[bytes], a: int, b: int) -> None:
    items[a], items[b] = items[b], items[a]


def replace_in(items: list[bytes], at: int, old: bytes, new: bytes) -> None:
    assert old in items[at]
    items[at] = items[at].replace(old, new)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda e: replace_in(e, 5, b"100.00", b"900.00"), "data/"),
        (lambda e: e.pop(3), "log/tile"),
        (lambda e: swap(e, 0, 1), "data/events.csv"),
        (lambda e: e.pop(), "log/tile"),
        (lambda e: e.append(e[0]), "log/tile"),
        (lambda e: e.__setitem__(5, e[5].replace(b'"v":1', b'"v":1,"v":1')), BUNDLE),
        (lambda e: e.__setitem__(5, b" " + e[5]), BUNDLE),
        (lambda e: e.__setitem__(5, b"[]"), BUNDLE),
        (lambda e: e.__setitem__(5, b"[" * 60_000), BUNDLE),
        (lambda e: e.__setitem__(5, e[5].replace(b'"v":1', b'"v":2')), BUNDLE),
    ],
    ids=[
        "edit",
        "delete",
        "reorder",
        "truncate",
        "append",
        "key twice",
        "not canonical",
        "no event",
        "deep",
        "version",
    ],
)
async def test_a_rewritten_log_is_refused(package: Path, change: Callable[[list[bytes]], object], named: str) -> None:
    """Entries, tiles and sums fit one another; the signature under the old root and the rows do not."""
    edit_log(package, change)
    file, item = first_problem(package)
    assert file.startswith(named), (file, item)


async def test_entries_and_rows_changed_together_do_not_give_the_signed_root(package: Path) -> None:
    edit_log(package, lambda e: replace_in(e, 0, b"2023-04-01", b"2023-04-02"))
    edit_table(package, "events", lambda rows: rows[1].__setitem__(4, "2023-04-02"))
    assert first_problem(package) == ("log/checkpoint", "size 13")


async def test_an_entry_edited_below_its_tile_is_named(package: Path) -> None:
    entries = unbundle((package / BUNDLE).read_bytes())
    replace_in(entries, 5, b"100.00", b"900.00")
    (package / BUNDLE).write_bytes(bundle(entries))
    sum_up(package)
    assert first_problem(package) == (BUNDLE, "entry 5")


def drop(rows: list[list[str]], first: int, last: int) -> None:
    del rows[first : last + 1]


@pytest.mark.parametrize(
    ("table", "change", "item"),
    [
        ("transfers", lambda rows: rows[3].__setitem__(6, "100.03"), "row 4 (entry 7)"),
        ("transfers", lambda rows: rows[3].__setitem__(6, "1E2"), "row 4"),
        ("transfers", lambda rows: rows[3].__setitem__(6, "100.020"), "row 4"),
        ("transfers", lambda rows: drop(rows, 3, 3), "row 4"),
        ("transfers", lambda rows: rows.append(rows[-1]), "row 20"),
        ("transfers", lambda rows: rows.insert(2, rows[1]), "row 3"),
        ("transfers", lambda rows: rows[0].__setitem__(0, "events"), "row 1"),
        ("transfers", lambda rows: rows[8].pop(), "row 9"),
        ("transfers", lambda rows: drop(rows, 18, 18), "the end"),
        ("events", lambda rows: drop(rows, 3, 3), "row 4 (entry 2)"),
        ("events", lambda rows: drop(rows, 13, 13), "the end"),
        ("events", lambda rows: rows.append(rows[-1]), "row 15"),
        ("events", lambda rows: rows[6].__setitem__(6, "partner:8"), "row 7 (entry 5)"),
        ("events", lambda rows: rows[6].__setitem__(10, "01"), "row 7 (entry 5)"),
        ("events", lambda rows: rows[6].__setitem__(9, rows[6][9].replace(":", ": ")), "row 7 (entry 5)"),
        ("balances", lambda rows: rows[5].__setitem__(5, "-1.00"), "row 6"),
        ("balances", lambda rows: drop(rows, 5, 5), "the end"),
        ("balances", lambda rows: rows.append(rows[5]), "row 16"),
        ("balances", lambda rows: rows.append(["assets:mine", "INR", *["0.00", "1.00", "0.00", "1.00"]]), "row 16"),
        ("balances", lambda rows: rows[5].__setitem__(2, "5.00"), "row 6"),
        ("control_totals", lambda rows: rows[1].__setitem__(2, "7"), "row 2"),
        ("control_totals", lambda rows: drop(rows, 5, 5), "the end"),
        ("control_totals", lambda rows: rows.append(["more", "INR", "1", "1", "1.00"]), "row 7"),
    ],
)  # fmt: skip
async def test_a_table_changed_after_signing_is_refused_though_its_sums_are_mended(
    package: Path, table: str, change: Callable[[list[list[str]]], object], item: str
) -> None:
    edit_table(package, table, change)
    assert first_problem(package) == (f"data/{table}.csv", item)


async def test_tables_that_are_not_in_the_log_are_kept_by_the_signed_sums(package: Path) -> None:
    edit_table(package, "prices", lambda rows: rows[1].__setitem__(2, "42.0000"))
    assert first_problem(package)[0] == "SHA256SUMS"


async def test_a_row_dropped_with_all_totals_mended_is_refused(package: Path) -> None:
    """The last contribution of one rupee and five paise vanishes from every table."""
    amount = "1.05"
    edit_table(package, "events", lambda rows: drop(rows, 11, 11))
    edit_table(package, "transfers", lambda rows: rows.remove(next(row for row in rows if row[6] == amount)))
    edit_table(package, "control_totals", lambda rows: rows[1].__setitem__(slice(2, 5), ["5", "5", "500.10"]))
    assert first_problem(package) == ("data/events.csv", "row 12 (entry 10)")


async def test_a_key_swapped_within_the_package_is_found_by_the_key_had_out_of_band(package: Path) -> None:
    vkey = (package / "keys/log.vkey").read_text().strip()
    origin = vkey.split("+", maxsplit=1)[0]
    thief = Ed25519PrivateKey.generate()
    note = (package / "log/checkpoint").read_text()
    forged = sign_note(note.partition("\n\n")[0] + "\n", origin, thief)
    (package / "keys/log.vkey").write_text(f"{verifier_key(origin, thief)}\n")
    for file in (package / "log/checkpoint", *(package / "proofs").glob("*.tlog-proof")):
        file.write_text(file.read_text().replace(note, forged))
    assert first_problem(package)[0] == "proofs/package.note"
    sum_up(package)
    digest = hashlib.sha256((package / "SHA256SUMS").read_bytes()).hexdigest()
    (package / "proofs/package.note").write_text(sign_note(f"{origin}/export\n{digest}\n", origin, thief))

    assert first_problem(package) == ("", ""), "a package that brings its own key cannot be told from a forged one"
    assert first_problem(package, vkey=vkey)[0] == "keys/log.vkey"
    assert stand_alone(package, "--vkey", vkey)[0] == 1


async def test_a_fork_and_a_rollback_that_went_on_are_found_by_the_checkpoint_kept(
    package: Path, scheme: Scheme, keys: FileKeyStore
) -> None:
    private = keys.tenant(scheme.tenant_id).log_signing_key
    leaves = split_hashes((package / TILE).read_bytes())
    for size, root, is_ours in (
        (13, root_of(leaves), True),
        (5, root_of(leaves[:5]), True),
        (13, root_of(leaves[::-1]), False),
        (5, root_of([*leaves[:4], leaf_hash(b"lost")]), False),
        (14, root_of(leaves), False),
    ):
        kept = sign_note(Checkpoint(scheme.origin, size, root).text, scheme.origin, private)
        assert (first_problem(package, previous=kept) == ("", "")) == is_ours, size


async def test_another_logs_proof_and_checkpoint_are_refused(
    package: Path, scheme: Scheme, keys: FileKeyStore, tmp_path: Path
) -> None:
    await scheme.post([scheme.paid(new_member_id(), 100)])
    await append(scheme, keys)
    await service.export(scheme.db, keys, scheme.tenant_id, tmp_path / "later", tables=TABLES)

    shutil.copy(tmp_path / "later/proofs/3.tlog-proof", package / "proofs/3.tlog-proof")
    sum_up(package)
    assert first_problem(package)[0] == "proofs/3.tlog-proof"
    shutil.copy(tmp_path / "later/log/checkpoint", package / "log/checkpoint")
    assert first_problem(package)[0] in ("log/checkpoint", "log/tile/0/000.p/14")


async def test_an_earlier_checkpoint_that_was_forged_is_named(
    scheme: Scheme, keys: FileKeyStore, tmp_path: Path
) -> None:
    await scheme.year()
    await append(scheme, keys)
    await scheme.post([scheme.paid(new_member_id(), 100)])
    await append(scheme, keys)
    folder = tmp_path / "package"
    await service.export(scheme.db, keys, scheme.tenant_id, folder, previous_size=13)
    assert first_problem(folder) == ("", "")

    proof = folder / "proofs/13.consistency"
    whole = proof.read_text()
    proof.write_text("\n".join([*whole.split("\n")[:1], *whole.split("\n")[2:]]))
    sum_up(folder)
    assert first_problem(folder)[0] == "proofs/13.consistency"
    proof.write_text(whole)
    forged = Checkpoint(scheme.origin, 13, bytes(32)).text
    note = sign_note(forged, scheme.origin, keys.tenant(scheme.tenant_id).log_signing_key)
    (folder / "proofs/13.checkpoint").write_text(note)
    sum_up(folder)
    assert first_problem(folder)[0] == "proofs/13.checkpoint"


async def test_a_folder_that_is_no_package_is_refused(tmp_path: Path) -> None:
    assert first_problem(tmp_path) == ("keys/log.vkey", "")
    assert stand_alone(tmp_path)[0] == 1
    assert run(sys.executable, str(VERIFY), str(tmp_path / "nowhere"))[0] == 2


async def test_the_verifier_in_the_package_runs_by_itself(package: Path) -> None:
    status, _, errors = run(sys.executable, "-I", "verify.py", cwd=package)
    assert (status, errors) == (0, "")
    assert not (package / "__pycache__").exists()
    imported = {line.split()[1].split(".")[0] for line in VERIFY.read_text().splitlines() if line.startswith(("import ", "from "))}  # fmt: skip
    assert imported - set(sys.stdlib_module_names) == {"cryptography"}
