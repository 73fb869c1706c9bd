"""Routes of prices and dealings: shapes, refusals, paging."""

from collections.abc import AsyncIterator
from datetime import date
from typing import Any

import pytest_asyncio
from litestar import Litestar
from litestar.di import Provide
from litestar.testing import AsyncTestClient

from engine.access.rules import Caller
from engine.funds import jobs
from engine.funds.api import DealingController, PriceController
from engine.funds.service import Units
from engine.kernel.permissions import Permission
from engine.reconciliation.api import ReconciliationController
from engine.runtime.database import Database
from engine.runtime.http import exception_handlers
from engine.tenancy.service import Tenant
from integrations.banking.tabular.adapter import TabularStatements
from tests.engine.funds.conftest import Scheme
from tests.engine.funds.test_selling import sell


@pytest_asyncio.fixture
async def client(scheme: Scheme) -> AsyncIterator[AsyncTestClient[Litestar]]:
    """The routes for staff member 2 of the scheme, who holds every permission."""

    async def caller() -> Caller:
        return Caller(scheme.tenant.tenant_id, "staff:2", frozenset(Permission), "staff", staff_id=2)

    async def tenant() -> Tenant:
        return scheme.tenant

    async def db() -> Database:
        return scheme.db

    app = Litestar(
        [PriceController, DealingController, ReconciliationController],
        dependencies={"caller": Provide(caller), "tenant": Provide(tenant), "db": Provide(db)},
        exception_handlers=exception_handlers(lambda _request, message: message),
    )
    async with AsyncTestClient(app) as client:
        yield client


async def test_prices_are_listed_and_filtered(scheme: Scheme, client: AsyncTestClient[Litestar]) -> None:
    await scheme.price("2023-04-03", {"SM001009": "31.2524", "SM002009": "31"})
    await scheme.price("2023-04-04", {"SM001009": "31.3"})
    found = (await client.get("/v1/prices")).json()["items"]
    assert [(one["price_on"], one["fund"], one["price"]) for one in found] == [
        ("2023-04-04", "SM001009", "31.3"),
        ("2023-04-03", "SM001009", "31.2524"),
        ("2023-04-03", "SM002009", "31"),
    ]
    one = (await client.get("/v1/prices?fund=SM001009&from=2023-04-01&until=2023-04-03")).json()["items"]
    assert [(row["price"], row["state"], row["file"]) for row in one] == [("31.2524", "accepted", "2023-04-03.csv")]
    assert (await client.get("/v1/prices?from=yesterday")).status_code == 422


async def test_a_second_person_approves_and_orders_are_promised(
    scheme: Scheme, client: AsyncTestClient[Litestar]
) -> None:
    await scheme.price("2023-04-03", {"SM001009": "31", "SM002009": "31"})
    await scheme.price("2023-04-04", {"SM001009": "61", "SM002009": "62"})
    await scheme.price("2023-04-05", {"SM001009": "61"}, actor="staff:2")
    answer = await client.post("/v1/prices/SM001009/2023-04-04/approve")
    assert (answer.status_code, answer.json()["state"]) == (200, "accepted")
    assert (await client.post("/v1/prices/SM002009/2023-04-04/reject")).json()["state"] == "rejected"
    again = await client.post("/v1/prices/SM001009/2023-04-04/approve")
    assert (again.status_code, again.json()["code"]) == (409, "funds.price-decided")
    assert (await client.post("/v1/prices/SM001009/2023-04-09/approve")).status_code == 404
    own = await client.post("/v1/prices/SM001009/2023-04-05/approve")
    assert (own.status_code, own.json()["code"]) == (403, "access.same-person")
    promised = await scheme.rows(
        "select task_name from procrastinate_jobs where (args ->> 'tenant_id')::int = :t", t=scheme.tenant.tenant_id
    )
    assert promised == [("funds.price_orders",)]


