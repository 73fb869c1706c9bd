"""What webhooks refuse."""

from engine.kernel.errors import Invalid, NotFound


class UnknownWebhook(NotFound):
    """The partner is not told anything: it has named no endpoint, or removed it."""

    code = "webhooks.unknown"


class UrlNotAllowed(Invalid):
    """Nobody may be told at this address. Details: `field`, `reason`: not-a-url, not-https, private-address and the like."""

    code = "webhooks.url-not-allowed"
