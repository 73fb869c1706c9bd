"""What notices need from outside: somebody who carries messages, and somebody who shows screens on telephones.

An implementation translates and classifies, no more. It holds no state of messages, does not retry, does not log, and
keeps nothing: the engine stores the message's reference before it asks, the raw bytes of both directions, and the
outcome. What comes in by itself (a report, a request of a gateway) is a `WireRequest` as it arrived.
"""

from collections.abc import Mapping
from hmac import compare_digest
from ipaddress import ip_address, ip_network
from typing import Annotated, Protocol, runtime_checkable

from msgspec import Meta, Struct

from engine.kernel.outcomes import ExchangeState, Reason
from engine.kernel.transport import WireRequest, WireResponse
from engine.notices.errors import ReportForged, ReportUnreadable
from engine.notices.rules.deliveries import DeliveryState
from engine.notices.rules.messages import ApprovedTemplate, OutgoingMessage, UssdScreen

__all__ = [
    "ApprovedTemplate",
    "DeliveryHint",
    "DeliveryState",
    "MessageAnswer",
    "Messaging",
    "OutgoingMessage",
    "ReportForged",
    "ReportUnreadable",
    "Ussd",
    "UssdEnd",
    "UssdLine",
    "UssdRequest",
    "UssdScreen",
]


class MessageAnswer(Struct, frozen=True, kw_only=True):
    """What the provider said when it was asked to carry a message.

    ACCEPTED: it will try; `provider_ref` is its id of the message. REJECTED: nothing is sent and nothing will be;
    `reason` says why, and PROVIDER_DOWN and LIMIT that the same message may be sent later. UNKNOWN: it cannot be told
    whether the message is on its way; only a report or a person ends that. `cost` is decimal text in `currency`, both
    "" where the provider does not say. `parts` counts the messages that are paid for; 0 if none. `code` is the
    provider's own word for the outcome, as it came.
    """

    state: ExchangeState
    reason: Reason | None = None
    provider_ref: str = ""
    cost: str = ""
    currency: str = ""
    parts: int = 0
    code: str = ""


class DeliveryHint(Struct, frozen=True, kw_only=True):
    """What a report says became of a message. A hint: reports come late, twice, reordered, and mostly unsigned.

    `provider_ref` is the id of the `MessageAnswer`; `reference` is ours where the provider repeats it, else "".
    `cost` and `currency` are as there. `code` is the provider's own word.
    """

    provider_ref: str
    state: DeliveryState
    reason: Reason | None = None
    reference: str = ""
    cost: str = ""
    currency: str = ""
    code: str = ""


@runtime_checkable
class Messaging(Protocol):
    """Carries messages, one to a reader, by one provider.

    Implementations must ask the provider once a call, must not retry, and must not shorten or change the text. Whatever
    is not a whole, well-formed refusal or acceptance is UNKNOWN: an error page, a status of the 5xx, an answer about
    another number. They must not put the number, the text or a secret into an exception, a code or a repr.
    """

    async def send(self, message: OutgoingMessage) -> MessageAnswer:
        """Ask the provider to carry `message`, and return what it said.

        Raises:
            Unreachable: nothing was sent; the same message may be sent again.
            Unanswered: the outcome is unknown, as with UNKNOWN.
        """
        ...

    def read_report(self, report: WireRequest) -> tuple[DeliveryHint, ...]:
        """Return what a report says, in its order; nothing where it speaks of other things than deliveries.

        Does no I/O: the same bytes give the same hints. What the provider says in a word unknown to us is UNDER_WAY,
        never an outcome.

        Raises:
            ReportForged: the provider signs its reports and this signature is missing or false.
            ReportUnreadable: it does not have the form of a report.
        """
        ...

    def answer_handshake(self, request: WireRequest) -> WireResponse | None:
        """Return the answer to a request by which the provider tests our address before it reports to it.

        None where `request` is no such test, or one that does not know the word agreed upon.
        """
        ...


class UssdRequest(Struct, frozen=True, kw_only=True):
    """One step of a session on a telephone: all that was typed since it began, oldest first.

    `session` is the gateway's id. `phone` (E.164) is what the gateway asserts, no proof of who holds the telephone.
    The inputs hold PINs: they belong in no log, and the repr leaves them out.
    """

    session: str
    phone: str
    service_code: str
    inputs: tuple[str, ...]
    network: str = ""

    def __repr__(self) -> str:
        """Return what may be logged."""
        return f"UssdRequest(session={self.session!r}, inputs={len(self.inputs)})"


class UssdEnd(Struct, frozen=True, kw_only=True):
    """What the gateway tells after a session: whether it ended well, what it cost, how long it took.

    `succeeded` is None for a word we do not know. `cost` is decimal text in `currency`, "" where not told; `hops` is
    the number of screens, `milliseconds` the duration, 0 where not told. `code` is the gateway's own words.
    """

    session: str
    succeeded: bool | None
    cost: str = ""
    currency: str = ""
    hops: int = 0
    milliseconds: int = 0
    code: str = ""


class UssdLine(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a gateway reaches a scheme's menu: its table in the secrets file, whatever else an adapter adds to it.

    `secret` is the part of our address that nobody can guess: gateways sign nothing. Several schemes may share one, and
    `service_codes` ("*384*12#") tell them apart. `networks` are the addresses ("196.0.2.0/24") that requests may come
    from, any where there are none. `channels` name the collection channel of each mobile operator's code; "" is any other.
    """

    secret: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{32,200}$")]
    service_codes: Annotated[tuple[str, ...], Meta(min_length=1)]
    networks: tuple[str, ...] = ()
    channels: Mapping[str, str] = {}

    def __post_init__(self) -> None:
        """Check that the networks are such."""
        for one in self.networks:
            ip_network(one)

    def __repr__(self) -> str:
        return "UssdLine(...)"

    def admits(self, secret: str, address: str) -> bool:
        """Return whether a request to `secret` from an IP `address` may be the gateway's. Compares in constant time."""
        is_theirs = compare_digest(self.secret.encode(), secret.encode())
        return is_theirs and (not self.networks or self._is_from_there(address))

    def _is_from_there(self, address: str) -> bool:
        try:
            known = ip_address(address)
        except ValueError:
            return False
        return any(known in ip_network(one) for one in self.networks)

    def channel(self, network: str) -> str:
        """Return the channel that a mobile operator's customers pay by; "" where none is named."""
        return self.channels.get(network, self.channels.get("", ""))


@runtime_checkable
class Ussd(Protocol):
    """Translates one gateway's requests for screens. Pure: no I/O, no state, no session kept.

    Gateways send a request again when our answer was late; implementations must give the same `UssdRequest` for the
    same bytes, so that the menu shows the same screen. They must not trust the gateway's length: the text of a screen
    is written whole, or the engine's checks have failed.
    """

    def read(self, request: WireRequest) -> UssdRequest:
        """Return the step that the gateway asks a screen for.

        Raises:
            ReportUnreadable: it does not have the form of such a request.
        """
        ...

    def write(self, screen: UssdScreen) -> WireResponse:
        """Return `screen` as the answer that the gateway shows."""
        ...

    def read_end(self, request: WireRequest) -> UssdEnd:
        """Return what the gateway tells about a session that is over.

        Raises:
            ReportUnreadable: it does not have the form of such a notice.
        """
        ...
