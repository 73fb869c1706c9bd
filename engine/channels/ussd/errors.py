"""What the menu's desk refuses."""

from engine.kernel.errors import NotFound


class UnknownMenuRequest(NotFound):
    """There is no open request of that id, or it does not fit the member named for it."""

    code = "ussd.unknown-request"
