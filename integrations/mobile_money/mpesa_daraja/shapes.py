"""What Safaricom's side writes: transactions, callbacks, refusals, ids; for the simulator alone."""

import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from msgspec import Struct

from engine.kernel.transport import WireRequest
from integrations.mobile_money.mpesa_daraja.wire import ZONE
from integrations.mobile_money.simulation import Outgoing, Reply


class Transaction(Struct):
    """A transaction as Safaricom knows it."""

    receipt: str
    original: str  # whose conversation began it
    kind: str
    status: str
    amount: str
    number: str
    account: str
    at: datetime
    code: str = "0"


def metadata(made: Transaction) -> list[dict[str, Any]]:
    """Return what a paid prompt's callback tells; the balance comes without a value."""
    return [
        {"Name": "Amount", "Value": float(made.amount)},
        {"Name": "MpesaReceiptNumber", "Value": made.receipt},
        {"Name": "Balance"},
        {"Name": "TransactionDate", "Value": int(f"{made.at.astimezone(ZONE):%Y%m%d%H%M%S}")},
        {"Name": "PhoneNumber", "Value": int(made.number)},
    ]


def result_of(
    conversation: str, original: str, receipt: str, code: str, parameters: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return a result; a single parameter comes without its list, and a code with letters is text."""
    said: dict[str, Any] = {
        "ResultType": 0,
        "ResultCode": int(code) if code.isdigit() else code,
        "ResultDesc": "The service request is processed." if code == "0" else "It could not be done.",
        "OriginatorConversationID": original,
        "ConversationID": conversation,
        "TransactionID": receipt,
        "ReferenceData": {"ReferenceItem": {"Key": "QueueTimeoutURL", "Value": "https://internal"}},
    }
    if parameters:
        said["ResultParameters"] = {"ResultParameter": parameters[0] if len(parameters) == 1 else parameters}
    return {"Result": said}


def outgoing(url: str, said: object, wrong: object, forged: object) -> Outgoing:
    """Return a callback and what it is where it lies."""
    request = WireRequest(
        method="POST", url=url, headers={"Content-Type": "application/json"}, body=msgspec.json.encode(said)
    )
    return Outgoing(request=request, wrong=msgspec.json.encode(wrong), forged=msgspec.json.encode(forged))


def refusal(status: int, code: str, message: str) -> Reply:
    """Return Daraja's error envelope."""
    return Reply.of({"requestId": secrets.token_hex(8), "errorCode": code, "errorMessage": message}, status)


def missing_field(said: Mapping[str, Any], fields: set[str]) -> Reply | None:
    """Return the refusal of a body that lacks a field, None of one that has them all."""
    missing = sorted(fields - said.keys())
    return refusal(400, "400.002.02", f"Bad Request - Invalid {missing[0]}") if missing else None


def is_amount(value: Any) -> bool:
    """Return whether the value is of whole shillings, at least one."""
    return str(value).isdigit() and int(str(value)) > 0


def is_kenyan(value: Any) -> bool:
    """Return whether the value is a number as Daraja writes it."""
    return str(value).isdigit() and len(str(value)) == 12 and str(value)[:4] in {"2547", "2541"}


def new_receipt() -> str:
    """Return an id of a transaction."""
    return "".join(secrets.choice("ABCDEFGHJKLMNPQRSTUVWXYZ0123456789") for _ in range(10))


def new_conversation() -> str:
    """Return an id of a conversation."""
    return f"AG_{datetime.now(ZONE):%Y%m%d}_{secrets.token_hex(10)}"


def certificate() -> tuple[rsa.RSAPrivateKey, bytes]:
    """Return a private key and its certificate (PEM), made for this simulator alone."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "daraja.test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=3650))
        .sign(key, hashes.SHA256())
    )
    return key, certificate.public_bytes(Encoding.PEM)
