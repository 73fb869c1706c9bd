"""What an adapter needs of a session: one protocol data unit out, its response in."""

from typing import Protocol


class BindRefused(Exception):
    """The message centre does not let us in: nothing was sent. `status` is its command status."""

    def __init__(self, status: int) -> None:
        super().__init__(f"0x{status:08x}")
        self.status = status


class SmppLink(Protocol):
    """Carries requests over a session that it opens when it must. It sends each once and never again."""

    async def exchange(self, pdu: bytes) -> bytes:
        """Return the response to a request, whose sequence number the link gives.

        Raises:
            BindRefused: the session could not be opened, nothing was sent.
            Unreachable: there is no connection, nothing was sent.
            Unanswered: the request went out and no whole response came.
        """
        ...
