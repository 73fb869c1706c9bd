"""Every DCI message of ours, and of our simulator, against the OpenAPI document of CRVS 1.0.0.

The document lies in the folder that AKIBA_SPECS names (dci/crvs_api_v1.0.0.yaml).
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml  # type: ignore[import-untyped]
from joserfc.jwk import KeySet, RSAKey
from jsonschema import Draft4Validator, ValidationError  # type: ignore[import-untyped]
from referencing import Registry as Documents
from referencing.jsonschema import DRAFT4

from engine.kernel.transport import WireRequest
from integrations.registries.dci import wire
from integrations.registries.dci.simulator import DciSimulator
from integrations.registries.dci.wire import Registry
from tests.conformance.places import document

NAME = "dci/crvs_api_v1.0.0.yaml"
KEY = RSAKey.generate_key(2048, {"kid": "one"})
REGISTRY = Registry(
    base_url="http://127.0.0.1", sender_id="akiba", receiver_id="crvs", reg_type="ns:org:RegistryType:Civil"
)
NOW = datetime(2026, 11, 1, 8, tzinfo=UTC)
DEAD: dict[str, Any] = {
    "identifier": [{"identifier_type": kind, "identifier_value": "1"} for kind in ("DRN", "NID")],
    "death_date": "2026-10-30",
}


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """YAML as JSON has it: an example's timestamp stays text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class Spec:
    def __init__(self, path: Path) -> None:
        self.document: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), _Loader)
        self.documents: Documents[Any] = Documents().with_resource("urn:dci", DRAFT4.create_resource(self.document))

    def check(self, path: str, body: bytes, *, is_answer: bool = False) -> None:
        """Refuse a body that is not the request of `path`, or its answer where all is well."""
        operation = self.document["paths"][path]["post"]
        holder = operation["responses"]["default"] if is_answer else operation["requestBody"]
        if "$ref" in holder:
            _, _, kind, name = holder["$ref"].split("/")
            holder = self.document["components"][kind][name]
        schema = holder["content"]["application/json"]["schema"]
        whole = json.loads(json.dumps(schema, default=str).replace('"#/', '"urn:dci#/'))
        Draft4Validator(whole, registry=self.documents).validate(json.loads(body))


@pytest.fixture(scope="module")
def spec() -> Spec:
    return Spec(document(NAME))


@pytest.mark.artefact("DCI CRVS 1.0.0")
async def test_search_and_its_answer(spec: Spec) -> None:
    asked = wire.search(REGISTRY, KEY, "NID", ["1", "2"], now=datetime.now(UTC), message_id=uuid4())
    simulator = DciSimulator(REGISTRY, KEY, KeySet([KEY]), [DEAD])
    answer = await simulator(
        WireRequest(method="POST", url="/registry/sync/search", headers=asked.headers, body=asked.body)
    )

    assert answer.status == 200
    spec.check("/registry/sync/search", asked.body)
    spec.check("/registry/sync/search", answer.body, is_answer=True)


@pytest.mark.artefact("DCI CRVS 1.0.0")
def test_notice_and_its_acknowledgement(spec: Spec) -> None:
    notice = DciSimulator(REGISTRY, KEY, KeySet([KEY]), []).notice(DEAD)

    spec.check("/registry/notify", notice)
    for refusal in ("", "signature-wrong"):
        answer = wire.acknowledgement({"transaction_id": "1"}, now=NOW, refusal=refusal)
        spec.check("/registry/notify", answer, is_answer=True)


@pytest.mark.artefact("DCI CRVS 1.0.0", breaks=True)
def test_the_document_refuses_what_it_should(spec: Spec) -> None:
    asked = wire.search(REGISTRY, KEY, "NID", ["1"], now=NOW, message_id=uuid4())
    broken = json.loads(asked.body)
    broken["message"]["search_request"] = "1"

    with pytest.raises(ValidationError):
        spec.check("/registry/sync/search", json.dumps(broken).encode())
