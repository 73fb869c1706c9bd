"""Encryption refuses what it must; keys stay in a file of their owner's."""

import multiprocessing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.runtime.key_file import FileKeyStore, KeysUnavailable
from engine.runtime.secrets import (
    DataKey,
    DecryptionFailed,
    associated_data,
    blind_index,
    decrypt,
    encrypt,
    keyed_digest,
    new_data_key,
)

KEY = DataKey(3, bytes(range(32)))
HERE = associated_data(7, "person", "name", 41)


@given(st.binary(max_size=200), st.binary(max_size=40))
def test_what_was_encrypted_comes_back(plaintext: bytes, aad: bytes) -> None:
    sealed = encrypt(KEY, plaintext, aad=aad)
    assert decrypt(KEY, sealed, aad=aad) == plaintext
    assert sealed[:4] == b"\x01\x01\x00\x03"
    assert len(sealed) == len(plaintext) + 32


def test_equal_values_look_different() -> None:
    assert encrypt(KEY, b"Amina", aad=HERE) != encrypt(KEY, b"Amina", aad=HERE)


@pytest.mark.parametrize("elsewhere", [(8, "person", "name", 41), (7, "person", "name", 42), (7, "person", "iban", 41)])
def test_a_value_pasted_into_another_place_fails(elsewhere: tuple[int, str, str, int]) -> None:
    sealed = encrypt(KEY, b"Amina", aad=HERE)
    with pytest.raises(DecryptionFailed):
        decrypt(KEY, sealed, aad=associated_data(*elsewhere))


def test_any_changed_or_missing_byte_fails() -> None:
    sealed = encrypt(KEY, b"Amina", aad=HERE)
    for place in range(len(sealed)):
        changed = bytearray(sealed)
        changed[place] ^= 1
        with pytest.raises(DecryptionFailed):
            decrypt(KEY, bytes(changed), aad=HERE)
        with pytest.raises(DecryptionFailed):
            decrypt(KEY, sealed[:place], aad=HERE)


def test_another_key_fails() -> None:
    sealed = encrypt(KEY, b"Amina", aad=HERE)
    for other in (new_data_key(3), DataKey(4, KEY.secret)):
        with pytest.raises(DecryptionFailed):
            decrypt(other, sealed, aad=HERE)


def test_the_places_name_is_unambiguous() -> None:
    with pytest.raises(AssertionError):
        associated_data(7, "person|name", "", 41)


def test_digests_depend_on_key_purpose_and_value() -> None:
    other = bytes(32)
    index = blind_index(KEY.secret, "msisdn", "+254712345678")
    assert index == blind_index(KEY.secret, "msisdn", "+254712345678")
    assert len({
        index,
        blind_index(other, "msisdn", "+254712345678"),
        blind_index(KEY.secret, "agent", "+254712345678"),
        blind_index(KEY.secret, "msisdn", "+254712345679"),
    }) == 4  # fmt: skip
    digest = keyed_digest(KEY.secret, "wallet", "TX1")
    assert len(digest) == 16
    assert digest == keyed_digest(KEY.secret, "wallet", b"TX1") != keyed_digest(KEY.secret, "bank", "TX1")


def test_keys_do_not_show_when_printed(tmp_path: Path) -> None:
    keys = FileKeyStore(tmp_path / "keys.toml").tenant(1)
    assert "secret" not in repr(KEY)
    assert str(keys.digest_key) not in repr(keys)


def test_the_file_is_its_owners_and_the_keys_stay(tmp_path: Path) -> None:
    path = tmp_path / "data" / "keys.toml"
    store = FileKeyStore(path)
    seven, eight = store.tenant(7), store.tenant(8)
    assert path.stat().st_mode & 0o777 == 0o600
    again = FileKeyStore(path, "production")
    assert again.tenant(7) == seven
    assert again.token_signing_key.private_bytes_raw() == store.token_signing_key.private_bytes_raw()
    secrets = [k.secret for k in (seven.encryption_keys[1], eight.encryption_keys[1])]
    secrets += [s for t in (seven, eight) for s in (t.blind_index_key, t.digest_key, t.log_signing_seed)]
    assert len(set(secrets)) == 8
    signature = seven.log_signing_key.sign(b"x")
    seven.log_signing_key.public_key().verify(signature, b"x")


def test_production_makes_no_keys_file(tmp_path: Path) -> None:
    with pytest.raises(KeysUnavailable, match="no keys file"):
        FileKeyStore(tmp_path / "keys.toml", "production")
    assert list(tmp_path.iterdir()) == []


def test_refuses_a_file_that_others_may_read(tmp_path: Path) -> None:
    FileKeyStore(tmp_path / "keys.toml")
    (tmp_path / "keys.toml").chmod(0o640)
    with pytest.raises(KeysUnavailable, match="chmod 600"):
        FileKeyStore(tmp_path / "keys.toml")


@pytest.mark.parametrize("content", ["version = 2", "not toml", "version = 1\ntenants = 3"])
def test_refuses_a_damaged_file_and_leaves_it(tmp_path: Path, content: str) -> None:
    path = tmp_path / "keys.toml"
    path.touch(mode=0o600)
    path.write_text(content)
    with pytest.raises(KeysUnavailable):
        FileKeyStore(path)
    assert path.read_text() == content


def test_a_wrapped_key_belongs_to_one_tenant_and_place(tmp_path: Path) -> None:
    store = FileKeyStore(tmp_path / "keys.toml")
    key = new_data_key(5)
    wrapped = store.wrap(7, key, aad=HERE)
    assert key.secret not in wrapped
    assert store.unwrap(7, wrapped, aad=HERE) == key
    for tenant_id, aad in ((8, HERE), (7, b"elsewhere")):
        with pytest.raises(DecryptionFailed):
            store.unwrap(tenant_id, wrapped, aad=aad)


def test_after_a_rotation_old_wraps_are_still_read_also_by_others(tmp_path: Path) -> None:
    store, other = FileKeyStore(tmp_path / "keys.toml"), FileKeyStore(tmp_path / "keys.toml")
    key = new_data_key()
    old = store.wrap(7, key, aad=HERE)
    other.tenant(7)
    assert store.rotate(7) == 2
    new = store.wrap(7, key, aad=HERE)
    for reader in (store, other):
        assert reader.unwrap(7, old, aad=HERE) == reader.unwrap(7, new, aad=HERE) == key


def _first_use(path: Path) -> bytes:
    return FileKeyStore(path).tenant(7).digest_key


def test_processes_that_meet_a_new_tenant_at_once_agree(tmp_path: Path) -> None:
    with multiprocessing.get_context("fork").Pool(4) as pool:
        assert len(set(pool.map(_first_use, [tmp_path / "keys.toml"] * 8))) == 1
