"""The OpenAPI document: as committed, valid, and telling of every route how it refuses and who may call it.

`UPDATE_OPENAPI=1 make test ARGS=tests/api/test_document.py` writes what is served into the committed copy.
"""

import json
import os
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import pytest
from schemathesis.specs.openapi.definitions import OPENAPI_31

from engine.access.rules import PARTNER_SCOPES
from engine.kernel.permissions import Permission
from engine.runtime.http import PROBLEM
from tests.api.site import Served

COMMITTED = Path(__file__).with_name("openapi.json")
Operation = dict[str, Any]


@pytest.fixture(scope="module")
def document(served: Served) -> dict[str, Any]:
    answer = httpx.get(f"{served.address}/schema/openapi.json", timeout=60)
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def operations(document: dict[str, Any]) -> dict[str, Operation]:
    return {
        f"{method.upper()} {path}": operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }


def test_it_is_the_committed_one(document: dict[str, Any]) -> None:
    """A change of what partners see is a change of a file, to be looked at."""
    if os.environ.get("UPDATE_OPENAPI"):
        COMMITTED.write_text(json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n")

    assert document == json.loads(COMMITTED.read_text())


def test_it_is_the_same_every_time(document: dict[str, Any], served: Served) -> None:
    assert httpx.get(f"{served.address}/schema/openapi.json", timeout=60).json() == document


def test_it_is_valid_openapi_3_1(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")
    jsonschema_rs.validator_for(OPENAPI_31).validate(document)
    for schema in document["components"]["schemas"].values():
        jsonschema_rs.Draft202012Validator({**schema, "components": document["components"]})


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    def references(node: Any) -> list[str]:
        if isinstance(node, dict):
            own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
            return own + [one for value in node.values() for one in references(value)]
        return [one for value in node for one in references(value)] if isinstance(node, list) else []

    found = references(document)

    assert found
    for reference in found:
        node = document
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]


def test_every_refusal_is_a_problem_document(document: dict[str, Any]) -> None:
    for name, operation in operations(document).items():
        for status, response in operation["responses"].items():
            if int(status) >= 400 and not (name == "POST /oauth/token" and status in {"400", "401", "429"}):
                assert list(response["content"]) == [PROBLEM], (name, status)


def test_every_good_answer_has_its_shape(document: dict[str, Any]) -> None:
    for name, operation in operations(document).items():
        for status, response in operation["responses"].items():
            if int(status) < 300:
                assert all(media["schema"] for media in response["content"].values()), (name, status)
                assert response["content"], (name, status)


def test_every_route_says_who_may_call_it(document: dict[str, Any]) -> None:
    for name, operation in operations(document).items():
        forbidden = operation["responses"].get("403", {}).get("description", "")
        needed = [one for one in Permission if f"Needs the permission {one}." in forbidden]
        ways = {way for requirement in operation["security"] for way in requirement}

        assert len(needed) == (0 if name.split()[1].startswith(("/log/", "/oauth/")) else 1), name
        assert ways == (
            set() if not needed else {"staff", "csrf"} | ({"partner"} if needed[0] in PARTNER_SCOPES else set())
        ), name


def test_pages_and_probes_are_not_part_of_it(document: dict[str, Any]) -> None:
    assert {path.split("/")[1] for path in document["paths"]} == {"v1", "oauth", "log"}


def test_operations_have_names_for_generated_clients(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for operation in operations(document).values()]

    assert len(set(names)) == len(names)
    assert all(name.isalnum() and name[0].isupper() for name in names)
    assert all("_" not in name for name in document["components"]["schemas"])
