"""How Africa's Talking is joined: its tables in the secrets file, and the ports it answers."""

from msgspec import Struct

from engine.kernel.joining import BaseUrl, Given, Means
from engine.notices.ports import UssdLine
from integrations.messaging.africas_talking.adapter import PRODUCTION, AfricasTalkingSms, AfricasTalkingUssd


class Credentials(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which account carries messages, and its key. `base_url` is another than the live service's in a sandbox."""

    username: Given
    api_key: Given
    base_url: BaseUrl = PRODUCTION

    def __repr__(self) -> str:
        return "Credentials(...)"


class JoinsMessaging:
    """Answers `Joins` for messages."""

    credentials = Credentials

    def join(self, credentials: Credentials, means: Means) -> AfricasTalkingSms:
        """Return the adapter."""
        return AfricasTalkingSms(
            means.transport,
            username=credentials.username,
            api_key=credentials.api_key,
            base_url=credentials.base_url,
        )


class JoinsUssd:
    """Answers `Joins` for menus on telephones."""

    credentials = UssdLine

    def join(self, credentials: UssdLine, means: Means) -> AfricasTalkingUssd:  # noqa: ARG002 - it asks nobody
        """Return the adapter."""
        return AfricasTalkingUssd()
