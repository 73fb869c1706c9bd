"""An operator's side of the GSMA Mobile Money API 1.2: tokens, transactions, request states, accounts, mandates.

Payers and payees whose number ends in one of the endings below have that fate.
"""

import base64
import re
import secrets
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import unquote
from uuid import UUID, uuid4

import msgspec

from engine.kernel.transport import Transport, WireRequest
from integrations.mobile_money.simulation import Call, JoinedSimulator, Movement, Outgoing, Reply, Simulator

BASE = "/v1.2/mm"
TOKEN_SECONDS = 3600
ENDINGS = {
    "001": "insufficientFunds",
    "032": "requestDeclined",
    "004": "dailyValueLimitExceeded",
    "040": "identifierError",
}
"""What a number ends in -> the error that its transaction ends with."""

UNAVAILABLE, UNREGISTERED = "050", "040"
_AMOUNT = re.compile(r"([0]|([1-9][0-9]{0,17}))([.][0-9]{0,3}[0-9])?")
_CATEGORIES = {
    "identifierError": "identification",
    "clientAuthorisationError": "authorisation",
    "formatError": "validation",
}
_TYPES = {"merchantpay", "disbursement", "transfer", "billpay", "deposit"}


class GsmaSimulator(Simulator):
    """An operator as one client sees it."""

    def __init__(
        self, callbacks: Transport, *, client_id: str, client_secret: str, api_key: str, settle_seconds: float = 0.05
    ) -> None:
        """Begin with nothing moved; `callbacks` is what callbacks are sent by."""
        super().__init__(callbacks, settle_seconds=settle_seconds)
        self._basic = base64.b64encode(f"{client_id}:{client_secret}".encode()).decode()
        self._api_key = api_key
        self._tokens: dict[str, float] = {}
        self._states: dict[str, dict[str, Any]] = {}
        self._links: dict[str, str] = {}
        self._transactions: dict[str, dict[str, Any]] = {}
        self._mandates: dict[str, dict[str, Any]] = {}
        self.route("POST", "/oauth/token", self._give_token)
        for method, path, act, moves in (
            ("POST", "/transactions/type/{type}", self._create, True),
            ("GET", "/transactions/{reference}", self._transaction, False),
            ("GET", "/requeststates/{id}", self._state, False),
            ("GET", "/responses/{id}", self._response, False),
            ("GET", "/accounts/msisdn/{number}/status", self._status, False),
            ("GET", "/accounts/msisdn/{number}/accountname", self._name, False),
            ("POST", "/accounts/msisdn/{number}/debitmandates", self._create_mandate, False),
            ("GET", "/accounts/msisdn/{number}/debitmandates/{reference}", self._mandate, False),
            ("PATCH", "/accounts/msisdn/{number}/debitmandates/{reference}", self._change_mandate, False),
            ("GET", "/heartbeat", lambda _: Reply.of({"serviceStatus": "available"}), False),
        ):
            self.route(method, BASE + path, partial(self._enter, act), moves_money=moves)

    def unknown_path(self) -> Reply:
        """Return the words for a path that there is not."""
        return _error(404, "identifierError")

    def _give_token(self, call: Call) -> Reply:
        if (
            call.headers.get("authorization") != f"Basic {self._basic}"
            or b"grant_type=client_credentials" not in call.body
        ):
            return Reply.of({"error": "invalid_client"}, 401)
        token = secrets.token_urlsafe(32)
        self._tokens[token] = time.monotonic() + TOKEN_SECONDS
        return Reply.of({"access_token": token, "token_type": "Bearer", "expires_in": TOKEN_SECONDS})

    def forget_tokens(self) -> None:
        """Let every token given out so far be refused."""
        self._tokens.clear()

    def _enter(self, act: Any, call: Call) -> Reply:
        token = call.headers.get("authorization", "").removeprefix("Bearer ")
        if self._tokens.get(token, 0) < time.monotonic() or call.headers.get("x-api-key") != self._api_key:
            return _error(401, "clientAuthorisationError")
        reply: Reply = act(call)
        return reply

    # -- transactions

    def _create(self, call: Call) -> Reply:
        said, reference = call.json(), call.headers.get("x-correlationid", "")
        if refused := self._refused(reference):
            return refused
        if call.path["type"] not in _TYPES:
            return _error(400, "transactionTypeError")
        if not isinstance(said, dict) or not _is_transaction(said):
            return _error(400, "formatError")
        return self._begin(reference, call, partial(self._settle_transaction, said, call.path["type"]))

    def _refused(self, reference: str) -> Reply | None:
        try:
            UUID(reference)
        except ValueError:
            return _error(400, "formatError")
        return _error(400, "duplicateRequest") if reference in self._links else None

    def _begin(self, reference: str, call: Call, act: Any) -> Reply:
        """Take a request that is done later."""
        url = call.headers.get("x-callback-url", "")
        handle = str(uuid4())
        self._states[handle] = {
            "serverCorrelationId": handle,
            "status": "pending",
            "notificationMethod": "callback" if url else "polling",
            "pollLimit": 100,
        }
        self._links[reference] = f"/requeststates/{handle}"
        self.later(self.settle_seconds, partial(self._settle, handle, reference, url, act))
        return Reply.of(self._states[handle], 202)

    async def _settle(self, handle: str, reference: str, url: str, act: Any) -> None:
        state = self._states[handle]
        result, error, link = act(reference)
        if error:
            state.update(status="failed", error=error)
        else:
            state.update(status="completed", objectReference=link.rsplit("/", 1)[-1])
            self._links[reference] = link
        body = error or result
        wrong = {**body, "amount": "9999999.00"}
        forged = {
            **_shape({}, "merchantpay"),
            "amount": "1",
            "currency": "UGX",
            "transactionReference": secrets.token_hex(8),
        }
        await self.call_back(_callback(url, reference, body, wrong, forged))

    def _settle_transaction(self, said: Mapping[str, Any], kind: str, reference: str) -> tuple[Any, Any, str]:
        number = next(
            (
                party["value"]
                for side in ("debitParty", "creditParty")
                for party in said.get(side, ())
                if party["key"] == "msisdn"
            ),
            "",
        )
        if code := ENDINGS.get(number[-3:]):
            return None, _error_object(code), ""
        made = _shape(said, kind)
        self._transactions[made["transactionReference"]] = made
        self.movements.append(
            Movement(
                kind=kind,
                transaction=made["transactionReference"],
                reference=reference,
                msisdn=number,
                amount=said["amount"],
                currency=said["currency"],
                account=str(said.get("requestingOrganisationTransactionReference", "")),
            )
        )
        return made, None, f"/transactions/{made['transactionReference']}"

    def _transaction(self, call: Call) -> Reply:
        found = self._transactions.get(call.path["reference"])
        return Reply.of(found) if found else _error(404, "identifierError")

    def _state(self, call: Call) -> Reply:
        found = self._states.get(call.path["id"])
        return Reply.of(found) if found else _error(404, "identifierError")

    def _response(self, call: Call) -> Reply:
        link = self._links.get(call.path["id"])
        return Reply.of({"link": link}) if link else _error(404, "identifierError")

    # -- accounts and mandates

    def _status(self, call: Call) -> Reply:
        ending = unquote(call.path["number"])[-3:]
        status = {UNAVAILABLE: "unavailable", UNREGISTERED: "unregistered"}.get(ending, "available")
        return Reply.of({"accountStatus": status})

    def _name(self, call: Call) -> Reply:
        if unquote(call.path["number"])[-3:] == UNREGISTERED:
            return _error(404, "identifierError")
        return Reply.of({"name": {"title": "Ms", "firstName": "Sand", "lastName": "Box", "fullName": "Sand Box"}})

    def _create_mandate(self, call: Call) -> Reply:
        said, reference = call.json(), call.headers.get("x-correlationid", "")
        if refused := self._refused(reference):
            return refused
        if not isinstance(said, dict) or "startDate" not in said:
            return _error(400, "mandatoryValueNotSupplied")
        number = unquote(call.path["number"])
        return self._begin(reference, call, partial(self._settle_mandate, said, number))

    def _settle_mandate(self, said: Mapping[str, Any], number: str, _reference: str) -> tuple[Any, Any, str]:
        if code := ENDINGS.get(number[-3:]):
            return None, _error_object(code), ""
        made = {**said, "mandateReference": secrets.token_hex(8), "mandateStatus": "active"}
        self._mandates[made["mandateReference"]] = made
        return made, None, f"/accounts/msisdn/{number}/debitmandates/{made['mandateReference']}"

    def _mandate(self, call: Call) -> Reply:
        found = self._mandates.get(call.path["reference"])
        return Reply.of(found) if found else _error(404, "identifierError")

    def _change_mandate(self, call: Call) -> Reply:
        found, said = self._mandates.get(call.path["reference"]), call.json()
        if found is None:
            return _error(404, "identifierError")
        if not isinstance(said, list) or [one.get("path") for one in said] != ["/mandateStatus"]:
            return _error(400, "formatError")
        found["mandateStatus"] = said[0]["value"]
        return Reply(status=204)


