"""How Daraja is joined: its table in the secrets file, and the ports it answers."""

from msgspec import Struct

from engine.kernel.joining import BaseUrl, Given, Means
from integrations.mobile_money.mpesa_daraja.adapter import (
    Daraja,
    DarajaCollections,
    DarajaPaymentsIn,
    DarajaPayouts,
)
from integrations.mobile_money.mpesa_daraja.wire import App, Shortcode


class Credentials(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An application and its pay-bill number. `credential` is the initiator's password, encrypted for Safaricom."""

    base_url: BaseUrl
    consumer_key: Given
    consumer_secret: Given
    shortcode: Given
    passkey: Given
    initiator: str = ""
    credential: str = ""

    def __repr__(self) -> str:
        return f"Credentials({self.base_url}, {self.shortcode})"


def _daraja(credentials: Credentials, means: Means) -> Daraja:
    app = App(
        base_url=credentials.base_url,
        consumer_key=credentials.consumer_key,
        consumer_secret=credentials.consumer_secret,
    )
    shortcode = Shortcode(
        number=credentials.shortcode,
        passkey=credentials.passkey,
        initiator=credentials.initiator,
        credential=credentials.credential,
    )
    return Daraja(means.transport, means.tokens, app, shortcode, means.clock)


class JoinsCollections:
    """Answers `Joins` for collections."""

    credentials = Credentials

    def join(self, credentials: Credentials, means: Means) -> DarajaCollections:
        """Return the adapter."""
        return DarajaCollections(_daraja(credentials, means))


class JoinsPaymentsIn:
    """Answers `Joins` for payments in."""

    credentials = Credentials

    def join(self, credentials: Credentials, means: Means) -> DarajaPaymentsIn:
        """Return the adapter."""
        return DarajaPaymentsIn(_daraja(credentials, means))


class JoinsPayouts:
    """Answers `Joins` for payouts."""

    credentials = Credentials

    def join(self, credentials: Credentials, means: Means) -> DarajaPayouts | None:
        """Return the adapter; None without an initiator."""
        return DarajaPayouts(_daraja(credentials, means)) if credentials.initiator else None
