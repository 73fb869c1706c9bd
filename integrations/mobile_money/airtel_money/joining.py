"""How Airtel Money is joined: its table in the secrets file, and the ports it answers."""

from msgspec import Struct

from engine.kernel.joining import BaseUrl, Given, Means
from integrations.mobile_money.airtel_money.adapter import Airtel, AirtelAccounts, AirtelCollections, AirtelPayouts
from integrations.mobile_money.airtel_money.wire import App


class Credentials(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An application in one country. `pin` is of the wallet that pays out."""

    base_url: BaseUrl
    client_id: Given
    client_secret: Given
    country: Given
    currency: Given
    pin: str = ""

    def __repr__(self) -> str:
        return f"Credentials({self.base_url}, {self.country})"


def _airtel(credentials: Credentials, means: Means) -> Airtel:
    app = App(
        base_url=credentials.base_url,
        client_id=credentials.client_id,
        client_secret=credentials.client_secret,
        country=credentials.country,
        currency=credentials.currency,
        pin=credentials.pin,
    )
    return Airtel(means.transport, means.tokens, app)


class JoinsCollections:
    """Answers `Joins` for collections."""

    credentials = Credentials

    def join(self, credentials: Credentials, means: Means) -> AirtelCollections:
        """Return the adapter."""
        return AirtelCollections(_airtel(credentials, means))


class JoinsPayouts:
    """Answers `Joins` for payouts."""

    credentials = Credentials

    def join(self, credentials: Credentials, means: Means) -> AirtelPayouts | None:
        """Return the adapter; None without a PIN."""
        return AirtelPayouts(_airtel(credentials, means)) if credentials.pin else None


class JoinsAccountCheck:
    """Answers `Joins` for account checks."""

    credentials = Credentials

    def join(self, credentials: Credentials, means: Means) -> AirtelAccounts:
        """Return the adapter."""
        return AirtelAccounts(_airtel(credentials, means))
