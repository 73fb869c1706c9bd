"""Airtel's message signing: the body encrypted beside the body, under a key encrypted for Airtel. Pure but for chance."""

import base64
import hashlib
import hmac
import os

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.hazmat.primitives.serialization import load_der_public_key

AES_KEY_BYTES, AES_IV_BYTES, AES_BLOCK_BITS = 32, 16, 128


def encrypt_for_airtel(public_key: str, plaintext: bytes) -> str:
    """Return text encrypted with Airtel's key (base64 of DER): RSA, PKCS#1 v1.5, base64."""
    key = load_der_public_key(base64.b64decode(public_key))
    assert isinstance(key, RSAPublicKey), key
    return base64.b64encode(key.encrypt(plaintext, PKCS1v15())).decode()


def signing_headers(public_key: str, body: bytes) -> dict[str, str]:
    """Return the headers that sign `body`, which must be sent byte for byte.

    x-signature is the body under a fresh AES-256 key (CBC, PKCS#7); x-key is "key:iv" for Airtel alone.
    """
    key, initial = os.urandom(AES_KEY_BYTES), os.urandom(AES_IV_BYTES)
    padder = PKCS7(AES_BLOCK_BITS).padder()
    padded = padder.update(body) + padder.finalize()
    encryptor = Cipher(AES(key), CBC(initial)).encryptor()
    signature = encryptor.update(padded) + encryptor.finalize()
    pair = base64.b64encode(key) + b":" + base64.b64encode(initial)
    return {
        "x-signature": base64.b64encode(signature).decode(),
        "x-key": encrypt_for_airtel(public_key, pair),
    }


def is_hash_of(claimed: str, raw: bytes, secret: str) -> bool:
    """Return whether a callback's hash is that of its transaction as it came: HMAC-SHA256 under the client's secret."""
    expected = base64.b64encode(hmac.digest(secret.encode(), raw, hashlib.sha256))
    return hmac.compare_digest(expected, claimed.encode())
