"""Every GSMA message of ours, and of our simulator, against the OpenAPI document of version 1.2.0.

The document lies in the folder that AKIBA_SPECS names (gsma/mobile-money-api-specification-1.2.0-master_0.yaml).
"""

import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
import pytest_asyncio
import yaml  # type: ignore[import-untyped]
from jsonschema import Draft4Validator, ValidationError  # type: ignore[import-untyped]
from referencing import Registry
from referencing.jsonschema import DRAFT4

from engine.benefits.ports import PayoutRequest
from engine.contributions.ports import CollectionRequest, Frequency, HolderState, MandateRequest
from engine.kernel.amounts import Amount, Asset
from engine.kernel.outcomes import Answer, Reason, RequestState
from engine.kernel.transport import Callback, Transport, WireRequest, WireResponse
from engine.runtime.exchanges.tokens import ProcessTokens
from engine.runtime.exchanges.transport import HttpTransport
from integrations.mobile_money.gsma.adapter import (
    GsmaAccounts,
    GsmaCollections,
    GsmaMandates,
    GsmaPayouts,
    GsmaProvider,
)
from integrations.mobile_money.gsma.simulator import BASE, GsmaSimulator
from integrations.mobile_money.simulation import serving
from tests.conformance.places import document
from tests.contracts.mobile_money.conftest import Inbox
from tests.contracts.mobile_money.operators import GSMA, gsma_provider

