"""MTN's side: tokens, requests to pay, transfers, account holders and pre-approvals over HTTP, as MTN does them.

It refuses what MTN refuses: a token call with a body, a key of the other product, a reference that is no UUID version 4
or was used before, another currency than the sandbox's, special characters. The payers of MTN's sandbox with a fate
of their own have it here.
"""

import base64
import secrets
import time
from collections.abc import Mapping
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import msgspec

from engine.kernel.transport import Transport, WireRequest
from integrations.mobile_money.simulation import Call, JoinedSimulator, Movement, Outgoing, Reply, Simulator

FAILED, REJECTED, TIMEOUT, ONGOING, PENDING = (f"4673312345{digit}" for digit in range(5))
"""MTN's sandbox payers: what becomes of a payment of theirs."""

POOR, UNKNOWN_PARTY, INACTIVE = "46733123460", "46733123461", "46733123462"
"""Ours: too little money; no wallet; a wallet that is closed."""

NOTE_MAX = 160
TOKEN_SECONDS = 3600
_ENDS = {
    FAILED: "INTERNAL_PROCESSING_ERROR",
    REJECTED: "APPROVAL_REJECTED",
    TIMEOUT: "EXPIRED",
    POOR: "NOT_ENOUGH_FUNDS",
    UNKNOWN_PARTY: "PAYER_NOT_FOUND",
}
_KINDS = {"requesttopay": ("collection", "payer"), "transfer": ("disbursement", "payee")}


