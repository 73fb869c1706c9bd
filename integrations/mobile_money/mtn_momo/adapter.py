"""MTN MoMo, answering the ports for collections, payouts, account checks and mandates."""

from uuid import UUID

import msgspec

from engine.benefits.ports import PayoutRequest
from engine.contributions.ports import AccountHolder, CollectionRequest, HolderState, MandateRequest
from engine.kernel.outcomes import Answer, Hint
from engine.kernel.tokens import Token, Tokens
from engine.kernel.transport import Callback, Transport, WireRequest, WireResponse
from integrations.mobile_money.mtn_momo import wire
from integrations.mobile_money.mtn_momo.wire import Platform, Product, ProductKeys
from integrations.mobile_money.reading import digits_of

UNAUTHORISED = 401


class MtnProduct:
    """One product of MTN's, entered with its own keys."""

    def __init__(
        self, transport: Transport, tokens: Tokens, platform: Platform, product: Product, keys: ProductKeys
    ) -> None:
        """Ask `product` of `platform` by `transport`."""
        self._transport = transport
        self._tokens = tokens
        self._platform = platform
        self._keys = keys
        self.product = product

    async def create(self, path: str, reference: UUID, body: bytes, callback_url: str) -> WireResponse:
        """Create something under our reference."""
        return await self._send("POST", path, wire.creating_headers(reference, callback_url), body)

    async def get(self, path: str) -> WireResponse:
        """Look something up."""
        return await self._send("GET", path, {})

    async def delete(self, path: str) -> WireResponse:
        """Delete something."""
        return await self._send("DELETE", path, {})

    async def _send(self, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> WireResponse:
        name = f"{self._platform.base_url} {self.product} {self._keys.api_user}"
        token = await self._tokens.get(name, self._fetch_token)
        response = await self._transport.send(
            WireRequest(
                method=method,
                url=f"{self._platform.base_url}/{self.product}/{path}",
                headers=wire.product_headers(self._platform, self._keys, token) | headers,
                body=body,
            )
        )
        if response.status == UNAUTHORISED:
            await self._tokens.discard(name, token)
        return response

    async def _fetch_token(self) -> Token:
        return wire.read_token(await self._transport.send(wire.token_request(self._platform, self.product, self._keys)))


class MtnCollections:
    """Requests to pay; see `engine.contributions.ports.Collections`."""

    def __init__(self, product: MtnProduct) -> None:
        """Ask the collection product."""
        assert product.product is Product.COLLECTION, product.product
        self._product = product

    async def request(self, wanted: CollectionRequest, *, callback_url: str = "") -> Answer:
        """Ask the payer; one who was asked before under this reference is not asked again."""
        body = wire.payment_body(
            "payer",
            wanted.msisdn,
            wanted.amount,
            reference=wanted.reference,
            account=wanted.account,
            note=wanted.note,
        )
        response = await self._product.create("v1_0/requesttopay", wanted.reference, body, callback_url)
        return wire.read_created(response) or await self.enquire(wanted, wire.TAKEN)

    async def enquire(self, wanted: CollectionRequest, last: Answer, *, callback_url: str = "") -> Answer:  # noqa: ARG002
        """Return the status."""
        return wire.read_status(await self._product.get(f"v1_0/requesttopay/{wanted.reference}"))

    def read_callback(self, callback: Callback) -> Hint | None:
        """Return what the callback claims, or None if it is none of MTN's."""
        return wire.read_callback(callback)

    def account_of(self, reference: UUID) -> str:  # noqa: ARG002
        """Return nothing: MTN tells of no payments in."""
        return ""


class MtnPayouts:
    """Transfers; see `engine.benefits.ports.Payouts`."""

    def __init__(self, product: MtnProduct) -> None:
        """Ask the disbursement product."""
        assert product.product is Product.DISBURSEMENT, product.product
        self._product = product

    async def send(self, wanted: PayoutRequest, *, callback_url: str = "") -> Answer:
        """Transfer; what was transferred before under this reference is not transferred again."""
        body = wire.payment_body(
            "payee",
            wanted.msisdn,
            wanted.amount,
            reference=wanted.reference,
            account=wanted.account,
            note=wanted.note,
        )
        response = await self._product.create("v1_0/transfer", wanted.reference, body, callback_url)
        return wire.read_created(response) or await self.enquire(wanted, wire.TAKEN)

    async def enquire(self, wanted: PayoutRequest, last: Answer, *, callback_url: str = "") -> Answer:  # noqa: ARG002
        """Return the status."""
        return wire.read_status(await self._product.get(f"v1_0/transfer/{wanted.reference}"))

    def read_callback(self, callback: Callback) -> Hint | None:
        """Return what the callback claims, or None if it is none of MTN's."""
        return wire.read_callback(callback)

    def read_enquiry_callback(self, callback: Callback) -> Answer | None:  # noqa: ARG002
        """Return None: MTN answers an enquiry at once."""
        return None


class MtnAccounts:
    """Account holders; see `engine.contributions.ports.AccountCheck`."""

    def __init__(self, product: MtnProduct) -> None:
        """Ask either product."""
        self._product = product

    async def holder(self, msisdn: str) -> AccountHolder:
        """Return whether the wallet is active, and its holder's name where it is."""
        path = f"v1_0/accountholder/msisdn/{digits_of(msisdn)}"
        holder = wire.read_active(await self._product.get(f"{path}/active"))
        if holder.state is not HolderState.ACTIVE:
            return holder
        name = wire.read_name(await self._product.get(f"{path}/basicuserinfo"))
        return msgspec.structs.replace(holder, name=name)


class MtnMandates:
    """Pre-approvals; see `engine.contributions.ports.Mandates`."""

    def __init__(self, product: MtnProduct) -> None:
        """Ask the collection product."""
        assert product.product is Product.COLLECTION, product.product
        self._product = product

    async def create(self, wanted: MandateRequest, *, callback_url: str = "") -> Answer:
        """Ask the payer for consent; one who was asked before under this reference is not asked again."""
        body = wire.preapproval_body(wanted)
        response = await self._product.create("v2_0/preapproval", wanted.reference, body, callback_url)
        return wire.read_created(response) or await self.enquire(wanted, wire.TAKEN)

    async def enquire(self, wanted: MandateRequest, last: Answer, *, callback_url: str = "") -> Answer:  # noqa: ARG002
        """Return the status."""
        return wire.read_preapproval(await self._product.get(f"v2_0/preapproval/{wanted.reference}"), wanted.reference)

    async def cancel(self, wanted: MandateRequest, last: Answer) -> Answer:
        """End the pre-approval."""
        named = last.provider_ref or str(wanted.reference)
        return wire.read_cancelled(await self._product.delete(f"v1_0/preapproval/{named}"))

    def read_callback(self, callback: Callback) -> Hint | None:
        """Return what the callback claims, or None if it is none of MTN's."""
        return wire.read_callback(callback)
