"""Enrolment through the application, behind the guard."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from litestar import Litestar, Router
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.testing import AsyncTestClient

from engine.access.api import TokenController, authorize, provide_caller
from engine.access.rules import Caller
from engine.access.service import Gate, Tokens, create_partner
from engine.enrolment.api import EnrolmentTermsController, MemberController
from engine.enrolment.rules import Application
from engine.kernel.permissions import Permission
from engine.runtime.database import Database
from engine.runtime.http import exception_handlers
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant
from tests.factories import joining

Client = AsyncTestClient[Litestar]
Make = Callable[..., Application]


@pytest_asyncio.fixture
async def worked(db: Database, tmp_path: Path) -> Tenant:
    """The scheme that has every kind of rule of joining."""
    return await joining.serve(db, tmp_path)


@pytest_asyncio.fixture
async def client(
    db: Database, keys: FileKeyStore, grouped: Tenant, opened: Tenant, worked: Tenant
) -> AsyncIterator[Client]:
    served = {one.tenant_id: one for one in (grouped, opened, worked)}

    async def provide_tenant(caller: NamedDependency[Caller]) -> Tenant:
        return served[caller.tenant_id]

    app = Litestar(
        [MemberController, EnrolmentTermsController, TokenController],
        guards=[authorize],
        dependencies={
            "caller": Provide(provide_caller),
            "tenant": Provide(provide_tenant),
            "db": Provide(lambda: db, sync_to_thread=False),
            "keys": Provide(lambda: keys, sync_to_thread=False),
        },
        state=State({"gate": Gate(db, Tokens(Ed25519PrivateKey.generate(), issuer="http://test"))}),
        exception_handlers=exception_handlers(lambda _request, message: message),
        openapi_config=OpenAPIConfig(
            title="Test",
            version="1",
            render_plugins=[JsonRenderPlugin()],
            openapi_router=Router("/schema", route_handlers=[], opt={"permission": Permission.PUBLIC}),
        ),
    )
    async with AsyncTestClient(app) as client:
        yield client


Headers = dict[str, str]


async def token(client: Client, db: Database, tenant: Tenant, *scopes: str) -> Headers:
    async with db.unit_of_work(tenant.tenant_id) as session:
        partner = await create_partner(session, code=f"p{len(scopes)}-{scopes[0][-3:]}", name="P", scopes=scopes)
    answer = await client.post(
        "/oauth/token", data={"grant_type": "client_credentials"}, auth=(partner.client_id, partner.client_secret)
    )
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


@pytest_asyncio.fixture
async def headers(client: Client, db: Database, grouped: Tenant) -> Headers:
    return await token(client, db, grouped, "members:enrol", "members:read")


def body(application: Application, **extra: Any) -> dict[str, Any]:
    return {**msgspec.to_builtins(application), **extra}


async def test_one_is_enrolled_and_found_by_number(client: Client, headers: Headers, applying: Make) -> None:
    answer = await client.post("/v1/members", json=body(applying()), headers={**headers, "Idempotency-Key": "k1"})

    assert answer.status_code == 201, answer.text
    member = answer.json()
    assert member == {
        "number": member["number"],
        "product": "main",
        "joined_on": "2023-04-03",
        "status": "active",
        "group": "north",
    }
    assert answer.headers["location"] == f"/v1/members/{member['number']}"
    assert (await client.get(answer.headers["location"], headers=headers)).json() == member
    again = await client.post("/v1/members", json=body(applying()), headers={**headers, "Idempotency-Key": '"k1"'})
    assert (again.status_code, again.json()) == (201, member)


@pytest.mark.parametrize("key", [None, "", '""', "x" * 65, "a\tb", "é"])
async def test_a_key_is_needed(client: Client, headers: Headers, applying: Make, key: str | None) -> None:
    extra = [] if key is None else [(b"idempotency-key", key.encode())]

    sent = [(name.encode(), value.encode()) for name, value in headers.items()] + extra
    answer = await client.post("/v1/members", json=body(applying()), headers=sent)

    assert (answer.status_code, answer.json()["code"]) == (400, "enrolment.key-missing")


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"born_on": "2010-01-01"}, 409, "enrolment.too-young"),
        ({"group": "west"}, 422, "enrolment.unknown-group"),
        ({"product": "none"}, 404, "tenancy.unknown-product"),
        ({"documents": [{"document": "aadhaar", "number": "234123412347"}]}, 422, "identity.check-digit-wrong"),
    ],
)
async def test_refusals_are_problems_without_what_was_given(
    client: Client, headers: Headers, applying: Make, changes: dict[str, Any], status: int, code: str
) -> None:
    answer = await client.post(
        "/v1/members", json=body(applying(), **changes), headers={**headers, "Idempotency-Key": "k1"}
    )

    assert answer.headers["content-type"].startswith("application/problem+json")
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    for personal in ("Lakshmi", "2010-01-01", "234123412347", "Rampur"):
        assert personal not in answer.text


@pytest.mark.parametrize(
    "changes", [{"born_on": "1987-13-01"}, {"shoe_size": 41}, {"nominees": [{"share_bp": 1.5}]}, {"full_name": None}]
)
async def test_what_cannot_be_read_is_refused(
    client: Client, headers: Headers, applying: Make, changes: dict[str, Any]
) -> None:
    answer = await client.post(
        "/v1/members", json=body(applying(), **changes), headers={**headers, "Idempotency-Key": "k1"}
    )

    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"].startswith("application/problem+json")


async def test_a_batch_answers_each_on_its_own(client: Client, headers: Headers, applying: Make) -> None:
    items = [
        body(applying(1), key="a"),
        body(applying(2), key="b", born_on="yesterday"),
        body(applying(3)),
        body(applying(4), key="d", shoe_size=41),
        body(applying(5), key="e", group=""),
        body(applying(1), key="f"),
        body(applying(1), key="a"),
    ]

    answer = await client.post("/v1/members/batch", json={"items": items}, headers=headers)

    assert answer.status_code == 200, answer.text
    came = answer.json()["items"]
    assert [one["index"] for one in came] == list(range(7))
    assert [(one["status"], one.get("problem", {}).get("code")) for one in came] == [
        (201, None),
        (422, "enrolment.item-unreadable"),
        (400, "enrolment.key-missing"),
        (422, "enrolment.item-unreadable"),
        (409, "enrolment.group-missing"),
        (409, "enrolment.already-member"),
        (201, None),
    ]
    assert came[0]["member"] == came[6]["member"]
    assert came[1]["problem"]["detail"] == "born_on: allowed: a date as YYYY-MM-DD."
    assert came[3]["problem"]["errors"][0]["field"] == "shoe_size"
    assert "yesterday" not in answer.text


@pytest.mark.parametrize("items", [[], [{}] * 1001, "x", None])
async def test_a_batch_has_one_to_a_thousand_items(client: Client, headers: Headers, items: Any) -> None:
    answer = await client.post("/v1/members/batch", json={"items": items}, headers=headers)

    assert answer.status_code in (400, 422)


async def test_another_schemes_member_an_unknown_and_a_mistyped_number_look_the_same(
    client: Client, db: Database, opened: Tenant, headers: Headers, applying: Make
) -> None:
    made = await client.post("/v1/members", json=body(applying()), headers={**headers, "Idempotency-Key": "k1"})
    number = made.json()["number"]
    stranger = await token(client, db, opened, "members:read")

    answers = [
        await client.get(f"/v1/members/{number}", headers=stranger),
        await client.get("/v1/members/500000000009", headers=headers),
        await client.get("/v1/members/nonsense", headers=headers),
        await client.get(f"/v1/members/{'9' * 200}", headers=headers),
    ]

    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.text for answer in answers}) == 1


async def test_scopes_hold(client: Client, db: Database, grouped: Tenant, applying: Make) -> None:
    reader = await token(client, db, grouped, "members:read")
    nobody = await client.post("/v1/members", json=body(applying()), headers={"Idempotency-Key": "k1"})
    only_reads = await client.post("/v1/members", json=body(applying()), headers={**reader, "Idempotency-Key": "k1"})

    assert nobody.status_code == 401
    assert (only_reads.status_code, only_reads.json()["code"]) == (403, "access.missing-permission")


async def test_what_joining_needs_is_told(client: Client, headers: Headers, grouped: Tenant) -> None:
    answer = await client.get("/v1/enrolment-terms/main?language=fr", headers=headers)

    terms = answer.json()
    assert (terms["age_minimum"], terms["age_maximum"], terms["group_required"]) == (18, 60, True)
    assert terms["groups"] == [{"code": "north", "name": "North"}, {"code": "south", "name": "South"}]
    assert [one["consent"] for one in terms["consents"]] == ["scheme-rules", "personal-data"]
    text = grouped.pack.consent("scheme-rules", "fr")
    assert text is not None
    assert terms["consents"][0]["version"] == text.version
    assert (await client.get("/v1/enrolment-terms/none", headers=headers)).status_code == 404


async def test_what_every_rule_of_joining_needs_is_told(client: Client, db: Database, worked: Tenant) -> None:
    partner = await token(client, db, worked, "members:enrol")

    grown = (await client.get("/v1/enrolment-terms/workers", headers=partner)).json()
    family = (await client.get("/v1/enrolment-terms/families?born_on=2013-04-03", headers=partner)).json()

    assert grown["ages"][0] == {"sex": "female", "born_from": None, "minimum": 20, "maximum": 45}
    assert grown["guardian"] is None
    assert grown["monthly_income_at_most"] == "15000.00"
    assert grown["declarations"] == ["income-tax-payer"]
    assert grown["person_classes"][2] == {"person_class": "resident", "documents": ["passport"], "resident_months": 12}
    assert (grown["group_proof_required"], grown["group_proofs"], grown["group_proof_within_days"]) == (
        True,
        ["union-letter"],
        45,
    )
    assert family["guardian"] == {
        "below_age": 16,
        "least_age": 1,
        "relationships": ["mother", "father"],
        "guardian_documents": ["card"],
        "child_documents": ["birth-certificate"],
    }


async def test_a_child_joins_through_a_guardian_and_not_alone(client: Client, db: Database, worked: Tenant) -> None:
    partner = await token(client, db, worked, "members:enrol")
    sent = body(joining.child())
    alone = {name: value for name, value in sent.items() if name != "guardian"}

    joined = await client.post("/v1/members", json=sent, headers={**partner, "Idempotency-Key": "k1"})
    refused = await client.post("/v1/members", json=alone, headers={**partner, "Idempotency-Key": "k2"})

    assert joined.status_code == 201, joined.text
    assert (refused.status_code, refused.json()["code"]) == (409, "enrolment.guardian-missing")
    assert "Under 16" in refused.json()["detail"]
    assert "Amina" not in joined.text


async def test_the_openapi_document_names_every_refusal(client: Client) -> None:
    document = (await client.get("/schema/openapi.json")).json()

    responses = document["paths"]["/v1/members"]["post"]["responses"]
    assert {"201", "400", "404", "409", "422"} <= responses.keys()
    assert "enrolment.already-member" in responses["409"]["description"]
    assert "identity.check-digit-wrong" in responses["422"]["description"]
    assert "Idempotency-Key" in str(document["paths"]["/v1/members"]["post"]["parameters"])
