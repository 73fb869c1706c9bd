"""A key store in one file, for development, pilots and small sites. Others keep these keys in an HSM or a KMS.

The file is TOML of mode 0600; keys are 32 random bytes in base64:

    version = 1
    [platform]
    token_signing_key = "..."            # Ed25519 seed
    [tenants.7]
    current = 1                          # the encryption key that wraps from now on
    blind_index_key = "..."
    digest_key = "..."
    log_signing_key = "..."              # Ed25519 seed
    [tenants.7.encryption_keys]
    1 = "..."                            # older ones stay until nothing is wrapped under them

Losing it loses every encrypted field: it belongs in a backup of its own, apart from the database's.
"""

import base64
import binascii
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomli_w
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from engine.runtime.private_files import exclusive, is_private, write_private
from engine.runtime.secrets import KEY_BYTES, DataKey, DecryptionFailed, decrypt, encrypt, key_id_of

_FILE_VERSION = 1
_KEY_ID_BYTES = 2


class KeysUnavailable(Exception):
    """The keys file is missing, unsafe or damaged; the message says what to do."""


@dataclass(frozen=True, slots=True)
class TenantKeys:
    """One tenant's keys; `repr` shows none of them."""

    current_id: int
    encryption_keys: Mapping[int, DataKey] = field(repr=False)
    blind_index_key: bytes = field(repr=False)
    digest_key: bytes = field(repr=False)
    log_signing_seed: bytes = field(repr=False)

    @property
    def log_signing_key(self) -> Ed25519PrivateKey:
        """The key that signs the tenant's checkpoints."""
        return Ed25519PrivateKey.from_private_bytes(self.log_signing_seed)


class FileKeyStore:
    """Answers `KeyStore`, and keeps the other keys of tenants and platform."""

    def __init__(self, path: Path, profile: str = "development") -> None:
        """Read the keys file; in development, make it when missing.

        Raises:
            KeysUnavailable: it is missing in production, others may read it, or it is damaged.

        """
        self.path = path
        if not path.exists():
            if profile != "development":
                raise KeysUnavailable(
                    f"there is no keys file at {path}; restore it from its backup, or for a new platform make it "
                    "with `FileKeyStore.create`: a new one cannot read what an old one encrypted"
                )
            self.create(path)
        self._table = self._read()

    @staticmethod
    def create(path: Path) -> None:
        """Make a keys file with a fresh platform key; do nothing when there is one."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with exclusive(_lock_of(path)):
            if not path.exists():
                _write(path, {"version": _FILE_VERSION, "platform": {"token_signing_key": _fresh()}, "tenants": {}})

    @property
    def token_signing_key(self) -> Ed25519PrivateKey:
        """The platform's key that signs access tokens."""
        where = "platform.token_signing_key"
        return Ed25519PrivateKey.from_private_bytes(
            self._key(self._table.get("platform", {}), "token_signing_key", where)
        )

    def tenant(self, tenant_id: int) -> TenantKeys:
        """Return a tenant's keys, made at random on its first use.

        Raises:
            KeysUnavailable: they are damaged, or the file cannot be written.

        """
        name = str(tenant_id)
        if name not in self._table["tenants"]:
            self._add(name)
        entry = self._table["tenants"][name]
        where = f"tenants.{name}"
        held = entry.get("encryption_keys", {})
        keys = {int(key): DataKey(int(key), self._key(held, key, f"{where}.encryption_keys")) for key in held}
        if entry.get("current") not in keys:
            raise KeysUnavailable(f"{self.path}: {where}.current names no key in {where}.encryption_keys")
        return TenantKeys(
            current_id=entry["current"],
            encryption_keys=keys,
            blind_index_key=self._key(entry, "blind_index_key", where),
            digest_key=self._key(entry, "digest_key", where),
            log_signing_seed=self._key(entry, "log_signing_key", where),
        )

    def wrap(self, tenant_id: int, key: DataKey, *, aad: bytes) -> bytes:
        """Return the data key encrypted under the tenant's current key, bound to `aad`."""
        keys = self.tenant(tenant_id)
        plaintext = key.key_id.to_bytes(_KEY_ID_BYTES, "big") + key.secret
        return encrypt(keys.encryption_keys[keys.current_id], plaintext, aad=_wrapping(tenant_id, aad))

    def unwrap(self, tenant_id: int, wrapped: bytes, *, aad: bytes) -> DataKey:
        """Return the data key that `wrap` was given.

        Raises:
            DecryptionFailed: another tenant's, another `aad`, changed since, or under a key that is gone.

        """
        key_id = key_id_of(wrapped)
        if key_id not in self.tenant(tenant_id).encryption_keys:
            self._table = self._read()  # another process may have rotated
        key = self.tenant(tenant_id).encryption_keys.get(key_id)
        if key is None:
            raise DecryptionFailed("wrapped under a key that the key store does not have")
        plaintext = decrypt(key, wrapped, aad=_wrapping(tenant_id, aad))
        return DataKey(int.from_bytes(plaintext[:_KEY_ID_BYTES], "big"), plaintext[_KEY_ID_BYTES:])

    def rotate(self, tenant_id: int) -> int:
        """Give a tenant a new encryption key to wrap with from now on, keep the old ones; return its id.

        Other processes go on wrapping under the old one until they meet the new one; all can read both.
        """
        self.tenant(tenant_id)
        with exclusive(_lock_of(self.path)):
            table = self._read()
            entry = table["tenants"][str(tenant_id)]
            entry["current"] = max(int(key) for key in entry["encryption_keys"]) + 1
            entry["encryption_keys"][str(entry["current"])] = _fresh()
            _write(self.path, table)
            self._table = table
        return int(entry["current"])

    def _add(self, name: str) -> None:
        with exclusive(_lock_of(self.path)):
            table = self._read()  # another process may have added it meanwhile
            if name not in table["tenants"]:
                table["tenants"][name] = {
                    "current": 1,
                    "blind_index_key": _fresh(),
                    "digest_key": _fresh(),
                    "log_signing_key": _fresh(),
                    "encryption_keys": {"1": _fresh()},
                }
                _write(self.path, table)
            self._table = table

    def _read(self) -> dict[str, Any]:
        try:
            if not is_private(self.path):
                raise KeysUnavailable(f"{self.path} holds keys and others may read it; run chmod 600 on it")
            table = tomllib.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise KeysUnavailable(f"{self.path} cannot be read: {error}") from None
        if table.get("version") != _FILE_VERSION or not isinstance(table.setdefault("tenants", {}), dict):
            raise KeysUnavailable(f"{self.path} is not a keys file of version {_FILE_VERSION}")
        return table

    def _key(self, table: Mapping[str, Any], name: str, where: str) -> bytes:
        try:
            raw = base64.b64decode(table[name], validate=True)
        except (KeyError, TypeError, ValueError, binascii.Error):
            raw = b""
        if len(raw) != KEY_BYTES:
            raise KeysUnavailable(f"{self.path}: {where}: {name} is not {KEY_BYTES} bytes in base64")
        return raw


def _wrapping(tenant_id: int, aad: bytes) -> bytes:
    return f"data-key|{tenant_id}|".encode() + aad


def _fresh() -> str:
    return base64.b64encode(os.urandom(KEY_BYTES)).decode()


def _lock_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")


def _write(path: Path, table: Mapping[str, Any]) -> None:
    write_private(path, tomli_w.dumps(table).encode())
