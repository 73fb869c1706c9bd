"""Encryption of fields and keyed digests. The only module that encrypts.

Envelope: a tenant's key-encryption key wraps data keys (one a member), a data key encrypts fields. Destroying a
member's wrapped key makes all that it encrypted unreadable for ever.

A ciphertext is `version (1 byte) | algorithm (1) | key id (2) | nonce (12) | ciphertext | tag (16)`, AES-256-GCM with
a random nonce. Its first four bytes and the caller's associated data are authenticated: a value pasted into another
row, column or tenant does not decrypt. A key may encrypt 2^32 values (NIST SP 800-38D, 8.3); a member's never will.
"""

import hmac
import os
import struct
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
_DIGEST_BYTES = 16
_VERSION = 1
_AES_256_GCM = 1
_HEADER = struct.Struct(">BBH")
_NONCE_BYTES = 12
_TAG_BYTES = 16
_LARGEST_KEY_ID = 2**16 - 1


class DecryptionFailed(Exception):
    """The bytes were not made by this key for this place: another key, another place, or changed since."""


@dataclass(frozen=True, slots=True)
class DataKey:
    """A key that encrypts fields. `key_id` tells one generation of the same holder's keys from the next."""

    key_id: int  # 0 to 65535
    secret: bytes = field(repr=False)  # 32 bytes

    def __post_init__(self) -> None:
        """Check the shapes."""
        assert 0 <= self.key_id <= _LARGEST_KEY_ID, self.key_id
        assert len(self.secret) == KEY_BYTES, len(self.secret)


class KeyStore(Protocol):
    """Holds the keys that never leave it: those that wrap data keys."""

    def wrap(self, tenant_id: int, key: DataKey, *, aad: bytes) -> bytes:
        """Return the data key encrypted under the tenant's current key, bound to `aad`."""
        ...

    def unwrap(self, tenant_id: int, wrapped: bytes, *, aad: bytes) -> DataKey:
        """Return the data key that `wrap` was given.

        Raises:
            DecryptionFailed: another tenant's, another `aad`, or changed since.

        """
        ...


def new_data_key(key_id: int = 1) -> DataKey:
    """Return a fresh random data key."""
    return DataKey(key_id, os.urandom(KEY_BYTES))


def associated_data(tenant_id: int, table: str, column: str, row_id: object) -> bytes:
    """Return the name of the one place a value belongs to, as `aad` for `encrypt` and `decrypt`."""
    parts = [str(tenant_id), table, column, str(row_id)]
    assert not any("|" in part for part in parts), parts
    return "|".join(parts).encode()


def encrypt(key: DataKey, plaintext: bytes, *, aad: bytes) -> bytes:
    """Encrypt a value for the place that `aad` names; 32 bytes longer than the value.

    The length of the value shows; the value, and whether two values are equal, do not.
    """
    header = _HEADER.pack(_VERSION, _AES_256_GCM, key.key_id)
    nonce = os.urandom(_NONCE_BYTES)
    return header + nonce + AESGCM(key.secret).encrypt(nonce, plaintext, header + aad)


def decrypt(key: DataKey, ciphertext: bytes, *, aad: bytes) -> bytes:
    """Return the value that `encrypt` was given.

    Raises:
        DecryptionFailed: another key, another `aad`, changed since, or not a ciphertext at all.

    """
    if key_id_of(ciphertext) != key.key_id:
        raise DecryptionFailed("encrypted under another key")
    header, rest = ciphertext[: _HEADER.size], ciphertext[_HEADER.size :]
    try:
        return AESGCM(key.secret).decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], header + aad)
    except InvalidTag:
        raise DecryptionFailed("not made by this key for this place, or changed since") from None


def key_id_of(ciphertext: bytes) -> int:
    """Return the id of the key that encrypted a value, to choose the key by.

    Raises:
        DecryptionFailed: it is not a ciphertext of a known version and algorithm.

    """
    if len(ciphertext) < _HEADER.size + _NONCE_BYTES + _TAG_BYTES:
        raise DecryptionFailed("too short for a ciphertext")
    version, algorithm, key_id = _HEADER.unpack_from(ciphertext)
    if (version, algorithm) != (_VERSION, _AES_256_GCM):
        raise DecryptionFailed("of an unknown version or algorithm")
    return int(key_id)


def blind_index(key: bytes, purpose: str, normalised: str) -> UUID:
    """Return 128 bits by which an encrypted value can be looked up: equal values, equal index.

    Whoever has the key can try all telephone numbers, so it is as secret as the values.

    Args:
        key: the tenant's blind-index key, 32 bytes.
        purpose: what is indexed, such as `msisdn`; the same value under another purpose gives another index.
        normalised: the value in its one spelling, such as E.164.

    """
    assert "|" not in purpose, purpose
    return UUID(bytes=_keyed(key, f"{purpose}|v1|{normalised}".encode()))


def keyed_digest(key: bytes, scope: str, value: str | bytes) -> bytes:
    """Return 16 bytes that stand for a value in events: equal values in one scope, equal digests.

    Args:
        key: the tenant's digest key, 32 bytes.
        scope: where the value counts, such as a provider's name.
        value: text (as UTF-8) or bytes.

    """
    assert "|" not in scope, scope
    raw = value.encode() if isinstance(value, str) else value
    return _keyed(key, f"{scope}|v1|".encode() + raw)


def _keyed(key: bytes, message: bytes) -> bytes:
    assert len(key) == KEY_BYTES, len(key)
    return hmac.digest(key, message, "sha256")[:_DIGEST_BYTES]
