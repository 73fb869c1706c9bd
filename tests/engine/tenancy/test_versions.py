"""New pack versions and figures: two people, dated, on record; nothing counts before."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from sqlalchemy import text

from engine.access.errors import SamePerson
from engine.kernel.rules import Dates
from engine.runtime.database import Database
from engine.tenancy import service
from engine.tenancy.errors import (
    FigureDecided,
    FigureStands,
    FiguresUnreadable,
    PackDecided,
    PackInForceTooEarly,
    PackOfOther,
    UnknownProposal,
    UnknownSeries,
)
from engine.tenancy.rules import Runner
from engine.tenancy.service import Tenant, Tenants, advance_clock, load_pack

if TYPE_CHECKING:
    from pathlib import Path

    from tests.engine.tenancy.conftest import Kinds, Least, MakeToy, ToyPack

START = datetime(2023, 4, 1, 6, tzinfo=UTC)
SERIES = """
[[series]]
code = "rate"
name = "Declared return"
unit = "percent-a-year"
source = "the scheme's yearly declaration"
"""
POINTS = b"effective_from,published_on,value,source,confidence\n2022-07-01,2022-07-15,11.5,Gazette 7,high\n"


@pytest.fixture
def scheme(tmp_path: Path, make_toy: MakeToy) -> ToyPack:
    pack = make_toy(tmp_path / "packs", f"ke-{secrets.token_hex(5)}")
    return pack.append("pack.toml", SERIES).write("series/rate.csv", POINTS)


@pytest.fixture
def load(scheme: ToyPack, toy_kinds: Kinds, toy_runners: Mapping[str, Runner]) -> Callable[[], Tenants]:
    return lambda: Tenants.load([scheme.path.parent], toy_kinds, toy_runners)


@pytest_asyncio.fixture
async def tenants(db: Database, load: Callable[[], Tenants], scheme: ToyPack) -> Tenants:
    loaded = load()
    tenant = await loaded.create_tenant(db, scheme.path.name)
    async with db.unit_of_work(tenant.tenant_id) as session:
        await advance_clock(session, tenant, START, "development")
    return loaded


@pytest.fixture
def tenant(tenants: Tenants, scheme: ToyPack) -> Tenant:
    return tenants.by_code(scheme.path.name)


async def test_a_version_decides_from_its_date_once_another_person_approved_it(
    db: Database, tenants: Tenants, tenant: Tenant, scheme: ToyPack, toy_kinds: Kinds, least: type[Least]
) -> None:
    scheme.write("main/rules/2023-05-01.toml", '[[rule]]\nkind = "least"\nid = "least-payment"\namount = 30\n'
                 'source = "page 9"\nconfidence = "high"\n')  # fmt: skip
    new = load_pack(scheme.path, toy_kinds)
    async with db.unit_of_work(tenant.tenant_id) as session:
        proposal = await service.propose_pack(session, tenant, new, in_force_from=date(2023, 4, 10), actor="staff:1")
        with pytest.raises(SamePerson):
            await service.approve_pack(session, tenant, proposal.proposal_id, sha256=new.sha256, actor="staff:1")
        with pytest.raises(UnknownProposal):
            await service.approve_pack(session, tenant, proposal.proposal_id, sha256="0" * 64, actor="staff:2")
        approved = await service.approve_pack(session, tenant, proposal.proposal_id, sha256=new.sha256, actor="staff:2")
        assert approved.state == "approved"
        with pytest.raises(PackDecided):
            await service.reject_pack(session, tenant, proposal.proposal_id, sha256=new.sha256, actor="staff:3")

    await tenants.activate(db)
    assert tenants.by_id(tenant.tenant_id).pack.sha256 == tenant.pack.sha256
    async with db.unit_of_work(tenant.tenant_id) as session:
        await advance_clock(session, tenant, datetime(2023, 4, 10, 6, tzinfo=UTC), "development")
    await tenants.activate(db)
    served = tenants.by_id(tenant.tenant_id)
    assert served.pack.sha256 == new.sha256
    assert (
        served.translator("sw").gettext("The smallest contribution is {minimum}.")
        == "Mchango mdogo zaidi ni {minimum}."
    )
    found = served.rule(least, product="main", dates=Dates(on=date(2023, 5, 1)))
    assert found is not None
    assert found.rule.amount == 30
    async with db.unit_of_work(tenant.tenant_id) as session:
        kinds = await session.execute(
            text("select kind, actor, body from events where member_id = :m and kind in (50, 52) order by event_id"),
            {"m": -tenant.tenant_id},
        )
        assert [row.kind for row in kinds] == [50, 52, 50]


async def test_a_version_of_another_scheme_or_of_the_past_is_refused(
    db: Database, tenant: Tenant, scheme: ToyPack, toy_kinds: Kinds, make_toy: MakeToy, tmp_path: Path
) -> None:
    new = load_pack(scheme.path, toy_kinds)
    other = load_pack(make_toy(tmp_path / "other", "ke-other").path, toy_kinds)
    async with db.unit_of_work(tenant.tenant_id) as session:
        with pytest.raises(PackInForceTooEarly):
            await service.propose_pack(session, tenant, new, in_force_from=date(2023, 3, 31), actor="staff:1")
        with pytest.raises(PackOfOther):
            await service.propose_pack(session, tenant, other, in_force_from=date(2023, 5, 1), actor="staff:1")


async def test_in_production_a_folders_new_version_waits_for_two_people(
    db: Database, tenant: Tenant, scheme: ToyPack, toy_kinds: Kinds, toy_runners: Mapping[str, Runner]
) -> None:
    scheme.replace("pack.toml", 'name = "Toy Saving Scheme"', 'name = "Toy Pension Scheme"')
    production = Tenants.load([scheme.path.parent], toy_kinds, toy_runners, profile="production")
    await production.activate(db)
    assert production.by_id(tenant.tenant_id).pack.name == "Toy Saving Scheme"
    development = Tenants.load([scheme.path.parent], toy_kinds, toy_runners)
    await development.activate(db)
    assert development.by_id(tenant.tenant_id).pack.name == "Toy Pension Scheme"


async def test_a_tenant_whose_folder_is_spoilt_goes_on_with_what_is_in_force(
    db: Database, tenant: Tenant, load: Callable[[], Tenants], scheme: ToyPack, make_toy: MakeToy
) -> None:
    other = make_toy(scheme.path.parent, f"ke-{secrets.token_hex(5)}")
    other.replace("pack.toml", "toy.localhost", "o.localhost").replace(
        "pack.toml", "toy.localhost/log", "o.localhost/log"
    )
    scheme.replace("scenarios/payments.toml", 'taken = "10"', 'taken = "11"')
    spoilt = load()
    await spoilt.activate(db)
    assert spoilt.by_id(tenant.tenant_id).pack.sha256 == tenant.pack.sha256


async def test_a_figure_counts_once_another_person_accepted_it(db: Database, tenant: Tenant) -> None:
    raw = POINTS + b"2023-07-01,2023-07-20,10.25,Gazette 8,high\n"
    async with db.unit_of_work(tenant.tenant_id) as session:
        proposed = await service.propose_figures(session, tenant, "rate", raw, name="rate.csv", actor="staff:1")
        assert (len(proposed.proposed), proposed.known) == (1, 1)
        (point,) = proposed.proposed
        before = await service.figures_for(session, tenant)
        assert before.value("rate", date(2023, 8, 1)) == Decimal("11.5")
        with pytest.raises(SamePerson):
            await service.accept_figure(session, tenant, point, actor="staff:1")
        await service.accept_figure(session, tenant, point, actor="staff:2")
        after = await service.figures_for(session, tenant)
        assert after.value("rate", date(2023, 8, 1)) == Decimal("10.25")
        assert after.value("rate", date(2023, 6, 30)) == Decimal("11.5")
        known = await service.figures_for(session, tenant, known_on=date(2023, 7, 19))
        assert known.value("rate", date(2023, 8, 1)) == Decimal("11.5")
        with pytest.raises(FigureDecided):
            await service.reject_figure(session, tenant, point, actor="staff:3")


async def test_a_revision_bears_a_later_day_and_other_values_for_one_day_are_refused(
    db: Database, tenant: Tenant
) -> None:
    header = b"effective_from,published_on,value,source,confidence\n"
    async with db.unit_of_work(tenant.tenant_id) as session:
        other = header + b"2022-07-01,2022-07-15,11.6,Gazette 7,high\n"
        with pytest.raises(FigureStands):
            await service.propose_figures(session, tenant, "rate", other, name="rate.csv", actor="staff:1")
        revised = header + b"2022-07-01,2022-09-01,11.6,Gazette 7 bis,high\n"
        (point,) = (
            await service.propose_figures(session, tenant, "rate", revised, name="rate.csv", actor="staff:1")
        ).proposed
        await service.accept_figure(session, tenant, point, actor="staff:2")
        figures = await service.figures_for(session, tenant)
        assert figures.value("rate", date(2022, 8, 1)) == Decimal("11.6")
        assert (await service.figures_for(session, tenant, known_on=date(2022, 8, 31))).value(
            "rate", date(2022, 8, 1)
        ) == Decimal("11.5")


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        pytest.param(b"effective_from,value\n", "row 1", id="columns missing"),
        pytest.param(POINTS + b"2023-7-1,2023-07-01,1,x,high\n", "row 3, effective_from", id="no date"),
        pytest.param(POINTS + b"2023-07-01,2023-07-01,1e3,x,high\n", "row 3, value", id="no plain number"),
        pytest.param(POINTS + b"2023-07-01,2023-07-01,1,,high\n", "row 3, source", id="no source"),
        pytest.param(POINTS + b"2023-07-01,2023-07-01,1,x,sure\n", "row 3, confidence", id="no such confidence"),
        pytest.param(POINTS + b"2022-07-01,2022-07-15,11.5,x,high\n", "row 3", id="a day twice"),
    ],
)
async def test_a_file_of_figures_that_cannot_be_read_changes_nothing(
    db: Database, tenant: Tenant, raw: bytes, reason: str
) -> None:
    async with db.unit_of_work(tenant.tenant_id) as session:
        with pytest.raises(FiguresUnreadable, match=reason):
            await service.propose_figures(session, tenant, "rate", raw, name="rate.csv", actor="staff:1")
        with pytest.raises(UnknownSeries):
            await service.propose_figures(session, tenant, "index", POINTS, name="rate.csv", actor="staff:1")
        assert await service.list_figures(session) == []
