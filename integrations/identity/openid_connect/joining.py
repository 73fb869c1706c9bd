"""How an OpenID provider is joined: its table in the secrets file."""

from typing import Literal

from msgspec import Struct

from engine.kernel.joining import BaseUrl, Given, Means
from integrations.identity.keys import read_jose_key
from integrations.identity.openid_connect.adapter import OpenIdSignIn
from integrations.identity.openid_connect.wire import Provider


class Credentials(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A provider as in `wire.Provider`, and our keys: PEM, each with the name that the provider knows it by."""

    authority: Given
    issuer: Given
    authorization_endpoint: BaseUrl
    token_endpoint: BaseUrl
    userinfo_endpoint: BaseUrl
    jwks_uri: BaseUrl
    client_id: Given
    redirect_uri: BaseUrl
    signing_key: Given
    signing_key_id: Given
    algorithm: Literal["RS256", "PS256", "ES256"] = "RS256"
    sealing_key: str = ""
    sealing_key_id: str = ""
    scope: str = "openid profile"
    acr_values: str = ""
    trust_framework: str = ""

    def __repr__(self) -> str:
        return f"Credentials({self.issuer})"


class JoinsSignIn:
    """Answers `Joins` for signing in."""

    credentials = Credentials

    def join(self, credentials: Credentials, means: Means) -> OpenIdSignIn:
        """Return the adapter. Raises ValueError: a key cannot be read."""
        provider = Provider(**{name: getattr(credentials, name) for name in Provider.__struct_fields__})
        signing = read_jose_key(credentials.signing_key, credentials.signing_key_id, credentials.algorithm)
        sealing = None
        if credentials.sealing_key:
            sealing = read_jose_key(credentials.sealing_key, credentials.sealing_key_id, "RSA-OAEP-256")
        return OpenIdSignIn(means.transport, provider, signing, means.clock, sealing)
