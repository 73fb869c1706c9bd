"""How a described HTTP gateway is joined: its table in the secrets file, and the port it answers."""

from collections.abc import Mapping

from msgspec import Struct

from engine.kernel.joining import BaseUrl, Means
from integrations.messaging.http_gateway.adapter import HttpGateway
from integrations.messaging.http_gateway.description import Gateway, description_problems


class Credentials(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the gateway is (`description`, such as kannel.toml), the secrets that it names, and where it is.

    `report_url` is our address for delivery reports, which `akiba counterparty register` makes.
    """

    gateway: Gateway
    secrets: Mapping[str, str]
    base_url: BaseUrl
    report_url: str = ""

    def __post_init__(self) -> None:
        """Check that the gateway is described whole, with all its secrets."""
        problems = description_problems(self.gateway, self.secrets)
        if problems:
            raise ValueError("; ".join(problems))

    def __repr__(self) -> str:
        return "Credentials(...)"


class JoinsMessaging:
    """Answers `Joins` for messages."""

    credentials = Credentials

    def join(self, credentials: Credentials, means: Means) -> HttpGateway:
        """Return the adapter."""
        return HttpGateway(
            means.transport,
            credentials.gateway,
            credentials.secrets,
            base_url=credentials.base_url,
            report_url=credentials.report_url,
        )
