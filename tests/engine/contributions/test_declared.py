"""Contributions that are a share of a declared income: what is due is taken and nothing else, and what was declared is kept."""

import asyncio
from datetime import UTC, date, datetime
from pathlib import Path

import psycopg
import pytest
import pytest_asyncio
from litestar import Litestar
from litestar.di import Provide
from litestar.testing import AsyncTestClient
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from engine.access.rules import Caller
from engine.contributions import errors, service
from engine.contributions.api.declared import DeclaredIncomeController
from engine.contributions.queries import LAWS
from engine.contributions.rules import Receipt
from engine.contributions.service import Incomes
from engine.enrolment import service as enrolment
from engine.enrolment.errors import ChangedTooOften
from engine.enrolment.service import Enrolled
from engine.kernel.errors import EngineError
from engine.kernel.permissions import Permission
from engine.ledger import service as ledger
from engine.reports import service as reports
from engine.runtime.database import Database
from engine.runtime.http import exception_handlers
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant, advance_clock
from tests.engine.contributions.test_payers import pays, rules_of, send
from tests.factories.schemes import enrol, serve

RULES = """
[[rule]]
kind = "declared-income"
id = "declared-income"
share_bp = 1350
changes_a_year = 1
minimum = "5000.00"
maximum = "20000.00"
rounding = "half-up"
source = "Invented"
confidence = "high"
"""


@pytest_asyncio.fixture(loop_scope="session")
async def tenant(db: Database, tmp_path: Path) -> Tenant:
    """NPS-Lite on 3 April 2023, where who declared an income pays 13.5 % of it."""
    return await serve(db, tmp_path, start=datetime(2023, 4, 3, 6, tzinfo=UTC), rules={"nps-lite": RULES})


async def declare(
    db: Database, keys: FileKeyStore, tenant: Tenant, member: Enrolled, income: str, from_on: date | None = None
) -> Incomes | EngineError:
    async with db.unit_of_work(tenant.tenant_id) as session:
        found = await enrolment.find_member(session, keys, member.number)
        return await service.declare_income(session, tenant, found, income, from_on=from_on, actor="partner:1")


def due(found: Incomes | EngineError) -> str:
    assert isinstance(found, Incomes), found
    return str(found.contribution.decimal()) if found.contribution is not None else "none"


def told(answers: list[service.Answer]) -> list[str]:
    return [one.state if isinstance(one, Receipt) else one.code for one in answers]


async def explained(db: Database, keys: FileKeyStore, tenant: Tenant, decision: object) -> str:
    async with db.unit_of_work(tenant.tenant_id) as session:
        found = await reports.tell_decision(session, keys, tenant, int(str(decision)), actor="staff:1", language="en")
    return "\n".join(found.sentences)


async def test_a_share_is_taken_or_whole_ones_and_nothing_else(
    db: Database, keys: FileKeyStore, tenant: Tenant
) -> None:
    """13.5 % of 10,000.00 is 1,350.00; a quarter at once is three."""
    (member,) = await enrol(db, keys, tenant, ["sahyog"])
    before = await send(db, keys, tenant, pays(member, "777.00"))
    declared = await declare(db, keys, tenant, member, "10000.00")
    month, quarter = pays(member, "1350.00"), pays(member, "4050.00")
    answers = await send(
        db,
        keys,
        tenant,
        month,
        quarter,
        pays(member, "1349.99"),
        pays(member, "1350.01"),
        pays(member, "300.00", payer="state"),
        pays(member, "777.00", paid_on=date(2023, 4, 2)),
    )

    assert due(declared) == "1350.00"
    assert told(before) == ["received"]
    assert told(answers) == [
        "received", "received", "contributions.not-the-instalment", "contributions.not-the-instalment", "received", "received",
    ]  # fmt: skip
    assert await send(db, keys, tenant, month, quarter) == answers[:2]
    refused, taken = answers[2], answers[1]
    assert isinstance(refused, errors.NotTheInstalment)
    assert refused.details["instalment"] == "1350.00"
    assert "declared-income" in await rules_of(db, tenant, refused.details["decision"])
    assert isinstance(taken, Receipt)
    async with db.unit_of_work(tenant.tenant_id) as session:
        body = await session.scalar(text("select body from events where event_id = :e"), {"e": int(taken.receipt)})
    assert body is not None
    assert (body["instalment"], body["instalments"]) == ("135000", "3")
    assert "“declared-income”" in await explained(db, keys, tenant, taken.receipt)


