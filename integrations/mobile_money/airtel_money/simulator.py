"""Airtel's side: tokens of three minutes, signed payments, disbursements with a PIN, users, balance, one callback address.

Payers and payees whose number ends in one of the endings below have that fate.
"""

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Mapping
from decimal import Decimal
from functools import partial
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from engine.kernel.transport import Transport, WireRequest
from integrations.mobile_money.simulation import Call, JoinedSimulator, Movement, Outgoing, Reply, Simulator

TOKEN_SECONDS = 180
ENDINGS = {"001": "1007", "032": "1008", "003": "1003", "040": "1010"}
"""What a number ends in -> the end of its response code: too little, refused, over the limit, not registered."""

_OPERATIONS = {"payment": "DP0080000", "disbursement": "DP0090000"}


class AirtelSimulator(Simulator):
    """Airtel Money as one application sees it."""

    def __init__(
        self,
        callbacks: Transport,
        *,
        client_id: str,
        client_secret: str,
        pin: str,
        country: str = "UG",
        currency: str = "UGX",
        signs_callbacks: bool = True,
        settle_seconds: float = 0.05,
    ) -> None:
        """Begin with nothing moved.

        Args:
            callbacks: what callbacks are sent by, to `callback_url`.
            client_id: of the application, as `client_secret`.
            client_secret: see `client_id`.
            pin: of the application's wallet.
            country: what X-Country must say, and X-Currency `currency`.
            currency: see `country`.
            signs_callbacks: whether callbacks have a hash.
            settle_seconds: how long a payer takes.
        """
        super().__init__(callbacks, settle_seconds=settle_seconds)
        self.callback_url = ""
        self._credentials, self._secret, self._pin = (client_id, client_secret), client_secret, pin
        self._country, self._currency, self._signs_callbacks = country, currency, signs_callbacks
        self._private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._tokens: dict[str, float] = {}
        self._transactions: dict[tuple[str, str], dict[str, Any]] = {}
        self.route("POST", "/auth/oauth2/token", self._give_token)
        for method, path, act, moves in (
            ("GET", "/v1/rsa/encryption-keys", self._key, False),
            ("POST", "/merchant/v2/payments/", partial(self._take, "payment"), True),
            ("GET", "/standard/v1/payments/{id}", partial(self._enquiry, "payment"), False),
            ("POST", "/standard/v2/disbursements/", partial(self._take, "disbursement"), True),
            ("GET", "/standard/v1/disbursements/{id}", partial(self._enquiry, "disbursement"), False),
            ("GET", "/standard/v1/users/balance", self._balance, False),
            ("GET", "/standard/v1/users/{msisdn}", self._user, False),
        ):
            self.route(method, path, partial(self._enter, act), moves_money=moves)
        self.route("POST", "/simulator/callback-url", self._register)

    def _register(self, call: Call) -> Reply:
        """Take the address for all callbacks, which Airtel's portal takes from people."""
        said = call.json()
        self.callback_url = str(said.get("url", "")) if isinstance(said, dict) else ""
        return Reply.of({"url": self.callback_url})

    # -- entering

    def _give_token(self, call: Call) -> Reply:
        said = call.json()
        if not isinstance(said, dict) or said.get("grant_type") != "client_credentials":
            return Reply.of({"error": "unsupported_grant_type"}, 400)
        if (said.get("client_id"), said.get("client_secret")) != self._credentials:
            return Reply.of({"error_description": "Invalid client authentication", "error": "invalid_client"}, 401)
        token = secrets.token_urlsafe(24)
        self._tokens[token] = time.monotonic() + TOKEN_SECONDS
        return Reply.of({"access_token": token, "expires_in": str(TOKEN_SECONDS), "token_type": "bearer"})

    def forget_tokens(self) -> None:
        """Let every token given out so far be refused."""
        self._tokens.clear()

    def _enter(self, act: Any, call: Call) -> Reply:
        token = call.headers.get("authorization", "").removeprefix("Bearer ")
        if self._tokens.get(token, 0) < time.monotonic():
            return Reply.of({"error_description": "Invalid access token", "error": "invalid_token"}, 401)
        if (call.headers.get("x-country"), call.headers.get("x-currency")) != (self._country, self._currency):
            return Reply.of({"status_message": "Invalid country or currency", "status_code": "400"}, 400)
        reply: Reply = act(call)
        return reply

    def _key(self, _call: Call) -> Reply:
        der = self._private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        key = {"key_id": 1, "key": base64.b64encode(der).decode(), "valid_upto": "2030-01-01 00:00:00"}
        return _reply({**key}, "DP02010001001")

    def _is_signed(self, call: Call) -> bool:
        """Return whether the signature is of this very body."""
        try:
            pair = self._private.decrypt(base64.b64decode(call.headers["x-key"], validate=True), PKCS1v15())
            key, initial = (base64.b64decode(part, validate=True) for part in pair.split(b":"))
            decryptor = Cipher(AES(key), CBC(initial)).decryptor()
            padded = (
                decryptor.update(base64.b64decode(call.headers["x-signature"], validate=True)) + decryptor.finalize()
            )
            unpadder = PKCS7(128).unpadder()
            return unpadder.update(padded) + unpadder.finalize() == call.body
        except (KeyError, ValueError):
            return False

    # -- payments and disbursements

    def _take(self, kind: str, call: Call) -> Reply:
        prefix, said = _OPERATIONS[kind], call.json()
        if kind == "payment" and not self._is_signed(call):
            return _reply({}, f"{prefix}1026", success=False)
        if kind == "disbursement" and "x-signature" in call.headers and not self._is_signed(call):
            return _reply({}, f"{prefix}1016", success=False)
        party = said.get("subscriber" if kind == "payment" else "payee") if isinstance(said, dict) else None
        if not isinstance(party, dict) or not _is_payment(said, party):
            return Reply.of({"status_message": "Invalid request", "status_code": "400"}, 400)
        if kind == "disbursement" and not self._is_pin(said.get("pin")):
            return _reply({}, f"{prefix}1005", success=False)
        identity = str(said["transaction"]["id"])
        if kind == "disbursement" and (kind, identity) in self._transactions:
            return _reply({}, f"{prefix}1017", success=False)
        self._transactions[kind, identity] = {"status": "TIP", "code": f"{prefix}1006"}
        self.later(self.settle_seconds, partial(self._settle, kind, identity, said, str(party["msisdn"])))
        return _reply({"transaction": {"id": identity, "status": "Success."}}, f"{prefix}1006")

    def _is_pin(self, value: Any) -> bool:
        try:
            return self._private.decrypt(base64.b64decode(str(value), validate=True), PKCS1v15()) == self._pin.encode()
        except ValueError:
            return False

    async def _settle(self, kind: str, identity: str, said: Mapping[str, Any], msisdn: str) -> None:
        prefix, transaction = _OPERATIONS[kind], self._transactions[kind, identity]
        code = ENDINGS.get(msisdn[-3:])
        if code:
            transaction.update(status="TF", code=f"{prefix}{code}")
        else:
            money_id = f"MP{secrets.randbelow(10**12):012}"
            transaction.update(status="TS", code=f"{prefix}1001", airtel_money_id=money_id)
            self.movements.append(
                Movement(
                    kind=kind,
                    transaction=money_id,
                    reference=identity,
                    msisdn=msisdn,
                    amount=str(said["transaction"]["amount"]),
                    currency=self._currency,
                    account=str(said["reference"]),
                )
            )
        await self.call_back(self._callback(identity, transaction))

    def _callback(self, identity: str, transaction: Mapping[str, Any]) -> Outgoing:
        """Return the callback; a forger cannot make its hash."""
        said = {"id": identity, "message": "Paid", "status_code": transaction["status"]}
        said |= {"airtel_money_id": transaction["airtel_money_id"]} if "airtel_money_id" in transaction else {}
        body = self._hashed(msgspec.json.encode(said))
        forged = {**said, "status_code": "TS", "airtel_money_id": f"MP{secrets.randbelow(10**12):012}"}
        headers = {"Content-Type": "application/json"}
        request = WireRequest(method="POST", url=self.callback_url, headers=headers, body=body)
        wrong = self._hashed(msgspec.json.encode({**said, "amount": "9999999"}))
        return Outgoing(request=request, wrong=wrong, forged=msgspec.json.encode({"transaction": forged}))

    def _hashed(self, raw: bytes) -> bytes:
        if not self._signs_callbacks:
            return b'{"transaction":' + raw + b"}"
        digest = base64.b64encode(hmac.digest(self._secret.encode(), raw, hashlib.sha256))
        return b'{"transaction":' + raw + b',"hash":"' + digest + b'"}'

    def _enquiry(self, kind: str, call: Call) -> Reply:
        prefix, identity = _OPERATIONS[kind], call.path["id"]
        found = self._transactions.get((kind, identity))
        if found is None:
            return _reply({}, f"{prefix}{1025 if kind == 'payment' else 1015}", success=False)
        said = {"id": identity, "message": "ok"} | {
            name: found[name] for name in ("status", "airtel_money_id") if name in found
        }
        return _reply({"transaction": said}, found["code"], success=found["status"] != "TF")

    def _user(self, call: Call) -> Reply:
        msisdn = call.path["msisdn"]
        if msisdn.endswith("040"):
            return _reply({}, "DP02200000000", success=False)
        given, family = self.holder(msisdn)
        said = {"first_name": given, "last_name": family, "msisdn": msisdn[-9:], "is_barred": msisdn.endswith("050")}
        return _reply(
            {**said, "grade": "SUBS", "is_pin_set": True, "registration": {"id": "1", "status": "SUBS"}},
            "DP02200000001",
        )

    def _balance(self, _call: Call) -> Reply:
        signs = {"payment": 1, "disbursement": -1}
        total = sum((Decimal(one.amount) * signs[one.kind] for one in self.movements), Decimal(0))
        return _reply({"balance": str(total), "currency": self._currency, "account_status": "Active"}, "DP02100000001")


