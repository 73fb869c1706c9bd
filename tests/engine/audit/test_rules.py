"""The log's law against vectors of its specifications and two implementations that are not ours."""

import base64
import json
import re
from datetime import UTC, date, datetime

import metamorphic_log
import pymerkle
import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from engine.audit.rules.leaves import (
    RENDERINGS,
    EventRow,
    NamedAccount,
    TransferRow,
    canonical,
    decimal_text,
    member_name,
    read_json,
    render,
)
from engine.audit.rules.merkle import (
    BadProof,
    Frontier,
    leaf_hash,
    plan_consistency,
    plan_inclusion,
    range_root,
    root_of,
    verify_consistency,
    verify_inclusion,
)
from engine.audit.rules.notes import (
    BadNote,
    Checkpoint,
    VerifierKey,
    consistency_file,
    open_checkpoint,
    open_note,
    parse_consistency_file,
    parse_proof_file,
    proof_file,
    sign_note,
    verifier_key,
)
from engine.audit.rules.tables import guarded, unguarded
from engine.audit.rules.tiles import (
    MAX_ENTRY_BYTES,
    BadTile,
    Tile,
    bundle,
    bundles_of,
    grow,
    is_published,
    node_in,
    root_from,
    tile_of,
    tiles_of,
    unbundle,
)
from engine.ledger.rules import Account, EventKind

PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
ORIGIN = "scheme.example/audit"
KEY = verifier_key(ORIGIN, PRIVATE)


def entries(count: int) -> list[bytes]:
    return [f"entry {i}".encode() for i in range(count)]


def leaves(count: int) -> list[bytes]:
    return [leaf_hash(entry) for entry in entries(count)]


class Stored:
    """A log's tiles in memory, grown append by append."""

    def __init__(self) -> None:
        self.size = 0
        self.tiles: dict[tuple[int, int], bytes] = {}

    def append(self, new: list[bytes]) -> None:
        for tile in grow(self.size, new, lambda *at: self.tiles.get(at, b"")):
            assert tile.hashes.startswith(self.tiles.get((tile.level, tile.index), b""))
            self.tiles[tile.level, tile.index] = tile.hashes
        self.size += len(new)

    def root(self) -> bytes:
        return root_from(self.size, lambda *at: self.tiles.get(at, b""))

    def hash_of(self, leaves: tuple[int, int]) -> bytes:
        return range_root(leaves, lambda node: node_in(self.tiles[tile_of(node)], node))