NAME = "gsma/mobile-money-api-specification-1.2.0-master_0.yaml"
ZMW = Asset.currency("ZMW")
S = RequestState


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """YAML as JSON has it: an example's timestamp stays text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class Spec:
    """The document, asked about single messages."""

    def __init__(self, path: Path) -> None:
        self.document: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), _Loader)
        self.registry: Registry[Any] = Registry().with_resource("urn:gsma", DRAFT4.create_resource(self.document))
        self.checked: list[str] = []

    def operation(self, method: str, path: str) -> tuple[str, dict[str, Any]]:
        """Return the path template and the operation, the one with most fixed segments."""
        found = [
            template
            for template, item in self.document["paths"].items()
            if method.lower() in item and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path)
        ]
        assert found, f"{method} {path} is not in the document"
        best = min(found, key=lambda template: template.count("{"))
        return best, self.document["paths"][best][method.lower()]

    def check(self, schema: Mapping[str, Any], value: object) -> None:
        whole = json.loads(json.dumps(schema).replace('"#/', '"urn:gsma#/'))
        Draft4Validator(whole, registry=self.registry).validate(value)

    def resolved(self, item: Mapping[str, Any]) -> Mapping[str, Any]:
        if "$ref" not in item:
            return item
        found: Any = self.document
        for part in item["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        return self.resolved(found)

    def check_request(self, request: WireRequest, path: str) -> None:
        template, operation = self.operation(request.method, path)
        headers = {name.lower(): value for name, value in request.headers.items()}
        for parameter in map(self.resolved, operation.get("parameters", ())):
            if parameter["in"] == "header" and parameter["name"].lower() in headers:
                self.check(parameter["schema"], headers[parameter["name"].lower()])
            if parameter["in"] == "path":
                names = re.findall(r"\{(\w+)\}", template)
                match = re.fullmatch(re.sub(r"\{\w+\}", "([^/]+)", template), path)
                assert match is not None
                self.check(parameter["schema"], match.groups()[names.index(parameter["name"])])
        if "requestBody" in operation:
            self.check_body(self.resolved(operation["requestBody"]), request.body)
        self.checked.append(f"{request.method} {template}")

    def check_response(self, request: WireRequest, response: WireResponse, path: str) -> None:
        _, operation = self.operation(request.method, path)
        responses = {str(status): value for status, value in operation["responses"].items()}
        assert str(response.status) in responses, f"{request.method} {path} does not answer {response.status}"
        self.check_body(self.resolved(responses[str(response.status)]), response.body)

    def check_body(self, holder: Mapping[str, Any], body: bytes) -> None:
        if content := holder.get("content"):
            self.check(content["application/json"]["schema"], json.loads(body))

    def check_callback(self, path: str, callback: Callback) -> None:
        """Hold that a callback is one of those that the operation announces."""
        _, operation = self.operation("POST", path)
        bodies = [
            self.resolved(event["put"]["requestBody"])
            for events in operation["callbacks"].values()
            for event in self.resolved(events).values()
        ]
        assert callback.method == "PUT"
        fits = 0
        for body in bodies:
            with suppress(ValidationError):
                self.check_body(body, callback.body)
                fits += 1
        assert fits, callback.body


class Judged:
    """A transport that lets nothing pass that the document does not allow, in either direction."""

    def __init__(self, transport: Transport, spec: Spec) -> None:
        self._transport, self._spec = transport, spec

    async def send(self, request: WireRequest) -> WireResponse:
        path = urlsplit(request.url).path
        if not path.startswith(BASE):
            return await self._transport.send(request)
        self._spec.check_request(request, path.removeprefix(BASE))
        response = await self._transport.send(request)
        self._spec.check_response(request, response, path.removeprefix(BASE))
        return response


@pytest.fixture(scope="module")
def spec() -> Spec:
    return Spec(document(NAME))


Joined = tuple[GsmaSimulator, GsmaProvider]


@pytest_asyncio.fixture(loop_scope="session")
async def joined(transport: HttpTransport, spec: Spec) -> AsyncIterator[Joined]:
    simulator = GsmaSimulator(
        transport, client_id=GSMA["client_id"], client_secret=GSMA["client_secret"], api_key=GSMA["api_key"]
    )
    async with serving(simulator) as url:
        yield simulator, GsmaProvider(Judged(transport, spec), ProcessTokens(), gsma_provider(url))


def collection(msisdn: str = "+260971234567") -> CollectionRequest:
    return CollectionRequest(
        reference=uuid4(), msisdn=msisdn, amount=Amount(150_05, ZMW), account="500000000009", note="June #1"
    )


def payout(msisdn: str = "+260971234567") -> PayoutRequest:
    return PayoutRequest(reference=uuid4(), msisdn=msisdn, amount=Amount(20_00, ZMW), account="Benefit")


@pytest.mark.artefact("GSMA Mobile Money 1.2.0")
async def test_collections_and_payouts_keep_to_the_document(joined: Joined, spec: Spec, inbox: Inbox) -> None:
    simulator, provider = joined
    collections, payouts = GsmaCollections(provider), GsmaPayouts(provider)
    spec.checked.clear()

    for number, state in (("+260971234567", S.SUCCEEDED), ("+260971234001", S.FAILED)):
        wanted, out = collection(number), payout(number)
        taken = await collections.request(wanted, callback_url=f"{inbox.url}/c")
        sent = await payouts.send(out, callback_url=f"{inbox.url}/p")
        assert (await collections.request(wanted)).reason is Reason.DUPLICATE
        assert (await collections.enquire(wanted, taken)).state is S.PENDING
        await simulator.settle()
        assert (await collections.enquire(wanted, taken)).state is state
        assert (await payouts.enquire(out, sent)).state is state
        if state is S.SUCCEEDED:
            assert (await payouts.enquire(out, Answer(state=S.SENT))).state is state
    assert (await collections.enquire(collection(), Answer(state=S.SENT))).state is S.CREATED

    for path, kind in (("/c", "merchantpay"), ("/p", "disbursement")):
        callbacks = inbox.to(path)
        assert len(callbacks) == 2
        for callback in callbacks:
            spec.check_callback(f"/transactions/type/{kind}", callback)
    assert set(spec.checked) == {
        "POST /transactions/type/{transactionType}", "GET /requeststates/{serverCorrelationId}",
        "GET /transactions/{transactionReference}", "GET /responses/{clientCorrelationId}",
    }  # fmt: skip


@pytest.mark.artefact("GSMA Mobile Money 1.2.0")
async def test_accounts_keep_to_the_document(joined: Joined) -> None:
    _, provider = joined
    accounts = GsmaAccounts(provider)

    active = await accounts.holder("+260971234567")
    assert (active.state, active.name) == (HolderState.ACTIVE, "Sand Box")
    assert (await accounts.holder("+260971234050")).state is HolderState.INACTIVE
    assert (await accounts.holder("+260971234040")).state is HolderState.UNREGISTERED


@pytest.mark.artefact("GSMA Mobile Money 1.2.0")
@pytest.mark.parametrize("frequency", [one for one in Frequency if one is not Frequency.DAILY])
async def test_mandates_keep_to_the_document(joined: Joined, frequency: Frequency, inbox: Inbox) -> None:
    simulator, provider = joined
    mandates = GsmaMandates(provider)
    wanted = MandateRequest(
        reference=uuid4(), msisdn="+260971234567", limit=Amount(50_00, ZMW), frequency=frequency,
        starts_on=date(2027, 1, 1), ends_on=date(2028, 1, 1), account="500000000009",
    )  # fmt: skip

    taken = await mandates.create(wanted, callback_url=f"{inbox.url}/m")
    await simulator.settle()
    given = await mandates.enquire(wanted, taken)
    lost = await mandates.enquire(wanted, Answer(state=S.SENT))
    ended = await mandates.cancel(wanted, given)
    after = await mandates.enquire(wanted, taken)

    assert given.state is lost.state is ended.state is S.SUCCEEDED
    assert given.provider_ref == lost.provider_ref
    assert after.state is S.PENDING  # no longer active
    spec_callback = inbox.to("/m")[0]
    hint = mandates.read_callback(spec_callback)
    assert hint is not None
    assert hint.claimed.provider_ref == given.provider_ref


async def test_a_frequency_that_is_not_in_the_document_is_never_sent(joined: Joined) -> None:
    simulator, provider = joined
    wanted = MandateRequest(
        reference=uuid4(), msisdn="+260971234567", limit=Amount(50_00, ZMW), frequency=Frequency.DAILY,
        starts_on=date(2027, 1, 1), ends_on=date(2028, 1, 1), account="9",
    )  # fmt: skip

    assert (await GsmaMandates(provider).create(wanted)).state is S.FAILED
    assert simulator._states == {}


@pytest.mark.artefact("GSMA Mobile Money 1.2.0", breaks=True)
@pytest.mark.parametrize(
    ("broken", "value"),
    [
        ("amount", None),
        ("amount", "015.00"),
        ("amount", "1.00001"),
        ("amount", 15),
        ("currency", "XXZ"),
        ("currency", None),
    ],
)
def test_one_broken_field_is_seen(spec: Spec, broken: str, value: object) -> None:
    """The judge judges: without this, a document that allows everything would pass too."""
    body = {
        "amount": "15.00",
        "currency": "ZMW",
        "debitParty": [{"key": "msisdn", "value": "+260"}],
        "creditParty": [{"key": "accountid", "value": "2"}],
    }
    request = WireRequest(
        method="POST", url="", headers={"X-CorrelationID": str(uuid4())}, body=json.dumps(body).encode()
    )
    spec.check_request(request, "/transactions/type/merchantpay")
    if value is None:
        del body[broken]
    else:
        body[broken] = value  # type: ignore[assignment]

    with pytest.raises(ValidationError):
        spec.check_request(
            WireRequest(method="POST", url="", body=json.dumps(body).encode()), "/transactions/type/merchantpay"
        )


@pytest.mark.artefact("GSMA Mobile Money 1.2.0", breaks=True)
def test_a_reference_that_is_no_uuid_and_a_type_that_is_none_are_seen(spec: Spec) -> None:
    body = b'{"amount":"15.00","currency":"ZMW","debitParty":[{"key":"msisdn","value":"+260"}]}'
    with pytest.raises(ValidationError):
        spec.check_request(
            WireRequest(method="POST", url="", headers={"X-CorrelationID": "1"}, body=body),
            "/transactions/type/merchantpay",
        )
    with pytest.raises(ValidationError):
        spec.check_request(WireRequest(method="POST", url="", body=body), "/transactions/type/nonsense")
