"""Airtel Money, answering the ports for collections, payouts and account checks."""

from uuid import UUID

from engine.benefits.ports import PayoutRequest
from engine.contributions.ports import AccountHolder, CollectionRequest
from engine.kernel.outcomes import Answer, Hint
from engine.kernel.tokens import Token, Tokens
from engine.kernel.transport import Callback, Transport, WireResponse
from integrations.mobile_money.airtel_money import wire
from integrations.mobile_money.airtel_money.wire import App
from integrations.mobile_money.reading import digits_of

UNAUTHORISED = 401


class Airtel:
    """One application. Callbacks come to the one address that is registered for it, and name our reference."""

    def __init__(self, transport: Transport, tokens: Tokens, app: App) -> None:
        """Ask `app` by `transport`."""
        self._transport, self._tokens = transport, tokens
        self.app = app

    async def get(self, path: str) -> WireResponse:
        """Look something up."""
        return await self._send("GET", path, b"", "")

    async def post(self, path: str, body: bytes, public_key: str) -> WireResponse:
        """Call `path`, signed."""
        return await self._send("POST", path, body, public_key)

    async def public_key(self) -> str:
        """Return Airtel's public key."""
        return await self._tokens.get(f"{self.app.base_url} {self.app.client_id} key", self._fetch_key)

    async def _send(self, method: str, path: str, body: bytes, public_key: str) -> WireResponse:
        name = f"{self.app.base_url} {self.app.client_id}"
        token = await self._tokens.get(name, self._fetch_token)
        response = await self._transport.send(wire.call(self.app, token, method, path, body, public_key))
        if response.status == UNAUTHORISED:
            await self._tokens.discard(name, token)
        return response

    async def _fetch_token(self) -> Token:
        return wire.read_token(await self._transport.send(wire.token_request(self.app)))

    async def _fetch_key(self) -> Token:
        return wire.read_key(await self.get("v1/rsa/encryption-keys"))


class AirtelCollections:
    """USSD pushes; see `engine.contributions.ports.Collections`."""

    def __init__(self, airtel: Airtel) -> None:
        """Collect by `airtel`."""
        self._airtel = airtel

    async def request(self, wanted: CollectionRequest, *, callback_url: str = "") -> Answer:  # noqa: ARG002
        """Ask the payer."""
        body = wire.payment(
            self._airtel.app,
            msisdn=wanted.msisdn,
            amount=wanted.amount,
            reference=wanted.reference,
            account=wanted.account,
        )
        response = await self._airtel.post("merchant/v2/payments/", body, await self._airtel.public_key())
        return wire.read_taken(response)

    async def enquire(self, wanted: CollectionRequest, last: Answer, *, callback_url: str = "") -> Answer:  # noqa: ARG002
        """Return the status."""
        return wire.read_enquiry(await self._airtel.get(f"standard/v1/payments/{wanted.reference}"))

    def read_callback(self, callback: Callback) -> Hint | None:
        """Return what the callback claims, or None if it is none of Airtel's."""
        return wire.read_callback(callback, self._airtel.app.client_secret)

    def account_of(self, reference: UUID) -> str:  # noqa: ARG002
        """Return nothing: Airtel tells of no payments in."""
        return ""


class AirtelPayouts:
    """Disbursements; see `engine.benefits.ports.Payouts`."""

    def __init__(self, airtel: Airtel) -> None:
        """Pay by `airtel`."""
        self._airtel = airtel

    async def send(self, wanted: PayoutRequest, *, callback_url: str = "") -> Answer:  # noqa: ARG002
        """Pay; what was paid before under this reference is not paid again."""
        public_key = await self._airtel.public_key()
        body = wire.disbursement(
            self._airtel.app,
            public_key,
            msisdn=wanted.msisdn,
            amount=wanted.amount,
            reference=wanted.reference,
            account=wanted.account,
        )
        return wire.read_taken(await self._airtel.post("standard/v2/disbursements/", body, public_key))

    async def enquire(self, wanted: PayoutRequest, last: Answer, *, callback_url: str = "") -> Answer:  # noqa: ARG002
        """Return the status."""
        return wire.read_enquiry(await self._airtel.get(f"standard/v1/disbursements/{wanted.reference}"))

    def read_callback(self, callback: Callback) -> Hint | None:
        """Return what the callback claims, or None if it is none of Airtel's."""
        return wire.read_callback(callback, self._airtel.app.client_secret)

    def read_enquiry_callback(self, callback: Callback) -> Answer | None:  # noqa: ARG002
        """Return None: Airtel answers an enquiry at once."""
        return None


class AirtelAccounts:
    """Subscribers; see `engine.contributions.ports.AccountCheck`."""

    def __init__(self, airtel: Airtel) -> None:
        """Ask `airtel`."""
        self._airtel = airtel

    async def holder(self, msisdn: str) -> AccountHolder:
        """Return whether the subscriber can pay and be paid, and the name registered."""
        return wire.read_holder(await self._airtel.get(f"standard/v1/users/{digits_of(msisdn)}"), msisdn)
