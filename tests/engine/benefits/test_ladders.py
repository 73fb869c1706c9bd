"""Members who stop paying, against PostgreSQL: every step by hand-counted months, and every way back; once, however often it runs."""

import asyncio
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from engine.benefits import service
from engine.benefits.queries import ladders as queries
from engine.benefits.queries.standing_laws import STANDING_LAWS
from engine.benefits.service import ladders
from engine.contributions.rules import Receipt
from engine.enrolment import service as enrolment
from engine.enrolment.service import Enrolled, StatusWord
from engine.identity.rules import MemberRef
from engine.kernel.errors import EngineError
from engine.kernel.months import months_after
from engine.ledger import service as ledger
from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant
from tests.engine.contributions.test_undertaken import applying, joined, owed, pays, send, until
from tests.factories.claims import Claims, open_scheme
from tests.factories.schemes import serve

LADDER = """
[[rule]]
kind = "status-ladder"
id = "ladder"
counted_from = "last-contribution"
first_status = "active"
steps = [
  { status = "irregular", after_months = 1, actions = ["remind"] },
  { status = "dormant", after_months = 6 },
  { status = "closed", after_months = 12, net_balance_up_to = "500", actions = ["close"] },
]
net_of = ["state-match"]
source = "invented"
confidence = "high"
"""
BACK = """
[[rule]]
kind = "reactivation"
id = "back"
statuses = ["irregular", "dormant"]
within_months = 9
dues = "first-payment"
least_payment = "1000"
documents = ["id-seen"]
status = "active"
source = "invented"
confidence = "high"
"""
JOINED, BORN = date(2022, 1, 1), date(1983, 1, 1)


async def scheme_with(db: Database, tenant_id: int, folder: Path, rules: str) -> Claims:
    return await open_scheme(db, tenant_id, folder, "rw-ejoheza", "2022-01-31T08:00:00", rules=rules)


async def follow(scheme: Claims, day: str, times: int = 1) -> int:
    await scheme.clock(f"{day}T08:00:00")
    return sum(await asyncio.gather(*(service.follow_standings(scheme.db, scheme.tenant) for _ in range(times))))


async def stands(scheme: Claims, member: MemberRef) -> tuple[str, str] | None:
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        found = await service.standings_of(session, member.member_id)
    return (found[0].status, found[0].since.isoformat()) if found else None


async def events(scheme: Claims, member: MemberRef) -> list[tuple[int, dict[str, Any]]]:
    return await scheme.rows(
        "select kind, body from events where member_id = :m and kind in (219, 220) order by event_id",
        m=member.member_id,
    )


async def test_a_member_goes_down_the_ladder_step_by_step(db: Database, tenant_id: int, tmp_path: Path) -> None:
    """Paid last on 31 January: irregular on 28 February, dormant on 31 July, closed a year on, as 400 francs are left."""
    scheme = await scheme_with(db, tenant_id, tmp_path, LADDER)
    poor, rich = await scheme.member(JOINED, BORN), await scheme.member(JOINED, BORN)
    silent = await scheme.member(date(2022, 2, 1), BORN)
    await scheme.pay(poor, 400, pot="savings", on=date(2022, 1, 31))
    await scheme.pay(poor, 9_000, pot="savings", on=date(2022, 1, 31), origin="state-match")
    await scheme.pay(rich, 501, pot="savings", on=date(2022, 1, 31))

    assert await follow(scheme, "2022-02-27") == 0
    assert await follow(scheme, "2022-02-28", times=3) == 2
    assert await stands(scheme, poor) == ("irregular", "2022-02-28")
    assert await stands(scheme, silent) is None
    assert await follow(scheme, "2022-03-01") == 1
    assert await follow(scheme, "2022-03-01") == 0
    assert await follow(scheme, "2022-07-31") == 2
    assert await stands(scheme, rich) == ("dormant", "2022-07-31")
    assert await follow(scheme, "2023-01-31") == 2
    assert await stands(scheme, poor) == ("closed", "2023-01-31")
    assert await stands(scheme, rich) == ("dormant", "2022-07-31")
    assert await stands(scheme, silent) == ("dormant", "2022-08-01")

    assert [(kind, body["status"], body.get("actions")) for kind, body in await events(scheme, poor)] == [
        (219, "irregular", ["remind"]),
        (219, "dormant", None),
        (219, "closed", ["close"]),
    ]
    async with db.unit_of_work(tenant_id) as session:
        assert await ledger.check(session, STANDING_LAWS) == []
    await scheme.run("update member_standings set status = 'active' where member_id = :m", m=poor.member_id)
    async with db.unit_of_work(tenant_id) as session:
        (offence,) = await ledger.check(session, STANDING_LAWS)
    assert (offence.law, offence.found) == ("standings-are-their-events", "active since 2023-01-31")


