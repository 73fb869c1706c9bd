"""Tenants in a real database: created once, served by code, number and host, versioned, explained, their clock set."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from sqlalchemy import text

from engine.kernel.rules import Dates
from engine.ledger import service as ledger
from engine.ledger.rules import Entry, EventKind
from engine.runtime.database import Database
from engine.tenancy.errors import (
    ClockBackwards,
    ClockInUse,
    ClockRefused,
    CurrencyChanged,
    PackErrors,
    PackNotStored,
    TenantExists,
    UnknownPack,
    UnknownProduct,
    UnknownTenant,
)
from engine.tenancy.queries import decision_trace
from engine.tenancy.rules import Runner
from engine.tenancy.rules.explaining import rules_used
from engine.tenancy.service import Tenant, Tenants, activate_pack, advance_clock, check_pack, load_pack, stored_pack
from engine.tenancy.service.tenants import stored_files

if TYPE_CHECKING:
    from tests.engine.tenancy.conftest import Kinds, Least, MakeToy, ToyPack

START = datetime(2023, 4, 1, 6, tzinfo=UTC)


@pytest.fixture
def code() -> str:
    return f"ke-{secrets.token_hex(5)}"


@pytest.fixture
def scheme(tmp_path: Path, make_toy: MakeToy, code: str) -> ToyPack:
    """A pack under a code of this test's own."""
    return make_toy(tmp_path / "packs", code)


@pytest.fixture
def load(scheme: ToyPack, toy_kinds: Kinds, toy_runners: Mapping[str, Runner]) -> Callable[[], Tenants]:
    """Load the folder of packs, as it stands now."""
    return lambda: Tenants.load([scheme.path.parent], toy_kinds, toy_runners)


@pytest_asyncio.fixture
async def tenant(db: Database, load: Callable[[], Tenants], code: str) -> Tenant:
    return await load().create_tenant(db, code)


async def events(db: Database, tenant_id: int, kind: EventKind) -> list[tuple[Any, ...]]:
    async with db.unit_of_work(tenant_id) as session:
        rows = await session.execute(
            text("select member_id, business_date, pack, body from events where kind = :kind order by event_id"),
            {"kind": int(kind)},
        )
        return [tuple(row) for row in rows]


async def test_a_created_tenant_has_its_money_its_pack_and_a_record_of_it(
    db: Database, load: Callable[[], Tenants], code: str
) -> None:
    tenants = load()
    tenant = await tenants.create_tenant(db, code)
    async with db.unit_of_work(tenant.tenant_id) as session:
        money = (await session.execute(text("select asset_id, symbol, scale, kind from assets"))).all()
    assert money == [(1, "KES", 2, "money")]
    found = await events(db, tenant.tenant_id, EventKind.PACK_ACTIVATED)
    assert [(row[0], row[2], row[3]) for row in found] == [
        (-tenant.tenant_id, tenant.pack_id, {"pack": code, "version": tenant.pack.sha256})
    ]
    assert tenants.by_code(code) == tenants.by_id(tenant.tenant_id) == tenants.by_host("toy.localhost") == tenant


async def test_a_tenant_is_created_once(db: Database, load: Callable[[], Tenants], code: str) -> None:
    await load().create_tenant(db, code)
    with pytest.raises(TenantExists):
        await load().create_tenant(db, code)


async def test_two_that_create_one_tenant_at_once_create_it_once(
    db: Database, load: Callable[[], Tenants], code: str
) -> None:
    answers = await asyncio.gather(*(load().create_tenant(db, code) for _ in range(4)), return_exceptions=True)
    assert sorted(type(answer).__name__ for answer in answers) == ["Tenant", *["TenantExists"] * 3]


async def test_a_tenant_needs_its_pack(db: Database, load: Callable[[], Tenants], code: str) -> None:
    with pytest.raises(UnknownPack) as raised:
        await load().create_tenant(db, "xx-nowhere")
    assert raised.value.details == {"pack": "xx-nowhere", "allowed": code}


