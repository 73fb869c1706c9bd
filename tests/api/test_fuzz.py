"""The whole OpenAPI document, fuzzed: no answer but those it describes, and the books' laws hold afterwards.

The routes are those of the committed document, which `test_document` holds equal to the one that is served.
"""

from pathlib import Path

import schemathesis
from hypothesis import HealthCheck, Phase, settings

from engine.app import LAWS
from engine.kernel.permissions import Permission
from engine.ledger import service as ledger
from engine.runtime.http import PROBLEM
from tests.api.site import Caller, Site

EXAMPLES = 25
api = schemathesis.openapi.from_path(Path(__file__).with_name("openapi.json"))


def allowed(site: Site, case: schemathesis.Case) -> Caller:
    """Return who may call the route: its document says which permission that needs."""
    forbidden = case.operation.definition.raw["responses"].get("403", {}).get("description", "")
    needed = [one for one in Permission if f"Needs the permission {one}." in forbidden]
    return site.caller(needed[0] if needed else Permission.PUBLIC)


@api.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_is_as_documented(case: schemathesis.Case, fuzzed: Site) -> None:
    answer = case.call(base_url=fuzzed.address, headers=dict(allowed(fuzzed, case).headers))

    case.validate_response(answer)
    if answer.status_code >= 400:
        media = answer.headers["content-type"][0].partition(";")[0]
        assert media == PROBLEM or case.path.startswith("/oauth/"), (answer.status_code, media)


async def test_the_books_laws_hold_after_it(fuzzed: Site) -> None:
    async with fuzzed.db.unit_of_work(fuzzed.tenant.tenant_id) as session:
        assert await ledger.check(session, LAWS) == []
