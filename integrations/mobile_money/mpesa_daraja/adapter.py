"""Daraja, answering the ports for collections, payments in, payouts and refunds."""

from collections.abc import AsyncIterator, Sequence
from uuid import UUID

from engine.benefits.ports import PayoutRequest
from engine.contributions.ports import CollectionRequest, RefundRequest
from engine.kernel.clock import Clock
from engine.kernel.outcomes import Answer, Hint, Reason, RequestState
from engine.kernel.tokens import Token, Tokens
from engine.kernel.transport import Callback, Transport, WireResponse
from integrations.mobile_money.mpesa_daraja import results, wire
from integrations.mobile_money.mpesa_daraja.wire import App, Shortcode

PULL_PAGES_MAX = 100

_NOT_WHOLE = Answer(state=RequestState.FAILED, reason=Reason.INVALID_REQUEST, code="not whole shillings")


class Daraja:
    """One application at one shortcode.

    Each new token ends the one before, so `tokens` must be shared by all who use the application.
    """

    def __init__(self, transport: Transport, tokens: Tokens, app: App, shortcode: Shortcode, clock: Clock) -> None:
        """Ask `app` for `shortcode` by `transport`."""
        self._transport = transport
        self._tokens = tokens
        self._app = app
        self.shortcode = shortcode
        self.clock = clock

    async def post(self, path: str, body: dict[str, object]) -> WireResponse:
        """Call `path`."""
        name = f"{self._app.base_url} {self._app.consumer_key}"
        token = await self._tokens.get(name, self._fetch_token)
        response = await self._transport.send(wire.post(self._app, path, token, body))
        if results.is_bad_token(response):
            await self._tokens.discard(name, token)
        return response

    async def _fetch_token(self) -> Token:
        return wire.read_token(await self._transport.send(wire.token_request(self._app)))

    async def enquire(self, query: dict[str, object]) -> Answer:
        """Put a status query; SENT with its handle once it is taken: what it is answered comes later."""
        response = await self.post("mpesa/transactionstatus/v1/query", query)
        asked = results.read_ack(response, "ConversationID")
        reason = None if asked.handle else results.unclear(response)
        return Answer(state=RequestState.SENT, reason=reason, handle=asked.handle, code=asked.code)

    async def find_payment(self, *, account: str = "", transaction: str = "") -> Answer | None:
        """Return the payment in of the last 48 hours with this account reference or transaction id, if there is one."""
        async for payment in self.pull():
            ours = account and payment.account.upper() == account.upper()
            if (ours or (transaction and payment.provider_ref == transaction)) and results.is_proof(payment):
                return payment
        return None

    async def pull(self) -> AsyncIterator[Answer]:
        """Yield the payments in of the last 48 hours, page by page."""
        offset = 0
        for _ in range(PULL_PAGES_MAX):
            query = wire.pull_query(self.shortcode, self.clock.now(), offset)
            page = results.read_pulled(await self.post("pulltransactions/v1/query", query))
            for payment in page:
                yield payment
            if not page:
                return
            offset += len(page)


class DarajaCollections:
    """Prompts on the payer's phone (STK push); see `engine.contributions.ports.Collections`.

    Daraja knows a prompt by its own id alone, so a second one would ask a second time: what may have been sent is
    never CREATED. The query of a prompt tells neither amount nor receipt; both come from the pull of payments in, by
    the account reference, which is ours.
    """

    def __init__(self, daraja: Daraja) -> None:
        """Prompt by `daraja`."""
        self._daraja = daraja

    async def request(self, wanted: CollectionRequest, *, callback_url: str = "") -> Answer:
        """Prompt the payer."""
        if not wire.is_whole(wanted.amount):
            return _NOT_WHOLE
        push = wire.stk_push(
            self._daraja.shortcode,
            self._daraja.clock.now(),
            msisdn=wanted.msisdn,
            amount=wanted.amount,
            reference=wanted.reference,
            account=wanted.account,
            url=callback_url,
        )
        response = await self._daraja.post("mpesa/stkpush/v1/processrequest", push)
        return results.read_ack(response, "CheckoutRequestID")

    async def enquire(self, wanted: CollectionRequest, last: Answer, *, callback_url: str = "") -> Answer:  # noqa: ARG002
        """Ask after the prompt, if its id is known, and for the payment where it may have been made."""
        said = Answer(state=RequestState.SENT, reason=Reason.AMBIGUOUS)
        if last.handle:
            query = wire.stk_query(self._daraja.shortcode, self._daraja.clock.now(), last.handle)
            response = await self._daraja.post("mpesa/stkpushquery/v1/query", query)
            said = results.read_stk_query(response, last.handle)
            if not said.state.is_final and said.code != results.TAKEN:
                return said
        return await self._daraja.find_payment(account=wire.short_reference(wanted.reference)) or said

    def read_callback(self, callback: Callback) -> Hint | None:
        """Return what the callback of a prompt claims, or None if it is none."""
        return results.read_stk_callback(callback)

    def account_of(self, reference: UUID) -> str:
        """Return the account reference of a prompt: Safaricom confirms what was paid after it as a payment in, too."""
        return wire.short_reference(reference)