async def test_hosts_are_found_with_port_and_in_any_case(db: Database, load: Callable[[], Tenants], code: str) -> None:
    tenants = load()
    tenant = await tenants.create_tenant(db, code)
    for host in ("toy.localhost", "toy.localhost:8420", "TOY.localhost.", " toy.localhost"):
        assert tenants.by_host(host) is tenant
    for host in ("", "other.localhost", "localhost", "[::1]:80", "toy.localhost.evil.example", "x@toy.localhost"):
        with pytest.raises(UnknownTenant):
            tenants.by_host(host)
    with pytest.raises(UnknownTenant):
        tenants.by_code("ke-other")
    with pytest.raises(UnknownTenant):
        tenants.by_id(-1)


async def test_activation_serves_what_exists_and_records_a_version_once(
    db: Database, load: Callable[[], Tenants], code: str
) -> None:
    created = await load().create_tenant(db, code)
    again = load()
    assert [tenant.code for tenant in await again.activate(db)] == [code]
    assert again.by_code(code) == created
    assert list(again) == [created]
    assert len(await events(db, created.tenant_id, EventKind.PACK_ACTIVATED)) == 1


async def test_processes_that_start_together_record_a_new_version_once(
    db: Database, load: Callable[[], Tenants], code: str, scheme: ToyPack
) -> None:
    created = await load().create_tenant(db, code)
    scheme.append("pack.toml", "# a remark\n")
    await asyncio.gather(*(load().activate(db) for _ in range(4)))
    found = await events(db, created.tenant_id, EventKind.PACK_ACTIVATED)
    assert len(found) == 2
    assert {row[2] for row in found} == {created.pack_id, created.pack_id + 1}


async def test_a_tenant_without_a_pack_is_not_served(db: Database, load: Callable[[], Tenants], tenant_id: int) -> None:
    tenants = load()
    await tenants.activate(db)
    with pytest.raises(UnknownTenant):
        tenants.by_id(tenant_id)


async def test_a_pack_of_another_currency_is_refused(
    db: Database, load: Callable[[], Tenants], code: str, scheme: ToyPack
) -> None:
    created = await load().create_tenant(db, code)
    scheme.replace("pack.toml", '"KES"', '"USD"')
    with pytest.raises(CurrencyChanged) as raised:
        await load().activate(db)
    assert raised.value.details == {"tenant": code, "booked": "KES", "currency": "USD"}
    assert len(await events(db, created.tenant_id, EventKind.PACK_ACTIVATED)) == 1


async def test_a_pack_that_fails_its_examples_is_not_served(
    load: Callable[[], Tenants], scheme: ToyPack, code: str
) -> None:
    scheme.replace("scenarios/payments.toml", 'taken = "10"', 'taken = "11"')
    with pytest.raises(PackErrors) as raised:
        load()
    ((pack, problem),) = raised.value.problems
    assert (pack, problem.key) == (code, "scenario[1].expect.taken")


def test_two_packs_may_not_share_a_host_or_a_log(
    tmp_path: Path, make_toy: MakeToy, toy_kinds: Kinds, toy_runners: Mapping[str, Runner]
) -> None:
    make_toy(tmp_path, "ke-one")
    make_toy(tmp_path, "ke-two")
    tenants = Tenants.load([tmp_path], toy_kinds, toy_runners)
    assert [pack.code for pack in tenants.packs] == ["ke-one"]
    assert [(code, str(problem)) for code, problem in tenants.refused] == [
        ("ke-two", 'pack.toml: hosts: "toy.localhost" belongs to the pack ke-one already'),
        ("ke-two", 'pack.toml: log_origin: "toy.localhost/log" belongs to the pack ke-one already'),
    ]