class MtnSimulator(Simulator):
    """MTN MoMo as one partner sees it; `keys` are the subscription keys of the products."""

    def __init__(
        self,
        callbacks: Transport,
        *,
        keys: Mapping[str, str],
        currency: str = "EUR",
        environment: str = "sandbox",
        settle_seconds: float = 0.05,
        ongoing_seconds: float = 30,
        reason_is_text: bool = False,
    ) -> None:
        """Begin with no users: they are made as in MTN's sandbox.

        Args:
            callbacks: what callbacks are sent by.
            keys: product -> subscription key.
            currency: the one that is taken; MTN's sandbox takes EUR alone.
            environment: what X-Target-Environment must say.
            settle_seconds: how long a payer takes to decide.
            ongoing_seconds: how long the "ongoing" payer takes.
            reason_is_text: whether this market writes a reason as text or as an object.
        """
        super().__init__(callbacks, settle_seconds=settle_seconds)
        self._subscriptions, self._currency, self._environment = dict(keys), currency, environment
        self._ongoing_seconds, self._reason_is_text = ongoing_seconds, reason_is_text
        self._users: dict[str, str] = {}
        self._api_keys: dict[str, str] = {}
        self._tokens: dict[str, tuple[str, float]] = {}
        self._things: dict[tuple[str, str], dict[str, Any]] = {}
        self.route("POST", "/v1_0/apiuser", self._create_user)
        self.route("GET", "/v1_0/apiuser/{user}", self._user)
        self.route("POST", "/v1_0/apiuser/{user}/apikey", self._create_key)
        for product in keys:
            self.route("POST", f"/{product}/token/", partial(self._token, product))
            self.route("GET", f"/{product}/v1_0/account/balance", partial(self._balance, product))
            holder = f"/{product}/v1_0/accountholder/{{type}}/{{id}}"
            self.route("GET", f"{holder}/active", partial(self._active, product))
            self.route("GET", f"{holder}/basicuserinfo", partial(self._info, product))
        for kind, (product, _) in _KINDS.items():
            self.route("POST", f"/{product}/v1_0/{kind}", partial(self._create, kind), moves_money=True)
            self.route("GET", f"/{product}/v1_0/{kind}/{{reference}}", partial(self._status, kind))
        self.route("POST", "/collection/v2_0/preapproval", self._create_preapproval)
        self.route("GET", "/collection/v2_0/preapproval/{reference}", partial(self._status, "preapproval"))
        self.route("DELETE", "/collection/v1_0/preapproval/{reference}", self._cancel_preapproval)

    def unknown_path(self) -> Reply:
        """Return MTN's gateway's words for a path that it does not have."""
        return Reply.of({"statusCode": 404, "message": "Resource not found"}, 404)

    # -- users and tokens

    def add_user(self, user: str, key: str, callback_host: str = "127.0.0.1") -> None:
        """Make a user as the partner portal does."""
        self._users[user], self._api_keys[user] = callback_host, key

    def _create_user(self, call: Call) -> Reply:
        user, said = call.headers.get("x-reference-id", ""), call.json()
        if call.headers.get("ocp-apim-subscription-key") not in self._subscriptions.values():
            return _no_subscription()
        if not _is_uuid4(user) or not isinstance(said, dict) or not said.get("providerCallbackHost"):
            return Reply(status=400)
        if user in self._users:
            return _refusal(409, "RESOURCE_ALREADY_EXIST", "Duplicated reference id. Creation of resource failed.")
        self._users[user] = str(said["providerCallbackHost"])
        return Reply(status=201)

    def _user(self, call: Call) -> Reply:
        host = self._users.get(call.path["user"])
        if host is None:
            return _refusal(404, "RESOURCE_NOT_FOUND", "Requested resource was not found.")
        return Reply.of({"providerCallbackHost": host, "targetEnvironment": self._environment})

    def _create_key(self, call: Call) -> Reply:
        user = call.path["user"]
        if user not in self._users:
            return _refusal(404, "RESOURCE_NOT_FOUND", "Requested resource was not found.")
        self._api_keys[user] = secrets.token_hex(16)
        return Reply.of({"apiKey": self._api_keys[user]}, 201)

    def _token(self, product: str, call: Call) -> Reply:
        if call.headers.get("ocp-apim-subscription-key") != self._subscriptions[product]:
            return _no_subscription()
        if call.body:
            return Reply(status=400)
        try:
            basic = call.headers["authorization"].removeprefix("Basic ")
            user, _, key = base64.b64decode(basic, validate=True).decode().rpartition(":")
        except (KeyError, ValueError):
            return Reply.of({"error": "invalid_client"}, 401)
        if not key or self._api_keys.get(user) != key:
            return Reply.of({"error": "invalid_client"}, 401)
        token = secrets.token_urlsafe(32)
        self._tokens[token] = (product, time.monotonic() + TOKEN_SECONDS)
        return Reply.of({"access_token": token, "token_type": "access_token", "expires_in": TOKEN_SECONDS})

    def forget_tokens(self) -> None:
        """Let every token given out so far be refused."""
        self._tokens.clear()

    def _entered(self, product: str, call: Call) -> Reply | None:
        """Return MTN's refusal of who may not enter, None of who may."""
        if "python-requests" in call.headers.get("user-agent", ""):
            return Reply(status=403, body=b"<html><title>403 Forbidden</title></html>", content_type="text/html")
        if call.headers.get("ocp-apim-subscription-key") != self._subscriptions[product]:
            return _no_subscription()
        token = call.headers.get("authorization", "").removeprefix("Bearer ")
        owner, until = self._tokens.get(token, ("", 0.0))
        if owner != product or until < time.monotonic():
            return Reply.of({"statusCode": 401, "message": "Unauthorized"}, 401)
        if call.headers.get("x-target-environment") != self._environment:
            return _refusal(500, "NOT_ALLOWED_TARGET_ENVIRONMENT", "Access to target environment is forbidden.")
        return None

    # -- payments

    def _create(self, kind: str, call: Call) -> Reply:
        product, role = _KINDS[kind]
        reference, said = call.headers.get("x-reference-id", ""), call.json()
        refused = self._entered(product, call) or self._refused(kind, role, reference, said)
        if refused:
            return refused
        thing = {**said, "status": "PENDING"}
        self._things[kind, reference] = thing
        party = said[role]["partyId"]
        if party != PENDING:
            seconds = self._ongoing_seconds if party == ONGOING else self.settle_seconds
            url = call.headers.get("x-callback-url", "")
            self.later(seconds, partial(self._settle, kind, role, reference, url))
        return Reply(status=202)

    def _refused(self, kind: str, role: str, reference: str, said: Any) -> Reply | None:
        if not _is_uuid4(reference):
            return Reply(status=400)
        if (kind, reference) in self._things:
            return _refusal(409, "RESOURCE_ALREADY_EXIST", "Duplicated reference id. Creation of resource failed.")
        if not isinstance(said, dict) or not _is_payment(said, role):
            return Reply(status=400)
        if said["currency"] != self._currency:
            return _refusal(500, "INVALID_CURRENCY", "Currency not supported.")
        return None

    async def _settle(self, kind: str, role: str, reference: str, url: str) -> None:
        thing = self._things[kind, reference]
        party = thing[role]["partyId"]
        if code := _ENDS.get(party):
            code = code.replace("PAYER", role.upper())
            reason: object = code if self._reason_is_text else {"code": code, "message": "It could not be done."}
            thing.update(status="FAILED", reason=reason)
        else:
            transaction = str(10**9 + secrets.randbelow(9 * 10**9))
            thing.update(status="SUCCESSFUL", financialTransactionId=transaction)
            self.movements.append(
                Movement(
                    kind=kind,
                    transaction=transaction,
                    reference=reference,
                    msisdn=party,
                    amount=thing["amount"],
                    currency=thing["currency"],
                    account=thing["externalId"],
                )
            )
        await self.call_back(_callback(thing, url))

    def _status(self, kind: str, call: Call) -> Reply:
        product, _ = _KINDS.get(kind, ("collection", ""))
        if refused := self._entered(product, call):
            return refused
        thing = self._things.get((kind, call.path["reference"]))
        if thing is None:
            return _refusal(404, "RESOURCE_NOT_FOUND", "Requested resource was not found.")
        return Reply.of(thing)

    def _balance(self, product: str, call: Call) -> Reply:
        signs = {"requesttopay": 1, "transfer": -1}
        total = sum((Decimal(one.amount) * signs[one.kind] for one in self.movements), Decimal(0))
        return self._entered(product, call) or Reply.of({"availableBalance": str(total), "currency": self._currency})

    # -- account holders and pre-approvals

    def _active(self, product: str, call: Call) -> Reply:
        if refused := self._entered(product, call):
            return refused
        if call.path["id"] == UNKNOWN_PARTY:
            return _refusal(404, "RESOURCE_NOT_FOUND", "Requested resource was not found.")
        return Reply.of({"result": call.path["id"] != INACTIVE})

    def _info(self, product: str, call: Call) -> Reply:
        refused = self._entered(product, call)
        given, family = self.holder(call.path["id"])
        claims = {"sub": "0", "given_name": given, "family_name": family, "locale": "sv_SE", "gender": "MALE"}
        return refused or Reply.of({**claims, "birthdate": "1976-08-13", "updated_at": 0})

    def _create_preapproval(self, call: Call) -> Reply:
        reference, said = call.headers.get("x-reference-id", ""), call.json()
        if refused := self._entered("collection", call):
            return refused
        if not _is_uuid4(reference) or not isinstance(said, dict) or not _is_party(said.get("payer")):
            return Reply(status=400)
        if ("preapproval", reference) in self._things:
            return _refusal(409, "RESOURCE_ALREADY_EXIST", "Duplicated reference id. Creation of resource failed.")
        thing = self._things["preapproval", reference] = {**said, "status": "PENDING"}
        url = call.headers.get("x-callback-url", "")

        async def decide() -> None:
            refused = said["payer"]["partyId"] == REJECTED
            thing.update({"status": "FAILED", "reason": "APPROVAL_REJECTED"} if refused else {"status": "SUCCESSFUL"})
            await self.call_back(_callback(thing, url))

        self.later(self.settle_seconds, decide)
        return Reply(status=202)

    def _cancel_preapproval(self, call: Call) -> Reply:
        if refused := self._entered("collection", call):
            return refused
        if self._things.pop(("preapproval", call.path["reference"]), None) is None:
            return _refusal(404, "RESOURCE_NOT_FOUND", "Requested resource was not found.")
        return Reply(status=200)