class DarajaPaymentsIn:
    """Payments to the pay-bill number (C2B); see `engine.contributions.ports.PaymentsIn`."""

    def __init__(self, daraja: Daraja) -> None:
        """Ask `daraja`."""
        self._daraja = daraja

    async def register(self, *, validation_url: str, confirmation_url: str) -> bool:
        """Say where to ask and tell us; in production this can be done once. Returns whether it was taken."""
        body = wire.registration(
            self._daraja.shortcode, validation_url=validation_url, confirmation_url=confirmation_url
        )
        response = await self._daraja.post("mpesa/c2b/v2/registerurl", body)
        return results.read_ack(response, "OriginatorCoversationID").state is RequestState.PENDING

    async def confirm(self, claimed: Answer) -> Answer:
        """Look the transaction up among the payments in."""
        found = await self._daraja.find_payment(transaction=claimed.provider_ref)
        return found or Answer(state=RequestState.PENDING, reason=Reason.AMBIGUOUS, code="not pulled")

    async def recent(self) -> Sequence[Answer]:
        """Return the payments in of the last 48 hours, those after prompts too."""
        return [payment async for payment in self._daraja.pull() if results.is_proof(payment)]

    def read_callback(self, callback: Callback) -> Hint | None:
        """Return what a confirmation claims, or None if it is none."""
        payment = results.read_payment(callback, RequestState.SUCCEEDED)
        return Hint(claimed=payment) if payment else None

    def read_validation(self, callback: Callback) -> Answer | None:
        """Return the payment that Safaricom asks about, or None if it asks nothing."""
        return results.read_payment(callback, RequestState.PENDING)

    def reply(self, refusal: Reason | None) -> bytes:
        """Return the body that answers a validation or a confirmation."""
        return results.reply(refusal)


class DarajaPayouts:
    """Payouts to wallets (B2C); see `engine.benefits.ports.Payouts`. Daraja answers an enquiry later."""

    def __init__(self, daraja: Daraja) -> None:
        """Pay by `daraja`."""
        self._daraja = daraja

    async def send(self, wanted: PayoutRequest, *, callback_url: str = "") -> Answer:
        """Pay; what was sent before under this reference is not paid again."""
        if not wire.is_whole(wanted.amount):
            return _NOT_WHOLE
        body = wire.b2c(
            self._daraja.shortcode,
            msisdn=wanted.msisdn,
            amount=wanted.amount,
            reference=wanted.reference,
            note=wanted.note or wanted.account,
            url=callback_url,
        )
        return results.read_ack(await self._daraja.post("mpesa/b2c/v3/paymentrequest", body), "ConversationID")

    async def enquire(self, wanted: PayoutRequest, last: Answer, *, callback_url: str = "") -> Answer:  # noqa: ARG002
        """Put the question; the answer comes to `callback_url`."""
        query = wire.status_query(self._daraja.shortcode, original=wanted.reference, url=callback_url)
        return await self._daraja.enquire(query)

    def read_callback(self, callback: Callback) -> Hint | None:
        """Return what the result of a payout claims, or None if it is none."""
        return results.read_result(callback)

    def read_enquiry_callback(self, callback: Callback) -> Answer | None:
        """Return the late answer to an enquiry, or None if it is none."""
        return results.read_status_result(callback)


class DarajaRefunds:
    """Reversals of payments in; see `engine.contributions.ports.Refunds`. A payment is reversed once."""

    def __init__(self, daraja: Daraja) -> None:
        """Reverse by `daraja`."""
        self._daraja = daraja

    async def refund(self, wanted: RefundRequest, *, callback_url: str = "") -> Answer:
        """Ask for the reversal; its result comes to `callback_url`."""
        if not wire.is_whole(wanted.amount):
            return _NOT_WHOLE
        body = wire.reversal(
            self._daraja.shortcode,
            transaction=wanted.provider_ref,
            amount=wanted.amount,
            note=wanted.note,
            url=callback_url,
        )
        return results.read_ack(await self._daraja.post("mpesa/reversal/v1/request", body), "ConversationID")

    def read_callback(self, callback: Callback) -> Hint | None:
        """Return what the result of a reversal claims, or None if it is none."""
        return results.read_result(callback)

    async def enquire(self, wanted: RefundRequest, last: Answer, *, callback_url: str = "") -> Answer:  # noqa: ARG002
        """Ask what has become of the payment; the answer comes to `callback_url`."""
        query = wire.status_query(self._daraja.shortcode, transaction=wanted.provider_ref, url=callback_url)
        return await self._daraja.enquire(query)

    def read_enquiry_callback(self, callback: Callback) -> Answer | None:
        """Return the late answer to an enquiry, or None if it is none."""
        return results.read_reversal_status(callback)