def _shape(said: Mapping[str, Any], kind: str) -> dict[str, Any]:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    made = {"type": kind, "transactionStatus": "completed", "transactionReference": f"REF-{secrets.token_hex(8)}"}
    return {**said, **made, "creationDate": now, "modificationDate": now, "requestDate": now}


def _callback(url: str, reference: str, body: object, wrong: object, forged: object) -> Outgoing:
    headers = {"Content-Type": "application/json", "X-CorrelationID": reference}
    request = WireRequest(method="PUT", url=url, headers=headers, body=msgspec.json.encode(body))
    return Outgoing(request=request, wrong=msgspec.json.encode(wrong), forged=msgspec.json.encode(forged))


def _is_transaction(said: Mapping[str, Any]) -> bool:
    parties = [party for side in ("debitParty", "creditParty") for party in said.get(side) or ()]
    return (
        isinstance(said.get("amount"), str)
        and bool(_AMOUNT.fullmatch(said["amount"]))
        and isinstance(said.get("currency"), str)
        and bool(parties)
        and all(isinstance(party, dict) and party.get("key") and party.get("value") for party in parties)
    )


def _error_object(code: str) -> dict[str, Any]:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    said = {"errorCategory": _CATEGORIES.get(code, "businessRule"), "errorCode": code}
    return {**said, "errordescription": "It could not be done.", "errorDateTime": now}


def _error(status: int, code: str) -> Reply:
    return Reply.of(_error_object(code), status)


class Sandbox(JoinedSimulator):
    """An operator for whoever tries the product out: one client, its keys made at random."""

    def __init__(self, callbacks: Transport, *, country: str, currency: str, settle_seconds: float) -> None:  # noqa: ARG002
        """Open a sandbox; the API knows no country, and takes any currency."""
        self._said = {name: secrets.token_hex(16) for name in ("client_id", "client_secret", "api_key")}
        self.simulator = GsmaSimulator(callbacks, **self._said, settle_seconds=settle_seconds)

    def credentials(self, url: str) -> dict[str, object]:
        """Return the table of the secrets file that joins it, served at `url`."""
        return {"base_url": f"{url}{BASE}", "token_url": f"{url}/oauth/token", **self._said, "account": "2999"}
