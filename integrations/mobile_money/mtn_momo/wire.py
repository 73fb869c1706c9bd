"""MTN MoMo messages to and from our own words. Pure."""

import base64
from collections.abc import Mapping
from enum import StrEnum
from typing import Any
from uuid import UUID

import msgspec
from msgspec import Struct

from engine.contributions.ports import AccountHolder, HolderState, MandateRequest
from engine.kernel.amounts import Amount
from engine.kernel.outcomes import Answer, Hint, Reason, RequestState
from engine.kernel.tokens import Token, TokenRefused
from engine.kernel.transport import Callback, WireRequest, WireResponse
from integrations.mobile_money.reading import SERVER_ERROR, child, code_of, digits_of, read_object, text_of, words

NOTE_MAX = 160
DEFAULT_TOKEN_SECONDS = 3600
ALREADY_EXISTS = 409
SECONDS_A_DAY = 86400

TAKEN = Answer(state=RequestState.PENDING, reason=Reason.DUPLICATE)
"""What 409 says: MTN has the request."""

_STATES = {
    "PENDING": RequestState.PENDING,
    "CREATED": RequestState.PENDING,
    "SUCCESSFUL": RequestState.SUCCEEDED,
    "FAILED": RequestState.FAILED,
    "REJECTED": RequestState.FAILED,
    "TIMEOUT": RequestState.FAILED,  # the payer's time to approve: MTN's own decision, not ours
}
_REASONS = {
    "PAYER_NOT_FOUND": Reason.NOT_REGISTERED,
    "PAYEE_NOT_FOUND": Reason.NOT_REGISTERED,
    "NOT_ENOUGH_FUNDS": Reason.INSUFFICIENT_FUNDS,
    "LOW_BALANCE_OR_PAYEE_LIMIT_REACHED_OR_NOT_ALLOWED": Reason.INSUFFICIENT_FUNDS,
    "PAYER_LIMIT_REACHED": Reason.LIMIT,
    "PAYEE_LIMIT_REACHED": Reason.LIMIT,
    "PAYEE_NOT_ALLOWED_TO_RECEIVE": Reason.BLOCKED,
    "SENDER_ACCOUNT_NOT_ACTIVE": Reason.BLOCKED,
    "NOT_ALLOWED": Reason.BLOCKED,
    "NOT_ALLOWED_TARGET_ENVIRONMENT": Reason.AUTH,
    "APPROVAL_REJECTED": Reason.PAYER_REJECTED,
    "PAYMENT_NOT_APPROVED": Reason.PAYER_REJECTED,
    "TRANSACTION_CANCELED": Reason.PAYER_REJECTED,
    "REJECTED": Reason.PAYER_REJECTED,
    "EXPIRED": Reason.EXPIRED,
    "TIMEOUT": Reason.EXPIRED,
    "COULD_NOT_PERFORM_TRANSACTION": Reason.EXPIRED,
    "INVALID_CALLBACK_URL_HOST": Reason.INVALID_REQUEST,
    "INVALID_CURRENCY": Reason.INVALID_REQUEST,
    "VALIDATION_ERROR": Reason.INVALID_REQUEST,
    "RESOURCE_ALREADY_EXIST": Reason.DUPLICATE,
    "SERVICE_UNAVAILABLE": Reason.PROVIDER_DOWN,
    "INTERNAL_PROCESSING_ERROR": Reason.AMBIGUOUS,
}
_DECIDED_BY_500 = {"PAYER_NOT_FOUND", "PAYEE_NOT_FOUND", "NOT_ENOUGH_FUNDS", "PAYER_LIMIT_REACHED", "PAYEE_LIMIT_REACHED",
                   "PAYEE_NOT_ALLOWED_TO_RECEIVE", "NOT_ALLOWED", "INVALID_CURRENCY", "INVALID_CALLBACK_URL_HOST",
                   "SENDER_ACCOUNT_NOT_ACTIVE", "NOT_ALLOWED_TARGET_ENVIRONMENT"}  # fmt: skip


class Product(StrEnum):
    """MTN's products, each with a subscription key, an API user and a wallet of its own."""

    COLLECTION = "collection"
    DISBURSEMENT = "disbursement"


class ProductKeys(Struct, frozen=True, kw_only=True):
    """What one product is entered with. On the gateway of 2026 `api_user` ends in "=" and stays as it is."""

    subscription_key: str
    api_user: str
    api_key: str

    def __repr__(self) -> str:
        return "ProductKeys(...)"


