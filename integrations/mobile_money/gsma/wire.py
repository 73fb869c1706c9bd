"""GSMA messages to and from our own words. Pure."""

import base64
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote
from uuid import UUID

import msgspec
from msgspec import Struct

from engine.contributions.ports import AccountHolder, Frequency, HolderState, MandateRequest
from engine.kernel.amounts import Amount
from engine.kernel.outcomes import Answer, Hint, Reason, RequestState
from engine.kernel.tokens import Token, TokenRefused
from engine.kernel.transport import Callback, WireRequest, WireResponse
from integrations.mobile_money.reading import SERVER_ERROR, child, code_of, read_object, text_of, words

TEXT_MAX = 256
DEFAULT_TOKEN_SECONDS = 3600
COMPLETED, FAILED = "completed", "failed"
_LINK = re.compile(r"/?(?:[^?#]*/)?(transactions|requeststates|debitmandates)/([A-Za-z0-9._-]{1,256})")

_FREQUENCIES = {
    Frequency.WEEKLY: "weekly",
    Frequency.MONTHLY: "monthspecificdate",
    Frequency.QUARTERLY: "threemonths",
    Frequency.HALF_YEARLY: "sixmonths",
    Frequency.YEARLY: "yearly",
}
_REASONS = {
    "insufficientFunds": Reason.INSUFFICIENT_FUNDS,
    "requestDeclined": Reason.PAYER_REJECTED,
    "duplicateRequest": Reason.DUPLICATE,
    "identifierError": Reason.NOT_REGISTERED,
    "samePartiesError": Reason.INVALID_REQUEST,
    "noMandateAuthority": Reason.PAYER_REJECTED,
    "incorrectState": Reason.BLOCKED,
    "servicingPartyAuthorisationError": Reason.AUTH,
    "clientAuthorisationError": Reason.AUTH,
    "requestingPartyAuthorisationError": Reason.PAYER_REJECTED,
    "rateLimitError": Reason.PROVIDER_DOWN,
    "genericError": Reason.OTHER,
    **dict.fromkeys(
        ("dailyVolumeLimitExceeded", "dailyValueLimitExceeded", "weeklyVolumeLimitExceeded", "weeklyValueLimitExceeded",
         "monthlyVolumeLimitExceeded", "monthlyValueLimitExceeded", "accountMaxTotalVolumeExceeded",
         "accountMaxTotalValueExceeded", "lessThanTransactionMinValue", "greaterThanTransactionMaxValue",
         "maxBalanceExceeded"), Reason.LIMIT),
    **dict.fromkeys(
        ("lengthError", "formatError", "negativeValue", "currencyNotSupported", "mandatoryValueNotSupplied",
         "transactionTypeError", "quoteHasExpired", "invalidOffset"), Reason.INVALID_REQUEST),
}  # fmt: skip
_FINAL = {
    COMPLETED: RequestState.SUCCEEDED,
    **dict.fromkeys((FAILED, "rejected", "declined", "cancelled", "expired", "reversed"), RequestState.FAILED),
}


class Provider(Struct, frozen=True, kw_only=True):
    """An operator that speaks this API: its base ("https://host/v1.2/mm"), where its tokens are, and our account there."""

    base_url: str
    token_url: str
    client_id: str
    client_secret: str
    api_key: str
    account: str

    def __repr__(self) -> str:
        return f"Provider({self.base_url})"


class Link(Struct, frozen=True):
    """Where an operator says that something is: the kind of thing, and its id."""

    kind: str
    id: str


def token_request(provider: Provider) -> WireRequest:
    """Return the request for a token (OAuth 2.0, client credentials)."""
    basic = base64.b64encode(f"{provider.client_id}:{provider.client_secret}".encode()).decode()
    headers = {"Authorization": f"Basic {basic}", "Content-Type": "application/x-www-form-urlencoded"}
    body = b"grant_type=client_credentials"
    return WireRequest(method="POST", url=provider.token_url, headers=headers, body=body, is_secret=True)


def read_token(response: WireResponse) -> Token:
    """Return the token given out.

    Raises:
        TokenRefused: none was.
    """
    said = read_object(response.body)
    value = text_of(said.get("access_token"))
    if response.status != 200 or not value:
        raise TokenRefused(code_of(response, text_of(said.get("error"))))
    seconds = text_of(said.get("expires_in"))
    return Token(value=value, seconds=int(seconds) if seconds.isdigit() else DEFAULT_TOKEN_SECONDS)


