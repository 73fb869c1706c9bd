"""The GSMA Mobile Money API, answering the ports for collections, payouts, account checks and mandates."""

from uuid import UUID

import msgspec

from engine.benefits.ports import PayoutRequest
from engine.contributions.ports import AccountHolder, CollectionRequest, HolderState, MandateRequest
from engine.kernel.outcomes import Answer, Hint, Reason, RequestState
from engine.kernel.tokens import Token, Tokens
from engine.kernel.transport import Callback, Transport, WireResponse
from integrations.mobile_money.gsma import wire
from integrations.mobile_money.gsma.wire import Link, Provider

UNAUTHORISED = 401


class GsmaProvider:
    """One operator that speaks this API, and how anything asked of it is found again."""

    def __init__(self, transport: Transport, tokens: Tokens, provider: Provider) -> None:
        """Ask `provider` by `transport`."""
        self._transport, self._tokens = transport, tokens
        self.provider = provider

    async def call(
        self, method: str, path: str, *, body: bytes = b"", reference: UUID | None = None, url: str = ""
    ) -> WireResponse:
        """Call `path`."""
        name = f"{self.provider.token_url} {self.provider.client_id}"
        token = await self._tokens.get(name, self._fetch_token)
        response = await self._transport.send(
            wire.request(self.provider, token, method, path, body=body, reference=reference, url=url)
        )
        if response.status == UNAUTHORISED:
            await self._tokens.discard(name, token)
        return response

    async def _fetch_token(self) -> Token:
        return wire.read_token(await self._transport.send(wire.token_request(self.provider)))

    async def find(self, reference: UUID, last: Answer, results: str) -> Answer:
        """Return what has become of a request: by its state, which has the handle, or else by our reference.

        `results` is the path under which a result of this kind lies.
        """
        handle = last.handle
        if not handle:
            said, link = wire.read_response_link(await self.call("GET", f"responses/{reference}"))
            if link is None:
                return said
            if link.kind != "requeststates":
                return wire.read_resource(await self.call("GET", f"{results}/{wire.segment(link.id)}"))
            handle = link.id
        said, result = wire.read_request_state(await self.call("GET", f"requeststates/{wire.segment(handle)}"), handle)
        return await self._result(results, result, handle) if result else said

    async def _result(self, results: str, result: Link, handle: str) -> Answer:
        return wire.read_resource(await self.call("GET", f"{results}/{wire.segment(result.id)}"), handle)


class GsmaCollections:
    """Merchant payments; see `engine.contributions.ports.Collections`."""

    def __init__(self, provider: GsmaProvider) -> None:
        """Collect by `provider`."""
        self._provider = provider

    async def request(self, wanted: CollectionRequest, *, callback_url: str = "") -> Answer:
        """Ask the payer; one who was asked before under this reference is not asked again."""
        body = wire.transaction(
            payer=("msisdn", wanted.msisdn),
            payee=("accountid", self._provider.provider.account),
            amount=wanted.amount,
            account=wanted.account,
            note=wanted.note,
        )
        path = "transactions/type/merchantpay"
        response = await self._provider.call("POST", path, body=body, reference=wanted.reference, url=callback_url)
        return wire.read_created(response)

    async def enquire(self, wanted: CollectionRequest, last: Answer, *, callback_url: str = "") -> Answer:  # noqa: ARG002
        """Return the state of the request, or what came of it."""
        return await self._provider.find(wanted.reference, last, "transactions")

    def read_callback(self, callback: Callback) -> Hint | None:
        """Return what the callback claims, or None if it is none of this API's."""
        return wire.read_callback(callback)

    def account_of(self, reference: UUID) -> str:  # noqa: ARG002
        """Return nothing: the API tells of no payments in."""
        return ""


class GsmaPayouts:
    """Disbursements; see `engine.benefits.ports.Payouts`."""

    def __init__(self, provider: GsmaProvider) -> None:
        """Pay by `provider`."""
        self._provider = provider

    async def send(self, wanted: PayoutRequest, *, callback_url: str = "") -> Answer:
        """Pay; what was paid before under this reference is not paid again."""
        body = wire.transaction(
            payer=("accountid", self._provider.provider.account),
            payee=("msisdn", wanted.msisdn),
            amount=wanted.amount,
            account=wanted.account,
            note=wanted.note,
        )
        path = "transactions/type/disbursement"
        response = await self._provider.call("POST", path, body=body, reference=wanted.reference, url=callback_url)
        return wire.read_created(response)

    async def enquire(self, wanted: PayoutRequest, last: Answer, *, callback_url: str = "") -> Answer:  # noqa: ARG002
        """Return the state of the request, or what came of it."""
        return await self._provider.find(wanted.reference, last, "transactions")

    def read_callback(self, callback: Callback) -> Hint | None:
        """Return what the callback claims, or None if it is none of this API's."""
        return wire.read_callback(callback)

    def read_enquiry_callback(self, callback: Callback) -> Answer | None:  # noqa: ARG002
        """Return None: an enquiry is answered at once."""
        return None


class GsmaAccounts:
    """Status and names of wallets; see `engine.contributions.ports.AccountCheck`."""

    def __init__(self, provider: GsmaProvider) -> None:
        """Ask `provider`."""
        self._provider = provider

    async def holder(self, msisdn: str) -> AccountHolder:
        """Return whether the wallet is available, and its holder's name where it is."""
        path = wire.account_path(msisdn)
        holder = wire.read_status(await self._provider.call("GET", f"{path}/status"))
        if holder.state is not HolderState.ACTIVE:
            return holder
        name = wire.read_name(await self._provider.call("GET", f"{path}/accountname"))
        return msgspec.structs.replace(holder, name=name)


class GsmaMandates:
    """Debit mandates; see `engine.contributions.ports.Mandates`."""

    def __init__(self, provider: GsmaProvider) -> None:
        """Ask `provider`."""
        self._provider = provider

    async def create(self, wanted: MandateRequest, *, callback_url: str = "") -> Answer:
        """Ask the payer for consent; one who was asked before under this reference is not asked again."""
        body = wire.mandate(self._provider.provider, wanted)
        if body is None:
            return Answer(state=RequestState.FAILED, reason=Reason.INVALID_REQUEST, code="no such frequency")
        path = f"{wire.account_path(wanted.msisdn)}/debitmandates"
        response = await self._provider.call("POST", path, body=body, reference=wanted.reference, url=callback_url)
        return wire.read_created(response)

    async def enquire(self, wanted: MandateRequest, last: Answer, *, callback_url: str = "") -> Answer:  # noqa: ARG002
        """Return the state of the request, or the mandate that came of it."""
        results = f"{wire.account_path(wanted.msisdn)}/debitmandates"
        return await self._provider.find(wanted.reference, last, results)

    async def cancel(self, wanted: MandateRequest, last: Answer) -> Answer:
        """End the mandate `last.provider_ref`."""
        path = f"{wire.account_path(wanted.msisdn)}/debitmandates/{wire.segment(last.provider_ref)}"
        return wire.read_ended(await self._provider.call("PATCH", path, body=wire.ending_of_mandate()))

    def read_callback(self, callback: Callback) -> Hint | None:
        """Return what the callback claims, or None if it is none of this API's."""
        return wire.read_callback(callback)
