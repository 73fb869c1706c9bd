"""Routes of closed days: what one ended with, opening it again by two people, what was put aside."""

from datetime import UTC, datetime
from pathlib import Path

from litestar import Litestar
from litestar.di import Provide
from litestar.testing import AsyncTestClient

from engine.access.rules import Caller
from engine.closing import service
from engine.closing.api import ClosingController
from engine.kernel.permissions import Permission
from engine.runtime import quarantine
from engine.runtime.database import Database
from engine.runtime.http import exception_handlers
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant, advance_clock
from tests.factories import schemes


def site(db: Database, tenant: Tenant, staff: str) -> Litestar:
    """The routes for a member of staff who holds every permission."""

    async def caller() -> Caller:
        return Caller(tenant.tenant_id, staff, frozenset(Permission), "staff", staff_id=1)

    async def given_tenant() -> Tenant:
        return tenant

    async def given_db() -> Database:
        return db

    return Litestar(
        [ClosingController],
        dependencies={"caller": Provide(caller), "tenant": Provide(given_tenant), "db": Provide(given_db)},
        exception_handlers=exception_handlers(lambda _request, message: message),
    )


async def test_a_day_is_read_and_opened_again_by_two(db: Database, keys: FileKeyStore, tmp_path: Path) -> None:
    tenant = await schemes.serve(db, tmp_path)
    async with db.unit_of_work(tenant.tenant_id) as session:
        await advance_clock(session, tenant, datetime(2023, 4, 4, 4, tzinfo=UTC), "development")
    await service.close_business(db, keys, tenant, actor="staff:1")

    async with AsyncTestClient(site(db, tenant, "staff:1")) as client:
        day = (await client.get("/v1/closings/2023-04-03")).json()
        open_day = await client.get("/v1/closings/2023-04-04")
        odd = await client.post("/v1/reopenings", json={"from_day": "2023-04-03", "reason": "Asha Devi's payment"})
        asked = await client.post("/v1/reopenings", json={"from_day": "2023-04-03", "reason": "late-correction"})
        path = f"/v1/reopenings/{asked.json()['number']}/approval"
        own = await client.post(path, json={"digest": asked.json()["digest"]})
    async with AsyncTestClient(site(db, tenant, "staff:2")) as client:
        done = await client.post(path, json={"digest": asked.json()["digest"]})
        again = await client.post(path, json={"digest": asked.json()["digest"]})
        listed = (await client.get("/v1/reopenings")).json()["items"]
        gone = await client.get("/v1/closings/2023-04-03")

    assert (day["day"], day["version"], day["is_balanced"]) == ("2023-04-03", 1, True)
    assert list(day["steps"]) == ["cut-off", "reconcile", "jobs", "proof", "close", "balance"]
    assert (open_day.status_code, open_day.json()["code"]) == (409, "closing.not-closed")
    assert (odd.status_code, asked.status_code) == (422, 201)
    assert (own.status_code, own.json()["code"]) == (403, "access.same-person")
    assert (done.status_code, done.json()["state"]) == (200, "approved")
    assert (again.status_code, again.json()["code"]) == (409, "closing.decided")
    assert [(one["from_day"], one["reason"], one["decided_by"]) for one in listed] == [
        ("2023-04-03", "late-correction", "staff:2")
    ]
    assert gone.status_code == 409


async def test_what_was_put_aside_is_listed_and_released(db: Database, tmp_path: Path) -> None:
    tenant = await schemes.serve(db, tmp_path)

    async def fails(subject: int) -> bool:
        raise ZeroDivisionError(subject)

    await quarantine.each(db, tenant.tenant_id, [(7, 42)], fails, task="some.work", owner="operator")

    async with AsyncTestClient(site(db, tenant, "staff:1")) as client:
        (one,) = (await client.get("/v1/quarantine")).json()["items"]
        done = await client.post(f"/v1/quarantine/{one['number']}/release")
        again = await client.post(f"/v1/quarantine/{one['number']}/release")
        left = (await client.get("/v1/quarantine")).json()["items"]

    assert (one["task"], one["subject"], one["reason"], one["owner"]) == (
        "some.work",
        "42",
        "ZeroDivisionError",
        "operator",
    )
    assert (done.status_code, done.json(), again.status_code, left) == (200, {"number": one["number"]}, 404, [])
