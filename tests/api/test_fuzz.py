"""The whole OpenAPI document, fuzzed: no answer but those it describes, and the books' laws hold afterwards.

The routes are those of the committed document, which `test_document` holds equal to the one that is served.
`FUZZ_EXAMPLES=500 make test ARGS=tests/api/test_fuzz.py` looks longer, and elsewhere each time.
"""

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import CHECKS, load_all_checks
from sqlalchemy import text

from engine.access.rules import PARTNER_SCOPES
from engine.app import LAWS
from engine.kernel.permissions import Permission
from engine.ledger import service as ledger
from engine.runtime.http import PROBLEM
from tests.api.site import Site

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "10"))
DOCUMENT: dict[str, Any] = json.loads(Path(__file__).with_name("openapi.json").read_text())
ROUTES = [(method, path) for path, item in DOCUMENT["paths"].items() for method in item]
CLOSED = [(method, path) for method, path in ROUTES if DOCUMENT["paths"][path][method]["security"]]


def permission_of(method: str, path: str) -> Permission | None:
    """Return what the document says the route needs."""
    forbidden = DOCUMENT["paths"][path][method]["responses"].get("403", {}).get("description", "")
    return next((one for one in Permission if f"Needs the permission {one}." in forbidden), None)


def headers_for(site: Site, method: str, path: str) -> dict[str, str]:
    """Return the headers of somebody who may call the route."""
    needed = permission_of(method, path)
    return dict(site.caller(needed).headers) if needed else {}


def without_security(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document for requests that are let in already: who is let in is tested by itself, below."""
    paths = {
        path: {method: {**operation, "security": []} for method, operation in item.items()}
        for path, item in document["paths"].items()
    }
    components = {name: value for name, value in document["components"].items() if name != "securitySchemes"}
    return {**document, "paths": paths, "components": components}


load_all_checks()
POSITIVE, NEGATIVE = CHECKS.get_by_names(["positive_data_acceptance", "negative_data_rejection"])
api = schemathesis.openapi.from_dict(without_security(DOCUMENT))


def says_more_than_a_schema_can(answer: dict[str, Any]) -> bool:
    """Tell a refusal by the scheme's rules from one by the request's form."""
    by_rule = answer.get("code", answer.get("error")) not in {"request.invalid", "request.malformed"}
    return by_rule or "NUL" in answer["detail"] or answer["detail"].startswith("to: a year")


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def lawful(fuzzed: Site) -> AsyncIterator[Site]:
    """The scheme that is fuzzed. Afterwards, and tests run in any order, its books must keep every law."""
    yield fuzzed
    async with fuzzed.db.unit_of_work(fuzzed.tenant.tenant_id) as session:
        assert await ledger.check(session, LAWS) == []
        assert int(await session.scalar(text("select count(*) from events")) or 0) > 0


@api.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="FUZZ_EXAMPLES" not in os.environ,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_is_as_documented(case: schemathesis.Case[Any], lawful: Site) -> None:
    route = case.operation
    answer = case.call(base_url=lawful.address, headers=headers_for(lawful, route.method.lower(), route.path))
    excluded: list[Any] = []
    if answer.status_code in {400, 422} and says_more_than_a_schema_can(answer.json()):
        excluded.append(POSITIVE)  # only a refusal of the form contradicts a document that describes the form
    if any(value in (None, "null", [None, None], ["null", "null"]) for value in (case.query or {}).values()):
        excluded.append(NEGATIVE)  # the framework takes the word null in a query for no value: nothing is lost by that

    case.validate_response(answer, excluded_checks=excluded)
    if answer.status_code >= 400:
        media = answer.headers["content-type"][0].partition(";")[0]
        assert media == PROBLEM or route.path.startswith("/oauth/"), (answer.status_code, media)


def filled(path: str) -> str:
    return path.format(
        number="500000000009",
        product="nps-lite",
        receipt="1",
        reference="2f1d7c38-4ad3-4a53-a06f-16fbdd3ee1bc",
        decision="1",
        figure="1",
        series="rate",
        proposal="1",
        fund="SM001009",
        price_on="2023-04-03",
        code="xx-none",
        tile_path="0/000",
        claim="1",
        heir="1",
        loan="1",
        file="1",
        line="1",
        member="500000000009",
        notice="1",
        request_id="2f1d7c38-4ad3-4a53-a06f-16fbdd3ee1bc",
        payroll="1",
        merge="1",
        merger="1",
        round_no="1",
        split="1",
        opening="1",
        day="2023-04-03",
        piece="1",
        reopening="1",
        payout="2f1d7c38-4ad3-4a53-a06f-16fbdd3ee1bc",
        statement="1",
        run="1",
        recount="1",
        move="1",
        correction="1",
        change="2f1d7c38-4ad3-4a53-a06f-16fbdd3ee1bc",
        action="1",
        income="1",
        transfer="1",
        cancellation="1",
    )


@pytest.mark.parametrize(("method", "path"), CLOSED)
@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer nonsense"}, {"Cookie": "akiba_session=nonsense"}])
def test_nobody_gets_in_unknown(site: Site, method: str, path: str, headers: dict[str, str]) -> None:
    answer = httpx.request(method, site.address + filled(path), headers=headers, timeout=60)

    assert answer.status_code == 401
    assert answer.headers["content-type"] == PROBLEM
    assert "www-authenticate" in answer.headers


@pytest.mark.parametrize(("method", "path"), CLOSED)
def test_nobody_gets_in_without_the_permission(site: Site, method: str, path: str) -> None:
    """And staff are not let in to change anything by their cookie alone."""
    needed = permission_of(method, path)
    assert needed is not None
    unable = [dict(one.headers) for one in site.staff if needed not in one.permissions]
    unable.append(site.token(PARTNER_SCOPES - {needed}))
    if method == "post":
        unable += [{"Cookie": one.headers["Cookie"]} for one in site.staff]
    for headers in unable:
        answer = httpx.request(method, site.address + filled(path), headers=headers, timeout=60)
        assert answer.status_code == 403, answer.text
        assert answer.headers["content-type"] == PROBLEM


@pytest.mark.parametrize("path", DOCUMENT["paths"])
def test_other_methods_are_told_which_there_are(site: Site, path: str) -> None:
    url = site.address + filled(path)
    there = {method.upper() for method in DOCUMENT["paths"][path]} | {"OPTIONS"}
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "HEAD"} - there:
        answer = httpx.request(method, url, timeout=60)
        assert answer.status_code == 405, (method, answer.text)
        assert set(answer.headers["allow"].split(", ")) == there
        assert answer.headers["content-type"] == PROBLEM
    answer = httpx.options(url, timeout=60)
    assert (answer.status_code, set(answer.headers["allow"].split(", "))) == (204, there)
