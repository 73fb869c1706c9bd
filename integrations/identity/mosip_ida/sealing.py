"""IDA's own envelope: AES-256-GCM with an IV of 16 bytes that follows the tag, the key sealed by RSA-OAEP. Pure."""

import base64
import hashlib
import os
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import GCM
from cryptography.hazmat.primitives.serialization import Encoding
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey
from msgspec import Struct

IV_BYTES = 16
TAG_BYTES = 16
_OAEP = padding.OAEP(mgf=padding.MGF1(algorithm=hashes.SHA256()), algorithm=hashes.SHA256(), label=None)


class Unsealable(Exception):
    """What came is not sealed for this key, or was damaged."""


class Sealed(Struct, frozen=True, kw_only=True):
    """A sealed text, its key, its digest sealed with the same key, and the print of the certificate; base64url."""

    text: str
    session_key: str
    digest: str
    thumbprint: str


def encode(raw: bytes) -> str:
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def decode(text: str) -> bytes:
    """Return the bytes of base64url with or without padding. Raises Unsealable."""
    try:
        return base64.b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), altchars=b"-_", validate=True)
    except (ValueError, AttributeError) as error:
        raise Unsealable from error


def seal(plain: bytes, certificate: x509.Certificate) -> Sealed:
    """Seal `plain` for the holder of the certificate."""
    public = certificate.public_key()
    assert isinstance(public, RSAPublicKey)
    key = os.urandom(32)
    digest = hashlib.sha256(plain).hexdigest().upper()
    return Sealed(
        text=encode(_encrypt(plain, key)),
        session_key=encode(public.encrypt(key, _OAEP)),
        digest=encode(_encrypt(digest.encode(), key)),
        thumbprint=thumbprint(certificate),
    )


def unseal(text: str, session_key: str, private: RSAPrivateKey, digest: str = "") -> bytes:
    """Return what was sealed; with a digest, only if it is of what was sealed.

    Raises:
        Unsealable: see there.
    """
    try:
        key = private.decrypt(decode(session_key), _OAEP)
        plain = _decrypt(decode(text), key)
        if digest and _decrypt(decode(digest), key) != hashlib.sha256(plain).hexdigest().upper().encode():
            raise Unsealable
    except (ValueError, InvalidTag) as error:
        raise Unsealable from error
    return plain


def thumbprint(certificate: x509.Certificate) -> str:
    """Return the SHA-256 of the certificate, base64url."""
    return encode(hashlib.sha256(certificate.public_bytes(Encoding.DER)).digest())


def sign(body: bytes, private: RSAPrivateKey, certificate: x509.Certificate) -> str:
    """Return the detached signature of the body, with the certificate in its header: `protected..signature`."""
    header: dict[str, Any] = {
        "alg": "RS256",
        "x5c": [base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()],
    }
    protected, _, signature = jws.serialize_compact(header, body, _key(private)).split(".")
    return f"{protected}..{signature}"


def is_signed(signature: str, body: bytes, certificate: x509.Certificate) -> bool:
    """Return whether a detached signature is of this body by the holder of this certificate."""
    public = certificate.public_key()
    assert isinstance(public, RSAPublicKey)
    protected, _, made = signature.partition("..")
    try:
        jws.deserialize_compact(f"{protected}.{encode(body)}.{made}", _key(public), registry=_Registry())
    except (JoseError, ValueError):
        return False
    return True


class _Registry(jws.JWSRegistry):
    """Takes headers that hold a certificate."""

    max_header_length = 8_192

    def __init__(self) -> None:
        super().__init__(algorithms=["RS256"])


def _key(key: RSAPrivateKey | RSAPublicKey) -> RSAKey:
    return RSAKey(key, key)


def _encrypt(plain: bytes, key: bytes) -> bytes:
    iv = os.urandom(IV_BYTES)
    encryptor = Cipher(AES(key), GCM(iv)).encryptor()
    sealed = encryptor.update(plain) + encryptor.finalize()
    return sealed + encryptor.tag + iv


def _decrypt(sealed: bytes, key: bytes) -> bytes:
    if len(sealed) < IV_BYTES + TAG_BYTES:
        raise Unsealable
    text, tag, iv = sealed[: -IV_BYTES - TAG_BYTES], sealed[-IV_BYTES - TAG_BYTES : -IV_BYTES], sealed[-IV_BYTES:]
    decryptor = Cipher(AES(key), GCM(iv, tag)).decryptor()
    return decryptor.update(text) + decryptor.finalize()
