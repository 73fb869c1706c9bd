"""How WhatsApp is joined: its table in the secrets file, and the port it answers."""

from msgspec import Struct

from engine.kernel.joining import BaseUrl, Given, Means
from integrations.messaging.whatsapp.adapter import GRAPH, WhatsAppCloud


class Credentials(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which number sends, its token, and the secret by which the platform signs what it reports."""

    phone_number_id: Given
    token: Given
    app_secret: Given
    verify_token: Given
    base_url: BaseUrl = GRAPH

    def __repr__(self) -> str:
        return "Credentials(...)"


class JoinsMessaging:
    """Answers `Joins` for messages."""

    credentials = Credentials

    def join(self, credentials: Credentials, means: Means) -> WhatsAppCloud:
        """Return the adapter."""
        return WhatsAppCloud(
            means.transport,
            phone_number_id=credentials.phone_number_id,
            token=credentials.token,
            app_secret=credentials.app_secret,
            verify_token=credentials.verify_token,
            base_url=credentials.base_url,
        )