async def test_the_promised_job_allots_what_waited(scheme: Scheme, client: AsyncTestClient[Litestar]) -> None:
    class Tenants:
        def by_id(self, tenant_id: int) -> Tenant:
            assert tenant_id == scheme.tenant.tenant_id
            return scheme.tenant

    (member,) = await scheme.members(["first"])
    (event,) = await scheme.receive([(member, {"retirement": 50000}, "r")])
    await scheme.allocate([(member, event)])
    await scheme.price("2023-04-03", {"SM001009": "31"})
    await scheme.deal("2023-04-03")
    await scheme.clock("2023-04-05T04:30:00")
    await scheme.price("2023-04-04", {"SM001009": "50"})
    await scheme.deal("2023-04-05")
    assert (await client.post("/v1/prices/SM001009/2023-04-04/approve")).status_code == 200
    for _ in range(2):
        await jobs.JOBS["funds.price_orders"](scheme.db, None, Tenants(), tenant_id=scheme.tenant.tenant_id)
    assert await scheme.units(member) == {"SM001009": 100000}


async def test_dealings_are_listed_with_their_orders(scheme: Scheme, client: AsyncTestClient[Litestar]) -> None:
    members = await scheme.members(["first", "second"])
    events = await scheme.receive([(m, {"retirement": 50000}, f"r{m}") for m in members])
    await scheme.allocate([(members[0], events[0])])
    await scheme.deal("2023-04-03")
    await scheme.clock("2023-04-05T04:30:00")
    await scheme.price("2023-04-05", {"SM001009": "32.6034"})
    await scheme.deal("2023-04-05")
    await scheme.allocate([(members[1], events[1])])
    newest, priced = (await client.get("/v1/dealings")).json()["items"]
    assert (newest["state"], newest["cut_off_on"], newest["orders"]) == ("open", None, [])
    assert (priced["state"], priced["cut_off_on"]) == ("priced", "2023-04-03")
    assert priced["orders"] == [
        {
            "fund": "SM001009",
            "amount": "500.00",
            "state": "priced",
            "price_on": "2023-04-05",
            "price": "32.6034",
            "units": "15.3358",
            "residue": "0.0000",
        }
    ]
    assert priced["sales"] == []
    await sell(scheme, members[0], [Units("retirement", "own", "SM001009", 100_000)])
    await scheme.deal("2023-04-05")
    await scheme.clock("2023-04-06T04:30:00")
    await scheme.price("2023-04-06", {"SM001009": "33.0071"})
    await scheme.deal("2023-04-06")
    (sale,) = (await client.get("/v1/dealings")).json()["items"][0]["sales"]
    assert sale == {
        "fund": "SM001009",
        "units": "10.0000",
        "state": "priced",
        "price_on": "2023-04-06",
        "price": "33.0071",
        "amount": "330.07",
        "residue": "0.00",
        "is_settled": False,
    }
    older: dict[str, Any] = (await client.get(f"/v1/dealings?before={newest['dealing']}")).json()
    assert [one["dealing"] for one in older["items"]] == [priced["dealing"]]


async def test_breaks_are_listed(scheme: Scheme, client: AsyncTestClient[Litestar]) -> None:
    from engine.reconciliation import service

    raw = b"date,reference,amount,currency\n2023-04-03,UPI-1,5.00,INR\n2023-04-03,UPI-2,6.00,INR\n"
    await service.import_statement(
        scheme.db, scheme.tenant, scheme.keys, TabularStatements(), raw, "upi.csv", "upi", "staff:3"
    )
    body = (await client.get("/v1/reconciliation/breaks")).json()
    assert [(one["row"], one["amount"], one["reason"]) for one in body["items"]] == [
        (2, "5.00", "no-receipt"),
        (3, "6.00", "no-receipt"),
    ]
    first = body["items"][0]["statement"]
    after = (await client.get(f"/v1/reconciliation/breaks?after_statement={first}&after_line=2")).json()
    assert [one["row"] for one in after["items"]] == [3]
    assert body["waiting"] == []
    assert date.fromisoformat(body["items"][0]["value_date"]) == date(2023, 4, 3)
