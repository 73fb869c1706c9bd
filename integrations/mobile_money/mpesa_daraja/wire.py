"""Daraja requests from our own words. Pure."""

import base64
from datetime import datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509 import load_pem_x509_certificate
from msgspec import Struct

from engine.kernel.amounts import Amount
from engine.kernel.tokens import Token, TokenRefused
from engine.kernel.transport import WireRequest, WireResponse
from integrations.mobile_money.reading import code_of, digits_of, read_object, text_of, words

ZONE = ZoneInfo("Africa/Nairobi")
ACCOUNT_MAX, DESCRIPTION_MAX, REMARKS_MAX = 12, 13, 100
PULL_HOURS = 48
DEFAULT_TOKEN_SECONDS = 3599
_BASE32 = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's: none is taken for another when read aloud


class App(Struct, frozen=True, kw_only=True):
    """A Daraja application: where it is asked and what it is entered with."""

    base_url: str
    consumer_key: str
    consumer_secret: str

    def __repr__(self) -> str:
        return f"App({self.base_url})"


class Shortcode(Struct, frozen=True, kw_only=True):
    """A pay-bill number and what speaks for it; `credential` is the initiator's password, encrypted for Safaricom."""

    number: str
    passkey: str = ""
    initiator: str = ""
    credential: str = ""

    def __repr__(self) -> str:
        return f"Shortcode({self.number})"


def security_credential(password: str, certificate: bytes) -> str:
    """Return the initiator's password encrypted with the environment's certificate (PEM): RSA, PKCS#1 v1.5, base64."""
    key = load_pem_x509_certificate(certificate).public_key()
    assert isinstance(key, RSAPublicKey), key
    return base64.b64encode(key.encrypt(password.encode(), PKCS1v15())).decode()


def is_whole(amount: Amount) -> bool:
    """Return whether the amount is of whole shillings, which is all that Daraja moves."""
    return amount.decimal() == amount.decimal().to_integral_value()


def short_reference(reference: UUID) -> str:
    """Return our reference in the 12 letters that an account reference holds: its first 60 bits."""
    number = reference.int >> 68
    return "".join(_BASE32[number >> 5 * place & 31] for place in reversed(range(ACCOUNT_MAX)))


def token_request(app: App) -> WireRequest:
    """Return the request for a token."""
    basic = base64.b64encode(f"{app.consumer_key}:{app.consumer_secret}".encode()).decode()
    return WireRequest(
        method="GET",
        url=f"{app.base_url}/oauth/v1/generate?grant_type=client_credentials",
        headers={"Authorization": f"Basic {basic}"},
        is_secret=True,
    )


def read_token(response: WireResponse) -> Token:
    """Return the token given out; its seconds may be text or a number.

    Raises:
        TokenRefused: none was.
    """
    said = read_object(response.body)
    value = text_of(said.get("access_token"))
    if response.status != 200 or not value:
        raise TokenRefused(code_of(response, text_of(said.get("errorCode"))))
    seconds = text_of(said.get("expires_in"))
    return Token(value=value, seconds=int(seconds) if seconds.isdigit() else DEFAULT_TOKEN_SECONDS)