# RFC 6962 test vectors of the reference implementation (certificate-transparency, merkle_tree_test.cc).
INPUTS = [bytes.fromhex(h) for h in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")]  # fmt: skip
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


@pytest.mark.parametrize("size", range(1, 9))
def test_gives_the_roots_of_the_reference_implementation(size: int) -> None:
    hashes = [leaf_hash(entry) for entry in INPUTS[:size]]
    frontier = Frontier()
    for hash_ in hashes:
        frontier.add(hash_)

    assert root_of(hashes).hex() == frontier.root().hex() == ROOTS[size - 1]


def test_the_root_of_nothing_is_that_of_the_empty_string() -> None:
    nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert root_of([]).hex() == Frontier().root().hex() == root_from(0, lambda *_: b"").hex() == nothing


@given(sizes=st.lists(st.integers(1, 700), min_size=1, max_size=6))
def test_tiles_grown_in_any_steps_give_the_same_root(sizes: list[int]) -> None:
    all_leaves = leaves(sum(sizes))
    log = Stored()
    for size in sizes:
        log.append(all_leaves[log.size : log.size + size])
        assert log.root() == root_of(all_leaves[: log.size])
    assert {(t.level, t.index): t.width * 32 for t in tiles_of(log.size)} == {k: len(v) for k, v in log.tiles.items()}


def test_agrees_with_others_beyond_one_level_of_tiles() -> None:
    size = 70_000
    log, theirs = Stored(), pymerkle.InmemoryTree(algorithm="sha256")
    log.append(leaves(300))
    log.append(leaves(size)[300:])
    for entry in entries(size):
        theirs.append_entry(entry)

    assert log.root() == theirs.get_root()
    for index in (0, 299, 65_535, 65_536, 69_999):
        proof = [log.hash_of(leaves_) for leaves_ in plan_inclusion(index, size)]
        metamorphic_log.verify_inclusion(index, size, leaf_hash(f"entry {index}".encode()), proof, log.root())
        verify_inclusion(index, size, leaf_hash(f"entry {index}".encode()), proof, log.root())
    for old in (1, 256, 300, 65_536, 69_999):
        proof = [log.hash_of(leaves_) for leaves_ in plan_consistency(old, size)]
        metamorphic_log.verify_consistency(old, size, proof, theirs.get_root(old), log.root())
        verify_consistency(old, size, theirs.get_root(old), log.root(), proof)


@given(data=st.data(), size=st.integers(1, 600))
def test_proves_every_leaf_and_nothing_else(data: st.DataObject, size: int) -> None:
    log = Stored()
    log.append(leaves(size))
    index = data.draw(st.integers(0, size - 1))
    proof = [log.hash_of(leaves_) for leaves_ in plan_inclusion(index, size)]

    metamorphic_log.verify_inclusion(index, size, leaves(size)[index], proof, log.root())
    verify_inclusion(index, size, leaves(size)[index], proof, log.root())
    wrong = [
        (index, size, leaf_hash(b"another"), proof),
        (index, size, leaves(size)[index], [*proof, bytes(32)]),
        (size, size, leaves(size)[index], proof),
    ]
    if proof:
        wrong.append((index, size, leaves(size)[index], proof[:-1]))
        wrong.append((index ^ 1 if index ^ 1 < size else index - 1, size, leaves(size)[index], proof))
    for case in wrong:
        with pytest.raises(BadProof):
            verify_inclusion(*case, log.root())


@given(data=st.data(), new=st.integers(1, 600))
def test_proves_that_a_log_extends_another(data: st.DataObject, new: int) -> None:
    old = data.draw(st.integers(1, new))
    log = Stored()
    log.append(leaves(new))
    old_root = root_of(leaves(old))
    proof = [log.hash_of(leaves_) for leaves_ in plan_consistency(old, new)]

    metamorphic_log.verify_consistency(old, new, proof, old_root, log.root())
    verify_consistency(old, new, old_root, log.root(), proof)
    with pytest.raises(BadProof):
        verify_consistency(old, new, leaf_hash(b"forked"), log.root(), proof)
    with pytest.raises(BadProof):
        verify_consistency(old, new, old_root, log.root(), [*proof, bytes(32)])
    if old < new:
        with pytest.raises(BadProof):
            verify_consistency(old, new, old_root, leaf_hash(b"forked"), proof)
        with pytest.raises(BadProof):
            verify_consistency(new, old, log.root(), old_root, proof)


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 1234067), "0/x001/x234/067"),
        (Tile(0, 0), "0/000"),
        (Tile(1, 999), "1/999"),
        (Tile(1, 1000), "1/x001/000"),
        (Tile(None, 0, 5), "entries/000.p/5"),
        (Tile(2, 0, 1), "2/000.p/1"),
        (Tile(None, 1234067), "entries/x001/x234/067"),
    ],
)
def test_paths_are_those_of_the_specification(tile: Tile, path: str) -> None:
    assert tile.path == path
    assert Tile.parse(path) == tile


@pytest.mark.parametrize(
    "path",
    ["", "0", "0/0", "0/0000", "00/000", "0/x000/001", "0/000.p/0", "0/000.p/256", "0/000.p/05", "64/000", "0/000/", "entries/-01", "0/x1/000", "0/٠٠٠", "0/000.p/5\n"],
)  # fmt: skip
def test_a_tile_has_one_path_alone(path: str) -> None:
    with pytest.raises(BadTile):
        Tile.parse(path)


