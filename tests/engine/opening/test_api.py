"""Routes of opening balances: listed, approved by exactly the digest that was seen, refused to the one who staged them."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

from litestar import Litestar
from litestar.di import Provide
from litestar.testing import AsyncTestClient

from engine.access.rules import Caller
from engine.kernel.permissions import Permission
from engine.opening import service
from engine.opening.api import OpeningController
from engine.runtime.database import Database
from engine.runtime.http import exception_handlers
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant
from tests.factories import schemes

EXAMPLE = Path(__file__).parents[3] / "docs/opening-example"


def site(db: Database, tenant: Tenant, staff: str) -> Litestar:
    """The routes for a member of staff who holds every permission."""

    async def caller() -> Caller:
        return Caller(tenant.tenant_id, staff, frozenset(Permission), "staff", staff_id=1)

    async def given_tenant() -> Tenant:
        return tenant

    async def given_db() -> Database:
        return db

    return Litestar(
        [OpeningController],
        dependencies={"caller": Provide(caller), "tenant": Provide(given_tenant), "db": Provide(given_db)},
        exception_handlers=exception_handlers(lambda _request, message: message),
    )


async def test_a_second_person_approves_what_they_saw(db: Database, keys: FileKeyStore, tmp_path: Path) -> None:
    tenant = await schemes.serve(db, tmp_path, start=datetime(2023, 4, 3, 4, 0, tzinfo=UTC))
    shutil.copytree(EXAMPLE, tmp_path / "old")
    manifest = tmp_path / "old/manifest.toml"
    manifest.write_text(manifest.read_text().replace('"in-nps-lite"', f'"{tenant.code}"'))
    staged = await service.stage_opening(db, keys, tenant, tmp_path / "old", actor="staff:1")

    async with AsyncTestClient(site(db, tenant, "staff:1")) as client:
        own = await client.post("/v1/openings/1/approval", json={"digest": staged.digest})
    async with AsyncTestClient(site(db, tenant, "staff:2")) as client:
        listed = (await client.get("/v1/openings")).json()["items"]
        other = await client.post("/v1/openings/1/approval", json={"digest": "0" * 64})
        odd = await client.post("/v1/openings/1/approval", json={"digest": "x"})
        unknown = await client.post(f"/v1/openings/{2**40}/approval", json={"digest": staged.digest})
        done = await client.post("/v1/openings/1/approval", json={"digest": staged.digest})
        late = await client.post("/v1/openings/1/rejection", json={"digest": staged.digest})

    assert (own.status_code, own.json()["code"]) == (403, "access.same-person")
    assert [(one["opening"], one["state"], one["members"], one["digest"]) for one in listed] == [
        (1, "staged", 5, staged.digest)
    ]
    assert (other.status_code, other.json()["code"]) == (409, "opening.changed")
    assert (odd.status_code, unknown.status_code) == (422, 404)
    assert (done.status_code, done.json()["state"], done.json()["decided_by"]) == (200, "approved", "staff:2")
    assert (late.status_code, late.json()["code"]) == (409, "opening.decided")
