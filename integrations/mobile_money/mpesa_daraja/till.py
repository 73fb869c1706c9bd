"""What all of Safaricom's side of Daraja stands on: the application's token, who may pay out, what has moved."""

import base64
import secrets
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

from engine.kernel.transport import Transport
from integrations.mobile_money.mpesa_daraja.shapes import Transaction, certificate, new_receipt, refusal
from integrations.mobile_money.simulation import Call, Movement, Reply, Simulator

TOKEN_SECONDS = 3599
ENDINGS = {"001": "1", "032": "1032", "037": "1037", "019": "1019", "040": "2040", "201": "2001"}
"""What a number ends in -> its result code: too little, cancelled, unreachable, expired, no wallet, wrong PIN."""

TAKEN = {"ResponseCode": "0", "ResponseDescription": "Accept the service request successfully."}


class Till(Simulator):
    """Daraja as one application at one shortcode sees it."""

    def __init__(
        self,
        callbacks: Transport,
        *,
        key: str,
        secret: str,
        shortcode: str,
        passkey: str,
        initiator: str,
        password: str,
        validates: bool = False,
        settle_seconds: float = 0.05,
    ) -> None:
        """Begin with nothing moved.

        Args:
            callbacks: what callbacks are sent by.
            key: the application's consumer key; `secret` its secret.
            secret: see `key`.
            shortcode: the pay-bill number; `passkey` signs prompts for it.
            passkey: see `shortcode`.
            initiator: who may pay out; `password` must come encrypted for `certificate`.
            password: see `initiator`.
            validates: whether Safaricom has switched on validation of payments in.
            settle_seconds: how long a payer or the operator takes.
        """
        super().__init__(callbacks, settle_seconds=settle_seconds)
        self._callbacks_by = callbacks
        self._basic = base64.b64encode(f"{key}:{secret}".encode()).decode()
        self._shortcode, self._passkey, self._initiator, self._password = shortcode, passkey, initiator, password
        self._validates = validates
        self._token, self._token_until = "", 0.0
        self._urls: dict[str, str] = {}
        self._prompts: dict[str, dict[str, Any]] = {}
        self._transactions: dict[str, Transaction] = {}
        self._originals: dict[str, str] = {}
        self._private, self.certificate = certificate()
        self.route("GET", "/oauth/v1/generate", self._give_token)
        self.add_payouts()
        self.add_payments()

    def add_payouts(self) -> None:
        """Answer the calls that pay out."""

    def add_payments(self) -> None:
        """Answer the calls that bring money in."""

    def post(self, path: str, act: Callable[[dict[str, Any]], Reply], *, moves_money: bool = False) -> None:
        """Answer calls to `path` of who may enter."""
        self.route("POST", path, partial(self._enter, act), moves_money=moves_money)

    def unknown_path(self) -> Reply:
        """Return the gateway's words for a path that it does not have."""
        return refusal(404, "404.001.01", "Resource not found")

    # -- entering

    def _give_token(self, call: Call) -> Reply:
        if "grant_type=client_credentials" not in call.query:
            return refusal(400, "400.008.02", "Invalid grant type passed")
        if call.headers.get("authorization") != f"Basic {self._basic}":
            return refusal(400, "400.008.01", "Invalid Authentication passed")
        self._token, self._token_until = secrets.token_urlsafe(21), time.monotonic() + TOKEN_SECONDS
        return Reply.of({"access_token": self._token, "expires_in": str(TOKEN_SECONDS)})

    def forget_tokens(self) -> None:
        """Let the token given out last be refused."""
        self._token = ""

    def _enter(self, act: Any, call: Call) -> Reply:
        token = call.headers.get("authorization", "").removeprefix("Bearer ")
        if not self._token or token != self._token or self._token_until < time.monotonic():
            return refusal(404, "404.001.03", "Invalid Access Token")
        said = call.json()
        if not isinstance(said, dict):
            return refusal(400, "400.002.05", "Invalid Request Payload")
        reply: Reply = act(said)
        return reply

    def _initiates(self, said: Mapping[str, Any], name: str) -> bool:
        try:
            credential = base64.b64decode(str(said.get("SecurityCredential")), validate=True)
            return (
                said.get(name) == self._initiator
                and self._private.decrypt(credential, PKCS1v15()) == self._password.encode()
            )
        except ValueError:
            return False

    def _move(self, kind: str, original: str, amount: str, number: str, account: str, receipt: str = "") -> Transaction:
        made = Transaction(
            receipt or new_receipt(), original, kind, "Completed", amount, number, account, datetime.now(UTC)
        )
        self._transactions[made.receipt] = made
        self.movements.append(
            Movement(
                kind=kind,
                transaction=made.receipt,
                reference=original,
                msisdn=number,
                amount=amount,
                currency="KES",
                account=account,
            )
        )
        return made