async def test_without_a_rule_for_it_whoever_pays_is_back(db: Database, tenant_id: int, tmp_path: Path) -> None:
    scheme = await scheme_with(db, tenant_id, tmp_path, LADDER)
    member = await scheme.member(JOINED, BORN)
    await scheme.pay(member, 400, pot="savings", on=date(2022, 1, 31))
    await follow(scheme, "2022-07-31")
    await scheme.pay(member, 1, pot="savings", on=date(2022, 8, 1))
    await follow(scheme, "2022-08-02")

    assert await stands(scheme, member) == ("active", "2022-08-01")
    await follow(scheme, "2022-09-01")
    assert await stands(scheme, member) == ("irregular", "2022-09-01")
    assert [kind for kind, _ in await events(scheme, member)] == [219, 220, 219]


async def test_the_rule_says_who_comes_back(db: Database, tenant_id: int, tmp_path: Path) -> None:
    """A thousand francs and a document; 600 and 400 are a thousand. Once closed, or nine months after, there is no way back."""
    scheme = await scheme_with(db, tenant_id, tmp_path, LADDER + BACK)
    member, late, closed = [await scheme.member(JOINED, BORN) for _ in range(3)]
    for one in (member, late):
        await scheme.pay(one, 501, pot="savings", on=date(2022, 1, 31))
    await scheme.pay(closed, 100, pot="savings", on=date(2022, 1, 31))
    await follow(scheme, "2022-02-28")
    await scheme.pay(member, 600, pot="savings", on=date(2022, 3, 1))
    await scheme.clock("2022-03-01T08:00:00")
    assert [await service.follow_standings(db, scheme.tenant) for _ in range(2)] == [0, 0]
    await _document(scheme, member)
    await scheme.pay(member, 399, pot="savings", on=date(2022, 3, 2))
    assert await follow(scheme, "2022-03-02") == 0
    await scheme.pay(member, 1, pot="savings", on=date(2022, 3, 2))
    assert await follow(scheme, "2022-03-02", times=3) == 1
    assert await stands(scheme, member) == ("active", "2022-03-02")

    await follow(scheme, "2023-01-31")
    assert (await stands(scheme, closed), await stands(scheme, late)) == (
        ("closed", "2023-01-31"),
        ("dormant", "2022-07-31"),
    )
    for one in (closed, late):
        await _document(scheme, one)
        await scheme.pay(one, 5_000, pot="savings", on=date(2023, 5, 2))
    await follow(scheme, "2023-05-02")

    assert (await stands(scheme, closed), await stands(scheme, late)) == (
        ("closed", "2023-01-31"),
        ("dormant", "2022-07-31"),
    )
    kept = await scheme.rows(
        "select member_id, code, inputs ->> 'paid' from determinations where kind = 'reactivation'"
    )
    assert sorted(kept) == sorted(
        [
            (member.member_id, "benefits.cannot-reactivate", "600"),
            (member.member_id, "benefits.dues-unpaid", "999"),
            (closed.member_id, "benefits.cannot-reactivate", "5000"),
            (late.member_id, "benefits.cannot-reactivate", "5000"),
        ]
    )
    (_, body) = (await events(scheme, member))[1]
    assert body == {"product": "ltss", "was": "irregular", "status": "active", "since": "2022-03-02", "paid": "1000"}


