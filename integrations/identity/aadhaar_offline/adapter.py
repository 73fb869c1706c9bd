"""Aadhaar offline files, answering the port for proofs that a person hands over."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from engine.identity.ports import VerifiedPerson
from integrations.identity.aadhaar_offline import wire
from integrations.identity.aadhaar_offline.wire import Signer


class AadhaarOffline:
    """See `engine.identity.ports.OfflineProof`. The share code and the Aadhaar number are kept nowhere."""

    def __init__(self, signers: Sequence[Signer], *, age_max: timedelta) -> None:
        """Believe files that one of `signers` signed and that are no older than `age_max`."""
        self._signers, self._age_max = tuple(signers), age_max

    def read(self, raw: bytes, secret: str, now: datetime) -> VerifiedPerson:
        """Return what the file says; `secret` is the share code."""
        root = wire.verified_root(wire.open_archive(raw, secret), self._signers)
        return wire.read_person(root, "aadhaar", now, self._age_max)

    def is_phone_of(self, raw: bytes, secret: str, phone: str) -> bool:
        """Return whether the file is of the resident with the national telephone number `phone`. Raises NotProven."""
        root = wire.verified_root(wire.open_archive(raw, secret), self._signers)
        return wire.is_phone_of(root, phone, secret)