def _callback(thing: Mapping[str, Any], url: str) -> Outgoing:
    """Return the callback of a thing: a PUT of what its status would say. A forger writes of a payment that is not."""
    body = msgspec.json.encode(thing)
    wrong = msgspec.json.encode({**thing, "amount": str(Decimal(str(thing.get("amount", "1"))) * 100)})
    forged = {**thing, "status": "SUCCESSFUL", "financialTransactionId": str(secrets.randbelow(10**10)), "amount": "1"}
    request = WireRequest(method="PUT", url=url, headers={"Content-Type": "application/json"}, body=body)
    return Outgoing(request=request, wrong=wrong, forged=msgspec.json.encode(forged))


def _is_payment(said: Mapping[str, Any], role: str) -> bool:
    texts = [said.get(name) for name in ("payerMessage", "payeeNote")]
    return (
        isinstance(said.get("amount"), str)
        and said["amount"].replace(".", "", 1).isdigit()
        and Decimal(said["amount"]) > 0
        and isinstance(said.get("currency"), str)
        and isinstance(said.get("externalId"), str)
        and _is_party(said.get(role))
        and all(isinstance(text, str) and len(text) <= NOTE_MAX and not {"#", "'"} & set(text) for text in texts)
    )


def _is_party(party: Any) -> bool:
    return (
        isinstance(party, dict)
        and party.get("partyIdType") == "MSISDN"
        and isinstance(party.get("partyId"), str)
        and party["partyId"].isdigit()
    )


def _is_uuid4(text: str) -> bool:
    try:
        return UUID(text).version == 4
    except ValueError:
        return False


def _refusal(status: int, code: str, message: str) -> Reply:
    return Reply.of({"code": code, "message": message}, status)


def _no_subscription() -> Reply:
    message = (
        "Access denied due to invalid subscription key. Make sure to provide a valid key for an active subscription."
    )
    return Reply.of({"statusCode": 401, "message": message}, 401)


class Sandbox(JoinedSimulator):
    """MTN for whoever tries the product out: one partner, its keys made at random."""

    def __init__(self, callbacks: Transport, *, country: str, currency: str, settle_seconds: float) -> None:  # noqa: ARG002
        """Open a sandbox that takes `currency`; MTN's host does not tell the country."""
        self._keys = {product: secrets.token_hex(16) for product in ("collection", "disbursement")}
        self._user, self._secret = str(uuid4()), secrets.token_hex(16)
        self.simulator = MtnSimulator(callbacks, keys=self._keys, currency=currency, settle_seconds=settle_seconds)
        self.simulator.add_user(self._user, self._secret)

    def credentials(self, url: str) -> dict[str, object]:
        """Return the table of the secrets file that joins it, served at `url`."""
        products = {
            product: {"subscription_key": key, "api_user": self._user, "api_key": self._secret}
            for product, key in self._keys.items()
        }
        return {"base_url": url, "environment": "sandbox", **products}
