"""Signed notes, checkpoints and proof files (C2SP signed-note, tlog-checkpoint, tlog-proof), signed with Ed25519."""

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from engine.audit.rules.merkle import HASH_BYTES

ED25519 = b"\x01"
PROOF_HEADER = "c2sp.org/tlog-proof@v1"
_KEY_ID_BYTES = 4
_MOST_SIGNATURES = 100
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")
_SIGNATURE = re.compile(r"— ([^\s+]+) ([A-Za-z0-9+/]+={0,2})")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]")


class BadNote(ValueError):
    """A note, key, checkpoint or proof file is malformed, or a signature does not verify."""


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A name and the public key that signs under it."""

    name: str
    public: bytes  # 32 bytes

    @property
    def key_id(self) -> bytes:
        """Return the first 4 bytes of SHA-256(name || newline || type || key)."""
        return hashlib.sha256(self.name.encode() + b"\n" + ED25519 + self.public).digest()[:_KEY_ID_BYTES]

    def __str__(self) -> str:
        """Return the vkey: name+key id+key."""
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(ED25519 + self.public).decode()}"

    @classmethod
    def parse(cls, vkey: str) -> "VerifierKey":
        """Return the key a vkey writes.

        Raises:
            BadNote: it is malformed, of another algorithm, or its id is not that of its name and key.

        """
        parts = vkey.split("+", 2)
        if len(parts) != 3:
            raise BadNote("a key is written name+id+key")
        raw = _decode(parts[2], "the key")
        if raw[:1] != ED25519 or len(raw) != 1 + HASH_BYTES:
            raise BadNote("the key is not an Ed25519 key")
        key = cls(checked_name(parts[0]), raw[1:])
        if str(key) != vkey:
            raise BadNote("the key's id is not that of its name and key")
        return key


def verifier_key(name: str, private: Ed25519PrivateKey) -> VerifierKey:
    """Return the public half of a signing key under a name."""
    return VerifierKey(checked_name(name), private.public_key().public_bytes_raw())


def checked_name(name: str) -> str:
    """Return a key's name, or raise BadNote: it is not empty and has no space and no plus sign."""
    if not name or "+" in name or any(c.isspace() for c in name) or _CONTROL.search(name):
        raise BadNote(f"{name!r} cannot name a key")
    return name


def sign_note(text: str, name: str, private: Ed25519PrivateKey) -> str:
    """Return `text`, which ends in a newline, as a note signed under `name`. The same input gives the same note."""
    assert text.endswith("\n"), text
    assert not _CONTROL.search(text), text
    key = verifier_key(name, private)
    signature = base64.b64encode(key.key_id + private.sign(text.encode())).decode()
    return f"{text}\n— {name} {signature}\n"


def open_note(note: str, key: VerifierKey) -> str:
    """Return a note's text once a signature of `key` on it has verified; those of unknown keys are passed over.

    Raises:
        BadNote: the note is malformed, has no signature of this key, or one that does not verify.

    """
    body, separator, signatures = note.rpartition("\n\n")
    if not separator or not signatures.endswith("\n") or _CONTROL.search(note):
        raise BadNote("it is not a signed note")
    text = body + "\n"
    lines = signatures[:-1].split("\n")
    if len(lines) > _MOST_SIGNATURES:
        raise BadNote("it has too many signatures")
    verified = False
    for line in lines:
        found = _SIGNATURE.fullmatch(line)
        if found is None:
            raise BadNote("a signature line is malformed")
        blob = _decode(found[2], "a signature")
        if len(blob) <= _KEY_ID_BYTES:
            raise BadNote("a signature is too short")
        if found[1] != key.name or blob[:_KEY_ID_BYTES] != key.key_id:
            continue
        try:
            Ed25519PublicKey.from_public_bytes(key.public).verify(blob[_KEY_ID_BYTES:], text.encode())
        except InvalidSignature:
            raise BadNote(f"the signature of {key.name} does not verify") from None
        verified = True
    if not verified:
        raise BadNote(f"it bears no signature of {key.name} with this key")
    return text


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log says of itself: its origin, how many entries, and the root over them."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """Return the three lines that are signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    @classmethod
    def parse(cls, text: str) -> "Checkpoint":
        """Return the checkpoint a note's text holds; extension lines are refused, since we write none.

        Raises:
            BadNote: it is none.

        """
        lines = text.split("\n")
        if len(lines) != 4 or lines[3] or not lines[0] or not _SIZE.fullmatch(lines[1]):
            raise BadNote("it is not a checkpoint of three lines")
        root = _decode(lines[2], "the root")
        if len(root) != HASH_BYTES:
            raise BadNote("the root is not 32 bytes")
        return cls(lines[0], int(lines[1]), root)


def open_checkpoint(note: str, key: VerifierKey) -> Checkpoint:
    """Return the checkpoint of a note that `key` signed; its origin is the key's name.

    Raises:
        BadNote: the note is malformed, not signed by the key, or of another log.

    """
    checkpoint = Checkpoint.parse(open_note(note, key))
    if checkpoint.origin != key.name:
        raise BadNote(f"it is the checkpoint of {checkpoint.origin}, not of {key.name}")
    return checkpoint


def proof_file(index: int, proof: Sequence[bytes], checkpoint_note: str) -> str:
    """Return the inclusion proof of leaf `index` as a file that needs nothing beside it but the log's key."""
    hashes = "".join(f"{base64.b64encode(hash_).decode()}\n" for hash_ in proof)
    return f"{PROOF_HEADER}\nindex {index}\n{hashes}\n{checkpoint_note}"


def parse_proof_file(text: str) -> tuple[int, list[bytes], str]:
    """Return (index, proof, checkpoint note) of a proof file.

    Raises:
        BadNote: it is malformed.

    """
    head, separator, note = text.partition("\n\n")
    lines = head.split("\n")
    if not separator or lines[0] != PROOF_HEADER or len(lines) < 2 or not lines[1].startswith("index "):
        raise BadNote("it is not a proof file")
    number = lines[1].removeprefix("index ")
    if not _SIZE.fullmatch(number):
        raise BadNote("its index is malformed")
    return int(number), [_hash(line) for line in lines[2:]], note


def consistency_file(old: int, proof: Sequence[bytes], checkpoint_note: str) -> str:
    """Return the proof that the checkpoint extends the log of `old` entries, as a witness is sent it (C2SP tlog-witness)."""
    hashes = "".join(f"{base64.b64encode(hash_).decode()}\n" for hash_ in proof)
    return f"old {old}\n{hashes}\n{checkpoint_note}"


def parse_consistency_file(text: str) -> tuple[int, list[bytes], str]:
    """Return (old size, proof, checkpoint note) of a consistency proof.

    Raises:
        BadNote: it is malformed.

    """
    head, separator, note = text.partition("\n\n")
    lines = head.split("\n")
    number = lines[0].removeprefix("old ")
    if not separator or not lines[0].startswith("old ") or not _SIZE.fullmatch(number):
        raise BadNote("it is not a consistency proof")
    return int(number), [_hash(line) for line in lines[1:]], note


def _hash(line: str) -> bytes:
    raw = _decode(line, "a hash")
    if len(raw) != HASH_BYTES:
        raise BadNote("a hash is not 32 bytes")
    return raw


def _decode(text: str, what: str) -> bytes:
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise BadNote(f"{what} is not base64") from None
    if base64.b64encode(raw).decode() != text:
        raise BadNote(f"{what} is not written in its one base64 spelling")
    return raw
