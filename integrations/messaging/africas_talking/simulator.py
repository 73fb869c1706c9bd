"""The other side of Africa's Talking: its messaging interface over HTTP, and a handset that dials a USSD address.

Magic numbers, as real sandboxes have: what a number ends in decides what becomes of a message to it (`MAGIC_NUMBERS`).
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from urllib.parse import parse_qs, urlencode

from engine.kernel.transport import Transport, WireRequest, WireResponse
from integrations.messaging.simulating import Faults, HttpServer, Reporting

FORM = "application/x-www-form-urlencoded"
PRICE = Decimal("0.8000")
MAGIC_NUMBERS: Mapping[str, tuple[int, str]] = {
    "0401": (401, "RiskHold"),
    "0402": (402, "InvalidSenderId"),
    "0403": (403, "InvalidPhoneNumber"),
    "0405": (405, "InsufficientBalance"),
    "0406": (406, "UserInBlacklist"),
    "0407": (407, "CouldNotRoute"),
    "0409": (409, "DoNotDisturbRejection"),
    "0500": (500, "InternalServerError"),
}
UNDELIVERED = "0999"
"""A number that ends so is accepted and then absent."""


@dataclass(frozen=True, slots=True)
class SentMessage:
    """What the simulator was asked to carry."""

    message_id: str
    to: str
    text: str
    sender: str


class AfricasTalkingSimulator:
    """The messaging interface: `async with AfricasTalkingSimulator(...) as there`, then `there.url`."""

    def __init__(
        self,
        transport: Transport,
        *,
        username: str,
        api_key: str,
        reports_to: str = "",
        port: int = 0,
        faults: Faults | None = None,
    ) -> None:
        self.faults = faults or Faults()
        self.sent: list[SentMessage] = []
        self.server = HttpServer(self._answer, port=port, faults=self.faults)
        self.reporting = Reporting(transport, reports_to, self.faults)
        self._username = username
        self._api_key = api_key

    async def _answer(self, request: WireRequest) -> WireResponse:
        if (request.method, request.url) != ("POST", "/version1/messaging"):
            return WireResponse(status=404, body=b"Not found")
        form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        if request.headers.get("apikey") != self._api_key or form.get("username") != self._username:
            return WireResponse(status=401, body=b"The supplied authentication is invalid")
        if not form.get("to") or not form.get("message"):
            return WireResponse(status=400, body=b"Request is missing required form fields")
        recipients = [self._carry(to, form["message"], form.get("from", "")) for to in form["to"].split(",")]
        carried = sum(one["statusCode"] == 101 for one in recipients)
        total = sum(Decimal(str(one["cost"]).removeprefix("KES ")) for one in recipients)
        data = {
            "Message": f"Sent to {carried}/{len(recipients)} Total Cost: KES {total:.4f}",
            "Recipients": recipients,
        }
        return _json(201, {"SMSMessageData": data})

    def _carry(self, to: str, text: str, sender: str) -> dict[str, object]:
        code, status = MAGIC_NUMBERS.get(to[-4:], (101, "Success"))
        if code != 101:
            return {"statusCode": code, "number": to, "status": status, "cost": "0", "messageId": "None"}
        message_id = f"ATXid_{len(self.sent) + 1:032x}"
        self.sent.append(SentMessage(message_id, to, text, sender))
        absent = to.endswith(UNDELIVERED)
        self._report(message_id, to, "Sent")
        self._report(message_id, to, "Failed" if absent else "Success", "AbsentSubscriber" if absent else "")
        parts = -(-len(text) // 153) if len(text) > 160 else 1
        cost = f"KES {PRICE * parts:.4f}"
        return {"statusCode": 101, "number": to, "status": status, "cost": cost, "messageId": message_id}

    def _report(self, message_id: str, to: str, status: str, failure: str = "") -> None:
        form = {"id": message_id, "status": status, "phoneNumber": to, "networkCode": "63902", "retryCount": "0"}
        if failure:
            form["failureReason"] = failure
        self.reporting.later(headers={"content-type": FORM}, body=urlencode(form).encode())


class Handset:
    """A telephone whose gateway asks `url` for each screen, and tells `ends_to` when the session is over."""

    def __init__(
        self, transport: Transport, url: str, *, phone: str, service_code: str = "*384#", ends_to: str = ""
    ) -> None:
        self.screens: list[str] = []
        self.open = False
        self._transport = transport
        self._url = url
        self._ends_to = ends_to
        self._phone = phone
        self._service_code = service_code
        self._dialled = 0
        self._typed: list[str] = []

    @property
    def session(self) -> str:
        """Return the gateway's id of the present session."""
        return f"ATUid_{hashlib.sha256(f'{self._phone} {self._dialled}'.encode()).hexdigest()[:32]}"

    async def dial(self) -> str:
        """Begin a session; return its first screen."""
        self._dialled += 1
        self._typed = []
        self.screens = []
        self.open = True
        return await self.ask_again()

    async def type(self, text: str) -> str:
        """Type on the screen shown; return the next one. Nothing can be typed on a closed session."""
        assert self.open, "the session is over"
        self._typed.append(text)
        return await self.ask_again()

    async def ask_again(self) -> str:
        """Ask for the present screen, as a gateway does once more when an answer was late; return it."""
        form = {
            "sessionId": self.session,
            "serviceCode": self._service_code,
            "phoneNumber": self._phone,
            "networkCode": "63902",
            "text": "*".join(self._typed),
        }
        request = WireRequest(
            method="POST", url=self._url, headers={"content-type": FORM}, body=urlencode(form).encode()
        )
        answer = await self._transport.send(request)
        word, _, screen = answer.body.decode().partition(" ")
        if answer.status != 200 or word not in ("CON", "END"):
            await self._end("Failed", screen, error="The application sent a malformed answer")
            return ""
        self.screens.append(screen)
        if word == "END":
            await self._end("Success", screen)
        return screen

    async def hang_up(self) -> None:
        """End the session from the telephone."""
        await self._end("Failed", self.screens[-1] if self.screens else "", error="The user hung up")

    async def _end(self, status: str, last: str, error: str = "") -> None:
        self.open = False
        if not self._ends_to:
            return
        form = {
            "date": "2026-11-27 10:15:00",
            "sessionId": self.session,
            "serviceCode": self._service_code,
            "networkCode": "63902",
            "phoneNumber": self._phone,
            "status": status,
            "cost": f"KES {Decimal('0.5') * len(self.screens):.4f}",
            "durationInMillis": str(1500 * len(self.screens)),
            "hopsCount": str(len(self.screens)),
            "input": "*".join(self._typed),
            "lastAppResponse": last,
            "errorMessage": error,
        }
        await self._transport.send(
            WireRequest(method="POST", url=self._ends_to, headers={"content-type": FORM}, body=urlencode(form).encode())
        )


def _json(status: int, value: object) -> WireResponse:
    return WireResponse(status=status, headers={"content-type": "application/json"}, body=json.dumps(value).encode())