def test_a_pack_that_fails_stops_no_other(
    tmp_path: Path, make_toy: MakeToy, toy_kinds: Kinds, toy_runners: Mapping[str, Runner]
) -> None:
    make_toy(tmp_path, "ke-one")
    make_toy(tmp_path, "ke-two").replace("scenarios/payments.toml", 'taken = "10"', 'taken = "11"')
    tenants = Tenants.load([tmp_path], toy_kinds, toy_runners)
    assert [pack.code for pack in tenants.packs] == ["ke-one"]
    assert [(code, problem.key) for code, problem in tenants.refused] == [("ke-two", "scenario[1].expect.taken")]


def test_a_folder_may_be_a_pack_or_hold_packs_and_one_without_any_is_an_error(
    tmp_path: Path, make_toy: MakeToy, toy_kinds: Kinds, toy_runners: Mapping[str, Runner]
) -> None:
    toy = make_toy(tmp_path / "packs", "ke-one")
    for folder in (toy.path, toy.path.parent):
        assert [pack.code for pack in Tenants.load([folder], toy_kinds, toy_runners).packs] == ["ke-one"]
    (tmp_path / "none").mkdir()
    for folder in (tmp_path / "none", tmp_path / "nowhere"):
        with pytest.raises(PackErrors):
            Tenants.load([folder], toy_kinds, toy_runners)
    twice = Tenants.load([toy.path.parent, make_toy(tmp_path / "more", "ke-one").path], toy_kinds, toy_runners)
    assert ["a pack of this name already" in str(problem) for _, problem in twice.refused] == [True]


async def test_a_tenant_tells_its_rules(tenant: Tenant, least: type[Least]) -> None:
    found = tenant.rule(least, product="main", dates=Dates(on=date(2021, 12, 31)))
    later = tenant.rule(least, product="main", dates=Dates(on=date(2022, 1, 1)))
    assert found is not None
    assert later is not None
    assert (found.rule.amount, found.ref) == (10, "least-payment@2020-01-01")
    assert (later.rule.amount, later.ref) == (20, "least-payment@2022-01-01")
    assert tenant.rule(least, product="main", dates=Dates(on=date(2019, 12, 31))) is None
    with pytest.raises(UnknownProduct):
        tenant.rule(least, product="other", dates=Dates(on=date(2022, 1, 1)))


async def test_a_tenant_speaks_its_own_words(tenant: Tenant) -> None:
    words = tenant.translator("sw")
    assert words.gettext("The smallest contribution is {minimum}.") == "Mchango mdogo zaidi ni {minimum}."
    assert (
        tenant.translator("fr").gettext("The smallest contribution is {minimum}.")
        == "The smallest contribution is {minimum}."
    )


async def test_a_stored_version_is_the_pack_whole(
    db: Database, tenant: Tenant, toy_kinds: Kinds, scheme: ToyPack
) -> None:
    scheme.remove("pack.toml")
    async with db.unit_of_work(tenant.tenant_id) as session:
        stored = await stored_pack(session, tenant.pack_id, toy_kinds)
        assert (stored.sha256, stored.manifest) == (tenant.pack.sha256, tenant.pack.manifest)
        with pytest.raises(PackNotStored):
            await stored_pack(session, 99, toy_kinds)


async def test_a_decision_is_explained_by_the_version_that_made_it(
    db: Database, load: Callable[[], Tenants], code: str, scheme: ToyPack
) -> None:
    tenants = load()
    old = await tenants.create_tenant(db, code)
    async with db.unit_of_work(old.tenant_id) as session:
        decision = await ledger.decision_id(
            session, {"rules": ["least-payment@2020-01-01", "gone@2020-01-01"], "age": 42}
        )
        scheme.replace("main/rules/2020-01-01.toml", "amount = 10", "amount = 5").replace(
            "scenarios/payments.toml", "amount = 9", "amount = 4"
        )
        new = await activate_pack(session, load_pack(scheme.path, load()._kinds))
        least, gone = rules_used(await decision_trace(session, decision), await stored_files(session, old.pack_id))
        assert least is not None
        assert (least.kind, least.effective_from, least.parameters, least.source) == (
            "least", "2020-01-01", {"amount": "10"}, "page 1",
        )  # fmt: skip
        assert gone is None
        least, _ = rules_used(await decision_trace(session, decision), await stored_files(session, new))
        assert least is not None
        assert least.values == {"amount": 5}
        assert rules_used(await decision_trace(session, 0), await stored_files(session, new)) == ()


