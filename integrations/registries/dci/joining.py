"""How a DCI register is joined: its table in the secrets file, one for civil and for social registers."""

from typing import Literal

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, RSAKey
from msgspec import Struct

from engine.kernel.joining import BaseUrl, Given, Means
from integrations.registries.dci.adapter import DciRegistry
from integrations.registries.dci.wire import Registry


class Credentials(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A register as in `wire.Registry`, our key and its public key: PEM, each with the name that the other side knows it by."""

    base_url: BaseUrl
    sender_id: Given
    receiver_id: Given
    reg_type: Given
    signing_key: Given
    signing_key_id: Given
    its_key: Given
    its_key_id: Given
    algorithm: Literal["RS256", "PS256", "ES256"] = "RS256"
    record_type: str = "spdci-extensions-dci:Person"
    record_kind: str = "DRN"
    class_field: str = "class"
    as_of_field: str = "registration_date"
    age_max_hours: int = 24

    def __repr__(self) -> str:
        return f"Credentials({self.base_url}, {self.receiver_id})"


class JoinsRegistry:
    """Answers `Joins` for civil and for social registers."""

    credentials = Credentials

    def join(self, credentials: Credentials, means: Means) -> DciRegistry:
        """Return the adapter. Raises ValueError: a key cannot be read."""
        registry = Registry(**{name: getattr(credentials, name) for name in Registry.__struct_fields__})
        kind = ECKey if credentials.algorithm.startswith("ES") else RSAKey
        try:
            ours = kind.import_key(
                credentials.signing_key, {"kid": credentials.signing_key_id, "alg": credentials.algorithm}
            )
            its = kind.import_key(credentials.its_key, {"kid": credentials.its_key_id})
        except (JoseError, ValueError, TypeError) as error:
            raise ValueError(f"a key cannot be read, or is none for {credentials.algorithm}") from error
        return DciRegistry(means.transport, registry, ours, KeySet([its]), means.clock)
