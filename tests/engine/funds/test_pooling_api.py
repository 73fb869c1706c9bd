"""Routes of what pools earned: told, listed, approved and rejected over HTTP."""

from collections.abc import AsyncIterator
from datetime import date

import pytest_asyncio
from litestar import Litestar
from litestar.di import Provide
from litestar.testing import AsyncTestClient

from engine.access.rules import Caller
from engine.funds.api import PoolIncomeController
from engine.funds.service import propose_income
from engine.kernel.amounts import Amount
from engine.kernel.permissions import Permission
from engine.runtime.database import Database
from engine.runtime.http import exception_handlers
from engine.tenancy.service import Tenant
from tests.engine.funds.conftest import PRODUCT, Scheme
from tests.engine.funds.test_crediting import with_rule
from tests.engine.funds.test_pooling import POOL, standing

PATH = "/v1/operations/pool-incomes"


@pytest_asyncio.fixture
async def pooled(scheme: Scheme) -> Scheme:
    return with_rule(scheme, pool=POOL)


@pytest_asyncio.fixture
async def client(pooled: Scheme) -> AsyncIterator[AsyncTestClient[Litestar]]:
    """The routes for staff member 2, who holds every permission."""

    async def caller() -> Caller:
        return Caller(pooled.tenant.tenant_id, "staff:2", frozenset(Permission), "staff", staff_id=2)

    async def tenant() -> Tenant:
        return pooled.tenant

    async def db() -> Database:
        return pooled.db

    app = Litestar(
        [PoolIncomeController],
        dependencies={"caller": Provide(caller), "tenant": Provide(tenant), "db": Provide(db)},
        exception_handlers=exception_handlers(lambda _request, message: message),
    )
    async with AsyncTestClient(app) as client:
        yield client


async def test_an_income_is_told_listed_and_decided_by_another(
    pooled: Scheme, client: AsyncTestClient[Litestar]
) -> None:
    told = {"product": PRODUCT, "on": "2023-06-01", "amount": "-12.50", "reference": "POOL-1"}
    made = await client.post(PATH, json=told)
    assert (made.status_code, made.json()["amount"], made.json()["state"]) == (201, "-12.50", "proposed")
    assert (made.json()["year_from"], made.json()["held_by"]) == ("2023-04-01", "custodian")
    assert (await client.post(PATH, json=told)).json() == made.json()
    own = await client.post(f"{PATH}/1/approval", json={"digest": made.json()["digest"]})
    assert own.status_code == 403
    for amount in ("0", "1.001", "much"):
        assert (await client.post(PATH, json={**told, "amount": amount, "reference": "X"})).status_code == 422
    async with pooled.db.unit_of_work(pooled.tenant.tenant_id) as session:
        other = await propose_income(
            session, pooled.tenant, PRODUCT, date(2023, 6, 1), Amount(700, pooled.tenant.asset), reference="P-2", actor="staff:1"
        )  # fmt: skip
    approved = await client.post(f"{PATH}/2/approval", json={"digest": other.digest})
    assert (approved.status_code, approved.json()["state"], approved.json()["checker"]) == (200, "approved", "staff:2")
    assert await standing(pooled) == {"due-to-party:custodian": -700, "pool-income": 700}
    late = await client.post(f"{PATH}/2/rejection", json={"digest": other.digest})
    assert (late.status_code, late.json()["code"]) == (409, "funds.pool-income-decided")
    assert [one["income"] for one in (await client.get(PATH)).json()] == ["2", "1"]
    assert (await client.post(f"{PATH}/99999999999/approval", json={"digest": "0" * 64})).status_code == 404