@pytest.mark.parametrize(
    ("income", "contribution"),
    [("4999.99", "675.00"), ("5000.01", "675.00"), ("19999.99", "2700.00"), ("900000.00", "2700.00")],
)
async def test_the_least_and_the_most_income_count(
    db: Database, keys: FileKeyStore, tenant: Tenant, income: str, contribution: str
) -> None:
    (member,) = await enrol(db, keys, tenant, ["sahyog"])
    assert due(await declare(db, keys, tenant, member, income)) == contribution


async def test_it_changes_as_often_as_the_rule_says_and_all_of_it_is_kept(
    db: Database, keys: FileKeyStore, tenant: Tenant
) -> None:
    (member,) = await enrol(db, keys, tenant, ["sahyog"])
    await declare(db, keys, tenant, member, "10000.00")
    changed = await declare(db, keys, tenant, member, "8000.00", date(2023, 6, 1))
    same = await declare(db, keys, tenant, member, "8000.00")
    earlier = await declare(db, keys, tenant, member, "9000.00", date(2023, 5, 31))
    again = await declare(db, keys, tenant, member, "9000.00", date(2023, 6, 2))
    now = await send(db, keys, tenant, pays(member, "1350.00"), pays(member, "1080.00"))
    async with db.unit_of_work(tenant.tenant_id) as session:
        await advance_clock(session, tenant, datetime(2023, 6, 1, 6, tzinfo=UTC), "development")
    later = await send(db, keys, tenant, pays(member, "1350.00"), pays(member, "1080.00"))
    next_year = await declare(db, keys, tenant, member, "9000.00", date(2024, 4, 1))

    assert due(changed) == "1350.00"
    assert same == changed
    assert isinstance(earlier, errors.DeclaredFrom)
    assert (earlier.details["first"], earlier.details["last"]) == ("2023-06-01", "2024-04-03")
    assert isinstance(again, ChangedTooOften)
    assert "declared-income" in await rules_of(db, tenant, again.details["decision"])
    why = await explained(db, keys, tenant, again.details["decision"])
    assert "9000" not in why
    assert told(now) == ["received", "contributions.not-the-instalment"]
    assert told(later) == ["contributions.not-the-instalment", "received"]
    assert due(next_year) == "1080.00"
    assert isinstance(next_year, Incomes)
    assert [(one.income, one.from_on, one.declared_on) for one in next_year.declared] == [
        (1000000, date(2023, 4, 3), date(2023, 4, 3)),
        (800000, date(2023, 6, 1), date(2023, 4, 3)),
        (900000, date(2024, 4, 1), date(2023, 6, 1)),
    ]
    async with db.unit_of_work(tenant.tenant_id) as session:
        rows = await session.execute(
            text("""select e.event_id, e.body, e.decision > 0 from events e where e.member_id = :m and e.kind = 327
                     order by e.event_id"""),
            {"m": member.member_id},
        )
        kept = [tuple(row) for row in rows]
    assert [(body, decided) for _, body, decided in kept] == [
        ({"product": "nps-lite", "from": "2023-04-03", "contribution": "135000"}, True),
        ({"product": "nps-lite", "from": "2023-06-01", "contribution": "108000"}, True),
        ({"product": "nps-lite", "from": "2024-04-01", "contribution": "121500"}, True),
    ]
    assert "“declared-income”" in await explained(db, keys, tenant, kept[0][0])