def request(
    provider: Provider,
    token: str,
    method: str,
    path: str,
    *,
    body: bytes = b"",
    reference: UUID | None = None,
    url: str = "",
) -> WireRequest:
    """Return a call. `reference` is the idempotency key: the operator refuses it a second time."""
    headers = {"Authorization": f"Bearer {token}", "X-API-Key": provider.api_key}
    if body:
        headers["Content-Type"] = "application/json"
    if reference:
        headers["X-CorrelationID"] = str(reference)
    if url:
        headers["X-Callback-URL"] = url
    return WireRequest(method=method, url=f"{provider.base_url}/{path}", headers=headers, body=body)


def account_path(msisdn: str) -> str:
    """Return the path of a wallet; its plus stays, escaped."""
    return f"accounts/msisdn/{segment(msisdn)}"


def segment(text: str) -> str:
    """Return an id, the operator's own too, as one segment of a path: it leads nowhere else."""
    return quote(text, safe="")


def decimal_text(amount: Amount) -> str:
    """Return the amount in major units with its currency's decimals ("15.00")."""
    return format(amount.decimal(), "f")


def transaction(*, payer: tuple[str, str], payee: tuple[str, str], amount: Amount, account: str, note: str) -> bytes:
    """Return a transaction from `payer` to `payee`, each (kind of identifier, identifier)."""
    said: dict[str, object] = {
        "amount": decimal_text(amount),
        "currency": amount.asset.symbol,
        "debitParty": [{"key": payer[0], "value": payer[1]}],
        "creditParty": [{"key": payee[0], "value": payee[1]}],
        "requestingOrganisationTransactionReference": account[:TEXT_MAX],
        "descriptionText": words(note, TEXT_MAX),
    }
    return msgspec.json.encode({name: value for name, value in said.items() if value})


def mandate(provider: Provider, wanted: MandateRequest) -> bytes | None:
    """Return a debit mandate, or None where the API knows no such frequency."""
    frequency = _FREQUENCIES.get(wanted.frequency)
    if frequency is None:
        return None
    return msgspec.json.encode(
        {
            "payee": [{"key": "accountid", "value": provider.account}],
            "amountLimit": decimal_text(wanted.limit),
            "currency": wanted.limit.asset.symbol,
            "startDate": wanted.starts_on,
            "endDate": wanted.ends_on,
            "frequencyType": frequency,
            "mandateStatus": "active",
            "customData": [{"key": "account", "value": wanted.account[:TEXT_MAX]}],
        }
    )


def ending_of_mandate() -> bytes:
    """Return the change (RFC 6902) that ends a mandate."""
    return msgspec.json.encode([{"op": "replace", "path": "/mandateStatus", "value": "inactive"}])


def read_created(response: WireResponse) -> Answer:  # noqa: PLR0911 - one return a meaning
    """Return what the answer to a creating call says.

    What a rule refused was not done. A 5xx says nothing of what was done behind it.
    """
    said = read_object(response.body)
    if response.status == 202 and text_of(said.get("serverCorrelationId")):
        return Answer(state=RequestState.PENDING, handle=text_of(said["serverCorrelationId"]))
    if response.status == 201 and said:
        return read_resource(response)
    code = text_of(said.get("errorCode"))
    shown = code_of(response, code)
    if code == "duplicateRequest":
        return Answer(state=RequestState.PENDING, reason=Reason.DUPLICATE, code=code)
    if response.status in {401, 403} or code == "clientAuthorisationError":
        return Answer(state=RequestState.CREATED, reason=Reason.AUTH, code=shown)
    if response.status == 429 or code == "rateLimitError":
        return Answer(state=RequestState.CREATED, reason=Reason.PROVIDER_DOWN, code=shown)
    if code and response.status < SERVER_ERROR:
        return Answer(state=RequestState.FAILED, reason=_REASONS.get(code, Reason.OTHER), code=code)
    return Answer(state=RequestState.SENT, reason=unclear(response), code=shown)


def read_request_state(response: WireResponse, handle: str) -> tuple[Answer, Link | None]:
    """Return what has become of a request, and where its result is once there is one.

    Completed is PENDING here: what was done is in the result.
    """
    said = read_object(response.body)
    status = text_of(said.get("status")) if response.status == 200 else ""
    if status == FAILED:
        return _failed(child(said, "error"), handle), None
    if status in {COMPLETED, "pending"}:
        result = text_of(said.get("objectReference")) if status == COMPLETED else ""
        answer = Answer(state=RequestState.PENDING, handle=handle, code=status)
        return answer, Link("result", result) if result else None
    code = code_of(response, text_of(said.get("errorCode")))
    return Answer(state=RequestState.SENT, reason=unclear(response), handle=handle, code=code), None


