"""How IDA is joined: its table in the secrets file."""

from msgspec import Struct

from engine.kernel.joining import BaseUrl, Given, Means
from integrations.identity.keys import read_certificate, read_rsa_key
from integrations.identity.mosip_ida.adapter import MosipIda
from integrations.identity.mosip_ida.wire import Partner


class Credentials(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A partner as in `wire.Partner`; certificates and key as PEM."""

    base_url: BaseUrl
    license_key: Given
    partner_id: Given
    api_key: Given
    domain_uri: Given
    environment: Given
    language: Given
    ida_certificate: Given
    certificate: Given
    private_key: Given
    id_type: str = "UIN"
    authority: str = "mosip"

    def __repr__(self) -> str:
        return f"Credentials({self.base_url}, {self.partner_id})"


class JoinsIdentityAgency:
    """Answers `Joins` for identity agencies."""

    credentials = Credentials

    def join(self, credentials: Credentials, means: Means) -> MosipIda:
        """Return the adapter. Raises ValueError: the key or a certificate cannot be read."""
        entered = {name: getattr(credentials, name) for name in Partner.__struct_fields__}
        read = {
            "ida_certificate": read_certificate(credentials.ida_certificate),
            "certificate": read_certificate(credentials.certificate),
            "private_key": read_rsa_key(credentials.private_key),
        }
        return MosipIda(means.transport, Partner(**(entered | read)), means.clock)
