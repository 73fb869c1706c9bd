"""What we send to eSignet, and what our simulator answers, against eSignet's own OpenAPI document.

The document lies in the folder that AKIBA_SPECS names (mosip/esignet-openapi.yaml).
"""

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import yaml  # type: ignore[import-untyped]
from joserfc.jwk import RSAKey
from jsonschema import Draft202012Validator, ValidationError  # type: ignore[import-untyped]

from engine.kernel.transport import WireRequest
from integrations.identity.openid_connect import wire
from integrations.identity.openid_connect.simulator import OpenIdSimulator
from integrations.identity.openid_connect.wire import Provider
from tests.conformance.places import document

SIGNING = RSAKey.generate_key(2048, {"kid": "ours"})
BASE = "https://esignet.example"
PROVIDER = Provider(
    authority="invented-agency", issuer=BASE, authorization_endpoint=f"{BASE}/authorize",
    token_endpoint=f"{BASE}/oauth/v2/token", userinfo_endpoint=f"{BASE}/oidc/userinfo",
    jwks_uri=f"{BASE}/.well-known/jwks.json", client_id="akiba", redirect_uri="https://scheme.example/back",
    acr_values="mosip:idp:acr:id-token",
)  # fmt: skip


@pytest.fixture(scope="module")
def paths() -> dict[str, Any]:
    """The document's paths."""
    found: dict[str, Any] = yaml.safe_load(document("mosip/esignet-openapi.yaml").read_text(encoding="utf-8"))["paths"]
    return found


def check_query(paths: dict[str, Any], query: dict[str, str]) -> None:
    """Refuse a query of /authorize that lacks something, has something unknown, or a value that is not allowed."""
    known = {one["name"]: one for one in paths["/authorize"]["get"]["parameters"]}
    unknown = query.keys() - known.keys()
    missing = {name for name, one in known.items() if one.get("required")} - query.keys()
    if unknown or missing:
        raise ValidationError(f"unknown {unknown}, missing {missing}")
    for name, value in query.items():
        # The document lists single scopes, and gives several in its examples: they are separated by spaces.
        for part in value.split(" ") if name == "scope" else [value]:
            Draft202012Validator(known[name]["schema"]).validate(part)


def check_form(paths: dict[str, Any], form: dict[str, str]) -> None:
    body = paths["/oauth/v2/token"]["post"]["requestBody"]["content"]["application/x-www-form-urlencoded"]
    Draft202012Validator({**body["schema"], "additionalProperties": False}).validate(form)


def check_answer(paths: dict[str, Any], status: int, answer: object) -> None:
    responses = paths["/oauth/v2/token"]["post"]["responses"]
    Draft202012Validator(responses[str(status)]["content"]["application/json"]["schema"]).validate(answer)


def asked(code: str, verifier: str) -> WireRequest:
    return wire.token_request(PROVIDER, SIGNING, code=code, verifier=verifier, now=datetime.now(UTC), jti=code)


def query() -> dict[str, str]:
    url = wire.authorization_url(PROVIDER, state="a-state", nonce="a-nonce", verifier="v" * 43, locale="am")
    return dict(parse_qsl(urlsplit(url).query))


def form(request: WireRequest) -> dict[str, str]:
    return dict(parse_qsl(request.body.decode()))


@pytest.mark.artefact("eSignet")
def test_where_a_person_is_sent_is_in_the_document(paths: dict[str, Any]) -> None:
    check_query(paths, query())


@pytest.mark.artefact("eSignet")
async def test_tokens_are_asked_for_and_given_as_in_the_document(paths: dict[str, Any]) -> None:
    simulator = OpenIdSimulator(PROVIDER, SIGNING)
    url = wire.authorization_url(PROVIDER, state="a-state", nonce="a-nonce", verifier="v" * 43, locale="am")
    back = await simulator(WireRequest(method="GET", url=url))
    code = dict(parse_qsl(urlsplit(back.headers["location"]).query))["code"]

    right = asked(code, "v" * 43)
    given = await simulator(right)
    refused = await simulator(asked(code + "2", "v" * 43))

    check_form(paths, form(right))
    assert (given.status, refused.status) == (200, 400)
    check_answer(paths, 200, json.loads(given.body))
    check_answer(paths, 400, json.loads(refused.body))


@pytest.mark.artefact("eSignet")
async def test_a_person_is_told_of_in_the_documents_form(paths: dict[str, Any]) -> None:
    simulator = OpenIdSimulator(PROVIDER, SIGNING)
    simulator.person = {"name": "Almaz"}
    back = await simulator(
        WireRequest(
            method="GET",
            url=wire.authorization_url(PROVIDER, state="s", nonce="n", verifier="v" * 43, locale=""),
        )
    )
    given = json.loads(
        (await simulator(asked(back.headers["location"].split("code=")[1].split("&")[0], "v" * 43))).body
    )
    bearer = {"authorization": f"Bearer {given['access_token']}"}
    told = await simulator(WireRequest(method="GET", url=PROVIDER.userinfo_endpoint, headers=bearer))
    stranger = await simulator(WireRequest(method="GET", url=PROVIDER.userinfo_endpoint))

    responses = paths["/oidc/userinfo"]["get"]["responses"]
    assert {str(told.status), str(stranger.status)} <= responses.keys()
    assert told.headers["content-type"] in responses["200"]["content"]


@pytest.mark.artefact("eSignet", breaks=True)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("response_type", "token"),
        ("acr_values", "password"),
        ("scope", "everything"),
        ("code_challange", "x"),
        ("state", "s" * 257),
    ],
)
def test_one_broken_parameter_is_seen(paths: dict[str, Any], name: str, value: str) -> None:
    with pytest.raises(ValidationError):
        check_query(paths, {**query(), name: value})


@pytest.mark.artefact("eSignet", breaks=True)
@pytest.mark.parametrize("name", ["grant_type", "client_assertion_type", "client_asserton"])
def test_one_broken_field_of_the_form_is_seen(paths: dict[str, Any], name: str) -> None:
    with pytest.raises(ValidationError):
        check_form(paths, {**form(asked("c", "v" * 43)), name: "another"})


@pytest.mark.artefact("eSignet", breaks=True)
def test_an_answer_without_its_lifetime_is_seen(paths: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        check_answer(paths, 200, {"access_token": "a", "token_type": "Bearer"})
