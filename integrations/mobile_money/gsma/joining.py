"""How an operator of the GSMA Mobile Money API is joined: its table in the secrets file, and the ports it answers."""

from msgspec import Struct

from engine.kernel.joining import BaseUrl, Given, Means
from integrations.mobile_money.gsma.adapter import (
    GsmaAccounts,
    GsmaCollections,
    GsmaPayouts,
    GsmaProvider,
)
from integrations.mobile_money.gsma.wire import Provider


class Credentials(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An operator, and our account there."""

    base_url: BaseUrl
    token_url: BaseUrl
    client_id: Given
    client_secret: Given
    api_key: Given
    account: Given

    def __repr__(self) -> str:
        return f"Credentials({self.base_url})"


def _provider(credentials: Credentials, means: Means) -> GsmaProvider:
    provider = Provider(
        base_url=credentials.base_url,
        token_url=credentials.token_url,
        client_id=credentials.client_id,
        client_secret=credentials.client_secret,
        api_key=credentials.api_key,
        account=credentials.account,
    )
    return GsmaProvider(means.transport, means.tokens, provider)


class JoinsCollections:
    """Answers `Joins` for collections."""

    credentials = Credentials

    def join(self, credentials: Credentials, means: Means) -> GsmaCollections:
        """Return the adapter."""
        return GsmaCollections(_provider(credentials, means))


class JoinsPayouts:
    """Answers `Joins` for payouts."""

    credentials = Credentials

    def join(self, credentials: Credentials, means: Means) -> GsmaPayouts:
        """Return the adapter."""
        return GsmaPayouts(_provider(credentials, means))


class JoinsAccountCheck:
    """Answers `Joins` for account checks."""

    credentials = Credentials

    def join(self, credentials: Credentials, means: Means) -> GsmaAccounts:
        """Return the adapter."""
        return GsmaAccounts(_provider(credentials, means))