async def _document(scheme: Claims, member: MemberRef) -> None:
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        word = StatusWord(member.member_id, "id-seen", "yes", "branch", date(2022, 3, 1))
        await enrolment.record_statuses(session, scheme.tenant, [word], actor="staff:1")


async def test_stopped_half_way_the_day_goes_on_and_nobody_steps_twice(
    db: Database, tenant_id: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheme = await scheme_with(db, tenant_id, tmp_path, LADDER)
    members = [await scheme.member(JOINED, BORN) for _ in range(5)]
    monkeypatch.setattr(ladders, "MEMBERS_AT_ONCE", 2)
    step, calls = queries.steps_due, 0

    async def dies(*given: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise ConnectionError
        return await step(*given, **named)

    monkeypatch.setattr(queries, "steps_due", dies)
    with pytest.raises(ConnectionError):
        await follow(scheme, "2022-02-02")
    assert len([one for one in members if await stands(scheme, one)]) == 2

    assert await follow(scheme, "2022-02-02", times=2) == 3

    assert {await stands(scheme, one) for one in members} == {("irregular", "2022-02-01")}
    assert await follow(scheme, "2022-02-03") == 0


async def test_atal_pension_yojana_counts_from_the_first_instalment_missed(
    db: Database, keys: FileKeyStore, tmp_path: Path
) -> None:
    """April's 116 rupees were paid, May's fell due on its last day and were not: frozen six months on, and back once all is paid."""
    tenant = await serve(db, tmp_path, "in-apy")
    member, other = await joined(db, keys, tenant, applying(tenant), applying(tenant))
    await send(db, keys, tenant, pays(member), pays(other))

    async def follow_on(day: date) -> list[tuple[str, str]]:
        await until(db, tenant, day)
        await service.follow_standings(db, tenant)
        async with db.unit_of_work(tenant.tenant_id) as session:
            found = [await service.standings_of(session, one.member_id) for one in (member, other)]
        return [(one[0].status, one[0].since.isoformat()) if one else ("active", "") for one in found]

    missed = await _first_missed(db, keys, tenant, member)
    frozen_on = months_after(missed, 6)
    await until(db, tenant, missed)
    await send(db, keys, tenant, pays(other))
    assert await follow_on(frozen_on - timedelta(days=1)) == [("active", ""), ("active", "")]
    assert await follow_on(frozen_on) == [("frozen", frozen_on.isoformat()), ("active", "")]

    (short,) = await send(db, keys, tenant, pays(member, "43.00"))
    assert isinstance(short, EngineError)
    one, *_ = str(short.details["allowed"]).split(", ")
    assert isinstance((await send(db, keys, tenant, pays(member, one)))[0], Receipt)
    assert (await follow_on(frozen_on + timedelta(days=1)))[0][0] == "frozen"
    (rest,) = await send(db, keys, tenant, pays(member, "43.00"))
    assert isinstance(rest, EngineError)
    whole = str(rest.details["allowed"]).split(", ")[-1]
    assert isinstance((await send(db, keys, tenant, pays(member, whole)))[0], Receipt)

    back_on = frozen_on + timedelta(days=2)
    assert (await follow_on(back_on))[0] == ("active", back_on.isoformat())
    async with db.unit_of_work(tenant.tenant_id) as session:
        kept = await session.execute(text("select code from determinations where kind = 'reactivation'"))
        assert [row.code for row in kept] == ["benefits.dues-unpaid"]


async def _first_missed(db: Database, keys: FileKeyStore, tenant: Tenant, member: Enrolled) -> date:
    """The day of the second instalment, by what is owed day by day."""
    day = date(2023, 4, 4)
    while not await owed(db, keys, tenant, member, day):
        day += timedelta(days=1)
    return day