class Platform(Struct, frozen=True, kw_only=True):
    """Where MTN is asked.

    A transaction is known only to the platform that took it: who moves to another one configures it under a new name
    and keeps the old until nothing is open there.

    `environment` is "sandbox" or a country's ("mtnuganda"): the host does not tell the country.
    """

    base_url: str
    environment: str


class _Party(Struct, frozen=True, rename="camel"):
    party_id: str
    party_id_type: str = "MSISDN"


class _Payment(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    amount: str
    currency: str
    external_id: str
    payer: _Party | None = None
    payee: _Party | None = None
    payer_message: str
    payee_note: str


class _Preapproval(Struct, frozen=True, kw_only=True, rename="camel"):
    payer: _Party
    payer_currency: str
    payer_message: str
    validity_time: int


def decimal_text(amount: Amount) -> str:
    """Return the amount in major units as MTN has it: text, without decimals that say nothing ("500", "0.5")."""
    text = format(amount.decimal(), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def token_request(platform: Platform, product: Product, keys: ProductKeys) -> WireRequest:
    """Return the request for a token. It has no body: MTN refuses one."""
    basic = base64.b64encode(f"{keys.api_user}:{keys.api_key}".encode()).decode()
    headers = {
        "Authorization": f"Basic {basic}",
        "Ocp-Apim-Subscription-Key": keys.subscription_key,
        "X-Target-Environment": platform.environment,
    }
    return WireRequest(method="POST", url=f"{platform.base_url}/{product}/token/", headers=headers, is_secret=True)


def read_token(response: WireResponse) -> Token:
    """Return the token given out.

    Raises:
        TokenRefused: none was.
    """
    said = read_object(response.body)
    value = text_of(said.get("access_token"))
    if response.status != 200 or not value:
        raise TokenRefused(code_of(response, text_of(said.get("code")) or text_of(said.get("error"))))
    seconds = text_of(said.get("expires_in"))
    return Token(value=value, seconds=int(seconds) if seconds.isdigit() else DEFAULT_TOKEN_SECONDS)


def product_headers(platform: Platform, keys: ProductKeys, token: str) -> dict[str, str]:
    """Return the headers of every call to a product."""
    return {
        "Authorization": f"Bearer {token}",
        "Ocp-Apim-Subscription-Key": keys.subscription_key,
        "X-Target-Environment": platform.environment,
    }


def creating_headers(reference: UUID, callback_url: str) -> dict[str, str]:
    """Return what a call that creates something has besides: our reference, which is the idempotency key too."""
    assert reference.version == 4, reference  # MTN refuses any other
    headers = {"X-Reference-Id": str(reference), "Content-Type": "application/json"}
    return headers | ({"X-Callback-Url": callback_url} if callback_url else {})


def payment_body(role: str, msisdn: str, amount: Amount, *, reference: UUID, account: str, note: str) -> bytes:
    """Return a payment of `role` ("payer" or "payee"). Ids and amounts are text, the number without its plus."""
    party = _Party(digits_of(msisdn))
    return msgspec.json.encode(
        _Payment(
            amount=decimal_text(amount),
            currency=amount.asset.symbol,
            external_id=str(reference),
            payer=party if role == "payer" else None,
            payee=party if role == "payee" else None,
            payer_message=words(note, NOTE_MAX),
            payee_note=words(account, NOTE_MAX),
        )
    )


def read_created(response: WireResponse) -> Answer | None:
    """Return what the answer to a creating call says; None if the thing exists already, so that it can be asked for."""
    if response.status == 202:
        return Answer(state=RequestState.PENDING)
    if response.status == ALREADY_EXISTS:
        return None
    return _refusal(response)


def read_status(response: WireResponse) -> Answer:
    """Return what a status says. 404 is the only way MTN has to say that it never saw the reference."""
    if response.status == 200:
        said = read_object(response.body)
        if text_of(said.get("status")).upper() in _STATES:
            return _status(said)
        return Answer(state=RequestState.SENT, reason=Reason.AMBIGUOUS, code=code_of(response))
    code = _code(read_object(response.body))
    if response.status == 404 and code in {"RESOURCE_NOT_FOUND", "TRANSACTION_NOT_FOUND", "REQUEST_TO_PAY_NOT_FOUND"}:
        return Answer(state=RequestState.CREATED, code=code)
    return Answer(state=RequestState.SENT, reason=_unclear(response), code=code_of(response, code))


def preapproval_body(wanted: MandateRequest) -> bytes:
    """Return a pre-approval: MTN's consent knows a currency and how long it holds; limit and frequency are ours to keep."""
    return msgspec.json.encode(
        _Preapproval(
            payer=_Party(digits_of(wanted.msisdn)),
            payer_currency=wanted.limit.asset.symbol,
            payer_message=words(wanted.note or wanted.account, NOTE_MAX),
            validity_time=(wanted.ends_on - wanted.starts_on).days * SECONDS_A_DAY,
        )
    )


def read_preapproval(response: WireResponse, reference: UUID) -> Answer:
    """Return what the status of a pre-approval says; once given, it is known by our reference."""
    said = read_object(response.body)
    if response.status == 200 and text_of(said.get("status")).upper() == "SUCCESSFUL":
        return Answer(state=RequestState.SUCCEEDED, provider_ref=str(reference), code="SUCCESSFUL")
    return read_status(response)


def read_cancelled(response: WireResponse) -> Answer:
    """Return whether the pre-approval is ended; one that MTN does not have is."""
    if response.status in {200, 202, 204, 404}:
        return Answer(state=RequestState.SUCCEEDED, code=code_of(response))
    return Answer(state=RequestState.SENT, reason=_unclear(response), code=code_of(response))


def read_active(response: WireResponse) -> AccountHolder:
    """Return what MTN says of a wallet; 404 is a number that is no wallet's."""
    said = read_object(response.body)
    if response.status == 200 and isinstance(said.get("result"), bool):
        return AccountHolder(state=HolderState.ACTIVE if said["result"] else HolderState.INACTIVE)
    if response.status == 404 and _code(said):
        return AccountHolder(state=HolderState.UNREGISTERED, reason=Reason.NOT_REGISTERED)
    return AccountHolder(state=HolderState.UNKNOWN, reason=_unclear(response))


def read_name(response: WireResponse) -> str:
    """Return the holder's name in one text, empty if MTN does not say."""
    said = read_object(response.body) if response.status == 200 else {}
    names = [text_of(said.get(part)) for part in ("given_name", "family_name")]
    return " ".join(filter(None, names)) or text_of(said.get("name"))


def read_callback(callback: Callback) -> Hint | None:
    """Return what a callback claims. MTN's documents say PUT; POST has been seen."""
    said = read_object(callback.body)
    if callback.method not in {"PUT", "POST"} or text_of(said.get("status")).upper() not in _STATES:
        return None
    return Hint(claimed=_status(said))


def _status(said: Mapping[str, Any]) -> Answer:
    word = text_of(said["status"]).upper()
    state = _STATES[word]
    code = _code(said) if state is RequestState.FAILED else ""
    provider_ref = text_of(said.get("financialTransactionId"))
    if state is RequestState.SUCCEEDED and not provider_ref:
        state = RequestState.PENDING  # no id, no proof
    return Answer(
        state=state,
        reason=_REASONS.get(code or word, Reason.OTHER) if state is RequestState.FAILED else None,
        provider_ref=provider_ref,
        amount=text_of(said.get("amount")),
        currency=text_of(said.get("currency")),
        code=code or word,
    )


def _code(said: Mapping[str, Any]) -> str:
    """Return the code of a refusal: `reason` is text in some markets and an object in others; errors have `code`."""
    reason = said.get("reason")
    return text_of(reason) or text_of(child(said, "reason").get("code")) or text_of(said.get("code"))


def _unclear(response: WireResponse) -> Reason:
    if response.status in {401, 403}:
        return Reason.AUTH
    return Reason.PROVIDER_DOWN if response.status >= SERVER_ERROR or response.status == 429 else Reason.AMBIGUOUS


def _refusal(response: WireResponse) -> Answer:
    """Return what a refused creating call means.

    A 4xx was read and turned down before anything was created. A 5xx may come from a gateway whose back end has
    created it, unless it names one of the reasons that MTN answers 500 with where the payment itself is refused.
    """
    said = read_object(response.body)
    code = _code(said)
    shown = code_of(response, code)
    if response.status in {401, 403, 429} and code not in _DECIDED_BY_500:
        reason = Reason.PROVIDER_DOWN if response.status == 429 else Reason.AUTH
        return Answer(state=RequestState.CREATED, reason=reason, code=shown)
    if code in _DECIDED_BY_500 or (response.status in {400, 404, 422} and said):
        return Answer(state=RequestState.FAILED, reason=_REASONS.get(code, Reason.INVALID_REQUEST), code=shown)
    return Answer(state=RequestState.SENT, reason=_REASONS.get(code, _unclear(response)), code=shown)