def _reply(data: Mapping[str, Any], code: str, *, success: bool = True) -> Reply:
    """Return Airtel's envelope: HTTP 200, whatever it says."""
    status = {"code": "200", "message": "SUCCESS" if success else "FAILED", "result_code": "ESB000010"}
    return Reply.of({"data": data, "status": {**status, "response_code": code, "success": success}})


def _is_payment(said: Mapping[str, Any], party: Mapping[str, Any]) -> bool:
    transaction = said.get("transaction")
    amount = transaction.get("amount") if isinstance(transaction, dict) else None
    return (
        isinstance(transaction, dict)
        and bool(transaction.get("id"))
        and isinstance(said.get("reference"), str)
        and str(said["reference"]).isalnum()
        and str(amount).replace(".", "", 1).isdigit()
        and Decimal(str(amount)) > 0
        and str(party.get("msisdn")).isdigit()
        and len(str(party["msisdn"])) == 9
    )


class Sandbox(JoinedSimulator):
    """Airtel Money for whoever tries the product out: one application in one country, its keys made at random."""

    def __init__(self, callbacks: Transport, *, country: str, currency: str, settle_seconds: float) -> None:
        """Open a sandbox of `country`."""
        self._said = {
            "client_id": secrets.token_hex(16),
            "client_secret": secrets.token_hex(16),
            "pin": f"{secrets.randbelow(10**4):04d}",
            "country": country,
            "currency": currency,
        }
        self.simulator = AirtelSimulator(
            callbacks,
            client_id=self._said["client_id"],
            client_secret=self._said["client_secret"],
            pin=self._said["pin"],
            country=country,
            currency=currency,
            settle_seconds=settle_seconds,
        )

    def credentials(self, url: str) -> dict[str, object]:
        """Return the table of the secrets file that joins it, served at `url`."""
        return {"base_url": url, **self._said}