def read_response_link(response: WireResponse) -> tuple[Answer, Link | None]:
    """Return where the answer to a request of ours is; CREATED where the operator has none of that reference."""
    said = read_object(response.body)
    if response.status == 200 and (match := _LINK.fullmatch(text_of(said.get("link")))):
        return Answer(state=RequestState.PENDING), Link(match[1], match[2])
    code = text_of(said.get("errorCode"))
    if response.status == 404 and code == "identifierError":
        return Answer(state=RequestState.CREATED, code=code), None
    return Answer(state=RequestState.SENT, reason=unclear(response), code=code_of(response, code)), None


def read_resource(response: WireResponse, handle: str = "") -> Answer:
    """Return what a transaction or a mandate says of itself."""
    said = read_object(response.body)
    if response.status in {200, 201} and (answer := _resource(said, handle)):
        return answer
    code = code_of(response, text_of(said.get("errorCode")))
    return Answer(state=RequestState.SENT, reason=unclear(response), handle=handle, code=code)


def read_ended(response: WireResponse) -> Answer:
    """Return whether a mandate is ended."""
    if response.status in {200, 202, 204}:
        return Answer(state=RequestState.SUCCEEDED, code=code_of(response))
    return Answer(state=RequestState.SENT, reason=unclear(response), code=code_of(response))


def read_status(response: WireResponse) -> AccountHolder:
    """Return what the operator says of a wallet."""
    said = read_object(response.body)
    states = {
        "available": HolderState.ACTIVE,
        "unavailable": HolderState.INACTIVE,
        "unregistered": HolderState.UNREGISTERED,
    }
    state = states.get(text_of(said.get("accountStatus"))) if response.status == 200 else None
    if state is not None:
        return AccountHolder(state=state)
    if response.status == 404 and text_of(said.get("errorCode")) == "identifierError":
        return AccountHolder(state=HolderState.UNREGISTERED, reason=Reason.NOT_REGISTERED)
    return AccountHolder(state=HolderState.UNKNOWN, reason=unclear(response))


def read_name(response: WireResponse) -> str:
    """Return the holder's name in one text, empty if the operator does not say."""
    name = child(read_object(response.body), "name") if response.status == 200 else {}
    parts = [text_of(name.get(part)) for part in ("firstName", "middleName", "lastName")]
    return " ".join(filter(None, parts)) or text_of(name.get("fullName"))


def read_callback(callback: Callback) -> Hint | None:
    """Return what a callback claims: a PUT of the final resource, of the request's state, or of an error."""
    said = read_object(callback.body)
    if callback.method != "PUT":
        return None
    if answer := _resource(said, ""):
        return Hint(claimed=answer)
    handle = text_of(said.get("serverCorrelationId"))
    if handle and text_of(said.get("status")) == FAILED:
        return Hint(claimed=_failed(child(said, "error"), handle))
    if handle:
        return Hint(claimed=Answer(state=RequestState.PENDING, handle=handle))
    return Hint(claimed=_failed(said, "")) if text_of(said.get("errorCode")) else None


def unclear(response: WireResponse) -> Reason:
    """Return why nothing was learned."""
    if response.status in {401, 403}:
        return Reason.AUTH
    return Reason.PROVIDER_DOWN if response.status >= SERVER_ERROR or response.status == 429 else Reason.AMBIGUOUS


def _resource(said: Mapping[str, Any], handle: str) -> Answer | None:
    if mandate_reference := text_of(said.get("mandateReference")):
        is_active = said.get("mandateStatus") == "active"
        return Answer(
            state=RequestState.SUCCEEDED if is_active else RequestState.PENDING,
            provider_ref=mandate_reference,
            handle=handle,
            code=text_of(said.get("mandateStatus")),
        )
    status, reference = text_of(said.get("transactionStatus")), text_of(said.get("transactionReference"))
    if not status or not reference:
        return None
    state = _FINAL.get(status.lower(), RequestState.PENDING)
    return Answer(
        state=state,
        reason=Reason.OTHER if state is RequestState.FAILED else None,
        provider_ref=reference,
        handle=handle,
        amount=text_of(said.get("amount")),
        currency=text_of(said.get("currency")),
        code=status,
    )


def _failed(error: Mapping[str, Any], handle: str) -> Answer:
    code = text_of(error.get("errorCode"))
    return Answer(
        state=RequestState.FAILED, reason=_REASONS.get(code, Reason.OTHER), handle=handle, code=code or FAILED
    )
