"""Airtel messages to and from our own words. Pure.

Refusals of business come as HTTP 200 with `success` false; what happened is in `response_code`.
"""

from collections.abc import Mapping
from uuid import UUID

import msgspec
from msgspec import Raw, Struct

from engine.contributions.ports import AccountHolder, HolderState
from engine.kernel.amounts import Amount
from engine.kernel.outcomes import Answer, Hint, Reason, RequestState
from engine.kernel.tokens import Token, TokenRefused
from engine.kernel.transport import Callback, WireRequest, WireResponse
from integrations.mobile_money.airtel_money import signing
from integrations.mobile_money.reading import (
    SERVER_ERROR,
    child,
    code_of,
    letters_and_digits,
    national_number,
    read_object,
    text_of,
)

REFERENCE_MAX = 64
DEFAULT_TOKEN_SECONDS = 180
KEY_SECONDS = 3600

S, R = RequestState, Reason
_COLLECTION, _DISBURSEMENT = "DP0080000", "DP0090000"
_CODES: Mapping[str, tuple[RequestState, Reason | None]] = {
    "DP00800001000": (S.SENT, R.AMBIGUOUS),
    "DP00800001001": (S.PENDING, None),  # done; the enquiry has the transaction's id
    "DP00800001002": (S.FAILED, R.PAYER_REJECTED),  # wrong PIN
    "DP00800001003": (S.FAILED, R.LIMIT),
    "DP00800001004": (S.FAILED, R.LIMIT),
    "DP00800001005": (S.FAILED, R.PAYER_REJECTED),  # no PIN
    "DP00800001006": (S.PENDING, None),
    "DP00800001007": (S.FAILED, R.INSUFFICIENT_FUNDS),
    "DP00800001008": (S.FAILED, R.PAYER_REJECTED),
    "DP00800001009": (S.FAILED, R.BLOCKED),
    "DP00800001010": (S.FAILED, R.NOT_REGISTERED),
    "DP00800001024": (S.SENT, R.AMBIGUOUS),  # timed out: enquire, never fail
    "DP00800001025": (S.SENT, R.AMBIGUOUS),  # not found, which does not make a second one safe
    "DP00800001026": (S.CREATED, R.AUTH),  # the signature does not fit
    "DP00800001029": (S.FAILED, R.EXPIRED),
    "DP00900001000": (S.SENT, R.AMBIGUOUS),
    "DP00900001001": (S.PENDING, None),
    "DP00900001003": (S.FAILED, R.LIMIT),
    "DP00900001004": (S.FAILED, R.LIMIT),
    "DP00900001005": (S.FAILED, R.OTHER),
    "DP00900001006": (S.PENDING, None),
    "DP00900001007": (S.FAILED, R.INSUFFICIENT_FUNDS),
    "DP00900001009": (S.FAILED, R.NOT_REGISTERED),
    "DP00900001010": (S.FAILED, R.BLOCKED),
    "DP00900001011": (S.SENT, R.DUPLICATE),  # one like it exists: perhaps this one
    "DP00900001012": (S.FAILED, R.NOT_REGISTERED),
    "DP00900001013": (S.FAILED, R.BLOCKED),
    "DP00900001014": (S.SENT, R.AMBIGUOUS),
    "DP00900001015": (S.CREATED, None),  # not found: sent again under the same id, which is refused twice
    "DP00900001016": (S.CREATED, R.AUTH),
    "DP00900001017": (S.PENDING, R.DUPLICATE),
}
_STATUSES = {"TS": S.SUCCEEDED, "TF": S.FAILED, "TIP": S.PENDING, "TI": S.PENDING, "TA": S.SENT, "TE": S.FAILED}


class App(Struct, frozen=True, kw_only=True):
    """An Airtel application of one country; `pin` speaks for our wallet where it pays out."""

    base_url: str
    client_id: str
    client_secret: str
    country: str
    currency: str
    pin: str = ""

    def __repr__(self) -> str:
        return f"App({self.base_url}, {self.country})"


class _Signed(Struct):
    transaction: Raw
    hash: str = ""


def token_request(app: App) -> WireRequest:
    """Return the request for a token."""
    said = {"client_id": app.client_id, "client_secret": app.client_secret, "grant_type": "client_credentials"}
    headers = {"Content-Type": "application/json"}
    url = f"{app.base_url}/auth/oauth2/token"
    return WireRequest(method="POST", url=url, headers=headers, body=msgspec.json.encode(said), is_secret=True)


def read_token(response: WireResponse) -> Token:
    """Return the token given out, which lives three minutes.

    Raises:
        TokenRefused: none was.
    """
    said = read_object(response.body)
    value = text_of(said.get("access_token"))
    if response.status != 200 or not value:
        raise TokenRefused(code_of(response, text_of(said.get("error"))))
    seconds = text_of(said.get("expires_in"))
    return Token(value=value, seconds=int(seconds) if seconds.isdigit() else DEFAULT_TOKEN_SECONDS)


def call(app: App, token: str, method: str, path: str, body: bytes = b"", public_key: str = "") -> WireRequest:
    """Return a call; with `public_key`, signed."""
    headers = {"Authorization": f"Bearer {token}", "X-Country": app.country, "X-Currency": app.currency}
    if body:
        headers["Content-Type"] = "application/json"
    if public_key:
        headers |= signing.signing_headers(public_key, body)
    return WireRequest(method=method, url=f"{app.base_url}/{path}", headers=headers, body=body)