def test_a_log_of_70_000_has_the_tiles_the_specification_counts() -> None:
    paths = [tile.path for tile in tiles_of(70_000)]

    assert len([p for p in paths if p.startswith("0/") and ".p/" not in p]) == 273
    assert [p for p in paths if ".p/" in p] == ["0/273.p/112", "1/001.p/17", "2/000.p/1"]
    assert len([p for p in paths if p.startswith("1/") and ".p/" not in p]) == 1
    assert len(list(bundles_of(70_000))) == 274
    assert is_published(Tile(0, 273, 112), 70_000)
    assert is_published(Tile(0, 273, 5), 70_000)
    assert not is_published(Tile(0, 273, 113), 70_000)
    assert not is_published(Tile(2, 0, 2), 70_000)


@given(st.lists(st.binary(max_size=600), max_size=20))
def test_bundles_are_read_again(some: list[bytes]) -> None:
    assert unbundle(bundle(some)) == some


def test_an_entry_of_more_than_65_535_bytes_is_refused() -> None:
    assert unbundle(bundle([b"x" * MAX_ENTRY_BYTES])) == [b"x" * MAX_ENTRY_BYTES]
    with pytest.raises(BadTile, match="65536 bytes"):
        bundle([b"x" * (MAX_ENTRY_BYTES + 1)])


@pytest.mark.parametrize("raw", [b"\x00", b"\x00\x05abc", b"\x00\x01a\x01"])
def test_a_cut_bundle_is_refused(raw: bytes) -> None:
    with pytest.raises(BadTile):
        unbundle(raw)


def test_notes_are_read_by_others() -> None:
    checkpoint = Checkpoint(ORIGIN, 3, root_of(leaves(3)))
    note = sign_note(checkpoint.text, ORIGIN, PRIVATE)

    head = metamorphic_log.checkpoint_verify(note, [str(KEY)])
    assert (head.origin, head.size, head.root) == (ORIGIN, 3, checkpoint.root)
    assert metamorphic_log.verify_signed_note(note, [str(KEY)]) == 1
    assert open_checkpoint(note, KEY) == checkpoint
    assert sign_note(checkpoint.text, ORIGIN, PRIVATE) == note


def test_reads_the_note_of_the_specification() -> None:
    # C2SP signed-note, "Example": the same key and note as in Go's golang.org/x/mod/sumdb/note.
    vkey = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    note = (
        "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n"
        "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
    )

    assert open_note(note, VerifierKey.parse(vkey)).startswith("If you think")
    with pytest.raises(BadNote, match="does not verify"):
        open_note(note.replace("answer", "Answer"), VerifierKey.parse(vkey))


def test_signatures_of_unknown_keys_are_passed_over() -> None:
    note = sign_note("a\n", ORIGIN, PRIVATE)
    other = sign_note("a\n", "witness", Ed25519PrivateKey.generate()).rpartition("\n\n")[2]

    assert open_note(note + other * 16, KEY) == "a\n"
    with pytest.raises(BadNote, match="no signature"):
        open_note(f"a\n\n{other}", KEY)


def test_a_name_alone_is_not_a_key() -> None:
    forged = sign_note("a\n", ORIGIN, Ed25519PrivateKey.generate())
    with pytest.raises(BadNote, match="no signature"):
        open_note(forged, KEY)


@pytest.mark.parametrize(
    "change",
    [
        lambda note: note[:-1],
        lambda note: note.replace("\n\n", "\n"),
        lambda note: note.replace("—", "-"),
        lambda note: note.replace("3\n", "03\n"),
        lambda note: note.replace("3\n", "4\n"),
        lambda note: note.replace(ORIGIN, "other.example/audit", 1),
        lambda note: note + "x\n",
        lambda note: note.replace(" ", "  ", 1),
        lambda note: "\x01" + note,
    ],
)
def test_a_changed_checkpoint_is_refused(change: object) -> None:
    note = sign_note(Checkpoint(ORIGIN, 3, bytes(32)).text, ORIGIN, PRIVATE)
    assert callable(change)
    with pytest.raises(BadNote):
        open_checkpoint(change(note), KEY)