async def test_the_clock_goes_forward_and_dates_what_is_recorded(db: Database, tenant: Tenant) -> None:
    async with db.unit_of_work(tenant.tenant_id) as session:
        assert await advance_clock(session, tenant, START, "development") == START
    async with db.unit_of_work(tenant.tenant_id) as session:
        assert await ledger.scheme_now(session) == START
        nairobi_midnight = datetime(2023, 4, 1, 21, tzinfo=UTC)
        await advance_clock(session, tenant, nairobi_midnight, "development")
    found = await events(db, tenant.tenant_id, EventKind.CLOCK_ADVANCED)
    assert [(row[1], row[3]) for row in found] == [
        (date(2023, 4, 1), {"to": "2023-04-01T06:00:00+00:00"}),
        (date(2023, 4, 2), {"from": "2023-04-01T06:00:00+00:00", "to": "2023-04-01T21:00:00+00:00"}),
    ]


@pytest.mark.parametrize("step", [timedelta(0), timedelta(microseconds=-1), timedelta(days=-400)])
async def test_the_clock_never_goes_back_or_stands(db: Database, tenant: Tenant, step: timedelta) -> None:
    async with db.unit_of_work(tenant.tenant_id) as session:
        await advance_clock(session, tenant, START, "development")
    async with db.unit_of_work(tenant.tenant_id) as session:
        with pytest.raises(ClockBackwards):
            await advance_clock(session, tenant, START + step, "development")
        assert await ledger.scheme_now(session) == START


async def test_production_refuses_to_have_its_clock_set(db: Database, tenant: Tenant) -> None:
    async with db.unit_of_work(tenant.tenant_id) as session:
        with pytest.raises(ClockRefused) as raised:
            await advance_clock(session, tenant, START, "production")
        assert raised.value.code == "tenancy.clock-refused"
        assert await ledger.scheme_now(session) > START
    assert await events(db, tenant.tenant_id, EventKind.CLOCK_ADVANCED) == []


async def test_a_clock_is_not_taken_over_once_members_have_records(db: Database, tenant: Tenant) -> None:
    async with db.unit_of_work(tenant.tenant_id) as session:
        actor = await ledger.actor_id(session, "operator")
        member = Entry(
            member_id=secrets.randbits(61), kind=EventKind.MEMBER_ENROLLED, business_date=date(2026, 1, 1), actor=actor
        )
        await ledger.post(session, [member])
    async with db.unit_of_work(tenant.tenant_id) as session:
        with pytest.raises(ClockInUse):
            await advance_clock(session, tenant, START, "development")


async def test_two_clock_settings_at_once_are_one_after_the_other(db: Database, tenant: Tenant) -> None:
    async def set_to(to: datetime) -> datetime:
        async with db.unit_of_work(tenant.tenant_id) as session:
            return await advance_clock(session, tenant, to, "development")

    answers = await asyncio.gather(*(set_to(START) for _ in range(4)), return_exceptions=True)
    assert sorted(type(answer).__name__ for answer in answers) == ["ClockBackwards"] * 3 + ["datetime"]
    assert len(await events(db, tenant.tenant_id, EventKind.CLOCK_ADVANCED)) == 1


def test_a_report_names_the_pack_even_where_nothing_can_be_read(tmp_path: Path, toy_kinds: Kinds) -> None:
    report = check_pack(tmp_path / "ke-nowhere", toy_kinds, {})
    assert (report.code, report.sha256, report.ok) == ("ke-nowhere", None, False)
