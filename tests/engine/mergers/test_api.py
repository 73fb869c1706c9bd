"""Routes of mergers: proposed, read, approved by exactly the digest that was seen, refused to the one who proposed them."""

from litestar import Litestar
from litestar.di import Provide
from litestar.testing import AsyncTestClient
from msgspec import to_builtins

from engine.access.rules import Caller
from engine.kernel.permissions import Permission
from engine.mergers.api import MergerController
from engine.runtime.database import Database
from engine.runtime.http import exception_handlers
from engine.tenancy.service import Tenant
from tests.engine.mergers.conftest import Merging


def site(merging: Merging, staff: str) -> Litestar:
    """The routes of the scheme that goes, for a member of staff who holds every permission."""

    async def caller() -> Caller:
        return Caller(merging.old.tenant_id, staff, frozenset(Permission), "staff", staff_id=1)

    async def given_tenant() -> Tenant:
        return merging.old

    async def given_db() -> Database:
        return merging.db

    return Litestar(
        [MergerController],
        dependencies={"caller": Provide(caller), "tenant": Provide(given_tenant), "db": Provide(given_db)},
        exception_handlers=exception_handlers(lambda _request, message: message),
    )


async def test_a_second_person_approves_what_they_saw(settled: Merging) -> None:
    terms = to_builtins(settled.terms())
    async with AsyncTestClient(site(settled, "staff:1")) as client:
        odd = await client.post("/v1/mergers", json={**terms, "owed_to": "nobody"})
        proposed = (await client.post("/v1/mergers", json=terms)).json()
        own = await client.post("/v1/mergers/1/approval", json={"digest": proposed["digest"]})
    async with AsyncTestClient(site(settled, "staff:2")) as client:
        listed = (await client.get("/v1/mergers")).json()["items"]
        report = (await client.get("/v1/mergers/1/report")).json()
        other = await client.post("/v1/mergers/1/approval", json={"digest": "0" * 64})
        unknown = await client.post(f"/v1/mergers/{2**40}/approval", json={"digest": proposed["digest"]})
        done = await client.post("/v1/mergers/1/approval", json={"digest": proposed["digest"]})
        again = await client.post("/v1/mergers/1/rejection", json={"digest": proposed["digest"]})
        early = await client.post("/v1/mergers/1/late-rounds")
        receipt = {
            "version": 1, "scheme": settled.new.code, "opening": 1, "digest": "0" * 64, "members": 5, "lines": [],
        }  # fmt: skip
        not_filed = await client.post("/v1/mergers/1/rounds/1/receipt", json=receipt)
        await settled.carry_on()
        wrong = await client.post("/v1/mergers/1/rounds/1/receipt", json=receipt)
        found = (await client.get("/v1/mergers/1")).json()

    assert (odd.status_code, odd.json()["code"]) == (422, "mergers.unusable-terms")
    assert (own.status_code, own.json()["code"]) == (403, "access.same-person")
    assert [(one["merger"], one["state"], one["digest"]) for one in listed] == [(1, "proposed", proposed["digest"])]
    assert (report["members"], report["waiting"], report["no_place"]) == (5, {}, {})
    assert (other.status_code, other.json()["code"]) == (409, "mergers.changed")
    assert unknown.status_code == 404
    assert (done.status_code, done.json()["state"], done.json()["checker"]) == (200, "approved", "staff:2")
    assert (again.status_code, again.json()["code"]) == (409, "mergers.decided")
    assert (early.status_code, not_filed.status_code) == (409, 409)
    assert (wrong.status_code, wrong.json()["code"]) == (409, "mergers.receipt-differs")
    assert [(one["round"], one["state"], one["members"]) for one in found["rounds"]] == [(1, "filed", 5)]