def test_another_logs_checkpoint_is_refused() -> None:
    note = sign_note(Checkpoint("other.example/audit", 3, bytes(32)).text, ORIGIN, PRIVATE)
    with pytest.raises(BadNote, match=r"other\.example"):
        open_checkpoint(note, KEY)


@pytest.mark.parametrize("vkey", ["", "a+b", f"{KEY}x", str(KEY).replace("+", "+0", 1), f"x{KEY}", "a b" + str(KEY)])
def test_a_malformed_key_is_refused(vkey: str) -> None:
    with pytest.raises(BadNote):
        VerifierKey.parse(vkey)


def test_keys_are_written_and_read() -> None:
    name, key_id, raw = str(KEY).split("+", 2)
    assert VerifierKey.parse(str(KEY)) == KEY
    assert (name, len(key_id), len(base64.b64decode(raw)), base64.b64decode(raw)[:1]) == (ORIGIN, 8, 33, b"\x01")


def test_proof_files_are_read_again() -> None:
    note = sign_note(Checkpoint(ORIGIN, 3, root_of(leaves(3))).text, ORIGIN, PRIVATE)
    proof = [leaf_hash(b"a"), leaf_hash(b"b")]

    assert parse_proof_file(proof_file(2, proof, note)) == (2, proof, note)
    assert parse_proof_file(proof_file(0, [], note)) == (0, [], note)
    assert parse_consistency_file(consistency_file(1, proof, note)) == (1, proof, note)
    assert proof_file(2, proof, note).startswith("c2sp.org/tlog-proof@v1\nindex 2\n")
    for broken in ("", "c2sp.org/tlog-proof@v1\nindex 02\n\n", "c2sp.org/tlog-proof@v2\nindex 1\n\n"):
        with pytest.raises(BadNote):
            parse_proof_file(broken)


