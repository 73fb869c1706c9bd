"""Keys and certificates as they are entered: PEM text. Pure."""

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, RSAKey


def read_certificate(pem: str) -> x509.Certificate:
    """Return a certificate. Raises ValueError: it is none."""
    return x509.load_pem_x509_certificate(pem.encode())


def read_rsa_key(pem: str) -> RSAPrivateKey:
    """Return a private RSA key. Raises ValueError: it is none."""
    key = load_pem_private_key(pem.encode(), password=None)
    if not isinstance(key, RSAPrivateKey):
        raise ValueError("the key is not an RSA key")  # noqa: TRY004 - what was entered is wrong, no type of ours
    return key


def read_jose_key(pem: str, kid: str, alg: str) -> Key:
    """Return a key for `alg` (RS256, PS256, ES256) under the name that the other side knows it by.

    Raises:
        ValueError: it is none, or none for that algorithm.
    """
    kind = ECKey if alg.startswith("ES") else RSAKey
    try:
        return kind.import_key(pem, {"kid": kid, "alg": alg})
    except (JoseError, ValueError, TypeError) as error:
        raise ValueError(f"the key cannot be read, or is none for {alg}") from error
