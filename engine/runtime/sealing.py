"""Sealed documents: bytes encrypted under a key of their own, which lies beside them wrapped by the tenant's.

For what came from outside and may name people: destroying the row's first part erases it for ever.
"""

from engine.runtime.secrets import KeyStore, associated_data, decrypt, encrypt, new_data_key


def seal(keys: KeyStore, tenant_id: int, table: str, row_id: object, plaintext: bytes) -> bytes:
    """Encrypt a document for its one row of its one table."""
    place = associated_data(tenant_id, table, "document", row_id)
    key = new_data_key()
    wrapped = keys.wrap(tenant_id, key, aad=place)
    return len(wrapped).to_bytes(2, "big") + wrapped + encrypt(key, plaintext, aad=place)


def unseal(keys: KeyStore, tenant_id: int, table: str, row_id: object, sealed: bytes) -> bytes:
    """Return what `seal` was given.

    Raises:
        DecryptionFailed: another row's, another tenant's, or changed since.
    """
    place = associated_data(tenant_id, table, "document", row_id)
    end = 2 + int.from_bytes(sealed[:2], "big")
    return decrypt(keys.unwrap(tenant_id, sealed[2:end], aad=place), sealed[end:], aad=place)