SAFE_JSON = st.recursive(
    st.none() | st.booleans() | st.text() | st.integers(-(2**53) + 1, 2**53 - 1),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(SAFE_JSON)
def test_writes_canonical_json_as_the_library_does(value: object) -> None:
    assert canonical(value) == rfc8785.dumps(value)  # type: ignore[arg-type]


def test_keys_are_sorted_by_utf_16() -> None:
    # RFC 8785, 3.2.3: U+1F600 is the surrogates D83D DE00, so it comes before U+FB33, whose code point is smaller.
    assert canonical({"\ufb33": "1", "\U0001f600": "2"}).decode() == '{"\U0001f600":"2","\ufb33":"1"}'


def test_numbers_of_a_body_stand_as_the_digits_they_were_written_with() -> None:
    said = read_json('{"big": 123456789012345678901234567890, "price": 32.60340000, "is": true, "none": null}')
    assert said == {"big": "123456789012345678901234567890", "price": "32.60340000", "is": True, "none": None}


@pytest.mark.parametrize(
    ("amount", "scale", "text"),
    [(1250, 2, "12.50"), (5, 2, "0.05"), (0, 2, "0.00"), (500, 0, "500"), (-5, 2, "-0.05"), (-1205, 3, "-1.205"), (10**18, 4, "100000000000000.0000")],
)  # fmt: skip
def test_amounts_have_all_their_decimals(amount: int, scale: int, text: str) -> None:
    assert decimal_text(amount, scale) == text


CHART = {
    4097: NamedAccount.of(4097, Account("collections", "INR", party="upi"), 2),
    4096 + 2049: NamedAccount.of(
        4096 + 2049, Account("cash", "INR", product="nps-lite", pot="retirement", origin="own"), 2
    ),
}
MEMBER = 0x2000_0000_0000_00AB
EVENT = EventRow(
    777_000_000_000_000_123, MEMBER, 10, date(2024, 3, 27), datetime(2024, 3, 27, 9, 15, tzinfo=UTC), "partner:7", "ab" * 32,
    '{"rules": ["contribution-amount@2010-04-01"]}', '{"channel": "upi", "amount": "120.05", "tries": 2}',
)  # fmt: skip


def test_an_entry_never_changes() -> None:
    """If this fails, do not mend the test: give the kind a new rendering."""
    rendered = render(EVENT, [TransferRow(MEMBER, 1, 12_005, 4097, 4096 + 2049)], CHART)

    row = (
        '{"amount":"120.05","asset":"INR","credit":"liabilities:cash:nps-lite:retirement:own:20000000000000ab",'
        '"debit":"assets:collections:upi","line":1,"member":"20000000000000ab"}'
    )
    assert rendered.entry.decode() == (
        '{"actor":"partner:7","body":{"amount":"120.05","channel":"upi","tries":"2"},"business_date":"2024-03-27",'
        '"decision":{"rules":["contribution-amount@2010-04-01"]},"event":"777000000000000123",'
        '"kind":"contribution-received","member":"20000000000000ab","pack":"' + "ab" * 32 + '",'
        '"recorded_at":"2024-03-27T09:15:00.000000Z","transfers":{"count":1,"root":"'
        + leaf_hash(row.encode()).hex()
        + '","totals":[{"amount":"120.05","asset":"INR"}]},"v":1}'
    )
    assert rfc8785.dumps(json.loads(rendered.entry)) == rendered.entry


def test_kinds_keep_their_names_and_renderings() -> None:
    assert {int(kind): kind.label for kind in EventKind}.items() >= {
        1: "member-enrolled", 2: "consent-given", 3: "nominees-named", 4: "member-erased", 10: "contribution-received",
        11: "contribution-suspended", 12: "suspense-resolved", 13: "contribution-reversed", 20: "statement-matched", 21: "break-proposed", 22: "break-rejected", 23: "break-resolved",
        30: "price-file-imported", 31: "price-accepted", 32: "price-held", 33: "price-approved", 34: "price-rejected",
        40: "dealing-closed", 41: "order-placed", 42: "units-allotted", 50: "pack-activated", 51: "clock-advanced",
        60: "export-made", 70: "partner-created", 71: "staff-created", 72: "staff-signed-in",
    }.items()  # fmt: skip
    assert set(RENDERINGS.values()) == {1}


@given(
    body=st.dictionaries(st.text(st.characters(codec="utf-8", exclude_characters="\0")), SAFE_JSON, max_size=4),
    actor=st.text(st.characters(codec="utf-8", exclude_characters="\0")),
)
def test_every_entry_is_canonical(body: dict[str, object], actor: str) -> None:
    event = EventRow(1, -4, 9999, date(2024, 1, 1), datetime(2024, 1, 1, tzinfo=UTC), actor, "", "{}", json.dumps(body))
    entry = render(event, [], CHART).entry
    assert rfc8785.dumps(json.loads(entry)) == entry
    assert json.loads(entry)["member"] == "house"
    assert json.loads(entry)["kind"] == "kind-9999"


def test_names_hold_nothing_that_json_or_a_journal_would_misread() -> None:
    odd = NamedAccount.of(4098, Account("suspense", "INR", party='a b;"c\\\n'), 2)
    assert re.fullmatch(r"[A-Za-z0-9._~%:-]+", odd.name(member_name(MEMBER)))


@given(st.text())
def test_no_text_is_a_formula_and_every_text_comes_back(text: str) -> None:
    assert not guarded(text).startswith(("=", "+", "-", "@", "\t", "\r", "\0"))
    assert unguarded(guarded(text)) == text
