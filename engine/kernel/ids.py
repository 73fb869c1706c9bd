"""Identifiers: random member ids, member numbers with a check digit, digests."""

import hashlib
import secrets
from uuid import UUID

from stdnum import luhn


def new_member_id() -> int:
    """Return a random positive 62-bit id: the pseudonym of a member, never printed, unique across tenants."""
    return secrets.randbits(62) | 1 << 61


def new_member_number(digits: int, prefix: str = "") -> str:
    """Return `prefix`, random digits and a Luhn check digit (ISO/IEC 7812-1 annex B), `digits` long in all."""
    body = prefix + "".join(secrets.choice("0123456789") for _ in range(digits - len(prefix) - 1))
    return body + str(luhn.calc_check_digit(body))


def is_member_number(text: str) -> bool:
    """Return whether `text` is all digits with a right Luhn check digit."""
    return text.isascii() and text.isdigit() and bool(luhn.is_valid(text))


def claim_digest(tenant_id: int, scope: str, key: str) -> UUID:
    """Return 128 bits of SHA-256 over (tenant, scope, key): what is claimed once, for ever."""
    digest = hashlib.sha256(f"{tenant_id}\x1f{scope}\x1f{key}".encode()).digest()
    return UUID(bytes=digest[:16])


def body_digest(*parts: object) -> int:
    """Return a signed 64-bit digest of a request's meaning, to tell a retry from another request."""
    digest = hashlib.sha256("\x1f".join(str(part) for part in parts).encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def house_member(tenant_id: int) -> int:
    """Return the reserved member that scheme-level events and transfers belong to: the negated tenant."""
    return -tenant_id