async def test_money_that_is_here_already_and_is_no_share_waits(
    db: Database, keys: FileKeyStore, tenant: Tenant
) -> None:
    (member,) = await enrol(db, keys, tenant, ["sahyog"])
    await declare(db, keys, tenant, member, "10000.00")
    (held,) = await send(db, keys, tenant, pays(member, "777.00", is_held=True))
    assert isinstance(held, Receipt)
    assert (held.state, held.reason) == ("suspended", "not-taken")


async def test_two_changes_at_once_are_one(db: Database, keys: FileKeyStore, tenant: Tenant) -> None:
    (member,) = await enrol(db, keys, tenant, ["sahyog"])
    await declare(db, keys, tenant, member, "10000.00")
    found = await asyncio.gather(
        declare(db, keys, tenant, member, "8000.00"), declare(db, keys, tenant, member, "9000.00")
    )
    assert sorted(type(one).__name__ for one in found) == ["ChangedTooOften", "Incomes"]


async def test_what_was_declared_cannot_be_written_over(db: Database, keys: FileKeyStore, tenant: Tenant) -> None:
    (member,) = await enrol(db, keys, tenant, ["sahyog"])
    await declare(db, keys, tenant, member, "10000.00")
    with pytest.raises((DBAPIError, psycopg.Error)):
        async with db.unit_of_work(tenant.tenant_id) as session:
            await session.execute(text("update declared_incomes set income = 1"))


async def test_a_declaration_that_no_event_says_breaks_the_law(
    db: Database, keys: FileKeyStore, tenant: Tenant
) -> None:
    (member,) = await enrol(db, keys, tenant, ["sahyog"])
    await declare(db, keys, tenant, member, "10000.00")
    async with db.unit_of_work(tenant.tenant_id) as session:
        assert await ledger.check(session, LAWS) == []
        await session.execute(
            text("""insert into declared_incomes (tenant_id, member_id, event_id, product, income, contribution, from_on, declared_on)
                    values (:t, :m, 1, 'nps-lite', 1, 1, '2023-04-03', '2023-04-03')"""),
            {"t": tenant.tenant_id, "m": member.member_id},
        )
        (broken,) = await ledger.check(session, LAWS)
        assert "declared-incomes-are-decided" in str(broken)
        await session.rollback()


async def test_the_routes_declare_and_show(db: Database, keys: FileKeyStore, tenant: Tenant) -> None:
    (member,) = await enrol(db, keys, tenant, ["sahyog"])
    caller = Caller(tenant.tenant_id, "partner:1", frozenset(Permission), "partner")
    app = Litestar(
        [DeclaredIncomeController],
        dependencies={
            "caller": Provide(lambda: caller, sync_to_thread=False),
            "tenant": Provide(lambda: tenant, sync_to_thread=False),
            "db": Provide(lambda: db, sync_to_thread=False),
            "keys": Provide(lambda: keys, sync_to_thread=False),
        },
        exception_handlers=exception_handlers(lambda _request, message: message),
    )
    path = f"/v1/members/{member.number}/declared-income"
    async with AsyncTestClient(app) as client:
        none = await client.get(path)
        fine = await client.post(path, json={"income": "10000.001"})
        nothing = await client.post(path, json={"income": "0"})
        past = await client.post(path, json={"income": "10000", "from_on": "2023-04-02"})
        given = await client.post(path, json={"income": "10000", "from_on": "2023-05-01"})
        shown = await client.get(path)
    assert [one.status_code for one in (none, fine, nothing, past, given, shown)] == [409, 422, 422, 422, 200, 200]
    assert given.json() == shown.json() == {
        "product": "nps-lite",
        "currency": "INR",
        "contribution": None,
        "declared": [{"income": "10000.00", "from_on": "2023-05-01", "declared_on": "2023-04-03"}],
    }  # fmt: skip
