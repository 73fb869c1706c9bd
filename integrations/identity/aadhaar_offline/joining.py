"""How Aadhaar offline files are joined: whose signatures count, and how old a file may be."""

from datetime import timedelta
from typing import Annotated

from msgspec import Meta, Struct

from engine.kernel.joining import Means
from integrations.identity.aadhaar_offline.adapter import AadhaarOffline
from integrations.identity.aadhaar_offline.wire import Signer
from integrations.identity.keys import read_certificate


class Credentials(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The certificates of UIDAI with their days, and the greatest age of a file in hours."""

    signers: Annotated[list[Signer], Meta(min_length=1)]
    age_max_hours: Annotated[int, Meta(ge=1, le=8_760)]


class JoinsOfflineProof:
    """Answers `Joins` for files that people hand over."""

    credentials = Credentials

    def join(self, credentials: Credentials, means: Means) -> AadhaarOffline:  # noqa: ARG002 - it speaks to nobody
        """Return the adapter. Raises ValueError: a certificate cannot be read."""
        for signer in credentials.signers:
            read_certificate(signer.certificate)
        return AadhaarOffline(credentials.signers, age_max=timedelta(hours=credentials.age_max_hours))