def post(app: App, path: str, token: str, body: dict[str, object]) -> WireRequest:
    """Return a call."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    return WireRequest(method="POST", url=f"{app.base_url}/{path}", headers=headers, body=msgspec.json.encode(body))


def _signed(shortcode: Shortcode, at: datetime) -> dict[str, object]:
    stamp = at.astimezone(ZONE).strftime("%Y%m%d%H%M%S")
    password = base64.b64encode(f"{shortcode.number}{shortcode.passkey}{stamp}".encode()).decode()
    return {"BusinessShortCode": shortcode.number, "Password": password, "Timestamp": stamp}


def stk_push(
    shortcode: Shortcode, at: datetime, *, msisdn: str, amount: Amount, reference: UUID, account: str, url: str
) -> dict[str, object]:
    """Return a prompt to the payer. The account reference is ours, so that the payment can be found without an answer."""
    assert is_whole(amount), amount
    number = digits_of(msisdn)
    return _signed(shortcode, at) | {
        "TransactionType": "CustomerPayBillOnline",
        "Amount": int(amount.decimal()),
        "PartyA": number,
        "PartyB": shortcode.number,
        "PhoneNumber": number,
        "CallBackURL": url,
        "AccountReference": short_reference(reference),
        "TransactionDesc": words(account, DESCRIPTION_MAX) or "Payment",
    }


def stk_query(shortcode: Shortcode, at: datetime, checkout: str) -> dict[str, object]:
    """Return the question what has become of a prompt."""
    return _signed(shortcode, at) | {"CheckoutRequestID": checkout}


def b2c(
    shortcode: Shortcode, *, msisdn: str, amount: Amount, reference: UUID, note: str, url: str
) -> dict[str, object]:
    """Return a payout. `Occassion` is the portal's own spelling; our reference is what makes a second one a duplicate."""
    assert is_whole(amount), amount
    return {
        "OriginatorConversationID": str(reference),
        "InitiatorName": shortcode.initiator,
        "SecurityCredential": shortcode.credential,
        "CommandID": "BusinessPayment",
        "Amount": int(amount.decimal()),
        "PartyA": shortcode.number,
        "PartyB": digits_of(msisdn),
        "Remarks": words(note, REMARKS_MAX).ljust(2, "."),
        "QueueTimeOutURL": url,
        "ResultURL": url,
        "Occassion": "",
    }


def status_query(
    shortcode: Shortcode, *, url: str, original: UUID | None = None, transaction: str = ""
) -> dict[str, object]:
    """Return the question what has become of a payout, by our reference, or of a transaction; it is answered at `url`."""
    named: dict[str, object] = (
        {"TransactionID": transaction} if original is None else {"OriginalConversationID": str(original)}
    )
    return named | {
        "Initiator": shortcode.initiator,
        "SecurityCredential": shortcode.credential,
        "CommandID": "TransactionStatusQuery",
        "PartyA": shortcode.number,
        "IdentifierType": "4",
        "ResultURL": url,
        "QueueTimeOutURL": url,
        "Remarks": "Enquiry",
        "Occasion": "",
    }


def reversal(shortcode: Shortcode, *, transaction: str, amount: Amount, note: str, url: str) -> dict[str, object]:
    """Return a reversal of a payment in. `RecieverIdentifierType` is the portal's own spelling."""
    assert is_whole(amount), amount
    return {
        "Initiator": shortcode.initiator,
        "SecurityCredential": shortcode.credential,
        "CommandID": "TransactionReversal",
        "TransactionID": transaction,
        "Amount": int(amount.decimal()),
        "ReceiverParty": shortcode.number,
        "RecieverIdentifierType": "11",
        "ResultURL": url,
        "QueueTimeOutURL": url,
        "Remarks": words(note, REMARKS_MAX).ljust(2, "."),
        "Occasion": "",
    }


def pull_query(shortcode: Shortcode, at: datetime, offset: int) -> dict[str, object]:
    """Return the question for payments in of the last 48 hours, as far back as Daraja goes, from `offset` on."""
    until = at.astimezone(ZONE)
    since = until - timedelta(hours=PULL_HOURS) + timedelta(minutes=1)
    return {
        "ShortCode": shortcode.number,
        "StartDate": since.strftime("%Y-%m-%d %H:%M:%S"),
        "EndDate": until.strftime("%Y-%m-%d %H:%M:%S"),
        "OffSetValue": str(offset),
    }


def registration(shortcode: Shortcode, *, validation_url: str, confirmation_url: str) -> dict[str, object]:
    """Return where payments in are asked about and told of. Unasked in time, they are completed: money is not turned away."""
    return {
        "ShortCode": shortcode.number,
        "ResponseType": "Completed",
        "ConfirmationURL": confirmation_url,
        "ValidationURL": validation_url,
    }