def read_key(response: WireResponse) -> Token:
    """Return Airtel's public key, kept like a token.

    Raises:
        TokenRefused: there is none to be had.
    """
    value = text_of_key(child(read_object(response.body), "data").get("key"))
    if response.status != 200 or not value:
        raise TokenRefused(code_of(response))
    return Token(value=value, seconds=KEY_SECONDS)


def text_of_key(value: object) -> str:
    """Return a key as text; it is longer than other texts may be."""
    return value if isinstance(value, str) else ""


def _number(amount: Amount) -> Raw:
    """Return the amount in major units as a JSON number, digit by digit."""
    text = format(amount.decimal(), "f")
    return Raw((text.rstrip("0").rstrip(".") if "." in text else text).encode())


def payment(app: App, *, msisdn: str, amount: Amount, reference: UUID, account: str) -> bytes:
    """Return a collection. The number is without its country code; the reference has letters and digits alone."""
    place = {"country": app.country, "currency": amount.asset.symbol}
    return msgspec.json.encode(
        {
            "reference": letters_and_digits(account, REFERENCE_MAX) or "Contribution",
            "subscriber": {**place, "msisdn": national_number(msisdn)},
            "transaction": {"amount": _number(amount), **place, "id": str(reference)},
        }
    )


def disbursement(app: App, public_key: str, *, msisdn: str, amount: Amount, reference: UUID, account: str) -> bytes:
    """Return a payout, its PIN encrypted for Airtel."""
    return msgspec.json.encode(
        {
            "payee": {"msisdn": national_number(msisdn), "currency": amount.asset.symbol},
            "reference": letters_and_digits(account, REFERENCE_MAX) or "Benefit",
            "pin": signing.encrypt_for_airtel(public_key, app.pin.encode()),
            "transaction": {"amount": _number(amount), "id": str(reference), "type": "B2C"},
        }
    )


def read_taken(response: WireResponse) -> Answer:
    """Return what the answer to a payment says."""
    code = _code(response)
    if response.status in {401, 403} and code not in _CODES:
        return Answer(state=S.CREATED, reason=R.AUTH, code=code_of(response, code))
    if response.status == 429:
        return Answer(state=S.CREATED, reason=R.PROVIDER_DOWN, code=code_of(response, code))
    if code in _CODES:
        state, reason = _CODES[code]
        return Answer(state=state, reason=reason, code=code)
    if response.status == 400 and read_object(response.body):
        return Answer(state=S.FAILED, reason=R.INVALID_REQUEST, code=code_of(response, code))
    return Answer(state=S.SENT, reason=unclear(response), code=code_of(response, code))


def read_enquiry(response: WireResponse) -> Answer:
    """Return what has become of a transaction. Airtel states no amount; the id is ours, and so is the amount."""
    said = child(child(read_object(response.body), "data"), "transaction")
    code, state = _code(response), _STATUSES.get(text_of(said.get("status")))
    if response.status == 200 and state is not None:
        return _decided(state, text_of(said.get("airtel_money_id")), code)
    if code in _CODES and _CODES[code][0] in {S.CREATED, S.PENDING}:
        return Answer(state=_CODES[code][0], code=code)
    return Answer(state=S.SENT, reason=unclear(response), code=code_of(response, code))


def _decided(state: RequestState, transaction: str, code: str) -> Answer:
    if state is S.SUCCEEDED and not transaction:
        state = S.PENDING
    reason = None
    if state is S.FAILED:
        reason = _CODES.get(code, (state, None))[1] or R.OTHER
    return Answer(state=state, reason=reason, provider_ref=transaction if state is S.SUCCEEDED else "", code=code)


def read_holder(response: WireResponse, msisdn: str) -> AccountHolder:
    """Return what Airtel says of a subscriber."""
    said = child(read_object(response.body), "data")
    if response.status == 200 and text_of(said.get("msisdn")).endswith(national_number(msisdn)):
        is_active = said.get("is_barred") is False
        name = " ".join(filter(None, (text_of(said.get("first_name")), text_of(said.get("last_name")))))
        return AccountHolder(state=HolderState.ACTIVE if is_active else HolderState.INACTIVE, name=name)
    if _code(response) == "DP02200000000":
        return AccountHolder(state=HolderState.UNREGISTERED, reason=R.NOT_REGISTERED)
    return AccountHolder(state=HolderState.UNKNOWN, reason=unclear(response))


def read_callback(callback: Callback, secret: str) -> Hint | None:
    """Return what a callback claims; one whose hash does not fit claims nothing.

    The hash is over the transaction as it came: how Airtel writes JSON is not documented.
    """
    try:
        signed = msgspec.json.decode(callback.body, type=_Signed)
    except (msgspec.DecodeError, RecursionError):
        return None
    raw = bytes(signed.transaction)
    if callback.method != "POST" or (signed.hash and not signing.is_hash_of(signed.hash, raw, secret)):
        return None
    said = read_object(raw)
    reference, state = text_of(said.get("id")), _STATUSES.get(text_of(said.get("status_code")))
    if not reference or state is None:
        return None
    return Hint(claimed=_decided(state, text_of(said.get("airtel_money_id")), ""), reference=reference)


def unclear(response: WireResponse) -> Reason:
    """Return why nothing was learned."""
    if response.status in {401, 403}:
        return R.AUTH
    return R.PROVIDER_DOWN if response.status >= SERVER_ERROR or response.status == 429 else R.AMBIGUOUS


def _code(response: WireResponse) -> str:
    return text_of(child(read_object(response.body), "status").get("response_code"))
